"""The search on one device: a funnel in which device time is the scarce thing.

Settings come from a baseline, a warm start, seeds that vary one axis at a time, and then by turns from what
predictions make of the settings that are left and from Optuna. Each is kept before it is built. Its file is
judged on the host; what breaks a bound there, collapses, or is beaten by what is known already never gets
to the device. The rest is measured quickly, and given up after one launch where that is far off. The best
are measured again in turn with more effort.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edgewright.errors import ConfigError, EdgewrightError, QualityError, UnsupportedError

from .choice import finalists
from .crew import Crew, Taken
from .figures import Built, Figures
from .known import Known, Past, Seen
from .optimizer import Proposer
from .question import Origin, Question, Tried
from .regret import carried
from .setting import STATIC, Setting
from .space import Place, Space, impossible

#: Measured whatever is known of it: all else, or another device's choice, is held against it.
_ASKED = ("baseline", "warm start")
#: Files that exist and were not measured, or for one launch only.
_GIVEN_UP = ("skipped", "collapsed", "ranked out", "stopped")
_CYCLE: tuple[Origin, ...] = ("predicted", "front", "optuna")


@dataclass(frozen=True)
class Ground:
    """Where is searched.

    Attributes:
        place: the device; ``space`` its axes, ``settings`` those that can exist there.
        past: what other studies measured on it.
        only_warm: try nothing beyond the warm start.
    """

    place: Place
    space: Space
    settings: tuple[Setting, ...]
    past: tuple[Past, ...] = ()
    only_warm: bool = False


class Search:
    """One device of a study; what the journal holds already is not done again."""

    def __init__(self, question: Question, ground: Ground, crew: Crew) -> None:
        self._question = question
        self._ground = ground
        self._crew = crew
        self.known = Known(question.objective, question.bounds, ground.space, ground.past)
        self._proposer = Proposer(ground.space, question.seed)
        self._tried: dict[Setting, Tried] = {}
        self._left: list[Tried] = []
        self._seeds = iter(self._planned())
        self._proposed = 0
        self._possible = frozenset(ground.settings)

    def run(self) -> None:
        """Search until the trials, the time or the settings are used up, and measure the finalists.

        Raises:
            DeviceError: the device is gone; the same again goes on from there.
            UnsupportedError: the objective cannot be measured on this device.
            ConfigError: the workload is not what it should be.
        """
        self._restore()
        current = self._begin()
        while current is not None:
            made = self._crew.builder.result(current.setting)
            following = self._begin() if self._crew.rig.overlaps and not self._is_early() else None
            self._settle(current, made)
            current = following or self._begin()
        if not self._crew.is_over():
            self._finish()

    @property
    def tried(self) -> Sequence[Tried]:
        """Everything so far."""
        return tuple(self._tried.values())

    def _restore(self) -> None:
        for tried in self._crew.journal.tried():
            self._tried[tried.setting] = tried
            self._proposed += tried.origin in _CYCLE
            if tried.state == "begun":
                self._left.append(tried)
            if tried.built is not None:
                self.known.add_file(tried.setting, tried.built)
            place = tried.final or tried.row
            if tried.state in ("measured", "stopped") and tried.built and place:
                figures = self._crew.rig.known(place)
                if figures is not None:
                    self._learn(Seen(tried, tried.built, figures), is_whole=tried.state == "measured")

    def _is_early(self) -> bool:
        """Whether nothing was measured yet, so that the next is better chosen after the first."""
        return not self.known.seen

    def _begin(self) -> Tried | None:
        """The next setting, kept in the journal and on its way through the builder."""
        if self._crew.is_over():
            return None
        if self._left:
            tried = self._left.pop(0)
        else:
            if len(self._tried) >= self._question.trials:
                return None
            chosen = self._choose()
            if chosen is None:
                return None
            setting, origin = chosen
            before = self._tried.get(setting)
            position = len(self._tried) if before is None else before.position
            tried = Tried(self._ground.place.name, position, setting, origin)
            self._keep(tried)
        self._crew.builder.begin(tried.setting)
        return tried

    def _choose(self) -> tuple[Setting, Origin] | None:
        for setting, origin in self._seeds:
            if self._is_open(setting) or (origin == "warm start" and self._was_given_up(setting)):
                return setting, origin
        left = [setting for setting in self._ground.settings if self._is_open(setting)]
        if not left or self._ground.only_warm:
            return None
        origin = _CYCLE[self._proposed % len(_CYCLE)]
        self._proposed += 1
        chosen: Setting | None = None
        ranking = self.known.ranked(left) if origin != "optuna" else None
        if ranking is not None:
            chosen = (
                self.known.best_predicted(ranking) if origin == "predicted" else self.known.widest(ranking)
            )
        if chosen is None:
            origin = "optuna"
            chosen = self._proposer.propose(
                lambda setting: setting in self._possible and self._is_open(setting)
            )
        return (chosen or left[0]), origin

    def _is_open(self, setting: Setting) -> bool:
        return setting not in self._tried

    def _was_given_up(self, setting: Setting) -> bool:
        """Whether it could be measured, but was not, or not to the end, before it was asked for by name."""
        tried = self._tried[setting]
        return tried.built is not None and tried.origin not in _ASKED and tried.state in _GIVEN_UP

    def _planned(self) -> Iterator[tuple[Setting, Origin]]:
        """Baselines, the warm start, and seeds that differ from the first baseline in one axis."""
        space, place = self._ground.space, self._ground.place
        threads = place.threads if place.threads in space.threads else space.threads[0]
        plain = [Setting(runtime=runtime, threads=threads) for runtime in space.runtimes]
        yield plain[0], "baseline"
        warm = dict.fromkeys(carried(setting, place).canonical() for setting in self._question.warm)
        yield from ((one, "warm start") for one in warm if not impossible(one, place.profile))
        if self._ground.only_warm:
            return
        yield from ((setting, "baseline") for setting in plain[1:])
        base = plain[0]
        static = next((kind for kind in space.quantize if kind in STATIC), None)
        pruned = next((share for share in space.prune if share), 0.0)
        seeds = [
            *(replace(base, quantize=kind) for kind in space.quantize),
            *(replace(base, prune=share) for share in space.prune),
            *(replace(base, prune=share, layers=layers) for share, layers in space.fits),
            *(replace(base, threads=count) for count in space.threads),
            *(replace(base, low_rank=energy) for energy in space.low_rank),
            *(replace(base, quantize=static or "none", keep_floats=count) for count in space.keep_floats),
            *(replace(base, prune=pruned, distill=teacher) for teacher in space.distill),
        ]
        yield from ((seed.canonical(), "seed") for seed in seeds if seed.canonical() in self._possible)

    def _settle(self, tried: Tried, made: Built | EdgewrightError) -> None:
        """What becomes of a setting whose file is built, or cannot be."""
        if isinstance(made, EdgewrightError):
            self._unbuilt(tried, made)
            return
        self.known.add_file(tried.setting, made)
        tried = replace(tried, built=made)
        is_asked = tried.origin in _ASKED
        bounds = self._question.bounds
        size = [v for v in bounds.of_file(made) if v.option == "--max-size-mb"]
        if bounds.collapsed(made) and not is_asked:
            quality = made.quality
            assert quality is not None
            told = f"{quality.metric} {quality.value:.4g} against {quality.baseline:.4g} on this host"
            self._end(replace(tried, state="collapsed", reason=told))
        elif size and not is_asked:
            self._end(replace(tried, state="skipped", reason=size[0].sentence))
        else:
            reason, predicted = self.known.beaten(tried.setting, made)
            tried = replace(tried, predicted=predicted)
            if reason and not is_asked:
                self._end(replace(tried, state="ranked out", reason=reason))
            else:
                self._measure(tried, made)

    def _unbuilt(self, tried: Tried, error: EdgewrightError) -> None:
        if isinstance(error, ConfigError) and tried.origin == "baseline":
            raise error
        if isinstance(error, UnsupportedError):
            self._end(replace(tried, state="skipped", reason=str(error)))
        else:
            state = "collapsed" if isinstance(error, QualityError) else "failed"
            self._end(replace(tried, state=state, reason=str(error)))  # type: ignore[arg-type]

    def _measure(self, tried: Tried, built: Built) -> None:
        def hopeless(figures: Figures) -> str:
            return "" if tried.origin in _ASKED else self.known.hopeless(built, figures)

        taken = self._crew.rig.explore(tried.setting, built, hopeless)
        self._check_objective(taken)
        ended = replace(tried, state=taken.state, reason=taken.reason, row=taken.row)
        self._end(ended)
        if taken.figures is not None:
            self._learn(Seen(ended, built, taken.figures), is_whole=taken.state == "measured")

    def _check_objective(self, taken: Taken) -> None:
        """An objective that the device does not tell is an error at once, not after all trials."""
        figures, objective = taken.figures, self._question.objective
        if figures is None or taken.state != "measured" or figures.cost(objective) is not None:
            return
        name = self._ground.place.name
        why = figures.no_energy if objective == "energy" else "it was not observed"
        raise UnsupportedError(
            f"{name}: {objective} cannot be the objective: {why}", mend="choose another --objective"
        )

    def _learn(self, seen: Seen, *, is_whole: bool) -> None:
        """What the predictions and Optuna know from now on; a launch alone is no measurement to choose by."""
        cost = self.known.cost(seen.figures).value
        if is_whole:
            self.known.add(seen)
        if cost < float("inf"):
            self._proposer.add(seen.setting, (self.known.worth(seen.built), cost), self.known.excesses(seen))

    def _finish(self) -> None:
        """Measure the finalists again, in turn, and keep where that is."""
        chosen = finalists(self.known, self._question.bounds)
        waiting = [seen for seen in chosen if seen.tried.final is None]
        if len(chosen) < 2 or not waiting:
            return
        self._crew.say(f"measuring {len(chosen)} finalists in turn")
        took = self._crew.rig.finals([(seen.setting, seen.built) for seen in chosen])
        for seen, taken in zip(chosen, took, strict=True):
            if taken.figures is not None and taken.state == "measured":
                ended = replace(seen.tried, final=taken.row)
                self._keep(ended)
                self.known.replace(Seen(ended, seen.built, taken.figures))

    def _end(self, tried: Tried) -> None:
        self._keep(tried)
        reason = f": {tried.reason}" if tried.reason else ""
        self._crew.say(f"[{tried.position + 1}] {tried.setting.words} {tried.state}{reason}")

    def _keep(self, tried: Tried) -> None:
        self._crew.journal.put(tried)
        self._tried[tried.setting] = tried
