"""A study as one self-contained page: plots, what decides, a table to filter, and words for all of it.

Nothing is fetched: style, script and drawings are in the file, a content security policy allows only them,
and every text that is not ours is escaped by the template.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgewright.report.units import DASH, millijoules, milliseconds, significant, size

from .document import Attempt, DeviceAnswer, Figure, StudyDocument

_PACKAGE = "edgewright.report.study"
WIDTH, HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 44
_TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A line of an axis: where it is drawn, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A setting in a plot; ``low`` and ``high`` are the ends of its interval, along the horizontal axis."""

    x: float
    y: float
    low: float
    high: float
    kind: str
    told: str
    position: int


@dataclass(frozen=True)
class Plot:
    """A scatter plot in pixels; ``line`` joins what nothing beats."""

    title: str
    x_title: str
    y_title: str
    dots: list[Dot]
    line: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]


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
    script = _file("study.js")
    environment = Environment(
        loader=PackageLoader(_PACKAGE, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("study.html.j2").render(
        document=document,
        sections=[_section(document, answer) for answer in document.devices],
        regret_names=list(dict.fromkeys(regret.on for regret in document.regrets)),
        regret_rows=_regret_rows(document),
        policy=f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(_file("study.css")),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package, run only under its hash
        frame=(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM, WIDTH, HEIGHT),
        milliseconds=milliseconds,
        millijoules=millijoules,
        size=size,
        dash=DASH,
        told=_told,
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


def _section(document: StudyDocument, answer: DeviceAnswer) -> Section:
    attempts = [attempt for attempt in document.attempts if attempt.device == answer.device]
    by_position = {attempt.position: attempt for attempt in attempts}
    kinds: Sequence[tuple[str, str, Callable[[Attempt], Figure | None], Callable[[float], str]]] = (
        ("latency", "median latency", lambda one: one.latency_ms, milliseconds),
        ("energy", "gross energy per inference", lambda one: one.energy_mj, millijoules),
        ("size", "stored file", _size, lambda bytes_: size(round(bytes_))),
    )
    plots, absent = [], []
    for name, title, figure, words in kinds:
        plot = _plot(answer, attempts, title, figure, words)
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
    attempts: Sequence[Attempt],
    title: str,
    figure: Callable[[Attempt], Figure | None],
    words: Callable[[float], str],
) -> Plot | None:
    """Score against a cost, for every setting that has both."""
    drawn = [(one, found, one.score) for one in attempts if (found := figure(one)) and one.score]
    if not drawn:
        return None
    x = _Axis([end for _, found, _ in drawn for end in (found.low, found.high)], _LEFT, WIDTH - _RIGHT)
    y = _Axis([score.value for _, _, score in drawn], HEIGHT - _BOTTOM, _TOP)
    dots = [
        Dot(
            x=x(found.value),
            y=y(score.value),
            low=x(found.low),
            high=x(found.high),
            kind=_kind(answer, one),
            told=f"{one.words}: {words(found.value)}, {score.metric} {score.value:.4g}, {one.state}",
            position=one.position,
        )
        for one, found, score in drawn
    ]
    best: list[tuple[float, float]] = []
    for one, found, score in sorted(drawn, key=lambda entry: (entry[1].value, entry[2].loss)):
        del one
        if not best or score.loss < best[-1][1]:
            best.append((found.value, score.loss))
    values = {score.loss: score.value for _, _, score in drawn}
    line = " ".join(f"{x(cost):.1f},{y(values[loss]):.1f}" for cost, loss in best)
    metric = drawn[0][2].metric
    return Plot(
        f"{metric} against {title}",
        title,
        metric,
        dots,
        line,
        [Tick(x(value), words(value)) for value in x.ticks],
        [Tick(y(value), significant(value, 4)) for value in y.ticks],
    )


def _kind(answer: DeviceAnswer, attempt: Attempt) -> str:
    if attempt.position == answer.best:
        return "best"
    if attempt.breaks:
        return "broken"
    return "front" if attempt.on_front else "other"


class _Axis:
    """A linear axis with a margin and round ticks."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        low, high = min(values), max(values)
        span = high - low or abs(high) or 1.0
        self._low, self._high = low - 0.06 * span, high + 0.06 * span
        self._begin, self._end = begin, end
        step = 10 ** math.floor(math.log10(span / _TICKS))
        step *= next(times for times in (1, 2, 5, 10) if span / (step * times) <= _TICKS)
        first = math.ceil(self._low / step)
        last = math.floor(self._high / step)
        self.ticks = [number * step for number in range(first, last + 1)]

    def __call__(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)


def _file(name: str) -> str:
    return (resources.files(_PACKAGE) / name).read_text(encoding="utf-8").replace("\r\n", "\n")
