"""A study from end to end: devices are opened and searched side by side; a study that broke off goes on."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from edgewright import __version__
from edgewright.build.builder import open_workload
from edgewright.errors import ConfigError, EdgewrightError, UnsupportedError
from edgewright.farm.effort import Effort, load_effort
from edgewright.farm.group import Watcher
from edgewright.farm.inventory import Inventory
from edgewright.farm.job import Bench, Settings
from edgewright.farm.session import Run, Station, open_bench
from edgewright.farm.subject import WorkloadSubject
from edgewright.store import Store, Studies
from edgewright.workload import Workload
from edgewright.workloads import WorkloadSource

from .answer import answer_of, past
from .crew import Crew
from .fits import fitted, wanted
from .question import Question, Tried, from_json, to_json, tried_from
from .rig import Efforts, FarmRig, Lab
from .search import Ground, Search
from .space import Place, Space, resolve
from .watching import Unwatched
from .workshop import DeviceBuilder, Workshop

#: The same command goes on with a study that was cut short for so long.
RESUMED_WITHIN = timedelta(hours=6)


@dataclass(frozen=True)
class Means:
    """What a study is done with.

    Attributes:
        settings: what holds for every measurement; effort and threads are the study's own.
        say: told what goes on, line by line.
        building: told the stages of builds.
        efforts: the presets by name.
    """

    store: Store
    inventory: Inventory
    cache: Path
    settings: Settings = field(default_factory=lambda: Settings(load_effort("rapid")))
    watcher: Watcher = field(default_factory=Unwatched)
    say: Callable[[str], None] = lambda _: None
    building: Callable[[str], None] = lambda _: None
    efforts: Callable[[str], Effort] = load_effort


@dataclass(frozen=True)
class Ended:
    """A study's id, and the devices that could not be searched to the end, each with its error."""

    study_id: str
    errors: dict[str, EdgewrightError]


class Kept:
    """The journal of one device in the store, see :class:`edgewright.tune.crew.Journal`."""

    def __init__(self, studies: Studies, study_id: str, device: str) -> None:
        self._studies = studies
        self._study_id = study_id
        self._device = device

    def tried(self) -> Sequence[Tried]:
        """See :class:`edgewright.tune.crew.Journal`."""
        return [tried_from(one) for one in self._studies.trials(self._study_id, self._device)]

    def put(self, tried: Tried) -> None:
        """See :class:`edgewright.tune.crew.Journal`."""
        self._studies.put(self._study_id, tried.stored())


def request_of(question: Question) -> str:
    """What is asked for as a digest: the same asked again goes on with a study that was cut short."""
    return hashlib.sha256(f"{__version__} {Path.cwd()} {to_json(question)}".encode()).hexdigest()


def begin(question: Question, means: Means, *, fresh: bool = False) -> tuple[str, bool]:
    """The id of the study of a question, and whether it is one that was cut short.

    Args:
        fresh: begin anew in any case.
    """
    studies, request = Studies(means.store), request_of(question)
    interrupted = None if fresh else studies.interrupted(request, within=RESUMED_WITHIN)
    if interrupted is not None:
        return interrupted, True
    name = f"tune {Path(question.workload).name}"
    study_id = means.store.begin_run(name, to_json(question), question.preset)
    studies.begin(study_id, request, to_json(question))
    return study_id, False


def question_of(store: Store, study_id: str | None) -> tuple[str, Question]:
    """A stored study's full id and its question.

    Raises:
        ConfigError: no such study.
    """
    found = Studies(store).get(study_id)
    return found.run.run_id, from_json(found.question, Question, f"study {found.run.run_id}")


def carried_over(store: Store, study_id: str, device: str, trials: int) -> tuple[str, Question]:
    """The study's full id, and its question asked of another device, beginning with what nothing beat there.

    Args:
        trials: settings to try beyond those.

    Raises:
        ConfigError: no such study, it has measured nothing, or it is about that very device.
    """
    answer = answer_of(store, study_id)
    question = answer.question
    if device in question.devices:
        raise ConfigError(f"study {answer.study_id} is about {device} already", mend="name another device")
    best = [one.choice.best.setting for one in answer.devices if one.choice.best]
    front = [seen.setting for one in answer.devices for seen in one.front]
    warm = tuple(dict.fromkeys([*best, *front]))
    if not warm:
        raise ConfigError(f"study {answer.study_id} has measured nothing to the end")
    return answer.study_id, replace(
        question,
        devices=(device,),
        warm=warm,
        parent=answer.study_id,
        trials=1 + len(warm) + trials,
        space=replace(question.space, runtimes=None, threads=None),
    )


def is_finished(store: Store, study_id: str, question: Question) -> bool:
    """Whether nothing is left to do for a question, which may ask for more trials than the study did."""
    found = Studies(store).get(study_id)
    asked = from_json(found.question, Question, f"study {study_id}")
    return found.run.finished_at is not None and question.trials <= asked.trials


def run_study(study_id: str, question: Question, means: Means, *, is_resumed: bool) -> Ended:
    """Search every device, and go on where that was begun before.

    Raises:
        ConfigError: the workload or the space is not what it should be.
        DeviceError: no device could be searched.
    """
    Studies(means.store).take_over(study_id)
    source = WorkloadSource.parse(question.workload)
    targets = [means.inventory.get(name) for name in question.devices]
    efforts = Efforts(means.efforts(question.preset), means.efforts(question.final_preset))
    workload = open_workload(source)
    ended: dict[str, EdgewrightError] = {}
    over = _Over(question.time_budget_s)
    with Workshop(source, means.cache, means.building) as workshop:
        context = _Context(study_id, question, means, workshop, workload, efforts, over, is_resumed)

        def one(name: str) -> None:
            try:
                _search(context, name)
            except EdgewrightError as error:
                ended[name] = error

        names = [target.name for target in targets]
        _side_by_side(one, names, over)
        fatal = next((e for e in ended.values() if isinstance(e, ConfigError)), None)
        if fatal is not None:
            raise fatal
        if len(names) > 1 and not ended and not over.is_interrupted:
            context = _crossed(context)
            _side_by_side(one, names, over)
    if not ended:
        means.store.finish_run(study_id)
    elif len(ended) == len(targets):
        raise next(iter(ended.values()))
    return Ended(study_id, ended)


def _side_by_side(work: Callable[[str], None], names: Sequence[str], over: _Over) -> None:
    """One device in this thread, several each in one of its own."""
    if len(names) == 1:
        work(names[0])
        return
    with ThreadPoolExecutor(len(names)) as pool:
        try:
            list(pool.map(work, names))
        except KeyboardInterrupt:
            over.interrupt()
            raise


def _crossed(context: _Context) -> _Context:
    """The same study with every device's best setting for each of the others to measure."""
    answer = answer_of(context.means.store, context.study_id)
    best = [one.choice.best.setting for one in answer.devices if one.choice.best]
    most = max((len(one.tried) for one in answer.devices), default=0)
    warm = tuple(dict.fromkeys(best))
    context.means.say("measuring the best setting of each device on the others")
    question = replace(context.question, warm=warm, trials=most + len(warm), time_budget_s=None)
    return replace(context, question=question, is_crossing=True, over=_Over(None))


class _Over:
    """Whether no more is to be begun."""

    def __init__(self, budget_s: float | None) -> None:
        self._until = None if budget_s is None else time.monotonic() + budget_s
        self._interrupted = threading.Event()

    def __call__(self) -> bool:
        return self.is_interrupted or self.is_late

    @property
    def is_interrupted(self) -> bool:
        return self._interrupted.is_set()

    @property
    def is_late(self) -> bool:
        return self._until is not None and time.monotonic() > self._until

    def interrupt(self) -> None:
        """End after what is being done."""
        self._interrupted.set()


@dataclass(frozen=True)
class _Context:
    study_id: str
    question: Question
    means: Means
    workshop: Workshop
    workload: Workload
    efforts: Efforts
    over: _Over
    is_resumed: bool
    is_crossing: bool = False

    @property
    def only_warm(self) -> bool:
        """Whether nothing is tried that was not asked for by name."""
        question = self.question
        return self.is_crossing or (bool(question.parent) and question.trials <= 1 + len(question.warm))


def _search(context: _Context, name: str) -> None:
    means, question = context.means, context.question
    bench = open_bench(means.inventory.get(name))
    run = Run(context.study_id, is_resumed=context.is_resumed)
    station = Station(bench, means.settings, run, means.watcher)
    with station:
        bench.check_times()
        place = place_of(bench)
        space = _space(context, bench, place)
        possible, refused = space.possible(bench.profile)
        count = f"{len(possible)} settings"
        skipped = f", {len(refused)} cannot exist there" if refused else ""
        means.say(f"{name}: {count}{skipped}, in {', '.join(space.runtimes)}")
        for one in refused[:3]:
            means.say(f"{name}: {one.setting.words} cannot exist: {one.reason}")
        subject = WorkloadSubject(WorkloadSource.parse(question.workload), means.cache)
        lab = Lab(bench, station, subject, means.store, context.study_id)
        rig = FarmRig(lab, context.workshop, means.settings, context.efforts, means.watcher)
        if not rig.overlaps:
            means.say(f"{name}: builds and measurements take turns, since each would disturb the other")
        crew = Crew(
            DeviceBuilder(context.workshop, bench.profile),
            rig,
            Kept(Studies(means.store), context.study_id, name),
            lambda text: means.say(f"{name}: {text}"),
            context.over,
        )
        before = past(Studies(means.store), context.study_id, name)
        Search(question, Ground(place, space, possible, before, context.only_warm), crew).run()


def _space(context: _Context, bench: Bench, place: Place) -> Space:
    """The axes, with prunings that fit the times of the layers on this very device."""
    question, means = context.question, context.means
    space = resolve(question.space, place, context.workload, saves_files=question.saves_files)
    shares = wanted(question.space, space)
    settings = replace(means.settings, threads=place.threads)

    def say(text: str) -> None:
        means.say(f"{place.name}: {text}")

    with context.workshop.quiet if bench.device.target.link is None else nullcontext():
        fits = fitted(shares, space.runtimes[0], bench, settings, context.workload, means.cache, say)
    return replace(space, fits=fits)


def place_of(bench: Bench) -> Place:
    """What an open device offers.

    Raises:
        UnsupportedError: it has no runtime.
    """
    found = {runtime.name for runtime in bench.facts.runtimes if not runtime.reason}
    runtimes = tuple(name for name in bench.profile.runtimes if name in found)
    if not runtimes:
        raise UnsupportedError(
            f"{bench.device.target.name}: no runtime of its profile is on the device",
            mend=f"edgewright device provision {bench.device.target.name}",
        )
    cores = bench.facts.cpu_count
    return Place(
        bench.device.target.name, bench.profile, runtimes, cores, bench.profile.hardware.threads(cores)
    )
