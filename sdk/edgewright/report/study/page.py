"""A study as one self-contained page: plots, what decides, a table to filter, and words for all of it.

Nothing is fetched: style, script and drawings are in the file, a content security policy allows only them,
and every text that is not ours is escaped by the template.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright.report import frame
from edgewright.report.frame.scatter import FRAME, Plot, Spot, scatter
from edgewright.report.units import DASH, millijoules, milliseconds, significant, size

from .document import Attempt, DeviceAnswer, Figure, StudyDocument

_PACKAGE = "edgewright.report.study"


@dataclass(frozen=True)
class Bar:
    """A share of what decides."""

    name: str
    share: float


@dataclass(frozen=True)
class Section:
    """One device."""

    answer: DeviceAnswer
    best: Attempt | None
    attempts: list[Attempt]
    plots: list[Plot]
    absent: list[str]
    importance: list[tuple[str, list[Bar]]]


def render_page(document: StudyDocument) -> str:
    """The whole page as text."""
    script = frame.frame_script() + frame.asset(_PACKAGE, "study.js")
    return (
        frame.environment(_PACKAGE)
        .get_template("study.html.j2")
        .render(
            generator=document.generator,
            document=document,
            sections=[_section(document, n, answer) for n, answer in enumerate(document.devices, start=1)],
            regret_names=list(dict.fromkeys(regret.on for regret in document.regrets)),
            regret_rows=_regret_rows(document),
            policy=frame.policy(script),
            style=frame.style((_PACKAGE, "study.css")),
            script=frame.script(script),
            frame=FRAME,
            milliseconds=milliseconds,
            millijoules=millijoules,
            size=size,
            dash=DASH,
            told=_told,
        )
    )


def _told(attempt: Attempt) -> str:
    """Why a setting was not measured, or how it was, and what else is known of it."""
    parts = [attempt.reason, *attempt.breaks]
    latency = attempt.latency_ms
    if latency is not None and latency.low != latency.high:
        beside = ", beside the other finalists" if attempt.is_final else ""
        low, high = milliseconds(latency.low), milliseconds(latency.high)
        parts.append(f"median between {low} and {high}{beside}")
    if attempt.verdict and attempt.verdict != "valid":
        parts.append(f"{attempt.verdict}: {attempt.evidence}")
    if attempt.on_front:
        ties = len(attempt.tied_with)
        parts.append(f"beaten by none{f', not told apart from {ties} more' if ties else ''}")
    return "; ".join(filter(None, [*parts, f"proposed by {attempt.origin}"]))


def _regret_rows(document: StudyDocument) -> list[tuple[str, dict[str, tuple[str, str]]]]:
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for regret in document.regrets:
        text = f"{regret.share:+.1%}" if regret.share is not None else DASH
        rows.setdefault(regret.setting_of, {})[regret.on] = (text, regret.reason or regret.words)
    return list(rows.items())


def _section(document: StudyDocument, number: int, answer: DeviceAnswer) -> Section:
    attempts = [attempt for attempt in document.attempts if attempt.device == answer.device]
    by_position = {attempt.position: attempt for attempt in attempts}
    kinds: Sequence[tuple[str, str, Callable[[Attempt], Figure | None], Callable[[float], str]]] = (
        ("latency", "median latency", lambda one: one.latency_ms, milliseconds),
        ("energy", "gross energy per inference", lambda one: one.energy_mj, millijoules),
        ("size", "stored file", _size, lambda bytes_: size(round(bytes_))),
    )
    plots, absent = [], []
    for name, title, figure, words in kinds:
        plot = _plot(answer, number, attempts, title, figure, words)
        if plot is None:
            absent.append(f"Quality against {name} is not drawn: no setting has both figures.")
        else:
            plots.append(plot)
    return Section(
        answer=answer,
        best=None if answer.best is None else by_position[answer.best],
        attempts=attempts,
        plots=plots,
        absent=absent,
        importance=[
            (name, [Bar(axis, share) for axis, share in sorted(shares.items(), key=lambda pair: -pair[1])])
            for name, shares in answer.importance.items()
        ],
    )


def _size(attempt: Attempt) -> Figure | None:
    if attempt.size_bytes is None:
        return None
    return Figure(value=attempt.size_bytes, low=attempt.size_bytes, high=attempt.size_bytes)


def _plot(
    answer: DeviceAnswer,
    number: int,
    attempts: Sequence[Attempt],
    title: str,
    figure: Callable[[Attempt], Figure | None],
    words: Callable[[float], str],
) -> Plot | None:
    """Score against a cost, for every setting that has both."""
    drawn = [(one, found, one.score) for one in attempts if (found := figure(one)) and one.score]
    if not drawn:
        return None
    metric = drawn[0][2].metric
    spots = [
        Spot(
            cost=found.value,
            low=found.low,
            high=found.high,
            worth=score.value,
            loss=score.loss,
            kind=_kind(answer, one),
            told=f"{one.words}: {words(found.value)}, {score.metric} {score.value:.4g}, {one.state}",
            row=f"r{number}-{one.position}",
        )
        for one, found, score in drawn
    ]
    titles = (f"{metric} against {title}", title, metric)
    return scatter(spots, titles, words, lambda value: significant(value, 4))


def _kind(answer: DeviceAnswer, attempt: Attempt) -> str:
    if attempt.position == answer.best:
        return "best"
    if attempt.breaks:
        return "broken"
    return "front" if attempt.on_front else "other"
