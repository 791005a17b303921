"""A study in the store, its answer from there alone, and the page and the table that show it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.fakes import HOSTILE, latencies, launch, measured
from tests.tuning import Files, latency_ms

from edgewright.errors import ConfigError, StoreError
from edgewright.profiles import load_profile
from edgewright.report.plain import render_json
from edgewright.report.study.document import StudyDocument
from edgewright.report.study.page import render_page
from edgewright.report.study.terminal import print_study
from edgewright.row import ArtifactInfo, Cell, Row
from edgewright.store import Store, Studies
from edgewright.tune.answer import answer_of, past, study_document
from edgewright.tune.output import check_folder, write_folder
from edgewright.tune.question import Place, Question, Tried, from_json, to_json, tried_from
from edgewright.tune.setting import Setting
from edgewright.tune.study import Means, begin, carried_over, is_finished, request_of

SETTINGS = (
    Setting(),
    Setting(quantize="int8-entropy"),
    Setting(prune=0.3),
    Setting(prune=0.5, quantize="qat", distill="response"),
)
QUESTION = Question("net.py:workload", ("pi",), trials=4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


def keep(
    store: Store, study_id: str, device: str, position: int, setting: Setting, *, factor: float = 1.0
) -> None:
    """A setting that was measured."""
    built = Files().built(setting)
    row = Row(
        Cell("net", setting.recipe_name, device, "raspberry-pi-5", setting.runtime),
        measured(*(launch(latencies(factor * latency_ms(setting), 400, seed=n)) for n in range(3))),
        "rapid",
        "2026-01-02T03:04:05+00:00",
        ArtifactInfo(built.sha256, built.size_bytes, built.format),
        built.quality,
    )
    key = f"{built.sha256}-{device}"
    store.add_row(study_id, row, key)
    tried = Tried(
        device, position, setting, "seed", "measured", built=built, row=Place(study_id, key), predicted=3.0
    )
    Studies(store).put(study_id, tried.stored())


def begun(store: Store, question: Question = QUESTION) -> str:
    study_id = store.begin_run("tune", to_json(question), "rapid")
    Studies(store).begin(study_id, request_of(question), to_json(question))
    return study_id


def filled(store: Store, question: Question = QUESTION) -> str:
    study_id = begun(store, question)
    for position, setting in enumerate(SETTINGS):
        keep(store, study_id, "pi", position, setting)
    reason = Tried("pi", 4, Setting(quantize="fp16"), "optuna", "failed", reason=f"fp16 {HOSTILE}")
    Studies(store).put(study_id, reason.stored())
    store.finish_run(study_id)
    return study_id


def test_trials_are_kept_from_the_moment_they_begin_and_come_back_as_they_were(store: Store) -> None:
    study_id = begun(store)
    first = Tried("pi", 0, Setting(prune=0.5, layers=(("a.b", 0.25),)), "baseline")
    studies = Studies(store)
    studies.put(study_id, first.stored())
    assert [tried_from(one) for one in studies.trials(study_id)] == [first]
    ended = replace(first, state="collapsed", reason="0.1 left", built=Files().built(first.setting))
    studies.put(study_id, ended.stored())
    studies.put(study_id, Tried("board", 0, Setting(), "baseline").stored())
    assert [tried_from(one) for one in studies.trials(study_id, "pi")] == [ended]
    assert len(studies.trials(study_id)) == 2
    with pytest.raises(StoreError, match="trial 0 on pi cannot be read: state"):
        tried_from(replace(ended.stored(), body=to_json(ended).replace("collapsed", "gone")))


def test_a_question_comes_back_as_it_was() -> None:
    question = replace(QUESTION, time_budget_s=12.5, warm=SETTINGS, objective="energy")
    assert from_json(to_json(question), Question, "it") == question


def test_a_study_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    studies = Studies(store)
    with pytest.raises(ConfigError, match="no study is stored yet"):
        studies.get()
    study_id = begun(store)
    store.begin_run("no study", "", "rapid")
    assert studies.get().run.run_id == studies.get(study_id[:10]).run.run_id == study_id
    with pytest.raises(ConfigError, match="no study '1999'"):
        studies.get("1999")
    begun(store)
    with pytest.raises(ConfigError, match="several studies begin with"):
        studies.get(study_id[:4])


def test_only_what_was_cut_short_is_gone_on_with(store: Store, tmp_path: Path) -> None:
    means = Means(store, None, tmp_path)  # type: ignore[arg-type]
    study_id, is_resumed = begin(QUESTION, means)
    assert not is_resumed
    studies, hours = Studies(store), timedelta(hours=6)
    assert studies.interrupted(request_of(QUESTION), within=hours) is None  # this process is at it
    other = '{"host": "%s", "pid": 1, "started": "then"}'
    import socket

    from sqlalchemy import text

    with store._write() as session:
        session.execute(text("UPDATE runs SET process = :p"), {"p": other % socket.gethostname()})
    assert begin(QUESTION, means) == (study_id, True)
    assert begin(replace(QUESTION, seed=1), means)[1] is False
    assert studies.interrupted(request_of(QUESTION), within=timedelta(0)) is None
    studies.take_over(study_id)
    store.finish_run(study_id)
    assert studies.interrupted(request_of(QUESTION), within=hours) is None
    assert is_finished(store, study_id, QUESTION)
    assert not is_finished(store, study_id, replace(QUESTION, trials=5))


def test_the_answer_comes_from_the_store_alone(store: Store) -> None:
    study_id = filled(store)
    answer = answer_of(store, study_id)
    one = answer.device("pi")
    assert one.profile == "raspberry-pi-5" and len(one.tried) == 5
    assert one.choice.best and one.choice.best.setting == SETTINGS[3]
    document = study_document(answer)
    assert StudyDocument.model_validate_json(render_json(document)) == document
    (told,) = document.devices
    assert told.counts == {"measured": 4, "failed": 1} and told.best == 3
    assert [attempt.position for attempt in document.attempts if attempt.on_front] == [
        place for place in range(5) if place in told.front
    ]
    assert document.attempts[4].latency_ms is None and document.attempts[4].state == "failed"


def test_what_another_study_measured_helps_to_predict(store: Store) -> None:
    study_id = filled(store)
    later = begun(store, replace(QUESTION, seed=1))
    found = past(Studies(store), later, "pi")
    assert {one.setting for one in found} == set(SETTINGS)
    assert past(Studies(store), study_id, "pi") == past(Studies(store), later, "board") == ()


def test_the_same_cell_is_found_whichever_study_measured_it(store: Store) -> None:
    study_id = filled(store)
    cell = f"{Files().built(SETTINGS[1]).sha256}-pi"
    found = Studies(store).measured_before(cell, within=timedelta(hours=1))
    assert found is not None and tried_from(found).row == Place(study_id, cell)
    assert Studies(store).row(study_id, cell) is not None
    assert Studies(store).measured_before(cell, within=timedelta(0)) is None
    assert Studies(store).measured_before("other", within=timedelta(hours=1)) is None


def test_the_regret_is_what_the_other_s_best_costs_more(store: Store) -> None:
    study_id = begun(store, replace(QUESTION, devices=("pi", "board")))
    for position, setting in enumerate(SETTINGS[:2]):
        keep(store, study_id, "pi", position, setting)
        keep(store, study_id, "board", position, setting, factor=3.0 if setting.quantize != "none" else 1.0)
    regrets = {(one.setting_of, one.on): one for one in answer_of(store, study_id).regrets}
    assert regrets["pi", "pi"].share == regrets["board", "board"].share == 0
    assert regrets["pi", "board"].share == pytest.approx(0.65, abs=0.02)
    assert regrets["board", "pi"].share == pytest.approx(1 / 0.55 - 1, abs=0.04)
    stream = io.StringIO()
    print_study(study_document(answer_of(store, study_id)), stream, width=100)
    assert "What the best setting of one device costs on another" in stream.getvalue()


def test_a_regret_that_is_not_known_says_why(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = begun(store, replace(QUESTION, devices=("pi", "board")))
    keep(store, study_id, "pi", 0, SETTINGS[3])
    keep(store, study_id, "board", 0, SETTINGS[0])
    regrets = {(one.setting_of, one.on): one for one in answer_of(store, study_id).regrets}
    assert regrets["pi", "board"].reason == "not tried there: edgewright transfer tries it"
    known = load_profile("raspberry-pi-5")
    int8 = replace(known.numeric.int8, activation="uint8", weight="uint8")
    other = replace(known, numeric=replace(known.numeric, int8=int8))
    monkeypatch.setattr("edgewright.tune.regret.load_profile", lambda _: other)
    regrets = {(one.setting_of, one.on): one for one in answer_of(store, study_id).regrets}
    assert regrets["pi", "board"].reason.startswith("cannot be there: qat trains int8 weights")


def test_a_study_is_carried_over_with_what_nothing_beat_there(store: Store) -> None:
    study_id = filled(store)
    parent, question = carried_over(store, study_id[:12], "board", 3)
    assert parent == question.parent == study_id and question.devices == ("board",)
    assert question.warm[0] == SETTINGS[3] and Setting() in question.warm
    assert question.trials == 1 + len(question.warm) + 3
    with pytest.raises(ConfigError, match="is about pi already"):
        carried_over(store, study_id, "pi", 0)


class Parsed(HTMLParser):
    """The tags of a page, and the text of its table."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_holds_everything_escaped_and_fetches_nothing(store: Store) -> None:
    document = study_document(answer_of(store, filled(store)))
    page = render_page(document)
    parsed = Parsed(page)
    names = [name for name, _ in parsed.tags]
    assert names.count("script") == 1 and "img" not in names and "link" not in names
    assert not [attrs for _, attrs in parsed.tags if "src" in attrs or "onerror" in attrs]
    assert "default-src &#39;none&#39;" in page and "\x1b" not in page
    dots = [attrs for name, attrs in parsed.tags if name == "circle"]
    assert len(dots) == 2 * 4  # latency and size; energy was not measured
    assert "Quality against energy is not drawn: no setting has both figures." in page
    rows = {attrs.get("id") for name, attrs in parsed.tags if name == "tr"}
    assert {dot["data-row"] for dot in dots} <= rows
    assert document.devices[0].sentence.split(":")[0] in page
    assert "; beaten by none; proposed by seed</td>" in page


def test_the_table_fits_a_narrow_terminal(store: Store) -> None:
    document = study_document(answer_of(store, filled(store)))
    for width in (60, 100, 140):
        stream = io.StringIO()
        print_study(document, stream, width=width)
        shown = stream.getvalue()
        assert "ship" in shown and "5 settings tried: 1 failed, 4 measured." in shown
        assert ("peak memory" in shown) is (width >= 110)


def test_a_folder_has_the_recipe_the_plan_the_page_and_the_data(store: Store, tmp_path: Path) -> None:
    from edgewright.farm.plan import load_plan
    from edgewright.recipe import load_recipe

    answer = answer_of(store, filled(store))
    folder = tmp_path / "out"
    written = write_folder(answer, study_document(answer), folder)
    assert {path.name for path in written} == {"recipe.toml", "run.toml", "study.html", "study.json"}
    assert load_recipe(folder / "recipe.toml").hash == SETTINGS[3].recipe().hash
    plan = load_plan(folder / "run.toml")
    assert plan.recipes == (str(folder / "recipe.toml"),) and plan.devices == ("pi",) and plan.threads == 1
    with pytest.raises(ConfigError, match="is not a folder"):
        check_folder(folder / "recipe.toml" / "in")
