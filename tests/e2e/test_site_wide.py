"""One plan on one machine, and by workers over one PostgreSQL: the farm is killed, and a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.devices.certificates import make_certificates
from tests.devices.hosts import Board, Host, Running, until
from tests.devices.netns import Lab, Node
from tests.devices.postgres import Postgres
from tests.models import onnx_zoo

from edgewright.row import Measured
from edgewright.store import Store, holders

MODELS = ("Relu", "Exp")
PLAN = """
[plan]
name = "night"
workloads = ["relu.onnx", "exp.onnx"]
devices = ["tag:bench"]
preset = "rapid"
scenario = "paced"
rate = 20
"""
BRIEF = (
    "import functools, edgewright.nightly as n; n.Policy = functools.partial("
    "n.Policy, check_s=0.5, most_check_s=1.0, backoff_s=(0.5,), look_s=0.5)"
)
FARM = ("farm", "run", "plan.toml")


class Elsewhere:
    """A host's place in the network, in the shape of the lab's own."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self._node.netns, *words]


class Site:
    """Two boards, a farm's host beside them, and two more hosts on which workers run."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.boards = [Board.plug_in(lab, folder, f"board{n}") for n in range(2)]
        self.tls = make_certificates(folder / "tls")
        self.farm = Host(lab, folder, "farm")
        places = [Elsewhere(lab.add()) for _ in range(2)]
        self.hosts = [Host(place, folder, f"worker{n}") for n, place in enumerate(places)]  # type: ignore[arg-type]
        for host in (self.farm, *self.hosts):
            told = "\n".join(f'{board.farm_toml()}\nsite = "lab"' for board in self.boards)
            (host.folder / "farm.toml").write_text(told)
            (host.folder / "plan.toml").write_text(PLAN)
            for model in MODELS:
                onnx_zoo.save(onnx_zoo.one_node(model), host.folder / f"{model.lower()}.onnx")

    def begin(self) -> tuple[str, list[Running]]:
        """Start scheduler and workers: where the one is, and the others."""
        scheduler = self.farm.start("farm", "scheduler", "--listen", "tls://10.99.7.1:0", *self.tls)
        until(lambda: "scheduler at " in scheduler.err, "a scheduler")
        address = scheduler.err.split("scheduler at ")[1].split()[0]
        words = ("farm", "worker", address, "--site", "lab", *self.tls)
        workers = [host.start(*words, launches=1, seconds=2) for host in self.hosts]
        for worker in workers:
            until(lambda worker=worker: "with the scheduler" in worker.err, "a worker")  # type: ignore[misc]
        return address, workers

    def stop(self) -> None:
        for host in (self.farm, *self.hosts):
            host.stop()


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    made = Site(lab, tmp_path)
    yield made
    made.stop()


def cells_of(location: str, boards: list[Board]) -> list[tuple[str, str, str]]:
    """The cells of the one run that is there, each of which was measured, and that nobody holds a board."""
    with Store.open(location) as store:
        (summary,) = store.list_runs()
        assert summary.run.finished_at and holders(store) == {}
        rows = store.run(summary.run.run_id).rows
    assert all(isinstance(row.outcome, Measured) for row in rows), rows
    return sorted((row.cell.device, row.cell.workload, row.artifact.sha256) for row in rows if row.artifact)


def measuring(site: Site, night: Running) -> None:
    """Wait until a job is timed on each board."""

    def are_measuring() -> bool:
        assert night.process.poll() is None, night.end()
        return all(board.is_measuring() for board in site.boards)

    until(are_measuring, "measuring on both boards")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_same_rows_on_one_machine_and_by_workers_when_farm_and_worker_are_killed(
    site: Site, postgres: Postgres
) -> None:
    alone = site.farm(*FARM, launches=1, seconds=0.3, patch=BRIEF)
    assert alone.code == 0, alone
    expected = cells_of(site.farm.environment["EDGEWRIGHT_STORE"], site.boards)
    assert len(expected) == 4

    site.farm.environment["EDGEWRIGHT_STORE"] = shared = postgres.database()
    address, workers = site.begin()
    words = (*FARM, "--dask", address, *site.tls)
    killed = site.farm.start(*words, launches=1, seconds=2, patch=BRIEF)
    measuring(site, killed)
    workers[0].kill()
    until(lambda: "was lost" in killed.err, "the loss of a worker")
    killed.kill()
    answer = site.farm.start(*words, launches=1, seconds=2, patch=BRIEF).end(90)
    assert answer.code == 0 and "going on with run" in answer.err, answer
    assert cells_of(shared, site.boards) == expected
    for board in site.boards:
        assert len(board.started("worker")) == 4, "something was measured twice, or not"
        until(board.is_clean, f"a clean {board.name}: {board.jobs} {board.processes()}", 20)
    assert site.farm.left_over() == []
