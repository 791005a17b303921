"""What a worker tells its parent while it runs."""

import json
from typing import TextIO


class Phases:
    """Tells the parent which phase begins, one JSON line each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def enter(self, name: str) -> None:
        """Announce a phase; the parent starts and stops its sampler on these."""
        self._stream.write(json.dumps({"event": "phase", "name": name}) + "\n")
        self._stream.flush()
