"""Options and arguments that several commands share."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgewright.farm.inventory import Target
    from edgewright.models import Feeds
    from edgewright.workload import Array

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: What TFLite's 32-bit sizes hold; no tensor that fits in memory has a longer axis.
_LARGEST_SIZE = (1 << 31) - 1
_SHAPE = re.compile(r"(?P<name>.+):(?P<sizes>[0-9]{1,18}(?:x[0-9]{1,18})*|scalar)", re.DOTALL)


def farm_option(function: F) -> F:
    """``--farm FILE``."""
    return click.option(
        "--farm",
        type=click.Path(path_type=Path),
        help="Devices file; otherwise $EDGEWRIGHT_FARM, then ./farm.toml.",
    )(function)


def store_option(function: F) -> F:
    """``--store FILE|URL``."""
    return click.option(
        "--store", help="Results database: a file or an SQLAlchemy URL; otherwise $EDGEWRIGHT_STORE."
    )(function)


def fresh_option(function: F) -> F:
    """``--fresh``."""
    return click.option(
        "--fresh", is_flag=True, help="Begin anew where the same command was cut short within the last hours."
    )(function)


def preset_option(function: F) -> F:
    """``--preset``, checked later so that a wrong one gets its nearest name."""
    return click.option("--preset", metavar="rapid|quick|publish", help="Measuring effort.")(function)


def provider_options(function: F) -> F:
    """``--provider NAME`` and ``--prefer NAME``, each any number of times."""
    required = click.option(
        "--provider",
        "required",
        multiple=True,
        metavar="NAME",
        help="Execution provider or delegate that must execute, with no other than those named.",
    )
    preferred = click.option(
        "--prefer",
        "preferred",
        multiple=True,
        metavar="NAME",
        help="One to try, after the required ones; the verdict tells whether it executed.",
    )
    return required(preferred(function))


def meter_option(function: F) -> F:
    """``--meter COMMAND``."""
    return click.option(
        "--meter",
        metavar="COMMAND",
        help="A command on this host that prints the device's watts, one reading a line.",
    )(function)


def metered(target: Target, command: str | None) -> Target:
    """The device with the meter of ``--meter``, in place of the farm file's; itself without one."""
    from edgewright.farm.meter_config import command_meter

    if command is None:
        return target
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise click.BadParameter(f"{command!r}: {error}", param_hint="--meter") from None
    if not words:
        raise click.BadParameter("no command", param_hint="--meter")
    return replace(target, meter=command_meter(words))


def parse_feeds(shapes: tuple[str, ...], inputs: tuple[str, ...]) -> Feeds:
    """``--shape NAME:1x3x224x224`` and ``--input NAME=VALUE|NAME=FILE.npy`` as feeds."""
    from edgewright.models import Feeds

    return Feeds(
        _once("--shape", [_parse_shape(text) for text in shapes]),
        _once("--input", [_parse_input(text) for text in inputs]),
    )


def _once(option: str, pairs: list[tuple[str, T]]) -> dict[str, T]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name!r} is given twice", param_hint=option)
    return dict(pairs)


def _parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    match = _SHAPE.fullmatch(text)
    if not match:
        raise click.BadParameter(f"{text!r} is not NAME:1x3x224x224", param_hint="--shape")
    sizes = () if match["sizes"] == "scalar" else tuple(int(size) for size in match["sizes"].split("x"))
    if any(size > _LARGEST_SIZE for size in sizes):
        raise click.BadParameter(f"{text!r} has a size above {_LARGEST_SIZE}", param_hint="--shape")
    return match["name"], sizes


def _parse_input(text: str) -> tuple[str, Array]:
    """A file's array, or the text as it is written: the model's own type says how to read it."""
    import numpy as np

    name, sign, value = text.partition("=")
    if not name or not sign:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE or NAME=FILE.npy", param_hint="--input")
    if value.lower().endswith(".npy"):
        from edgewright.tensorfile import read_array

        return name, read_array(Path(value))
    return name, np.asarray(value)
