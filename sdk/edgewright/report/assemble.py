"""From a stored run to the report document: every statistic is derived here, from raw samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from edgewright import __version__
from edgewright.row import Failed, Measured, Skipped
from edgewright.row import Row as StoredRow
from edgewright.store.records import Run, StoredRun
from edgewright_agent.protocol import Device, Environment, RunResult, SessionInfo

from . import document as doc
from .combine import combine_energy, combine_memory, combine_parity
from .headline import headlines
from .held import held
from .kernel import best_ns, waited
from .scenario_document import Scenario
from .scenarios import WITHOUT_ENERGY, scenario_of
from .scenarios.series import start_times, starts_of
from .stats import INTERVAL_CONFIDENCE, Nanoseconds, Summary, ms, summarize
from .text import clean, clean_lines
from .verdict import judge, steady_state

#: Raw samples a launch contributes to the document unless all are asked for; the store keeps them all.
SAMPLES_PER_LAUNCH = 10_000
_MOST_ENTRIES = 64

V = TypeVar("V")


def report_document(run: StoredRun, *, samples: int | None = SAMPLES_PER_LAUNCH) -> doc.ReportDocument:
    """Summarize and judge every row.

    Args:
        run: what the store holds.
        samples: how many raw samples of each launch to include at most; every k-th is taken, and k
            said. None includes all.
    """
    rows = [row_document(row, samples) for row in run.rows]
    return _document(run.run, rows, _devices(run.rows))


def overview_document(run: Run, rows: Iterable[StoredRow]) -> doc.ReportDocument:
    """A report without the launches, for which one row at a time is in memory with its raw samples."""
    shown: list[doc.Row] = []
    devices: dict[str, doc.DeviceFacts] = {}
    for row in rows:
        shown.append(row_document(row, 1).model_copy(update={"launches": []}))
        if isinstance(row.outcome, Measured) and row.cell.device not in devices:
            devices[row.cell.device] = device_facts(row, row.outcome.device)
    return _document(run, shown, list(devices.values()))


def _document(run: Run, rows: list[doc.Row], devices: list[doc.DeviceFacts]) -> doc.ReportDocument:
    return doc.ReportDocument(
        schema=doc.SCHEMA,
        generator=f"edgewright {__version__}",
        run=doc.RunInfo(
            id=run.run_id,
            name=clean(run.name),
            preset=clean(run.preset),
            started_at=clean(run.started_at),
            finished_at=run.finished_at and clean(run.finished_at),
            version=clean(run.version),
            plan=clean_lines(run.plan_text),
        ),
        headlines=headlines(rows),
        devices=devices,
        rows=rows,
    )


def row_document(row: StoredRow, samples: int | None = SAMPLES_PER_LAUNCH) -> doc.Row:
    """One row summarized and judged; ``samples`` as in :func:`report_document`."""
    outcome = row.outcome
    quality, quality_reason = _quality(row)
    common: dict[str, Any] = {
        "workload": clean(row.cell.workload),
        "recipe": clean(row.cell.recipe),
        "device": clean(row.cell.device),
        "profile": clean(row.cell.profile),
        "runtime": clean(row.cell.runtime),
        "preset": clean(row.preset),
        "scenario": Scenario(kind=clean(row.scenario)),
        "started_at": clean(row.started_at),
        "artifact": row.artifact and doc.Artifact(**vars(row.artifact)),
        "quality": quality,
        "quality_reason": quality_reason,
        "notes": [clean(note) for note in row.notes],
        "providers_asked": [clean(name) for name in row.providers],
    }
    if isinstance(outcome, Measured):
        return doc.Row(**{**common, **_measured(row, outcome, samples)})
    return doc.Row(**{**common, **_not_measured(outcome)})


def _not_measured(outcome: Failed | Skipped) -> dict[str, Any]:
    failed = outcome if isinstance(outcome, Failed) else None
    name = "failed" if failed else "skipped"
    reason = f"the row was {name}"
    return {
        "outcome": name,
        "reason": clean(outcome.reason) or "no reason was given",
        "error_code": failed and clean(failed.code),
        "retryable": failed and failed.retryable,
        "verdict": None,
        "provider": None,
        "runtime_version": None,
        "threads": None,
        "latency_ms": None,
        "latency_reason": reason,
        "phases_ms": None,
        "memory_bytes": None,
        "energy_mj": None,
        "energy_reason": reason,
        "parity": None,
        "parity_reason": reason,
        "launches": [],
    }


def _measured(row: StoredRow, outcome: Measured, samples: int | None) -> dict[str, Any]:
    launches = outcome.launches
    steady = steady_state(launches)
    summary = summarize(steady) if steady else None
    shown, no_scenario = scenario_of(row.scenario, launches)
    found = judge(row, outcome, steady, summary, (shown, no_scenario))
    energy, energy_reason = combine_energy([launch.energy for launch in launches])
    if energy is None and row.scenario in WITHOUT_ENERGY:
        energy_reason = f"energy is not measured in scenario {row.scenario}"
    parity, parity_reason = combine_parity(launches)
    session = launches[0].session if launches else None
    said = (note for launch in launches for note in launch.session.notes)
    notes = dict.fromkeys(map(clean, (*said, *held(launches))))
    return {
        "outcome": "measured",
        "reason": None,
        "error_code": None,
        "retryable": None,
        "verdict": doc.Judgement(status=found.status, evidence=[clean(s) for s in found.evidence]),
        "emulated": found.status == "emulated",
        **_placement(session),
        "runtime_version": clean(session.version) if session else None,
        "threads": session.threads if session else None,
        "latency_ms": summary and _latency(summary),
        "latency_reason": None if summary else "the inferences were not timed",
        "phases_ms": _phases(launches),
        "scenario": shown or Scenario(kind=clean(row.scenario), reason=no_scenario and clean(no_scenario)),
        "memory_bytes": combine_memory(launches),
        "energy_mj": energy,
        "energy_reason": energy_reason and clean(energy_reason),
        "parity": parity,
        "parity_reason": parity_reason and clean(parity_reason),
        "launches": [_launch(launch, samples) for launch in launches],
        "notes": [*map(clean, row.notes), *notes],
    }


def _placement(session: SessionInfo | None) -> dict[str, Any]:
    if session is None:
        return {"provider": None}
    where = session.placement
    counted = [share for share in where.nodes[:_MOST_ENTRIES] if share.nodes > 0]
    total = sum(share.nodes for share in counted)
    shares = [
        doc.ProviderNodes(
            provider=clean(share.provider), nodes=share.nodes, share=round(share.nodes / total, 4)
        )
        for share in counted
    ]
    first = shares[0].provider if shares else session.providers[0] if session.providers else None
    return {
        "provider": first and clean(first),
        "provider_nodes": shares or None,
        "provider_nodes_method": clean(where.method) or "this version of the agent did not count them",
    }


def _latency(summary: Summary) -> doc.Latency:
    by_name = {f"p{p.percent}": p for p in summary.percentiles}
    values = {name: None if p.value_ns is None else _ms(p.value_ns) for name, p in by_name.items()}
    return doc.Latency(
        **values,
        mean=_ms(summary.mean_ns),
        min=_ms(summary.min_ns),
        max=_ms(summary.max_ns),
        count=summary.count,
        reasons={name: p.reason for name, p in by_name.items() if p.reason},
        upper={name: _ms(p.upper_ns) for name, p in by_name.items() if p.upper_ns is not None},
        interval=doc.MedianInterval(
            low=_ms(summary.interval.low_ns),
            high=_ms(summary.interval.high_ns),
            confidence=INTERVAL_CONFIDENCE,
            method=summary.interval.method,
        ),
        remarks=list(summary.notes),
    )


def _phases(launches: Sequence[RunResult]) -> doc.Phases | None:
    timings = [launch.timing for launch in launches if launch.timing is not None]
    if not timings:
        return None
    builds = [t.build_ns for t in timings if t.build_ns is not None]
    warmups = [statistics.median(t.warmup_ns) for t in timings if t.warmup_ns]
    return doc.Phases(
        load=_ms(statistics.median(t.load_ns for t in timings)),
        first=_ms(statistics.median(t.first_ns for t in timings)),
        warmup=_ms(statistics.median(warmups)) if warmups else None,
        build=_ms(statistics.median(builds)) if builds else None,
    )


def _quality(row: StoredRow) -> tuple[doc.Quality | None, str | None]:
    found = row.quality
    if found is None:
        measured = isinstance(row.outcome, Measured)
        return (
            None,
            "quality was not judged" if measured else "quality was not judged: the row did not get that far",
        )
    if not (math.isfinite(found.value) and math.isfinite(found.baseline)):
        return None, f"{clean(found.metric)} came out as {found.value:g} against {found.baseline:g}"
    return doc.Quality(**{**vars(found), "metric": clean(found.metric)}), None


def _launch(launch: RunResult, samples: int | None) -> doc.Launch:
    timing = launch.timing
    latency: Nanoseconds = np.asarray(timing.latency_ns if timing else (), dtype=np.int64)
    stride = 1 if samples is None else max(1, math.ceil(latency.size / max(1, samples)))
    return doc.Launch(
        providers=[clean(provider) for provider in launch.session.providers],
        threads=launch.session.threads,
        load_ns=timing.load_ns if timing else None,
        first_ns=timing.first_ns if timing else None,
        duration_ns=timing.duration_ns if timing else None,
        build_ns=timing.build_ns if timing else None,
        warmup_ns=list(timing.warmup_ns) if timing else [],
        latency_ns=[int(sample) for sample in latency[::stride]],
        latency_count=int(latency.size),
        latency_stride=stride,
        states=[_state(state) for state in _evenly(launch.environment)],
        start_ns=_starts(launch, latency, stride),
        kernel_before_ns=best_ns(launch.kernel_before),
        kernel_after_ns=best_ns(launch.kernel_after),
        kernel_waited=waited([run for run in (launch.kernel_before, launch.kernel_after) if run]),
    )


def _starts(launch: RunResult, latency: Nanoseconds, stride: int) -> list[int] | None:
    """When the listed samples began; None where that is not known."""
    starts = starts_of(launch)
    if starts is None:
        return None
    try:
        return [int(t) for t in start_times(starts, latency)[::stride]]
    except ValueError:
        return None  # the scenario's reason says what is wrong with them


def _evenly(states: Sequence[Environment]) -> Sequence[Environment]:
    """All of a few, else evenly chosen ones with the first and the last among them."""
    if len(states) <= _MOST_ENTRIES:
        return states
    places = np.linspace(0, len(states) - 1, _MOST_ENTRIES)
    return [states[int(place)] for place in places]


def _state(state: Environment) -> doc.State:
    return doc.State(
        t_ns=state.t_ns,
        temperature_celsius=_bounded((k, v / 1000) for k, v in state.temperature_mc.items()),
        frequency_mhz=_bounded((k, v / 1000) for k, v in state.frequency_khz.items()),
        governor=_bounded((k, clean(v)) for k, v in state.governor.items()),
        throttled=_bounded(state.throttled.items()),
        power_mode=clean(state.power_mode),
        load_average=list(state.load_average[:3]),
    )


def _bounded(items: Iterable[tuple[str, V]]) -> dict[str, V]:
    """A device's map with clean keys and no more entries than anybody reads."""
    return {clean(key, 200): value for (key, value), _ in zip(items, range(_MOST_ENTRIES), strict=False)}


def _devices(rows: Sequence[StoredRow]) -> list[doc.DeviceFacts]:
    found: dict[str, doc.DeviceFacts] = {}
    for row in rows:
        if isinstance(row.outcome, Measured) and row.cell.device not in found:
            found[row.cell.device] = device_facts(row, row.outcome.device)
    return list(found.values())


def device_facts(row: StoredRow, device: Device) -> doc.DeviceFacts:
    """What the device of a measured row said of itself, fit to be shown."""
    return doc.DeviceFacts(
        name=clean(row.cell.device),
        profile=clean(row.cell.profile),
        board=clean(device.board),
        cpu_model=clean(device.cpu_model),
        cpu_count=device.cpu_count,
        machine=clean(device.machine),
        system=clean(device.system),
        libc=clean(device.libc),
        python=clean(device.python),
        ram_bytes=device.ram_bytes,
        runtimes=[clean(f"{r.name} {r.version}") for r in device.runtimes[:_MOST_ENTRIES] if not r.reason],
        sensors=[clean(f"{s.name} ({s.reason or s.scope})") for s in device.sensors[:_MOST_ENTRIES]],
    )


def _ms(nanoseconds: float) -> float:
    """Milliseconds to the nanosecond."""
    return round(ms(nanoseconds), 6)
