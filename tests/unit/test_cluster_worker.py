"""A worker's side of a cluster: what it answers, and what it keeps when its farm is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import fakes
from tests.models import onnx_zoo

from edgewright.farm.group import Ended, Watcher
from edgewright.farm.inventory import Inventory, SshAddress, Target
from edgewright.farm.plan import Plan
from edgewright.farm.prepared import Asked
from edgewright.farm.session import Station
from edgewright.nightly.again import key_again
from edgewright.nightly.cluster import dask
from edgewright.nightly.cluster.crew import Crew, Means
from edgewright.nightly.cluster.documents import (
    Blob,
    Built,
    EndedLine,
    Job,
    Order,
    Place,
    Report,
    TaskLine,
    group_report,
    pack,
    unpack,
)
from edgewright.nightly.cluster.files import Shelf
from edgewright.nightly.cluster.worker import Post
from edgewright.row import Cell

LIMIT_S = 20.0
CELL = Cell("net.onnx", "as-is", "pi", "x86-64-linux", "onnxruntime")
JOB = Job("20260101-1", Plan("night", ("net.onnx",), devices=("pi",)), Asked("rapid"), (
    Place("pi", "x86-64-linux", "lab"),
))  # fmt: skip
KEY = "20260101-1/pi/0"


class Desk:
    """Stands in for a station."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.is_open = True
        self.began, self.release = threading.Event(), threading.Event()
        self.forgotten: list[tuple[str, tuple[str, ...]]] = []
        self.is_closed = self.is_tidy = False

    def measure(self, tasks: Sequence[Any]) -> Iterator[Ended]:
        for task in tasks:
            self.watcher.begin(task.cell, "launch 1 of 1")
            self.began.set()
            assert self.release.wait(LIMIT_S)
            self.watcher.event({"event": "phase", "name": "measure"})
            made, notes = task.subject.artifact(None, None, "onnx")
            assert made.path.read_bytes()
            yield Ended(task.key, replace(fakes.row(cell=task.cell), notes=notes), ("job",))

    def forget(self, ended: Ended) -> None:
        self.forgotten.append((type(ended.row.outcome).__name__, ended.job_ids))

    def leave_nothing(self) -> None:
        self.is_tidy = True

    def close(self) -> None:
        self.is_closed = True


class Comm:
    """Stands in for a connection; one that breaks does so at that write."""

    def __init__(self, breaks_at: int = 1 << 30) -> None:
        self.said: list[dict[str, bytes]] = []
        self._breaks_at = breaks_at

    async def write(self, message: dict[str, bytes]) -> None:
        if len(self.said) >= self._breaks_at:
            raise OSError("gone")
        self.said.append(message)

    @property
    def report(self) -> Report:
        return unpack(Report, self.said[-1]["report"], "w")


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch) -> list[Desk]:
    made: list[Desk] = []

    def opened(target: Target, settings: Any, run: Any, watcher: Watcher) -> Desk:
        made.append(Desk(watcher))
        made[-1].release.set()
        return made[-1]

    monkeypatch.setattr(Station, "open", opened)
    monkeypatch.setattr(dask, "distributed", fake_distributed)
    return made


def fake_distributed() -> Any:
    class Status:
        dont_reply = "dont_reply"

    class Core:
        pass

    Core.Status = Status  # type: ignore[attr-defined]

    class Package:
        core = Core

    return Package


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desks: list[Desk]) -> Post:
    monkeypatch.chdir(tmp_path)
    onnx_zoo.save(onnx_zoo.one_node("Relu"), tmp_path / "net.onnx")
    target = Target("pi", "x86-64-linux", SshAddress("pi", "ann", 22, None, None), site="lab")
    means = Means(Inventory(None, (target,)), None, tmp_path / "cache", Shelf(tmp_path / "shelf"), ("lab",))
    return Post(means, lambda line: None)


async def built(post: Post) -> Built:
    order = Order("b", "build", "pi", (TaskLine(KEY, CELL),))
    comm = Comm()
    assert await post.order(comm, pack(JOB), pack(order)) == "dont_reply"
    assert comm.report.built is not None, comm.report
    return comm.report.built


def test_a_cell_is_measured_again_under_the_key_of_that_time(post: Post, desks: list[Desk]) -> None:
    async def night() -> None:
        found = await built(post)
        comm = Comm()
        order = Order("1", "measure", "pi", (TaskLine(key_again(KEY, 2), CELL, found),))
        await post.order(comm, pack(JOB), pack(order))
        (ended,) = group_report(comm.report).ended
        assert ended.key == key_again(KEY, 2)
        line = EndedLine(ended.key, ("job",))
        await post.order(Comm(), pack(JOB), pack(Order("2", "forget", "pi", ended=(line,))))
        await post.order(Comm(), pack(JOB), pack(Order("3", "leave", "pi")))

    asyncio.run(night())
    assert desks[0].forgotten == [("Skipped", ("job",))]


def test_build_measure_forget_leave(post: Post, desks: list[Desk]) -> None:
    async def night() -> None:
        found = await built(post)
        assert found.sha256 == found.files["model"].sha256 and found.files["model"].name == "net.onnx"
        comm = Comm()
        order = Order("1", "measure", "pi", (TaskLine(KEY, CELL, replace(found, notes=("built",))),))
        await post.order(comm, pack(JOB), pack(order))
        assert [sorted(message) for message in comm.said] == [["event"], ["event"], ["report"]]
        (ended,) = group_report(comm.report).ended
        assert ended.key == KEY and ended.row.notes == ("built",)
        again = Comm()
        await post.order(again, pack(JOB), pack(order))
        assert again.report == comm.report and len(desks) == 1
        for number, has_failed in (("2", False), ("3", True)):
            line = EndedLine(KEY, ("job",), has_failed=has_failed)
            await post.order(Comm(), pack(JOB), pack(Order(number, "forget", "pi", ended=(line,))))
        await post.order(Comm(), pack(JOB), pack(Order("4", "leave", "pi")))

    asyncio.run(night())
    assert desks[0].forgotten == [("Skipped", ("job",)), ("Failed", ("job",))]
    assert desks[0].is_tidy and desks[0].is_closed


@pytest.mark.parametrize(
    ("job", "order", "told"),
    [
        (replace(JOB, version="9"), Order("1", "leave", "pi"), "the farm is Edgewright 9, this worker"),
        (JOB, Order("1", "leave", "nano"), "no worker of its site"),
        (JOB, Order("1", "dance", "pi"), "no order is called 'dance'"),
        (JOB, Order("1", "measure", "pi", (TaskLine(KEY, CELL),)), "nobody says which file"),
        (JOB, Order("1", "measure", "pi", (TaskLine("other", CELL),)), "the plan says otherwise here"),
        (
            JOB,
            Order("1", "measure", "pi", (TaskLine(KEY, replace(CELL, recipe="int8")),)),
            "the plan says otherwise here",
        ),
        (
            JOB,
            Order(
                "1",
                "measure",
                "pi",
                (TaskLine(KEY, CELL, Built("onnx", "0" * 64, 1, {"model": Blob("0" * 64, "m", 1)})),),
            ),
            "are not here",
        ),
        (
            replace(JOB, plan=replace(JOB.plan, workloads=("gone.onnx",))),
            Order("1", "leave", "pi"),
            "gone.onnx",
        ),
        (
            replace(JOB, places=(Place("pi", "jetson-nano", "lab"),)),
            Order("1", "leave", "pi"),
            "another site or",
        ),
    ],
)
def test_what_is_refused(post: Post, job: Job, order: Order, told: str) -> None:
    comm = Comm()
    asyncio.run(post.order(comm, pack(job), pack(order)))
    assert told in comm.report.refused


def test_a_farm_that_is_gone_leaves_the_device_to_the_next(post: Post, desks: list[Desk]) -> None:
    async def lost() -> None:
        order = pack(Order("1", "measure", "pi", (TaskLine(KEY, CELL, await built(post)),)))
        with pytest.raises(OSError, match="gone"):
            await post.order(Comm(breaks_at=0), pack(JOB), order)
        comm = Comm()
        await post.order(comm, pack(JOB), order)
        assert group_report(comm.report).ended

    asyncio.run(lost())
    assert not any(desk.is_tidy for desk in desks)


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_farm_that_is_back_takes_up_what_goes_on(
    post: Post, desks: list[Desk], monkeypatch: pytest.MonkeyPatch, is_noticed: bool
) -> None:
    """Its device is still at it; the worker has noticed that the farm was gone, or notices it only now."""
    is_back = threading.Event()

    class Broken(Comm):
        async def write(self, message: dict[str, bytes]) -> None:
            if not is_noticed:
                await asyncio.to_thread(is_back.wait, LIMIT_S)
            raise OSError("gone")

    def opened(target: Target, settings: Any, run: Any, watcher: Watcher) -> Desk:
        desks.append(Desk(watcher))
        return desks[-1]

    given, numbers = Crew.give, list[str]()

    def give(crew: Crew, order: Order) -> Any:
        future = given(crew, order)
        numbers.append(order.number)
        if numbers.count("1") == 2:
            is_back.set()
        return future

    async def back() -> None:
        order = pack(Order("1", "measure", "pi", (TaskLine(KEY, CELL, await built(post)),)))
        lost = asyncio.create_task(post.order(Broken(), pack(JOB), order))
        while not (desks and desks[0].began.is_set()):
            await asyncio.sleep(0.001)
        if is_noticed:
            with pytest.raises(OSError, match="gone"):
                await lost
        comm = Comm()
        again = asyncio.create_task(post.order(comm, pack(JOB), order))
        assert await asyncio.to_thread(is_back.wait, LIMIT_S)
        if not is_noticed:
            with pytest.raises(OSError, match="gone"):
                await lost
        desks[0].release.set()
        while is_noticed and len(desks) < 2:
            await asyncio.sleep(0.001)
        desks[-1].release.set()
        await again
        assert group_report(comm.report).ended, comm.report

    monkeypatch.setattr(Station, "open", opened)
    monkeypatch.setattr(Crew, "give", give)
    asyncio.run(asyncio.wait_for(back(), LIMIT_S))


def test_a_farm_that_goes_on_gets_a_new_crew(post: Post, desks: list[Desk]) -> None:
    async def twice() -> None:
        order = pack(Order("1", "measure", "pi", (TaskLine(KEY, CELL, await built(post)),)))
        for job in (JOB, replace(JOB, is_resumed=True)):
            comm = Comm()
            await post.order(comm, pack(job), order)
            assert group_report(comm.report).ended
        assert await post.stop("20260101-1") and await post.stop("nobody's")

    asyncio.run(twice())
    assert len(desks) == 2 and desks[0].is_closed and not desks[0].is_tidy and desks[1].is_tidy


def test_files_in_parts(post: Post, tmp_path: Path) -> None:
    other = Post(replace(post._means, shelf=Shelf(tmp_path / "other")), lambda line: None)

    async def carry() -> None:
        model = (await built(post)).files["model"]
        assert await other.missing((pack(model),)) == [model.sha256]
        part = await post.fetch(pack(model), 0)
        assert isinstance(part, bytes) and len(part) == model.size_bytes
        assert await other.put(pack(model), "t", part[:10]) == ""
        assert "more of it came" in await other.put(pack(model), "t", part + part)
        assert "not the file" in await other.put(pack(model), "u", bytes(len(part)))
        assert await other.put(pack(model), "v", part) == ""
        assert await other.missing((pack(model),)) == []
        unknown = pack(replace(model, sha256="0" * 64))
        assert "is not here any more" in str(await other.fetch(unknown, 0))
        assert "not a document" in str(await other.put(b"{}", "w", b""))

    asyncio.run(carry())
