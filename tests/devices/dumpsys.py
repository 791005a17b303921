"""What Android's services print, in their own words and layout; the values are invented."""

from __future__ import annotations

from collections.abc import Mapping

#: CPU, GPU, battery, skin, and one that is no temperature at all: the battery's voltage.
SENSORS = {
    "CPU0": (0, 45.2),
    "GPU0": (1, 44.0),
    "battery": (2, 31.4),
    "skin": (3, 36.125),
    "vbat": (6, 3950.0),
}


def thermalservice(
    sensors: Mapping[str, tuple[int, float]] = SENSORS,
    *,
    status: int = 0,
    cooling: int = 0,
    override: bool = False,
) -> str:
    """Sensors by name: their type and value."""
    temperatures = "".join(
        f"\tTemperature{{mValue={value}, mType={kind}, mName={name}, mStatus=0}}\n"
        for name, (kind, value) in sensors.items()
    )
    return (
        f"IsStatusOverride: {str(override).lower()}\n"
        "ThermalEventListeners:\n\tcallbacks: 1\n\tkilled: false\n\tbroadcasts count: -1\n"
        "ThermalStatusListeners:\n\tcallbacks: 3\n\tkilled: false\n\tbroadcasts count: -1\n"
        f"Thermal Status: {status}\n"
        "Cached temperatures:\n"
        "\tTemperature{mValue=99.0, mType=0, mName=CPU0, mStatus=3}\n"
        "HAL Ready: true\n"
        "HAL connection:\n\tThermalHAL AIDL 1  connected: yes\n"
        f"Current temperatures from HAL:\n{temperatures}"
        "Current cooling devices from HAL:\n"
        f"\tCoolingDevice{{mValue={cooling}, mType=2, mName=thermal-cpufreq-0}}\n"
        "\tCoolingDevice{mValue=3, mType=9, mName=panel0-backlight}\n"
        "Temperature static thresholds from HAL:\n"
        "\tTemperatureThreshold{mType=3, mName=skin, mHotThrottlingThresholds=[NaN, 39.0, 43.0], "
        "mColdThrottlingThresholds=[NaN, NaN, NaN]}\n"
    )


def battery(*, temperature: int = 314, usb: bool = False, stopped: bool = False) -> str:
    """The temperature is in tenths of a degree."""
    return (
        "Current Battery Service state:\n"
        + ("  (UPDATES STOPPED -- use 'reset' to restart)\n" if stopped else "")
        + f"  AC powered: false\n  USB powered: {str(usb).lower()}\n"
        "  Wireless powered: false\n  Dock powered: false\n"
        "  Max charging current: 0\n  Max charging voltage: 0\n  Charge counter: 3270000\n"
        f"  status: {2 if usb else 3}\n  health: 2\n  present: true\n  level: 80\n  scale: 100\n"
        f"  voltage: 3950\n  temperature: {temperature}\n  technology: Li-ion\n"
    )


def health(*, microampere: int, millivolt: int = 3950, status: str = "DISCHARGING", usb: bool = False) -> str:
    """What the health service adds of its own is in the last line."""
    return (
        f"ac: 0 usb: {int(usb)} wireless: 0 dock: 0 current_max: 0 voltage_max: 0\n"
        "status: 3 health: 2 present: 1\n"
        f"level: 80 voltage: {millivolt} temp: 314\ncurrent now: {microampere}\ncurrent avg: {microampere}\n"
        "charge counter: 3270000\ncycle count: 112\nFull charge: 4270000\n\n"
        f"getHealthInfo -> HealthInfo{{chargerAcOnline: false, chargerUsbOnline: {str(usb).lower()}, "
        "chargerWirelessOnline: false, chargerDockOnline: false, maxChargingCurrentMicroamps: 0, "
        f"maxChargingVoltageMicrovolts: 0, batteryStatus: {status}, "
        "batteryHealth: GOOD, batteryPresent: true, "
        f"batteryLevel: 80, batteryVoltageMillivolts: {millivolt}, batteryTemperatureTenthsCelsius: 314, "
        f"batteryCurrentMicroamps: {microampere}, batteryCycleCount: 112, batteryFullChargeUah: 4270000, "
        "batteryChargeCounterUah: 3270000, batteryTechnology: Li-ion, "
        f"batteryCurrentAverageMicroamps: {microampere}, diskStats: [], storageInfos: [], "
        "batteryCapacityLevel: NORMAL}\n"
    )
