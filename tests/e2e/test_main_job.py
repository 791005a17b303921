"""The main job over a real OpenSSH server: the agent under environments of numpy, psutil and one runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.devices import require
from tests.devices.command_line import Edgewright
from tests.devices.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "build/envs"


def environment(name: str) -> str:
    """The interpreter of a device environment that ``make test`` sets up."""
    python = ENVIRONMENTS / name / "bin/python"
    require(python.exists(), f"{python.relative_to(ROOT)} is missing: make test sets it up")
    return str(python)


def device(name: str, server: Sshd, python: str) -> str:
    return f"""
[devices.{name}]
profile = "x86-64-linux"
address = "{server.user}@{server.place.address}"
port = {server.port}
key = "{server.client_key}"
known_hosts = "{server.known_hosts}"
python = "{python}"
workdir = "{server.folder}/{name}"
"""


@pytest.mark.timeout(600)
def test_a_plan_over_ssh_gives_every_cell_a_row(
    tmp_path: Path, own_home: Path, make_sshd: Callable[..., Sshd], brief: Edgewright
) -> None:
    server = make_sshd()
    boards = {"onnx-board": "onnxruntime", "litert-board": "ai-edge-litert", "old-board": "tflite-runtime"}
    (tmp_path / "farm.toml").write_text(
        "".join(device(name, server, environment(runtime)) for name, runtime in boards.items())
    )
    (tmp_path / "plan.toml").write_text(
        f"""
[plan]
name = "boards"
workloads = ["{ROOT}/examples/digits.py:workload"]
recipes = ["fp32", "int8-static"]
runtimes = ["onnxruntime", "tflite"]
devices = ["onnx-board", "litert-board", "old-board"]
preset = "rapid"
threads = 1
"""
    )
    answer = brief("run", "plan.toml", "--json", "report.json", "--html", "report.html")
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(report, json.loads((ROOT / "docs/report.schema.json").read_text()))
    rows: list[dict[str, Any]] = report["rows"]
    assert len(rows) == 12
    ran = {(r["device"], r["runtime"], r["recipe"]) for r in rows if r["outcome"] == "measured"}
    for recipe in ("fp32", "int8-static"):
        assert ("onnx-board", "onnxruntime", recipe) in ran
        assert ("litert-board", "ai-edge-litert", recipe) in ran
        assert ("old-board", "tflite-runtime", recipe) in ran
    failed = [r for r in rows if r["outcome"] == "failed"]
    assert len(failed) == 6 and answer.code == 1
    assert all(r["error_code"] == "missing-runtime" and "pip install" in r["reason"] for r in failed)
    for row in (r for r in rows if r["outcome"] == "measured"):
        assert row["quality"]["value"] >= row["quality"]["baseline"] - 0.01, row["recipe"]
        assert row["parity"]["cosine"] > 0.99
        assert row["latency_ms"]["count"] >= 64
    assert "<html" in (tmp_path / "report.html").read_text()


def test_the_same_agent_is_not_sent_twice(
    tmp_path: Path, own_home: Path, make_sshd: Callable[..., Sshd], edgewright: Edgewright
) -> None:
    server = make_sshd()
    (tmp_path / "farm.toml").write_text(device("board", server, environment("onnxruntime")))
    assert edgewright("device", "probe", "board").code == 0
    agents = list((server.folder / "board/agent").iterdir())
    assert len(agents) == 1
    before = agents[0].stat()
    assert edgewright("device", "probe", "board").code == 0
    after = agents[0].stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
