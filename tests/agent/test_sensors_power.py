"""Power sensors on the boards they are for: what they read, what they refuse, and why."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.devices import boards, tree

from edgewright_agent.sensors import commands
from edgewright_agent.sensors.power import POWER_SENSORS, SensorError, choose
from edgewright_agent.sensors.power.ina3221 import JetsonIna3221
from edgewright_agent.sensors.power.power_supply import PowerSupply
from edgewright_agent.sensors.power.rapl import Rapl
from edgewright_agent.sensors.power.rpi_pmic import RpiPmic

ALL = tuple(POWER_SENSORS)
NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run the block as a user who may not read everything."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if mine == 0:
            os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder which other users can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", boards.POWERED)
def test_board_is_read_by_its_own_sensor(name: str, tmp_path: Path) -> None:
    board = boards.POWERED[name](tmp_path)
    sensor, reason = choose(ALL, str(tmp_path))
    assert reason == ""
    assert sensor is not None
    assert sensor.name == board.sensor
    assert sensor.kind in ("power", "energy")
    assert sensor.scope and sensor.rails and sensor.rule and sensor.rate_hz > 0
    if sensor.kind == "power":
        for milliwatt in (2500.0, 6500.0):
            board.draw(milliwatt)
            assert sensor.read() == pytest.approx(milliwatt, rel=0.005)


@pytest.mark.parametrize("name", ALL)
def test_empty_machine_gives_a_reason_for_each_sensor(name: str, tmp_path: Path) -> None:
    sensor = POWER_SENSORS[name](str(tmp_path), "")
    assert sensor.name == name
    assert sensor.available() != ""
    assert sensor.rails == ()


def test_choice_names_what_was_tried(tmp_path: Path) -> None:
    sensor, reason = choose(("rapl", "rpi-pmic", "wattmeter"), str(tmp_path))
    assert sensor is None
    assert "rapl: no RAPL package zone" in reason
    assert "rpi-pmic: vcgencmd is not installed" in reason
    assert "wattmeter: no power sensor has this name" in reason
    assert choose((), str(tmp_path)) == (None, "the device profile names no power sensor")


def test_choice_takes_the_first_that_answers(tmp_path: Path) -> None:
    boards.x86(tmp_path)
    boards.ina2xx(tmp_path, "ina226")
    sensor, _ = choose(("rpi-pmic", "ina2xx", "rapl"), str(tmp_path))
    assert sensor is not None and sensor.name == "ina2xx"


# --- RAPL -------------------------------------------------------------------------------------


def test_rapl_adds_packages_and_not_their_parts(tmp_path: Path) -> None:
    board = boards.x86(tmp_path, start_uj=1000)
    sensor = Rapl(str(tmp_path))
    assert sensor.rails == ("package-0", "package-1")
    assert sensor.read() == 0
    board.put("sys/class/powercap/intel-rapl:0:0/energy_uj", 900_000)
    board.put("sys/class/powercap/intel-rapl:2/energy_uj", 900_000)
    board.draw(0, 1_000_000)
    assert sensor.read() == 1_000_000


def test_rapl_wraps_twice(tmp_path: Path) -> None:
    board = boards.x86(tmp_path, start_uj=boards.RAPL_RANGE_UJ - 1000)
    now = [0]
    sensor = Rapl(str(tmp_path), clock=lambda: now[0])
    sensor.read()
    readings = []
    for step in range(1, 6):
        now[0] += 200_000_000_000_000
        board.draw(0, step * boards.RAPL_RANGE_UJ * 0.6)
        readings.append(sensor.read())
    expected = [round(step * boards.RAPL_RANGE_UJ * 0.6) for step in range(1, 6)]
    assert readings == pytest.approx(expected, abs=10)


def test_rapl_counter_that_was_reset_is_not_taken_for_a_wrap(tmp_path: Path) -> None:
    board = boards.x86(tmp_path, start_uj=90_000_000_000)
    sensor = Rapl(str(tmp_path))
    sensor.read()
    board.put("sys/class/powercap/intel-rapl:0/energy_uj", 12)
    with pytest.raises(SensorError, match="from 90000000000 to 12: it was reset"):
        sensor.read()


def test_rapl_without_permission_names_the_command(open_folder: Path) -> None:
    boards.x86(open_folder)
    files = [f"{open_folder}/sys/class/powercap/intel-rapl:{i}/energy_uj" for i in (0, 1)]
    for file in files:
        Path(file).chmod(0o400 if os.geteuid() == 0 else 0)
    with unprivileged():
        sensor, reason = choose(("rapl",), str(open_folder))
    assert sensor is None
    assert reason == f"rapl: no permission to read {files[0]} (sudo chmod a+r {files[0]} {files[1]})"


# --- Raspberry Pi -----------------------------------------------------------------------------


def test_pi_4_measures_no_current(tmp_path: Path) -> None:
    boards.raspberry_pi_4(tmp_path)
    reason = RpiPmic(str(tmp_path)).available()
    assert "does not measure current, a Raspberry Pi 5 does" in reason
    assert "Command not registered" in reason


def test_pi_user_without_access_is_told_the_group(tmp_path: Path) -> None:
    boards.raspberry_pi_5(tmp_path)
    tree.denied_command(tmp_path, "vcgencmd", "Can't open device file: /dev/vcio")
    reason = RpiPmic(str(tmp_path)).available()
    assert "Can't open device file: /dev/vcio (sudo usermod -aG video $USER" in reason


def test_pi_rail_that_goes_missing_is_an_error_and_not_less_power(tmp_path: Path) -> None:
    board = boards.raspberry_pi_5(tmp_path)
    sensor = RpiPmic(str(tmp_path))
    assert sensor.available() == ""
    lines = (tmp_path / "run/vcgencmd/pmic_read_adc").read_text().splitlines()
    board.put("run/vcgencmd/pmic_read_adc", "\n".join(line for line in lines if "HDMI" not in line))
    with pytest.raises(SensorError, match="rails changed while reading: HDMI"):
        sensor.read()


def test_command_that_hangs_is_ended() -> None:
    with pytest.raises(SensorError, match=r"sleep did not answer within 0\.1 s"):
        commands.run(["sleep", "30"], timeout_s=0.1)


def test_command_below_a_fixture_is_never_the_machine_s_own(tmp_path: Path) -> None:
    assert commands.locate("sh") != ""
    assert commands.locate("sh", str(tmp_path)) == ""
    assert commands.locate("sh", str(tmp_path), "/bin") == "/bin/sh"


# --- Jetson -----------------------------------------------------------------------------------


def test_orin_nano_total_is_not_added_to_its_parts(tmp_path: Path) -> None:
    boards.orin_nano(tmp_path)
    sensor = JetsonIna3221(str(tmp_path))
    assert (sensor.scope, sensor.rails) == ("module input", ("VDD_IN",))
    assert "VDD_CPU_GPU_CV, VDD_SOC lie inside it" in sensor.rule


def test_agx_orin_has_no_total_and_says_so(tmp_path: Path) -> None:
    boards.agx_orin(tmp_path)
    sensor = JetsonIna3221(str(tmp_path))
    assert sensor.scope == "module rails"
    assert sensor.rails == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO")
    assert "no rail for the module's whole input" in sensor.rule


def test_rails_of_an_unknown_module_are_not_called_its_power(tmp_path: Path) -> None:
    chip = "sys/class/hwmon/hwmon0"
    tree.put_all(
        tmp_path, chip, {"name": "ina3221", "in2_label": "VDD_X", "in2_input": 5000, "curr2_input": 100}
    )
    sensor = JetsonIna3221(str(tmp_path))
    assert sensor.read() == 500
    assert sensor.scope == "some module rails"
    assert "not known whether these cover it" in sensor.rule


def test_channel_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    board = boards.agx_orin(tmp_path)
    board.put("sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4/in2_enable", 0)
    assert JetsonIna3221(str(tmp_path)).rails == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


def test_jetpack_4_reads_the_driver_s_own_product(tmp_path: Path) -> None:
    board = boards.jetson_nano_jetpack_4(tmp_path)
    board.put("sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power0_input", 2089)
    sensor = JetsonIna3221(str(tmp_path))
    assert sensor.rails == ("POM_5V_IN",)
    assert sensor.read() == 2089


def test_jetson_without_permission_names_the_command(open_folder: Path) -> None:
    boards.orin_nano(open_folder)
    chip = f"{open_folder}/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    Path(f"{chip}/curr1_input").chmod(0o400 if os.geteuid() == 0 else 0)
    with unprivileged():
        _, reason = choose(("jetson-ina3221",), str(open_folder))
    assert f"(sudo chmod a+r {chip}/in1_input {chip}/curr1_input)" in reason


# --- batteries --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
@pytest.mark.parametrize("convention", boards.ANDROID_CONVENTIONS)
def test_android_on_external_power_is_refused(convention: str, status: str, tmp_path: Path) -> None:
    board = boards.android(tmp_path, convention)
    board.put("sys/class/power_supply/battery/status", status)
    sensor, reason = choose(("power-supply",), str(tmp_path))
    assert sensor is None
    assert f"battery {status}" in reason
    assert "unplug the charger" in reason


def test_unit_that_had_to_be_inferred_is_flagged(tmp_path: Path) -> None:
    boards.android(tmp_path, "milliampere")
    sensor, _ = choose(("power-supply",), str(tmp_path))
    assert sensor is not None
    assert "battery: current_now taken as mA" in sensor.rule and "(inferred)" in sensor.rule


def test_unit_that_contradicts_itself_is_an_error(tmp_path: Path) -> None:
    board = boards.android(tmp_path, "milliampere")
    sensor = PowerSupply(str(tmp_path))
    sensor.read()
    board.put("sys/class/power_supply/battery/current_now", 812_000)
    with pytest.raises(SensorError, match="unit cannot be told"):
        sensor.read()


def test_gauge_that_shows_no_current_is_refused(tmp_path: Path) -> None:
    board = boards.android(tmp_path, "aosp")
    board.put("sys/class/power_supply/battery/current_now", 0)
    assert "does not measure" in PowerSupply(str(tmp_path)).available()


def test_second_battery_that_rests_adds_nothing(tmp_path: Path) -> None:
    board = boards.laptop(tmp_path)
    second = {"type": "Battery", "status": "Not charging", "present": 1, "power_now": 7_000_000}
    tree.put_all(tmp_path, "sys/class/power_supply/BAT1", second)
    board.draw(9000)
    sensor = PowerSupply(str(tmp_path))
    assert sensor.rails == ("BAT0", "BAT1")
    assert sensor.read() == 9000


def test_android_app_that_may_not_look_is_told_so(open_folder: Path) -> None:
    boards.android(open_folder, "aosp")
    folder = open_folder / "sys/class/power_supply"
    folder.chmod(0o700 if os.geteuid() == 0 else 0)
    with unprivileged():
        _, reason = choose(("power-supply",), str(open_folder))
    folder.chmod(0o755)
    assert (
        reason
        == f"power-supply: no permission to read {folder} (run the agent as root: sudo, or tsu in Termux)"
    )


# --- INA2xx -----------------------------------------------------------------------------------


def test_shunt_is_part_of_the_rule(tmp_path: Path) -> None:
    boards.ina2xx(tmp_path, "ina219")
    sensor, _ = choose(("ina2xx",), str(tmp_path))
    assert sensor is not None and "10000 micro-ohm" in sensor.rule


def test_several_monitors_are_not_guessed_between(tmp_path: Path) -> None:
    boards.ina2xx(tmp_path, "ina219")
    tree.put_all(tmp_path, "sys/class/hwmon/hwmon9", {"name": "ina226", "power1_input": 1})
    _, reason = choose(("ina2xx",), str(tmp_path))
    assert "2 INA2xx chips" in reason
