"""One line of a meter's output to milliwatts."""

import datetime
import json
import math
import re
from typing import Any, NamedTuple, Optional

from ..protocol import MeterFormat

#: A longer line is no reading.
MAX_LINE_BYTES = 4096

#: No device on a bench draws this much.
_MOST_MW = 1e8

_TO_MILLI = {"W": 1e3, "mW": 1.0, "uW": 1e-3, "A": 1e3, "mA": 1.0, "uA": 1e-3}
_TO_VOLT = {"V": 1.0, "mV": 1e-3, "uV": 1e-6}
_TO_NS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
_NUMBER = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(?P<unit>[A-Za-z]*)", re.ASCII
)


#: Written out, since Python before 3.11 reads neither ``Z`` nor every number of digits.
_ISO = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,12}))?(?P<zone>Z|[+-]\d\d:?\d\d)",
    re.ASCII,
)


class Reading(NamedTuple):
    """Milliwatts, and the meter's own time in nanoseconds when it tells one."""

    power_mw: float
    own_ns: Optional[int]


class _NoReadingError(Exception):
    """The line holds none."""


def parse_line(line: bytes, format: MeterFormat) -> Optional[Reading]:
    """The reading of a line, or None when it is not one.

    A number may be followed by its unit when that is the unit the format states: a ``250 mW`` where watts
    were announced is no reading, rather than one that is a thousand times too large.
    """
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        words = _Words(line.decode("utf-8", "replace").strip(), format)
        power_mw = _power_mw(words, format)
        own_ns = _time_ns(words, format) if format.time else None
    except _NoReadingError:
        return None
    return Reading(power_mw, own_ns) if abs(power_mw) <= _MOST_MW else None


def _power_mw(words: "_Words", format: MeterFormat) -> float:
    if format.power:
        return words.number(format.power, format.unit) * _TO_MILLI[format.unit]
    milliampere = words.number(format.current, format.current_unit) * _TO_MILLI[format.current_unit]
    if not format.voltage:
        return milliampere * format.volts
    return milliampere * words.number(format.voltage, format.voltage_unit) * _TO_VOLT[format.voltage_unit]


def _time_ns(words: "_Words", format: MeterFormat) -> int:
    if format.time_unit != "iso":
        time_ns = words.number(format.time, format.time_unit) * _TO_NS[format.time_unit]
        if not -(2.0**62) < time_ns < 2.0**62:
            raise _NoReadingError
        return round(time_ns)
    found = _ISO.fullmatch(str(words.value(format.time)))
    if found is None:
        raise _NoReadingError  # without a zone, nobody says which of the world's clocks it is
    zone = found.group("zone").replace("Z", "+00:00")
    zone = zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    fraction = (found.group("fraction") or "")[:6].ljust(6, "0")
    try:
        moment = datetime.datetime.fromisoformat(f"{found.group('second')}.{fraction}{zone}")
    except ValueError:
        raise _NoReadingError from None
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


class _Words:
    """The values of one line by their places."""

    def __init__(self, text: str, format: MeterFormat) -> None:
        self._data: Any
        if format.style == "json":
            try:
                self._data = json.loads(text)
            except (ValueError, RecursionError):
                raise _NoReadingError from None
        else:
            self._data = text.split(format.separator or None)

    def value(self, place: str) -> Any:
        """What stands there."""
        found = self._data
        if isinstance(found, list):
            column = int(place) - 1 if place.isdigit() else -1
            if not 0 <= column < len(found):
                raise _NoReadingError
            return found[column]
        for key in place.split("."):
            if not isinstance(found, dict) or key not in found:
                raise _NoReadingError
            found = found[key]
        return found

    def number(self, place: str, unit: str) -> float:
        """The finite number that stands there, in ``unit``."""
        found = self.value(place)
        if isinstance(found, str):
            match = _NUMBER.fullmatch(found.strip())
            if match is None or match.group("unit") not in ("", unit):
                raise _NoReadingError
            found = match.group("number")
        elif isinstance(found, bool) or not isinstance(found, (int, float)):
            raise _NoReadingError
        try:
            number = float(found)
        except OverflowError:
            raise _NoReadingError from None
        if not math.isfinite(number):
            raise _NoReadingError
        return number
