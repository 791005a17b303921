"""What every renderer promises: all rows, all reasons, nothing that its reader would obey."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
from tests.fakes import HOSTILE, launch, measured, plan_run, row, stored

from edgewright.report import FORMATS, render, report_document
from edgewright.report.terminal import print_report
from edgewright.row import Cell, Failed, Skipped
from edgewright.store import StoredRun

READ_BY_PEOPLE = ("terminal", "markdown", "html")


@pytest.fixture(scope="module")
def plan() -> StoredRun:
    return plan_run(launches=1)


@pytest.fixture(params=sorted(FORMATS))
def format_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def hostile_run() -> StoredRun:
    board = replace(measured().device, board=HOSTILE, cpu_model=HOSTILE, system=HOSTILE)
    cell = Cell(HOSTILE, "fp32", HOSTILE, HOSTILE, "onnxruntime")
    return stored(
        row(measured(launch(providers=(HOSTILE,)), board=board), cell=cell, notes=(HOSTILE,)),
        row(Failed(HOSTILE, HOSTILE), cell=cell),
        row(Skipped(HOSTILE), cell=cell),
        name=HOSTILE,
        preset=HOSTILE,
    )


def test_every_row_is_told(format_name: str, plan: StoredRun) -> None:
    text = render(report_document(plan), format_name)
    for one in plan.rows:
        for word in (one.cell.recipe, one.cell.runtime, one.cell.device, one.cell.workload):
            assert word in text
    assert text.endswith("\n")


def test_failed_and_skipped_rows_are_told_with_their_reason(format_name: str) -> None:
    run = stored(row(Failed("the cat sat on the board", "transport")), row(Skipped("dogs have no runtime")))
    text = re.sub(r"\s+", " ", render(report_document(run), format_name))
    assert "the cat sat on the board" in text and "dogs have no runtime" in text
    assert "failed" in text and "skipped" in text


def test_an_empty_run_is_no_error(format_name: str) -> None:
    assert render(report_document(stored()), format_name).endswith("\n")


def test_rendering_twice_gives_the_same(format_name: str, plan: StoredRun) -> None:
    document = report_document(plan)
    assert render(document, format_name) == render(document, format_name)


def test_nothing_hostile_gets_through_raw(format_name: str) -> None:
    text = render(report_document(hostile_run()), format_name).replace(get_plotlyjs(), "")
    text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]", text.replace("\n", " "))
    if format_name in READ_BY_PEOPLE[1:]:
        assert "<script>window.pwned" not in text and "<img" not in text


def test_figures_carry_their_unit() -> None:
    document = report_document(stored(row(measured(launch([4_200_000] * 700)))))
    for name in READ_BY_PEOPLE:
        text = render(document, name)
        assert "4.20 ms" in text and "1.48 MB" in text, name


def test_json_is_the_document(plan: StoredRun) -> None:
    document = report_document(plan)
    assert json.loads(render(document, "json")) == document.model_dump(mode="json")


def test_json_keeps_samples_on_one_line() -> None:
    text = render(
        report_document(stored(row(measured(launch([7] * 5000)), notes=("[\\n 1,\\n 2]",)))), "json"
    )
    assert len(text.splitlines()) < 300
    assert json.loads(text)["rows"][0]["notes"] == ["[\\n 1,\\n 2]"]


def test_csv_has_a_line_a_row_and_no_formula(plan: StoredRun) -> None:
    lines = list(csv.DictReader(io.StringIO(render(report_document(plan), "csv"))))
    assert [line["recipe"] for line in lines] == [one.cell.recipe for one in plan.rows]
    assert float(lines[0]["latency_ms.p50"]) == pytest.approx(0.21, rel=0.01)
    run = stored(row(Failed("=HYPERLINK(1)", "x"), cell=Cell("@w", "+r", "-d", "p", "t")))
    (line,) = csv.DictReader(io.StringIO(render(report_document(run), "csv")))
    assert [line[k] for k in ("reason", "workload", "recipe", "device")] == [
        "'=HYPERLINK(1)",
        "'@w",
        "'+r",
        "'-d",
    ]


def test_markdown_tables_survive_pipes_and_markup() -> None:
    text = render(report_document(hostile_run()), "markdown")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {13}
    assert not re.search(r"(?<!\\)\[x\]\(", text)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_html_refers_to_nothing_outside_and_runs_only_its_own_scripts() -> None:
    tags = _Tags()
    tags.feed(render(report_document(hostile_run()), "html"))
    for tag, attributes in tags.seen:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            if name in ("src", "href", "action", "srcset", "style", "data"):
                assert value is not None and value.startswith("#"), (tag, name, value)
    assert sum(tag == "script" for tag, _ in tags.seen) == 3
    policy = next(str(a["content"]) for t, a in tags.seen if t == "meta" and a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


@pytest.mark.parametrize("width", [20, 40, 64, 80, 100, 160])
def test_terminal_lines_fit_the_terminal(width: int, plan: StoredRun) -> None:
    stream = io.StringIO()
    print_report(report_document(plan), stream, width=width)
    assert max(map(len, stream.getvalue().splitlines())) <= width
    assert stream.getvalue().count("int8-static") >= 8


def test_terminal_shows_more_figures_where_there_is_room(plan: StoredRun) -> None:
    document = report_document(plan)
    texts = {}
    for width in (70, 140):
        stream = io.StringIO()
        print_report(document, stream, width=width)
        texts[width] = stream.getvalue()
    assert "peak memory" in texts[140] and "peak memory" not in texts[70]
    assert "p50" in texts[70] and "verdict" in texts[70]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_alone(plan: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    document = report_document(plan)
    piped, terminal = io.StringIO(), _Terminal()
    print_report(document, piped)
    print_report(document, terminal)
    assert "\x1b" not in piped.getvalue()
    assert "\x1b[" in terminal.getvalue()
