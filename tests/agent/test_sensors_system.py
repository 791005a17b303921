"""The real probe and sampler with a board's files mounted over the machine's own, as on the board itself."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.devices import boards, tree

from edgewright.report.energy import EnergyFigures, energy_per_inference
from edgewright_agent.protocol import Device, Energy, PowerTrace, Window, decode

AGENT = Path(__file__).parents[2] / "agent"

_MOUNTS = """
set -e
mkdir -p "$TREE/sys"
mount --bind "$TREE/sys" /sys
for file in cpuinfo meminfo; do
  if [ -f "$TREE/proc/$file" ]; then mount --bind "$TREE/proc/$file" "/proc/$file"; fi
done
exec "$@"
"""

_PROBE = """
import json
from edgewright_agent.probe import probe
from edgewright_agent.protocol import encode
print(json.dumps(encode(probe())))
"""

_SAMPLE = """
import json, sys, time
from edgewright_agent.protocol import encode
from edgewright_agent.sensors.power import PowerSampler, choose
sensor, reason = choose([sys.argv[1]])
sampler = PowerSampler(sensor)
sampler.start()
print("started", flush=True)
sys.stdin.read()
trace, reason = sampler.result()
print(json.dumps({"trace": encode(trace), "reason": reason}))
"""


def on_board(board: boards.Board, code: str, *words: str) -> subprocess.Popen[str]:
    """Start Python in a mount namespace in which ``/sys`` and the commands are the board's."""
    environment = dict(os.environ, TREE=str(board.root), PYTHONPATH=str(AGENT))
    environment["PATH"] = f"{board.root}/usr/bin:{environment['PATH']}"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNTS, "sh"]
    return subprocess.Popen(
        [*command, sys.executable, "-c", code, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.fixture(autouse=True)
def namespaces() -> None:
    """Skip on a person's machine that cannot, fail where it must."""
    able = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    if able.returncode != 0:
        reason = f"mount namespaces need root: {able.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def probe_on(board: boards.Board) -> Device:
    with on_board(board, _PROBE) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return decode(Device, json.loads(output))


@pytest.mark.parametrize("name", boards.POWERED)
def test_probe_finds_the_board_and_its_sensor(name: str, tmp_path: Path) -> None:
    board = boards.POWERED[name](tmp_path)
    device = probe_on(board)
    answering = [sensor.name for sensor in device.sensors if not sensor.reason]
    assert answering == [board.sensor]
    assert all(sensor.reason for sensor in device.sensors if sensor.name != board.sensor)
    model = tmp_path / "sys/firmware/devicetree/base/model"
    if model.exists():
        assert device.board == model.read_text().rstrip("\0")
        assert device.cpu_model in ("Cortex-A76", "Cortex-A78AE")
        assert "asimddp" in device.cpu_features
        assert device.ram_bytes == 8245240 * 1024
        assert device.environment.governor == {"cpu0": "schedutil"}


def test_probe_of_a_raspberry_pi_4(tmp_path: Path) -> None:
    device = probe_on(boards.raspberry_pi_4(tmp_path))
    reasons = {sensor.name: sensor.reason for sensor in device.sensors}
    assert "does not measure current" in reasons["rpi-pmic"]
    assert device.cpu_model == "Cortex-A72"
    assert device.environment.throttled["since-boot:under-voltage"] == 1


def test_probe_of_a_pi_whose_user_has_no_access(tmp_path: Path) -> None:
    board = boards.raspberry_pi_5(tmp_path)
    tree.denied_command(tmp_path, "vcgencmd", "Can't open device file: /dev/vcio")
    device = probe_on(board)
    assert any("usermod -aG video" in note for note in device.environment.notes)


def power_mw(t: float) -> float:
    return 6000 + 2000 * math.sin(2 * math.pi * t / 1.7)


@pytest.mark.parametrize("name", ["orin-nano", "x86-rapl", "ina226", "raspberry-pi-5"])
def test_energy_of_a_curve_played_in_real_time_within_one_percent(name: str, tmp_path: Path) -> None:
    """The exact integral is that of what was shown, step by step, at the times it was shown."""
    board = boards.POWERED[name](tmp_path)
    shown: list[tuple[int, float]] = []
    energy_uj = 0.0

    def show(t0_ns: int) -> None:
        nonlocal energy_uj
        now_ns = time.monotonic_ns()
        if shown:
            energy_uj += shown[-1][1] * (now_ns - shown[-1][0]) / 1e6
        milliwatt = power_mw((now_ns - t0_ns) / 1e9)
        board.draw(milliwatt, energy_uj)
        shown.append((now_ns, milliwatt))

    with on_board(board, _SAMPLE, board.sensor) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "started\n"
        t0_ns = time.monotonic_ns()
        while time.monotonic_ns() - t0_ns < 4.5e9:
            show(t0_ns)
            time.sleep(0.004)
        output, _ = process.communicate("", timeout=30)
    answer = json.loads(output)
    assert answer["reason"] == ""
    trace = decode(PowerTrace, answer["trace"])
    first = next(i for i, (t, _) in enumerate(shown) if t >= t0_ns + 0.3e9)
    last = next(i for i, (t, _) in enumerate(shown) if t >= t0_ns + 4.3e9)
    exact_uj = sum(mw * (shown[i + 1][0] - t) / 1e6 for i, (t, mw) in enumerate(shown) if first <= i < last)
    window = Window("active", shown[first][0], shown[last][0], count=1)
    figures = energy_per_inference(Energy(trace, (window,)))
    assert isinstance(figures, EnergyFigures), figures
    assert figures.gross_mj == pytest.approx(exact_uj / 1000, rel=0.01)
