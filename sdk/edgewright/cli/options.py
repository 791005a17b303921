"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgewright.models import Feeds
    from edgewright.workload import Array

F = TypeVar("F", bound=Callable[..., Any])

_SHAPE = re.compile(r"(?P<name>.+):(?P<sizes>\d+(?:x\d+)*|scalar)")


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


def preset_option(function: F) -> F:
    """``--preset``, checked later so that a wrong one gets its nearest name."""
    return click.option("--preset", metavar="rapid|quick|publish", help="Measuring effort.")(function)


def parse_feeds(shapes: tuple[str, ...], inputs: tuple[str, ...]) -> Feeds:
    """``--shape NAME:1x3x224x224`` and ``--input NAME=VALUE|NAME=FILE.npy`` as feeds."""
    from edgewright.models import Feeds

    return Feeds(dict(_parse_shape(text) for text in shapes), dict(_parse_input(text) for text in inputs))


def _parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    match = _SHAPE.fullmatch(text)
    if not match:
        raise click.BadParameter(f"{text!r} is not NAME:1x3x224x224", param_hint="--shape")
    sizes = match["sizes"]
    return match["name"], () if sizes == "scalar" else tuple(int(size) for size in sizes.split("x"))


def _parse_input(text: str) -> tuple[str, Array]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE or NAME=FILE.npy", param_hint="--input")
    if value.endswith(".npy"):
        from edgewright.tensorfile import read_array

        return name, read_array(Path(value))
    return name, _number(value)


def _number(text: str) -> Array:
    import numpy as np

    if text.lower() in ("true", "false"):
        return np.asarray(text.lower() == "true")
    for kind in (int, float):
        try:
            return np.asarray(kind(text))
        except (ValueError, OverflowError):
            continue
    return np.asarray(text)
