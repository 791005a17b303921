"""Measuring for a search: every file once, hopeless ones for one launch, finalists in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests import fakes
from tests.tuning import Files, latency_ms

from edgewright.artifact import Artifact, Provenance
from edgewright.errors import EdgewrightError, OutOfMemory, TransportError
from edgewright.farm import group
from edgewright.farm.effort import load_effort
from edgewright.farm.group import Ended
from edgewright.farm.job import Bench, Settings
from edgewright.farm.session import Station
from edgewright.farm.subject import Subject
from edgewright.profiles import load_profile
from edgewright.store import Store, Studies
from edgewright.tune.figures import Built
from edgewright.tune.question import Tried
from edgewright.tune.rig import Efforts, FarmRig, Lab
from edgewright.tune.setting import Setting
from edgewright.tune.watching import Unwatched
from edgewright.tune.workshop import Workshop
from edgewright_agent.protocol import RunResult

PLAIN, INT8, FP16 = Setting(), Setting(quantize="int8-minmax"), Setting(quantize="fp16")
EFFORTS = Efforts(
    replace(load_effort("rapid"), launches=3, repeats=1), replace(load_effort("quick"), launches=2)
)


@dataclass
class Shop:
    """A workshop whose files are there already."""

    quiet: threading.Lock
    changed: bool = False

    def artifact(self, setting: Setting, profile: Any) -> Artifact:
        built = Files().built(setting)
        digest = "f" * 64 if self.changed else built.sha256
        made = Provenance("net", setting.recipe_name, "", profile.name)
        return Artifact(Path("model.onnx"), "onnx", digest, built.size_bytes, provenance=made)


class Played:
    """A rig whose launches are played; ``asked`` are the recipes in the order of their launches."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.forgotten: list[str] = []
        self.jobs: list[str] = []
        self.slow: Mapping[str, float] = {}
        self.error: Exception | None = None
        self.noisy: list[str] = []
        monkeypatch.setattr(group, "launch_once", self._launch)
        self.shop = Shop(threading.Lock())
        target = SimpleNamespace(name="pi", link="user@pi", address="user@pi")
        device = SimpleNamespace(target=target)
        self.bench = Bench(cast(Any, device), load_profile("raspberry-pi-5"), fakes.device())
        self.store = store
        self.run_id = store.begin_run("tune", "", "rapid")
        Studies(store).begin(self.run_id, "", "{}")

    def rig(self, run_id: str = "") -> FarmRig:
        station = SimpleNamespace(forget=self._forget)
        lab = Lab(self.bench, cast(Station, station), cast(Subject, None), self.store, run_id or self.run_id)
        return FarmRig(lab, cast(Workshop, self.shop), Settings(EFFORTS.explore), EFFORTS, Unwatched())

    def _forget(self, ended: Ended) -> None:
        assert Studies(self.store).row(self.run_id, ended.key) == ended.row  # stored before it is forgotten
        self.forgotten.append(ended.key)

    def _launch(
        self, ready: Any, bench: Any, settings: Settings, launch: Any, on_event: Any
    ) -> tuple[RunResult, None]:
        self.asked.append(ready.cell.recipe)
        self.jobs.append(launch.name)
        if self.error:
            raise self.error
        setting = {one.recipe_name: one for one in (PLAIN, INT8, FP16)}[ready.cell.recipe]
        factor = self.slow.get(ready.cell.recipe, 1.0)
        if self.noisy and ready.cell.recipe == self.noisy[0]:
            self.noisy.pop(0)
            factor = 1.4
        return fakes.launch(fakes.latencies(factor * latency_ms(setting), 600, seed=len(self.asked))), None


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    with Store.open(tmp_path / "store.sqlite") as store:
        yield Played(store, monkeypatch)


def built(setting: Setting) -> Built:
    return Files().built(setting)


def never(_: object) -> str:
    return ""


def test_a_file_is_measured_once_in_a_study(played: Played) -> None:
    first = played.rig().explore(PLAIN, built(PLAIN), never)
    assert first.state == "measured" and first.figures
    assert first.figures.latency.value == pytest.approx(10.0, rel=0.02)
    assert played.asked == ["fp32"] * 3 and len(played.forgotten) == 1
    again = played.rig().explore(PLAIN, built(PLAIN), never)
    assert again == first and len(played.asked) == 3
    assert first.row and played.rig().known(first.row) == first.figures


def test_other_threads_conditions_or_efforts_are_another_measurement(played: Played) -> None:
    rig = played.rig()
    cells = {rig.explore(PLAIN, built(PLAIN), never).row}
    cells.add(rig.explore(replace(PLAIN, threads=2), built(PLAIN), never).row)
    played.bench = replace(played.bench, facts=fakes.device(hostname="another"))
    cells.add(played.rig().explore(PLAIN, built(PLAIN), never).row)
    assert len(cells) == 3 and len(played.asked) == 9


def test_what_another_study_measured_lately_is_taken(played: Played) -> None:
    taken = played.rig().explore(PLAIN, built(PLAIN), never)
    tried = Tried("pi", 0, PLAIN, "baseline", taken.state, built=built(PLAIN), row=taken.row)
    Studies(played.store).put(played.run_id, tried.stored())
    later = played.store.begin_run("tune", "", "rapid")
    Studies(played.store).begin(later, "", "{}")
    assert played.rig(later).explore(PLAIN, built(PLAIN), never) == taken
    assert len(played.asked) == 3


def test_a_hopeless_first_launch_is_the_last_and_is_no_measurement(played: Played) -> None:
    taken = played.rig().explore(INT8, built(INT8), lambda figures: f"{figures.latency.value:.0f} ms")
    assert (taken.state, taken.reason) == ("stopped", "6 ms") and played.asked == ["int8-minmax"]
    (row,) = played.store.run(played.run_id).rows
    assert row.notes[-1] == "given up after one launch: 6 ms"
    assert played.rig().explore(INT8, built(INT8), never).state == "measured"


def test_a_noisy_measurement_is_made_again_once(played: Played) -> None:
    played.noisy = ["fp32"]
    taken = played.rig().explore(PLAIN, built(PLAIN), never)
    assert len(played.asked) == 6 and taken.figures and taken.figures.status == "valid"


def test_a_file_that_does_not_run_is_a_row_and_not_tried_again(played: Played) -> None:
    played.error = OutOfMemory("pi", "the worker took 300 MB")
    taken = played.rig().explore(PLAIN, built(PLAIN), never)
    assert taken.state == "failed" and "took 300 MB" in taken.reason and taken.row
    assert played.rig().explore(PLAIN, built(PLAIN), never).state == "failed"
    assert len(played.asked) == 1


def test_a_device_that_is_gone_is_an_error_and_leaves_no_row(played: Played) -> None:
    played.error = TransportError("pi", "no route to host")
    with pytest.raises(TransportError, match=r"^pi: no route to host$"):
        played.rig().explore(PLAIN, built(PLAIN), never)
    assert played.store.run(played.run_id).rows == ()
    played.error, begun = None, list(played.jobs)
    assert played.rig().explore(PLAIN, built(PLAIN), never).state == "measured"
    assert played.jobs[len(begun)] == begun[0]  # the same job, whose result the device may have


def test_finalists_go_round_and_are_kept_apart_from_what_was_explored(played: Played) -> None:
    rig = played.rig()
    explored = rig.explore(PLAIN, built(PLAIN), never)
    played.asked.clear()
    pairs = [(one, built(one)) for one in (PLAIN, INT8, FP16)]
    first = rig.finals(pairs)
    assert played.asked == ["fp32", "int8-minmax", "fp16"] * 2
    assert all(taken.state == "measured" for taken in first) and first[0].row != explored.row
    assert [row.preset for row in played.store.run(played.run_id).rows] == [
        "rapid",
        "quick",
        "quick",
        "quick",
    ]
    assert played.rig().finals(pairs) == first and len(played.asked) == 6
    played.rig().finals(pairs[:2])
    assert len(played.asked) == 10  # beside others, so another measurement


def test_finalists_whose_files_come_out_the_same_share_a_measurement(played: Played) -> None:
    played.shop.changed = True  # whatever is asked for
    same = replace(built(INT8), sha256="f" * 64)
    first, second = played.rig().finals([(INT8, same), (FP16, same)])
    assert first == second and first.state == "measured"
    assert played.asked == ["int8-minmax"] * 2 and len(played.store.run(played.run_id).rows) == 1
    assert played.rig().finals([(FP16, same), (INT8, same)]) == [first, first] and len(played.asked) == 2


def test_a_file_that_comes_out_as_another_is_not_measured(played: Played) -> None:
    played.shop.changed = True
    taken = played.rig().explore(PLAIN, built(PLAIN), never)
    assert taken.state == "failed" and "built again" in taken.reason and not played.asked
    with pytest.raises(EdgewrightError, match="begin a new study"):
        played.rig().finals([(PLAIN, built(PLAIN))])


def test_this_machine_measures_only_while_nothing_is_built(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert played.rig().overlaps
    seen: list[bool] = []
    launch: Callable[..., Any] = vars(group)["launch_once"]

    def watched(*words: Any) -> Any:
        seen.append(played.shop.quiet.locked())
        return launch(*words)

    monkeypatch.setattr(group, "launch_once", watched)
    for link, is_held in (("user@pi", False), (None, True)):
        played.bench.device.target.link = link  # type: ignore[misc, assignment]
        rig = played.rig()
        assert rig.overlaps is not is_held
        rig.explore(PLAIN, built(PLAIN), never)
        assert set(seen) == {is_held}
        seen.clear()
