"""Boards as trees of files: what their kernels and vendor commands show, with a power that a test sets.

Each function lays one board under a folder: the real names, units and line formats, invented values.
A tree is used as ``root``, or mounted over the machine's own ``/sys``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.devices import dumpsys
from tests.devices.tree import command, link, program, put, put_all

SetPower = Callable[[float, float], None]


@dataclass(frozen=True)
class Board:
    """A tree and the means to change it."""

    root: Path
    sensor: str
    set_power: SetPower

    def put(self, path: str, value: object) -> None:
        """Write one attribute; a reader sees the old or the new text, never half of it."""
        put(self.root, path, value)

    def draw(self, milliwatt: float, energy_uj: float = 0.0) -> None:
        """Show this power now, and as counters show it this energy so far."""
        self.set_power(milliwatt, energy_uj)


def raspberry_pi_5(root: Path) -> Board:
    """Twelve rails with current and voltage, two inputs with voltage alone."""
    volts = {"3V7_WL_SW": 3.702, "3V3_SYS": 3.311, "1V8_SYS": 1.801, "DDR_VDD2": 1.105, "DDR_VDDQ": 0.604}
    volts |= {"1V1_SYS": 1.108, "0V8_SW": 0.803, "VDD_CORE": 0.889, "3V3_DAC": 3.31, "3V3_ADC": 3.316}
    volts |= {"0V8_AON": 0.798, "HDMI": 5.09}

    def set_power(milliwatt: float, energy_uj: float) -> None:
        amperes = {rail: milliwatt / 1000 / len(volts) / volt for rail, volt in volts.items()}
        lines = [f"{rail + '_A':>12} current({i})={a:.8f}A" for i, (rail, a) in enumerate(amperes.items())]
        lines += [f"{rail + '_V':>12} volt({i + 8})={v:.8f}V" for i, (rail, v) in enumerate(volts.items())]
        lines += ["     EXT5V_V volt(24)=5.10123000V", "      BATT_V volt(25)=0.00000000V"]
        put(root, "run/vcgencmd/pmic_read_adc", "\n".join(lines))

    _pi(root, "Raspberry Pi 5 Model B Rev 1.0", "0xd0b", "fp asimd aes fphp asimdhp asimddp")
    put(root, "run/vcgencmd/measure_clock_arm", "frequency(0)=2400033792")
    return _drawn(Board(root, "rpi-pmic", set_power))


def raspberry_pi_4(root: Path) -> Board:
    """The same command, without a current to read."""
    _pi(root, "Raspberry Pi 4 Model B Rev 1.4", "0xd08", "fp asimd crc32 cpuid")
    return Board(root, "", _no_power)


def raspberry_pi_4_in_32_bits(root: Path) -> Board:
    """The same board under a 32-bit system, whose kernel names the processor's features otherwise."""
    features = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32"
    _pi(root, "Raspberry Pi 4 Model B Rev 1.4", "0xd08", features)
    return Board(root, "", _no_power)


def orin_nano(root: Path) -> Board:
    """JetPack 6: VDD_IN carries the two others."""
    _jetson(root, "NVIDIA Jetson Orin Nano Developer Kit")
    chip = _ina3221(root, "1-0040", 1, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))
    command(root, "nvpmodel", {"-q": "NV Power Mode: MAXN_SUPER\n2"})
    put_all(root, "sys/class/hwmon/hwmon2", {"name": "soctherm_oc", "oc1_event_cnt": 0, "oc3_event_cnt": 4})

    def set_power(milliwatt: float, energy_uj: float) -> None:
        _rail(root, chip, 1, 5064, milliwatt)
        _rail(root, chip, 2, 5064, milliwatt * 0.4)
        _rail(root, chip, 3, 5056, milliwatt * 0.3)

    return _drawn(Board(root, "jetson-ina3221", set_power))


def agx_orin(root: Path) -> Board:
    """Two chips, no total; the channels that are not connected carry nonsense."""
    _jetson(root, "NVIDIA Jetson AGX Orin Developer Kit")
    first = _ina3221(root, "1-0040", 3, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
    second = _ina3221(root, "1-0041", 4, ("NC", "VDDQ_VDD2_1V8AO", "NC"))
    for index in (1, 3):
        _rail(root, second, index, 19100, 5000)

    def set_power(milliwatt: float, energy_uj: float) -> None:
        _rail(root, first, 1, 19120, milliwatt * 0.4)
        _rail(root, first, 2, 19112, milliwatt * 0.3)
        _rail(root, first, 3, 5056, milliwatt * 0.2)
        _rail(root, second, 2, 19100, milliwatt * 0.1)

    return _drawn(Board(root, "jetson-ina3221", set_power))


def jetson_nano_jetpack_4(root: Path) -> Board:
    """IIO: the driver multiplies; POM_5V_IN carries the two others."""
    _jetson(root, "NVIDIA Jetson Nano Developer Kit")
    device = "sys/devices/50000000.host1x/546c0000.i2c/i2c-6/6-0040"
    link(root, "sys/bus/i2c/drivers/ina3221x/6-0040", device)
    for index, rail in enumerate(("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU")):
        put(root, f"{device}/iio:device0/rail_name_{index}", rail)
    put_all(root, "sys/class/thermal/thermal_zone7", {"type": "PMIC-Die", "temp": 100000})

    def set_power(milliwatt: float, energy_uj: float) -> None:
        for index, share in enumerate((1.0, 0.2, 0.4)):
            ampere = round(milliwatt * share / 4.952)
            put(root, f"{device}/iio:device0/in_voltage{index}_input", 4952)
            put(root, f"{device}/iio:device0/in_current{index}_input", ampere)
            put(root, f"{device}/iio:device0/in_power{index}_input", 4952 * ampere // 1000)

    return _drawn(Board(root, "jetson-ina3221", set_power))


#: A phone's properties.
PIXEL = {
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 7",
    "ro.soc.manufacturer": "Google",
    "ro.soc.model": "Tensor G2",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
}

#: What vendors make of ``current_now`` while 1 mA leaves the battery.
ANDROID_CONVENTIONS = {"aosp": -1000.0, "positive": 1000.0, "milliampere": -1.0}


def android(root: Path, convention: str) -> Board:
    """A phone on its battery."""
    battery = "sys/class/power_supply/battery"
    put_all(
        root, battery, {"type": "Battery", "status": "Discharging", "present": 1, "capacity": 67, "temp": 337}
    )
    put_all(root, "sys/class/power_supply/usb", {"type": "USB", "online": 0})
    _zones(root, {"cpu-0-0-usr": 45200, "battery": 33700, "skin-therm": 36100})
    _cpuinfo(root, "0xd46", "fp asimd asimddp i8mm")
    command(root, "getprop", PIXEL)

    def set_power(milliwatt: float, energy_uj: float) -> None:
        put(root, f"{battery}/voltage_now", 3_950_000)
        put(root, f"{battery}/current_now", round(milliwatt / 3.95 * ANDROID_CONVENTIONS[convention]))

    return _drawn(Board(root, "power-supply", set_power))


def android_whose_gauge_is_closed(root: Path) -> Board:
    """A phone whose services alone may look at its battery and its zones."""
    _cpuinfo(root, "0xd46", "fp asimd asimddp i8mm")
    command(root, "getprop", PIXEL)
    command(root, "dumpsys", {"thermalservice": dumpsys.thermalservice(), "battery": dumpsys.battery()})

    def set_power(milliwatt: float, energy_uj: float) -> None:
        told = dumpsys.health(microampere=round(-milliwatt / 3.95 * 1000))
        put(root, "run/dumpsys/android.hardware.health.IHealth_default", told)

    return _drawn(Board(root, "android-battery", set_power))


def laptop(root: Path) -> Board:
    """Reports power itself; the mouse's battery is not the machine's."""
    put_all(root, "sys/class/power_supply/BAT0", {"type": "Battery", "status": "Discharging", "present": 1})
    put_all(
        root, "sys/class/power_supply/hid-1", {"type": "Battery", "scope": "Device", "status": "Discharging"}
    )
    put_all(root, "sys/class/power_supply/AC", {"type": "Mains", "online": 0})
    put_all(root, "sys/class/dmi/id", {"sys_vendor": "LENOVO", "product_name": "20XW"})

    def set_power(milliwatt: float, energy_uj: float) -> None:
        put(root, "sys/class/power_supply/BAT0/power_now", round(milliwatt * 1000))

    return _drawn(Board(root, "power-supply", set_power))


RAPL_RANGE_UJ = 262_143_328_850


def x86(root: Path, start_uj: int = RAPL_RANGE_UJ - 5_000_000) -> Board:
    """Two packages whose counters soon wrap, with zones inside them and one for the whole platform."""
    zones = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram"}
    zones |= {"intel-rapl:1": "package-1", "intel-rapl:2": "psys"}
    for zone, name in zones.items():
        folder = f"sys/devices/virtual/powercap/intel-rapl/{zone}"
        put_all(root, folder, {"name": name, "energy_uj": 1, "max_energy_range_uj": RAPL_RANGE_UJ})
        link(root, f"sys/class/powercap/{zone}", folder)
    put_all(root, "sys/class/dmi/id", {"sys_vendor": "Dell Inc.", "product_name": "Dell Inc. PowerEdge"})
    put_all(
        root,
        "sys/class/hwmon/hwmon0",
        {"name": "coretemp", "temp1_input": 51000, "temp1_label": "Package id 0"},
    )
    put(root, "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", 3)

    def set_power(milliwatt: float, energy_uj: float) -> None:
        put(
            root,
            "sys/class/powercap/intel-rapl:0/energy_uj",
            (start_uj + round(energy_uj * 0.7)) % RAPL_RANGE_UJ,
        )
        put(root, "sys/class/powercap/intel-rapl:1/energy_uj", round(energy_uj * 0.3))

    return _drawn(Board(root, "rapl", set_power))


def ina2xx(root: Path, chip: str) -> Board:
    """A monitor somebody soldered into the supply."""
    put_all(
        root,
        "sys/class/hwmon/hwmon2",
        {"name": chip, "in0_input": 9, "in1_input": 5072, "shunt_resistor": 10000},
    )

    def set_power(milliwatt: float, energy_uj: float) -> None:
        put(root, "sys/class/hwmon/hwmon2/power1_input", round(milliwatt * 1000))
        put(root, "sys/class/hwmon/hwmon2/curr1_input", round(milliwatt / 5.072))

    return _drawn(Board(root, "ina2xx", set_power))


#: Mode 3 is one of those that need a restart: asked for, it asks back and stays as it was.
_NVPMODEL = """#!/bin/sh
here="${0%/*}/../../run/nvpmodel"
echo "$*" >> "$here/asked"
case "$1" in
-q) id=$(cat "$here/id"); set -- 15W 25W MAXN_SUPER SLOW; shift "$id"
    printf 'NV Fan Mode:quiet\\nNV Power Mode: %s\\n%s\\n' "$1" "$id";;
-p) n=0; for name in 15W 25W MAXN_SUPER SLOW; do
    echo "NVPM VERB: POWER_MODEL: ID=$n NAME=$name"; n=$((n+1)); done;;
-m) if [ "$2" = 3 ]; then
      echo 'NVPM WARN: Reboot required for changing to this power mode: 3'; read -r answer; exit 0
    fi
    echo "$2" > "$here/id";;
esac
"""

#: ``clocks`` stands for all that it holds; it asks before it writes over a file, and here nobody answers.
_JETSON_CLOCKS = """#!/bin/sh
here="${0%/*}/../../run/nvpmodel"
echo "clocks $*" >> "$here/asked"
case "$1" in
--store) if [ -e "$2" ]; then echo "File $2 already exists. Can I overwrite it? Y/N:"; exit 1; fi
    cp "$here/clocks" "$2";;
--restore) cp "$2" "$here/clocks";;
"") echo highest > "$here/clocks";;
esac
"""


def settable_orin_nano(root: Path) -> Board:
    """An Orin Nano whose power modes 15W, 25W and MAXN_SUPER can be set; ``run/nvpmodel`` shows what is."""
    board = orin_nano(root)
    for name, text in (("nvpmodel", _NVPMODEL), ("jetson_clocks", _JETSON_CLOCKS)):
        program(root, name, text)
    put_all(root, "run/nvpmodel", {"id": 2, "clocks": "as they please"})
    return board


#: Every board with a sensor, by name.
POWERED: dict[str, Callable[[Path], Board]] = {
    "raspberry-pi-5": raspberry_pi_5,
    "orin-nano": orin_nano,
    "agx-orin": agx_orin,
    "jetson-nano-jetpack-4": jetson_nano_jetpack_4,
    "android-aosp": lambda root: android(root, "aosp"),
    "android-positive": lambda root: android(root, "positive"),
    "android-milliampere": lambda root: android(root, "milliampere"),
    "android-services": android_whose_gauge_is_closed,
    "laptop": laptop,
    "x86-rapl": x86,
    "ina219": lambda root: ina2xx(root, "ina219"),
    "ina226": lambda root: ina2xx(root, "ina226"),
}


def _drawn(board: Board) -> Board:
    board.draw(4000.0)
    return board


def _no_power(milliwatt: float, energy_uj: float) -> None:
    raise AssertionError("this board cannot show its power")


def _pi(root: Path, model: str, part: str, features: str) -> None:
    put(root, "sys/firmware/devicetree/base/model", model.encode() + b"\0")
    _zones(root, {"cpu-thermal": 61500})
    _cpuinfo(root, part, features)
    _cpufreq(root, 2400000)
    answers = {"measure_temp": "temp=61.7'C", "get_throttled": "throttled=0x50000"}
    command(root, "vcgencmd", {**answers, "measure_clock arm": "frequency(48)=1800457088"})


def _jetson(root: Path, model: str) -> None:
    put(root, "sys/firmware/devicetree/base/model", model.encode() + b"\0")
    _zones(root, {"cpu-thermal": 47687, "gpu-thermal": 48625, "cv0-thermal": -256000})
    _cpuinfo(root, "0xd42", "fp asimd asimddp fphp asimdhp")
    _cpufreq(root, 1510400)
    put(root, "sys/class/devfreq/17000000.gpu/cur_freq", 612000000)


def _zones(root: Path, zones: Mapping[str, int]) -> None:
    for index, (kind, millidegree) in enumerate(zones.items()):
        put_all(root, f"sys/class/thermal/thermal_zone{index}", {"type": kind, "temp": millidegree})
    put_all(root, "sys/class/thermal/cooling_device0", {"type": "pwm-fan", "cur_state": 3})
    put_all(root, "sys/class/thermal/cooling_device1", {"type": "cpufreq-cpu0", "cur_state": 0})


def _cpufreq(root: Path, khz: int) -> None:
    put_all(root, "sys/devices/system/cpu", {"possible": "0-3", "present": "0-3", "online": "0-3"})
    put_all(
        root,
        "sys/devices/system/cpu/cpufreq/policy0",
        {
            "scaling_cur_freq": khz,
            "scaling_governor": "schedutil",
            "scaling_available_governors": "conservative ondemand userspace powersave performance schedutil",
        },
    )


def _cpuinfo(root: Path, part: str, features: str) -> None:
    block = f"BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
    block += f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 1\n"
    put(root, "proc/cpuinfo", "\n".join(f"processor\t: {i}\n{block}" for i in range(4)))
    put(root, "proc/meminfo", "MemTotal:        8245240 kB\nMemFree:         7000000 kB")
    put(root, "proc/loadavg", "0.20 0.18 0.12 1/80 11206")


def _ina3221(root: Path, address: str, hwmon: int, labels: tuple[str, str, str]) -> str:
    device = f"sys/devices/platform/bus@0/c240000.i2c/i2c-1/{address}"
    chip = f"{device}/hwmon/hwmon{hwmon}"
    link(root, f"sys/bus/i2c/drivers/ina3221/{address}", device)
    put_all(root, chip, {"name": "ina3221", "in7_label": "sum of shunt voltages", "in7_input": 6000})
    for index, label in enumerate(labels, start=1):
        put_all(
            root, chip, {f"in{index}_label": label, f"in{index}_enable": 1, f"shunt{index}_resistor": 5000}
        )
    return chip


def _rail(root: Path, chip: str, index: int, millivolt: int, milliwatt: float) -> None:
    milliampere = round(milliwatt * 1000 / millivolt)
    put(root, f"{chip}/in{index}_input", millivolt)
    put(root, f"{chip}/curr{index}_input", milliampere)
    put(root, f"{chip}/in{index + 3}_input", milliampere * 5)
