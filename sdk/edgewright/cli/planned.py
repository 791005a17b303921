"""A plan with what the command line changes of it, looked at before any device is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.cache import default_cache
from edgewright.farm.conditions import conditions_from
from edgewright.farm.inventory import load_inventory
from edgewright.farm.job import Settings
from edgewright.farm.plan import Plan, load_plan
from edgewright.farm.prepared import Asked, prepared
from edgewright.farm.selectors import choose_targets
from edgewright.farm.session import Work

from .options import memory_bytes, option_name, signer_of
from .quantities import parse_drop


@dataclass(frozen=True)
class Planned:
    """A plan, ready to be measured. ``asked`` is what the command line had to say."""

    plan: Plan
    text: str
    work: Work
    settings: Settings
    asked: Asked


def planned(plan_file: Path, farm: Path | None, options: dict[str, Any]) -> Planned:
    """Read the plan, its devices, workloads and recipes.

    Args:
        plan_file: the plan.
        farm: the devices' file, if one is named.
        options: those of the command by the names of its parameters: ``preset``, ``set_governor``,
            ``power_mode``, ``cool_to``, ``max_drop``, ``wait_min`` and ``memory_limit``.

    Raises:
        ConfigError: one line that names what is wrong.
    """
    limit_bytes = memory_bytes(options["memory_limit"])
    plan = load_plan(plan_file)
    governor, power_mode, cool_to = (options[key] for key in ("set_governor", "power_mode", "cool_to"))
    max_drop = options["max_drop"]
    asked = Asked(
        options["preset"] or "",
        None if max_drop is None else parse_drop(max_drop, "--max-accuracy-drop"),
        60 * options["wait_min"],
        limit_bytes,
        conditions_from(governor, power_mode, cool_to, option_name),
    )
    inventory = load_inventory(farm)
    targets = choose_targets(plan.devices, inventory)
    work, settings = prepared(plan, asked, targets, signer_of(inventory), default_cache())
    return Planned(plan, plan_file.read_text(encoding="utf-8"), work, settings, asked)
