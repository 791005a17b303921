"""Temperatures, clocks, throttling and power mode as boards show them; parsers that nothing surprises."""

from __future__ import annotations

import re
import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices import boards, tree

from edgewright_agent import cpu
from edgewright_agent.protocol import Environment, decode, encode
from edgewright_agent.sensors import vcgencmd
from edgewright_agent.sensors.environment import read_environment
from edgewright_agent.sensors.power_mode import parse_nvpmodel
from edgewright_agent.sensors.sysfs import DeniedError, SensorError, find, read_int, read_text
from edgewright_agent.sensors.thermal import read_temperatures
from edgewright_agent.sensors.throttle import PI_BITS, decode_pi, read_throttling


def test_raspberry_pi_5(tmp_path: Path) -> None:
    boards.raspberry_pi_5(tmp_path)
    state = read_environment(str(tmp_path))
    assert state.temperature_mc == {"cpu-thermal": 61500, "soc": 61700}
    assert state.frequency_khz == {"cpu0": 2400033}
    assert state.governor == {"cpu0": "schedutil"}
    assert state.throttled["since-boot:under-voltage"] == state.throttled["since-boot:throttled"] == 1
    assert state.throttled["now:under-voltage"] == state.throttled["level:cpufreq-cpu0"] == 0
    assert "level:pwm-fan" not in state.throttled, "a fan that turns does not slow the processor"
    assert state.load_average == (0.2, 0.18, 0.12)
    assert state.notes == ()
    assert decode(Environment, encode(state)) == state


def test_under_voltage_that_comes_between_two_looks(tmp_path: Path) -> None:
    board = boards.raspberry_pi_5(tmp_path)
    board.put("run/vcgencmd/get_throttled", "throttled=0x0")
    before = read_environment(str(tmp_path)).throttled
    board.put("run/vcgencmd/get_throttled", "throttled=0x10001")
    after = read_environment(str(tmp_path)).throttled
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"now:under-voltage", "since-boot:under-voltage"}


def test_clock_that_the_firmware_lowers_is_seen_behind_cpufreq(tmp_path: Path) -> None:
    board = boards.raspberry_pi_5(tmp_path)
    board.put("run/vcgencmd/measure_clock_arm", "frequency(0)=1500000000")
    assert (tmp_path / "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq").read_text() == "2400000\n"
    assert read_environment(str(tmp_path)).frequency_khz == {"cpu0": 1500000}


def test_pi_that_refuses_to_tell_is_noted(tmp_path: Path) -> None:
    boards.raspberry_pi_5(tmp_path)
    tree.denied_command(tmp_path, "vcgencmd", "VCHI initialization failed")
    state = read_environment(str(tmp_path))
    assert not any(key.startswith("now:") for key in state.throttled)
    assert any("get_throttled" in note and "usermod -aG video" in note for note in state.notes)


def test_pi_without_its_command_is_read_from_the_kernel(tmp_path: Path) -> None:
    tree.put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50005")
    assert read_throttling(str(tmp_path)) == decode_pi(0x50005)
    tree.put_all(tmp_path, "sys/class/hwmon/hwmon1", {"name": "rpi_volt", "in0_lcrit_alarm": 1})
    assert read_throttling(str(tmp_path))["now:under-voltage"] == 1


def test_orin_nano(tmp_path: Path) -> None:
    boards.orin_nano(tmp_path)
    state = read_environment(str(tmp_path))
    assert state.temperature_mc == {"cpu-thermal": 47687, "gpu-thermal": 48625}, "cv0 is off"
    assert state.frequency_khz == {"cpu0": 1510400, "gpu": 612000}
    assert state.throttled["count:over-current-oc3"] == 4
    assert state.power_mode == "MAXN_SUPER"


def test_placeholder_of_the_jetson_nano_is_no_temperature(tmp_path: Path) -> None:
    boards.jetson_nano_jetpack_4(tmp_path)
    assert "PMIC-Die" not in read_temperatures(str(tmp_path))
    tree.put(tmp_path, "sys/class/thermal/thermal_zone7/temp", 45500)
    assert read_temperatures(str(tmp_path))["PMIC-Die"] == 45500


def test_x86(tmp_path: Path) -> None:
    boards.x86(tmp_path)
    tree.put(
        tmp_path,
        "proc/cpuinfo",
        "processor\t: 0\ncpu MHz\t\t: 2445.404\n\nprocessor\t: 1\ncpu MHz\t\t: 800.000",
    )
    tree.put(tmp_path, "sys/firmware/acpi/platform_profile", "balanced")
    state = read_environment(str(tmp_path))
    assert state.temperature_mc == {"coretemp Package id 0": 51000}
    assert state.frequency_khz == {"cpu0": 2445404, "cpu1": 800000}
    assert state.throttled == {"count:package-thermal": 3}
    assert state.power_mode == "balanced"


def test_zones_are_told_apart_by_type_whatever_their_number(tmp_path: Path) -> None:
    for number, (kind, temperature) in enumerate([("cpu", 1000), ("gpu", 2000), ("cpu", 3000)], start=9):
        tree.put_all(tmp_path, f"sys/class/thermal/thermal_zone{number}", {"type": kind, "temp": temperature})
    assert read_temperatures(str(tmp_path)) == {"cpu": 1000, "gpu": 2000, "cpu-2": 3000}


def test_nvpmodel_that_fails_is_noted(tmp_path: Path) -> None:
    board = boards.orin_nano(tmp_path)
    board.put("run/nvpmodel/-q", "NVPM ERROR: failed to read PARAM GPU")
    state = read_environment(str(tmp_path))
    assert state.power_mode == ""
    assert state.notes == ("nvpmodel -q: NVPM ERROR: failed to read PARAM GPU",)


def test_machine_that_tells_nothing_costs_nothing(tmp_path: Path) -> None:
    costs = []
    for _ in range(20):
        start = time.perf_counter()
        state = read_environment(str(tmp_path))
        costs.append(time.perf_counter() - start)
    assert min(costs) < 0.003
    assert state == Environment(t_ns=state.t_ns)


def test_attribute_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="nothing: No such file"):
        read_text(str(tmp_path / "nothing"))
    with pytest.raises(SensorError, match="directory"):
        read_int(str(tmp_path))
    (tmp_path / "text").write_text("12 mW\n")
    with pytest.raises(SensorError, match="'12 mW' is not an integer"):
        read_int(str(tmp_path / "text"))
    denied = DeniedError("/x")
    assert (str(denied), denied.path) == ("no permission to read /x", "/x")


def test_numbers_in_names_sort_as_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        (tmp_path / f"cpu{number}").touch()
    assert [Path(path).name for path in find(str(tmp_path), "cpu*")] == ["cpu1", "cpu9", "cpu10"]


# --- parsers ----------------------------------------------------------------------------------

RAIL = st.from_regex(r"[A-Z0-9]{1,6}(_[A-Z0-9]{1,4})?", fullmatch=True)
AMOUNT = st.floats(0, 50, allow_nan=False)


@given(st.dictionaries(RAIL, st.tuples(AMOUNT, AMOUNT), min_size=1, max_size=12), st.randoms())
def test_pmic_rails_are_paired_by_name(rails: dict[str, tuple[float, float]], random: Random) -> None:
    lines = [f"{rail + '_A':>14} current({i})={a:.8f}A" for i, (rail, (a, _)) in enumerate(rails.items())]
    lines += [f"{rail + '_V':>14} volt({i})={v:.8f}V" for i, (rail, (_, v)) in enumerate(rails.items())]
    lines += ["   EXT5V_V volt(24)=5.10123000V"]
    random.shuffle(lines)
    parsed = vcgencmd.parse_pmic("\n".join(lines))
    assert parsed == {rail: (float(f"{a:.8f}"), float(f"{v:.8f}")) for rail, (a, v) in rails.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rail with a current"),
        ("VDD_CORE_V volt(15)=0.9V", "no rail with a current"),
        ("VDD_CORE_A current(7)=1.4A", "VDD_CORE has a current and no voltage"),
        ("VDD_CORE_A current(7)=1.4A\nVDD_CORE_V volt(15)=nanV", "VDD_CORE has a current and no voltage"),
    ],
)
def test_pmic_answer_that_is_not_complete(text: str, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        vcgencmd.parse_pmic(text)


@given(
    st.text(max_size=200)
    | st.from_regex(r"(throttled=0x|frequency\(\d\)=|temp=|\w+_A current\(1\)=)[\w.]{0,12}.?")
)
def test_no_answer_of_a_command_surprises_the_parsers(text: str) -> None:
    for parse in (vcgencmd.parse_pmic, vcgencmd.parse_throttled, vcgencmd.parse_clock_khz):
        try:
            parse(text)
        except SensorError as error:
            assert "\n" not in str(error)
    try:
        vcgencmd.parse_temperature_mc(text)
    except SensorError as error:
        assert "unexpected answer" in str(error)
    try:
        assert parse_nvpmodel(text).strip()
    except SensorError as error:
        assert str(error).startswith("nvpmodel -q: ")


@given(st.integers(0, 0xFFFFF))
def test_throttled_bits(bits: int) -> None:
    assert vcgencmd.parse_throttled(f"throttled=0x{bits:x}\n") == bits
    named = decode_pi(bits)
    assert sum(named[f"now:{name}"] << i for i, name in enumerate(PI_BITS)) == bits & 0xF
    assert sum(named[f"since-boot:{name}"] << i for i, name in enumerate(PI_BITS)) == bits >> 16 & 0xF


def test_figures_of_the_firmware() -> None:
    assert vcgencmd.parse_clock_khz("frequency(0)=2400033792") == 2400033
    assert vcgencmd.parse_temperature_mc("temp=48.8'C") == 48800
    with pytest.raises(
        SensorError, match=re.escape('vcgencmd measure_temp: unexpected answer "temp=hot\'C"')
    ):
        vcgencmd.parse_temperature_mc("temp=hot'C")


@given(st.text(max_size=400))
def test_any_cpuinfo_is_described(text: str) -> None:
    processors = cpu.parse_cpuinfo(text)
    assert isinstance(cpu.model(processors), str)
    assert list(cpu.features(processors)) == sorted(set(cpu.features(processors)))
