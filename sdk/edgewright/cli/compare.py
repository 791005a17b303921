"""``edgewright compare``: two runs, reports or rows, pair by pair."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import store_option, threshold_option
from .quantities import parse_share

if TYPE_CHECKING:
    from edgewright.report.conditions import Specimen

_JSON = ".json"


@click.command()
@click.argument("a")
@click.argument("b")
@threshold_option
@click.option(
    "--across",
    multiple=True,
    metavar="FACT",
    help="A condition that may differ, such as runtime or threads, for it is what is compared.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all of it as JSON.")
@store_option
def compare(
    a: str, b: str, threshold: str, across: tuple[str, ...], json_file: Path | None, store: str | None
) -> int:
    """Say of B's rows whether they are slower or faster than A's, the same, or cannot be told apart.

    A and B are stored runs (an id or its beginning), report files that --json wrote, or one row of either:
    RUN:3, RUN:workload/recipe/device/runtime, FILE.json:3. Rows of the same workload, recipe, device and
    runtime are pairs; one row on each side are a pair whatever they are.

    Ends with 0 when all are the same or faster, 1 when any is slower, 4 when any cannot be told, was
    measured under other conditions, or is in A alone.
    """
    from edgewright.report.compare_text import print_comparison
    from edgewright.report.comparison import Question, compare_document
    from edgewright.report.matching import match

    from .answers import answer_code, write_json
    from .launch import Output

    Output(None, {"json": json_file} if json_file else {}).check()
    question = Question(a, b, parse_share(threshold, "--threshold"), _facts(across))
    document = compare_document(match(_specimens(a, store), _specimens(b, store)), question)
    if json_file:
        write_json(document, json_file)
    print_comparison(document, sys.stdout)
    if json_file:
        click.echo(f"comparison: {json_file}")
    return answer_code([document.verdict])


def _facts(names: tuple[str, ...]) -> frozenset[str]:
    from edgewright.config import did_you_mean
    from edgewright.errors import ConfigError
    from edgewright.report.conditions import FACTS

    for name in names:
        if name not in FACTS:
            mend = did_you_mean(name, FACTS) or f"one of: {', '.join(FACTS)}"
            raise ConfigError(f"--across: no condition is called {name!r}", mend=mend)
    return frozenset(names)


def _specimens(text: str, store: str | None) -> list[Specimen]:
    """The rows that ``text`` means."""
    from edgewright.report import load_document, report_document
    from edgewright.report.conditions import specimens
    from edgewright.report.matching import select
    from edgewright.store import Store

    source, selector = _parts(text)
    if source.endswith(_JSON):
        document = load_document(Path(source))
    else:
        with Store.open(store, create=False) as opened:
            document = report_document(opened.run(source))
    return select(document, selector, source) if selector else specimens(document)


def _parts(text: str) -> tuple[str, str]:
    """The report and the row of it: at the colon after a file's ending, or at the first one of a run."""
    if text.endswith(_JSON):
        return text, ""
    head, ending, tail = text.rpartition(f"{_JSON}:")
    if ending:
        return head + _JSON, tail
    run, _, selector = text.partition(":")
    return run, selector
