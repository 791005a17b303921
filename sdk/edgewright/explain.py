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

#: CPU flags with which sums of 8-bit products take one instruction.
_DOT_PRODUCTS = {"asimddp", "i8mm", "svei8mm", "avx_vnni", "avx512_vnni", "amx_int8"}


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
        (*here, *_on_device(step, profile)),
    )


def _refusal(technique: Any, step: Step, profile: DeviceProfile, format: str) -> str:
    try:
        technique.profile_facts(step.options, profile, format)
    except UnsupportedError as error:
        return f"not in {format}: {error}"
    return ""


def _on_device(step: Step, profile: DeviceProfile) -> tuple[str, ...]:
    features = {name for feature in profile.hardware.features for name in feature.split("|")}
    native = profile.numeric.native
    if step.technique in ("qat", "quantize"):
        chosen = step.options.format_for(profile)
        reduced = " of 7 bits" if chosen.reduce_range else ""
        stored = f"ONNX: {chosen.activation} activations, {chosen.weight} weights{reduced}"
        found = sorted(features & _DOT_PRODUCTS)
        speed = f"it has 8-bit dot products ({', '.join(found)}): time may be saved"
        slow = "no 8-bit dot product is certain there: it may take longer than 32-bit floats"
        return (stored, speed if found else slow)
    if step.technique == "fp16":
        return (
            "it computes in 16-bit floats: time may be saved"
            if "fp16" in native
            else "it has no 16-bit arithmetic: weights are widened, no time is saved",
        )
    if step.technique in ("share", "sparsify", "quantize-weights"):
        return ("what is stored and pushed is smaller; it takes as long as before",)
    if step.technique in ("adaround", "equalize", "smooth"):
        return (
            "it prepares the weights for the integers of a later step; what that is worth, accuracy tells",
        )
    if step.technique in ("prune", "factorize"):
        return ("fewer multiplications on every processor; how much time that is, a measurement tells",)
    return ()


def _plain(value: Any) -> Any:
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
