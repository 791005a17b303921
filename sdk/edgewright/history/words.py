"""What was found, in words: for the terminal, and for a job summary in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from edgewright.report.markdown import markdown_text
from edgewright.report.units import DASH, millijoules, milliseconds, size

from .document import (
    ChangePoint,
    HistoryDocument,
    Measurement,
    MissingCell,
    RegressionsDocument,
    Series,
    SeriesHistory,
    Worse,
)

_SHORT = 12


def render_history(document: HistoryDocument) -> str:
    """A line a series, and one below it for each change."""
    lines, names = [], Counter(name(one.series) for one in document.series)
    for one in document.series:
        series = one.series
        where = f" ({series.provider}, {series.conditions}, {series.unit}, {series.preset})"
        full = name(series) + (where if names[name(series)] > 1 else "")
        lines.append(f"{full}, {one.quantity}: {_standing(one)}")
        lines += [f"    {_change(change, one.quantity)}" for change in one.changes]
    return "\n".join(lines or ["no series is stored that was asked for"]) + "\n"


def render_regressions(document: RegressionsDocument) -> str:
    """What is wrong, the worst first, and how much was looked at."""
    lines = [
        f"run {document.run} ({document.run_name}): {summary(document)}",
        *(f"REGRESSION {sentence(one)}" for one in document.regressions),
        *(f"MISSING    {missing_sentence(one)}" for one in document.missing),
        *(
            f"suspect    {sentence(one.worse)}; measure it {one.again} times more"
            for one in document.suspects
        ),
        *(f"unknown    {missing_sentence(one)}" for one in document.unknown),
    ]
    return "\n".join(lines) + "\n"


def render_markdown(document: RegressionsDocument) -> str:
    """For the job summary of a continuous build, or a merge request."""
    lines = [
        f"## {markdown_text(document.run_name)}: {markdown_text(summary(document))}",
        "",
        f"Run `{document.run}`, started {markdown_text(document.started_at)}.",
        "",
    ]
    if document.regressions:
        lines += ["| series | before | after | ratio | between | differs |", "|---|---:|---:|---:|---|---|"]
        lines += [_row(one) for one in document.regressions]
        lines.append("")
    lines += _list("Missing", [missing_sentence(one) for one in document.missing])
    lines += _list("Suspects, to be measured again", [sentence(one.worse) for one in document.suspects])
    lines += _list("Unknown", [missing_sentence(one) for one in document.unknown])
    return "\n".join(lines).rstrip("\n") + "\n"


def summary(document: RegressionsDocument) -> str:
    """How much is wrong, in a line."""
    counts = [
        (len(document.regressions), "got worse"),
        (len(document.missing), "missing"),
        (len(document.suspects), "suspect"),
        (len(document.unknown), "unknown"),
    ]
    found = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing got worse"
    young = (
        f", {document.series_too_young} with too few measurements yet" if document.series_too_young else ""
    )
    unfinished = "" if document.is_finished else "; the run has not finished"
    return f"{found}; {document.series_judged} series judged{young}{unfinished}"


def name(series: Series) -> str:
    """What tells a series from others at a glance."""
    parts = [series.workload, series.recipe, series.device, series.runtime]
    if series.scenario != "single-stream":
        parts.append(series.scenario)
    if series.threads not in ("", "1"):
        parts.append(f"{series.threads} threads")
    return " · ".join(parts)


def sentence(one: Worse) -> str:
    """What got worse, by how much, and between what."""
    return f"{name(one.series)}, {one.quantity}: {_change(one.change, one.quantity)}"


def missing_sentence(one: MissingCell) -> str:
    """What is missing, why, and when it was last there."""
    return f"{name(one.series)}: {one.state}: {one.reason} (last measured in {one.last.run})"


def amount(value: float, quantity: str) -> str:
    """A value of a quantity with its unit."""
    if quantity == "latency":
        return milliseconds(value / 1e6)
    return millijoules(value) if quantity == "energy" else size(int(value))


def differences(change: ChangePoint) -> str:
    """What else differs between the last good and the first bad measurement."""
    told = [
        f"{one.fact} {_brief(one.fact, one.good)} \N{RIGHTWARDS ARROW} {_brief(one.fact, one.bad)}"
        for one in change.differing
    ]
    return "; ".join(told) or "nothing differs that is recorded"


def _standing(one: SeriesHistory) -> str:
    if one.level is None:
        return f"no valid measurement among {one.rows}"
    left_out = one.rows - one.measurements
    others = f", {left_out} rows left out" if left_out else ""
    noise = f"±{one.noise:.1%}"
    return f"{amount(one.level, one.quantity)} {noise} over {one.measurements} measurements{others}"


def _change(change: ChangePoint, quantity: str) -> str:
    low, high = change.interval
    certain = "" if change.is_certain else ", not certain yet"
    return (
        f"{amount(change.before, quantity)} \N{RIGHTWARDS ARROW} {amount(change.after, quantity)}, "
        f"{change.ratio - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%}) "
        f"over {change.measurements} measurements{certain}, "
        f"between {_when(change.last_good)} and {_when(change.first_bad)}: {differences(change)}"
    )


def _when(one: Measurement) -> str:
    return f"{one.run}:{one.position + 1}"


def _brief(fact: str, text: str) -> str:
    if not text:
        return "unknown"
    if fact in ("project commit", "model file") and len(text) > _SHORT:
        return text[:_SHORT] + ("+" if text.endswith("+") else "")
    return text


def _row(one: Worse) -> str:
    change = one.change
    low, high = change.interval
    cells = [
        f"{name(one.series)}, {one.quantity}",
        amount(change.before, one.quantity),
        amount(change.after, one.quantity),
        f"{change.ratio - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})",
        f"{_when(change.last_good)} to {_when(change.first_bad)}",
        differences(change) or DASH,
    ]
    return f"| {' | '.join(map(markdown_text, cells))} |"


def _list(title: str, sentences: list[str]) -> Iterator[str]:
    if sentences:
        yield f"**{title}**"
        yield ""
        yield from (f"- {markdown_text(one)}" for one in sentences)
        yield ""
