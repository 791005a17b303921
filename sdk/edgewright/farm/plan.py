"""A plan: which workloads, compressed how, in which runtimes, on which devices."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from edgewright.config import STRICT, load_toml
from edgewright.errors import ConfigError
from edgewright_agent.protocol import Conditions

from .conditions import conditions_from
from .scenario import OPTIONS, Driving
from .subject import open_beside

#: A step of priority counts like ten minutes of waiting, see the store's leases.
MOST_PRIORITY = 100


@dataclass(frozen=True, config=STRICT)
class Plan:
    """The ``[plan]`` table.

    Attributes:
        workloads: ``file.py:factory``, ``.onnx`` or ``.tflite``, relative to the plan's own folder.
        devices: names of the farm file, ``tag:NAME`` or ``profile:NAME``.
        priority: of a farm's runs that want the same devices, those of a higher number go first.
        recipes: preset names or ``.toml`` files; a bare model file is measured once, as it is.
        runtimes: runtime names; ``tflite`` stands for the first of the device's TFLite runtimes.
        threads: 0 stands for the device's performance cores.
        evaluate: whether the quality is judged on the device or on this host.
        scenario: how the models are driven; ``rate``, ``deadline_ms``, ``minutes``, ``batch``, ``streams``
            and ``also`` are its options, as on the command line. Models of ``also`` are relative to the
            plan's own folder.
        set_governor, power_mode, cool_to: what is set on the devices for the run, see docs/conditions.md.
    """

    name: str
    workloads: tuple[str, ...]
    recipes: tuple[str, ...] = ("fp32",)
    runtimes: tuple[str, ...] = ("onnxruntime",)
    devices: tuple[str, ...] = ("local",)
    preset: str = "quick"
    threads: int = 0
    evaluate: Literal["device", "host"] = "device"
    scenario: str = "single-stream"
    rate: float | None = None
    deadline_ms: float | None = None
    minutes: float | None = None
    batch: tuple[int, ...] = ()
    streams: int | None = None
    also: tuple[str, ...] = ()
    set_governor: str | None = None
    power_mode: str | None = None
    cool_to: str | None = None
    priority: int = 0


@dataclass(frozen=True, config=STRICT)
class PlanFile:
    """The whole file."""

    plan: Plan


def load_plan(path: Path) -> Plan:
    """Read a plan; its relative paths become relative to where the command runs.

    Raises:
        ConfigError: file, key, expected, did-you-mean.
    """
    plan = load_toml(path, PlanFile).plan
    if not plan.name.strip():
        raise ConfigError(f"{path}: plan.name is empty")
    for name in ("workloads", "recipes", "runtimes", "devices"):
        values: tuple[str, ...] = getattr(plan, name)
        if not values:
            raise ConfigError(f"{path}: plan.{name} is empty")
        if len(set(values)) != len(values):
            raise ConfigError(f"{path}: plan.{name} names something twice")
    if abs(plan.priority) > MOST_PRIORITY:
        raise ConfigError(
            f"{path}: plan.priority is {plan.priority}", mend=f"at most {MOST_PRIORITY} either way"
        )
    if plan.threads < 0:
        raise ConfigError(f"{path}: plan.threads is {plan.threads}", mend="0 means the performance cores")
    return replace(
        plan,
        workloads=tuple(str(path.parent / name) for name in plan.workloads),
        recipes=tuple(str(path.parent / name) if name.endswith(".toml") else name for name in plan.recipes),
        also=tuple(str(path.parent / name) for name in plan.also),
    )


def driving_of(plan: Plan, cache: Path) -> Driving:
    """The plan's scenario, its models looked at.

    Raises:
        ConfigError: one line that names the key.
    """
    options = {name: getattr(plan, name) for name in OPTIONS}
    return Driving.parse(plan.scenario, options, partial(open_beside, cache=cache), "plan.{}".format)


def conditions_of(plan: Plan) -> Conditions:
    """What the plan wants set on the devices.

    Raises:
        ConfigError: one line that names the key.
    """
    return conditions_from(plan.set_governor, plan.power_mode, plan.cool_to, "plan.{}".format)
