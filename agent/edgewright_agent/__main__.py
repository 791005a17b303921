"""Commands of the agent: JSON lines on standard output, the first one saying who speaks.

probe | have | admit SHA SIZE | submit | follow JOB | jobs | acknowledge JOB... | cancel JOB | clean | clock |
meter probe|record, each with --root DIR before it
"""

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List

from . import __version__
from .failure import AgentFailure
from .guard import guarded
from .protocol import PROTOCOL_VERSION, decode, encode

if TYPE_CHECKING:
    from .spool import Spool
    from .store import Store

_JOB_BYTES = 1 << 20


def main() -> int:
    """Run one command; 0 when it was done, 1 after an ``error`` event, 2 for wrong words."""
    words = sys.argv[1:]
    if len(words) < 3 or words[0] != "--root" or words[2] not in {**_COMMANDS, **_PROCESSES}:
        sys.stderr.write(f"usage: agent --root DIR {'|'.join(sorted(_COMMANDS))}\n")
        return 2
    # onnxruntime from 1.32 leaves an identifier in the home directory and reports home unless told not to.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    root, command, arguments = words[1], words[2], words[3:]
    if command in _PROCESSES:
        return int(_PROCESSES[command](arguments[0], int(arguments[1])))
    try:
        _emit({"event": "hello", "protocol": PROTOCOL_VERSION, "agent": __version__})
        last = guarded(lambda: _COMMANDS[command](root, arguments))
        _emit(last)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody listens any more
        return 1
    return 1 if last["event"] == "error" else 0


def _worker(folder: str, event_fd: int) -> int:
    from . import worker

    return worker.main(folder, event_fd)


def _pair_worker(folder: str, event_fd: int) -> int:
    from . import pair_worker

    return pair_worker.main(folder, event_fd)


def _pair_side(folder: str, fd: int) -> int:
    from . import pair_side

    return pair_side.main(folder, fd)


def _emit(event: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event, separators=(",", ":"), allow_nan=False) + "\n")
    sys.stdout.flush()


def _probe(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .probe import probe

    return {"event": "device", "device": encode(probe(store_dir=_store(root).store))}


def _have(root: str, arguments: List[str]) -> Dict[str, Any]:
    store = _store(root)
    asked = _read_json()
    hashes = asked.get("sha256") if isinstance(asked, dict) else None
    if not isinstance(hashes, list) or not all(isinstance(item, str) for item in hashes):
        raise AgentFailure("protocol", "have expects {sha256: [...]}")
    return {"event": "have", "missing": store.missing(hashes), "free_bytes": store.free_bytes()}


def _admit(root: str, arguments: List[str]) -> Dict[str, Any]:
    if len(arguments) != 2 or not arguments[1].isdigit():
        raise AgentFailure("protocol", "admit expects SHA SIZE")
    _store(root).admit(arguments[0], int(arguments[1]))
    return {"event": "admitted", "sha256": arguments[0]}


def _submit(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .protocol_spool import Submission

    return _spool(root).submit(decode(Submission, _read_json()), _emit)


def _follow(root: str, arguments: List[str]) -> Dict[str, Any]:
    return _spool(root).follow(_only(arguments), _emit)


def _jobs(root: str, arguments: List[str]) -> Dict[str, Any]:
    return {"event": "jobs", "jobs": encode(tuple(_spool(root).jobs()))}


def _acknowledge(root: str, arguments: List[str]) -> Dict[str, Any]:
    for job_id in arguments:
        _spool(root).acknowledge(job_id)
    return {"event": "acknowledged"}


def _cancel(root: str, arguments: List[str]) -> Dict[str, Any]:
    _spool(root).cancel(_only(arguments))
    return {"event": "cancelled"}


def _only(arguments: List[str]) -> str:
    if len(arguments) != 1:
        raise AgentFailure("protocol", f"one job is expected, not {len(arguments)}")
    return arguments[0]


def _meter(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .meter import command

    return command.run(arguments)


def _clock(root: str, arguments: List[str]) -> Dict[str, Any]:
    return {"event": "clock", "monotonic_ns": time.monotonic_ns()}


def _clean(root: str, arguments: List[str]) -> Dict[str, Any]:
    if not _spool(root).is_idle():
        raise AgentFailure("busy", "a job is running", "wait for it, or cancel it")
    return {"event": "cleaned", "freed_bytes": _store(root).clean()}


def _store(root: str) -> "Store":
    from .store import Store

    return Store(root)


def _spool(root: str) -> "Spool":
    from . import work
    from .spool import Spool

    store = _store(root)
    return Spool(store, lambda submission, emit: work.done(submission, store, emit))


def _read_json() -> Any:
    text = sys.stdin.read(_JOB_BYTES + 1)
    if len(text) > _JOB_BYTES:
        raise AgentFailure("protocol", f"the request is longer than {_JOB_BYTES} characters")
    try:
        return json.loads(text)
    except ValueError as error:
        raise AgentFailure("protocol", f"the request is not JSON: {error}") from None


_COMMANDS = {
    "probe": _probe,
    "have": _have,
    "admit": _admit,
    "submit": _submit,
    "follow": _follow,
    "jobs": _jobs,
    "acknowledge": _acknowledge,
    "cancel": _cancel,
    "clean": _clean,
    "clock": _clock,
    "meter": _meter,
}

#: What the agent starts of itself, with a folder and a descriptor to speak to: no answers for a host.
_PROCESSES = {"worker": _worker, "pair-worker": _pair_worker, "pair-side": _pair_side}

if __name__ == "__main__":
    sys.exit(main())
