"""A search's crew made by hand: files and devices that are formulas, and a journal that outlives a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgewright.artifact import Quality
from edgewright.errors import EdgewrightError, UnsupportedError
from edgewright.profiles import load_profile
from edgewright.tune.crew import Crew, Hopeless, Taken
from edgewright.tune.figures import Built, Figures, Interval
from edgewright.tune.question import Place as Kept
from edgewright.tune.question import Question, Tried
from edgewright.tune.search import Ground, Search
from edgewright.tune.setting import Setting
from edgewright.tune.space import Place, Space

BASE_MS = 10.0
BASE_SCORE = 0.98
SPEED = {"none": 1.0, "fp16": 1.1, "int8-dynamic": 1.6, "qat": 0.5, "int8-weights": 1.0, "share": 1.0}
LOSS = {"int8-dynamic": 0.004, "int8-minmax": 0.012, "int8-entropy": 0.008, "int8-mse": 0.006, "qat": 0.003}


class Killed(BaseException):
    """The process ends here."""


def latency_ms(setting: Setting) -> float:
    """What a setting takes on a made-up device."""
    times = SPEED.get(setting.quantize, 0.55) * (1 - 0.8 * setting.prune)
    return BASE_MS * times * (0.9 if setting.low_rank else 1.0) / (1 + 0.6 * (setting.threads - 1))


def loss(setting: Setting) -> float:
    """What it loses."""
    pruned = 0.05 * setting.prune**2 * (0.5 if setting.distill != "none" else 1.0)
    ranked = 0.004 if setting.low_rank else 0.0
    return LOSS.get(setting.quantize, 0.0) + pruned + ranked


def slower(setting: Setting) -> float:
    """A device on which nothing that compresses helps."""
    plain = Setting(threads=setting.threads)
    return latency_ms(plain) * (1.0 if setting.is_plain else 1.3)


@dataclass
class Files:
    """A builder of made-up files; ``fails`` says why one cannot be built."""

    lost: Callable[[Setting], float] = loss
    fails: Callable[[Setting], EdgewrightError | None] = lambda _: None
    event: Callable[[str], None] = lambda _: None
    asked: list[Setting] = field(default_factory=list)
    waiting: set[Setting] = field(default_factory=set)
    judged: bool = True

    def begin(self, setting: Setting) -> None:
        self.waiting.add(setting)

    def result(self, setting: Setting) -> Built | EdgewrightError:
        self.waiting.remove(setting)
        self.event("build")
        self.asked.append(setting)
        return self.fails(setting) or self.built(setting)

    def built(self, setting: Setting) -> Built:
        recipe = setting.recipe_name
        digest = hashlib.sha256(recipe.encode()).hexdigest()
        shrunk = 0.3 if setting.quantize.startswith(("int8", "qat")) else 1.0
        size = int(4e6 * shrunk * (1 - setting.prune))
        quality = Quality("accuracy", BASE_SCORE - self.lost(setting), BASE_SCORE, 1000)
        kind = "conv" if shrunk == 1.0 else "conv-int8"
        shape = {f"macs:{kind}": 1e7 * (1 - 0.8 * setting.prune), "op:Conv": 3.0, "bytes": float(size)}
        shape |= {f"op:{setting.quantize.partition('-')[0]}": 1.0, "op:more": float(bool(setting.low_rank))}
        return Built(digest, size, "onnx", quality if self.judged else None, shape)


@dataclass
class Device:
    """A made-up device that never forgets a job, and the store of its rows."""

    time: Callable[[Setting], float] = latency_ms
    event: Callable[[str], None] = lambda _: None
    noise: float = 0.01
    energy: bool = False
    overlaps: bool = False
    executed: list[str] = field(default_factory=list)
    jobs: dict[str, Figures] = field(default_factory=dict)
    rows: dict[str, tuple[Taken, Figures]] = field(default_factory=dict)
    rounds: list[tuple[str, ...]] = field(default_factory=list)

    def explore(self, setting: Setting, built: Built, hopeless: Hopeless) -> Taken:
        key = f"{built.sha256} {setting.runtime} {setting.threads}"
        if key in self.rows:
            return self.rows[key][0]
        figures = self._run(key, setting, built)
        self.event("measured")
        reason = hopeless(figures)
        taken = Taken("stopped" if reason else "measured", figures, reason, Kept("run", key))
        self.rows[key] = taken, figures
        self.event("stored")
        return taken

    def finals(self, settings: Sequence[tuple[Setting, Built]]) -> list[Taken]:
        self.rounds.append(tuple(setting.words for setting, _ in settings))
        found = []
        for setting, built in settings:
            key = f"final {built.sha256} {setting.runtime} {setting.threads}"
            figures = self._run(key, setting, built)
            self.event("measured")
            taken = Taken("measured", figures, row=Kept("run", key))
            self.rows[key] = taken, figures
            found.append(taken)
        return found

    def known(self, place: Kept) -> Figures | None:
        return self.rows[place.key][1] if place.key in self.rows else None

    def _run(self, key: str, setting: Setting, built: Built) -> Figures:
        if key not in self.jobs:
            self.executed.append(key)
            middle = self.time(setting)
            spread = self.noise * middle
            energy = Interval(2 * middle, 1.9 * middle, 2.1 * middle) if self.energy else None
            self.jobs[key] = Figures(
                Interval(middle, middle - spread, middle + spread),
                built.size_bytes,
                "valid",
                energy=energy,
                no_energy="" if energy else "no power sensor answered",
                memory_bytes=60_000_000,
            )
        return self.jobs[key]


@dataclass
class Book:
    """A journal in memory that outlives a search."""

    event: Callable[[str], None] = lambda _: None
    kept: dict[int, Tried] = field(default_factory=dict)
    begun: list[Setting] = field(default_factory=list)

    def tried(self) -> Sequence[Tried]:
        return [self.kept[place] for place in sorted(self.kept)]

    def put(self, tried: Tried) -> None:
        self.event("before")
        if tried.position not in self.kept:
            self.begun.append(tried.setting)
        self.kept[tried.position] = tried
        self.event("kept")


SPACE = Space(
    prune=(0.0, 0.3, 0.6),
    low_rank=(0.0, 0.9),
    quantize=("none", "fp16", "int8-dynamic", "int8-minmax", "int8-mse", "qat"),
    keep_floats=(0,),
    distill=("none", "response"),
    runtimes=("onnxruntime",),
    threads=(2, 1),
)
SMALL = Space(
    prune=(0.0, 0.5),
    low_rank=(0.0,),
    quantize=("none", "int8-dynamic", "int8-minmax"),
    keep_floats=(0,),
    distill=("none",),
    runtimes=("onnxruntime",),
    threads=(1,),
)


def ground(space: Space = SPACE) -> Ground:
    profile = load_profile("x86-64-linux")
    place = Place("board", profile, ("onnxruntime",), 2, 2)
    possible, _ = space.possible(profile)
    return Ground(place, space, possible)


def search(
    question: Question,
    *,
    files: Files | None = None,
    device: Device | None = None,
    book: Book | None = None,
    space: Space = SPACE,
) -> Search:
    """A search that is ready to run."""
    crew = Crew(files or Files(), device or Device(), book or Book(), lambda _: None)
    return Search(question, ground(space), crew)


def question(**changes: object) -> Question:
    return Question("net.py:workload", ("board",), **changes)  # type: ignore[arg-type]


def no_qat(setting: Setting) -> EdgewrightError | None:
    return UnsupportedError("no training") if setting.quantize == "qat" else None
