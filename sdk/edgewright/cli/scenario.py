"""``--scenario`` and the options that belong to one scenario or another."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgewright.farm.scenario import Driving

F = TypeVar("F", bound=Callable[..., Any])

_SIZES = re.compile(r"[0-9]{1,6}(,[0-9]{1,6})*")
_OPTIONS = (
    click.option(
        "--scenario",
        metavar="NAME",
        help="single-stream, paced, sustained, offline or multi-stream.  [default: single-stream]",
    ),
    click.option("--rate", type=float, metavar="HZ", help="paced, sustained: arrivals a second."),
    click.option(
        "--deadline-ms", type=float, metavar="MS", help="paced, sustained: from arrival to result, at most."
    ),
    click.option("--minutes", type=float, metavar="M", help="sustained: how long; otherwise 2, 10 or 30."),
    click.option("--batch", metavar="1,2,4,8", help="offline: sizes of the first axis."),
    click.option("--streams", type=int, metavar="N", help="multi-stream: sessions of the model at once."),
    click.option("--also", multiple=True, metavar="MODEL", help="multi-stream: another model beside it."),
)
_NAMES = ("scenario", "rate", "deadline_ms", "minutes", "batch", "streams", "also")


def scenario_options(function: F) -> F:
    """All of them; the command gets what was given as one mapping, ``driving``, for :func:`driving_from`."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> Any:
        driving = {name: options.pop(name) for name in _NAMES}
        return function(*arguments, driving=driving, **options)

    wrapped: Any = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    made: F = wrapped
    return made


def driving_from(given: Mapping[str, Any]) -> Driving:
    """The scenario that the options name, its models looked at.

    Raises:
        ConfigError: one line that names the option.
    """
    from edgewright.cache import default_cache
    from edgewright.farm.scenario import Driving
    from edgewright.farm.subject import open_beside

    options = {name: given[name] for name in _NAMES[1:]}
    options["batch"] = _sizes(given["batch"])
    return Driving.parse(
        given["scenario"], options, functools.partial(open_beside, cache=default_cache()), _option
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _sizes(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    if not _SIZES.fullmatch(text):
        raise click.BadParameter(f"{text!r} is not a list of sizes such as 1,2,4,8", param_hint="--batch")
    return tuple(int(size) for size in text.split(","))
