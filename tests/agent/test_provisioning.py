"""Making an environment on the device: pip bounded, its refusal put in one line, and nothing half made."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgewright_agent.codec import encode
from edgewright_agent.failure import AgentFailure
from edgewright_agent.pip import run_pip
from edgewright_agent.protocol_model import FileRef
from edgewright_agent.protocol_provision import FOLDER, RECORD, EnvRecord, Provision, pip_reason
from edgewright_agent.provisioning import current, provision
from edgewright_agent.store import Store

PIP = FileRef("pip-26.0-py3-none-any.whl", "a" * 64, 3)


@pytest.mark.parametrize(
    ("lines", "kind", "reason"),
    [
        (
            [
                "Looking in indexes: https://me:secret@host/simple",
                "ERROR: Could not find a version that satisfies the requirement numpy (from versions: none)",
                "ERROR: No matching distribution found for numpy",
            ],
            "refused",
            "No matching distribution found for numpy",
        ),
        (
            [
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'",
                "ERROR: No matching distribution found for numpy",
            ],
            "unreachable",
            "No matching distribution found for numpy",
        ),
        (
            ["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"],
            "disk-full",
            "Could not install packages due to an OSError: [Errno 28] No space left on device",
        ),
        (["ERROR: 401 from https://me:secret@host/simple/numpy/"], "refused", "401 from <address>"),
        (["something at last"], "refused", "something at last"),
        ([], "refused", "it does not say why"),
    ],
)
def test_why_pip_refused(lines: list[str], kind: str, reason: str) -> None:
    assert pip_reason(lines) == (kind, reason)


def ignore(step: str, seconds: float) -> None:
    """Nobody listens."""


def test_what_pip_is_at_is_told() -> None:
    steps: list[str] = []
    script = "print('Collecting numpy'); print('  Downloading https://x:y@h/numpy-2-cp311.whl (16 MB)')"
    run_pip([sys.executable, "-c", script], lambda step, seconds: steps.append(step))
    assert steps[-1] == "downloading numpy-2-cp311.whl"


def test_pip_is_ended_when_it_takes_too_long() -> None:
    began = time.monotonic()
    with pytest.raises(AgentFailure, match=r"did not end within 0\.5 s"):
        run_pip([sys.executable, "-c", "import time; time.sleep(60)"], ignore, timeout_s=0.5)
    assert time.monotonic() - began < 20


def test_pip_is_ended_when_nobody_listens_any_more(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def gone(step: str, seconds: float) -> None:
        if pid.exists() and pid.read_text():
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_pip([sys.executable, "-c", script], gone)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def request(**changes: Any) -> Provision:
    return Provision("one", "python3", ("onnxruntime",), PIP, **changes)


def test_a_wheel_that_was_not_pushed_leaves_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    events: list[dict[str, Any]] = []
    with pytest.raises(AgentFailure, match="was not pushed"):
        provision(request(), store, events.append)
    assert list((tmp_path / "root" / FOLDER).iterdir()) == []
    assert [event["name"] for event in events] == ["environment", "install"]


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert current(str(tmp_path)) is None
    record = EnvRecord("0123abcd", "python3", "3.11.2", ("onnxruntime",), {"numpy": "2.2.0"}, "one")
    (tmp_path / RECORD).write_text(json.dumps(encode(record)))
    assert current(str(tmp_path)) == record
    for text in ("", "{", "[]", '{"name": 7}'):
        (tmp_path / RECORD).write_text(text)
        assert current(str(tmp_path)) is None
