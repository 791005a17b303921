"""One figure for a row from those of its launches."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from edgewright_agent.protocol import Energy as RawEnergy
from edgewright_agent.protocol import RunResult

from .document import Alignment, Energy, Memory, Parity
from .energy import EnergyFigures, NoEnergy, energy_per_inference
from .text import clean


def combine_energy(launches: Sequence[RawEnergy]) -> tuple[Energy | None, str | None]:
    """The mean over launches; null with the first reason when one of them has no figure."""
    figures: list[EnergyFigures] = []
    for number, launch in enumerate(launches, start=1):
        found = energy_per_inference(launch)
        if isinstance(found, NoEnergy):
            return None, found.reason if number == 1 else f"launch {number}: {found.reason}"
        figures.append(found)
    if not figures:
        return None, "no launch was measured"
    if len({(f.sensor, f.scope, f.rails) for f in figures}) > 1:
        return None, "launches were measured with different sensors"
    net = [
        (f.net_mj, f.net_uncertainty_mj)
        for f in figures
        if f.net_mj is not None and f.net_uncertainty_mj is not None
    ]
    whole = len(net) == len(figures)
    reasons = [f.net_reason for f in figures if f.net_reason]
    gross, gross_uncertainty = _mean([(f.gross_mj, f.gross_uncertainty_mj) for f in figures])
    net_mj, net_uncertainty = _mean(net) if whole else (None, None)
    return Energy(
        gross=gross,
        net=net_mj,
        sensor=clean(figures[0].sensor),
        scope=clean(figures[0].scope),
        gross_uncertainty=gross_uncertainty,
        net_uncertainty=net_uncertainty,
        net_reason=None if whole else clean(reasons[0]) if reasons else "idle power is unknown",
        rails=[clean(rail) for rail in figures[0].rails],
        rule=clean(figures[0].rule),
        rate_hz=statistics.fmean(f.rate_hz for f in figures),
        alignment=_least_certain(figures),
    ), None


def _least_certain(figures: Sequence[EnergyFigures]) -> Alignment | None:
    """The alignment of the launch whose clock was known least."""
    found = [f.alignment for f in figures if f.alignment is not None]
    if not found:
        return None
    worst = max(found, key=lambda alignment: alignment.uncertainty_ns)
    return Alignment(
        method=clean(worst.method), offset_ns=worst.offset_ns, uncertainty_ns=worst.uncertainty_ns
    )


def _mean(figures: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The mean and its expanded uncertainty: what each launch knows of itself, or their scatter if larger."""
    values = [value for value, _ in figures]
    own = math.sqrt(sum(uncertainty**2 for _, uncertainty in figures)) / len(figures)
    scatter = 2.0 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.fmean(values), max(own, scatter)


def combine_memory(launches: Sequence[RunResult]) -> Memory | None:
    """Medians over launches; the model's own cost is the difference within each launch."""
    if not launches:
        return None
    seen = [launch.memory for launch in launches]
    peaks = [memory.peak_bytes for memory in seen if memory.peak_bytes is not None]
    own_peaks = [m.peak_bytes - m.baseline_bytes for m in seen if m.peak_bytes is not None]
    figures: dict[str, int | None] = {}
    notes: dict[str, str] = {}
    for name in ("pss", "arena", "device"):
        told = [value for memory in seen if (value := getattr(memory, f"{name}_bytes")) is not None]
        lacking = next((memory for memory in seen if getattr(memory, f"{name}_bytes") is None), None)
        figures[name] = None if lacking else statistics.median_low(told)
        notes[name] = clean((lacking or seen[0]).notes.get(name, "")) or "it was not read"
    return Memory(
        baseline=statistics.median_low(memory.baseline_bytes for memory in seen),
        loaded=statistics.median_low(memory.loaded_bytes for memory in seen),
        peak=statistics.median_low(peaks) if peaks else None,
        peak_method=clean(seen[0].peak_method),
        model_loaded=statistics.median_low(m.loaded_bytes - m.baseline_bytes for m in seen),
        model_peak=statistics.median_low(own_peaks) if own_peaks else None,
        notes=notes,
        **figures,
    )


def combine_parity(launches: Sequence[RunResult]) -> tuple[Parity | None, str | None]:
    """The worst of all launches; null with the reason when one was not compared."""
    parities = [launch.parity for launch in launches if launch.parity is not None]
    if len(parities) < len(launches) or not parities:
        reasons = [
            launch.parity_reason for launch in launches if launch.parity is None and launch.parity_reason
        ]
        return None, reasons[0] if reasons else "outputs were not compared"
    return Parity(
        cosine=min(p.cosine for p in parities),
        max_abs=max(p.max_abs for p in parities),
        sqnr_db=min((p.sqnr_db for p in parities if p.sqnr_db is not None), default=None),
        top1_agreement=min(
            (p.top1_agreement for p in parities if p.top1_agreement is not None), default=None
        ),
    ), None
