"""How much the store holds, for whom, and what goes first when it must make room.

ROOT/uses.json    in which order files were asked for, what is held for whom, what the disk may not have yet
ROOT/store        locked while that is read and changed

What counts is the order of uses, not the time: a device's clock may be set back by hours.
"""

import fcntl
import json
import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from .codec import WireError, decode, encode
from .detached import boot_id, is_alive
from .failure import AgentFailure
from .files import sha256_of, write_json
from .protocol_push import Inquiry

USES, PART, REQUEST = "uses.json", ".part", "request.json"

#: Space that stays free on the disk, for the agent's own files.
RESERVE_BYTES = 4 << 20

#: What a store holds at most when nobody says so: this, or this share of what is free and its own already.
DEFAULT_BYTES = 8 << 30
DEFAULT_SHARE = 0.9

#: What a holder asked for is kept for it this long, so that another host's push does not remove it meanwhile.
HELD_S = 600.0
_MAX_REQUEST = 1 << 24
_NAME = re.compile(r"([0-9a-f]{64})(\.part)?")


@dataclass(frozen=True)
class Hold:
    """What one holder asked for last, until when of which boot."""

    boot_id: str
    until_s: float
    ticket: str
    sha256: Tuple[str, ...]


@dataclass(frozen=True)
class Uses:
    """``used`` numbers the uses of each file, the greatest being the last.

    ``unsettled`` tells in which boot a file came that the disk may not have yet.
    """

    count: int = 0
    used: Dict[str, int] = field(default_factory=dict)
    held: Dict[str, Hold] = field(default_factory=dict)
    unsettled: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A file of the store, or the beginning of one."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Room:
    """What the store could still take; ``limit_bytes`` is the limit that holds."""

    free_bytes: int
    allowed_bytes: int
    limit_bytes: int


class Shelf:
    """The files under ``ROOT/store`` as something of bounded size."""

    def __init__(self, root: str, store: str, jobs: str) -> None:
        self._store = store
        self._jobs = jobs
        self._uses = os.path.join(root, USES)

    def ask(self, inquiry: Inquiry) -> Tuple[Room, str]:
        """Record a use of all that is asked for, hold it, and tell what there is room for, and the ticket.

        What a power cut may have damaged is verified before, and removed when it was.
        """
        with self._locked():
            uses = self._read()
            unsettled = self._verified(uses, (*inquiry.sha256, *inquiry.bases))
            entries = self._entries()
            known = {entry.sha256 for entry in entries}
            used = {sha256: number for sha256, number in uses.used.items() if sha256 in known}
            used.update(dict.fromkeys(inquiry.sha256, uses.count + 1))
            whole = {entry.sha256 for entry in entries if not entry.path.endswith(PART)}
            unsettled.update(dict.fromkeys(set(inquiry.sha256) - whole, boot_id()))
            ticket = os.urandom(8).hex()
            hold = Hold(boot_id(), time.monotonic() + HELD_S, ticket, inquiry.sha256)
            held = {name: known for name, known in uses.held.items() if _is_valid(known)}
            uses = Uses(uses.count + 1, used, {**held, inquiry.holder: hold}, unsettled)
            self._note(uses)
            gone = self._evictable(entries, uses, inquiry)
            return self._room(entries, gone, inquiry.limit_bytes), ticket

    def settle(self, hashes: Sequence[str]) -> None:
        """The disk has these files now; what was recorded outlasts a power cut, too."""
        with self._locked():
            uses = self._read()
            unsettled = {sha256: boot for sha256, boot in uses.unsettled.items() if sha256 not in hashes}
            write_json(self._uses, encode(replace(uses, unsettled=unsettled)))

    def make_room(self, size_bytes: int, inquiry: Inquiry) -> int:
        """Remove the least recently used until so much fits; how many bytes that freed.

        What was asked for together stays, as does what jobs that run or wait need, and what others hold.

        Raises:
            AgentFailure: ``disk-full`` when it would not do; nothing is removed then.
        """
        with self._locked():
            entries = self._entries()
            evictable = self._evictable(entries, self._read(), inquiry)
            room = self._room(entries, [], inquiry.limit_bytes)
            short = max(0, _disk_lacks(room, size_bytes), _limit_lacks(room, size_bytes))
            chosen: List[Entry] = []
            while evictable and sum(entry.size_bytes for entry in chosen) < short:
                chosen.append(evictable.pop(0))
            freed = sum(entry.size_bytes for entry in chosen)
            if freed < _disk_lacks(room, size_bytes):
                raise AgentFailure(
                    "disk-full", f"no space for {size_bytes} bytes on the disk", "free some space there"
                )
            if freed < short:
                raise AgentFailure(
                    "disk-full",
                    f"no space for {size_bytes} bytes within the limit of {room.limit_bytes} for the store",
                    "raise store_limit in the farm file",
                )
            for entry in chosen:
                os.unlink(entry.path)
            return freed

    def is_current(self, holder: str, ticket: str) -> bool:
        """Whether the holder has not asked again since."""
        hold = self._read().held.get(holder)
        return hold is None or hold.ticket == ticket

    def _room(self, entries: List[Entry], gone: List[Entry], limit_bytes: int) -> Room:
        """With ``gone`` removed."""
        disk = shutil.disk_usage(self._store).free
        held = sum(entry.size_bytes for entry in entries)
        freed = sum(entry.size_bytes for entry in gone)
        limit = limit_bytes or min(DEFAULT_BYTES, int(DEFAULT_SHARE * (disk + held)))
        return Room(disk + freed, limit - (held - freed), limit)

    def _entries(self) -> List[Entry]:
        found = []
        for item in os.scandir(self._store):
            name = _NAME.fullmatch(item.name)
            if name and item.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # taken out for a job, or removed, meanwhile
                    found.append(Entry(item.path, name.group(1), item.stat(follow_symlinks=False).st_size))
        return found

    def _evictable(self, entries: List[Entry], uses: Uses, inquiry: Inquiry) -> List[Entry]:
        """What may go, the first to go first; what the files to come may be made from goes last."""
        kept = {*inquiry.sha256, *self._of_jobs()}
        for name, hold in uses.held.items():
            if name != inquiry.holder and _is_valid(hold):
                kept.update(hold.sha256)
        free = [entry for entry in entries if entry.sha256 not in kept and not _is_arriving(entry)]
        bases = set(inquiry.bases)
        return sorted(
            free, key=lambda entry: (entry.sha256 in bases, uses.used.get(entry.sha256, 0), entry.path)
        )

    def _of_jobs(self) -> Set[str]:
        """What the jobs that run or wait refer to, whichever version of the agent wrote them down."""
        found: Set[str] = set()
        for name in os.listdir(self._jobs):
            folder = os.path.join(self._jobs, name)
            if os.path.isdir(folder) and is_alive(folder):
                # where it is not on the disk yet, its files are still held for whoever pushed them
                with suppress(FileNotFoundError, ValueError), open(os.path.join(folder, REQUEST)) as stream:
                    found.update(_hashes(json.loads(stream.read(_MAX_REQUEST))))
        return found

    def _read(self) -> Uses:
        """What is recorded; where that is gone or damaged, as by a power cut, every file may be damaged."""
        try:
            with open(self._uses, encoding="utf-8") as stream:
                return decode(Uses, json.loads(stream.read(_MAX_REQUEST)))
        except (FileNotFoundError, ValueError, WireError, RecursionError):
            return Uses(unsettled={entry.sha256: "" for entry in self._entries()})

    def _note(self, uses: Uses) -> None:
        """Record it for whoever asks next; the disk has it after :meth:`settle`, which nobody waits for."""
        temporary = self._uses + ".tmp"
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(encode(uses), stream, separators=(",", ":"))
        os.replace(temporary, self._uses)

    def _verified(self, uses: Uses, hashes: Sequence[str]) -> Dict[str, str]:
        """What is unsettled once those of ``hashes`` are verified that came before the device restarted."""
        boot, left = boot_id(), dict(uses.unsettled)
        for sha256 in hashes:
            path = os.path.join(self._store, sha256)
            if left.get(sha256, boot) == boot and boot:
                continue
            if sha256 in left and os.path.isfile(path):
                if sha256_of(path) != sha256:
                    os.unlink(path)
                del left[sha256]
        return left

    @contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self._store, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _disk_lacks(room: Room, size_bytes: int) -> int:
    """How many bytes must go before so many fit on the disk."""
    return size_bytes + RESERVE_BYTES - room.free_bytes


def _limit_lacks(room: Room, size_bytes: int) -> int:
    """How many bytes must go before so many are within the limit."""
    return size_bytes - room.allowed_bytes


def _is_valid(hold: Hold) -> bool:
    return hold.boot_id == boot_id() and 0 <= hold.until_s - time.monotonic() <= HELD_S


def _is_arriving(entry: Entry) -> bool:
    """Whether somebody is writing it: whoever does so holds its lock."""
    if not entry.path.endswith(PART):
        return False
    handle = locked(entry.path)
    if handle is None:
        return True
    os.close(handle)
    return False


def locked(path: str, flags: int = os.O_RDWR) -> Optional[int]:
    """A handle of the file with its lock; None when another has that, or the file is gone."""
    try:
        handle = os.open(path, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except OSError:  # locked, or renamed or removed meanwhile
        os.close(handle)
        return None
    os.close(handle)
    return None


def _hashes(value: Any) -> Iterator[str]:
    """Every text under a key ``sha256``, however deep."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "sha256" and isinstance(item, str):
                yield item
            else:
                yield from _hashes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _hashes(item)
