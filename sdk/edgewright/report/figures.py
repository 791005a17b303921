"""What overviews and histories ask of a row, read from the very document that a report shows of it."""

from __future__ import annotations

from typing import Any

from edgewright.row import Measured, Row
from edgewright.store.figures import Figures, SeriesKey
from edgewright_agent.protocol import Device

from . import document as doc
from .assemble import device_facts, row_document
from .conditions import Specimen, start_celsius, told
from .text import clean

_LONGEST = 300
#: One sample a launch says that it was timed; the statistics are always of all of them.
_SAMPLES = 1


def figures_of(row: Row) -> Figures:
    """Summarize and judge a row, and keep a line of it."""
    shown = row_document(row, _SAMPLES)
    common: dict[str, Any] = {
        "outcome": shown.outcome,
        "size_bytes": shown.artifact.size_bytes if shown.artifact else None,
        "sha256": clean(shown.artifact.sha256, 64) if shown.artifact else "",
        "quality": shown.quality.value if shown.quality else None,
        "reason": clean(shown.reason or shown.latency_reason or "", _LONGEST),
    }
    if not isinstance(row.outcome, Measured):
        return Figures(_series(Specimen(shown, None), ""), **common, code=clean(shown.error_code or "", 40))
    device = row.outcome.device
    specimen = Specimen(shown, device_facts(row, device))
    return Figures(
        _series(specimen, _unit(specimen, device)),
        **common,
        **_latency(shown.latency_ms),
        verdict=shown.verdict.status if shown.verdict else None,
        peak_bytes=shown.memory_bytes.peak if shown.memory_bytes else None,
        energy_mj=shown.energy_mj.gross if shown.energy_mj else None,
        start_celsius=start_celsius(shown),
        runtime_version=clean(shown.runtime_version or "", _LONGEST),
        system=_system(device),
    )


def _series(specimen: Specimen, unit: str) -> SeriesKey:
    row = specimen.row
    conditions = [told(specimen, fact) for fact in ("power mode", "governor")]
    return SeriesKey(
        workload=row.workload,
        recipe=row.recipe,
        device=row.device,
        profile=row.profile,
        unit=clean(unit, _LONGEST),
        runtime=row.runtime,
        provider=clean(told(specimen, "provider"), _LONGEST),
        threads=told(specimen, "threads"),
        scenario=told(specimen, "scenario"),
        preset=row.preset,
        conditions=clean(", ".join(filter(None, conditions)), _LONGEST),
    )


def _unit(specimen: Specimen, device: Device) -> str:
    parts = [told(specimen, "board"), f"{device.cpu_count} processors", device.serial]
    return ", ".join(filter(None, parts))


def _system(device: Device) -> str:
    return clean(", ".join(filter(None, (device.system, device.libc))), _LONGEST)


def _latency(latency: doc.Latency | None) -> dict[str, Any]:
    if latency is None:
        return {}
    interval = latency.interval
    told = {
        "p50_ns": latency.p50,
        "p50_low_ns": interval.low,
        "p50_high_ns": interval.high,
        "p90_ns": latency.p90,
    }
    return {name: None if value is None else value * 1e6 for name, value in told.items()}
