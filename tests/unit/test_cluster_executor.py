"""The farm's side of a cluster: which worker is asked, and what is made of one that is lost or refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import fakes

from edgewright.errors import VerificationError
from edgewright.farm.execute import Task
from edgewright.farm.group import Ended
from edgewright.farm.inventory import SshAddress, Target
from edgewright.farm.plan import Plan
from edgewright.farm.prepared import Asked
from edgewright.farm.subject import BareSubject
from edgewright.nightly.cluster import executor as module
from edgewright.nightly.cluster.calls import Member, Refused
from edgewright.nightly.cluster.documents import Blob, Built, Job, Order, Place, Report, of_group
from edgewright.nightly.cluster.executor import DaskExecutor
from edgewright.nightly.cluster.files import Shelf
from edgewright.nightly.orders import BuildOrder, GroupOrder, GroupReport, Health
from edgewright.row import Cell, Failed, Skipped

LIMIT_S = 20.0
PLACES = tuple(Place(f"pi{n}", "x86-64-linux", "lab" if n < 2 else "attic") for n in range(3))
TARGETS = {p.device: Target(p.device, p.profile, SshAddress(p.device, "a", 22, None, None)) for p in PLACES}
BUILT = Built("onnx", "0" * 64, 3, {"model": Blob("0" * 64, "net.onnx", 3)})


def task(device: str) -> Task:
    return Task(
        BareSubject(Path("net.onnx"), Path()),
        None,
        Cell("net.onnx", "as-is", device, "x86-64-linux", "onnxruntime"),
        f"run/{device}/0",
    )


class Workers:
    """Stands in for the calls: workers that do as they are told, or die of it."""

    def __init__(self) -> None:
        self.there = [Member("w1", ("lab",)), Member("w2", ("lab",)), Member("w3", ("attic",))]
        self.given: list[tuple[str, str, str]] = []
        self.numbers: set[str] = set()
        self.sent: list[tuple[str, int]] = []
        self.stopped: list[str] = []
        self.act: Callable[[str, Order], Report] = lambda worker, order: Report()

    async def members(self) -> Sequence[Member]:
        return tuple(self.there)

    async def order(
        self, worker: str, job: Job, order: Order, tell: Callable[[Mapping[str, Any]], None]
    ) -> Report:
        self.given.append((worker, order.kind, order.device))
        self.numbers.add(order.number)
        tell({"event": "phase", "name": order.kind})
        await asyncio.sleep(0.01)
        return self.act(worker, order)

    async def send(self, worker: str, blobs: Sequence[Blob], shelf: Shelf) -> None:
        self.sent.append((worker, len(blobs)))

    async def fetch(self, worker: str, blobs: Sequence[Blob], shelf: Shelf) -> None:
        self.sent.append((worker, -len(blobs)))

    async def stop(self, worker: str, run_id: str) -> None:
        self.stopped.append(worker)

    def lose(self, worker: str) -> None:
        self.there = [member for member in self.there if member.address != worker]


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
def farm(
    workers: Workers, told: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DaskExecutor]:
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    job = Job("run", Plan("night", ("net.onnx",)), Asked(), PLACES)
    shelf = Shelf(tmp_path)
    calls: Any = workers
    with DaskExecutor(calls, job, shelf, lambda *event: told.append(event), told.append) as made:
        yield made


def measured(worker: str, order: Order) -> Report:
    ended = tuple(Ended(line.key, fakes.row(cell=line.cell), ("job",)) for line in order.tasks)
    return of_group(GroupReport(ended, seconds=1.0))


def measure(farm: DaskExecutor, device: str) -> GroupReport:
    return farm.measure(GroupOrder(TARGETS[device], (task(device),))).result(LIMIT_S)


def test_a_device_stays_with_a_worker_of_its_site(
    farm: DaskExecutor, workers: Workers, told: list[Any]
) -> None:
    workers.act = measured
    for _ in range(2):
        for device in TARGETS:
            report = measure(farm, device)
            assert [one.key for one in report.ended] == [f"run/{device}/0"] and report.seconds == 1.0
            farm.forget(TARGETS[device], report.ended)
    for device in TARGETS:
        farm.leave(TARGETS[device]).result(LIMIT_S)
    by = {device: {worker for worker, _, where in workers.given if where == device} for device in TARGETS}
    assert by["pi2"] == {"w3"} and sorted(map(sorted, (by["pi0"], by["pi1"]))) == [["w1"], ["w2"]]
    order = [kind for _, kind, where in workers.given if where == "pi0"]
    assert order == ["measure", "forget", "measure", "forget", "leave"]
    assert ("pi0", {"event": "phase", "name": "measure"}) in told


def test_the_next_worker_is_given_the_very_same_order(
    farm: DaskExecutor, workers: Workers, told: list[Any]
) -> None:
    def act(worker: str, order: Order) -> Report:
        if len(workers.given) == 1:
            workers.lose(worker)
            raise ConnectionResetError("gone")
        return measured(worker, order)

    workers.act = act
    assert measure(farm, "pi0").ended
    assert len({worker for worker, _, _ in workers.given}) == 2 and len(workers.numbers) == 1
    assert any("worker w" in str(line) and "was lost: gone" in str(line) for line in told)


def test_a_worker_that_is_avoided_is_asked_again_later(
    farm: DaskExecutor, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AVOID_S", 0.05)
    workers.act = lambda worker, order: (
        measured(worker, order) if len(workers.given) > 1 else _raise(TimeoutError())
    )
    assert measure(farm, "pi2").ended
    assert [worker for worker, _, _ in workers.given] == ["w3", "w3"]


def _raise(error: Exception) -> Report:
    raise error


def test_without_a_worker_a_device_is_not_reached(farm: DaskExecutor, workers: Workers) -> None:
    workers.there = []
    begun = time.monotonic()
    why = Failed("no worker of site 'lab' is there", "transport", retryable=True)
    assert measure(farm, "pi0") == GroupReport(unopened=why)
    health = farm.check(TARGETS["pi0"], cycle=True).result(LIMIT_S)
    assert health == Health(False, why.reason, "transport", may_pass=True)
    outcome = farm.build(BuildOrder("k", task("pi0"), "x86-64-linux")).result(LIMIT_S)
    assert outcome == Failed("no worker is there", "transport", retryable=True)
    farm.leave(TARGETS["pi0"]).result(LIMIT_S)
    assert time.monotonic() - begun < 5


def test_what_was_built_comes_here_and_goes_where_it_is_measured(
    farm: DaskExecutor, workers: Workers
) -> None:
    workers.act = lambda worker, order: (
        Report(built=BUILT) if order.kind == "build" else measured(worker, order)
    )
    key = "\0".join(("net.onnx", "as-is", "x86-64-linux", "onnxruntime"))
    assert farm.build(BuildOrder(key, task("pi0"), "x86-64-linux")).result(LIMIT_S) is None
    measure(farm, "pi2")
    builder = workers.given[0][0]
    assert workers.sent == [(builder, -1), ("w3", 1)]


def test_builds_are_spread(farm: DaskExecutor, workers: Workers) -> None:
    orders = [farm.build(BuildOrder(str(n), task("pi0"), "x86-64-linux")) for n in range(3)]
    for order in orders:
        order.result(LIMIT_S)
    assert {worker for worker, _, _ in workers.given} == {"w1", "w2", "w3"}


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (Report(failed=Failed("broke", "BuildError")), Failed("broke", "BuildError")),
        (Report(skipped=Skipped("cannot be")), Skipped("cannot be")),
        (Report(refused="another version"), Failed("another version", "refused")),
    ],
)
def test_why_a_file_was_not_built(
    farm: DaskExecutor, workers: Workers, report: Report, outcome: Failed | Skipped
) -> None:
    workers.act = lambda worker, order: report
    assert farm.build(BuildOrder("k", task("pi0"), "x86-64-linux")).result(LIMIT_S) == outcome


@pytest.mark.parametrize("error", [Refused("w: no"), VerificationError("another file")])
def test_a_worker_that_refuses_is_not_asked_again(
    farm: DaskExecutor, workers: Workers, error: Exception
) -> None:
    workers.act = lambda worker, order: _raise(error)
    assert measure(farm, "pi0").unopened == Failed(str(error), "refused")
    assert len(workers.given) == 1


def test_an_interrupt_reaches_every_worker_that_has_a_device(farm: DaskExecutor, workers: Workers) -> None:
    workers.act = measured
    measure(farm, "pi0")
    measure(farm, "pi2")
    farm.stop()
    assert sorted(workers.stopped) == sorted({worker for worker, _, _ in workers.given})
