"""How much of a grid ``edgewright tune`` has to measure, beside Optuna's plain TPE and random search.

    python benchmarks/tune.py [--workload FILE.py:FACTORY ...] [--seeds 10] [--seconds 6] [--replay]
    python benchmarks/tune.py --published      # the grids of docs/tune.md, a few minutes

A grid of at least 200 settings is measured once on this machine for each workload, in random order, and
kept in ``build/benchmarks/tune``: ended at any time, it goes on where it was (``--measure N`` takes so many
more and stops). Then every searcher is replayed against the grid's measurements over ten seeds, so that seeds
cost no device time. A measurement is a setting that runs on the device; what a searcher leaves out, or
proposes again, costs it none. The grids of the published figures lie in ``benchmarks/grids``.

Prints for each workload and searcher the measurements to 98 % of the grid's hypervolume (loss by latency) as
a share of the grid (of which half is looked at), the hypervolume at 15 % of it, and how much slower than the
grid's best feasible setting the recommendation at 15 % is: the median over seeds, and the worst.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.build.builder import open_workload
from edgewright.errors import EdgewrightError
from edgewright.farm.effort import load_effort
from edgewright.farm.inventory import load_inventory
from edgewright.farm.job import Settings
from edgewright.farm.session import Run, Station, open_bench
from edgewright.farm.subject import WorkloadSubject
from edgewright.profiles import load_profile
from edgewright.store import Store, Studies
from edgewright.tune.bounds import Bounds
from edgewright.tune.choice import choose
from edgewright.tune.crew import Crew, Hopeless, Taken
from edgewright.tune.figures import Built, Figures, Interval
from edgewright.tune.known import Known, Seen
from edgewright.tune.pareto import hypervolume, limits_of
from edgewright.tune.question import Place as Kept
from edgewright.tune.question import Question, Tried, from_json, to_json
from edgewright.tune.rig import Efforts, FarmRig, Lab
from edgewright.tune.search import Ground, Search
from edgewright.tune.setting import Setting
from edgewright.tune.space import Place, Space
from edgewright.tune.study import place_of
from edgewright.tune.watching import Unwatched
from edgewright.tune.workshop import DeviceBuilder, Workshop
from edgewright.workloads import WorkloadSource

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/benchmarks/tune"
PUBLISHED = ROOT / "benchmarks/grids"
WORKLOADS = (f"{ROOT / 'examples/digits.py'}:workload", f"{ROOT / 'benchmarks/nets/resnet.py'}:make")
SPACE = Space(
    prune=(0.0, 0.25, 0.5, 0.7),
    low_rank=(0.0, 0.9),
    quantize=("none", "fp16", "int8-dynamic", "int8-minmax", "int8-entropy", "int8-mse", "qat"),
    keep_floats=(0,),
    distill=("none", "response"),
    runtimes=("onnxruntime",),
    threads=(2, 1),
)
BOUNDS = Bounds()
SHARE, WANTED = 0.15, 0.98


@dataclass(frozen=True)
class Cell:
    """A setting of the grid; without ``figures`` it could not be built or run, and ``reason`` says why."""

    setting: Setting
    built: Built | None
    figures: Figures | None
    reason: str = ""


Grid = dict[Setting, Cell]


def grid_file(workload: str, *, published: bool = False) -> Path:
    """Where a workload's grid is, one cell a line."""
    path, _, factory = workload.rpartition(":")
    name = f"{Path(path).stem}-{factory}.jsonl"
    return PUBLISHED / f"{name}.gz" if published else BUILD / name


def load_grid(path: Path) -> Grid:
    """What was measured so far."""
    found = {}
    kept = path.read_bytes() if path.exists() else b""
    content = gzip.decompress(kept) if path.suffix == ".gz" else kept
    for line in content.decode().splitlines():
        data = json.loads(line)
        figures = data["figures"] and Figures(
            **{**data["figures"], "latency": Interval(*data["figures"]["latency"]), "energy": None}
        )
        setting = from_json(data["setting"], Setting, str(path))
        built = from_json(data["built"], Built, str(path)) if data["built"] else None
        found[setting] = Cell(setting, built, figures, data["reason"])
    return found


def keep(path: Path, cell: Cell) -> None:
    """Add a cell to the grid's file."""
    figures = cell.figures
    latency = figures and [figures.latency.value, figures.latency.low, figures.latency.high]
    data = {
        "setting": to_json(cell.setting),
        "built": to_json(cell.built) if cell.built else None,
        "figures": figures and {**vars(figures), "latency": latency, "energy": None},
        "reason": cell.reason,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(data) + "\n")


def measure_grid(workload: str, most: int | None, seconds: float) -> None:
    """Measure what is missing, at most so many, in an order that a drift of the machine cannot favour."""
    effort = replace(load_effort("rapid"), name="grid", min_duration_s=seconds)
    path = grid_file(workload)
    known = load_grid(path)
    missing = [setting for setting in SPACE.settings() if setting not in known]
    random.Random(0).shuffle(missing)
    missing = missing[:most]
    if not missing:
        return
    source = WorkloadSource.parse(workload)
    open_workload(source)
    cache = ROOT / "build/benchmarks/cache"
    target = load_inventory(None).get("local")
    with Store.open(BUILD / "grid.sqlite") as store, Workshop(source, cache, lambda _: None) as workshop:
        run_id = store.begin_run(f"grid {path.stem}", "", effort.name)
        Studies(store).begin(run_id, "", "{}")
        bench = open_bench(target)
        settings = Settings(effort, evaluate_on_device=False)
        with Station(bench, settings, Run(run_id), Unwatched()) as station:
            lab = Lab(bench, station, WorkloadSubject(source, cache), store, run_id)
            efforts = Efforts(effort, effort)
            rig = FarmRig(lab, workshop, settings, efforts, Unwatched())
            builder = DeviceBuilder(workshop, place_of(bench).profile)
            for number, setting in enumerate(missing, 1):
                builder.begin(setting)
                made = builder.result(setting)
                if isinstance(made, EdgewrightError):
                    cell = Cell(setting, None, None, str(made))
                else:
                    taken = rig.explore(setting, made, lambda _: "")
                    cell = Cell(setting, made, taken.figures, taken.reason)
                keep(path, cell)
                took = f"{cell.figures.latency.value:.4g} ms" if cell.figures else cell.reason
                print(f"[{number}/{len(missing)}] {setting.words}: {took}", file=sys.stderr, flush=True)
        store.finish_run(run_id)


class Replay:
    """A builder, a device and a journal that answer from a grid and count what is measured."""

    overlaps = False

    def __init__(self, grid: Grid, budget: int) -> None:
        self._grid = grid
        self._budget = budget
        self._files: set[tuple[str, int]] = set()
        self._kept: dict[int, Tried] = {}
        self.measured: list[Setting] = []

    @property
    def is_over(self) -> bool:
        """Whether the budget of measurements is used up."""
        return len(self.measured) >= self._budget

    def begin(self, setting: Setting) -> None:
        """Nothing is built."""

    def result(self, setting: Setting) -> Built | EdgewrightError:
        """As it was built for the grid."""
        cell = self._grid[setting]
        return cell.built or EdgewrightError(cell.reason)

    def explore(self, setting: Setting, built: Built, hopeless: Hopeless) -> Taken:
        """As it was measured for the grid; a launch that is enough to give up costs a measurement too."""
        cell = self._grid[setting]
        if (built.sha256, setting.threads) not in self._files:
            self._files.add((built.sha256, setting.threads))
            self.measured.append(setting)
        if cell.figures is None:
            return Taken("failed", reason=cell.reason)
        reason = hopeless(cell.figures)
        return Taken("stopped" if reason else "measured", cell.figures, reason, Kept("grid", setting.words))

    def finals(self, settings: Sequence[tuple[Setting, Built]]) -> list[Taken]:
        """The grid has one measurement of each."""
        return [Taken("measured", self._grid[setting].figures) for setting, _ in settings]

    def known(self, place: Kept) -> Figures | None:
        """Replays are never gone on with."""
        return None

    def tried(self) -> Sequence[Tried]:
        """See :class:`edgewright.tune.crew.Journal`."""
        return list(self._kept.values())

    def put(self, tried: Tried) -> None:
        """See :class:`edgewright.tune.crew.Journal`."""
        self._kept[tried.position] = tried


def by_tune(grid: Grid, budget: int, seed: int) -> list[Setting]:
    """Edgewright's own search."""
    profile = load_profile("x86-64-linux")
    replay = Replay(grid, budget)
    place = Place("local", profile, SPACE.runtimes, max(SPACE.threads), max(SPACE.threads))
    crew = Crew(replay, replay, replay, lambda _: None, lambda: replay.is_over)
    question = Question("grid", ("local",), bounds=BOUNDS, trials=10_000, seed=seed)
    Search(question, Ground(place, SPACE, tuple(grid)), crew).run()
    return replay.measured


def by_tpe(grid: Grid, budget: int, seed: int) -> list[Setting]:
    """Optuna's TPE as it comes; what it proposes again is answered without a measurement."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    axes = {name: optuna.distributions.CategoricalDistribution(values) for name, values in SPACE.axes.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            directions=["minimize", "minimize"], sampler=optuna.samplers.TPESampler(seed=seed)
        )
    measured: dict[Setting, None] = {}
    for _ in range(4 * budget):
        if len(measured) >= budget:
            break
        trial = study.ask(dict(axes))
        setting = SPACE.setting({name: str(label) for name, label in trial.params.items()})
        cell = grid[setting]
        measured[setting] = None
        if cell.figures and cell.built:
            study.tell(trial, (cell.built.loss or 0.0, cell.figures.latency.value))
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return list(measured)


def by_chance(grid: Grid, budget: int, seed: int) -> list[Setting]:
    """Any order."""
    order = list(grid)
    random.Random(seed).shuffle(order)
    return order[:budget]


SEARCHERS: dict[str, Callable[[Grid, int, int], list[Setting]]] = {
    "tune": by_tune,
    "tpe": by_tpe,
    "random": by_chance,
}


@dataclass(frozen=True)
class Score:
    """One searcher with one seed."""

    needed: int | None
    covered: float
    slower: float | None


class Judge:
    """What a grid holds, and how near measurements come to it."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._points = [point for cell in grid.values() if (point := _point(cell))]
        self._limits = limits_of(self._points)
        self._whole = hypervolume(self._points, self._limits)
        self.best_ms = self._recommended(tuple(grid)) or float("nan")

    def score(self, measured: Sequence[Setting], budget: int) -> Score:
        """By the measurements in their order."""
        shares = []
        found: list[tuple[float, float]] = []
        for setting in measured:
            point = _point(self._grid[setting])
            found += [point] if point else []
            shares.append(hypervolume(found, self._limits) / self._whole)
        needed = next((number for number, share in enumerate(shares, 1) if share >= WANTED), None)
        took = self._recommended(measured[:budget])
        return Score(needed, shares[min(budget, len(shares)) - 1], took and took / self.best_ms - 1)

    def _recommended(self, settings: Sequence[Setting]) -> float | None:
        """The latency of what would be recommended after these."""
        known = Known("latency", BOUNDS, SPACE)
        for position, setting in enumerate(settings):
            cell = self._grid[setting]
            if cell.built and cell.figures:
                tried = Tried("local", position, setting, "seed", "measured", built=cell.built)
                known.add_file(setting, cell.built)
                known.add(Seen(tried, cell.built, cell.figures))
        best = choose(known, BOUNDS, "latency", "it").best
        return best.figures.latency.value if best else None


def _point(cell: Cell) -> tuple[float, float] | None:
    if cell.built is None or cell.figures is None:
        return None
    return cell.built.loss or 0.0, cell.figures.latency.value


def report(workload: str, grid: Grid, seeds: int) -> None:
    """Replay every searcher and print what came of it."""
    judge = Judge(grid)
    budget = max(1, int(SHARE * len(grid)))
    most = len(grid) // 2
    failed = sum(cell.figures is None for cell in grid.values())
    print(f"\n{Path(workload).name}: {len(grid)} settings, {failed} of them cannot be; budget {budget}")
    print(f"{'':8}{'to 98 %':>22}{'hypervolume at 15 %':>24}{'slower than the best':>24}")
    for name, searcher in SEARCHERS.items():
        runs = [judge.score(searcher(grid, most, seed), budget) for seed in range(seeds)]
        needed = sorted(score.needed or len(grid) for score in runs)
        covered = [score.covered for score in runs]
        slower = [float("inf") if score.slower is None else score.slower for score in runs]
        print(
            f"{name:8}{statistics.median(needed) / len(grid):>12.1%} ({needed[-1] / len(grid):.1%})"
            f"{statistics.median(covered):>14.1%} ({min(covered):.1%})"
            f"{statistics.median(slower):>14.1%} ({max(slower):.1%})"
        )


def main() -> None:
    """Measure what is missing of the grids, then replay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--workload", action="append", help="FILE.py:FACTORY, any number of times")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6.0, help="timed of each setting, in five launches")
    parser.add_argument("--measure", type=int, help="measure so many more cells of each grid and stop")
    parser.add_argument("--replay", action="store_true", help="replay what was measured of the grids")
    parser.add_argument("--published", action="store_true", help="replay the grids in benchmarks/grids")
    asked = parser.parse_args()
    workloads = asked.workload or WORKLOADS
    if not (asked.replay or asked.published):
        for workload in workloads:
            measure_grid(workload, asked.measure, asked.seconds)
    for workload in workloads:
        grid = load_grid(grid_file(workload, published=asked.published))
        missing = sum(setting not in grid for setting in SPACE.settings())
        if missing:
            print(
                f"{Path(workload).name}: {missing} settings of the grid are not measured yet", file=sys.stderr
            )
        else:
            report(workload, grid, asked.seeds)


if __name__ == "__main__":
    main()
