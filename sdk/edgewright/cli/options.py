"""Options and arguments that several commands share."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .quantities import parse_size

if TYPE_CHECKING:
    from edgewright.farm.inventory import Inventory, Target
    from edgewright.models import Feeds
    from edgewright.recipe import Recipe
    from edgewright.signing import Signer
    from edgewright.workload import Array

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: What TFLite's 32-bit sizes hold; no tensor that fits in memory has a longer axis.
_LARGEST_SIZE = (1 << 31) - 1
_SHAPE = re.compile(r"(?P<name>.+):(?P<sizes>[0-9]{1,18}(?:x[0-9]{1,18})*|scalar)", re.DOTALL)


class Minutes(click.FloatRange):
    """So many minutes, 0 or more; neither what is no number nor for ever, which a clock cannot wait for."""

    def __init__(self) -> None:
        super().__init__(min=0, max=60 * 24 * 365)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As the class it is made from does, which takes ``nan`` for within any bounds."""
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value!r} is not a number of minutes", param, ctx)
        return found


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
        "--store", help="Results: a file, or postgresql://USER@HOST/DATABASE; otherwise $EDGEWRIGHT_STORE."
    )(function)


def fresh_option(function: F) -> F:
    """``--fresh``."""
    return click.option(
        "--fresh", is_flag=True, help="Begin anew where the same command was cut short within the last hours."
    )(function)


def wait_option(function: F) -> F:
    """``--wait MINUTES`` as ``wait_min``."""
    return click.option(
        "--wait",
        "wait_min",
        type=Minutes(),
        default=30.0,
        show_default=True,
        metavar="MINUTES",
        help="How long to wait for a device that somebody else holds.",
    )(function)


def drop_option(function: F) -> F:
    """``--max-accuracy-drop``."""
    return click.option(
        "--max-accuracy-drop",
        "max_drop",
        metavar="1%",
        help="How much quality a recipe may lose, 1% being 0.01 in the workload's own measure; nodes that"
        " break it stay in floats.",
    )(function)


def within(recipe: Recipe, max_drop: str | None) -> Recipe:
    """The recipe with the limit of ``--max-accuracy-drop``; as it is without one."""
    if max_drop is None:
        return recipe
    from .quantities import parse_drop

    return replace(recipe, max_accuracy_drop=parse_drop(max_drop, "--max-accuracy-drop"))


def preset_option(function: F) -> F:
    """``--preset``, checked later so that a wrong one gets its nearest name."""
    return click.option("--preset", metavar="rapid|quick|publish", help="Measuring effort.")(function)


def memory_option(function: F) -> F:
    """``--memory-limit SIZE`` as ``memory_limit``, for :func:`memory_bytes`."""
    return click.option(
        "--memory-limit",
        metavar="256M",
        help="Stop a model whose process takes more memory on the device; its row says so.",
    )(function)


def memory_bytes(text: str | None) -> int:
    """The limit in bytes, 0 for none."""
    return parse_size(text, "--memory-limit") if text else 0


def measuring_options(function: F) -> F:
    """What whoever measures cells may say besides: limits, patience, devices and the store."""
    for option in (store_option, farm_option, memory_option, wait_option, fresh_option, drop_option):
        function = option(function)
    return function


def threshold_option(function: F) -> F:
    """``--threshold SHARE``, for :func:`~.quantities.parse_share`."""
    return click.option(
        "--threshold",
        default="5%",
        show_default=True,
        metavar="5%",
        help="The difference that must be told.",
    )(function)


def conditions_options(function: F) -> F:
    """``--set-governor NAME``, ``--power-mode NAME`` and ``--cool-to 50C``."""
    governor = click.option(
        "--set-governor",
        metavar="NAME",
        help="Frequency governor to hold for the run, and set back after it.",
    )
    power_mode = click.option(
        "--power-mode",
        metavar="NAME",
        help="Power mode to hold for the run, such as Jetson's 25W, and set back after it.",
    )
    cool_to = click.option(
        "--cool-to",
        metavar="50C",
        help="Before each launch, wait until the processor is so cool; 10 minutes at most.",
    )
    return governor(power_mode(cool_to(function)))


def option_name(key: str) -> str:
    """How the command line writes what is ``key`` in a plan."""
    return f"--{key.replace('_', '-')}"


def signer_of(inventory: Inventory) -> Signer | None:
    """Who vouches for the models that are sent: the key of EDGEWRIGHT_SIGNING_KEY, else the farm file's.

    Raises:
        ConfigError: a key is configured, and cannot be used.
    """
    from edgewright.signing import find_key, load_signer

    path = find_key(inventory.signing_key)
    return load_signer(path) if path else None


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
