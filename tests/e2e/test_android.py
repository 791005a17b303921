"""An Android device over the real adb: asked, measured, cut off, full, and without what it needs."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.devices import dumpsys
from tests.devices.adbd import AdbServer, Phone
from tests.devices.hosts import PYTHON, Host, Running, is_measuring, until
from tests.devices.netns import Lab
from tests.models import onnx_zoo

from edgewright.errors import DiskFull, TransportError
from edgewright.transport import adb, adb_link
from edgewright.transport.adb import AdbTransport
from edgewright.transport.adb_address import AdbAddress

BENCH = ("bench", "model.onnx", "--device", "phone", "--preset", "rapid", "--json", "report.json")


@pytest.fixture
def phone(lab: Lab, tmp_path: Path) -> Iterator[Phone]:
    made = Phone(lab.add(), tmp_path / "phone")
    made.answer("dumpsys", "thermalservice", dumpsys.thermalservice())
    made.answer("dumpsys", "battery", dumpsys.battery())
    made.answer("dumpsys", "android.hardware.health.IHealth/default", dumpsys.health(microampere=-512_000))
    yield made.start()
    made.stop()


@pytest.fixture
def server(lab: Lab, tmp_path: Path) -> Iterator[AdbServer]:
    made = AdbServer(lab, tmp_path / "server").start()
    yield made
    made.kill()


@pytest.fixture
def host(make_lab_host: Callable[[str], Host], phone: Phone, server: AdbServer) -> Host:
    made = make_lab_host("ann")
    made.knows_devices = False
    made.environment.update(server.environment)
    (made.folder / "farm.toml").write_text(phone.farm_toml(python=str(PYTHON)))
    onnx_zoo.save(onnx_zoo.one_node("Relu"), made.folder / "model.onnx")
    return made


@pytest.fixture
def here(lab: Lab, server: AdbServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This thread is in the lab, and reaches its server."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with lab.entered():
        yield


def measuring(phone: Phone, running: Running) -> None:
    """Wait until a worker times inferences."""

    def has_begun() -> bool:
        assert running.process.poll() is None, running.end()
        return is_measuring(phone.home / "edgewright")

    until(has_begun, "measuring")


# --- what it is ------------------------------------------------------------------------------------------


def test_a_phone_says_what_it_is(host: Host) -> None:
    answer = host("device", "probe", "phone", "--json")
    assert answer.code == 0, answer
    found = json.loads(answer.out)
    assert (found["board"], found["soc"]) == ("Google Pixel 7", "Google Tensor G2")
    assert found["system"].startswith("Android 14 (API 34), Linux ")
    state = found["environment"]
    assert state["notes"] == []
    assert state["temperature_mc"]["skin"] == 36125 and state["throttled"]["now:thermal-status"] == 0
    sensors = {sensor["name"]: sensor["reason"] for sensor in found["sensors"]}
    assert sensors["android-battery"] == ""
    shown = host("device", "probe", "phone").out
    assert "Google Tensor G2" in shown and "android-battery: battery (battery)" in shown


def test_a_phone_is_checked_like_any_device(host: Host) -> None:
    answer = host("device", "doctor", "phone")
    assert f"adb:{host_of(host)}" in answer.out and "host key" not in answer.out, answer


def host_of(host: Host) -> str:
    return (host.folder / "farm.toml").read_text().partition('"adb:')[2].partition('"')[0]


def test_there_is_no_key_to_trust(host: Host) -> None:
    answer = host("device", "trust", "phone")
    assert answer.code == 2 and "there is no host key to trust" in answer.err


def test_stock_android_has_no_python(host: Host, phone: Phone) -> None:
    (host.folder / "farm.toml").write_text(phone.farm_toml(python="python9"))
    answer = host("device", "probe", "phone")
    assert answer.code == 1
    assert "there is no python9 on the device: Android 14 comes without a Python" in answer.err
    assert "docs/devices/android.md" in answer.err


# --- what it does ----------------------------------------------------------------------------------------


def test_a_model_is_measured_and_nothing_is_left(host: Host, phone: Phone) -> None:
    answer = host(*BENCH, launches=1)
    assert answer.code == 0, answer
    (row,) = host.rows()
    assert row["outcome"] == "measured"
    assert row["energy_reason"].startswith("android-battery: "), "so brief a run has too few readings"
    assert list(phone.home.glob("edgewright/jobs/*")) == []
    cleaned = host("device", "clean", "phone")
    assert cleaned.code == 0 and list(phone.home.iterdir()) == [], cleaned


@pytest.mark.long
def test_a_job_outlives_the_adb_server(host: Host, phone: Phone, server: AdbServer, lab: Lab) -> None:
    running = host.start(*BENCH, launches=1, seconds=3)
    measuring(phone, running)
    server.kill()
    try:
        answer = running.end()
        assert answer.code == 0, answer
        assert "reconnect" in answer.err or "connected again" in answer.err, answer.err
        (row,) = host.rows()
        assert row["outcome"] == "measured" and len(row["launches"]) == 1 and row["notes"] == []
    finally:
        server.end_other()


@pytest.mark.long
def test_a_job_outlives_the_host(host: Host, phone: Phone) -> None:
    running = host.start(*BENCH, launches=1, seconds=3)
    measuring(phone, running)
    running.kill()
    until(lambda: list(phone.home.glob("edgewright/jobs/*/outcome.json")), "its end")
    again = host(*BENCH, launches=1, seconds=3)
    assert again.code == 0 and "going on with run" in again.err, again
    assert host.rows()[0]["outcome"] == "measured"


# --- what goes wrong -------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb, "_QUIET_S", 1.0)
    monkeypatch.setattr(adb_link, "ANSWER_S", 2.0)


@pytest.mark.usefixtures("here", "impatient")
@pytest.mark.parametrize("how", ["cut", "frozen", "gone"])
def test_a_silent_command_ends_when_the_device_is_gone(how: str, phone: Phone, server: AdbServer) -> None:
    transport = AdbTransport.open("phone", phone.address)
    with closing(transport.start(["sh", "-c", "echo begun; sleep 300"], timeout_s=250)) as process:
        lines = process.lines()
        assert next(lines) == "begun"
        began = time.monotonic()
        {"cut": phone.node.cut, "frozen": server.freeze, "gone": phone.stop}[how]()
        with pytest.raises(TransportError, match=r"does not answer any more|connection broke|adb: "):
            next(lines)
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("here", "impatient")
def test_a_healed_link_is_used_again(phone: Phone) -> None:
    AdbTransport.open("phone", phone.address)
    phone.node.cut()
    with pytest.raises(TransportError):
        run(AdbTransport.open("phone", phone.address), "true")
    phone.node.heal()

    def works() -> bool:
        try:
            return run(AdbTransport.open("phone", phone.address), "echo", "here") == ["here"]
        except TransportError:
            return False

    until(works, "a connection")


def run(transport: AdbTransport, *argv: str) -> list[str]:
    with closing(transport.start(argv, timeout_s=20)) as process:
        return list(process.lines())


@pytest.mark.usefixtures("here", "impatient")
def test_a_put_that_is_cut_is_whole_the_second_time(phone: Phone, tmp_path: Path) -> None:
    """What the first try had under way when it was cut arrives late, and spoils nothing."""
    content = random.Random(3).randbytes(8 << 20)
    (tmp_path / "file").write_bytes(content)
    transport = AdbTransport.open("phone", phone.address)

    def cut(done: int, size: int) -> None:
        if done > size // 2:
            phone.node.cut()

    with pytest.raises(TransportError):
        transport.put(tmp_path / "file", "/data/local/tmp/new/file", cut)
    phone.node.heal()
    assert [path.name for path in (phone.home / "new").iterdir()] == ["file.part"]

    def again() -> bool:
        try:
            opened = AdbTransport.open("phone", phone.address)
            opened.put(tmp_path / "file", "/data/local/tmp/new/file")
        except TransportError:
            return False
        return True

    until(again, "another try")
    assert [path.name for path in (phone.home / "new").iterdir()] == ["file"]
    assert (phone.home / "new/file").read_bytes() == content


@pytest.mark.usefixtures("here")
def test_a_full_disk_keeps_nothing_of_the_file(phone: Phone, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(80 << 20))
    transport = AdbTransport.open("phone", phone.address)
    with pytest.raises(DiskFull, match="no space for its 83886080 bytes"):
        transport.put(tmp_path / "file", "/data/local/tmp/new/file")
    assert list((phone.home / "new").iterdir()) == []


@pytest.mark.usefixtures("here")
def test_what_a_command_started_outlives_it(phone: Phone) -> None:
    transport = AdbTransport.open("phone", phone.address)
    script = "setsid sleep 297 </dev/null >/dev/null 2>&1 & echo $!; exec sleep 298"
    process = transport.start(["sh", "-c", script], timeout_s=60)
    started = int(next(process.lines()))

    def runs() -> bool:
        return any(words(pid)[:2] == ["sleep", "298"] for pid in phone.processes())

    until(lambda: runs() and words(started)[:2] == ["sleep", "297"], "the command and what it started")
    process.close()
    until(lambda: not runs(), "the end of the command", 15)
    assert "297" in words(started)
    os.kill(started, signal.SIGKILL)


def words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


@pytest.mark.usefixtures("here")
def test_a_device_that_adb_cannot_reach(phone: Phone) -> None:
    began = time.monotonic()
    with pytest.raises(TransportError, match=r"cannot connect: .*adb tcpip 5555"):
        AdbTransport.open("phone", AdbAddress(f"{phone.node.address}:5999"))
    with pytest.raises(TransportError, match=r"adb has no device R5CT1; it has none.*is it plugged in"):
        AdbTransport.open("phone", AdbAddress("R5CT1"))
    assert time.monotonic() - began < 20
