"""A plan with what was asked for beside it, made ready to be measured, on whichever host that is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgewright.recipe import load_recipe
from edgewright.signing import Signer
from edgewright_agent.protocol import Conditions

from .conditions import either
from .effort import load_effort
from .execute import check_runtime
from .inventory import Target
from .job import Settings
from .plan import Plan, conditions_of, driving_of
from .session import Work
from .subject import open_subject


@dataclass(frozen=True)
class Asked:
    """What the command line asked for beside its plan.

    Attributes:
        preset: in place of the plan's; empty for that.
        max_drop: the share of its quality that a recipe may lose.
        wait_s: how long a launch waits for a device that somebody else holds.
        memory_bytes: what a model's process may take; 0 for any.
        conditions: to be set on the devices.
    """

    preset: str = ""
    max_drop: float | None = None
    wait_s: float = 1800.0
    memory_bytes: int = 0
    conditions: Conditions = field(default_factory=Conditions)


def prepared(
    plan: Plan, asked: Asked, targets: Sequence[Target], signer: Signer | None, cache: Path
) -> tuple[Work, Settings]:
    """What to measure, and how.

    Args:
        plan: its files are relative to where this runs.
        asked: beside it.
        targets: the devices that the plan means.
        signer: vouches for the models.
        cache: of what is built.

    Raises:
        ConfigError: one line that names what is wrong.
    """
    work = Work(
        subjects=[open_subject(text, cache) for text in plan.workloads],
        recipes=[
            replace(recipe, max_accuracy_drop=asked.max_drop) if asked.max_drop is not None else recipe
            for recipe in map(load_recipe, plan.recipes)
        ],
        runtimes=[check_runtime(name) for name in plan.runtimes],
        targets=targets,
    )
    effort, driving = load_effort(asked.preset or plan.preset), driving_of(plan, cache)
    settings = Settings(
        driving.effort(effort),
        plan.threads,
        evaluate_on_device=plan.evaluate == "device",
        wait_s=asked.wait_s,
        memory_bytes=asked.memory_bytes,
        driving=driving,
        conditions=either(asked.conditions, conditions_of(plan)),
        signer=signer,
    )
    return work, settings
