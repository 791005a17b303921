"""What is set on a device for a job and set back after it: part of :mod:`edgewright_agent.protocol`."""

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class Conditions:
    """What a job wants; by default nothing, and then nothing is touched.

    Attributes:
        governor: of the frequency of every CPU cluster.
        power_mode: a mode of Jetson's nvpmodel, or the firmware's platform profile.
        cool_to_mc: the hottest CPU sensor must be at or below so many thousandths of a degree Celsius first.
        cool_limit_s: for how long that is waited for at most.
    """

    governor: str = ""
    power_mode: str = ""
    cool_to_mc: Optional[int] = None
    cool_limit_s: float = 600.0

    @property
    def longest_s(self) -> float:
        """How much longer than without them the job may take."""
        cooling_s = 0.0 if self.cool_to_mc is None else self.cool_limit_s
        return cooling_s + (SETTING_S if self.governor or self.power_mode else 0.0)


#: Setting everything and setting it back takes no longer: each command of a vendor is given half a minute.
SETTING_S = 180.0


@dataclass(frozen=True)
class Setting:
    """Something that was held during the job. ``problem`` says why it was not set back; empty when it was."""

    what: str
    before: str
    during: str
    problem: str = ""


@dataclass(frozen=True)
class Cooling:
    """How the device cooled before the job. ``given_up`` says why it did not get there; empty when it did."""

    to_mc: int
    zone: str
    first_mc: int
    last_mc: int
    waited_s: float
    given_up: str = ""


@dataclass(frozen=True)
class HeldConditions:
    """What became of :class:`Conditions`. ``notes`` tell what else a reader must know, one line each."""

    settings: Tuple[Setting, ...] = ()
    cooling: Optional[Cooling] = None
    notes: Tuple[str, ...] = ()
