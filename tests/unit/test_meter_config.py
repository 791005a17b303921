"""``[devices.NAME.meter]``: what is accepted, what becomes of it, and what is refused with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import ConfigError
from edgewright.farm.inventory import load_inventory
from edgewright.farm.meter_config import MeterConfig, command_meter, described
from edgewright_agent.protocol import Meter, MeterFormat

TCP = 'kind = "tcp"\naddress = "10.0.0.7"\nport = 9000\nscope = "5 V supply"\n'


def meter(folder: Path, lines: str) -> MeterConfig:
    path = folder / "farm.toml"
    path.write_text(
        f'[devices.pi]\nprofile = "raspberry-pi-5"\naddress = "pi@pi"\n[devices.pi.meter]\n{lines}',
        encoding="utf-8",
    )
    found = load_inventory(path).get("pi").meter
    assert found is not None
    return found


def test_watts_in_the_first_column_of_a_tcp_stream(tmp_path: Path) -> None:
    assert meter(tmp_path, TCP) == MeterConfig(
        "host", Meter("tcp", "5 V supply", MeterFormat(power="1"), address="10.0.0.7", port=9000)
    )


def test_a_serial_port_of_the_device_with_csv(tmp_path: Path) -> None:
    found = meter(
        tmp_path,
        'kind = "serial"\nwhere = "device"\npath = "/dev/ttyACM0"\nbaud = 9600\nscope = "board"\n'
        'separator = ","\ntime = 1\ntime_unit = "ms"\nepoch = "own"\n'
        'current = 3\ncurrent_unit = "mA"\nvoltage = 2\n',
    )
    layout = MeterFormat(
        separator=",", current="3", current_unit="mA", voltage="2", time="1", time_unit="ms", epoch="own"
    )
    assert found == MeterConfig("device", Meter("serial", "board", layout, address="/dev/ttyACM0", baud=9600))


def test_a_command_with_json_and_a_nominal_voltage(tmp_path: Path) -> None:
    found = meter(
        tmp_path,
        'kind = "command"\ncommand = ["tools/plug", "--follow"]\nscope = "plug"\nformat = "json"\n'
        'current = "aprt.amps"\nvolts = 5.1\n',
    )
    assert found.meter.argv == (str(tmp_path / "tools/plug"), "--follow")
    assert found.meter.format == MeterFormat(style="json", current="aprt.amps", volts=5.1)
    elsewhere = meter(
        tmp_path, 'kind = "command"\nwhere = "device"\ncommand = ["tools/plug"]\nscope = "plug"\n'
    )
    assert elsewhere.meter.argv == ("tools/plug",)


def test_this_machine_may_have_one_too(tmp_path: Path) -> None:
    path = tmp_path / "farm.toml"
    path.write_text(
        f'[devices.local]\nprofile = "x86-64-linux"\n[devices.local.meter]\n{TCP}', encoding="utf-8"
    )
    found = load_inventory(path).get("local").meter
    assert found is not None and found.meter.port == 9000


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('kind = "usb"\nscope = "x"\n', "devices.pi.meter.kind"),
        (
            'kind = "tcp"\naddress = "a"\nscope = "x"\n',
            "devices.pi.meter.port: a meter of kind 'tcp' needs it",
        ),
        ('kind = "tcp"\naddress = "a"\nport = 1\n', "missing key 'devices.pi.meter.scope'"),
        (TCP + "baud = 9600\n", "devices.pi.meter.baud: not for a meter of kind 'tcp'"),
        (TCP + 'command = ["x"]\n', "devices.pi.meter.command: not for a meter of kind 'tcp'"),
        (TCP + "port_number = 9\n", "unknown key 'devices.pi.meter.port_number'"),
        (TCP + "power = 0\n", "devices.pi.meter.power"),
        (TCP + 'power = "p"\n', "devices.pi.meter.power: with format 'columns' it is a column's number"),
        (TCP + 'format = "json"\npower = 1\n', "devices.pi.meter.power: with format 'json' it is a key"),
        (TCP + 'format = "json"\n', "devices.pi.meter.power: missing"),
        (TCP + "time = 1\n", "devices.pi.meter.power: missing"),
        (TCP + "power = 1\ncurrent = 2\nvolts = 5.0\n", "devices.pi.meter.current: power is told already"),
        (TCP + "current = 1\n", "devices.pi.meter.current: needs either voltage"),
        (TCP + "current = 1\nvoltage = 2\nvolts = 5.0\n", "needs either voltage"),
        (TCP + "volts = 5.0\n", "devices.pi.meter.volts: without current it says nothing"),
        (TCP + "current = 1\nvolts = -5.0\n", "devices.pi.meter.volts"),
        (TCP + 'current = 1\nvolts = 5.0\nunit = "mW"\n', "devices.pi.meter.unit: is of power"),
        (TCP + 'epoch = "own"\n', "devices.pi.meter.epoch: without time it says nothing"),
        (TCP + 'power = 2\ntime = 1\ntime_unit = "iso"\nepoch = "own"\n', "devices.pi.meter.epoch: a date"),
        (TCP + 'unit = "kW"\n', "devices.pi.meter.unit"),
        (TCP + 'format = "json"\npower = "p"\nseparator = ","\n', "devices.pi.meter.separator"),
        ('kind = "command"\ncommand = []\nscope = "x"\n', "devices.pi.meter.command"),
        ('kind = "command"\ncommand = [""]\nscope = "x"\n', "the program's name is empty"),
        ('kind = "command"\ncommand = ["a\\u0000b"]\nscope = "x"\n', "control characters"),
        (TCP.replace("5 V supply", "5 V\\u001b[31m"), "devices.pi.meter.scope: control characters"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_its_key(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        meter(tmp_path, lines)
    said = str(caught.value)
    assert message in said and "farm.toml" in said and "\n" not in said


def test_a_meter_on_the_command_line_and_in_words(tmp_path: Path) -> None:
    found = command_meter(("um", "--watts"))
    assert (found.where, found.meter.format.power, found.meter.argv) == ("host", "1", ("um", "--watts"))
    assert described(found) == "command um --watts, read by the host"
    assert described(meter(tmp_path, TCP)) == "tcp 10.0.0.7:9000, read by the host"
