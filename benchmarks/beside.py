"""A recipe beside another on this machine: accuracy as executed, size, multiplications, and time by turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macs import multiplications

from edgewright.artifact import Artifact
from edgewright.build import build
from edgewright.build.session import import_torch
from edgewright.farm.ab import Contest, run_contest
from edgewright.farm.effort import load_effort
from edgewright.farm.inventory import LOCAL, Target, load_inventory
from edgewright.farm.job import Bench, Settings
from edgewright.farm.profile_ops import Model
from edgewright.farm.session import open_bench
from edgewright.farm.subject import WorkloadSubject
from edgewright.recipe import Recipe, Step, Tolerance, find_technique
from edgewright.report.ab import AbDocument, Contender, Measured, Terms, ab_document
from edgewright.workloads import WorkloadSource

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "benchmarks"
NETS = Path(__file__).resolve().parent / "nets"
RUNTIMES = {"onnxruntime": "onnx", "tflite": "tflite"}
#: Compression changes what comes out; how much accuracy that costs is what is measured here.
LOOSE = Tolerance(cosine=0.5, max_abs=0.0)
_THRESHOLD = 0.05


@dataclass(frozen=True)
class Beside:
    """One recipe in one runtime, beside the plain export.

    Attributes:
        before, after: accuracy of the exported files as executed, between 0 and 1.
        before_bytes, after_bytes: of what is stored and pushed.
        before_macs, after_macs: multiplications of one inference.
        time_ratio: how long an inference takes, the plain export's being 1; None when it was not measured.
        launches: fresh processes in which both took turns.
        notes: what the steps said.
        document: what ``edgewright ab`` says, raw samples and all; None when no time was measured.
    """

    before: float
    after: float
    before_bytes: int
    after_bytes: int
    before_macs: int
    after_macs: int
    time_ratio: float | None
    launches: int
    notes: tuple[str, ...]
    document: dict[str, Any] | None = None

    @property
    def smaller(self) -> float:
        """How many times."""
        return self.before_bytes / self.after_bytes

    @property
    def lost(self) -> float:
        """Points of accuracy."""
        return 100 * (self.before - self.after)


def one_thread() -> None:
    """Torch trains with one thread: threads that wait for each other wait long on a machine in use."""
    import_torch()
    import torch

    torch.set_num_threads(1)


def recipe_of(name: str, *steps: tuple[str, dict[str, Any]]) -> Recipe:
    """A recipe of these techniques with these options."""
    from edgewright.config import parse

    made = tuple(Step(which, parse(given, find_technique(which).options, name)) for which, given in steps)
    return Recipe(name, "", made, tolerance=LOOSE)


def net(name: str, factory: str = "make") -> WorkloadSource:
    """A workload of ``nets/``."""
    return WorkloadSource(NETS / f"{name}.py", factory)


@contextmanager
def this_machine() -> Iterator[Bench]:
    """The device ``local``, with an agent's folder of its own."""
    found = load_inventory().get(LOCAL)
    target = Target(LOCAL, found.profile, python=sys.executable, workdir=str(BUILD / "agent"))
    bench = open_bench(target)
    with bench.device:
        yield bench


def compare(
    source: WorkloadSource, recipe: Recipe, runtime: str, bench: Bench, *, budget_s: float, plain: Recipe
) -> Beside:
    """Build both, and let them take turns for about ``budget_s`` seconds; 0 measures no time.

    Raises:
        EdgewrightError: the recipe cannot be had here, or failed.
    """
    before, after = (made(source, one, runtime, bench) for one in (plain, recipe))
    assert before.quality and after.quality and after.provenance
    document = by_turns(source, (plain, recipe), runtime, bench, budget_s) if budget_s else None
    return Beside(
        before=before.quality.value,
        after=after.quality.value,
        before_bytes=before.size_bytes,
        after_bytes=after.size_bytes,
        before_macs=multiplications(before.path, before.format),
        after_macs=multiplications(after.path, after.format),
        time_ratio=document.ratio if document else None,
        launches=len(document.launches) if document else 0,
        notes=after.provenance.notes,
        document=document.model_dump(by_alias=True, mode="json") if document else None,
    )


def made(source: WorkloadSource, recipe: Recipe, runtime: str, bench: Bench) -> Artifact:
    """The file for a runtime, from the benchmarks' own cache or built now."""
    return build(
        source,
        recipe,
        bench.profile.name,
        bench.profile,
        RUNTIMES[runtime],
        cache=BUILD / "cache",
        progress=Progress(f"{source.path.stem} {recipe.name} {runtime}"),
    )


def by_turns(
    source: WorkloadSource, recipes: tuple[Recipe, Recipe], runtime: str, bench: Bench, budget_s: float
) -> AbDocument:
    """Both by turns of milliseconds in the same launches, one thread each, as ``edgewright ab`` does."""
    subject = WorkloadSubject(source, BUILD / "cache")
    a, b = (Model(str(source), subject, recipe, runtime) for recipe in recipes)
    contest = Contest(a, b, _THRESHOLD, budget_s)
    settings = Settings(load_effort("rapid"), threads=1, evaluate_on_device=False)
    trial = run_contest(contest, bench, settings, lambda _: None)
    sides = [
        Contender(str(source.path.name), recipe.name, runtime, artifact)
        for recipe, artifact in zip(recipes, trial.artifacts, strict=True)
    ]
    seen = Measured(
        trial.launches, trial.ratios, trial.finding, trial.environment, trial.elapsed_s, trial.error
    )
    return ab_document(
        sides[0], sides[1], seen, Terms(_THRESHOLD, budget_s, bench.device.target.name, bench.facts)
    )


class Progress:
    """What a build is at, one line on standard error that is written over."""

    def __init__(self, what: str) -> None:
        self._what, self._began = what, time.monotonic()

    def __call__(self, words: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{self._what}: {words}", end="", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line on standard error, at once."""
    print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)
