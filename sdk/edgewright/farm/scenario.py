"""Which way a model is driven: what the user chose, checked, and what that asks of one launch.

The scenarios and their options are explained in docs/scenarios.md; their names are the agent's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from edgewright.config import did_you_mean
from edgewright.errors import ConfigError
from edgewright_agent.protocol import SCENARIOS, EnergyPlan, Pace, Scenario

from .effort import Effort

if TYPE_CHECKING:
    from .subject import BareSubject

_NS = 1_000_000_000
#: How often the device's state is read while inferences are timed, for 1 % of a core at most.
WATCH_NS = _NS
#: The most inferences of a sustained run, since each takes sixteen bytes of the device's memory.
MOST_SUSTAINED = 1 << 22
#: Minutes of a sustained run when nobody says.
MINUTES = {"rapid": 2.0, "quick": 10.0, "publish": 30.0}
BATCHES = (1, 2, 4, 8)
MOST_STREAMS = 64

#: option -> the scenarios it belongs to
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "rate": ("paced", "sustained"),
    "deadline_ms": ("paced", "sustained"),
    "minutes": ("sustained",),
    "batch": ("offline",),
    "streams": ("multi-stream",),
    "also": ("multi-stream",),
}


@dataclass(frozen=True)
class Driving:
    """A scenario with its options; what does not belong to it has its default.

    Attributes:
        kind: one of the agent's scenario names.
        rate_hz: arrivals a second; None for back to back.
        deadline_ms: from arrival to result; None for the time between two arrivals.
        minutes: how long a sustained run lasts; None for the preset's own.
        batches: sizes of the first axis.
        streams: sessions of the model that run at once.
        also: other models that run with them.
    """

    kind: str = "single-stream"
    rate_hz: float | None = None
    deadline_ms: float | None = None
    minutes: float | None = None
    batches: tuple[int, ...] = ()
    streams: int = 1
    also: tuple[BareSubject, ...] = field(default=())

    @classmethod
    def parse(
        cls,
        kind: str | None,
        options: Mapping[str, Any],
        open_model: Callable[[str], BareSubject],
        named: Callable[[str], str] = str,
    ) -> Self:
        """What the user wrote.

        Args:
            kind: the scenario's name; single-stream without one.
            options: by name, None or empty where the user gave none.
            open_model: for the models of ``also``.
            named: an option's name as the user writes it.

        Raises:
            ConfigError: no such scenario, an option of another one, or a value that cannot be.
        """
        kind = kind or cls.kind
        if kind not in SCENARIOS:
            raise ConfigError(f"no scenario is called {kind!r}", mend=did_you_mean(kind, SCENARIOS))
        given = {name: value for name, value in options.items() if value not in (None, (), [])}
        for name in given:
            if kind not in OPTIONS[name]:
                raise ConfigError(f"{named(name)} is for scenario {' or '.join(OPTIONS[name])}, not {kind}")
        _check(given, named)
        if kind == "paced" and "rate" not in given:
            raise ConfigError(f"scenario paced needs {named('rate')}", mend="how many arrivals a second")
        if "deadline_ms" in given and "rate" not in given:
            raise ConfigError(f"{named('deadline_ms')} needs {named('rate')}")
        also = tuple(open_model(text) for text in given.get("also", ()))
        made = cls(
            kind,
            given.get("rate"),
            given.get("deadline_ms"),
            given.get("minutes"),
            tuple(given.get("batch", BATCHES)) if kind == "offline" else (),
            given.get("streams", 1 if also else 2) if kind == "multi-stream" else 1,
            also,
        )
        if kind == "multi-stream" and made.sessions < 2:
            raise ConfigError(
                f"{named('streams')} is 1 and there is no {named('also')}",
                mend="at least two streams run at once",
            )
        return made

    @property
    def sessions(self) -> int:
        """How many sessions run at once."""
        return self.streams + len(self.also)

    def effort(self, effort: Effort) -> Effort:
        """The preset for this scenario: a sustained run is one launch, for a second would begin warm."""
        return replace(effort, launches=1, repeats=0) if self.kind == "sustained" else effort

    def scenario(self, effort: Effort, turn: int = 0) -> Scenario:
        """What one launch is asked to do.

        Args:
            effort: already this scenario's own, see :meth:`effort`.
            turn: any number; offline begins with the batch of this place, so that no size is always first.
        """
        base = replace(effort.scenario(), kind=self.kind, pace=self.pace, watch_ns=WATCH_NS)
        if self.pace:
            needed_ns = base.min_count * self.pace.period_ns
            base = replace(base, max_duration_ns=max(base.max_duration_ns, 2 * needed_ns))
        match self.kind:
            case "sustained":
                lasts_ns = int(self._minutes(effort) * 60 * _NS)
                return replace(
                    base,
                    min_duration_ns=lasts_ns,
                    max_duration_ns=max(base.max_duration_ns, lasts_ns + 60 * _NS),
                    max_count=MOST_SUSTAINED,
                    warmup_count=1,
                    warmup_duration_ns=0,
                    watch_ns=max(WATCH_NS, lasts_ns // 3600),
                )
            case "offline":
                first = turn % len(self.batches)
                return replace(base, batches=(*self.batches[first:], *self.batches[:first]))
            case "multi-stream":
                return replace(base, streams=self.streams)
            case _:
                return base

    @property
    def pace(self) -> Pace | None:
        """The arrivals, if there are any; without a deadline, each is to be done before the next one."""
        if self.rate_hz is None:
            return None
        period_ns = round(_NS / self.rate_hz)
        return Pace(period_ns, round(self.deadline_ms * 1e6) if self.deadline_ms else period_ns)

    def energy(self, plan: EnergyPlan) -> EnergyPlan | None:
        """The energy pass; none where one inference of one model is not what runs."""
        return None if self.kind in ("offline", "multi-stream") else plan

    def threads(self, threads: int) -> int:
        """Threads of one session when nobody says: those of the device shared among what runs at once."""
        return max(1, threads // self.sessions)

    def seconds(self, effort: Effort) -> float:
        """At most how long one launch times inferences."""
        scenario = self.scenario(effort)
        loops = len(self.batches) or 1 + self.sessions
        return (scenario.max_duration_ns * loops + scenario.warmup_duration_ns) / _NS

    def _minutes(self, effort: Effort) -> float:
        return self.minutes if self.minutes is not None else MINUTES.get(effort.name, MINUTES["quick"])


def _check(given: Mapping[str, Any], named: Callable[[str], str]) -> None:
    """Refuse values out of bounds.

    Raises:
        ConfigError: with the bounds.
    """
    for name, low, high in (
        ("rate", 0.001, 100_000.0),
        ("deadline_ms", 0.001, 1e6),
        ("minutes", 0.01, 1440.0),
    ):
        value = given.get(name)
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise ConfigError(f"{named(name)} is {value:g}", mend=f"from {low:g} to {high:g}")
    if not 1 <= given.get("streams", 1) <= MOST_STREAMS:
        raise ConfigError(f"{named('streams')} is {given['streams']}", mend=f"from 1 to {MOST_STREAMS}")
    batches = given.get("batch", ())
    if (
        any(not 1 <= size <= 1 << 16 for size in batches)
        or len(set(batches)) < len(batches)
        or len(batches) > 16
    ):
        shown = ",".join(map(str, batches))
        raise ConfigError(f"{named('batch')} is {shown}", mend="up to 16 different sizes from 1 to 65536")
