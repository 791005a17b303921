"""The space of settings: axes with their values, from a file, from what a workload and a device allow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass as schema

from edgewright.config import STRICT, load_toml
from edgewright.errors import ConfigError, UnsupportedError
from edgewright.profile import DeviceProfile
from edgewright.recipe import find_technique
from edgewright.workload import Workload
from edgewright_agent.protocol import FORMATS, RUNTIMES

from .setting import STATIC, Layers, Quantization, Refused, Setting, Teacher

#: More settings than this are not enumerated but drawn.
MOST = 20_000


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("an axis needs a value")
    if len(set(values)) != len(values):
        raise ValueError("a value is given twice")
    return values


def _known(values: tuple[str, ...]) -> tuple[str, ...]:
    for name in values:
        if name not in RUNTIMES:
            raise ValueError(f"unknown runtime {name!r}, known: {', '.join(RUNTIMES)}")
    return values


_Share = Annotated[float, Field(ge=0.0, lt=1.0)]
_Shares = Annotated[tuple[_Share, ...], AfterValidator(_distinct)]


@schema(frozen=True, config=STRICT)
class SpaceFile:
    """A space as written in TOML: axes that are left out are chosen for the device and the workload.

    Attributes:
        prune, low_rank, quantize, keep_floats, distill, runtimes, threads: values of the axis of that name,
            see :class:`~edgewright.tune.setting.Setting`.
        fit: pruning layer by layer to these shares of the unpruned latency, by the times of the layers on the
            device.
    """

    prune: _Shares | None = None
    fit: Annotated[tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...], AfterValidator(_distinct)] | None = (
        None
    )
    low_rank: _Shares | None = None
    quantize: Annotated[tuple[Quantization, ...], AfterValidator(_distinct)] | None = None
    keep_floats: (
        Annotated[tuple[Annotated[int, Field(ge=0, le=64)], ...], AfterValidator(_distinct)] | None
    ) = None
    distill: Annotated[tuple[Teacher, ...], AfterValidator(_distinct)] | None = None
    runtimes: Annotated[tuple[str, ...], AfterValidator(_distinct), AfterValidator(_known)] | None = None
    threads: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], AfterValidator(_distinct)] | None = (
        None
    )


def load_space(path: Path) -> SpaceFile:
    """Read a space.

    Raises:
        ConfigError: file, key, expected, did-you-mean.
    """
    return load_toml(path, SpaceFile)


@dataclass(frozen=True)
class Fit:
    """A pruning that was chosen layer by layer for a share of the latency."""

    share: float
    layers: Layers


@dataclass(frozen=True)
class Place:
    """What a device offers: the runtimes that import there, and its cores.

    ``threads`` are those a benchmark uses unless asked otherwise.
    """

    name: str
    profile: DeviceProfile
    runtimes: tuple[str, ...]
    cores: int
    threads: int


@schema(frozen=True, config=STRICT)
class Space:
    """The axes for one device, each with at least one value, the uncompressed one first where it has one."""

    prune: tuple[float, ...]
    low_rank: tuple[float, ...]
    quantize: tuple[Quantization, ...]
    keep_floats: tuple[int, ...]
    distill: tuple[Teacher, ...]
    runtimes: tuple[str, ...]
    threads: tuple[int, ...]
    fits: tuple[tuple[float, Layers], ...] = ()

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> Space:
        """The smallest space that holds these settings, at least one."""
        plain = [setting for setting in settings if not setting.layers]
        return cls(
            prune=tuple(dict.fromkeys(setting.prune for setting in plain)) or (0.0,),
            low_rank=tuple(dict.fromkeys(setting.low_rank for setting in settings)),
            quantize=tuple(dict.fromkeys(setting.quantize for setting in settings)),
            keep_floats=tuple(dict.fromkeys(setting.keep_floats for setting in settings)),
            distill=tuple(dict.fromkeys(setting.distill for setting in settings)),
            runtimes=tuple(dict.fromkeys(setting.runtime for setting in settings)),
            threads=tuple(dict.fromkeys(setting.threads for setting in settings)),
            fits=tuple(dict.fromkeys((s.prune, s.layers) for s in settings if s.layers)),
        )

    @cached_property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """Labels of the values of each axis: what a sampler is told."""
        pruned = (*map(_label, self.prune), *(f"fit {share!r}" for share, _ in self.fits))
        axes = {"prune": pruned, "low_rank": tuple(map(_label, self.low_rank))}
        axes |= {"quantize": self.quantize, "keep_floats": tuple(map(str, self.keep_floats))}
        axes |= {"distill": self.distill, "runtime": self.runtimes, "threads": tuple(map(str, self.threads))}
        return axes

    @property
    def size(self) -> int:
        """How many combinations there are, also of what has no effect together."""
        count = 1
        for labels in self.axes.values():
            count *= len(labels)
        return count

    def setting(self, labels: dict[str, str]) -> Setting:
        """The setting of one label an axis."""
        by_share = {f"fit {share!r}": (share, layers) for share, layers in self.fits}
        share, layers = by_share.get(labels["prune"], (0.0, ()))
        return Setting(
            prune=share if layers else float(labels["prune"]),
            layers=layers,
            low_rank=float(labels["low_rank"]),
            quantize=labels["quantize"],  # type: ignore[arg-type]
            keep_floats=int(labels["keep_floats"]),
            distill=labels["distill"],  # type: ignore[arg-type]
            runtime=labels["runtime"],
            threads=int(labels["threads"]),
        ).canonical()

    def labels(self, setting: Setting) -> dict[str, str] | None:
        """The labels of a setting; None when it lies outside the space."""
        pruned = f"fit {setting.prune!r}" if setting.layers else _label(setting.prune)
        labels = {"prune": pruned, "low_rank": _label(setting.low_rank), "quantize": str(setting.quantize)}
        labels |= {"keep_floats": str(setting.keep_floats), "distill": str(setting.distill)}
        labels |= {"runtime": setting.runtime, "threads": str(setting.threads)}
        # what has no effect in this setting stands for any value of its axis
        for name, has_effect in (("distill", setting.trains), ("keep_floats", setting.quantize in STATIC)):
            if not has_effect:
                labels[name] = self.axes[name][0]
        inside = all(labels[name] in values for name, values in self.axes.items())
        if inside and setting.layers and dict(self.fits).get(setting.prune) != setting.layers:
            inside = False
        return labels if inside else None

    def settings(self) -> Iterator[Setting]:
        """Every setting once, in the order of the axes."""
        seen = set()
        names = tuple(self.axes)
        for values in itertools.product(*self.axes.values()):
            setting = self.setting(dict(zip(names, values, strict=True)))
            if setting not in seen:
                seen.add(setting)
                yield setting

    def possible(self, profile: DeviceProfile) -> tuple[tuple[Setting, ...], tuple[Refused, ...]]:
        """The settings that can exist on a kind of device, and those that cannot, without building any.

        Raises:
            ConfigError: there are more than can be looked at.
        """
        if self.size > MOST:
            raise ConfigError(f"the space has {self.size} settings", mend=f"up to {MOST} can be searched")
        possible, refused = [], []
        for setting in self.settings():
            reason = impossible(setting, profile)
            if reason:
                refused.append(Refused(setting, reason))
            else:
                possible.append(setting)
        return tuple(possible), tuple(refused)


def impossible(setting: Setting, profile: DeviceProfile) -> str:
    """Why a setting cannot exist on a kind of device; empty when nothing is known against it."""
    kind = format_of(setting.runtime)
    if setting.runtime not in profile.runtimes:
        return f"{profile.name} has no {setting.runtime}"
    try:
        for step in setting.recipe().steps:
            find_technique(step.technique).profile_facts(step.options, profile, kind)
    except UnsupportedError as error:
        return str(error)
    return ""


def format_of(runtime: str) -> str:
    """The file format a runtime executes."""
    return next(name for name, runtimes in FORMATS.items() if runtime in runtimes)


def resolve(asked: SpaceFile, place: Place, workload: Workload, *, saves_files: bool) -> Space:
    """The space for one device: what was asked for, and what suits device and workload for the rest.

    Args:
        saves_files: whether the size of the file matters, so that steps that only save that are tried.

    Raises:
        ConfigError: an axis asks for what the device or the workload does not have.
    """
    default = default_space(place, workload, saves_files=saves_files)
    given = {name: value for name, value in vars(asked).items() if value is not None and name != "fit"}
    space = replace(default, **given)
    _check(space, place, workload)
    return space


def default_space(place: Place, workload: Workload, *, saves_files: bool) -> Space:
    """What is tried when nobody says."""
    can_train = workload.training is not None or workload.train is not None
    judged = workload.evaluate is not None
    kinds: list[Quantization] = ["none", "fp16", "int8-dynamic"]
    if workload.calibration:
        kinds += ["int8-minmax", "int8-entropy", "int8-percentile", "int8-mse"]
    if workload.training is not None:
        kinds.append("qat")
    if saves_files:
        kinds += ["int8-weights", "share"]
    edits = can_train and judged
    return Space(
        prune=(0.0, 0.25, 0.5, 0.7) if edits else (0.0,),
        low_rank=(0.0, 0.9) if edits else (0.0,),
        quantize=tuple(kinds),
        keep_floats=(0, 2) if workload.calibration else (0,),
        distill=("none", "response") if workload.training is not None and judged else ("none",),
        runtimes=place.runtimes,
        threads=tuple(sorted({1, place.threads}, reverse=True)),
    )


def _check(space: Space, place: Place, workload: Workload) -> None:
    where = place.name
    for name in space.runtimes:
        if name not in place.runtimes:
            raise ConfigError(
                f"{where}: the space asks for {name}, the device has {', '.join(place.runtimes) or 'none'}",
                mend=f"edgewright device provision {where}, or leave it out of runtimes",
            )
    most = max(space.threads)
    if most > place.cores:
        raise ConfigError(f"{where}: the space asks for {most} threads, the device has {place.cores} cores")
    if not workload.calibration and any(kind in STATIC for kind in space.quantize):
        raise ConfigError(f"{workload.name}: static int8 needs calibration", mend="give it calibration")
    if workload.training is None:
        if "qat" in space.quantize:
            raise ConfigError(f"{workload.name}: qat needs training", mend="give it training")
        if space.distill != ("none",):
            raise ConfigError(f"{workload.name}: distillation needs training", mend="give it training")
    if workload.evaluate is None and (any(space.prune) or any(space.low_rank) or space.fits):
        raise ConfigError(
            f"{workload.name}: what pruning and low rank lose cannot be told",
            mend="give it evaluate, or set prune = [0.0] and low_rank = [0.0]",
        )


def _label(value: float) -> str:
    return repr(value)
