"""One build at a time in a process."""

from __future__ import annotations

import threading

#: Torch's seeds and the descriptors that :mod:`edgewright.boundary` takes are the process's. Whoever runs a
#: user's code besides builds takes it too.
BUILDING = threading.RLock()
