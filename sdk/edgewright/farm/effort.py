"""How much measuring effort a row gets: MLPerf Mobile's two minima, split over fresh processes.

A row's queries and seconds are spread over several launches, because the launch, not the iteration, is
what varies between two measurements of the same thing (docs/measuring.md, R1 and R4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgewright.config import did_you_mean
from edgewright.errors import ConfigError
from edgewright_agent.protocol import EnergyPlan, Scenario

_NS = 1_000_000_000


@dataclass(frozen=True)
class Effort:
    """A preset. Counts and seconds are per row; both minima must be met.

    ``repeats`` is how often a row that did not come out valid is measured again.
    """

    name: str
    launches: int
    min_count: int
    min_duration_s: float
    max_duration_s: float
    idle_s: float
    energy_s: float
    repeats: int = 1

    def scenario(self) -> Scenario:
        """What one launch is asked to do."""
        return Scenario(
            min_count=math.ceil(self.min_count / self.launches),
            min_duration_ns=int(self.min_duration_s * _NS / self.launches),
            max_duration_ns=int(self.max_duration_s * _NS / self.launches),
        )

    def energy(self, sensors: tuple[str, ...]) -> EnergyPlan:
        """The energy pass of one launch."""
        return EnergyPlan(sensors, int(self.idle_s * _NS), int(self.energy_s * _NS))


EFFORTS = {
    effort.name: effort
    for effort in (
        Effort("rapid", 5, 64, 6, 60, idle_s=1, energy_s=2),
        Effort("quick", 5, 128, 10, 120, idle_s=1, energy_s=3),
        Effort("publish", 5, 1024, 60, 600, idle_s=3, energy_s=10),
    )
}


def load_effort(name: str) -> Effort:
    """The preset of that name, or a ConfigError with the nearest one."""
    if name not in EFFORTS:
        raise ConfigError(f"no preset is called {name!r}", mend=did_you_mean(name, EFFORTS))
    return EFFORTS[name]
