"""A plan: which workloads, compressed how, in which runtimes, on which devices."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from edgewright.config import STRICT, load_toml
from edgewright.errors import ConfigError


@dataclass(frozen=True, config=STRICT)
class Plan:
    """The ``[plan]`` table.

    Attributes:
        workloads: ``file.py:factory``, ``.onnx`` or ``.tflite``, relative to the plan's own folder.
        recipes: preset names or ``.toml`` files; a bare model file is measured once, as it is.
        runtimes: runtime names; ``tflite`` stands for the first of the device's TFLite runtimes.
        threads: 0 stands for the device's performance cores.
        evaluate: whether the quality is judged on the device or on this host.
    """

    name: str
    workloads: tuple[str, ...]
    recipes: tuple[str, ...] = ("fp32",)
    runtimes: tuple[str, ...] = ("onnxruntime",)
    devices: tuple[str, ...] = ("local",)
    preset: str = "quick"
    threads: int = 0
    evaluate: Literal["device", "host"] = "device"


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
    for name in ("workloads", "recipes", "runtimes", "devices"):
        values: tuple[str, ...] = getattr(plan, name)
        if not values:
            raise ConfigError(f"{path}: plan.{name} is empty")
        if len(set(values)) != len(values):
            raise ConfigError(f"{path}: plan.{name} names something twice")
    if plan.threads < 0:
        raise ConfigError(f"{path}: plan.threads is {plan.threads}", mend="0 means the performance cores")
    return Plan(
        name=plan.name,
        workloads=tuple(str(path.parent / name) for name in plan.workloads),
        recipes=tuple(str(path.parent / name) if name.endswith(".toml") else name for name in plan.recipes),
        runtimes=plan.runtimes,
        devices=plan.devices,
        preset=plan.preset,
        threads=plan.threads,
        evaluate=plan.evaluate,
    )
