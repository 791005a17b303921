"""A row in words and numbers, the same in every renderer that people read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .document import Row
from .headline import BASELINE_RECIPE, baseline_of, p50, quality_loss
from .units import DASH, millijoules, milliseconds, ratio, score, size


@dataclass(frozen=True)
class Value:
    """A figure as it is shown. ``why`` explains a dash, or adds what the figure leaves out.

    ``sort`` orders rows by this figure; None goes last.
    """

    text: str
    why: str = ""
    sort: float | None = None

    @property
    def missing(self) -> bool:
        """Whether there is no figure."""
        return self.text == DASH


@dataclass(frozen=True)
class RowView:
    """What is shown of a row. A failed or skipped row has its reason and dashes."""

    row: Row
    p50: Value
    p90: Value
    p99: Value
    speedup: Value
    quality: Value
    file_size: Value
    memory: Value
    energy: Value

    @property
    def status(self) -> str:
        """The verdict's status, or the outcome of a row that was not measured."""
        return self.row.verdict.status if self.row.verdict else self.row.outcome

    @property
    def evidence(self) -> Sequence[str]:
        """What the status rests on."""
        return self.row.verdict.evidence if self.row.verdict else [self.row.reason or ""]

    @property
    def scenario(self) -> str:
        """What the scenario showed or why that is not known; empty for a single stream."""
        found = self.row.scenario
        if self.row.emulated and found and (found.headline or found.reason):
            return EMULATED.why
        return (found.headline or found.reason or "") if found else ""

    @property
    def scenario_remarks(self) -> Sequence[str]:
        """The same in detail."""
        return self.row.scenario.remarks if self.row.scenario and not self.row.emulated else []

    @property
    def memory_parts(self) -> Sequence[tuple[str, str]]:
        """The model's own memory and what else was counted: a name, and the figure or why there is none."""
        found = self.row.memory_bytes
        if found is None or self.row.emulated:
            return []
        own = [(name, size(value)) for name, value in (
            ("model's memory, loaded", found.model_loaded), ("model's memory, peak", found.model_peak)
        ) if value is not None]  # fmt: skip
        counted = (
            ("proportional share of memory", found.pss, "pss"),
            ("runtime's arena", found.arena, "arena"),
            ("accelerator's memory", found.device, "device"),
        )
        return own + [
            (title, f"{DASH if value is None else size(value)} {found.notes.get(name, '')}".strip())
            for title, value, name in counted
        ]

    @property
    def provider(self) -> str:
        """The execution provider without the word every name ends in, and its share if not all."""
        name = (self.row.provider or "").removesuffix("ExecutionProvider")
        shares = self.row.provider_nodes or []
        return f"{name} {shares[0].share:.0%} of nodes" if len(shares) > 1 else name


#: In place of every figure that depends on the speed of an emulated processor.
EMULATED = Value(DASH, "it ran under emulation: the figure would say nothing about a board")


def views(rows: Sequence[Row]) -> list[RowView]:
    """A view of every row, in the same order."""
    return [
        RowView(
            row=row,
            p50=_percentile(row, "p50"),
            p90=_percentile(row, "p90"),
            p99=_percentile(row, "p99"),
            speedup=_speedup(row, rows),
            quality=_quality(row),
            file_size=_file_size(row),
            memory=_memory(row),
            energy=_energy(row),
        )
        for row in rows
    ]


def _percentile(row: Row, name: str) -> Value:
    if row.emulated:
        return EMULATED
    latency = row.latency_ms
    if latency is None:
        return Value(DASH, row.latency_reason or "")
    value: float | None = getattr(latency, name)
    if value is None:
        return Value(DASH, latency.reasons[name])
    upper = latency.upper.get(name)
    why = f"at most {milliseconds(upper)} with 99 % confidence" if upper is not None else ""
    if name == "p50":
        interval = latency.interval
        low, high = milliseconds(interval.low), milliseconds(interval.high)
        why = f"{interval.confidence:.0%} interval {low} to {high}: {interval.method}"
    return Value(milliseconds(value), why, value)


def _speedup(row: Row, rows: Sequence[Row]) -> Value:
    if row.emulated:
        return EMULATED
    base = baseline_of(row, rows)
    if row.recipe == BASELINE_RECIPE:
        return Value(DASH, "this is the row that others are compared with")
    if base is None:
        return Value(
            DASH, f"there is no {BASELINE_RECIPE} row in this runtime on this device to compare with"
        )
    if p50(row) == float("inf") or p50(base) == float("inf"):
        return Value(DASH, "one of the two has no median latency")
    factor = p50(base) / p50(row)
    doubtful = [
        f"{r.recipe} is {r.verdict.status}" for r in (row, base) if r.verdict and r.verdict.status != "valid"
    ]
    return Value(ratio(factor), "; ".join(doubtful), factor)


def _quality(row: Row) -> Value:
    found = row.quality
    if found is None:
        return Value(DASH, row.quality_reason or "")
    loss = quality_loss(found)
    change = (
        "as the baseline"
        if loss == 0
        else f"{abs(loss):.4g} {'worse' if loss > 0 else 'better'} than the baseline"
    )
    why = f"{found.metric}, {change} of {score(found.baseline)}, over {found.samples} samples"
    return Value(score(found.value), why, found.value)


def _file_size(row: Row) -> Value:
    if row.artifact is None:
        return Value(DASH, "no file was built")
    return Value(
        size(row.artifact.size_bytes),
        f"{row.artifact.size_bytes:,} bytes of {row.artifact.format}",
        row.artifact.size_bytes,
    )


def _memory(row: Row) -> Value:
    if row.emulated:
        return EMULATED
    memory = row.memory_bytes
    if memory is None:
        return Value(
            DASH, f"the row was {row.outcome}" if row.outcome != "measured" else "memory was not observed"
        )
    if memory.peak is None:
        return Value(DASH, f"no peak: {memory.peak_method}")
    before, after = size(memory.baseline), size(memory.loaded)
    own = f", so the model's own is {size(memory.model_peak)}" if memory.model_peak is not None else ""
    why = f"{before} of it before the model was loaded, {after} after{own}; {memory.peak_method}"
    return Value(size(memory.peak), why, memory.peak)


def _energy(row: Row) -> Value:
    if row.emulated:
        return EMULATED
    energy = row.energy_mj
    if energy is None:
        return Value(DASH, row.energy_reason or "")
    net = (
        f"net {millijoules(energy.net)}" if energy.net is not None else f"no net figure: {energy.net_reason}"
    )
    why = f"± {millijoules(energy.gross_uncertainty)}; {net}; {energy.sensor}, {energy.scope}"
    if energy.alignment is not None:
        clock = energy.alignment
        why += (
            f"; readings {clock.offset_ns / 1e6:+.0f} ms late by {clock.method}, "
            f"known within {clock.uncertainty_ns / 1e6:.0f} ms"
        )
    return Value(millijoules(energy.gross), why, energy.gross)
