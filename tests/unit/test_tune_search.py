"""The search on one device: what it tries, what it spares the device, what a kill does not lose."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tuning import (
    SMALL,
    Book,
    Device,
    Files,
    Killed,
    ground,
    latency_ms,
    no_qat,
    question,
    search,
    slower,
)

from edgewright.errors import BuildError, ConfigError, EdgewrightError, QualityError, UnsupportedError
from edgewright.tune.bounds import Bounds
from edgewright.tune.choice import choose
from edgewright.tune.crew import Crew
from edgewright.tune.search import Search
from edgewright.tune.setting import Setting


def test_the_baseline_comes_first_and_every_setting_once() -> None:
    book, device = Book(), Device()
    search(question(trials=30), device=device, book=book).run()
    assert book.begun[0] == Setting(threads=2)
    assert len(book.begun) == len(set(book.begun)) == 30
    assert set(book.begun) <= set(ground().settings)
    assert all(tried.state != "begun" for tried in book.tried())
    assert Counter(device.executed).most_common(1)[0][1] == 1


def test_a_small_space_ends_when_all_was_tried() -> None:
    book = Book()
    search(question(trials=500), book=book, space=SMALL).run()
    assert set(book.begun) == set(SMALL.settings())


def test_the_best_of_the_grid_is_found_with_a_fraction_of_the_measurements() -> None:
    device, book = Device(), Book()
    hunt = search(question(trials=40, bounds=Bounds(max_accuracy_drop=0.02)), device=device, book=book)
    hunt.run()
    kept = [s for s in ground().settings if Files().built(s).loss <= 0.02]  # type: ignore[operator]
    best = choose(hunt.known, hunt._question.bounds, "latency", "net on board").best
    assert best is not None
    assert latency_ms(best.setting) <= 1.02 * min(map(latency_ms, kept))
    assert len(device.executed) < 0.35 * len(ground().settings)


def test_a_first_launch_far_off_ends_a_measurement() -> None:
    book = Book()
    search(question(trials=12), device=Device(time=_dynamic_is_terrible), book=book).run()
    stopped = [
        one for one in book.tried() if one.setting.quantize == "int8-dynamic" and one.state == "stopped"
    ]
    assert stopped and "loses no more" in stopped[0].reason and stopped[0].row is not None


def _dynamic_is_terrible(setting: Setting) -> float:
    return latency_ms(setting) * (9 if setting.quantize == "int8-dynamic" else 1)


def test_what_breaks_a_bound_or_collapses_never_gets_to_the_device() -> None:
    book, device = Book(), Device()
    bounds = Bounds(max_size_mb=2.0, max_accuracy_drop=0.01)
    search(question(trials=30, bounds=bounds), device=device, book=book).run()
    states = {tried.setting: tried.state for tried in book.tried()}
    baseline = Setting(threads=2)
    assert states[baseline] == "measured"  # too large, but what all is held against
    for tried in book.tried():
        assert tried.built is not None
        lost, size = tried.built.loss, tried.built.size_bytes
        assert lost is not None
        if tried.setting != baseline and (lost > 0.01 or size > 2e6):
            assert tried.state in ("collapsed", "skipped") and tried.reason and tried.row is None


def test_files_that_differ_in_weights_alone_are_measured_once_unless_they_lose_less() -> None:
    book = Book()
    search(question(trials=100), book=book).run()
    tried = {one.setting: one for one in book.tried()}
    minmax = tried[Setting(quantize="int8-minmax", threads=2)]
    assert minmax.state == "measured"
    assert tried[Setting(quantize="int8-mse", threads=2)].state == "measured"  # loses less than minmax
    out = [one for one in tried.values() if one.state == "ranked out"]
    assert out and all(one.predicted is not None and one.row is None for one in out)


def test_files_that_cannot_be_built_are_trials_with_their_reasons() -> None:
    def fails(setting: Setting) -> EdgewrightError | None:
        if setting.quantize == "fp16":
            return BuildError("the exporter gave up")
        if setting.quantize == "int8-dynamic":
            return QualityError("cosine 0.2")
        return no_qat(setting)

    book = Book()
    search(question(trials=20), files=Files(fails=fails), book=book).run()
    states = {(tried.setting.quantize, tried.state, tried.reason) for tried in book.tried()}
    assert ("fp16", "failed", "the exporter gave up") in states
    assert ("int8-dynamic", "collapsed", "cosine 0.2") in states
    assert ("qat", "skipped", "no training") in states


def test_a_broken_workload_ends_the_study_at_its_baseline() -> None:
    with pytest.raises(ConfigError, match="score raised"):
        search(question(), files=Files(fails=lambda _: ConfigError("score raised"))).run()


def test_an_objective_that_the_device_does_not_tell_is_an_error_after_one_measurement() -> None:
    device = Device()
    with pytest.raises(UnsupportedError, match="board: energy cannot be the objective: no power sensor"):
        search(question(objective="energy"), device=device).run()
    assert len(device.executed) == 1
    search(question(objective="energy", trials=8), device=Device(energy=True)).run()


def test_building_runs_ahead_where_it_does_not_disturb() -> None:
    for overlaps in (False, True):
        files = Files()
        ahead: list[int] = []

        def event(name: str, files: Files = files, ahead: list[int] = ahead) -> None:
            if name == "measured":
                ahead.append(len(files.waiting))

        search(question(trials=12), files=files, device=Device(event=event, overlaps=overlaps)).run()
        assert max(ahead) == int(overlaps)
        assert not files.waiting


def test_finalists_are_measured_in_turn_with_the_plain_model_among_them() -> None:
    device, book = Device(), Book()
    search(question(trials=15), device=device, book=book).run()
    (together,) = device.rounds
    assert 2 <= len(together) <= 4 and any(name.startswith("fp32 ") for name in together)
    assert sum(tried.final is not None for tried in book.tried()) == len(together)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=6), st.booleans())
def test_killed_anywhere_and_gone_on_with_no_trial_is_lost_and_none_repeated(
    lives: list[int], overlaps: bool
) -> None:
    book, device = Book(), Device(overlaps=overlaps)
    for left in [*lives, 10_000]:
        count = [left]

        def event(_: str, count: list[int] = count) -> None:
            count[0] -= 1
            if count[0] == 0:
                raise Killed

        book.event = device.event = event
        try:
            search(question(trials=14), device=device, book=book, files=Files(event=event)).run()
        except Killed:
            continue
    assert sorted(book.kept) == list(range(14))
    assert len(set(book.begun)) == len(book.begun) == 14
    assert all(tried.state != "begun" for tried in book.tried())
    assert Counter(device.executed).most_common(1)[0][1] == 1
    measured = [tried for tried in book.tried() if tried.state == "measured"]
    assert all(tried.row and tried.row.key in device.rows for tried in measured)


def test_more_trials_go_on_where_a_finished_study_ended() -> None:
    book, device = Book(), Device()
    search(question(trials=10), device=device, book=book).run()
    first = list(book.begun)
    search(question(trials=16), device=device, book=book).run()
    assert book.begun[:10] == first and len(book.begun) == 16


def test_a_warm_start_comes_right_after_the_baseline() -> None:
    warm = (
        Setting(prune=0.6, quantize="qat", distill="response", threads=2),
        Setting(quantize="fp16", threads=1),
    )
    book = Book()
    search(question(trials=5, warm=warm), book=book).run()
    assert tuple(book.begun[1:3]) == warm


def test_where_all_that_compresses_is_slower_the_answer_is_the_model_as_it_is() -> None:
    hunt = search(question(trials=15), device=Device(time=slower))
    hunt.run()
    choice = choose(hunt.known, Bounds(), "latency", "net on board")
    assert choice.best is not None and choice.best.setting.is_plain
    assert "as it is, uncompressed" in choice.sentence and "costs 1.30× of it" in choice.sentence


@pytest.mark.parametrize("objective", ["latency", "size", "memory"])
def test_a_workload_without_a_judge_is_searched_by_cost_and_size(objective: str) -> None:
    hunt = search(question(trials=12, objective=objective), files=Files(judged=False), space=SMALL)
    hunt.run()
    choice = choose(hunt.known, Bounds(), "latency", "net on board")
    assert any("Quality was not judged" in remark for remark in choice.remarks)


def test_only_a_warm_start_is_measured_when_nothing_else_was_asked_for() -> None:
    warm = (Setting(quantize="int8-dynamic", threads=1), Setting(prune=0.6, threads=2))
    book = Book()
    crew = Crew(Files(), Device(time=_dynamic_is_terrible), book, lambda _: None)
    Search(question(trials=50, warm=warm), replace(ground(), only_warm=True), crew).run()
    assert book.begun == [Setting(threads=2), *warm]
    # another device's choice rests on it, so not even a hopeless one is given up
    assert {tried.state for tried in book.tried()} == {"measured"}


def test_what_was_given_up_is_measured_when_another_device_chose_it() -> None:
    chosen = Setting(quantize="int8-dynamic", threads=2)
    book, device = Book(), Device(time=_dynamic_is_terrible)
    search(question(trials=5), device=device, book=book).run()
    given_up = next(tried for tried in book.tried() if tried.setting == chosen)
    assert given_up.state == "stopped"
    assert given_up.row
    del device.rows[given_up.row.key]  # one launch is no measurement
    for _ in range(2):
        crew = Crew(Files(), device, book, lambda _: None)
        again = Search(question(trials=6, warm=(chosen,)), replace(ground(), only_warm=True), crew)
        again.run()
        assert len(book.tried()) == 5 and len(book.begun) == 5
        tried = book.kept[given_up.position]
        assert (tried.setting, tried.state, tried.origin) == (chosen, "measured", "warm start")
    assert chosen in {seen.setting for seen in again.known.seen}
