"""Verdicts: each way a measurement can mislead is found, and what nobody could see is said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.fakes import device, environment, latencies, launch, measured, row

from edgewright.farm.effort import EFFORTS
from edgewright.report.finding import SEVERITY
from edgewright.report.verdict import MINIMUM, Verdict, verdict
from edgewright.row import Failed, Skipped
from edgewright_agent.protocol import Device, Energy, Environment, PowerTrace, RunResult, Samples, Window


def judge(*launches: RunResult, preset: str = "quick", board: Device | None = None) -> Verdict:
    found = verdict(row(measured(*launches, board=board), preset=preset))
    assert found is not None
    return found


def states(*changes: Mapping[str, object]) -> list[Environment]:
    return [environment(float(5 * i), **change) for i, change in enumerate(changes)]


def test_a_quiet_row_is_valid_with_numbers_as_evidence() -> None:
    found = judge(*(launch(latencies(4.2, 500, seed=i), duration_ns=4_000_000_000) for i in range(3)))
    assert found.status == "valid"
    assert "1,500 inferences in 12.0 s over 3 launches (quick needs 128 and 10 s)" in found.evidence
    assert any("launch medians" in sentence and "apart" in sentence for sentence in found.evidence)


def test_rows_that_were_not_measured_have_no_verdict() -> None:
    assert verdict(row(Failed("gone", "transport"))) is None
    assert verdict(row(Skipped("cannot be"))) is None


def test_the_minima_are_those_of_the_presets() -> None:
    assert {name: (e.min_count, float(e.min_duration_s)) for name, e in EFFORTS.items()} == MINIMUM


@pytest.mark.parametrize(("count", "seconds"), [(127, 30), (5000, 9)])
def test_too_few_or_too_brief_is_too_short(count: int, seconds: int) -> None:
    found = judge(launch(latencies(4.2, count), duration_ns=seconds * 10**9))
    assert found.status == "too short"
    assert found.evidence[0].startswith(f"{count:,} inferences in {seconds}.0 s")


def test_an_unknown_preset_states_no_minimum() -> None:
    found = judge(launch(latencies(4.2, 20), duration_ns=10**9), preset="mine")
    assert found.status == "valid"
    assert any("preset 'mine' states no minimum" in sentence for sentence in found.evidence)


def test_launches_that_differ_are_noisy() -> None:
    found = judge(*(launch(latencies(ms, 500), duration_ns=6 * 10**9) for ms in (4.0, 4.3)))
    assert found.status == "noisy"
    assert "launch medians, 4 to 4.3 ms, lie 7.2% apart" in found.evidence[0]


def test_a_launch_that_wanders_is_noisy() -> None:
    rising = Samples(int(4e6 * (1 + 0.3 * i / 2000)) for i in range(2000))
    found = judge(launch(rising, duration_ns=11 * 10**9))
    assert found.status == "noisy"
    assert "in launch 1 the median went from 4.12 to 5.08 ms" in found.evidence[0]


@pytest.mark.parametrize(
    ("before", "after", "status", "words"),
    [
        ({"now:throttled": 0}, {"now:throttled": 1}, "throttled", "throttled held while"),
        ({"since-boot:throttled": 0}, {"since-boot:throttled": 1}, "throttled", "was set during the run"),
        (
            {"since-boot:under-voltage": 0},
            {"since-boot:under-voltage": 1},
            "undervolted",
            "under voltage was set",
        ),
        ({"now:under-voltage": 1}, {"now:under-voltage": 0}, "undervolted", "under voltage held"),
        (
            {"count:core-thermal": 7},
            {"count:core-thermal": 9},
            "throttled",
            "was counted during the run (2 times)",
        ),
        ({"level:cpufreq-cpu0": 0}, {"level:cpufreq-cpu0": 2}, "throttled", "(level 2)"),
    ],
)
def test_throttle_flags_are_compared_before_and_after(
    before: dict[str, int], after: dict[str, int], status: str, words: str
) -> None:
    found = judge(launch(states=states({"throttled": before}, {"throttled": after})))
    assert found.status == status
    assert words in found.evidence[0]


def test_a_flag_set_between_the_readings_is_seen_by_the_one_in_the_middle() -> None:
    middle = {"throttled": {"now:under-voltage": 1}}
    found = judge(
        launch(
            states=states(
                {"throttled": {"now:under-voltage": 0}}, middle, {"throttled": {"now:under-voltage": 0}}
            )
        )
    )
    assert found.status == "undervolted"


def test_old_flags_do_not_blame_a_run_but_are_told() -> None:
    old = {"throttled": {"since-boot:throttled": 1, "count:core-thermal": 7}}
    found = judge(launch(states=states(old, old)))
    assert found.status == "valid"
    assert any("had occurred before the run" in sentence for sentence in found.evidence)


def test_a_clock_that_falls_under_a_steady_governor_is_throttled() -> None:
    found = judge(launch(states=states({}, {"frequency_khz": {"policy0": 1_500_000}})))
    assert found.status == "throttled"
    assert "the processor clock fell from 2,400 MHz to 1,500 MHz" in found.evidence[0]


def test_a_clock_that_falls_under_load_is_throttled_whatever_the_governor() -> None:
    idling = {"governor": {"cpu0": "ondemand"}}
    readings = [
        {"frequency_khz": {"cpu0": khz}, **idling} for khz in (600_000, 2_400_000, 1_200_000, 600_000)
    ]
    assert judge(launch(states=states(*readings))).status == "throttled"
    calm = [{"frequency_khz": {"cpu0": khz}, **idling} for khz in (600_000, 2_400_000, 2_400_000, 600_000)]
    assert judge(launch(states=states(*calm))).status == "valid"


def test_an_idle_clock_is_told_apart_by_the_latencies() -> None:
    fall = states(
        {"governor": {"cpu0": "ondemand"}, "frequency_khz": {"cpu0": 2_400_000}},
        {"governor": {"cpu0": "ondemand"}, "frequency_khz": {"cpu0": 1_000_000}},
    )
    found = judge(launch(states=fall))
    assert found.status == "valid"
    assert any("may be mere idling" in sentence for sentence in found.evidence)
    slower = Samples(int(4e6 * (1 + 0.08 * i / 2000)) for i in range(2000))
    assert judge(launch(slower, duration_ns=11 * 10**9, states=fall)).status == "throttled"


def test_idle_cores_do_not_count() -> None:
    cores = [{"cpu0": 2_400_000, "cpu4": 2_800_000}, {"cpu0": 600_000, "cpu4": 2_790_000}]
    assert judge(launch(states=states(*({"frequency_khz": c} for c in cores)))).status == "valid"


def test_a_watcher_that_dies_never_certifies() -> None:
    found = judge(launch(states=states({"throttled": {"now:throttled": 0}}, {"throttled": {}})))
    assert found.status == "perturbed"
    assert "throttle flag now:throttled could be read before the run but not after it" in found.evidence[0]


def test_a_power_sensor_that_dies_never_certifies() -> None:
    window = Window("active", 0, 10**9, 200)
    found = judge(launch(energy=Energy(None, (window,), "ina3221 stopped answering after 0.4 s")))
    assert found.status == "perturbed"
    assert "ina3221 stopped answering" in found.evidence[0]


def test_what_a_device_does_not_tell_is_said() -> None:
    blind = Environment(t_ns=0)
    found = judge(
        launch(states=[blind, Environment(t_ns=1, notes=("no permission to list /sys/class/thermal",))])
    )
    assert found.status == "valid"
    text = " ".join(found.evidence)
    for words in (
        "no throttle flag",
        "does not tell its clock",
        "does not tell its temperature",
        "no permission",
    ):
        assert words in text


def test_a_state_read_once_shows_no_change() -> None:
    assert any("was read 1 times" in sentence for sentence in judge(launch(states=states({}))).evidence)


@pytest.mark.parametrize(("cost", "status"), [(1.01, "valid"), (1.05, "perturbed")])
def test_a_sampler_that_costs_time_perturbs(cost: float, status: str) -> None:
    samples = latencies(4.0, 3000)
    alone_ns = sum(samples) / 3000
    trace = PowerTrace("rapl", "package", ("package-0",), "", "energy", Samples((0, 1)), Samples((0, 1)))
    window = Window("active", 0, int(1000 * alone_ns * cost), 1000)
    found = judge(launch(samples, duration_ns=sum(samples), energy=Energy(trace, (window,))))
    assert found.status == status
    assert any("while the power sensor was read" in sentence for sentence in found.evidence)


def test_a_provider_that_did_not_execute_fell_back() -> None:
    outcome = measured(launch(providers=("CPUExecutionProvider",)))
    asked = row(outcome)
    found = verdict(
        type(asked)(**{**vars(asked), "providers": ("CUDAExecutionProvider", "CPUExecutionProvider")})
    )
    assert found is not None and found.status == "fell back"
    assert found.evidence[0] == "CUDAExecutionProvider was asked for first, CPUExecutionProvider executed"


def test_launches_on_different_providers_fell_back() -> None:
    found = judge(launch(), launch(providers=("XnnpackExecutionProvider", "CPUExecutionProvider")))
    assert found.status == "fell back"


@pytest.mark.parametrize(
    "facts",
    [
        {"board": "linux,dummy-virt", "cpu_model": ""},
        {"board": "QEMU Virtual Machine", "machine": "aarch64"},
        {"cpu_model": "QEMU Virtual CPU version 2.5+", "machine": "x86_64"},
    ],
)
def test_an_emulated_board_is_told(facts: dict[str, object]) -> None:
    assert judge(launch(), board=device(**facts)).status == "emulated"


def test_what_the_agent_found_is_the_evidence() -> None:
    found = judge(launch(), board=device(emulation="its programs are for 64-bit Arm and are run by qemu"))
    assert found.status == "emulated"
    assert found.evidence[0].endswith("its programs are for 64-bit Arm and are run by qemu")


def test_a_virtual_machine_runs_on_a_real_processor() -> None:
    board = device(board="QEMU Standard PC (Q35 + ICH9, 2009)", machine="x86_64", cpu_model="AMD EPYC")
    found = judge(launch(), board=board)
    assert found.status == "valid"
    assert any("virtual machine" in sentence for sentence in found.evidence)


def test_the_worst_finding_decides_and_leads() -> None:
    bad = states({"throttled": {"now:under-voltage": 0}}, {"throttled": {"now:under-voltage": 1}})
    found = judge(launch(latencies(4.0, 30), states=bad, duration_ns=10**9))
    assert found.status == "undervolted"
    assert "under voltage" in found.evidence[0]
    assert any("quick needs" in sentence for sentence in found.evidence)
    assert SEVERITY.index("undervolted") < SEVERITY.index("too short")


def test_a_launch_without_timing_is_too_short() -> None:
    untimed = launch()
    found = judge(launch(), type(untimed)(**{**vars(untimed), "timing": None}))
    assert found.status == "too short"
    assert found.evidence[0] == "1 of 2 launches were not timed"


def test_hardly_any_sample_is_no_error() -> None:
    for count in (1, 2, 49):
        assert judge(launch([1000] * count, duration_ns=1)).status == "too short"
