"""A plan with what the command line changes of it, looked at before any device is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.cache import default_cache
from edgewright.farm.conditions import conditions_from, either
from edgewright.farm.effort import load_effort
from edgewright.farm.execute import check_runtime
from edgewright.farm.inventory import load_inventory
from edgewright.farm.job import Settings
from edgewright.farm.plan import Plan, conditions_of, driving_of, load_plan
from edgewright.farm.selectors import choose_targets
from edgewright.farm.session import Work
from edgewright.farm.subject import open_subject
from edgewright.recipe import load_recipe

from .options import memory_bytes, option_name, signer_of, within


@dataclass(frozen=True)
class Planned:
    """A plan, ready to be measured."""

    plan: Plan
    text: str
    work: Work
    settings: Settings


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
    wanted = conditions_from(governor, power_mode, cool_to, option_name)
    inventory = load_inventory(farm)
    work = Work(
        subjects=[open_subject(text, default_cache()) for text in plan.workloads],
        recipes=[within(load_recipe(name), options["max_drop"]) for name in plan.recipes],
        runtimes=[check_runtime(name) for name in plan.runtimes],
        targets=choose_targets(plan.devices, inventory),
    )
    effort, driving = load_effort(options["preset"] or plan.preset), driving_of(plan, default_cache())
    settings = Settings(
        driving.effort(effort),
        plan.threads,
        evaluate_on_device=plan.evaluate == "device",
        wait_s=60 * options["wait_min"],
        memory_bytes=limit_bytes,
        driving=driving,
        conditions=either(wanted, conditions_of(plan)),
        signer=signer_of(inventory),
    )
    return Planned(plan, plan_file.read_text(encoding="utf-8"), work, settings)
