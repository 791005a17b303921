"""Runtimes that compute something else than the host did are caught before any latency counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.devices import require
from tests.devices.command_line import Edgewright
from tests.devices.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "build/envs"


@pytest.mark.long
def test_dynamic_int8_in_an_old_runtime_gets_no_latency(
    tmp_path: Path, own_home: Path, board: Sshd, edgewright: Edgewright
) -> None:
    """tflite-runtime 2.14 computes hybrid int8 convolutions wrongly; ai-edge-litert does not."""
    boards = {"old": "tflite-runtime", "new": "ai-edge-litert"}
    for runtime in boards.values():
        require((ENVIRONMENTS / runtime).exists(), f"build/envs/{runtime} is missing: make test sets it up")
    (tmp_path / "farm.toml").write_text(
        "".join(
            board.farm_toml(name, python=str(ENVIRONMENTS / runtime / "bin/python")).replace(
                'workdir = "edgewright"', f'workdir = "{name}"'
            )
            for name, runtime in boards.items()
        )
    )
    rows = {}
    for name, runtime in boards.items():
        words = ("--recipe", "int8-dynamic", "--runtime", runtime, "--preset", "rapid", "--threads", "1")
        answer = edgewright(
            "bench", f"{ROOT}/examples/digits.py:workload", "--device", name, *words, "--json", f"{name}.json"
        )
        (rows[name],) = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
        assert answer.code == (0 if name == "new" else 1)
    assert rows["new"]["outcome"] == "measured" and rows["new"]["parity"]["cosine"] > 0.9
    assert rows["old"]["outcome"] == "failed" and rows["old"]["latency_ms"] is None
    assert rows["old"]["error_code"] == "model-rejected" and "cosine" in rows["old"]["reason"]
