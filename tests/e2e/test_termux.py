"""A phone with Termux over SSH, as docs/devices/android.md sets it up: a real SSH server and a real proot."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.devices import require_command, tree
from tests.devices.boards import PIXEL
from tests.devices.hosts import PYTHON, Host, is_measuring, until
from tests.devices.netns import Lab, Node
from tests.models import onnx_zoo

GUIDE = Path(__file__).resolve().parents[2] / "docs/devices/android.md"
BENCH = ("bench", "model.onnx", "--device", "phone", "--preset", "rapid", "--json", "report.json")

#: Its Debian is this machine's system, with a home directory of its own and Android's ``/system``.
_PROOT_DISTRO = """#!/bin/sh
[ "$1 $2 $3 $4" = "login debian --no-kill-on-exit --" ] || { echo "proot-distro: what is $*?" >&2; exit 2; }
shift 4
exec env -i PATH=/usr/bin:/bin HOME=/root proot --rootfs=/ --cwd=/ --bind=SYSTEM:/system "$@"
"""
_GETPROP = """#!/bin/sh
if [ -f "/system/run/getprop/$1" ]; then exec cat "/system/run/getprop/$1"; fi
echo
"""
_DUMPSYS = """#!/bin/sh
echo "Permission Denial: can't dump $1 from from pid=$$, uid=10312 due to missing android.permission.DUMP"
"""


@pytest.fixture
def phone(lab: Lab, tmp_path: Path) -> Iterator[Node]:
    require_command("proot")
    node = lab.add()
    termux, system = tmp_path / "termux", tmp_path / "system"
    tree.program(termux, "proot-distro", _PROOT_DISTRO.replace("SYSTEM", str(system)))
    for name, text in (("getprop", _GETPROP), ("dumpsys", _DUMPSYS)):
        tree.program(system, name, text)
    (system / "bin").symlink_to("usr/bin")
    tree.put_all(system, "run/getprop", PIXEL)
    node.sshd.stop()
    node.sshd.environment["PATH"] = f"{termux}/usr/bin:/usr/bin:/bin"
    node.sshd.start()
    script = node.disk / "python-debian"
    script.write_text(script_of_the_guide())
    script.chmod(0o755)
    yield node


def script_of_the_guide() -> str:
    """What users are told to write, with the paths of this machine."""
    found = re.search(r"```sh\n(#!.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    text = found[1]
    for theirs, ours in (
        ("/data/data/com.termux/files/usr/bin/sh", "/bin/sh"),
        ("/opt/venv/bin/python", str(PYTHON)),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    return text


@pytest.fixture
def host(make_lab_host: Callable[[str], Host], phone: Node) -> Host:
    made = make_lab_host("ann")
    made.knows_devices = False
    farm = phone.sshd.farm_toml("phone", python=str(phone.disk / "python-debian"))
    (made.folder / "farm.toml").write_text(farm.replace("x86-64-linux", "android-arm64"))
    onnx_zoo.save(onnx_zoo.one_node("Relu"), made.folder / "model.onnx")
    return made


def test_the_debian_in_termux_knows_the_phone(host: Host, phone: Node) -> None:
    answer = host("device", "probe", "phone", "--json")
    assert answer.code == 0, answer
    found = json.loads(answer.out)
    assert (found["board"], found["soc"]) == ("Google Pixel 7", "Google Tensor G2")
    assert found["libc"].startswith("glibc")
    assert "dumpsys thermalservice: permission denied" in found["environment"]["notes"][0]
    sensors = {sensor["name"]: sensor["reason"] for sensor in found["sensors"]}
    assert "permission denied" in sensors["android-battery"]
    assert list(phone.disk.glob("edgewright/agent/*.pyz")), "the agent is in Termux's home, not in Debian's"


@pytest.mark.long
def test_a_job_in_termux_outlives_its_connection(host: Host, phone: Node) -> None:
    running = host.start(*BENCH, launches=1, seconds=3)

    def has_begun() -> bool:
        assert running.process.poll() is None, running.end()
        return is_measuring(phone.disk / "edgewright")

    until(has_begun, "measuring")
    phone.sshd.kill_sessions()
    answer = running.end()
    assert answer.code == 0, answer
    (row,) = host.rows()
    assert row["outcome"] == "measured" and len(row["launches"]) == 1 and row["notes"] == []
