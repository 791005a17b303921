"""Raspberry Pi's ``vcgencmd``, which asks the firmware.

It prints its errors on standard output, some with exit code 0, so the text decides.
"""

import re
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from . import commands
from .sysfs import SensorError

_REFUSED = re.compile(r'error=\d+ error_msg="(?P<message>[^"]*)"')
_DENIED = re.compile(r"can't open device file|vchi initialization failed|permission denied", re.IGNORECASE)
_CURRENT = re.compile(
    r"^\s*(?P<rail>\w+)_A\s+current\(\d+\)=(?P<value>-?\d+(?:\.\d+)?)A\s*$", re.MULTILINE | re.ASCII
)
_VOLTAGE = re.compile(
    r"^\s*(?P<rail>\w+)_V\s+volt\(\d+\)=(?P<value>-?\d+(?:\.\d+)?)V\s*$", re.MULTILINE | re.ASCII
)
_THROTTLED = re.compile(r"^throttled=0x(?P<bits>[0-9a-fA-F]{1,8})$")
_CLOCK = re.compile(r"^frequency\(\d+\)=(?P<hz>\d{1,12})$")
_TEMPERATURE = re.compile(r"^temp=(?P<celsius>-?\d{1,4}(?:\.\d{1,3})?)'C$")


class Firmware(NamedTuple):
    """What the firmware says of the moment; None where it does not answer, and why in ``problems``."""

    soc_mc: Optional[int]
    arm_khz: Optional[int]
    throttled: Optional[int]
    problems: Tuple[str, ...]


def locate(root: str = "/", path: str = "") -> str:
    """Where ``vcgencmd`` is, or an empty string."""
    return commands.locate("vcgencmd", root, path)


def ask(executable: str, *words: str) -> str:
    """What the firmware answers.

    Raises:
        SensorError: it refused, in its own words, with the mend when this user may not ask.
    """
    answer = commands.run([executable, *words])
    question = " ".join(("vcgencmd", *words))
    first = answer.text.splitlines()[0].strip() if answer.text else ""
    if _DENIED.search(answer.text):
        raise SensorError(f"{question}: {first} (sudo usermod -aG video $USER, then log in again)")
    refused = _REFUSED.search(answer.text)
    if refused:
        raise SensorError(f"{question}: {refused.group('message')}")
    if answer.code != 0:
        raise SensorError(f"{question}: exit code {answer.code}: {first or 'no output'}")
    return answer.text


def read_firmware(executable: str) -> Firmware:
    """Temperature, measured CPU clock and throttling bits: three short processes."""
    problems: List[str] = []

    def figure(parse: Callable[[str], int], *words: str) -> Optional[int]:
        try:
            return parse(ask(executable, *words))
        except SensorError as error:
            problems.append(str(error))
            return None

    return Firmware(
        soc_mc=figure(parse_temperature_mc, "measure_temp"),
        arm_khz=figure(parse_clock_khz, "measure_clock", "arm"),
        throttled=figure(parse_throttled, "get_throttled"),
        problems=tuple(problems),
    )


def parse_pmic(text: str) -> Dict[str, Tuple[float, float]]:
    """``pmic_read_adc``: rail -> (ampere, volt), paired by name.

    Inputs measured in volts alone (the 5 V supply, the clock's battery) have no pair and are left out.

    Raises:
        SensorError: there is no pair, or a current without its voltage.
    """
    amperes = {m.group("rail"): float(m.group("value")) for m in _CURRENT.finditer(text)}
    volts = {m.group("rail"): float(m.group("value")) for m in _VOLTAGE.finditer(text)}
    if not amperes:
        raise SensorError("vcgencmd pmic_read_adc: no rail with a current in its answer")
    alone = sorted(set(amperes) - set(volts))
    if alone:
        raise SensorError(f"vcgencmd pmic_read_adc: rail {alone[0]} has a current and no voltage")
    return {rail: (ampere, volts[rail]) for rail, ampere in amperes.items()}


def parse_throttled(text: str) -> int:
    """``get_throttled``: the bits.

    Raises:
        SensorError: the answer is not a hexadecimal number of up to 32 bits.
    """
    return int(_match(_THROTTLED, text, "get_throttled").group("bits"), 16)


def parse_clock_khz(text: str) -> int:
    """``measure_clock``: kilohertz.

    Raises:
        SensorError: the answer is not a frequency.
    """
    return int(_match(_CLOCK, text, "measure_clock").group("hz")) // 1000


def parse_temperature_mc(text: str) -> int:
    """``measure_temp``: thousandths of a degree Celsius.

    Raises:
        SensorError: the answer is not a temperature.
    """
    return round(float(_match(_TEMPERATURE, text, "measure_temp").group("celsius")) * 1000)


def _match(pattern: "re.Pattern[str]", text: str, question: str) -> "re.Match[str]":
    found = pattern.match(text.strip())
    if found is None:
        raise SensorError(f"vcgencmd {question}: unexpected answer {text.strip()[:60]!r}")
    return found
