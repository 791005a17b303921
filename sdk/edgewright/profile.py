"""Device profiles: what a kind of device is, as data.

A profile is one TOML file in ``device_profiles/``; a person adds a board by writing one, without
code. The schema below is the file's, key for key, but for the name, which is the file's own.
:mod:`edgewright.profiles` finds and reads the files.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from edgewright_agent.protocol import RUNTIMES

from .config import STRICT, did_you_mean

Arch = Literal["aarch64", "armv7l", "x86_64"]
NumericType = Literal["fp32", "fp16", "bf16", "int8"]
PowerSensorName = Literal["rapl", "rpi-pmic", "jetson-ina3221", "power-supply", "android-battery", "ina2xx"]

_MAX_TEXT = 400


def _matching(pattern: str, expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > _MAX_TEXT or not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


def _known_runtimes(runtimes: dict[str, RuntimeSupport]) -> dict[str, RuntimeSupport]:
    for name in runtimes:
        if name not in RUNTIMES:
            raise ValueError(f"unknown runtime {name!r}, {did_you_mean(name, RUNTIMES)}")
    return runtimes


_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f]"
_Text = Annotated[str, _matching(_PRINTABLE + "+", "one line of text")]
_Note = Annotated[str, _matching(_PRINTABLE + "*", "one line of text")]
_Url = Annotated[str, _matching(r"https://[^\s/]+\.\S+", "an address that begins with https://")]
_Feature = Annotated[str, _matching(r"[a-z0-9_]+(\|[a-z0-9_]+)*", "a CPU flag, or several with '|' between")]
_Name = Annotated[str, _matching(r"[a-z0-9]+(-[a-z0-9]+)*", "small letters, digits and single hyphens")]


@dataclass(frozen=True, config=STRICT)
class Cluster:
    """Cores of one design. ``performance`` marks those a benchmark should use."""

    core: _Text
    count: Annotated[int, Field(ge=1, le=1024)]
    max_mhz: Annotated[int, Field(ge=100, le=10_000)] | None = None
    performance: bool = True


@dataclass(frozen=True, config=STRICT)
class Thermal:
    """Where the device slows down, in degrees Celsius; ``zones`` are thermal zone types to watch."""

    throttle_celsius: Annotated[float, Field(ge=30, le=130)] | None = None
    zones: tuple[_Text, ...] = ()


@dataclass(frozen=True, config=STRICT)
class Hardware:
    """Processor, accelerator and memory.

    Attributes:
        soc: the chip in words, its accelerator included.
        clusters: empty where they differ from machine to machine.
        ram_bytes: of the smallest variant sold; None where machines differ.
        features: CPU flags, as Linux names them, that every such device has. ``a|b`` is either.
        board_patterns: shell patterns of the board's own name (``/proc/device-tree/model``), by which
            a machine is recognised; ``*`` is any board with all the ``features``. Capitals do not matter.
    """

    arch: Arch
    soc: _Text
    clusters: tuple[Cluster, ...] = ()
    ram_bytes: Annotated[int, Field(ge=1 << 24, le=1 << 44)] | None = None
    features: tuple[_Feature, ...] = ()
    board_patterns: tuple[_Text, ...] = ()
    thermal: Thermal = field(default_factory=Thermal)

    @property
    def cores(self) -> int | None:
        """How many cores there are, or None where machines differ."""
        return sum(c.count for c in self.clusters) or None

    @property
    def is_exact(self) -> bool:
        """Whether sums of 8-bit products have 32 bits whichever instructions there are, as on Arm."""
        return self.arch != "x86_64"

    @property
    def performance_cores(self) -> int | None:
        """How many cores a benchmark should use at most, or None where machines differ."""
        return sum(c.count for c in self.clusters if c.performance) or None

    def threads(self, cpu_count: int) -> int:
        """Threads for a benchmark on such a device that has ``cpu_count`` cores: never more than these."""
        return max(1, min(self.performance_cores or cpu_count, cpu_count))


@dataclass(frozen=True, config=STRICT)
class RuntimeSupport:
    """One runtime and its execution providers or delegates in the order to try.

    ``options`` holds tables of texts by provider, as the runtime takes them. A TFLite delegate that is a
    library of its own says where it is with the option ``library``.
    """

    providers: Annotated[tuple[_Text, ...], Field(min_length=1)]
    notes: _Note = ""
    options: dict[_Text, dict[_Text, _Note]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse options that nothing would read."""
        for name in self.options:
            if name not in self.providers:
                raise ValueError(f"options for {name!r}, {did_you_mean(name, self.providers)}")


@dataclass(frozen=True, config=STRICT)
class Int8Format:
    """The integer format ONNX Runtime's kernels compute correctly and fast on this device.

    ``reduce_range`` keeps weights in 7 bits: without VNNI the x86 kernels add two 8 x 8 bit products
    in a saturating 16-bit register.
    """

    activation: Literal["uint8", "int8"]
    weight: Literal["uint8", "int8"]
    per_channel: bool = True
    reduce_range: bool = False

    def __post_init__(self) -> None:
        """Refuse the one pair that no kernel of ONNX Runtime takes."""
        if (self.activation, self.weight) == ("int8", "uint8"):
            raise ValueError("int8 activations need int8 weights: no kernel multiplies them by uint8")


@dataclass(frozen=True, config=STRICT)
class Numeric:
    """Number types: which are computed natively, by processor or accelerator, and how integers lie."""

    native: Annotated[tuple[NumericType, ...], Field(min_length=1)]
    int8: Int8Format


@dataclass(frozen=True, config=STRICT)
class Power:
    """Power sensors to try in order (names of the agent's sensors), or why there are none."""

    sensors: tuple[PowerSensorName, ...] = ()
    reason: _Note = ""

    def __post_init__(self) -> None:
        """A device without a sensor says why, since the reason goes into every report."""
        if not self.sensors and not self.reason:
            raise ValueError("no sensors: say why in 'reason'")


@dataclass(frozen=True, config=STRICT)
class DeviceProfile:
    """One kind of device.

    Attributes:
        name: the file's name without ``.toml``.
        title: the device in words.
        sources: the public data sheets behind the figures.
        runtimes: what can run there; a runtime that is not listed cannot.
    """

    title: _Text
    sources: Annotated[tuple[_Url, ...], Field(min_length=1)]
    hardware: Hardware
    runtimes: Annotated[dict[str, RuntimeSupport], Field(min_length=1), AfterValidator(_known_runtimes)]
    numeric: Numeric
    power: Power
    name: _Name = field(kw_only=True)
