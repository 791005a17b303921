"""Whether a measured row can be believed, and on what evidence. Derived on read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.row import Measured, Row
from edgewright_agent.protocol import Device, RunResult

from .executed import executed
from .finding import SEVERITY, Finding, Status
from .kernel import kernels
from .scenario_document import Scenario
from .scenarios import scenario_of
from .scenarios.findings import findings as scenario_findings
from .scenarios.findings import is_busy, is_cut_short, watched
from .stats import Nanoseconds, Summary, ms, summarize
from .watch import watch

__all__ = ["Status", "Verdict", "judge", "steady_state", "verdict"]

#: preset -> inferences and seconds a row needs, both (MLPerf Mobile's rule).
MINIMUM: dict[str, tuple[int, float]] = {"rapid": (64, 6.0), "quick": (128, 10.0), "publish": (1024, 60.0)}
#: Launch medians further apart than this, relative to their middle, are noisy.
LAUNCH_SPREAD = 0.05
#: Consecutive fifths of a launch whose medians are further apart than this are noisy.
DRIFT = 0.10
#: A sampler that slows the inferences by more than this perturbs them.
PERTURBATION = 0.02
_BLOCKS = 5
_EMULATORS = re.compile(r"qemu|dummy-virt|\btcg\b|emulat", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """``status`` is the worst thing found; ``evidence`` are sentences with the numbers behind it."""

    status: Status
    evidence: tuple[str, ...]


def verdict(row: Row) -> Verdict | None:
    """Judge a row; None when it was not measured, for then its reason says all."""
    if not isinstance(row.outcome, Measured):
        return None
    samples = steady_state(row.outcome.launches)
    shown = scenario_of(row.scenario, row.outcome.launches)
    return judge(row, row.outcome, samples, summarize(samples) if samples else None, shown)


def steady_state(launches: Sequence[RunResult]) -> list[Nanoseconds]:
    """The steady-state samples of the launches that have any."""
    return [
        np.asarray(launch.timing.latency_ns, dtype=np.int64)
        for launch in launches
        if launch.timing is not None and launch.timing.latency_ns
    ]


def judge(
    row: Row,
    outcome: Measured,
    samples: Sequence[Nanoseconds],
    summary: Summary | None,
    shown: tuple[Scenario | None, str | None] = (None, None),
) -> Verdict:
    """Judge a measured row whose samples are summarized already; None when it has no samples.

    ``shown`` is what its scenario showed, or why that is not known.
    """
    scenario, no_scenario = shown
    timed = [launch for launch in outcome.launches if launch.timing is not None and launch.timing.latency_ns]
    findings = [*_emulated(outcome.device), *executed(row, outcome.launches)]
    missing = len(outcome.launches) - len(timed)
    if missing or summary is None:
        findings.append(Finding("too short", f"{missing} of {len(outcome.launches)} launches were not timed"))
    if summary is not None:
        blocks = [_block_medians(launch) for launch in samples]
        slowed = [bool(b.size) and bool(b[-1] > (1 + LAUNCH_SPREAD) * b[0]) for b in blocks]
        drifting = [] if scenario and scenario.sustained else blocks  # a drift is what such a run looks for
        findings += [
            *_long_enough(row.preset, timed, summary, is_excused=is_cut_short(scenario)),
            *_steady(drifting, summary),
            *_sampler(timed, summary),
            *(scenario_findings(scenario, timed) if scenario else ()),
            *watched(timed),
            *watch(timed, slowed=slowed, is_busy=is_busy(scenario)),
            *kernels(timed),
        ]
    if no_scenario:
        findings.append(Finding("too short", no_scenario))
    return _decide(findings)


def _decide(findings: Sequence[Finding]) -> Verdict:
    blamed = {finding.status for finding in findings}
    status: Status = next((status for status in SEVERITY if status in blamed), "valid")
    ordered = sorted(findings, key=lambda finding: (finding.status is None, finding.status != status))
    return Verdict(status, tuple(dict.fromkeys(finding.sentence for finding in ordered)))


def _emulated(device: Device) -> Iterator[Finding]:
    if device.emulation:
        yield Finding("emulated", f"its times are not a board's: {device.emulation}")
    elif _EMULATORS.search(device.cpu_model):
        yield Finding(
            "emulated", f"the processor calls itself {device.cpu_model!r}: its times are not a board's"
        )
    elif _EMULATORS.search(device.board):
        if device.machine == "x86_64" and device.cpu_model:
            yield Finding(
                None, f"a virtual machine ({device.board!r}) that runs on its host's {device.cpu_model}"
            )
        else:
            yield Finding("emulated", f"the board calls itself {device.board!r}: its times are not a board's")


def _long_enough(
    preset: str, launches: Sequence[RunResult], summary: Summary, *, is_excused: bool
) -> Iterator[Finding]:
    seconds = sum(launch.timing.duration_ns for launch in launches if launch.timing) / 1e9
    measured = f"{summary.count:,} inferences in {seconds:.1f} s over {len(launches)} launches"
    if preset not in MINIMUM:
        yield Finding(None, f"{measured}; preset {preset!r} states no minimum")
        return
    count, least_s = MINIMUM[preset]
    enough = is_excused or (summary.count >= count and seconds >= 0.999 * least_s)
    needed = f"{preset} needs {count:,} and {least_s:g} s"
    yield Finding(None if enough else "too short", f"{measured} ({needed})")


def _block_medians(samples: Nanoseconds) -> npt.NDArray[np.float64]:
    """Medians of consecutive fifths of a launch; none when a fifth would hold under ten samples."""
    if samples.size < 10 * _BLOCKS:
        return np.empty(0)
    return np.asarray([np.median(block) for block in np.array_split(samples, _BLOCKS)])


def _steady(blocks: Sequence[npt.NDArray[np.float64]], summary: Summary) -> Iterator[Finding]:
    medians = summary.launch_medians_ns
    if len(medians) > 1:
        spread = (max(medians) - min(medians)) / float(np.median(medians))
        yield Finding(
            "noisy" if spread > LAUNCH_SPREAD else None,
            f"launch medians, {ms(min(medians)):.4g} to {ms(max(medians)):.4g} ms, lie {spread:.1%} apart "
            f"(noisy above {LAUNCH_SPREAD:.0%})",
        )
    else:
        yield Finding(None, "one launch: how much launches differ is unknown")
    for number, launch in enumerate(blocks, start=1):
        if not launch.size:
            continue
        drift = float((launch.max() - launch.min()) / np.median(launch))
        if drift > DRIFT:
            yield Finding(
                "noisy",
                f"in launch {number} the median went from {ms(launch[0]):.4g} to {ms(launch[-1]):.4g} ms; "
                f"its extremes lie {drift:.1%} apart (noisy above {DRIFT:.0%})",
            )


def _sampler(launches: Sequence[RunResult], summary: Summary) -> Iterator[Finding]:
    """Whether reading the power sensor slowed the inferences down."""
    costs = []
    for launch in launches:
        if launch.energy.trace is None:
            if launch.energy.windows:
                yield Finding("perturbed", f"the power sensor stopped during the run: {launch.energy.reason}")
            continue
        active = next((w for w in launch.energy.windows if w.name == "active" and w.count), None)
        if active is not None and launch.timing is not None and launch.timing.latency_ns:
            alone = launch.timing.duration_ns / len(launch.timing.latency_ns)
            costs.append((active.end_ns - active.start_ns) / active.count / alone - 1.0)
    if costs:
        cost = float(np.median(costs))
        medians = summary.launch_medians_ns
        noise = (max(medians) - min(medians)) / float(np.median(medians))
        yield Finding(
            "perturbed" if cost > max(PERTURBATION, noise) else None,
            f"inferences took {cost:+.1%} while the power sensor was read (limit {PERTURBATION:.0%})",
        )
