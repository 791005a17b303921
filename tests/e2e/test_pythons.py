"""The same job under every Python the agent supports, where found on this machine."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.devices import require
from tests.models import onnx_zoo

from edgewright.artifact import sha256_file
from edgewright.device import Device
from edgewright.farm.inventory import Target
from edgewright.tensorfile import read_arrays
from edgewright.workload import Array
from edgewright_agent import protocol as wire

ENVIRONMENTS = Path(__file__).resolve().parents[2] / "build/envs"


#: Those that ``make test`` set up; the tests' own version is the one among the runtimes' environments.
INTERPRETERS = [*sorted(ENVIRONMENTS.glob("python3.*/bin/python")), ENVIRONMENTS / "onnxruntime/bin/python"]


@pytest.mark.parametrize("python", INTERPRETERS, ids=lambda path: path.parts[-3])
def test_the_same_job_gives_the_same(python: Path, tmp_path: Path) -> None:
    require(python.exists(), f"{python} is missing: make test sets it up")
    model = tmp_path / "model.onnx"
    onnx.save(onnx_zoo.one_node("Exp"), model)
    sha256 = sha256_file(model)
    job = wire.Job(
        uuid.uuid4().hex,
        wire.Model((wire.FileRef(model.name, sha256, model.stat().st_size),), "onnx"),
        wire.Execution("onnxruntime"),
        wire.Data(keep_outputs=True),
        wire.Scenario(min_count=64, min_duration_ns=100_000_000),
    )
    words = [str(python), "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    target = Target("local", "x86-64-linux", python=str(python), workdir=str(tmp_path / "agent"))
    with Device.open(target) as device:
        facts = device.probe()
        result = device.run(job, {sha256: model})
        arrays: dict[str, Array] = {}
        for ref in result.files:
            device.collect(result.job_id, ref, tmp_path / ref.name)
            arrays |= read_arrays(tmp_path / ref.name)
    assert facts.python == version
    assert result.timing is not None and len(result.timing.latency_ns) >= 64
    assert result.kernel_before is not None and result.memory.peak_bytes
    np.testing.assert_allclose(arrays["y"], np.exp(arrays["x"]), rtol=1e-5)
