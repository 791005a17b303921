"""What an Android says of itself: properties, temperatures, throttling, and its battery's power."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices import boards, dumpsys, tree

from edgewright_agent.android import Android, read_android
from edgewright_agent.probe import probe
from edgewright_agent.sensors import android, commands
from edgewright_agent.sensors.environment import read_environment
from edgewright_agent.sensors.power import choose
from edgewright_agent.sensors.power.android_battery import AndroidBattery
from edgewright_agent.sensors.sysfs import SensorError

HEALTH = "run/dumpsys/android.hardware.health.IHealth_default"


@pytest.fixture
def phone(tmp_path: Path) -> boards.Board:
    return boards.android_whose_gauge_is_closed(tmp_path)


@pytest.fixture(autouse=True)
def no_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """To import them takes seconds, and another test's time."""
    monkeypatch.setattr("edgewright_agent.probe.find_runtimes", lambda: ())


# --- properties -------------------------------------------------------------------------------


def test_android_is_told_by_its_properties(phone: boards.Board) -> None:
    assert read_android(str(phone.root)) == Android(
        "Android 14 (API 34)", "Google Pixel 7", "Google Tensor G2"
    )
    device = probe(str(phone.root))
    assert (device.board, device.soc) == ("Google Pixel 7", "Google Tensor G2")
    assert device.system.startswith("Android 14 (API 34), Linux ")


def test_the_chip_s_reference_board_is_not_the_phone(phone: boards.Board) -> None:
    phone.put("sys/firmware/devicetree/base/model", b"Qualcomm Technologies, Inc. SM8550 MTP\0")
    assert probe(str(phone.root)).board == "Google Pixel 7"


def test_older_androids_name_the_platform(phone: boards.Board) -> None:
    for key in ("ro.soc.manufacturer", "ro.soc.model"):
        phone.put(f"run/getprop/{key}", "")
    phone.put("run/getprop/ro.board.platform", "msm8998")
    found = read_android(str(phone.root))
    assert found is not None and found.soc == "msm8998"


def test_a_maker_is_not_named_twice(phone: boards.Board) -> None:
    phone.put("run/getprop/ro.product.manufacturer", "OnePlus")
    phone.put("run/getprop/ro.product.model", "ONEPLUS A5000")
    found = read_android(str(phone.root))
    assert found is not None and found.board == "ONEPLUS A5000"


def test_a_getprop_that_hangs_is_left(phone: boards.Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.run, "__defaults__", (0.2,))
    tree.program(phone.root, "getprop", "#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()
    assert read_android(str(phone.root)) is None
    assert time.monotonic() - began < 10


def test_other_systems_are_no_android(tmp_path: Path) -> None:
    boards.raspberry_pi_5(tmp_path)
    assert read_android(str(tmp_path)) is None
    assert probe(str(tmp_path)).soc == ""


# --- temperatures and throttling --------------------------------------------------------------


def test_temperatures_come_from_the_hardware_and_not_from_memory(phone: boards.Board) -> None:
    state = read_environment(str(phone.root))
    assert state.temperature_mc == {"CPU0": 45200, "GPU0": 44000, "battery": 31400, "skin": 36125}
    assert state.throttled == {"now:thermal-status": 0, "level:thermal-cpufreq-0": 0}, "the display is none"
    assert state.notes == ()


def test_throttling_is_seen(phone: boards.Board) -> None:
    phone.put("run/dumpsys/thermalservice", dumpsys.thermalservice(status=3, cooling=5))
    assert read_environment(str(phone.root)).throttled == {
        "now:thermal-status": 3,
        "level:thermal-cpufreq-0": 5,
    }


def test_a_status_that_somebody_set_is_none(phone: boards.Board) -> None:
    phone.put("run/dumpsys/thermalservice", dumpsys.thermalservice(override=True))
    state = read_environment(str(phone.root))
    assert state.throttled == {}
    assert state.temperature_mc == {"battery": 31400}
    assert "overridden" in state.notes[0]


def test_an_app_is_told_that_it_may_not_ask(phone: boards.Board) -> None:
    denial = "Permission Denial: can't dump {} from from pid=4711, uid=10312 due to missing DUMP permission"
    for service, name in (("thermalservice", "ThermalService"), ("battery", "BatteryService")):
        phone.put(f"run/dumpsys/{service}", denial.format(name))
    state = read_environment(str(phone.root))
    assert (state.temperature_mc, state.throttled) == ({}, {})
    assert [note.partition(" (")[0] for note in state.notes] == [
        "dumpsys thermalservice: permission denied",
        "dumpsys battery: permission denied",
    ]


def test_an_old_android_still_tells_the_battery_s_temperature(phone: boards.Board) -> None:
    tree.program(phone.root, "dumpsys", _OLD)
    state = read_environment(str(phone.root))
    assert state.temperature_mc == {"battery": 31400}
    assert state.notes == ("dumpsys thermalservice: this Android tells nothing",)


_OLD = """#!/bin/sh
if [ "$1" = battery ]; then exec cat "${0%/*}/../../run/dumpsys/battery"; fi
echo "Can't find service: $1" >&2
"""


def test_a_frozen_battery_is_not_believed(phone: boards.Board) -> None:
    phone.put("run/dumpsys/battery", dumpsys.battery(stopped=True))
    with pytest.raises(SensorError, match=r"stopped.*dumpsys battery reset"):
        android.read_battery_mc(str(phone.root / "usr/bin/dumpsys"))


def test_a_service_that_hangs_is_left(phone: boards.Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.run, "__defaults__", (0.2,))
    tree.program(phone.root, "dumpsys", "#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()
    state = read_environment(str(phone.root))
    assert time.monotonic() - began < 10
    assert state.notes[0] == "dumpsys did not answer within 0.2 s"


@given(st.text(max_size=200))
def test_nothing_surprises_the_parser(text: str) -> None:
    whole = dumpsys.thermalservice()
    for cut in (
        text,
        whole.replace("Current temperatures from HAL:\n", f"Current temperatures from HAL:\n{text}"),
    ):
        try:
            found = android.parse_thermal(cut)
        except SensorError:
            continue
        assert all(-40_000 <= value <= 150_000 for value in found.temperature_mc.values())


@given(st.dictionaries(st.sampled_from(["CPU0", "BIG", "skin", "usb-port"]), st.integers(-400, 1500)))
def test_what_is_in_the_dump_is_read(tenths: dict[str, int]) -> None:
    text = dumpsys.thermalservice({name: (0, value / 10) for name, value in tenths.items()})
    assert android.parse_thermal(text).temperature_mc == {name: value * 100 for name, value in tenths.items()}


# --- power ------------------------------------------------------------------------------------


def test_the_health_service_is_asked_where_the_kernel_shows_nothing(phone: boards.Board) -> None:
    sensor, reason = choose(("power-supply", "android-battery"), str(phone.root))
    assert (reason, sensor and sensor.name) == ("", "android-battery")


@pytest.mark.parametrize(("status", "usb"), [("CHARGING", True), ("FULL", False), ("DISCHARGING", True)])
def test_a_phone_on_a_charger_is_refused(phone: boards.Board, status: str, usb: bool) -> None:
    phone.put(HEALTH, dumpsys.health(microampere=512_000, status=status, usb=usb))
    sensor, reason = choose(("android-battery",), str(phone.root))
    assert sensor is None
    assert f"it is {status}, chargers: {'Usb' if usb else 'none'} (unplug the charger)" in reason


def test_a_charger_that_is_plugged_in_ends_the_readings(phone: boards.Board) -> None:
    sensor = AndroidBattery(str(phone.root))
    assert sensor.read() > 0
    phone.put(HEALTH, dumpsys.health(microampere=512_000, status="CHARGING", usb=True))
    with pytest.raises(SensorError, match="unplug"):
        sensor.read()


def test_milliampere_are_inferred_and_said(phone: boards.Board) -> None:
    phone.put(HEALTH, dumpsys.health(microampere=-1000))
    sensor = AndroidBattery(str(phone.root))
    assert sensor.read() == 3950
    assert "current taken as mA" in sensor.rule and "(inferred)" in sensor.rule


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (dumpsys.health(microampere=0), "does not measure"),
        (dumpsys.health(microampere=-500_000, millivolt=13), "voltage of 13 mV"),
        ("batteryStatus: DISCHARGING", "no status, voltage and current"),
        ("Permission Denial: no", "permission denied"),
        ("", "tells nothing"),
    ],
)
def test_a_gauge_that_tells_nonsense_is_refused(phone: boards.Board, told: str, why: str) -> None:
    phone.put(HEALTH, told)
    assert why in AndroidBattery(str(phone.root)).available()


def test_where_there_is_no_android_there_is_no_such_sensor(tmp_path: Path) -> None:
    assert AndroidBattery(str(tmp_path)).available() == "dumpsys is not there: no Android"
