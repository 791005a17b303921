"""Threads that do one thing after another, and that no end of the program waits for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Hand:
    """A thread and what it is still to do.

    Those of the standard library's executors are waited for at exit: one that waits for a device that is gone
    would hold up the end of a command by minutes.
    """

    def __init__(self, name: str) -> None:
        self._orders: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def do(self, work: Callable[[], T]) -> Future[T]:
        """Have it done after all that was asked for before."""
        future: Future[T] = Future()
        self._orders.put((future, work))
        return future

    def end(self) -> None:
        """No more is to come: the thread ends with what it was asked for."""
        self._orders.put(None)

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            future, work = order
            with _Into(future):
                future.set_result(work())


class _Into(AbstractContextManager[None]):
    """Whatever is raised inside belongs to whoever asked for the result."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._future.set_exception(error)
        return True
