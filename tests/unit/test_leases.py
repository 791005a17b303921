"""One farm at a time on a board, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewright.store import Leases, Store, holders
from edgewright.store import leases as module


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The database's clock in the test's hand."""
    now = [1000.0]
    monkeypatch.setattr(module, "database_now", lambda session: now[0])
    return iter([now])


def test_a_board_is_taken_once_and_handed_on(store: Store) -> None:
    ann, bob = Leases(store, "a"), Leases(store, "b")
    assert ann.take("pi") is None and ann.take("pi") is None
    holder = bob.take("pi")
    assert holder is not None and holder.run_id == "a" and f"process {os.getpid()}" in holder.owner
    assert bob.take("nano") is None
    assert ann.is_wanted("pi") and not bob.is_wanted("nano")
    ann.release("pi")
    assert bob.take("pi") is None
    assert not bob.is_wanted("pi")
    assert set(holders(store)) == {"pi", "nano"}
    bob.close()
    assert holders(store) == {}


def test_whoever_waits_for_longest_is_next(store: Store, clock: Iterator[list[float]]) -> None:
    now = next(clock)
    ann, bob, eve = (Leases(store, name) for name in "abe")
    assert ann.take("pi") is None
    for other in (bob, eve):
        now[0] += 1
        assert other.take("pi") is not None
    ann.release("pi")
    holder = eve.take("pi")
    assert holder is not None and holder.owner
    now[0] += 1
    assert ann.take("pi") is not None
    assert bob.take("pi") is None
    bob.release("pi")
    assert ann.take("pi") is not None
    assert eve.take("pi") is None


def test_priority_goes_first_but_not_for_ever(store: Store, clock: Iterator[list[float]]) -> None:
    now = next(clock)
    ann, low, high = Leases(store, "a"), Leases(store, "l"), Leases(store, "h", priority=1)
    ann.take("pi")
    low.take("pi")
    now[0] += 30
    high.take("pi")
    ann.release("pi")
    assert low.take("pi") is not None and high.take("pi") is None
    assert not high.is_wanted("pi")  # it would come first again
    for _ in range(20):  # ten minutes on, the one of low priority has waited long enough
        now[0] += 30
        high.renew()
        low.take("pi")
    assert high.is_wanted("pi")
    high.release("pi")
    assert high.take("pi") is not None and low.take("pi") is None


def test_a_lease_that_is_not_renewed_expires(store: Store, clock: Iterator[list[float]]) -> None:
    now = next(clock)
    ann, bob = Leases(store, "a", lease_s=60), Leases(store, "b", lease_s=60)
    assert ann.take("pi") is None
    now[0] += 59
    assert ann.renew() == {"pi"}
    now[0] += 59
    assert bob.take("pi") is not None
    now[0] += 2
    assert bob.take("pi") is None
    assert ann.renew() == frozenset()
    assert bob.renew() == {"pi"}


_TAKER = """
import sys
from edgewright.store import Leases, Store
with Store.open(sys.argv[1]) as store:
    leases = Leases(store, "other")
    leases.take("pi")
    waits = leases.take("nano") is not None
    print("waiting" if waits else "taken", flush=True)
    sys.stdin.readline()
    leases.close()
"""


def other_process(location: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _TAKER, location]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() in ("taken\n", "waiting\n")
    return process


def test_another_process_holds_and_lets_go(location: str) -> None:
    with Store.open(location) as store:
        mine = Leases(store, "mine")
        with other_process(location) as process:
            holder = mine.take("pi")
            assert holder is not None and holder.run_id == "other" and holder.holds
            assert f"process {process.pid}" in holder.owner
            process.communicate("\n", timeout=30)
        assert mine.take("pi") is None


def test_a_process_that_is_killed_blocks_nobody(location: str) -> None:
    """Neither with what it held nor with its place in a line."""
    with Store.open(location) as store:
        mine, third = Leases(store, "mine"), Leases(store, "third")
        assert mine.take("nano") is None
        with other_process(location) as process:
            assert mine.take("pi") is not None and mine.is_wanted("nano")
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        assert not holders(store)["pi"].holds
        assert mine.take("pi") is None
        assert not mine.is_wanted("nano")
        mine.release("nano")
        assert third.take("nano") is None


_RACER = """
import sys
from edgewright.store import Leases, Store
with Store.open(sys.argv[1]) as store:
    leases = Leases(store, sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    print(*(board for board in map(str, range(12)) if leases.take(board) is None), flush=True)
    sys.stdin.readline()
"""


def test_processes_that_race_for_boards_never_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    Store.open(path).close()
    racers = []
    for name in "abc":
        words = [sys.executable, "-c", _RACER, str(path), name]
        racers.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    got: list[str] = []
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        assert racer.stdout
        got += racer.stdout.readline().split()
    for racer in racers:
        racer.communicate("\n", timeout=30)
    assert sorted(got) == sorted(map(str, range(12)))


def test_a_place_in_line_is_lost_by_whoever_does_not_ask_again(
    store: Store, clock: Iterator[list[float]]
) -> None:
    now = next(clock)
    ann, bob, eve = (Leases(store, name, lease_s=60) for name in "abe")
    ann.take("pi")
    bob.take("pi")
    now[0] += 1
    ann.release("pi")
    assert eve.take("pi") is not None
    now[0] += 61
    bob.renew()
    assert eve.take("pi") is None
    ann.take("nano")
    bob.take("nano")
    bob.release("nano")
    ann.release("nano")
    assert eve.take("nano") is None
