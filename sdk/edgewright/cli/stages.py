"""What a person sees while a build goes by; it imports nothing until there is something to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """A spinner on standard error that names the stage; what names none shows none.

    It goes on while libraries have standard error taken from them, as builds do.
    """
    from edgewright.boundary import progress_stream

    with ExitStack() as stack:
        status: list[Any] = []

        def show(stage: str) -> None:
            if not status:
                from rich.console import Console

                stream = stack.enter_context(progress_stream())
                status.append(stack.enter_context(Console(file=stream).status(stage)))
            status[0].update(stage)

        yield show
