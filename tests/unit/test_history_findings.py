"""What a run shows beside those before it, and how the command line tells it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.fakes import HOSTILE, PI5_FP32, device, environment, latencies, launch, measured, row

from edgewright.cli.history import history, regressions
from edgewright.errors import ConfigError
from edgewright.history import find_regressions, judged
from edgewright.history.document import Series, regressions_document
from edgewright.history.junit import render_junit
from edgewright.history.needed import needed_runs
from edgewright.history.words import render_markdown, render_regressions
from edgewright.report.figures import figures_of
from edgewright.row import ArtifactInfo, Failed, Row, Skipped
from edgewright.store import Store
from edgewright.store.figures import Figures, SeriesKey

#: One figure for each kind of row, made once: summarizing takes tens of milliseconds.
LAUNCHES = [launch(latencies(4.2, 200, seed=n)) for n in range(2)]
GOOD = row(measured(*LAUNCHES))
OTHER = replace(PI5_FP32, recipe="int8")


class Nights:
    """A store that is filled night by night; what a row's median is, is said and not measured."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids: list[str] = []
        self._rng = np.random.default_rng(0)
        self._figures: dict[int, tuple[Row, Figures]] = {}
        self._moment = 0
        self._store = Store.open(path)

    def add(
        self, *rows: tuple[Row, float], name: str = "nightly", commit: str = "", finish: bool = True
    ) -> str:
        store = self._store
        run_id = store.begin_run(name, "", "quick", project_commit=commit or f"commit-{len(self.ids)}")
        for one, ms in rows:
            if id(one) not in self._figures:
                self._figures[id(one)] = one, figures_of(one)
            known = self._figures[id(one)][1]
            if known.p50_ns:
                p50 = 1e6 * ms * math.exp(self._rng.normal(0, 0.005))
                known = replace(known, p50_ns=p50, p50_low_ns=p50 * 0.999, p50_high_ns=p50 * 1.001)
            store.add_row(run_id, one, "", known)
        if finish:
            store.finish_run(run_id)
        with store._write() as session:
            self._moment += 1
            moment = f"2026-01-01T00:{self._moment // 60:02d}:{self._moment % 60:02d}.000+00:00"
            store._record(session, run_id).started_at = moment
        self.ids.append(run_id)
        return run_id

    def close(self) -> None:
        self._store.close()

    def series(self, count: int, ms: float = 4.2, one: Row = GOOD) -> None:
        for _ in range(count):
            self.add((one, ms))


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    made = Nights(tmp_path / "store.sqlite")
    yield made
    made.close()


def find(nights: Nights, run_id: str | None = None, **how: object):  # type: ignore[no-untyped-def]
    with Store.open(nights.path) as store:
        return find_regressions(store, run_id, **how)  # type: ignore[arg-type]


def test_nothing_is_wrong_where_nothing_changed(nights: Nights) -> None:
    nights.series(20)
    found = find(nights)
    assert (found.judged, found.young, found.is_bad) == (1, 0, False)
    assert not (found.regressions or found.suspects or found.missing or found.unknown)
    assert regressions_document(found, 0.05).verdict == "good"


def test_a_regression_names_what_it_lies_between(nights: Nights) -> None:
    nights.series(20)
    newer = replace(
        GOOD,
        outcome=measured(*LAUNCHES, board=device(system="Linux 6.12")),
        artifact=ArtifactInfo("cd" * 32, 1_482_313, "onnx"),
    )
    for _ in range(3):
        nights.add((newer, 4.2 * 1.06))
    (one,) = find(nights).regressions
    told = regressions_document(find(nights), 0.05).regressions[0].change
    assert one.change.ratio == pytest.approx(1.06, rel=0.01)
    assert told.interval[0] < 1.06 < told.interval[1]
    assert (told.last_good.run, told.first_bad.run) == (nights.ids[19], nights.ids[20])
    assert {d.fact: (d.good, d.bad) for d in told.differing} == {
        "project commit": ("commit-19", "commit-20"),
        "model file": ("ab" * 32, "cd" * 32),
        "system": ("Debian GNU/Linux 12 (bookworm), Linux 6.6.31, glibc 2.36", "Linux 6.12, glibc 2.36"),
    }
    assert told.measurements == 3 and told.is_certain


def test_the_first_bad_night_is_a_suspect_that_measuring_again_decides(nights: Nights) -> None:
    nights.series(20)
    nights.add((GOOD, 4.2 * 1.06))
    found = find(nights)
    assert not found.is_bad and len(found.suspects) == 1
    assert regressions_document(found, 0.05).suspects[0].again == 2
    assert regressions_document(found, 0.05).verdict == "unknown"
    again = [nights.add((GOOD, 4.2 * 1.06), name="again") for _ in range(2)]
    assert len(find(nights, again[-1]).regressions) == 1


def test_a_suspect_that_was_a_wild_night_is_forgotten(nights: Nights) -> None:
    nights.series(20)
    nights.add((GOOD, 4.2 * 1.3))
    assert len(find(nights).suspects) == 1
    nights.series(2)
    found = find(nights)
    assert not found.suspects and not found.regressions


def test_what_got_faster_is_none(nights: Nights) -> None:
    nights.series(20)
    nights.series(5, 4.2 / 1.1)
    assert not find(nights).is_bad
    with Store.open(nights.path) as store:
        (one,) = judged(store)
    assert [round(change.ratio, 2) for change in one.course.changes] == [0.91]


def test_a_regression_is_new_for_some_measurements(nights: Nights) -> None:
    nights.series(20)
    nights.series(9, 4.2 * 1.1)
    assert find(nights).regressions == ()
    assert len(find(nights, recent=9).regressions) == 1
    assert len(find(nights, nights.ids[22]).regressions) == 1  # as it was then


def test_only_valid_rows_have_a_say(nights: Nights) -> None:
    nights.series(20)
    noisy = replace(GOOD, outcome=measured(launch(latencies(4.2, 200)), launch(latencies(5.2, 200))))
    assert figures_of(noisy).verdict == "noisy"
    for _ in range(3):
        nights.add((noisy, 4.2 * 1.5))
    found = find(nights)
    assert not found.regressions and not found.suspects and not found.is_bad
    assert [(one.kind, one.reason) for one in found.unknown] == [("not valid", "its verdict is noisy")]


@pytest.mark.parametrize(
    ("rows", "kind", "reason"),
    [
        ([], "absent", "no row of it"),
        ([(row(Failed("the board is gone", "transport"), cell=OTHER), 0.0)], "failed", "the board is gone"),
        ([(row(Skipped("no longer"), cell=OTHER), 0.0)], "skipped", "no longer"),
    ],
)
def test_a_cell_that_used_to_be_measured_is_missed(
    nights: Nights, rows: Sequence[tuple[Row, float]], kind: str, reason: str
) -> None:
    other = replace(GOOD, cell=OTHER)
    for _ in range(3):
        nights.add((GOOD, 4.2), (other, 2.0))
    nights.add((GOOD, 4.2), *rows)
    (one,) = find(nights).missing
    assert (one.series.recipe, one.kind, one.reason) == ("int8", kind, reason)
    assert one.last.run_id == nights.ids[2] and find(nights).is_bad


def test_a_cell_that_is_measured_under_other_conditions_is_unknown(nights: Nights) -> None:
    nights.series(8)
    powersave = environment(governor={"policy0": "powersave"})
    slow = launch(latencies(4.2, 200), states=(powersave, environment(11.0)))
    nights.add((replace(GOOD, outcome=measured(slow)), 6.0))
    found = find(nights)
    assert not found.is_bad and found.young == 1
    (one,) = found.unknown
    assert (one.kind, one.reason) == ("measured otherwise", "conditions was performance, is powersave")


def test_a_run_of_another_name_misses_nothing(nights: Nights) -> None:
    nights.add((GOOD, 4.2), (replace(GOOD, cell=OTHER), 2.0))
    nights.add((GOOD, 4.2), name="bench")
    assert not find(nights).missing


def test_an_unfinished_run_says_so(nights: Nights) -> None:
    nights.series(3)
    nights.add(finish=False)
    (one,) = find(nights).missing
    assert one.reason == "no row of it: the run has not finished"
    assert "the run has not finished" in render_regressions(regressions_document(find(nights), 0.05))


def test_few_measurements_are_too_few(nights: Nights) -> None:
    nights.series(4)
    nights.add((GOOD, 8.0))
    found = find(nights)
    assert (found.judged, found.young, found.regressions) == (0, 1, ())
    assert regressions_document(found, 0.05).verdict == "unknown"


def test_a_larger_file_is_a_regression_of_size(nights: Nights) -> None:
    nights.series(10)
    for _ in range(3):
        nights.add((replace(GOOD, artifact=ArtifactInfo("cd" * 32, 1_600_000, "onnx")), 4.2))
    assert not find(nights).is_bad
    (one,) = find(nights, quantities=("latency", "size")).regressions
    assert one.judged.quantity == "size" and one.change.ratio == pytest.approx(1_600_000 / 1_482_313)


def test_the_runs_a_change_rests_on_are_needed(nights: Nights) -> None:
    nights.series(15)
    nights.series(15, 4.2 * 1.1)
    with Store.open(nights.path) as store:
        needed = needed_runs(store)
    assert set(needed) == {nights.ids[14], nights.ids[15], nights.ids[-1]}


def test_the_last_good_row_of_a_device_that_has_been_off_is_needed(nights: Nights) -> None:
    """Prune must not take what its next measurement will be held against."""
    nights.add((GOOD, 4.2), (replace(GOOD, cell=OTHER), 2.0))
    off = row(Failed("no answer", "transport"), cell=OTHER)
    for _ in range(3):
        nights.add((GOOD, 4.2), (off, 0.0))
    with Store.open(nights.path) as store:
        needed = needed_runs(store)
    assert list(needed) == [nights.ids[-1], nights.ids[0]]
    assert needed[nights.ids[0]] == "the last that measured digits int8 on pi5"


def test_a_run_that_is_not_there_is_one_line(nights: Nights) -> None:
    nights.series(1)
    with pytest.raises(ConfigError, match="no run 'nonsense'"):
        find(nights, "nonsense")


@pytest.fixture
def bad(nights: Nights) -> Nights:
    """One regression, one missing cell."""
    for _ in range(15):
        nights.add((GOOD, 4.2), (replace(GOOD, cell=OTHER), 2.0))
    for _ in range(3):
        nights.add((GOOD, 4.6), (row(Failed(HOSTILE, "transport"), cell=OTHER), 0.0), name="nightly")
    return nights


def run(command: object, *words: str, nights: Nights) -> Result:
    with_store = [*words, "--store", str(nights.path)]
    return CliRunner().invoke(command, with_store, standalone_mode=False)  # type: ignore[arg-type]


def test_the_command_says_what_is_wrong(bad: Nights, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("out.json", "out.xml", "out.md")}
    words = ["--json", str(files["out.json"]), "--junit", str(files["out.xml"])]
    done = run(regressions, *words, "--markdown", str(files["out.md"]), nights=bad)
    assert done.return_value == 1, done.output
    assert "1 got worse, 1 missing" in done.output and "REGRESSION" in done.output
    told = json.loads(files["out.json"].read_text())
    assert (told["schema"], told["verdict"], len(told["regressions"])) == (
        "edgewright.regressions/1",
        "bad",
        1,
    )
    suite = ElementTree.fromstring(files["out.xml"].read_text())[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "2", "0")
    kinds = [failure.get("type") for failure in suite.iter("failure")]
    assert kinds == ["regression", "missing"]
    assert "| before | after |" in files["out.md"].read_text()


def test_hostile_text_does_nothing(bad: Nights) -> None:
    document = regressions_document(find(bad), 0.05)
    text = render_markdown(document)
    assert "<script" not in text and "\\](javascript" in text and "\\\\](javascript" not in text
    ElementTree.fromstring(render_junit(document))
    assert "\x1b" not in render_regressions(document)


def test_a_good_run_ends_with_0(nights: Nights) -> None:
    nights.series(10)
    done = run(regressions, "--json", "-", nights=nights)
    assert done.return_value == 0 and json.loads(done.output)["verdict"] == "good"
    junit = run(regressions, "--junit", "-", nights=nights).output
    assert ElementTree.fromstring(junit)[0].get("failures") == "0"


def test_a_command_is_told_what_is_wrong(bad: Nights, tmp_path: Path) -> None:
    script = f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(sys.stdin.read())"
    done = run(regressions, "--exec", f'"{sys.executable}" -c "{script}"', nights=bad)
    assert done.return_value == 1, done.exception
    assert json.loads((tmp_path / "told").read_text())["verdict"] == "bad"


@pytest.mark.parametrize(
    ("command", "match"),
    [
        ("/nonexistent/mailer", "cannot be run"),
        (f"{sys.executable} -c 'raise SystemExit(3)'", "ended with 3"),
        ("sleep 60", "still running after 0.2 s"),
    ],
)
def test_a_command_that_fails_is_one_line(bad: Nights, command: str, match: str) -> None:
    done = run(regressions, "--exec", command, "--exec-timeout", "0.2s", nights=bad)
    if match == "ended with 3":
        done = run(regressions, "--exec", command, nights=bad)
    assert isinstance(done.exception, ConfigError) and match in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_good_run_tells_nobody(nights: Nights) -> None:
    nights.series(8)
    assert run(regressions, "--exec", "/nonexistent/mailer", nights=nights).return_value == 0


def test_a_series_is_told_by_all_that_makes_its_key(nights: Nights) -> None:
    nights.series(1)
    document = json.loads(run(history, "--json", "-", nights=nights).output)
    series = document["series"][0]["series"]
    assert set(series) == {"id", *(field.name for field in fields(SeriesKey))}
    key = SeriesKey(**{name: value for name, value in series.items() if name != "id"})
    assert key.series_id == series["id"] and set(vars(Series)["__annotations__"]) == {"id"}


def test_history_shows_series_and_their_changes(bad: Nights) -> None:
    done = run(history, "recipe=fp*", nights=bad)
    assert done.output.count("onnxruntime, latency: ") == 1 and "over 3 measurements" in done.output
    told = json.loads(run(history, "--json", "-", nights=bad).output)
    assert [(one["series"]["recipe"], len(one["changes"])) for one in told["series"]] == [
        ("fp32", 1),
        ("int8", 0),
    ]
    assert "no series is stored that was asked for" in run(history, "device=x", nights=bad).output


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("pi5", "is not FIELD=PATTERN"),
        ("devise=pi5", "did you mean .*device"),
        ("x=1", "known: conditions, device"),
    ],
)
def test_a_filter_that_is_none_is_one_line(nights: Nights, word: str, match: str) -> None:
    done = run(history, word, nights=nights)
    assert isinstance(done.exception, ConfigError)
    with pytest.raises(ConfigError, match=match):
        raise done.exception
