"""The sentence at the top: for each workload on each device, what to ship and why."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from .document import Headline, Quality, Row
from .units import milliseconds, rate, ratio, score

#: How much quality a setting may lose and still be recommended: absolute for scores up to 1, else relative.
TOLERANCE = 0.01
BASELINE_RECIPE = "fp32"


def headlines(rows: Sequence[Row]) -> list[Headline]:
    """One headline per device and workload, in the order of the rows."""
    order = list(dict.fromkeys((row.device, row.workload) for row in rows))
    return [_headline([row for row in rows if (row.device, row.workload) == key]) for key in order]


def baseline_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """The uncompressed row a setting is compared with: same workload, device, runtime; a valid one first."""
    key = (row.workload, row.device, row.runtime)
    if row.recipe == BASELINE_RECIPE:
        return None
    found = [r for r in rows if r.recipe == BASELINE_RECIPE and (r.workload, r.device, r.runtime) == key]
    return next((r for r in found if r.verdict and r.verdict.status == "valid"), found[0] if found else None)


def quality_loss(quality: Quality) -> float:
    """How much worse than its baseline; negative when better."""
    gain = quality.value - quality.baseline
    return -gain if quality.higher_is_better else gain


def keeps_quality(quality: Quality) -> bool:
    """Whether the loss is within :data:`TOLERANCE`; rounding of the scores does not decide."""
    return quality_loss(quality) <= TOLERANCE * max(1.0, abs(quality.baseline)) + 1e-12


def p50(row: Row) -> float:
    """Median latency in milliseconds; infinite when there is none."""
    found = row.latency_ms.p50 if row.latency_ms else None
    return float("inf") if found is None else found


def cost(row: Row) -> float:
    """What the choice is by: the median, or offline the time of one sample at the best throughput."""
    offline = row.scenario.batches if row.scenario else None
    if offline is None:
        return p50(row)
    best = max((batch.throughput or 0.0 for batch in offline), default=0.0)
    return 1e3 / best if best else float("inf")


def keeps_up(row: Row) -> bool:
    """Whether the row keeps the rate that it was measured at, if there was one."""
    return not (row.scenario and row.scenario.paced) or row.scenario.paced.keeps_up


def _headline(rows: Sequence[Row]) -> Headline:
    timed = sorted((row for row in rows if cost(row) < float("inf")), key=cost)
    place = f"{rows[0].workload} on {rows[0].device}"
    if not timed:
        return _nothing(rows, f"Nothing was measured for {place}: {_tally(rows)}.")
    valid = [row for row in timed if row.verdict and row.verdict.status == "valid"]
    if not valid:
        return _nothing(rows, *_unbelievable(timed, place))
    valid = [row for row in valid if keeps_up(row)]
    if not valid:
        return _nothing(rows, f"No setting of {place} keeps up with the rate asked for.")
    judged = [row for row in valid if row.quality]
    kept = [row for row in judged if row.quality and keeps_quality(row.quality)]
    if judged and not kept:
        nearest = min(judged, key=lambda row: quality_loss(row.quality) if row.quality else 0.0)
        assert nearest.quality
        return _nothing(
            rows,
            f"No setting of {place} keeps its quality: the nearest, {_setting(nearest)}, reaches "
            f"{_quality(nearest.quality)}.",
        )
    best = (kept or valid)[0]
    remarks = [*_ties(best, kept or valid), *_faster_but(best, timed), *_left_out(rows)]
    if not judged:
        remarks.insert(0, "Quality was not judged, so the choice is by latency alone.")
    sentence = f"Ship {place} as {_setting(best)}: {_figure(best)}{_because(best, rows)}."
    return Headline(
        device=best.device,
        workload=best.workload,
        recipe=best.recipe,
        runtime=best.runtime,
        sentence=sentence,
        remarks=remarks,
    )


def _nothing(rows: Sequence[Row], sentence: str, *remarks: str) -> Headline:
    return Headline(
        device=rows[0].device,
        workload=rows[0].workload,
        recipe=None,
        runtime=None,
        sentence=sentence,
        remarks=list(remarks),
    )


def _unbelievable(timed: Sequence[Row], place: str) -> tuple[str, ...]:
    statuses = sorted({row.verdict.status for row in timed if row.verdict})
    if statuses == ["emulated"]:
        return (f"{place} ran under emulation: its figures say nothing about the speed of a board.",)
    fastest = timed[0]
    assert fastest.verdict
    return (
        f"No measurement of {place} is clean enough to choose by ({', '.join(statuses)}).",
        f"{_setting(fastest)} is the fastest ({_figure(fastest)}), but {fastest.verdict.evidence[0]}.",
    )


def _because(best: Row, rows: Sequence[Row]) -> str:
    parts = []
    base = baseline_of(best, rows)
    if base and cost(base) < float("inf"):
        parts.append(_speed(cost(base) / cost(best)))
    if base and base.artifact and best.artifact:
        parts.append(_size(base.artifact.size_bytes / best.artifact.size_bytes))
    if best.quality:
        parts.append(_quality(best.quality))
    return f" ({'; '.join(part for part in parts if part)})" if any(parts) else ""


def _speed(factor: float) -> str:
    if abs(factor - 1) < 0.02:
        return f"as fast as {BASELINE_RECIPE}"
    change = f"{ratio(factor)} faster" if factor > 1 else f"{ratio(1 / factor)} slower"
    return f"{change} than {BASELINE_RECIPE}"


def _size(factor: float) -> str:
    if abs(factor - 1) < 0.02:
        return ""
    return f"file {ratio(factor)} smaller" if factor > 1 else f"file {ratio(1 / factor)} larger"


def _quality(quality: Quality) -> str:
    return f"{quality.metric} {score(quality.value)} against {score(quality.baseline)}"


def _figure(row: Row) -> str:
    """What the choice is by, as people read it."""
    if row.scenario and row.scenario.batches:
        return f"{rate(1e3 / cost(row))} at best"
    return f"{milliseconds(p50(row))} median"


def _setting(row: Row) -> str:
    return f"{row.recipe} in {row.runtime}"


def _ties(best: Row, candidates: Sequence[Row]) -> list[str]:
    """Settings whose interval of the median meets the winner's: the order between them is not certain."""
    if not best.latency_ms or (best.scenario and best.scenario.batches):
        return []
    high = best.latency_ms.interval.high
    meeting = (r for r in candidates if r.latency_ms and r.latency_ms.interval.low <= high)
    tied = [name for name in dict.fromkeys(map(_setting, meeting)) if name != _setting(best)]
    return [f"Not told apart from it in latency: {', '.join(tied)}."] if tied else []


def _faster_but(best: Row, timed: Sequence[Row]) -> list[str]:
    """Why the rows with a lower median were not chosen, one remark a reason."""
    reasons: dict[str, list[str]] = {}
    for row in timed:
        if cost(row) >= cost(best) or not row.verdict:
            continue
        if row.verdict.status != "valid":
            reason = str(row.verdict.status)
        elif not keeps_up(row):
            reason = "too slow for the rate asked for"
        elif row.quality:
            reason = f"{row.quality.metric} worse by more than {TOLERANCE:g}"
        else:
            reason = "quality not judged"
        better = "higher throughput" if row.scenario and row.scenario.batches else "lower median"
        figure = f", {score(row.quality.value)}" if row.quality else ""
        reasons.setdefault(f"a {better}, but {reason}", []).append(
            f"{_setting(row)} ({_figure(row).removesuffix(' median')}{figure})"
        )
    return [f"With {reason}: {', '.join(settings)}." for reason, settings in reasons.items()]


def _left_out(rows: Sequence[Row]) -> list[str]:
    return (
        [f"{_tally(rows)} of {len(rows)} settings."] if any(row.outcome != "measured" for row in rows) else []
    )


def _tally(rows: Sequence[Row]) -> str:
    outcomes = sorted(row.outcome for row in rows if row.outcome != "measured")
    counts = [f"{len(list(group))} {outcome}" for outcome, group in groupby(outcomes)]
    return " and ".join(counts) or "no row has a median"
