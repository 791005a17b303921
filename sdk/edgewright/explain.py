"""What a recipe will do, step by step, and what that can save on one kind of device."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from dataclasses import dataclass
from typing import Any

from .errors import UnsupportedError
from .profile import DeviceProfile
from .recipe import Recipe, Step, find_technique


@dataclass(frozen=True)
class Explained:
    """One step.

    Attributes:
        does: in one line.
        options: those that are not left at their defaults.
        saves: which of file, memory and time it can save anywhere.
        here: what the device makes of it, one line each.
    """

    technique: str
    does: str
    options: dict[str, Any]
    saves: tuple[str, ...]
    here: tuple[str, ...]


def explain(recipe: Recipe, profile: DeviceProfile, formats: tuple[str, ...]) -> tuple[Explained, ...]:
    """Every step of a recipe on a device, in the formats that its runtimes execute."""
    return tuple(_step(step, profile, formats) for step in recipe.steps)


def _step(step: Step, profile: DeviceProfile, formats: tuple[str, ...]) -> Explained:
    technique: Any = find_technique(step.technique)
    about = inspect.getdoc(sys.modules[type(technique).__module__]) or ""
    defaults = technique.options()
    changed = {
        field.name: value
        for field in dataclasses.fields(step.options)
        if (value := getattr(step.options, field.name)) != getattr(defaults, field.name)
    }
    here = [line for name in formats if (line := _refusal(technique, step, profile, name))]
    return Explained(
        step.technique,
        about.split("\n", 1)[0],
        {name: _plain(value) for name, value in changed.items()},
        tuple(technique.saves),
        (*here, *technique.on_device(step.options, profile)),
    )


def _refusal(technique: Any, step: Step, profile: DeviceProfile, format: str) -> str:
    try:
        technique.profile_facts(step.options, profile, format)
    except UnsupportedError as error:
        return f"not in {format}: {error}"
    return ""


def _plain(value: Any) -> Any:
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
