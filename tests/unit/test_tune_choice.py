"""Bounds, fronts and ties, and the sentence that says what to ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tuning import SPACE, Files

from edgewright.tune.bounds import Bounds
from edgewright.tune.choice import Choice, choose, finalists
from edgewright.tune.figures import Built, Figures, Interval, Objective
from edgewright.tune.known import Known, Seen
from edgewright.tune.pareto import Point, front, hypervolume, limits_of, ties
from edgewright.tune.predict import CostModel, file_features, label_features
from edgewright.tune.question import Place, Tried
from edgewright.tune.setting import Setting

PLAIN = Setting()
PRUNED = Setting(prune=0.5)
INT8 = Setting(quantize="int8-minmax")
QAT = Setting(quantize="qat")
COSTS = st.floats(0.1, 100.0)


def measured(
    setting: Setting,
    ms: float,
    *,
    loss: float = 0.0,
    half: float = 0.01,
    mb: float = 1.0,
    energy: float | None = None,
    memory: int | None = 50_000_000,
    status: str = "valid",
    final: bool = False,
) -> Seen:
    built = Files(lost=lambda _: loss).built(setting)
    built = Built(built.sha256, int(mb * 1e6), "onnx", built.quality, built.shape)
    figures = Figures(
        Interval(ms, ms * (1 - half), ms * (1 + half)),
        built.size_bytes,
        status,
        evidence="launches differ by 9 %" if status != "valid" else "",
        energy=None if energy is None else Interval(energy, energy, energy),
        no_energy="no power sensor answered: rapl needs root",
        memory_bytes=memory,
    )
    place = Place("run", "key")
    tried = Tried(
        "pi", 0, setting, "seed", "measured", built=built, row=place, final=place if final else None
    )
    return Seen(tried, built, figures)


def known(*seen: Seen, bounds: Bounds | None = None, objective: Objective = "latency") -> Known:
    found = Known(objective, bounds or Bounds(), SPACE)
    for one in seen:
        found.add_file(one.setting, one.built)
        found.add(one)
    return found


def chosen(*seen: Seen, bounds: Bounds | None = None, objective: Objective = "latency") -> Choice:
    bounds = bounds or Bounds()
    return choose(known(*seen, bounds=bounds, objective=objective), bounds, objective, "net on pi")


def test_the_fastest_that_keeps_the_bounds_with_its_reason() -> None:
    choice = chosen(measured(PLAIN, 10), measured(INT8, 5, loss=0.004, mb=0.25), measured(QAT, 3, loss=0.05))
    assert choice.best and choice.best.setting == INT8
    assert choice.sentence == (
        "Ship net on pi as int8-minmax in onnxruntime with 1 thread: 5.00 ms (4.95 ms to 5.05 ms), 2.00× "
        "faster than fp32 in onnxruntime with 1 thread, accuracy 0.9760 against 0.9800, a file of 250 kB."
    )
    (remark,) = choice.remarks
    assert remark.startswith("qat in onnxruntime with 1 thread costs less, 3.00 ms")
    assert remark.endswith("but it loses 0.05, 0.01 may be lost.")


def test_what_cannot_be_told_apart_in_latency_is_chosen_by_what_it_loses() -> None:
    choice = chosen(
        measured(PLAIN, 10),
        measured(INT8, 5.0, loss=0.008, half=0.1),
        measured(QAT, 5.3, loss=0.001, half=0.1),
    )
    assert choice.best and choice.best.setting == QAT
    assert [seen.setting for seen in choice.tied] == [INT8]
    assert choice.remarks[0] == (
        "Not told apart from it in latency: int8-minmax in onnxruntime with 1 thread; it loses least."
    )


def test_what_cannot_be_told_apart_from_the_plain_model_is_not_called_faster() -> None:
    fp16 = Setting(quantize="fp16")
    choice = chosen(measured(PLAIN, 10.0, half=0.1, mb=1.0), measured(fp16, 10.1, half=0.1, mb=0.5))
    assert choice.best and choice.best.setting == fp16
    assert "not told apart from fp32 in onnxruntime with 1 thread" in choice.sentence
    assert "faster" not in choice.sentence
    assert choice.remarks[0].endswith("; its file is the smallest of those that lose no more.")
    alike = chosen(measured(PLAIN, 10.0, half=0.1), measured(replace(PLAIN, threads=2), 10.0, half=0.1))
    assert alike.remarks[0].endswith("; nothing else that costs the same is better.")


def test_no_compressed_setting_is_faster() -> None:
    choice = chosen(measured(PLAIN, 10), measured(INT8, 12), measured(QAT, 13))
    assert choice.best and choice.best.setting == PLAIN
    assert choice.sentence == (
        "Ship net on pi as it is, uncompressed, in onnxruntime with 1 thread: 10.0 ms (9.90 ms to 10.1 ms); "
        "no compressed setting that keeps the bounds is faster: the nearest, int8-minmax in onnxruntime with "
        "1 thread, costs 1.20× of it."
    )
    alone = chosen(measured(PLAIN, 10), measured(INT8, 5, loss=0.5))
    assert alone.best and "no compressed setting keeps the bounds" in alone.sentence


def test_which_bound_binds_and_what_is_nearest() -> None:
    bounds = Bounds(max_latency_ms=3.0, max_size_mb=0.5)
    choice = chosen(
        measured(PLAIN, 10, mb=1), measured(INT8, 4, mb=0.25), measured(PRUNED, 6, mb=0.4), bounds=bounds
    )
    assert choice.best is None and choice.nearest and choice.nearest.setting == INT8
    assert choice.binding and choice.binding.option == "--max-latency-ms"
    assert choice.sentence == (
        "No setting of net on pi keeps the bounds: --max-latency-ms binds. The nearest is int8-minmax in "
        "onnxruntime with 1 thread: latency is 4.00 ms, 3.00 ms is allowed."
    )
    assert choice.remarks == ("2 settings would do without --max-latency-ms.",)


def test_a_bound_on_what_was_not_measured_is_not_kept() -> None:
    choice = chosen(measured(PLAIN, 10), bounds=Bounds(max_energy_mj=5.0))
    assert choice.best is None and choice.binding and choice.binding.option == "--max-energy-mj"
    assert "energy was not measured: no power sensor answered: rapl needs root" in choice.sentence
    assert chosen(measured(PLAIN, 10, energy=4.0), bounds=Bounds(max_energy_mj=5.0)).best
    assert not chosen(measured(PLAIN, 10, memory=None), bounds=Bounds(max_memory_mb=60.0)).best


def test_what_the_device_itself_scored_is_what_counts() -> None:
    seen = measured(INT8, 5, loss=0.004)
    worse = replace(seen, figures=replace(seen.figures, loss=0.3))
    choice = chosen(measured(PLAIN, 10), worse)
    assert choice.best and choice.best.setting == PLAIN
    assert any("but it loses 0.3, 0.01 may be lost" in remark for remark in choice.remarks)


def test_never_slower_is_held_against_the_uncompressed_model() -> None:
    bounds = Bounds(never_slower=True)
    small = measured(INT8, 12, mb=0.25)
    assert chosen(measured(PLAIN, 10), small, objective="size").best is small
    choice = chosen(measured(PLAIN, 10), small, bounds=bounds, objective="size")
    assert choice.best and choice.best.setting == PLAIN
    assert any("it is 20.0% slower than the uncompressed model" in remark for remark in choice.remarks)
    uncertain = measured(INT8, 10.05, mb=0.25)
    assert chosen(measured(PLAIN, 10), uncertain, bounds=bounds, objective="size").best is uncertain


def test_a_measurement_that_is_not_valid_is_said_to_be_so_and_an_emulated_one_is_none() -> None:
    noisy = chosen(measured(PLAIN, 10), measured(INT8, 5, status="noisy"))
    assert noisy.best and "Its measurement is noisy: launches differ by 9 %." in noisy.remarks
    emulated = chosen(measured(PLAIN, 10), measured(INT8, 5, status="emulated"))
    assert emulated.best and emulated.best.setting == PLAIN
    assert "no setting was measured to the end" in chosen().sentence


def test_finalists_decide_once_they_are_measured_beside_each_other() -> None:
    quick = [measured(PLAIN, 10), measured(INT8, 5.0), measured(QAT, 5.01)]
    assert {seen.setting for seen in finalists(known(*quick), Bounds())} == {PLAIN, INT8, QAT}
    beside = [measured(PLAIN, 10, final=True), measured(QAT, 5.2, final=True), measured(INT8, 5.0)]
    best = chosen(*beside).best
    assert best and best.setting == QAT


def test_settings_whose_files_come_out_the_same_take_one_place_among_the_finalists() -> None:
    one, same = measured(INT8, 5.0), measured(replace(INT8, keep_floats=1), 5.0)
    same = replace(same, built=replace(same.built, sha256=one.built.sha256))
    chosen_ones = finalists(known(measured(PLAIN, 10), same, one, measured(QAT, 5.01)), Bounds())
    assert {seen.setting for seen in chosen_ones} == {PLAIN, INT8, QAT}


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_is_a_positive_number(limit: float) -> None:
    with pytest.raises(ValueError, match="max_latency_ms"):
        Bounds(max_latency_ms=limit)


@given(st.lists(st.tuples(st.floats(0, 1, allow_subnormal=False), COSTS), min_size=1, max_size=30))
def test_nothing_beats_the_front_and_the_front_beats_the_rest(pairs: Sequence[tuple[float, float]]) -> None:
    points = [Point(loss, Interval(cost, cost, cost)) for loss, cost in pairs]
    places = front(points)
    for at, point in enumerate(points):
        better = [
            points[place]
            for place in places
            if points[place].loss <= point.loss and points[place].cost.value <= point.cost.value
        ]
        assert better  # itself, an equal, or what beats it
        if at in places:
            assert all((one.loss, one.cost.value) == (point.loss, point.cost.value) for one in better)
    whole = hypervolume(pairs, limits_of(pairs))
    assert whole == pytest.approx(hypervolume([pairs[at] for at in places], limits_of(pairs)))
    assert whole > 0


def test_ties_are_intervals_that_meet() -> None:
    points = [
        Point(0.0, Interval(10, 9.5, 10.5)),
        Point(0.0, Interval(10.6, 10.4, 10.8)),
        Point(0.1, Interval(5, 4, 6)),
        Point(0.2, Interval(5.5, 5, 6)),
    ]
    places = front(points)
    assert places == (2, 0)
    assert ties(points, places) == {2: (), 0: (1,)}  # the last loses more than the third


def test_predictions_learn_and_say_how_far_off_they_are() -> None:
    names = [
        Setting(prune=share, quantize=kind, threads=threads)
        for share in (0.0, 0.3, 0.6)
        for kind in ("none", "int8-minmax", "qat")
        for threads in (1, 2)
    ]
    files = Files()
    features = [file_features(files.built(one).shape, one.runtime, one.threads) for one in names]
    from tests.tuning import latency_ms

    model = CostModel(features[::2] + features[1:8:2], [latency_ms(one) for one in names[::2] + names[1:8:2]])
    accuracy = model.accuracy
    assert accuracy and accuracy.measurements == 13 and accuracy.median < 0.2
    predicted = [one.value for one in model.predict(features[9::2])]
    true = [latency_ms(one) for one in names[9::2]]
    assert sorted(range(5), key=predicted.__getitem__) == sorted(range(5), key=true.__getitem__)
    assert CostModel(features[:2], [1.0, 2.0]).accuracy is None
    assert label_features({"prune": "0.3", "quantize": "qat"}) == {
        "prune=0.3": 1.0,
        "quantize=qat": 1.0,
        "prune": 0.3,
    }
