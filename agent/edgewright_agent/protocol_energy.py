"""Power and energy, and meters outside the device: part of :mod:`edgewright_agent.protocol`."""

from dataclasses import dataclass, field
from typing import Optional, Tuple

from .codec import Samples

METER_KINDS = ("command", "tcp", "serial")
LINE_STYLES = ("columns", "json")
POWER_UNITS = ("W", "mW", "uW")
CURRENT_UNITS = ("A", "mA", "uA")
VOLTAGE_UNITS = ("V", "mV", "uV")
TIME_UNITS = ("s", "ms", "us", "ns", "iso")
EPOCHS = ("unix", "own")


@dataclass(frozen=True)
class MeterFormat:
    """Where the values of one line stand.

    A place is a column's number, counted from 1, or with the style ``json`` a key, dots leading into nested
    objects; an empty place is not told. Power is either told (``power``) or is ``current`` times ``voltage``,
    or times the constant ``volts``. ``separator`` empty: blanks. ``epoch``: ``unix``, or the meter's ``own``.
    """

    style: str = "columns"
    separator: str = ""
    power: str = ""
    unit: str = "W"
    current: str = ""
    current_unit: str = "A"
    voltage: str = ""
    voltage_unit: str = "V"
    volts: float = 0.0
    time: str = ""
    time_unit: str = "s"
    epoch: str = "unix"


@dataclass(frozen=True)
class Meter:
    """A stream of lines with a power reading each.

    ``address`` is the host of ``tcp`` and the device file of ``serial``; ``argv`` is what ``command`` starts,
    without a shell. ``scope`` says in words what the meter covers.
    """

    kind: str
    scope: str
    format: MeterFormat = field(default_factory=MeterFormat)
    argv: Tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    baud: int = 0


@dataclass(frozen=True)
class MeterInfo:
    """A meter that answered, or why it did not.

    ``startup_ns`` is the time from opening it to its first reading, ``power_mw`` the mean of what it read.
    """

    rate_hz: float = 0.0
    startup_ns: int = 0
    power_mw: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class MeterRecording:
    """Readings as they came: when, by the monotonic clock of the machine that received them, and milliwatts.

    ``own_ns`` are the meter's own times, none when it tells none. ``wall_ns`` is by how much the receiving
    machine's real-time clock was ahead of its monotonic clock, at the beginning and at the end. ``reason``
    says why the recording is not to be believed; empty when it is.
    """

    t_ns: Samples
    own_ns: Samples
    values_mw: Samples
    lines: int
    garbage: int
    wall_ns: Tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True)
class Alignment:
    """How an external meter's readings were put on the device's clock.

    ``offset_ns`` is by how much they lagged and were moved, ``uncertainty_ns`` how much may be left.
    """

    method: str
    offset_ns: int
    uncertainty_ns: int


@dataclass(frozen=True)
class EnergyPlan:
    """Sensors to try, in order, and how long to watch the idle device before and after.

    Attributes:
        meter: a meter that the device itself reads; then ``sensors`` are not tried.
        external: somebody else reads a meter, so the pass is made though nothing is sampled here.
        marker_ns: unit of the marker pulses around the pass, by which a meter's clock is found; 0: none.
        settle_ns: idle time at either end of a pass with markers, for a meter to start and catch up.
    """

    sensors: Tuple[str, ...] = ()
    idle_ns: int = 2_000_000_000
    min_duration_ns: int = 5_000_000_000
    meter: Optional[Meter] = None
    external: bool = False
    marker_ns: int = 0
    settle_ns: int = 0


@dataclass(frozen=True)
class Window:
    """A span of the device's monotonic clock and how many inferences it held."""

    name: str
    start_ns: int
    end_ns: int
    count: int = 0


@dataclass(frozen=True)
class PowerTrace:
    """Raw readings of one sensor.

    ``kind`` is ``power`` (``values`` are milliwatts) or ``energy`` (``values`` are microjoules
    counted up from the first reading, wraps undone). ``rule`` says how rails were combined.
    ``alignment`` is there when the readings are an external meter's, put on the device's clock.
    """

    sensor: str
    scope: str
    rails: Tuple[str, ...]
    rule: str
    kind: str
    t_ns: Samples
    values: Samples
    alignment: Optional[Alignment] = None


@dataclass(frozen=True)
class Energy:
    """A trace with the windows it belongs to, or the reason why there is none. Never both absent.

    ``recording`` is what the device's own external meter said, before the host has put it on the device's
    clock; no stored result has one.
    """

    trace: Optional[PowerTrace]
    windows: Tuple[Window, ...]
    reason: str = ""
    recording: Optional[MeterRecording] = None
