"""Every technique on every network in both runtimes: accuracy as executed, file, multiplications, time.

    python benchmarks/techniques.py [--only gru,quantize] [--runtimes tflite] [--quick] [--again]

What is registered as a technique or published as a recipe takes part, with its defaults, and so do the
variants below. Each file is compared with the plain export of the same network in the same runtime: the two
take turns of milliseconds in the same processes, with one thread. What cannot be had is skipped with its
reason.

Each cell is kept in build/benchmarks/techniques.sqlite, raw samples and all, and not made again unless
``--again`` says so. First comes an overview of times and accuracy, then a table for each network, of all
cells that are there. The same goes into build/benchmarks/techniques.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beside import (
    BUILD,
    LOOSE,
    ROOT,
    RUNTIMES,
    Beside,
    compare,
    net,
    one_thread,
    recipe_of,
    say,
    this_machine,
)

from edgewright import __version__
from edgewright.errors import CompressionError, EdgewrightError, UnsupportedError
from edgewright.farm.job import Bench
from edgewright.recipe import Recipe, load_recipe, preset_names, technique_names
from edgewright.workloads import WorkloadSource

NETS: dict[str, WorkloadSource] = {
    "digits": WorkloadSource(ROOT / "examples" / "digits.py", "workload"),
    **{name: net(name) for name in ("vgg", "resnet", "mobilenet", "gru", "transformer")},
}
#: What is worth seeing beside the defaults.
VARIANTS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "quantize (dynamic)": (("quantize", {"mode": "dynamic"}),),
    "quantize (S8S8)": (("quantize", {"activation": "int8", "weight": "int8", "reduce_range": False}),),
    "quantize (U8S8)": (("quantize", {"activation": "uint8", "weight": "int8", "reduce_range": False}),),
    "quantize-weights (int4)": (("quantize-weights", {"bits": 4}),),
    "sparsify (magnitude)": (("sparsify", {"by": "magnitude"}),),
    "sparsify (2:4)": (("sparsify", {"n": 2, "m": 4}),),
    "factorize (CP)": (("factorize", {"convolutions": "cp", "rank": "ratio", "ratio": 0.3}),),
    "prune (global taylor)": (("prune", {"scope": "global", "importance": "taylor"}),),
    "sparsify + share": (("sparsify", {"amount": 0.9, "rounds": 2}), ("share", {})),
}
_PLAIN = "fp32"


@dataclass(frozen=True)
class Cell:
    """One network, recipe and runtime; ``beside`` is None with the reason."""

    net: str
    recipe: str
    runtime: str
    recipe_hash: str
    made_at: str
    status: str
    reason: str = ""
    beside: Beside | None = None


class Cells:
    """What was made before, one row a cell."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path)
        with self._database:
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS cells"
                " (net TEXT, recipe TEXT, runtime TEXT, hash TEXT, version TEXT, cell TEXT,"
                " PRIMARY KEY (net, recipe, runtime))"
            )

    def find(self, net: str, recipe: Recipe, runtime: str) -> Cell | None:
        """The cell, when it was made of the same recipe by the same version."""
        row = self._database.execute(
            "SELECT cell FROM cells WHERE net = ? AND recipe = ? AND runtime = ?"
            " AND hash = ? AND version = ?",
            (net, recipe.name, runtime, recipe.hash, __version__),
        ).fetchone()
        if row is None:
            return None
        read = json.loads(row[0])
        beside = read.pop("beside")
        if beside:
            beside["notes"] = tuple(beside["notes"])
        return Cell(**read, beside=Beside(**beside) if beside else None)

    def keep(self, cell: Cell) -> None:
        """Store it, in the place of an earlier one."""
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?)",
                (
                    cell.net,
                    cell.recipe,
                    cell.runtime,
                    cell.recipe_hash,
                    __version__,
                    json.dumps(dataclasses.asdict(cell)),
                ),
            )


def recipes() -> Iterator[Recipe]:
    """Every technique with its defaults, the variants, and the published recipes that are none of these."""
    seen = set()
    for name in technique_names():
        recipe = recipe_of(name, (name, {}))
        seen.add(recipe.steps)
        yield recipe
    for name, steps in VARIANTS.items():
        recipe = recipe_of(name, *steps)
        seen.add(recipe.steps)
        yield recipe
    for name in preset_names():
        recipe = dataclasses.replace(load_recipe(name), tolerance=LOOSE)
        if recipe.steps and recipe.steps not in seen:
            yield recipe


def cell_of(net: str, recipe: Recipe, runtime: str, bench: Bench, budget_s: float) -> Cell:
    """Make and compare."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    begun = Cell(net, recipe.name, runtime, recipe.hash, now, "measured")
    try:
        beside = compare(NETS[net], recipe, runtime, bench, budget_s=budget_s, plain=load_recipe(_PLAIN))
    except (UnsupportedError, CompressionError) as error:
        return dataclasses.replace(begun, status="skipped", reason=error.message)
    except EdgewrightError as error:
        return dataclasses.replace(begun, status="failed", reason=str(error))
    return dataclasses.replace(begun, beside=beside)


def table(cells: Sequence[Cell]) -> str:
    """Markdown: a table for each network, and why cells are empty."""
    parts = []
    for name in dict.fromkeys(cell.net for cell in cells):
        own = [cell for cell in cells if cell.net == name]
        parts += [*_table(name, own), "", *_reasons(own), ""]
    return "\n".join(parts)


def overview(cells: Sequence[Cell]) -> str:
    """Markdown: for each runtime, how long every recipe takes on every network, and what it costs."""
    nets = list(dict.fromkeys(cell.net for cell in cells))
    parts = []
    for runtime in dict.fromkeys(cell.runtime for cell in cells):
        parts += [f"### {runtime}: time, and points of accuracy", ""]
        parts += ["| recipe | " + " | ".join(nets) + " |", "|---" * (len(nets) + 1) + "|"]
        for recipe in dict.fromkeys(cell.recipe for cell in cells):
            found = {one.net: one.beside for one in cells if (one.recipe, one.runtime) == (recipe, runtime)}
            row = " | ".join(_in_short(found.get(name)) for name in nets)
            parts.append(f"| {recipe} | {row} |")
        parts.append("")
    return "\n".join(parts)


def _in_short(beside: Beside | None) -> str:
    if beside is None or beside.time_ratio is None:
        return "-"
    return f"{beside.time_ratio:.2f}, {0.0 - beside.lost:+.1f}"


def _table(name: str, cells: Sequence[Cell]) -> Iterator[str]:
    runtimes = list(dict.fromkeys(cell.runtime for cell in cells))
    measured = [cell.beside for cell in cells if cell.beside]
    if not measured:
        return
    first = measured[0]
    yield f"### {name}: accuracy {100 * first.before:.2f} %, {first.before_macs / 1e6:.2f} million MACs"
    yield ""
    heads = [f"{runtime}: {what}" for runtime in runtimes for what in ("accuracy", "file", "time")]
    yield "| " + " | ".join(["recipe", "MACs", *heads]) + " |"
    yield "|---" * (len(heads) + 2) + "|"
    for recipe in dict.fromkeys(cell.recipe for cell in cells):
        found = {cell.runtime: cell.beside for cell in cells if cell.recipe == recipe}
        macs = next((one.after_macs / one.before_macs for one in found.values() if one), None)
        row = [recipe, "" if macs is None else f"{100 * macs:.0f} %"]
        for runtime in runtimes:
            row += _figures(found.get(runtime))
        yield "| " + " | ".join(row) + " |"


def _figures(beside: Beside | None) -> list[str]:
    if beside is None:
        return ["-", "-", "-"]
    time = "not measured" if beside.time_ratio is None else f"{beside.time_ratio:.2f}"
    kilobytes = beside.after_bytes / 1000
    return [
        f"{100 * beside.after:.2f} ({0.0 - beside.lost:+.2f})",
        f"{kilobytes:.0f} kB, {beside.smaller:.1f}x",
        time,
    ]


def _reasons(cells: Sequence[Cell]) -> Iterator[str]:
    """Each reason once, with the cells it holds for."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for cell in cells:
        if cell.beside is None:
            found.setdefault((cell.recipe, cell.status, cell.reason), []).append(cell.runtime)
    for (recipe, status, reason), runtimes in found.items():
        yield f"- {recipe} in {' and '.join(runtimes)}: {status}: {' '.join(reason.split())}"


def main() -> None:
    """Make what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="networks and recipes, with commas between")
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--budget", type=float, default=6.0, help="seconds of taking turns a cell")
    parser.add_argument("--quick", action="store_true", help="a third of that, and no other runtime")
    parser.add_argument("--again", action="store_true", help="make cells again that are there")
    options = parser.parse_args()
    if options.quick:
        options.budget, options.runtimes = options.budget / 3, "onnxruntime"
    words = {word.strip() for word in options.only.split(",") if word.strip()}
    every = list(recipes())
    unknown = words - set(NETS) - {recipe.name for recipe in every}
    if unknown:
        parser.error(f"neither a network nor a recipe: {', '.join(sorted(unknown))}")
    one_thread()
    nets = [name for name in NETS if name in words or not words & set(NETS)]
    chosen = [r for r in every if r.name in words or not words - set(NETS)]
    cells = Cells(BUILD / "techniques.sqlite")
    with this_machine() as bench:
        for name in nets:
            for recipe in chosen:
                for runtime in options.runtimes.split(","):
                    if options.again or cells.find(name, recipe, runtime) is None:
                        made = cell_of(name, recipe, runtime, bench, options.budget)
                        cells.keep(made)
                        say(f"{name}, {recipe.name}, {runtime}: {_said(made)}")
    wanted = [(name, recipe, runtime) for name in nets for recipe in chosen for runtime in RUNTIMES]
    made_before = [cell for one in wanted if (cell := cells.find(*one)) is not None]
    text = f"{overview(made_before)}\n{table(made_before)}"
    (BUILD / "techniques.md").write_text(text, encoding="utf-8")
    print(text)


def _said(cell: Cell) -> str:
    if cell.beside is None:
        return f"{cell.status}: {cell.reason}"
    accuracy, file, time = _figures(cell.beside)
    return f"accuracy {accuracy}, file {file}, time {time}"


if __name__ == "__main__":
    main()
