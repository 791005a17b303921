"""What every power sensor offers."""

from typing import Protocol, Tuple

from ..sysfs import SensorError

__all__ = ["PowerSensor", "SensorError"]


class PowerSensor(Protocol):
    """One way to read the power or the energy of a device, or of a part of it.

    A sensor is made with ``root`` and ``path`` (see :mod:`edgewright_agent.sensors`), finds its files then,
    and never raises for want of them: :meth:`available` says what is missing.
    """

    @property
    def name(self) -> str:
        """As device profiles name it."""

    @property
    def scope(self) -> str:
        """What the reading covers, in words."""

    @property
    def rails(self) -> Tuple[str, ...]:
        """The supply rails, zones or batteries that are read."""

    @property
    def rule(self) -> str:
        """How they are combined, and what may be wrong with the result."""

    @property
    def kind(self) -> str:
        """``power``: readings are milliwatts. ``energy``: microjoules, counting up, wraps undone."""

    @property
    def rate_hz(self) -> float:
        """How often reading it still makes sense: how fast it is refreshed, or what reading it costs."""

    def available(self) -> str:
        """Why it cannot be read here and now, with the command that mends it; empty when it can."""

    def read(self) -> int:
        """One reading, in the unit of :attr:`kind`.

        Raises:
            SensorError: there is none; the sensor is not to be believed from here on.
        """
