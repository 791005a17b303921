"""Energy by a meter outside the device: real agents, real streams, a load that is really there."""

from __future__ import annotations

import json
import shlex
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.devices.command_line import Edgewright
from tests.devices.meters import BUSY_W, IDLE_W, follower, tcp_server
from tests.devices.quick_command import QuickCommand
from tests.devices.sshd import Sshd
from tests.models import onnx_zoo

from edgewright.artifact import sha256_file
from edgewright.device import Device, Errand
from edgewright.farm.inventory import Target
from edgewright.farm.meter_config import MeterConfig
from edgewright.farm.metered import FoundMeter, find_meter, run_metered
from edgewright.report.energy import EnergyFigures, energy_per_inference
from edgewright.report.verdict import verdict
from edgewright.row import Cell, Measured, Row
from edgewright_agent import protocol as wire

#: A meter beside it has to keep its own time too.
pytestmark = [pytest.mark.usefixtures("own_home"), pytest.mark.alone]

FORMAT = wire.MeterFormat(separator=",", power="2")
STAMPED = replace(FORMAT, time="1")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """About a millisecond of work."""
    weight = onnx_zoo.constant("w", np.ones((512, 512), np.float32))
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    tensors = [onnx_zoo.value(name, onnx.TensorProto.FLOAT, [128, 512]) for name in "xy"]
    return onnx_zoo.save(onnx_zoo.model([node], tensors[:1], tensors[1:], [weight]), tmp_path / "model.onnx")


def config(command: list[str], where: str = "host", format: wire.MeterFormat = FORMAT) -> MeterConfig:
    return MeterConfig(where, wire.Meter("command", "made up from the load", format, tuple(command)))


def measure(device: Device, model: Path, meter: FoundMeter) -> wire.RunResult:
    """One short launch with an energy pass as the meter needs it."""
    file = wire.FileRef(model.name, sha256_file(model), model.stat().st_size)
    job = wire.Job(
        uuid.uuid4().hex,
        wire.Model((file,), "onnx"),
        wire.Execution("onnxruntime"),
        scenario=wire.Scenario(min_count=20, min_duration_ns=10**8, warmup_count=2, warmup_duration_ns=10**7),
        energy=wire.EnergyPlan((), 10**9, 2 * 10**9),
    )
    return run_metered(device, job, {file.sha256: model}, lambda event: None, meter, Errand())


def local(folder: Path) -> Target:
    return Target("here", "x86-64-linux", None, sys.executable, str(folder))


def check_figures(result: wire.RunResult) -> EnergyFigures:
    """The follower's two levels come back: what the window drew, and what is above idle."""
    found = energy_per_inference(result.energy)
    assert isinstance(found, EnergyFigures), found
    active = next(window for window in result.energy.windows if window.name == "active")
    seconds = (active.end_ns - active.start_ns) / 1e9 / active.count
    assert found.gross_mj == pytest.approx(BUSY_W * 1000 * seconds, rel=0.05)
    assert found.net_mj is not None, found.net_reason
    assert found.net_mj == pytest.approx((BUSY_W - IDLE_W) * 1000 * seconds, rel=0.1)
    assert found.alignment is not None and found.alignment.method == "marker pulses"
    assert found.alignment.uncertainty_ns < 200_000_000
    return found


@pytest.mark.long
def test_a_meter_of_the_host_and_a_device_over_ssh(board: Sshd, model: Path) -> None:
    command = follower(board.home, late_s=0.3)
    with Device.open(board.target(python=sys.executable)) as device:
        clock = device.clock()
        # It is the same machine, so the clocks are the same.
        assert clock.low_ns <= 0 <= clock.high_ns and clock.half_ns < 10**9
        meter = find_meter(device, config(command))
        # Twenty a second, or fewer where others have the processors.
        assert meter.reason == "" and 8 < meter.info.rate_hz < 26
        result = measure(device, model, meter)
    found = check_figures(result)
    assert found.alignment is not None and found.alignment.offset_ns == pytest.approx(3e8, abs=2.5e8)
    assert result.energy.recording is None
    assert result.timing is not None and len(result.timing.latency_ns) >= 20


@pytest.mark.long
def test_a_meter_that_the_device_reads(tmp_path: Path, model: Path) -> None:
    work = tmp_path / "agent"
    with Device.open(local(work)) as device:
        meter = find_meter(device, config(follower(work), "device", STAMPED))
        assert meter.reason == ""
        result = measure(device, model, meter)
    check_figures(result)
    assert result.energy.recording is None


@pytest.mark.long
def test_a_meter_whose_clock_is_off_gives_no_energy(tmp_path: Path, model: Path) -> None:
    work = tmp_path / "agent"
    with Device.open(local(work)) as device:
        result = measure(device, model, find_meter(device, config(follower(work, skew_s=-2), format=STAMPED)))
    assert result.energy.trace is None
    assert (
        "the meter's clock is 2.0" in result.energy.reason and "behind its reader's" in result.energy.reason
    )
    assert result.timing is not None and len(result.timing.latency_ns) >= 20


def test_a_meter_that_dies_during_the_run_leaves_no_number_and_no_valid_row(
    tmp_path: Path, model: Path
) -> None:
    work = tmp_path / "agent"
    with Device.open(local(work)) as device:
        meter = find_meter(device, config(follower(work, stop_after_s=1)))
        assert meter.reason == ""
        result = measure(device, model, meter)
        facts = device.probe()
    assert result.energy.trace is None
    assert "the meter ended after" in result.energy.reason and "the fuse has blown" in result.energy.reason
    cell = Cell("m", "as it is", "here", "x86-64-linux", "onnxruntime")
    judged = verdict(Row(cell, Measured((result,), facts), "rapid", "2025-01-01T00:00:00+00:00"))
    assert judged is not None and judged.status != "valid"
    assert any("the fuse has blown" in sentence for sentence in judged.evidence)


def test_a_meter_that_does_not_answer_is_no_energy_and_no_delay(tmp_path: Path, model: Path) -> None:
    with Device.open(local(tmp_path / "agent")) as device:
        meter = find_meter(device, config(["/no/such/meter"]))
        result = measure(device, model, meter)
    assert "cannot be started" in result.energy.reason
    assert (result.energy.trace, result.energy.windows) == (None, ())


FARM = """
[devices.local]
profile = "x86-64-linux"
[devices.local.meter]
kind = "tcp"
address = "127.0.0.1"
port = {port}
scope = "{scope}"
"""


def test_probe_lists_the_meter_and_whether_it_answers(edgewright: Edgewright, tmp_path: Path) -> None:
    farm = tmp_path / "farm.toml"
    with tcp_server(b"2.5\n") as port:
        farm.write_text(FARM.format(port=port, scope="5 V supply"), encoding="utf-8")
        shown = edgewright("device", "probe", "local", "--farm", str(farm))
        told = json.loads(edgewright("device", "probe", "local", "--farm", str(farm), "--json").out)["meter"]
    assert f"tcp 127.0.0.1:{port}, read by the host: 5 V supply," in shown.out
    assert "2.5 W now" in shown.out
    assert (told["scope"], told["power_mw"], told["reason"]) == ("5 V supply", 2500.0, None)
    gone = edgewright("device", "probe", "local", "--farm", str(farm))
    assert f"none, the meter at 127.0.0.1:{port} cannot be reached" in gone.out


def test_bench_with_a_meter_command(quick: QuickCommand, model: Path) -> None:
    # The device "local" keeps its agent in this user's cache, below the home directory.
    command = follower(quick.folder / "home", plain=True)
    answer = quick(
        "bench", str(model), "--preset", "rapid", "--meter", shlex.join(command), "--json", "out.json"
    )
    row = json.loads((quick.folder / "out.json").read_text())["rows"][0]
    assert answer.code == 0, answer
    energy = row["energy_mj"]
    assert energy, row["energy_reason"]
    assert energy["sensor"] == "external meter (command)"
    assert energy["scope"] == "what the meter command measures"
    assert energy["alignment"]["method"] == "marker pulses"
    assert energy["gross"] > energy["net"] > 0


def test_a_meter_command_that_is_none_is_refused(quick: QuickCommand, model: Path) -> None:
    answer = quick("bench", str(model), "--meter", "'unclosed")
    assert answer.code == 2 and "--meter" in answer.err
