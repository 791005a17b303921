"""``[devices.NAME.meter]``: a power meter outside the device.

[devices.kitchen-pi.meter]
kind = "tcp"                      # command | tcp | serial
where = "host"                    # who reads it: this host, or the device
address = "192.168.1.40"          # tcp: host name or address, and
port = 9000
command = ["meter", "--stream"]   # command: program and words; no shell reads them
path = "/dev/ttyUSB0"             # serial, and
baud = 115200
scope = "5 V supply of the board" # what it measures, in your words
format = "columns"                # columns | json, one reading a line
separator = ","                   # of columns; otherwise blanks
power = 2                         # column, counted from 1, or key; dots lead into nested objects
unit = "W"                        # W | mW | uW
current = 3                       # instead of power, together with
voltage = 4                       # voltage, or the constant
volts = 5.1
time = 1                          # the meter's own time, if it tells one
time_unit = "s"                   # s | ms | us | ns | iso
epoch = "unix"                    # unix | own (its own count from anywhere)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as schema

from edgewright.config import STRICT
from edgewright.errors import ConfigError
from edgewright_agent import protocol as wire

Column = Annotated[int, Field(ge=1, le=256)]
Text = Annotated[str, Field(min_length=1, max_length=255)]
Place = Column | Text

#: Makes an error of a key and a message and a mend.
Wrong = Callable[[str, str, str], ConfigError]

#: What each kind needs and all kinds together may have.
_NEEDS = {"command": ("command",), "tcp": ("address", "port"), "serial": ("path",)}
_MAY = {"command": {"command"}, "tcp": {"address", "port"}, "serial": {"path", "baud"}}
_ALL = ("command", "address", "port", "path", "baud")
_BAUD = 115200


@dataclass(frozen=True)
class MeterConfig:
    """A meter and who reads it: ``host`` or ``device``."""

    where: str
    meter: wire.Meter


@schema(frozen=True, config=STRICT)
class MeterTable:
    """``[devices.NAME.meter]`` as written."""

    kind: Literal["command", "tcp", "serial"]
    scope: Annotated[str, Field(min_length=1, max_length=100)]
    where: Literal["host", "device"] = "host"
    command: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)] | None = None
    address: Text | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    path: Text | None = None
    baud: Annotated[int, Field(ge=1)] | None = None
    format: Literal["columns", "json"] = "columns"
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    power: Place | None = None
    unit: Literal["W", "mW", "uW"] | None = None
    current: Place | None = None
    current_unit: Literal["A", "mA", "uA"] | None = None
    voltage: Place | None = None
    voltage_unit: Literal["V", "mV", "uV"] | None = None
    volts: Annotated[float, Field(gt=0, le=1000)] | None = None
    time: Place | None = None
    time_unit: Literal["s", "ms", "us", "ns", "iso"] | None = None
    epoch: Literal["unix", "own"] | None = None

    def config(self, wrong: Wrong) -> MeterConfig:
        """The meter, once all keys fit together.

        Raises:
            ConfigError: they do not; the key is named.
        """
        self._check_connection(wrong)
        self._check_places(wrong)
        return MeterConfig(
            self.where,
            wire.Meter(
                kind=self.kind,
                scope=self.scope,
                format=self._format(),
                argv=self.command or (),
                address=self.address or self.path or "",
                port=self.port or 0,
                baud=(self.baud or _BAUD) if self.kind == "serial" else 0,
            ),
        )

    def _check_connection(self, wrong: Wrong) -> None:
        for key in _NEEDS[self.kind]:
            if getattr(self, key) is None:
                raise wrong(key, f"a meter of kind {self.kind!r} needs it", "")
        for key in _ALL:
            if getattr(self, key) is not None and key not in _MAY[self.kind]:
                raise wrong(key, f"not for a meter of kind {self.kind!r}", "")
        for key in ("command", "address", "path", "scope"):
            value = getattr(self, key)
            words = value if isinstance(value, tuple) else (value,)
            if any(word is not None and not word.isprintable() for word in words):
                raise wrong(key, "control characters", "")
        if self.command is not None and not self.command[0]:
            raise wrong("command", "the program's name is empty", "")

    def _check_places(self, wrong: Wrong) -> None:
        kind = str if self.format == "json" else int
        what = "a key" if self.format == "json" else "a column's number, counted from 1"
        for key in ("power", "current", "voltage", "time"):
            value = getattr(self, key)
            if value is not None and not isinstance(value, kind):
                raise wrong(key, f"with format {self.format!r} it is {what}, got {value!r}", "")
        if self.separator is not None and self.format == "json":
            raise wrong("separator", "only columns are separated", "")
        if self.power is not None and self.current is not None:
            raise wrong("current", "power is told already", "leave one of them out")
        if self.power is None and self.current is None and (self.format == "json" or self.time is not None):
            raise wrong("power", "missing", f"write the power's place: {what}")
        if self.current is not None and (self.voltage is None) == (self.volts is None):
            raise wrong("current", "needs either voltage, the place of it, or volts, a constant", "")
        for key, owner in (
            ("voltage", "current"), ("volts", "current"), ("current_unit", "current"),
            ("voltage_unit", "voltage"), ("time_unit", "time"), ("epoch", "time"),
        ):  # fmt: skip
            if getattr(self, key) is not None and getattr(self, owner) is None:
                raise wrong(key, f"without {owner} it says nothing", "")
        if self.unit is not None and self.current is not None:
            raise wrong("unit", "is of power, and power is current times voltage here", "use current_unit")
        if self.time_unit == "iso" and self.epoch == "own":
            raise wrong("epoch", "a date is not the meter's own count", 'write "unix" or leave it out')

    def _format(self) -> wire.MeterFormat:
        is_default = self.power is None and self.current is None
        return wire.MeterFormat(
            style=self.format,
            separator=self.separator or "",
            power="1" if is_default else _place(self.power),
            unit=self.unit or "W",
            current=_place(self.current),
            current_unit=self.current_unit or "A",
            voltage=_place(self.voltage),
            voltage_unit=self.voltage_unit or "V",
            volts=self.volts or 0.0,
            time=_place(self.time),
            time_unit=self.time_unit or "s",
            epoch=self.epoch or "unix",
        )


def command_meter(words: tuple[str, ...]) -> MeterConfig:
    """A command on this host that prints watts, one reading a line."""
    meter = wire.Meter("command", "what the meter command measures", wire.MeterFormat(power="1"), words)
    return MeterConfig("host", meter)


def described(config: MeterConfig) -> str:
    """Which meter it is, in one line for people."""
    meter = config.meter
    if meter.kind == "command":
        source = " ".join(meter.argv)
    elif meter.kind == "tcp":
        source = f"{meter.address}:{meter.port}"
    else:
        source = f"{meter.address} at {meter.baud} baud"
    return f"{meter.kind} {source}, read by the {config.where}"


def _place(place: Place | None) -> str:
    return "" if place is None else str(place)
