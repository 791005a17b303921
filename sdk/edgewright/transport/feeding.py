"""Standard input that is made while the command's output is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from edgewright.errors import DeviceError


def feed(pieces: Iterable[bytes], send: Callable[[bytes], bool], end: Callable[[], None]) -> None:
    """Send the pieces in a thread of its own, which ends when they do, or when they are not taken any more.

    Args:
        pieces: taken one by one as they can be sent; it must not raise.
        send: False when the command takes no more. What else goes wrong, whoever reads the output is told.
        end: closes the standard input.
    """

    def work() -> None:
        with suppress(DeviceError):
            for piece in pieces:
                if not send(piece):
                    break
        end()

    threading.Thread(target=work, name="standard-input", daemon=True).start()
