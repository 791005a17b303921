"""Calling code that is not ours: keep it quiet, and turn what it raises into our errors, once.

Exporters and quantizers write progress, warnings and C++ logs to both standard streams. Inside
:class:`foreign` whatever reaches file descriptors 1 and 2 is put aside, so that a command's own lines
stay clean. Descriptors belong to the whole process: something that draws progress meanwhile has to
write to a copy made before, which :func:`progress_stream` opens.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import TextIO

from .errors import EdgewrightError

_LOG = logging.getLogger("edgewright.foreign")
_LIMIT = 300
#: One at a time may have the descriptors. Re-entrant, since foreign code may call back into ours.
_DESCRIPTORS = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Put aside all output to descriptors 1 and 2, and Python warnings; the log has them at DEBUG."""
    with _DESCRIPTORS, tempfile.TemporaryFile() as sink:
        _flush()
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(_stream(1)),
                contextlib.redirect_stderr(_stream(2)),
            ):
                warnings.simplefilter("ignore")
                yield
        finally:
            _flush()
            for number, copy in enumerate(saved, 1):
                os.dup2(copy, number)
                os.close(copy)
            if _LOG.isEnabledFor(logging.DEBUG):
                sink.seek(0)
                _LOG.debug("%s", sink.read().decode("utf-8", "replace"))


class foreign(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """``with foreign(ExportError, "torch.onnx.export"):`` quiets the block and translates what it raises.

    Edgewright's own errors pass through unchanged, and so do KeyboardInterrupt and the like.
    """

    def __init__(
        self, kind: type[EdgewrightError], what: str, *, mend: str = "", silent: bool = True
    ) -> None:
        self._kind = kind
        self._what = what
        self._mend = mend
        self._quiet: contextlib.AbstractContextManager[None] = quiet() if silent else contextlib.nullcontext()

    def __enter__(self) -> None:
        self._quiet.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._quiet.__exit__(kind, error, trace)
        if isinstance(error, Exception) and not isinstance(error, EdgewrightError):
            raise self._kind(f"{self._what}: {summary(error)}", mend=self._mend) from error


def summary(error: BaseException) -> str:
    """An exception as one printable line of bounded length: its type and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "".join(c if c.isprintable() else " " for c in lines[0]) if lines else ""
    shown = text if len(text) <= _LIMIT else text[:_LIMIT] + "..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def progress_stream() -> TextIO:
    """A copy of standard error that :func:`quiet` does not silence; the caller closes it."""
    return os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")


@functools.cache
def _stream(descriptor: int) -> TextIO:
    """Writes to a descriptor, whatever it leads to at the time: log handlers keep hold of such a stream."""
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, _stream(1), _stream(2)):
        if stream is not None and not stream.closed:
            stream.flush()
