"""Commands of the agent: JSON lines on standard output, the first one saying who speaks.

probe | receive | submit | follow JOB | jobs | acknowledge JOB... | cancel JOB... | provision | keys |
clean | clock | meter probe|record, each with --root DIR before it
"""

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List

from . import __version__
from .codec import decode, encode
from .failure import DISK_FULL_STATUS, AgentFailure
from .files import is_full
from .guard import guarded
from .protocol_errors import PROTOCOL_VERSION

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
        return _status(lambda: _PROCESSES[command](arguments[0], int(arguments[1])))
    try:
        _emit({"event": "hello", "protocol": PROTOCOL_VERSION, "agent": __version__})
        last = guarded(lambda: _done(command, root, arguments))
        _emit(last)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody listens any more
        return 1
    return 1 if last["event"] == "error" else 0


def _done(command: str, root: str, arguments: List[str]) -> Dict[str, Any]:
    """Do it, after setting back what a job had set that was killed together with its watchdog.

    Its note is looked for here, see conditions/record.py: without one nothing of that need be imported.
    """
    if os.path.exists(os.path.join(root, "conditions", "record.json")):
        from .conditions import take_back

        for what, why in take_back(root).items():
            sys.stderr.write(f"{what} was not set back: {why}\n")
    return _COMMANDS[command](root, arguments)


def _worker(folder: str, event_fd: int) -> int:
    from . import worker

    return worker.main(folder, event_fd)


def _pair_worker(folder: str, event_fd: int) -> int:
    from . import pair_worker

    return pair_worker.main(folder, event_fd)


def _pair_side(folder: str, fd: int) -> int:
    from . import pair_side

    return pair_side.main(folder, fd)


def _watchdog(root: str, fd: int) -> int:
    from .conditions import watchdog

    return watchdog.main(root, fd)


def _status(work: Callable[[], int]) -> int:
    """How a process ends that this one starts of itself; on a full disk it can say why in no other way."""
    try:
        return work()
    except OSError as problem:
        if not is_full(problem):
            raise
        sys.stderr.write(f"{problem}\n")
        return DISK_FULL_STATUS


def _emit(event: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event, separators=(",", ":"), allow_nan=False) + "\n")
    sys.stdout.flush()


def _probe(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .probe import probe

    return {"event": "device", "device": encode(probe(store_dir=_store(root).store))}


def _receive(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .intake import Inlet, receive

    with Inlet(sys.stdin.fileno()) as inlet:
        return receive(inlet, _store(root), _emit)


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
    for job_id in arguments:
        _spool(root).cancel(job_id)
    return {"event": "cancelled"}


def _only(arguments: List[str]) -> str:
    if len(arguments) != 1:
        raise AgentFailure("protocol", f"one job is expected, not {len(arguments)}")
    return arguments[0]


def _meter(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .meter import command

    return command.run(arguments)


def _provision(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .protocol_provision import Provision
    from .provisioning import provision

    record, runtimes = provision(decode(Provision, _read_json()), _store(root), _emit)
    return {"event": "provisioned", "record": encode(record), "runtimes": encode(runtimes)}


def _clock(root: str, arguments: List[str]) -> Dict[str, Any]:
    return {"event": "clock", "monotonic_ns": time.monotonic_ns()}


def _clean(root: str, arguments: List[str]) -> Dict[str, Any]:
    if not _spool(root).is_idle():
        raise AgentFailure("busy", "a job is running", "wait for it, or cancel it")
    from .authorized import authorize
    from .conditions import clear

    clear(root)
    authorize(root, ())
    return {"event": "cleaned", "freed_bytes": _store(root).clean()}


def _keys(root: str, arguments: List[str]) -> Dict[str, Any]:
    """``{keys: null}`` asks whose models the device runs, ``{keys: [LINE...]}`` decides it."""
    from .authorized import authorize, authorized_keys

    asked = _read_json()
    lines = asked.get("keys", "") if isinstance(asked, dict) else ""
    if lines is None:
        keys = authorized_keys(_store(root).root) or ()
    elif isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        keys = authorize(_store(root).root, lines)
    else:
        raise AgentFailure("protocol", "keys expects {keys: [...]}")
    return {"event": "keys", "keys": [key.line for key in keys]}


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
    "receive": _receive,
    "submit": _submit,
    "follow": _follow,
    "jobs": _jobs,
    "acknowledge": _acknowledge,
    "cancel": _cancel,
    "clean": _clean,
    "keys": _keys,
    "provision": _provision,
    "clock": _clock,
    "meter": _meter,
}

#: What the agent starts of itself, with a folder and a descriptor to speak to: no answers for a host.
_PROCESSES = {"worker": _worker, "pair-worker": _pair_worker, "pair-side": _pair_side, "watchdog": _watchdog}

if __name__ == "__main__":
    sys.exit(main())
