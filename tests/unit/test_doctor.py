"""What the doctor makes of what a device tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.test_provision_plan import GOOD

from edgewright.device.clock import ClockBounds
from edgewright.device.environment import environment_for, python_in
from edgewright.device.facts import Answered, Facts
from edgewright.farm.doctor.bare import bare_checks
from edgewright.farm.doctor.check import Check
from edgewright.farm.doctor.probed import jobs_check, probed_checks, state_checks
from edgewright.farm.inventory import Target
from edgewright.profiles import load_profile
from edgewright_agent.protocol import Device, Environment, RuntimeInfo, SensorInfo
from edgewright_agent.protocol_spool import JobInfo

TARGET = Target("board", "raspberry-pi-5")
PROFILE = load_profile("raspberry-pi-5")
SECOND = 10**9
NOW = ClockBounds(-SECOND // 10, SECOND // 10)
RECORD = '{"name":"0123abcd","made_for":"python3","python":"3.11.2","runtimes":["onnxruntime"]}'


def bare(clock: ClockBounds = NOW, **changes: Any) -> dict[str, Check]:
    facts: Facts = replace(GOOD, numpy="2.2.0", **changes)
    checks = bare_checks(TARGET, Answered(facts, clock, 0.2), "f" * 64)
    return {check.name: check for check in checks}


def test_all_is_well() -> None:
    assert {check.status for check in bare().values()} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "name", "status", "found", "mend"),
    [
        ({"version": (3, 7, 3)}, "python", "problem", "CPython 3.7.3", "install 3.8"),
        ({"numpy": ""}, "python", "problem", "no numpy", "edgewright device provision board"),
        (
            {"numpy": "", "record": RECORD},
            "python",
            "ok",
            "used is /home/pi/.cache/edgewright/env/0123abcd",
            "",
        ),
        ({"is_writable": False}, "workdir", "problem", "cannot be written", "set workdir"),
        ({"is_noexec": True}, "workdir", "warning", "noexec", "set workdir"),
        ({"disk_free_bytes": 1 << 20}, "disk", "problem", "1 MiB free", "device clean board"),
        ({"disk_free_bytes": 100 << 20}, "disk", "warning", "100 MiB free", "device clean board"),
        ({"files_free": 3}, "disk", "problem", "only 3 more files", "device clean board"),
        ({"files_free": None}, "disk", "ok", "8 GiB free", ""),
        ({"memory_available_bytes": 50 << 20}, "memory", "warning", "50 MiB available", "end what else"),
        ({"memory_available_bytes": None}, "memory", "not checked", "does not tell", ""),
        ({"agents": {"f" * 64: 9}}, "agent", "ok", "in place", ""),
        ({"agents": {"0" * 64: 2048}}, "agent", "ok", "1 of other versions: 2 KiB", "device clean board"),
        ({"holder": "anna@desk: resnet"}, "turn", "warning", "held by anna@desk: resnet", "a run waits"),
    ],
)
def test_bare(changes: dict[str, Any], name: str, status: str, found: str, mend: str) -> None:
    facts = {"numpy": "2.2.0", **changes}
    answered = Answered(replace(GOOD, **facts), NOW, 0.2)
    check = {check.name: check for check in bare_checks(TARGET, answered, "f" * 64)}[name]
    assert (check.status, found in check.found, mend in check.mend) == (status, True, True), check


@pytest.mark.parametrize(
    ("ahead_s", "status", "found"),
    [
        (-7200.0, "warning", "2.0 hours behind this host's, within 0.1 s"),
        (86400.0 * 365, "warning", "365.0 days ahead of this host's"),
        (3.0, "ok", "3 s ahead of this host's"),
        (0.05, "ok", "the same as this host's within 0.1 s"),
    ],
)
def test_a_clock_that_differs(ahead_s: float, status: str, found: str) -> None:
    ahead_ns = round(ahead_s * SECOND)
    check = bare(ClockBounds(NOW.low_ns - ahead_ns, NOW.high_ns - ahead_ns))["clock"]
    assert check.status == status
    assert found in check.found


# --- what the agent tells ----------------------------------------------------------------------------


def probed(*runtimes: RuntimeInfo, sensors: tuple[SensorInfo, ...] = ()) -> dict[str, Check]:
    device = Device("h", "", "aarch64", "Linux", "glibc 2.36", "3.11.2", "", (), 4, 1, 1, runtimes, sensors,
                    Environment(0))  # fmt: skip
    return {check.name: check for check in probed_checks("board", PROFILE, device)}


ORT = RuntimeInfo("onnxruntime", "1.32.0", ("CPUExecutionProvider",))
LITERT = RuntimeInfo("ai-edge-litert", "2.3.0")
NO_ORT = RuntimeInfo("onnxruntime", "", reason="not installed")
NO_LITERT = RuntimeInfo("ai-edge-litert", "", reason="not installed")
NO_TFLITE = RuntimeInfo("tflite-runtime", "", reason="not installed")


def test_one_runtime_makes_a_run_possible_and_none_is_a_problem() -> None:
    found = probed(ORT, NO_LITERT, NO_TFLITE)
    assert (found["onnxruntime"].status, found["ai-edge-litert"].status) == ("ok", "warning")
    assert found["ai-edge-litert"].mend == "edgewright device provision board --runtime ai-edge-litert"
    found = probed(NO_ORT, NO_LITERT, NO_TFLITE)
    assert {found[name].status for name in ("onnxruntime", "ai-edge-litert", "tflite-runtime")} == {"problem"}


def test_a_runtime_whose_files_another_runs_is_not_missed() -> None:
    found = probed(NO_ORT, LITERT, NO_TFLITE)["tflite-runtime"]
    assert (found.status, found.mend) == ("ok", "")
    assert "ai-edge-litert runs the same files" in found.found


def test_providers_that_the_profile_wants() -> None:
    jetson = load_profile("jetson-orin-nano")
    device = Device("h", "", "aarch64", "Linux", "glibc 2.35", "3.10.12", "", (), 6, 1, 1, (ORT,), (),
                    Environment(0))  # fmt: skip
    found = {check.name: check for check in probed_checks("board", jetson, device)}["onnxruntime providers"]
    assert found.status == "warning"
    assert "TensorrtExecutionProvider" in found.found
    assert "NVIDIA" in found.mend


def test_power_sensors() -> None:
    denied = SensorInfo("rpi-pmic", "", reason="no permission to use vcgencmd")
    assert probed(ORT, sensors=(denied,))["power sensor"].status == "warning"
    assert "no permission" in probed(ORT, sensors=(denied,))["power sensor"].found
    assert probed(ORT, sensors=(SensorInfo("rpi-pmic", "board"),))["power sensor"].status == "ok"


def state(**changes: Any) -> dict[str, Check]:
    checks = state_checks(PROFILE, Environment(0, **changes), 4)
    return {check.name: check for check in checks}


@pytest.mark.parametrize(
    ("changes", "name", "status", "found"),
    [
        ({"governor": {"policy0": "performance"}}, "governor", "ok", "performance"),
        ({"governor": {"policy0": "ondemand", "policy4": "performance"}}, "governor", "warning", "ondemand"),
        ({}, "governor", "not checked", "does not tell"),
        ({"temperature_mc": {"cpu": 45_000}}, "temperature", "ok", "45.0 °C (cpu), slows down at 80 °C"),
        ({"temperature_mc": {"cpu": 45_000, "gpu": 71_000}}, "temperature", "warning", "71.0 °C (gpu)"),
        ({}, "temperature", "not checked", "no sensor"),
        ({"throttled": {"now:under-voltage": 1}}, "throttling", "warning", "now: under-voltage"),
        (
            {"throttled": {"since-boot:throttled": 1}},
            "throttling",
            "warning",
            "since it was started: throttled",
        ),
        ({"throttled": {"now:throttled": 0}}, "throttling", "ok", "none"),
        ({"load_average": (3.5, 1.0, 0.5)}, "load", "warning", "3.50 of 4 cores"),
        ({"load_average": (0.1, 1.0, 0.5)}, "load", "ok", "0.10 of 4 cores"),
        ({"notes": ("no permission to list thermal",)}, "state", "warning", "no permission"),
    ],
)
def test_state(changes: dict[str, Any], name: str, status: str, found: str) -> None:
    check = state(**changes)[name]
    assert check.status == status
    assert found in check.found


def test_a_weak_power_supply_is_mended_by_a_stronger_one() -> None:
    assert "power supply" in state(throttled={"now:under-voltage": 1})["throttling"].mend
    assert "cool" in state(throttled={"now:throttled": 1})["throttling"].mend


def test_results_that_wait() -> None:
    assert jobs_check("board", []).status == "ok"
    running = JobInfo("1", "anna@desk", "one", "running", 10, 1.0)
    ended = JobInfo("2", "anna@desk", "resnet", "finished", 2048, 1.0)
    assert jobs_check("board", [running]).status == "ok"
    check = jobs_check("board", [running, ended])
    assert check.status == "warning"
    assert "1 wait to be taken up, 2 KiB: resnet" in check.found


# --- the record of an environment ----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        RECORD.replace("0123abcd", "../../../tmp/evil"),
        RECORD.replace("0123abcd", "0123abcd/../x"),
        RECORD.replace("0123abcd", "0123abcd\\n"),
        RECORD.replace("python3", "/usr/bin/python3.9"),
    ],
)
def test_a_record_that_is_not_to_be_believed(text: str) -> None:
    assert environment_for("python3", text) is None


def test_a_record_to_be_believed() -> None:
    record = environment_for("python3", RECORD)
    assert record is not None
    assert python_in("/home/pi/ew", record) == "/home/pi/ew/env/0123abcd/bin/python"
