"""Raspberry Pi 5's power management chip, through ``vcgencmd pmic_read_adc``.

Earlier boards have no current measurement. Source: raspberrypi.com, documentation of vcgencmd.
"""

from typing import Dict, Tuple

from .. import vcgencmd
from ..sysfs import SensorError


class RpiPmic:
    """The sum over the PMIC's output rails of volt times ampere.

    Each reading starts a process, so ten a second are the most that does not disturb what is measured.
    """

    name = "rpi-pmic"
    scope = "PMIC rails"
    kind = "power"
    rate_hz = 10.0
    rule = (
        "sum of volt x ampere over the rails; 5 V loads (USB, HATs, fan) and conversion losses are left out"
    )

    def __init__(self, root: str = "/", path: str = "") -> None:
        self._executable = vcgencmd.locate(root, path)
        self._rails: Tuple[str, ...] = ()

    @property
    def rails(self) -> Tuple[str, ...]:
        """The rails of the first answer."""
        return self._rails

    def available(self) -> str:
        """One answer tells the boards apart."""
        if not self._executable:
            return "vcgencmd is not installed"
        try:
            self._ask()
        except SensorError as error:
            if "not registered" in str(error):
                return f"this board does not measure current, a Raspberry Pi 5 does: {error}"
            return str(error)
        return ""

    def read(self) -> int:
        """Milliwatts."""
        watt = sum(ampere * volt for ampere, volt in self._ask().values())
        return round(watt * 1000)

    def _ask(self) -> Dict[str, Tuple[float, float]]:
        pairs = vcgencmd.parse_pmic(vcgencmd.ask(self._executable, "pmic_read_adc"))
        self._rails = self._rails or tuple(pairs)
        if set(pairs) != set(self._rails):
            changed = sorted(set(pairs) ^ set(self._rails))
            raise SensorError(
                f"vcgencmd pmic_read_adc: the rails changed while reading: {', '.join(changed)}"
            )
        return pairs
