"""The store as something of bounded size: what goes first, and what never goes."""

from __future__ import annotations

import fcntl
import json
import os
from collections import namedtuple
from pathlib import Path

import pytest

from edgewright_agent import shelf as shelf_module
from edgewright_agent.failure import AgentFailure
from edgewright_agent.protocol_push import Inquiry
from edgewright_agent.shelf import RESERVE_BYTES, Shelf
from edgewright_agent.store import Store

A, B, C, D = (letter * 64 for letter in "abcd")
Usage = namedtuple("Usage", "total used free")


class Place:
    """A store on a disk of a size that is made up."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Store(str(folder))
        self.disk_bytes = 1 << 40
        (folder / "uses.json").write_text("{}")  # without a record all would be hashed, and be found damaged
        monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, self.free()))

    @property
    def shelf(self) -> Shelf:
        return self.store.shelf

    def free(self) -> int:
        return self.disk_bytes - sum(path.stat().st_size for path in Path(self.store.store).iterdir())

    def add(self, sha256: str, size: int = 100, *, part: bool = False) -> Path:
        path = Path(self.store.path(sha256) + (".part" if part else ""))
        path.write_bytes(bytes(size))
        return path

    def use(self, *hashes: str, holder: str = "me", bases: tuple[str, ...] = ()) -> None:
        self.shelf.ask(Inquiry(hashes, bases, holder=holder))

    def held(self) -> set[str]:
        return {path.name[0] + path.name[64:] for path in Path(self.store.store).iterdir()}

    def job(self, name: str, sha256: str) -> int:
        """A job that runs and needs a file; the handle keeps it alive."""
        folder = Path(self.store.jobs) / name
        folder.mkdir()
        (folder / "request.json").write_text(json.dumps({"any": [{"version": {"sha256": sha256}}]}))
        handle = os.open(folder / "alive", os.O_RDWR | os.O_CREAT)
        fcntl.flock(handle, fcntl.LOCK_EX)
        return handle


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def make_room(place: Place, size: int, *needed: str, limit: int = 0, holder: str = "me") -> int:
    return place.shelf.make_room(size, Inquiry(needed, limit_bytes=limit, holder=holder))


def test_the_least_recently_used_goes_first_and_no_more_than_needed(place: Place) -> None:
    for sha256 in (A, B, C):
        place.add(sha256)
        place.use(sha256)
    place.use(A)
    assert make_room(place, 100, D, limit=300) == 100
    assert place.held() == {"a", "c"}
    assert make_room(place, 250, D, limit=300) == 200
    assert place.held() == set()


def test_the_order_survives_the_process_and_does_not_ask_the_clock(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sha256 in (A, B):
        place.add(sha256)
    place.use(B)
    monkeypatch.setattr("time.time", lambda: 0.0)
    place.use(A)
    os.utime(place.store.path(A), (1, 1))
    again = Store(place.store.root).shelf
    again.make_room(100, Inquiry((D,), limit_bytes=200, holder="me"))
    assert place.held() == {"a"}


def test_nothing_goes_while_there_is_room(place: Place) -> None:
    place.add(A)
    assert make_room(place, 100, D, limit=200) == 0
    assert place.held() == {"a"}


def test_a_full_disk_makes_room_too(place: Place) -> None:
    place.add(A, 1000)
    place.disk_bytes = 1500 + RESERVE_BYTES
    assert make_room(place, 400, D) == 0
    assert make_room(place, 600, D) == 1000
    with pytest.raises(AgentFailure, match="on the disk"):
        make_room(place, 1600, D)


def test_what_belongs_to_the_same_job_stays_and_then_nothing_is_removed(place: Place) -> None:
    place.add(A)
    place.add(B)
    with pytest.raises(AgentFailure, match="no space") as caught:
        make_room(place, 250, A, D, limit=300)
    assert caught.value.error.code == "disk-full"
    assert place.held() == {"a", "b"}
    make_room(place, 150, A, D, limit=300)
    assert place.held() == {"a"}


def test_what_a_running_or_waiting_job_needs_stays_until_it_has_ended(place: Place) -> None:
    place.add(A)
    handle = place.job("job1", A)
    with pytest.raises(AgentFailure, match="no space"):
        make_room(place, 100, D, limit=100)
    os.close(handle)
    assert make_room(place, 100, D, limit=100) == 100


def test_what_another_host_has_just_asked_for_stays_for_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.add(A)
    place.use(A, holder="another")
    with pytest.raises(AgentFailure, match="no space"):
        make_room(place, 100, D, limit=100)
    monkeypatch.setattr(shelf_module, "boot_id", lambda: "the next boot")
    assert make_room(place, 100, D, limit=100) == 100


def test_a_holder_s_next_question_lets_go_of_what_it_held(place: Place) -> None:
    place.add(A)
    place.use(A, holder="another")
    place.use(B, holder="another")
    assert make_room(place, 100, D, limit=100) == 100


def test_the_beginning_of_a_file_goes_unless_it_is_arriving(place: Place) -> None:
    arriving = place.add(A, part=True)
    place.add(B, part=True)
    handle = os.open(arriving, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert make_room(place, 100, D, limit=200) == 100
    assert place.held() == {"a.part"}
    os.close(handle)


def test_room_counts_what_could_go(place: Place) -> None:
    place.add(A, 300)
    place.add(B, 200)
    place.disk_bytes = 1000
    room, _ = place.shelf.ask(Inquiry((B, C), limit_bytes=600, holder="me"))
    assert (room.free_bytes, room.allowed_bytes, room.limit_bytes) == (800, 400, 600)


@pytest.mark.parametrize(("disk", "limit"), [(1000, 900), (1 << 40, 8 << 30)])
def test_the_limit_without_one_is_bounded_by_the_disk(place: Place, disk: int, limit: int) -> None:
    place.disk_bytes = disk
    place.add(A, 300)
    assert place.shelf.ask(Inquiry((A,)))[0].limit_bytes == limit


def test_what_a_file_may_be_made_from_goes_last_and_was_not_used_by_that(place: Place) -> None:
    for sha256 in (A, B, C):
        place.add(sha256)
        place.use(sha256)
    place.shelf.make_room(100, Inquiry((D,), (A, B), limit_bytes=300, holder="me"))
    assert place.held() == {"a", "b"}
    place.shelf.make_room(100, Inquiry((D,), (A, B), limit_bytes=200, holder="me"))
    assert place.held() == {"b"}


@pytest.mark.parametrize("record", ["", "{", "[]", '{"count": -1, "used": 3}', "\ud83d"])
def test_a_damaged_record_is_begun_anew(place: Place, record: str) -> None:
    place.add(A)
    (Path(place.store.root) / "uses.json").write_bytes(record.encode("utf-8", "surrogatepass"))
    place.use(A)
    assert json.loads((Path(place.store.root) / "uses.json").read_text())["used"] == {A: 1}


def test_the_record_forgets_what_is_gone(place: Place) -> None:
    place.add(A)
    place.use(A, B)
    Path(place.store.path(A)).unlink()
    place.use(C)
    assert set(json.loads((Path(place.store.root) / "uses.json").read_text())["used"]) == {C}


def test_what_is_not_the_store_s_is_not_touched(place: Place) -> None:
    other = Path(place.store.store) / "notes.txt"
    other.write_text("mine")
    place.add(A)
    make_room(place, 100, D, limit=100)
    assert other.read_text() == "mine"


def test_clean_forgets_the_uses(place: Place) -> None:
    place.use(A)
    place.store.clean()
    assert list(Path(place.store.root).iterdir()) == []


def test_an_older_question_gives_way(place: Place) -> None:
    _, first = place.shelf.ask(Inquiry((A,), holder="me"))
    assert place.shelf.is_current("me", first)
    _, second = place.shelf.ask(Inquiry((A,), holder="me"))
    assert not place.shelf.is_current("me", first)
    assert place.shelf.is_current("me", second)
