"""A model whose weights are shared travels coded, and is decoded on the device to the very file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.devices import require
from tests.devices.command_line import Edgewright
from tests.devices.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build/envs/onnxruntime/bin/python"
RECIPE = """
description = "sparse, shared, coded"

[tolerance]
cosine = 0.9
max_abs = 0.1

[[steps]]
technique = "sparsify"
amount = 0.85

[[steps]]
technique = "share"
bits = 5
"""


@pytest.fixture
def farm(tmp_path: Path, board: Sshd) -> Path:
    require(PYTHON.exists(), "build/envs/onnxruntime is missing: make test sets it up")
    (tmp_path / "deep.toml").write_text(RECIPE)
    path = tmp_path / "farm.toml"
    path.write_text(board.farm_toml(python=str(PYTHON)))
    return path


def test_it_is_small_on_the_way_and_exact_on_the_device(
    tmp_path: Path, own_home: Path, farm: Path, board: Sshd, brief: Edgewright
) -> None:
    words = ("--recipe", "deep.toml", "--preset", "rapid", "--threads", "1", "--json", "out.json")
    answer = brief("bench", f"{ROOT}/examples/digits.py:workload", "--device", "board", *words)
    assert answer.code == 0, answer.err
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    stored = [path for path in (board.home / "edgewright/store").iterdir() if path.is_file()]
    assert row["artifact"]["size_bytes"] in [path.stat().st_size for path in stored]
    assert row["artifact"]["sha256"] not in [path.name for path in stored]
    assert row["artifact"]["size_bytes"] < 30_000  # 226 kB as 32-bit floats
    assert row["parity"]["cosine"] > 0.999 and row["quality"]["value"] > 0.95
    assert any("decoded on the device to" in note for note in row["notes"])


@pytest.mark.long
def test_a_coded_model_that_was_altered_is_refused(
    tmp_path: Path, own_home: Path, farm: Path, board: Sshd, brief: Edgewright
) -> None:
    words = ("--recipe", "deep.toml", "--preset", "rapid", "--threads", "1", "--json", "out.json")
    run = ("bench", f"{ROOT}/examples/digits.py:workload", "--device", "board", *words)
    assert brief(*run).code == 0
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    size = row["artifact"]["size_bytes"]
    (coded,) = [p for p in (board.home / "edgewright/store").iterdir() if p.stat().st_size == size]
    content = bytearray(coded.read_bytes())
    content[-1] ^= 1
    coded.write_bytes(content)
    answer = brief(*run)
    assert answer.code == 1 and "altered on the device" in answer.err
    assert brief(*run).code == 0
