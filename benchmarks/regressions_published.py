"""Change points that people marked in published series, and who finds them: Edgewright, asv, Apache Otava.

    python benchmarks/regressions_published.py [--each]

Every detector sees the same whole series with its own defaults: of Edgewright what `edgewright history`
shows, suspects included, of asv the steps its graphs draw, of Otava the change points it reports.
`nothing` finds none.

Judged as in the Turing Change Point Benchmark (van den Burg and Williams 2020): a change counts as found
within 5 values of its mark, and a found place for one mark alone; precision is against what any annotator
marked, recall the mean over the annotators; the first value counts as a change that all mark and all
find, so that series without one are judged too. The figures of a set are means over its series.

Which series count was settled before any detector was run: changes of level are what these detectors are
for, so generated series whose variance or phase changes are left out, and annotated ones are told apart
as trends when lines instead of levels between the marks take away half of what is left of the squares, or
more.

The packages are fetched once with pip into build/benchmarks; a set or a detector that cannot be had is
left out, and it is said why.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from published import MARGIN, SOURCES, Group, Marked, NotHad
from regressions import OTHERS, environment

from edgewright.history.changes import course

_EACH = """
import json, sys
{imports}
for line in sys.stdin:
    values = json.loads(line)
    print(json.dumps({found}), flush=True)
"""
#: What is asked of the others, with their defaults.
_WHOLE = {
    "asv": _EACH.format(
        imports="from asv.step_detect import detect_steps",
        found="[int(step[0]) for step in detect_steps(values)[1:]]",
    ),
    "otava": _EACH.format(
        imports="from otava.analysis import compute_change_points",
        found="[int(point.index) for point in compute_change_points(values)[0]]",
    ),
}

#: The places where a detector sees changes in each of some series.
Detector = Callable[[Sequence[Marked]], list[list[int]]]


@dataclass(frozen=True)
class Score:
    """How well found places agree with marked ones."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)


def hits(marked: Iterable[int], found: Iterable[int]) -> int:
    """How many marks have a found place within the margin, which no mark before them took."""
    free = sorted(found)
    count = 0
    for mark in sorted(marked):
        near = [place for place in free if abs(place - mark) <= MARGIN]
        if near:
            free.remove(min(near, key=lambda place: abs(place - mark)))
            count += 1
    return count


def score(series: Marked, found: Iterable[int]) -> Score:
    """The first value is a change in every list."""
    places = {0, *found}
    any_marks = {0, *(mark for marks in series.marks for mark in marks)}
    recalls = [hits({0, *marks}, places) / len({0, *marks}) for marks in series.marks]
    return Score(hits(any_marks, places) / len(places), fmean(recalls))


def edgewright(series: Sequence[Marked]) -> list[list[int]]:
    """All changes, suspects included."""
    return [[change.index for change in course(one.values, np.empty(0)).changes] for one in series]


def nothing(series: Sequence[Marked]) -> list[list[int]]:
    """What is reached without looking."""
    return [[] for _ in series]


def other(python: str, code: str) -> Detector:
    """A detector in an environment of its own."""

    def detect(series: Sequence[Marked]) -> list[list[int]]:
        lines = "".join(json.dumps(one.values.tolist()) + "\n" for one in series)
        done = subprocess.run([python, "-c", code], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return detect


def detectors() -> dict[str, Detector]:
    """Those that can be had."""
    found: dict[str, Detector] = {"edgewright": edgewright}
    for name, (package, module, _) in OTHERS.items():
        python = environment(name, package, module)
        if isinstance(python, str):
            print(f"{name}: left out: {python}")
        else:
            found[name] = other(str(python), _WHOLE[name])
    return {**found, "nothing": nothing}


def groups() -> list[Group]:
    """The sets that can be had."""
    found: list[Group] = []
    for name, source in SOURCES.items():
        try:
            found += source()
        except NotHad as error:
            print(f"{name}: left out: {error}")
    return found


def line(name: str, scores: Sequence[Score]) -> str:
    """Means over series, for a table."""
    precision = fmean(score.precision for score in scores)
    recall = fmean(score.recall for score in scores)
    return f"  {name:<11} {precision:9.2f} {recall:6.2f} {fmean(score.f1 for score in scores):5.2f}"


def told(series: Marked, found: dict[str, list[list[int]]], index: int) -> str:
    """What was marked in a series and what each detector found."""
    marks = " ".join(str(list(own)) for own in series.marks)
    lines = [f"  {series.name}: {len(series.values)} values, marked {marks}"]
    for name, places in found.items():
        lines.append(f"    {name:<11} {score(series, places[index]).f1:.2f} {places[index]}")
    return "\n".join(lines)


def main() -> None:
    """Print a table a set, and the totals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", action="store_true", help="what each detector found in each series")
    options = parser.parse_args()
    asked = detectors()
    totals: dict[str, dict[str, list[Score]]] = {"total, levels": {}, "total, with trends": {}}
    for group in groups():
        found = {name: detect(group.series) for name, detect in asked.items()}
        print(f"{group.name}: {len(group.series)} series, margin {MARGIN}: precision recall F1")
        for name, places in found.items():
            scores = [score(one, own) for one, own in zip(group.series, places, strict=True)]
            print(line(name, scores), flush=True)
            for total, kept in totals.items():
                if group.has_levels or total == "total, with trends":
                    kept.setdefault(name, []).extend(scores)
        if options.each:
            print("\n".join(told(one, found, index) for index, one in enumerate(group.series)))
    for total, kept in totals.items():
        if kept:
            print(f"{total}: {len(kept['edgewright'])} series, margin {MARGIN}: precision recall F1")
            print("\n".join(line(name, scores) for name, scores in kept.items()))


if __name__ == "__main__":
    main()
