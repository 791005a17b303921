"""What every test process sets before a library reads it."""

from __future__ import annotations

import os

#: Busy waiting of torch's threads starves whatever else runs on a small machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
