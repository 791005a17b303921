"""What is known on a device so far, and what follows from it for settings that are not measured yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .bounds import Bounds
from .figures import Built, Figures, Interval, Objective
from .pareto import Point, front, hypervolume, limits_of
from .predict import Accuracy, CostModel, Prediction, Ridge, file_features, label_features
from .question import Tried
from .setting import Setting
from .space import Space

#: A launch so many times beyond what is wanted will not come back.
FAR = 1.5
#: A file is ranked out by its prediction only after so many measurements, and by so many of its errors.
_RANKED_AFTER = 8
_ERRORS = 2.0
#: With so many measurements of its own a search does without those of others.
_OWN_SUFFICE = 12
#: Predictions worse than this rank, but leave nothing out.
_TRUSTED = 0.25
#: Files alike in shape but for this share of their bytes take the same time.
_SAME_BYTES = 0.02


@dataclass(frozen=True)
class Seen:
    """A setting with its file and measurement."""

    tried: Tried
    built: Built
    figures: Figures

    @property
    def setting(self) -> Setting:
        """What it is."""
        return self.tried.setting


@dataclass(frozen=True)
class Past:
    """A file that another study measured on this device."""

    setting: Setting
    built: Built
    figures: Figures


class Known:
    """Settings, files and measurements on one device; ``past`` helps to predict while there are few."""

    def __init__(self, objective: Objective, bounds: Bounds, space: Space, past: Sequence[Past] = ()) -> None:
        self._past = past
        self._objective = objective
        self._bounds = bounds
        self._space = space
        self.seen: list[Seen] = []
        self._built: dict[Setting, Built] = {}

    def add_file(self, setting: Setting, built: Built) -> None:
        """A file was built."""
        self._built[setting] = built

    def add(self, seen: Seen) -> None:
        """A setting was measured."""
        self.seen.append(seen)

    def replace(self, seen: Seen) -> None:
        """A setting was measured again, with more effort."""
        self.seen = [seen if one.setting == seen.setting else one for one in self.seen]

    def cost(self, figures: Figures) -> Interval:
        """The figure of the objective; infinite where it was not measured."""
        return figures.cost(self._objective) or Interval(*[float("inf")] * 3)

    def worth(self, built: Built) -> float:
        """What a file gives up: its loss, or its megabytes where nothing can be judged."""
        return built.size_bytes / 1e6 if built.loss is None else built.loss

    @property
    def fastest_plain_ms(self) -> float | None:
        """What the uncompressed model takes at its fastest."""
        return min((s.figures.latency.value for s in self.seen if s.setting.is_plain), default=None)

    def excesses(self, seen: Seen) -> tuple[float, ...]:
        """By how much each kind of bound is broken; 0 where it is kept."""
        broken = {
            v.option: v.excess for v in self._bounds.of(seen.built, seen.figures, self.fastest_plain_ms)
        }
        return (max(broken.values(), default=0.0),)

    def feasible(self) -> list[Seen]:
        """What keeps every bound."""
        return [s for s in self.seen if not self._bounds.of(s.built, s.figures, self.fastest_plain_ms)]

    def points(self) -> list[Point]:
        """Of everything seen, in its order."""
        return [Point(self.worth(s.built), self.cost(s.figures)) for s in self.seen]

    def hopeless(self, built: Built, figures: Figures) -> str:
        """Why a first launch is far beyond all that is wanted; empty when it is not."""
        low = self.cost(figures).low
        limit = self._bounds.limit(self._objective)
        if limit is not None and low > FAR * limit:
            return f"its first launch is {low / limit:.1f} times the bound"
        plain = self.fastest_plain_ms
        if self._bounds.never_slower and plain is not None and figures.latency.low > FAR * plain:
            times = figures.latency.low / plain
            return f"its first launch takes {times:.1f} times as long as the uncompressed model"
        for seen in self.seen:
            other = self.cost(seen.figures).high
            if self.worth(seen.built) <= self.worth(built) and other * FAR < low:
                than = f"{low / other:.1f} times {seen.setting.words}"
                return f"its first launch costs {than}, which loses no more"
        return ""

    def beaten(self, setting: Setting, built: Built) -> tuple[str, float | None]:
        """Why a file is not worth measuring, empty when it is, and the cost predicted for it if any."""
        if self._objective not in ("latency", "energy"):
            return "", None
        twin = self._twin(setting, built)
        if twin is not None:
            cost = self.cost(twin.figures).value
            if self.worth(twin.built) <= self.worth(built):
                return f"its operators are those of {twin.setting.words}, which loses no more", cost
            return "", cost
        model = self.file_model()
        if not model.is_ready:
            return "", None
        (predicted,) = model.predict([file_features(built.shape, setting.runtime, setting.threads)])
        accuracy = model.accuracy
        if accuracy is None or accuracy.measurements < _RANKED_AFTER or accuracy.median > _TRUSTED:
            return "", predicted.value
        return self._certainly_beaten(built, predicted), predicted.value

    def file_model(self) -> CostModel:
        """Predicts from what files hold."""
        own = list(self._timed())
        before = self._past if len(own) < _OWN_SUFFICE else ()
        timed: list[Seen | Past] = [*own]
        timed += [one for one in before if 0 < self.cost(one.figures).value < float("inf")]
        pairs = [
            (file_features(s.built.shape, s.setting.runtime, s.setting.threads), self.cost(s.figures).value)
            for s in timed
        ]
        return CostModel([features for features, _ in pairs], [cost for _, cost in pairs])

    @property
    def accuracy(self) -> Accuracy | None:
        """How far predictions from files are off."""
        return self.file_model().accuracy

    def ranked(self, settings: Sequence[Setting]) -> _Ranking | None:
        """Settings that are not built yet, by what their labels promise; None while too little is known."""
        timed = [(s, labels) for s in self._timed() if (labels := self._space.labels(s.setting)) is not None]
        files = [
            (labels, self.worth(built))
            for setting, built in self._built.items()
            if (labels := self._space.labels(setting)) is not None
        ]
        costs = CostModel(
            [label_features(labels) for _, labels in timed], [self.cost(s.figures).value for s, _ in timed]
        )
        if not costs.is_ready or len(files) < 2 or not settings:
            return None
        losses = Ridge([label_features(labels) for labels, _ in files], [worth for _, worth in files])
        features = [label_features(self._space.labels(setting) or {}) for setting in settings]
        return _Ranking(
            tuple(settings),
            tuple(float(loss) for loss in losses.predict(features)),
            tuple(costs.predict(features)),
            losses.error,
        )

    def best_predicted(self, ranking: _Ranking) -> Setting | None:
        """What promises to be the best that keeps the bounds; None when nothing promises to keep them."""
        limit = self._bounds.drop(self._baseline_score) if self._is_judged else float("inf")
        kept = [i for i, loss in enumerate(ranking.losses) if loss <= limit]
        if not kept:
            return None
        return ranking.settings[min(kept, key=lambda i: ranking.costs[i].value)]

    def widest(self, ranking: _Ranking) -> Setting | None:
        """What promises to widen the front the most; None when nothing does."""
        points = [(p.loss, p.cost.value) for p in self.points() if p.cost.value < float("inf")]
        if not points:
            return None
        limits = limits_of(points)
        now = hypervolume(points, limits)

        def gain(place: int) -> float:
            optimistic = ranking.costs[place].value / (1 + ranking.costs[place].error)
            added = (ranking.losses[place] - ranking.loss_error / 2, optimistic)
            return hypervolume([*points, added], limits) - now

        gains = [gain(place) for place in range(len(ranking.settings))]
        best = max(range(len(gains)), key=gains.__getitem__)
        return ranking.settings[best] if gains[best] > 0 else None

    def front(self) -> list[Seen]:
        """What nothing that was measured beats."""
        return [self.seen[place] for place in front(self.points())]

    @property
    def _is_judged(self) -> bool:
        return any(built.quality for built in self._built.values())

    @property
    def _baseline_score(self) -> float:
        return next((b.quality.baseline for b in self._built.values() if b.quality), 1.0)

    def _timed(self) -> Iterable[Seen]:
        return [s for s in self.seen if 0 < self.cost(s.figures).value < float("inf")]

    def _twin(self, setting: Setting, built: Built) -> Seen | None:
        """A measured file that differs in its weights alone; of several the one that loses least."""
        found = [
            s
            for s in self.seen
            if (s.setting.runtime, s.setting.threads) == (setting.runtime, setting.threads)
            and _alike(s.built.shape, built.shape)
        ]
        return min(found, key=lambda s: self.worth(s.built), default=None)

    def _certainly_beaten(self, built: Built, predicted: Prediction) -> str:
        least = predicted.value / (1 + predicted.error) ** _ERRORS
        for seen in self.seen:
            if self.worth(seen.built) <= self.worth(built) and self.cost(seen.figures).high < least:
                return f"predicted to cost more than {seen.setting.words}, which loses no more"
        return ""


@dataclass(frozen=True)
class _Ranking:
    """Settings with the loss and the cost that are predicted for each."""

    settings: tuple[Setting, ...]
    losses: tuple[float, ...]
    costs: tuple[Prediction, ...]
    loss_error: float


def _alike(a: dict[str, float], b: dict[str, float]) -> bool:
    if {k: v for k, v in a.items() if k != "bytes"} != {k: v for k, v in b.items() if k != "bytes"}:
        return False
    sizes = a.get("bytes", 0.0), b.get("bytes", 0.0)
    return abs(sizes[0] - sizes[1]) <= _SAME_BYTES * max(sizes)
