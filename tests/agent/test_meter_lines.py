"""One line of a meter's output: read as announced, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_agent.meter.lines import MAX_LINE_BYTES, Reading, parse_line
from edgewright_agent.protocol import MeterFormat

WATTS = MeterFormat(power="1")


@pytest.mark.parametrize(
    ("line", "format", "milliwatts"),
    [
        (b"3.25", WATTS, 3250.0),
        (b" 3.25 W\r", WATTS, 3250.0),
        (b"+3.25e0", WATTS, 3250.0),
        (b"-0.01", WATTS, -10.0),
        (b"250", MeterFormat(power="1", unit="mW"), 250.0),
        (b"250mW", MeterFormat(power="1", unit="mW"), 250.0),
        (b"1500 uW", MeterFormat(power="1", unit="uW"), 1.5),
        (b"power: 4.5 W", MeterFormat(power="2"), 4500.0),
        (b"1;;2.5;", MeterFormat(power="3", separator=";"), 2500.0),
        (b"5.1 0.5", MeterFormat(current="2", voltage="1"), 2550.0),
        (b"5100 500", MeterFormat(current="2", current_unit="mA", voltage="1", voltage_unit="mV"), 2550.0),
        (b"0.5", MeterFormat(current="1", volts=5.0), 2500.0),
        (b'{"apower": 2.5}', MeterFormat(style="json", power="apower"), 2500.0),
        (b'{"data": {"p": "2.5"}}', MeterFormat(style="json", power="data.p"), 2500.0),
        (b"[1, 2.5]", MeterFormat(style="json", power="2"), 2500.0),
    ],
)
def test_what_is_announced_is_read(line: bytes, format: MeterFormat, milliwatts: float) -> None:
    found = parse_line(line, format)
    assert found is not None and found.power_mw == pytest.approx(milliwatts)
    assert found.own_ns is None


@pytest.mark.parametrize(
    ("line", "format"),
    [
        (b"volts amps watts", WATTS),
        (b"nan", WATTS),
        (b"inf", WATTS),
        (b"1e400", WATTS),
        (b"3,25", WATTS),
        (b"1_000", WATTS),
        ("٣".encode(), WATTS),
        (b"250mW", WATTS),
        (b"250 mW", MeterFormat(power="3")),
        (b"1e6", WATTS),
        (b"", WATTS),
        (b"3.2" + b"0" * MAX_LINE_BYTES, WATTS),
        (b"\xff\xfe3.2", WATTS),
        (b"5.0", MeterFormat(current="1", voltage="2")),
        (b'{"p": true}', MeterFormat(style="json", power="p")),
        (b'{"p": NaN}', MeterFormat(style="json", power="p")),
        (b'{"p": [1]}', MeterFormat(style="json", power="p")),
        (b'{"p": 1', MeterFormat(style="json", power="p")),
        (b'{"p": 1' + b"0" * 400 + b"}", MeterFormat(style="json", power="p")),
        (b"[" * 4000, MeterFormat(style="json", power="p")),
        (b"3", MeterFormat(style="json", power="p")),
        (b"1,x", MeterFormat(power="1", time="2", separator=",")),
        (b"1,1e300", MeterFormat(power="1", time="2", separator=",")),
        (b"2024-13-01T00:00:00Z,1", MeterFormat(power="2", time="1", time_unit="iso", separator=",")),
        (b"2024-01-01T00:00:00,1", MeterFormat(power="2", time="1", time_unit="iso", separator=",")),
    ],
)
def test_what_is_not_is_no_reading(line: bytes, format: MeterFormat) -> None:
    assert parse_line(line, format) is None


@pytest.mark.parametrize(
    ("text", "unit", "time_ns"),
    [
        ("1700000000.25", "s", 1_700_000_000_250_000_000),
        ("1700000000250", "ms", 1_700_000_000_250_000_000),
        ("12", "us", 12_000),
        ("12", "ns", 12),
        ("2023-11-14T22:13:20.250000+00:00", "iso", 1_700_000_000_250_000_000),
        ("2023-11-14T23:13:20.250000+01:00", "iso", 1_700_000_000_250_000_000),
        ("2023-11-14T22:13:20Z", "iso", 1_700_000_000_000_000_000),
        ("2023-11-14 22:13:20.25-0000", "iso", 1_700_000_000_250_000_000),
    ],
)
def test_its_own_time(text: str, unit: str, time_ns: int) -> None:
    layout = MeterFormat(power="2", time="1", time_unit=unit, separator=",")
    found = parse_line(f"{text},1.5".encode(), layout)
    assert found is not None and found.own_ns is not None
    assert abs(found.own_ns - time_ns) < 1000


FORMATS = (
    WATTS,
    MeterFormat(power="2", time="1", time_unit="iso", separator=","),
    MeterFormat(style="json", current="a.b", volts=5.0, time="t", time_unit="ms"),
)


@given(
    st.binary(max_size=300) | st.text(alphabet='0123456789.,{}[]":abt+-eE \t', max_size=80).map(str.encode)
)
def test_any_bytes_give_a_reading_or_none(line: bytes) -> None:
    for layout in FORMATS:
        found = parse_line(line, layout)
        assert found is None or (isinstance(found, Reading) and abs(found.power_mw) <= 1e8)
