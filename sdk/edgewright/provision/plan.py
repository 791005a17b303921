"""Which runtimes a device can have, decided before anything is sent to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from packaging.requirements import Requirement
from packaging.version import Version

from edgewright.config import did_you_mean
from edgewright.errors import ConfigError, MissingRuntime
from edgewright.profile import DeviceProfile

from .platform import Platform

NUMPY = "numpy"
#: These were built against numpy 1, which their own wheels do not say.
NEEDS_OLDER_NUMPY = frozenset({"tflite-runtime"})
OLDER_NUMPY = "numpy<2"

#: Where else wheels are to be had, by architecture.
_ELSEWHERE = {
    "armv7l": "set PIP_EXTRA_INDEX_URL=https://www.piwheels.org/simple, which has more for 32-bit Arm",
    "armv6l": "the processors of the first Raspberry Pis are not supported",
}
_GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider")

#: Pythons whose wheels are looked for when the device's own has none, and a glibc newer than any.
_MINORS = range(8, 16)
_NEWEST_GLIBC = 60
_AT_ONCE = 4


class Index(Protocol):
    """Something that knows what wheels there are."""

    def versions(self, name: str, platform: Platform) -> tuple[Version, ...]:
        """Those of a package for a platform, the newest first; none where there is none."""


@dataclass(frozen=True)
class Plan:
    """What to install.

    Attributes:
        requirements: all that pip is asked for.
        provided: packages of the device's own Python that the environment uses, by name: their versions.
        notes: for the user.
    """

    runtimes: tuple[str, ...]
    requirements: tuple[str, ...]
    provided: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def check_asked(profile: DeviceProfile, asked: Sequence[str]) -> None:
    """Refuse what no such device runs.

    Raises:
        ConfigError: the profile does not list a runtime.
    """
    for name in asked:
        if name not in profile.runtimes:
            mend = did_you_mean(name, profile.runtimes)
            raise ConfigError(f"profile {profile.name} lists no runtime {name!r}", mend=mend)


@dataclass(frozen=True)
class Planner:
    """Decides for one device.

    Attributes:
        numpy: the version that the device's own Python has, where an environment can use it; else empty.
    """

    target: str
    profile: DeviceProfile
    platform: Platform
    index: Index
    numpy: str = ""

    def plan(self, asked: Sequence[str]) -> Plan:
        """The runtimes asked for, or else the first of the profile's that can be had.

        Raises:
            MissingRuntime: there is no wheel; what to do is said.
        """
        runtimes = tuple(asked) or self._first(tuple(self.profile.runtimes))
        for name in runtimes:
            if not self._there(name):
                raise self._refusal(name)
        numpy = Requirement(OLDER_NUMPY if NEEDS_OLDER_NUMPY & set(runtimes) else NUMPY)
        notes = tuple(self._notes(runtimes))
        if any(version in numpy.specifier for version in self.index.versions(NUMPY, self.platform)):
            return Plan(runtimes, (str(numpy), *runtimes), notes=notes)
        if self.numpy and self.numpy in numpy.specifier:
            note = (
                f"there is no wheel of {numpy}, so the numpy {self.numpy} of the device's own Python is used"
            )
            return Plan(runtimes, runtimes, {NUMPY: self.numpy}, (*notes, note))
        raise MissingRuntime(
            self.target,
            f"there is no wheel of {numpy} for {self.platform}, which {runtimes[0]} needs",
            mend=f"apt install python3-numpy there: it is used then; or {self._elsewhere()}",
        )

    def _first(self, known: Sequence[str]) -> tuple[str, ...]:
        for name in known:
            if self._there(name):
                return (name,)
        reasons = "; ".join(self._why_not(name) for name in known)
        raise MissingRuntime(
            self.target, f"no runtime of its profile can be had: {reasons}", mend=self._elsewhere()
        )

    def _refusal(self, name: str) -> MissingRuntime:
        others = [other for other in self.profile.runtimes if other != name and self._there(other)]
        mend = f"--runtime {others[0]} can be had" if others else self._elsewhere()
        return MissingRuntime(self.target, self._why_not(name), mend=mend)

    def _there(self, name: str) -> bool:
        return bool(self.index.versions(name, self.platform))

    def _why_not(self, name: str) -> str:
        """What would have to be different, found out by asking for it."""
        here = self.platform
        pythons = self._minors_with(name, here)
        if pythons:
            return (
                f"there is no wheel of {name} for Python {here.python} on {here.arch} with {here.libc}, "
                f"there are for Python {_ranges(pythons)}"
            )
        newer = here.with_glibc(_NEWEST_GLIBC)
        pythons = self._minors_with(name, newer)
        if not pythons:
            return f"there is no wheel of {name} for {here.arch}"
        if here.libc.startswith("glibc"):
            return (
                f"there is no wheel of {name} for {here.libc} on {here.arch}, "
                f"there are for a newer glibc and Python {_ranges(pythons)}"
            )
        libc = here.libc or "another C library"
        return f"the wheels of {name} for {here.arch} are for glibc, and this is {libc}"

    def _minors_with(self, name: str, platform: Platform) -> list[int]:
        def has(minor: int) -> bool:
            return bool(self.index.versions(name, platform.with_python(minor)))

        return _those(has, _MINORS)

    def _elsewhere(self) -> str:
        if self.platform.libc.startswith("musl"):
            return "use a glibc system, such as Debian, in a container or in place of this one"
        return _ELSEWHERE.get(
            self.platform.arch, "another Python there may help: set python in the farm file"
        )

    def _notes(self, runtimes: Sequence[str]) -> list[str]:
        notes = []
        for name in runtimes:
            wanted = [one for one in self.profile.runtimes[name].providers if one in _GPU]
            if wanted and self.platform.arch == "aarch64":
                lacks = " or ".join(one.removesuffix("ExecutionProvider") for one in wanted)
                notes.append(
                    f"PyPI's {name} for Arm has no {lacks}, so models run on the processor; "
                    "NVIDIA's builds have: https://pypi.jetson-ai-lab.io, see docs/devices/jetson.md"
                )
        return notes


def _those(has: Callable[[int], bool], numbers: Sequence[int]) -> list[int]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [number for number, found in zip(numbers, pool.map(has, numbers), strict=True) if found]


def _ranges(minors: Sequence[int]) -> str:
    """``3.9 to 3.11``; with a gap ``3.9, 3.11``."""
    if list(minors) == list(range(minors[0], minors[-1] + 1)) and len(minors) > 1:
        return f"3.{minors[0]} to 3.{minors[-1]}"
    return ", ".join(f"3.{minor}" for minor in minors)
