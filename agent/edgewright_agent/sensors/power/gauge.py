"""Currents as battery gauges tell them: the sign differs from vendor to vendor, and so does the unit."""

from typing import Dict

from ..sysfs import SensorError

#: A device that computes draws more than 10 mA: a smaller figure is in milliampere.
_LEAST_MICROAMPERE = 10_000


class Gauges:
    """Several gauges, each with the unit that its first reading showed."""

    def __init__(self) -> None:
        self._is_milliampere: Dict[str, bool] = {}

    @property
    def rule(self) -> str:
        """Which units had to be inferred; empty when none had to."""
        guessed = [name for name, is_ma in self._is_milliampere.items() if is_ma]
        if not guessed:
            return ""
        return f"; {', '.join(guessed)} taken as mA, its magnitude being under 10000 (inferred)"

    def microampere(self, name: str, where: str, value: int) -> int:
        """The magnitude of a current.

        Args:
            name: the gauge's, for the rule.
            where: what was read, for messages.

        Raises:
            SensorError: it is 0 though the battery discharges, or its unit has changed.
        """
        current = not_zero(where, abs(value))
        is_small = current < _LEAST_MICROAMPERE
        is_milliampere = self._is_milliampere.setdefault(name, is_small)
        if is_milliampere and not is_small:
            raise SensorError(f"{where} went from under 10000 to {current}: its unit cannot be told")
        return current * 1000 if is_milliampere else current


def not_zero(where: str, value: int) -> int:
    """The value.

    Raises:
        SensorError: it is 0, which a gauge shows that cannot measure.
    """
    if value == 0:
        raise SensorError(f"{where} is 0 while the battery discharges: this gauge does not measure")
    return value
