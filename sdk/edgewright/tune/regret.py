"""What it costs to ship one device's best setting on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgewright.errors import ConfigError
from edgewright.profiles import load_profile

from .setting import Setting
from .space import Place, impossible

if TYPE_CHECKING:
    from .answer import DeviceAnswer


@dataclass(frozen=True)
class Regret:
    """The best setting of one device on another.

    Attributes:
        words: the setting as it ran there.
        share: by how much more it costs than the other device's own best; None with ``reason``.
    """

    setting_of: str
    on: str
    words: str
    share: float | None
    reason: str = ""


def carried(setting: Setting, place: Place) -> Setting:
    """A setting as it can run on another device: in its own runtime and with threads that it has."""
    runtime = setting.runtime if setting.runtime in place.runtimes else place.runtimes[0]
    return replace(setting, runtime=runtime, threads=min(setting.threads, place.cores))


def regrets(devices: Mapping[str, DeviceAnswer]) -> tuple[Regret, ...]:
    """Every device's best on every device, where it was measured there."""
    return tuple(
        _regret(of, devices[of], on, devices[on]) for of in devices for on in devices if len(devices) > 1
    )


def _regret(of: str, its: DeviceAnswer, on: str, there: DeviceAnswer) -> Regret:
    best = its.choice.best
    if best is None:
        return Regret(of, on, "", None, f"{of} has no setting that keeps the bounds")
    own = there.choice.best
    if own is None:
        return Regret(of, on, best.setting.words, None, f"{on} has no setting that keeps the bounds")
    ran = next((seen for seen in there.known.seen if _is(seen.setting, best.setting)), None)
    if ran is None:
        tried = next((t for t in there.tried if _is(t.setting, best.setting)), None)
        reason = f"{tried.state} there: {tried.reason}" if tried else _why_untried(best.setting, there)
        return Regret(of, on, best.setting.words, None, reason)
    costs = there.known.cost(ran.figures).value, there.known.cost(own.figures).value
    return Regret(of, on, ran.setting.words, costs[0] / costs[1] - 1)


def _why_untried(setting: Setting, there: DeviceAnswer) -> str:
    """That it cannot be on that kind of device, or that nobody tried."""
    runtimes = there.space.runtimes
    runtime = setting.runtime if setting.runtime in runtimes else runtimes[0]
    try:
        reason = impossible(replace(setting, runtime=runtime), load_profile(there.profile))
    except ConfigError:  # it was measured with a profile that is not here
        reason = ""
    return f"cannot be there: {reason}" if reason else "not tried there: edgewright transfer tries it"


def _is(setting: Setting, other: Setting) -> bool:
    """Whether it is the same file but for the runtime, and the same number of threads or what there is."""
    return setting.recipe_name == other.recipe_name and (
        setting == other or setting.runtime != other.runtime or setting.threads < other.threads
    )
