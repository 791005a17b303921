"""From a stored study to its answer: everything is derived here, from what was tried and the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgewright import __version__
from edgewright.report.study import document as doc
from edgewright.report.text import clean
from edgewright.store import Store, Studies
from edgewright.store.records import Run

from .bounds import Bounds
from .choice import Choice, choose
from .figures import UNITS, Built, Figures, Interval
from .known import Known, Past, Seen
from .optimizer import importances
from .pareto import front, ties
from .predict import Accuracy
from .question import Question, Tried, from_json, tried_from
from .regret import Regret, regrets
from .rig import figures_of
from .setting import Setting
from .space import Space

_MOST_PAST = 100


@dataclass(frozen=True)
class DeviceAnswer:
    """One device: all that was tried there, what is known, and what to ship."""

    device: str
    profile: str
    tried: tuple[Tried, ...]
    known: Known
    choice: Choice
    space: Space

    @property
    def front(self) -> list[Seen]:
        """What nothing that was measured beats, cheapest first."""
        return [self.known.seen[place] for place in front(self.known.points())]

    @property
    def accuracy(self) -> Accuracy | None:
        """How far predictions from files are off on measurements they were not made from."""
        return self.known.accuracy


@dataclass(frozen=True)
class Answer:
    """A study's answer, device by device."""

    run: Run
    question: Question
    devices: tuple[DeviceAnswer, ...]

    @property
    def study_id(self) -> str:
        """For ``--resume`` and ``transfer``."""
        return self.run.run_id

    def device(self, name: str) -> DeviceAnswer:
        """The answer for one device."""
        return next(one for one in self.devices if one.device == name)

    @property
    def regrets(self) -> tuple[Regret, ...]:
        """What it costs to ship one device's best on another."""
        return regrets({one.device: one for one in self.devices})


def answer_of(store: Store, study_id: str | None = None, *more: str) -> Answer:
    """The answer of a study, from the store alone.

    Args:
        more: other studies of the same workload, whose devices are added: those of the first go before.

    Raises:
        ConfigError: no such study.
    """
    studies = Studies(store)
    found = studies.get(study_id)
    question = from_json(found.question, Question, f"study {found.run.run_id}")
    devices: dict[str, DeviceAnswer] = {}
    for run_id in (found.run.run_id, *more):
        by_device: dict[str, list[Tried]] = {}
        for stored in studies.trials(run_id):
            tried = tried_from(stored)
            by_device.setdefault(tried.device, []).append(tried)
        for device, all_tried in by_device.items():
            if device not in devices:
                devices[device] = _device(studies, question, device, all_tried)
    order = [*question.devices, *devices]
    return Answer(
        found.run, question, tuple(devices[name] for name in dict.fromkeys(order) if name in devices)
    )


def _device(studies: Studies, question: Question, device: str, all_tried: Sequence[Tried]) -> DeviceAnswer:
    space = Space.of([tried.setting for tried in all_tried])
    known = Known(question.objective, question.bounds, space)
    profile = ""
    for tried in all_tried:
        place = tried.final or tried.row
        if tried.built is not None:
            known.add_file(tried.setting, tried.built)
        row = studies.row(place.run_id, place.key) if place else None
        profile = profile or (row.cell.profile if row else "")
        figures = figures_of(row) if row else None
        if tried.state == "measured" and tried.built and figures:
            known.add(Seen(tried, tried.built, figures))
    name = question.workload.rpartition(":")[2] if not all_tried else _workload(question)
    choice = choose(known, question.bounds, question.objective, f"{name} on {device}")
    return DeviceAnswer(device, profile, tuple(all_tried), known, choice, space)


def past(studies: Studies, study_id: str, device: str) -> tuple[Past, ...]:
    """What other studies measured on a device, the latest first: other workloads too, for their operators."""
    found = []
    for stored in studies.measured_on(device, apart_from=study_id, most=_MOST_PAST):
        tried = tried_from(stored)
        row = studies.row(tried.row.run_id, tried.row.key) if tried.row else None
        figures = figures_of(row) if row else None
        if figures and tried.built:
            found.append(Past(tried.setting, tried.built, figures))
    return tuple(found)


def _workload(question: Question) -> str:
    path, _, factory = question.workload.rpartition(":")
    return f"{path.rpartition('/')[2]}:{factory}"


def study_document(answer: Answer) -> doc.StudyDocument:
    """As data, for JSON, the page and the table."""
    question, run = answer.question, answer.run
    return doc.StudyDocument(
        schema=doc.SCHEMA,
        generator=f"edgewright {__version__}",
        study=doc.StudyInfo(
            id=run.run_id,
            workload=clean(_workload(question)),
            started_at=run.started_at,
            finished_at=run.finished_at,
            version=run.version,
            objective=question.objective,
            unit=UNITS[question.objective],
            bounds=_bounds(question.bounds),
            trials=question.trials,
            preset=question.preset,
            final_preset=question.final_preset,
            parent=question.parent,
        ),
        devices=[_answered(one, question) for one in answer.devices],
        attempts=[attempt for one in answer.devices for attempt in _attempts(one, question)],
        regrets=[
            doc.Regret(
                setting_of=one.setting_of, on=one.on, words=one.words, share=one.share, reason=one.reason
            )
            for one in answer.regrets
        ],
    )


def _answered(one: DeviceAnswer, question: Question) -> doc.DeviceAnswer:
    choice, accuracy = one.choice, one.accuracy
    return doc.DeviceAnswer(
        device=clean(one.device),
        profile=clean(one.profile),
        sentence=clean(choice.sentence, 600),
        remarks=[clean(remark, 600) for remark in choice.remarks],
        best=choice.best.tried.position if choice.best else None,
        nearest=choice.nearest.tried.position if choice.nearest else None,
        binding=choice.binding.option if choice.binding else None,
        front=[seen.tried.position for seen in one.front],
        importance=_importance(one, question),
        prediction=None if accuracy is None else doc.Prediction(**vars(accuracy)),
        counts=dict(Counter(tried.state for tried in one.tried)),
    )


def _importance(one: DeviceAnswer, question: Question) -> dict[str, dict[str, float]]:
    costs = [(s.setting, one.known.cost(s.figures).value) for s in one.known.seen]
    losses = [(t.setting, t.built.loss) for t in one.tried if t.built and t.built.loss is not None]
    found: dict[str, dict[str, float] | None] = {
        question.objective: importances(one.space, [pair for pair in costs if pair[1] < float("inf")]),
        "loss": importances(one.space, [(setting, loss) for setting, loss in losses if loss is not None]),
    }
    return {name: shares for name, shares in found.items() if shares}


def _attempts(one: DeviceAnswer, question: Question) -> list[doc.Attempt]:
    points = one.known.points()
    places = front(points)
    meeting = ties(points, places)
    seen = {s.setting: (place, s) for place, s in enumerate(one.known.seen)}
    found = []
    for tried in one.tried:
        place, measured = seen.get(tried.setting, (None, None))
        figures = measured.figures if measured else None
        alike = meeting.get(place, ()) if place is not None else ()
        found.append(
            _attempt(
                tried,
                figures,
                on_front=place in places,
                tied_with=[one.known.seen[other].tried.position for other in alike],
                breaks=_breaks(tried, figures, question, one.known),
            )
        )
    return found


def _breaks(tried: Tried, figures: Figures | None, question: Question, known: Known) -> list[str]:
    if tried.built is None:
        return []
    if figures is None:
        return [violation.sentence for violation in question.bounds.of_file(tried.built)]
    return [v.sentence for v in question.bounds.of(tried.built, figures, known.fastest_plain_ms)]


def _attempt(
    tried: Tried, figures: Figures | None, *, on_front: bool, tied_with: list[int], breaks: list[str]
) -> doc.Attempt:
    setting, built = tried.setting, tried.built
    return doc.Attempt(
        device=clean(tried.device),
        position=tried.position,
        words=clean(setting.words),
        recipe=clean(setting.recipe_name),
        runtime=clean(setting.runtime),
        threads=setting.threads,
        axes=_axes(setting),
        origin=tried.origin,
        state=tried.state,
        reason=clean(tried.reason, 600),
        score=_score(built),
        size_bytes=built.size_bytes if built else None,
        sha256=built.sha256 if built else None,
        latency_ms=_figure(figures.latency if figures else None),
        energy_mj=_figure(figures.energy if figures else None),
        memory_bytes=figures.memory_bytes if figures else None,
        verdict=figures.status if figures else None,
        evidence=clean(figures.evidence, 600) if figures else "",
        predicted=tried.predicted,
        is_final=tried.final is not None,
        on_front=on_front,
        tied_with=tied_with,
        breaks=[clean(text, 300) for text in breaks],
    )


def _score(built: Built | None) -> doc.Score | None:
    if built is None or built.quality is None or built.loss is None:
        return None
    quality = built.quality
    return doc.Score(
        metric=clean(quality.metric), value=quality.value, baseline=quality.baseline, loss=built.loss
    )


def _axes(setting: Setting) -> dict[str, str]:
    labels = Space.of([setting]).labels(setting)
    assert labels is not None
    return labels


def _figure(interval: Interval | None) -> doc.Figure | None:
    return None if interval is None else doc.Figure(**vars(interval))


def _bounds(bounds: Bounds) -> list[str]:
    limits = (
        ("latency", bounds.max_latency_ms, "ms"),
        ("energy", bounds.max_energy_mj, "mJ"),
        ("file", bounds.max_size_mb, "MB"),
        ("peak memory", bounds.max_memory_mb, "MB"),
    )
    found = [f"{name} at most {limit:g} {unit}" for name, limit, unit in limits if limit is not None]
    drop = bounds.max_accuracy_drop
    found.append(
        f"quality lost at most {drop:g}" if drop is not None else "quality lost at most one hundredth"
    )
    return [*found, "never slower than the uncompressed model"] if bounds.never_slower else found
