"""Commands of the agent: JSON lines on standard output, the first one saying who speaks.

probe | have | admit SHA SIZE | run | pair | clean | clock | meter probe|record
each with --root DIR before it
"""

import json
import os
import sys
import time
import traceback
from typing import Any, Dict, List

from . import __version__
from .failure import AgentFailure
from .protocol import PROTOCOL_VERSION, AgentError, Job, WireError, decode, encode

_JOB_BYTES = 1 << 20


def main() -> int:
    """Run one command; 0 when it was done, 1 after an ``error`` event, 2 for wrong words."""
    words = sys.argv[1:]
    if len(words) < 3 or words[0] != "--root" or words[2] not in _COMMANDS:
        sys.stderr.write(f"usage: agent --root DIR {'|'.join(sorted(_COMMANDS))}\n")
        return 2
    # onnxruntime from 1.32 leaves an identifier in the home directory and reports home unless told not to.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    root, command, arguments = words[1], words[2], words[3:]
    if command == "worker":
        from . import worker

        return worker.main(arguments[0], int(arguments[1]))
    if command == "pair-worker":
        from . import pair_worker

        return pair_worker.main(arguments[0], int(arguments[1]))
    if command == "pair-side":
        from . import pair_side

        return pair_side.main(arguments[0], int(arguments[1]))
    _emit({"event": "hello", "protocol": PROTOCOL_VERSION, "agent": __version__})
    try:
        _emit(_COMMANDS[command](root, arguments))
    except AgentFailure as failure:
        return _report(failure.error)
    except WireError as error:
        return _report(AgentError("protocol", f"the host sent something else: {error}"))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody listens any more
        return 1
    except OSError as error:
        full = error.errno in (28, 122)  # ENOSPC, EDQUOT
        code = "disk-full" if full else "agent-fault"
        return _report(
            AgentError(code, f"{error}", "free some space" if full else "", traceback.format_exc())
        )
    except Exception as error:  # noqa: BLE001 - the last line of defence: the host is told, whatever it was
        return _report(
            AgentError("agent-fault", f"{type(error).__name__}: {error}", "", traceback.format_exc())
        )
    return 0


def _emit(event: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event, separators=(",", ":"), allow_nan=False) + "\n")
    sys.stdout.flush()


def _report(error: AgentError) -> int:
    _emit({"event": "error", "error": encode(error)})
    return 1


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


def _run(root: str, arguments: List[str]) -> Dict[str, Any]:
    from . import supervisor

    job = decode(Job, _read_json())
    return {"event": "result", "result": encode(supervisor.run(job, _store(root), _emit))}


def _pair(root: str, arguments: List[str]) -> Dict[str, Any]:
    from . import pair_supervisor
    from .protocol_pair import PairJob

    job = decode(PairJob, _read_json())
    return {"event": "pair", "result": encode(pair_supervisor.run(job, _store(root), _emit))}


def _meter(root: str, arguments: List[str]) -> Dict[str, Any]:
    from .meter import command

    return command.run(arguments)


def _clock(root: str, arguments: List[str]) -> Dict[str, Any]:
    return {"event": "clock", "monotonic_ns": time.monotonic_ns()}


def _clean(root: str, arguments: List[str]) -> Dict[str, Any]:
    return {"event": "cleaned", "freed_bytes": _store(root).clean()}


def _store(root: str) -> Any:
    from .store import Store

    return Store(root)


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
    "run": _run,
    "clean": _clean,
    "clock": _clock,
    "meter": _meter,
    "pair": _pair,
    "pair-side": _pair,
    "pair-worker": _pair,
    "worker": _run,
}

if __name__ == "__main__":
    sys.exit(main())
