"""A device over real SSH: made ready, given files and jobs, full, empty, and hostile."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paramiko
import pytest
from tests.devices.command_line import Edgewright
from tests.devices.netns import Lab
from tests.devices.sshd import Sshd

from edgewright.device import Device
from edgewright.errors import (
    DeviceError,
    DeviceTimeout,
    DiskFull,
    InvalidModel,
    MissingRuntime,
    ProtocolMismatch,
    TransportError,
)
from edgewright.farm.inventory import SshAddress
from edgewright.transport.ssh import SshTransport
from edgewright_agent import protocol as wire

pytestmark = pytest.mark.usefixtures("own_home")

MakeSshd = Callable[..., Sshd]
WITH_EVERYTHING = sys.executable


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """y = x + w, with a weight large enough to be seen on the way."""
    weight = onnx.numpy_helper.from_array(np.ones((1, 1 << 18), np.float32), "w")
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 1 << 18]) for n in "xy")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])], "add", [x], [y], [weight]
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "add.onnx"
    onnx.save(made, path)
    return path


def ref(path: Path) -> wire.FileRef:
    return wire.FileRef(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


def job_for(path: Path, **changes: Any) -> tuple[wire.Job, dict[str, Path]]:
    file = ref(path)
    scenario = wire.Scenario(min_count=20, min_duration_ns=10**7, warmup_count=2, warmup_duration_ns=10**6)
    settings: dict[str, Any] = {"scenario": scenario, "data": wire.Data(keep_outputs=True), **changes}
    job = wire.Job(uuid.uuid4().hex, wire.Model((file,), "onnx"), wire.Execution("onnxruntime"), **settings)
    return job, {file.sha256: path}


def stub(folder: Path, script: str) -> str:
    """A program that stands in for the device's Python."""
    path = folder / "python-stub"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


# --- the way it should go --------------------------------------------------------------------------


def test_probe_over_ssh(board: Sshd) -> None:
    with Device.open(board.target(python=WITH_EVERYTHING)) as device:
        facts = device.probe()
    assert facts.cpu_count == os.cpu_count()
    assert facts.python.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert any(runtime.name == "onnxruntime" and not runtime.reason for runtime in facts.runtimes)


def test_the_agent_is_named_by_its_hash_and_not_sent_twice(board: Sshd) -> None:
    target = board.target(python=WITH_EVERYTHING)
    Device.open(target).close()
    (archive,) = (board.home / "edgewright" / "agent").iterdir()
    assert archive.name == hashlib.sha256(archive.read_bytes()).hexdigest() + ".pyz"
    first = archive.stat()
    Device.open(target).close()
    second = archive.stat()
    assert (first.st_ino, first.st_mtime_ns) == (second.st_ino, second.st_mtime_ns)
    archive.write_bytes(b"altered")
    Device.open(target).close()
    assert archive.name == hashlib.sha256(archive.read_bytes()).hexdigest() + ".pyz"


def test_a_job_runs_its_output_comes_back_and_the_model_is_sent_once(
    board: Sshd, model: Path, tmp_path: Path
) -> None:
    events: list[Any] = []
    with Device.open(board.target(python=WITH_EVERYTHING)) as device:
        job, files = job_for(model)
        result = device.run(job, files, events.append)
        for file in result.files:
            device.collect(result.job_id, file, tmp_path / file.name)
            assert ref(tmp_path / file.name) == file
        again: list[Any] = []
        device.run(job_for(model)[0], files, again.append)
    assert result.job_id == job.job_id
    assert result.timing is not None
    assert len(result.timing.latency_ns) >= 20
    assert result.files
    size = model.stat().st_size
    assert {"event": "phase", "name": "push"} in events
    assert (size, size) in [(told["done"], told["of"]) for told in events if told.get("unit") == "bytes"]
    assert {"event": "phase", "name": "push"} not in again


def test_a_damaged_beginning_from_an_earlier_try_is_sent_anew(board: Sshd, model: Path) -> None:
    store = board.home / "edgewright" / "store"
    store.mkdir(parents=True)
    (store / f"{ref(model).sha256}.part").write_bytes(bytes(1000))
    with Device.open(board.target(python=WITH_EVERYTHING)) as device:
        assert device.run(*job_for(model)).timing is not None


def test_clean_leaves_nothing(board: Sshd, model: Path, edgewright: Edgewright, tmp_path: Path) -> None:
    with Device.open(board.target(python=WITH_EVERYTHING)) as device:
        device.run(*job_for(model))
    assert list(board.home.iterdir()) != []
    (tmp_path / "farm.toml").write_text(board.farm_toml(python=WITH_EVERYTHING))
    answer = edgewright("device", "clean", "board")
    assert (answer.code, answer.err) == (0, "")
    assert list(board.home.iterdir()) == []


def test_clean_keeps_what_is_not_ours(board: Sshd) -> None:
    own = board.home / "edgewright" / "agent" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with Device.open(board.target(python=WITH_EVERYTHING)) as device:
        device.clean()
    assert own.read_text() == "mine"
    assert [path.name for path in own.parent.iterdir()] == ["notes.txt"]


def test_what_the_agent_reports_is_raised(board: Sshd, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with Device.open(board.target(python=WITH_EVERYTHING)) as device, pytest.raises(InvalidModel):
        device.run(*job_for(tmp_path / "bad.onnx"))


def test_leaving_ends_the_worker(board: Sshd, model: Path) -> None:
    """As an interrupt does: the host stops reading, and nothing goes on on the device."""
    endless = wire.Scenario(min_count=1, min_duration_ns=60 * 10**9, max_duration_ns=120 * 10**9)

    def stop(event: Any) -> None:
        if event.get("name") == "measure" or (event["event"] == "progress" and "elapsed_s" in event):
            raise KeyboardInterrupt

    with Device.open(board.target(python=WITH_EVERYTHING)) as device, pytest.raises(KeyboardInterrupt):
        device.run(*job_for(model, scenario=endless), stop)
    deadline = time.monotonic() + 15
    while _running(str(board.home)):
        assert time.monotonic() < deadline, _running(str(board.home))
        time.sleep(0.05)


def _running(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has just ended
        if word in line and ".pyz" in line:
            found.append(line)
    return found


def test_a_link_that_stays_cut_during_a_run_is_a_transport_error(
    lab: Lab, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.transport.ssh_link.KEEPALIVE_S", 0.5)
    monkeypatch.setattr("edgewright.transport.ssh_link.SILENCE_S", 2.0)
    node = lab.add()
    endless = wire.Scenario(min_count=1, min_duration_ns=60 * 10**9, max_duration_ns=120 * 10**9)
    with lab.entered():
        device = Device.open(node.sshd.target(python=WITH_EVERYTHING), patience_s=5.0)

    def cut(event: Any) -> None:
        if event["event"] == "progress" and "elapsed_s" in event:
            node.cut()

    started = time.monotonic()
    with device, pytest.raises(TransportError):
        device.run(*job_for(model, scenario=endless), cut)
    assert time.monotonic() - started < 40


# --- a device that is not ready ------------------------------------------------------------------------


def test_a_link_that_breaks_while_much_is_taken_from_it_is_a_transport_error(
    board: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is told that there is room again, which is when paramiko meets the broken connection."""

    def broken(self: paramiko.Transport, data: object) -> None:
        raise EOFError

    address = board.target().link
    assert isinstance(address, SshAddress)
    transport = SshTransport.open("pi5", address)
    process = transport.start(["head", "-c", str(1 << 25), "/dev/zero"], timeout_s=60)
    pieces = process.pieces()
    assert next(pieces)
    monkeypatch.setattr(paramiko.Transport, "_send_user_message", broken)
    with pytest.raises(TransportError, match="the connection broke while a command ran"):
        for _ in pieces:
            pass
    monkeypatch.undo()
    transport.close()


def test_no_python_at_all(board: Sshd, edgewright: Edgewright, tmp_path: Path) -> None:
    with pytest.raises(MissingRuntime, match="there is no python9 on the device"):
        Device.open(board.target(python="python9"))
    (tmp_path / "farm.toml").write_text(board.farm_toml(python="python9"))
    answer = edgewright("device", "probe", "board")
    assert answer.code == 1
    assert len(answer.err.splitlines()) == 1
    assert 'set python = "' in answer.err


def old_python(folder: Path) -> str:
    """A real Python before 3.8 that is installed beside this one, or this one saying that it is old."""
    for path in sorted(Path(sys.base_prefix).parent.glob("*3.[67].*/bin/python")):
        return str(path)
    pretend = "import sys; sys.version_info = (3, 7, 16); exec(sys.argv.pop(1))"
    return stub(folder, f"shift; exec {sys.executable} -c '{pretend}' \"$@\"")


def test_a_python_that_is_too_old(board: Sshd, edgewright: Edgewright, tmp_path: Path) -> None:
    python = old_python(tmp_path)
    with pytest.raises(MissingRuntime, match=r"is Python 3\.[67]\.\d+, the agent needs 3\.8 or newer"):
        Device.open(board.target(python=python))
    assert list(board.home.iterdir()) == []
    (tmp_path / "farm.toml").write_text(board.farm_toml(python=python))
    answer = edgewright("device", "probe", "board")
    assert answer.code == 1
    assert len(answer.err.splitlines()) == 1


def test_a_python_without_numpy(board: Sshd, tmp_path: Path) -> None:
    python = stub(tmp_path, f'exec {sys.executable} -I -S "$@"')
    with pytest.raises(MissingRuntime, match=r"has no numpy: No module named 'numpy'.*pip install numpy"):
        Device.open(board.target(python=python))
    assert list(board.home.iterdir()) == []


def test_a_device_without_an_inference_runtime(board: Sshd, edgewright: Edgewright, tmp_path: Path) -> None:
    """Numpy alone: the device can be probed, which says what is missing."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("numpy", "numpy.libs"):
        origin = Path(np.__file__).parent.parent / name
        if origin.exists():
            (packages / name).symlink_to(origin)
    python = stub(tmp_path, f'PYTHONPATH={packages} exec {sys.executable} -S "$@"')
    (tmp_path / "farm.toml").write_text(board.farm_toml(python=python))
    answer = edgewright("device", "probe", "board", "--json")
    assert answer.code == 1
    assert "no inference runtime on the device" in answer.err
    assert all(runtime["reason"] for runtime in json.loads(answer.out)["runtimes"])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo Welcome", "Welcome"),
        ("exit 3", "cannot run"),
        ("echo '{}'", "missing key"),
        ("kill -9 $$", "cannot run"),
    ],
)
def test_something_that_is_no_python(board: Sshd, tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises((ProtocolMismatch, MissingRuntime), match=said):
        Device.open(board.target(python=stub(tmp_path, script)))


def test_a_shell_that_prints_a_greeting(make_sshd: MakeSshd) -> None:
    board = make_sshd(settings=['ForceCommand echo Welcome to your board; eval "$SSH_ORIGINAL_COMMAND"'])
    with pytest.raises(ProtocolMismatch, match="Welcome to your board"):
        Device.open(board.target(python=WITH_EVERYTHING))


def test_a_folder_that_cannot_be_made(board: Sshd) -> None:
    (board.home / "edgewright").write_text("a file is in the way")
    with pytest.raises(DeviceError, match=r"the agent's folder cannot be used: .*edgewright"):
        Device.open(board.target(python=WITH_EVERYTHING))


# --- a disk that is full ------------------------------------------------------------------------------


def fill(folder: Path, leave_bytes: int) -> Path:
    """Fill the disk but for about so many bytes."""
    stuffing = folder / "stuffing"
    space = os.statvfs(folder)
    stuffing.write_bytes(bytes(space.f_bavail * space.f_frsize - leave_bytes))
    return stuffing


def test_no_space_for_the_agent(lab: Lab) -> None:
    node = lab.add(disk="1m")
    stuffing = fill(node.disk, 8192)
    with lab.entered(), pytest.raises(DiskFull):
        Device.open(node.sshd.target(python=WITH_EVERYTHING))
    stuffing.unlink()
    assert [path for path in node.disk.rglob("*") if path.is_file()] == []


def test_space_is_asked_for_before_anything_is_sent(lab: Lab, tmp_path: Path) -> None:
    node = lab.add(disk="8m")
    (tmp_path / "big.onnx").write_bytes(os.urandom(9 << 20))
    events: list[Any] = []
    with lab.entered():
        device = Device.open(node.sshd.target(python=WITH_EVERYTHING))
    with device, pytest.raises(DiskFull, match="9437184 bytes to push") as caught:
        device.run(*job_for(tmp_path / "big.onnx"), events.append)
    assert "device clean board" in str(caught.value)
    assert events == []
    assert list((node.disk / "edgewright" / "store").iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = lab.add(disk="32m")
    (tmp_path / "big.onnx").write_bytes(os.urandom(16 << 20))
    with lab.entered():
        device = Device.open(node.sshd.target(python=WITH_EVERYTHING))

    def meanwhile(event: Any) -> None:
        if event.get("sent") and not (node.disk / "stuffing").exists():
            fill(node.disk, 4 << 20)

    with device, pytest.raises(DiskFull, match="no space"):
        device.run(*job_for(tmp_path / "big.onnx"), meanwhile)
    assert list((node.disk / "edgewright" / "store").iterdir()) == []


# --- a device that lies ------------------------------------------------------------------------------

HELLO = '{"event":"hello","protocol":1,"agent":"0.1.0"}'


def liar(folder: Path, answer: str, command: str = "*") -> str:
    """A Python that is one for the check, and answers one of the agent's commands by a shell script."""
    return stub(
        folder,
        f'if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi\n'
        f'case "$4" in {command}) {answer} ;; *) exec {sys.executable} "$@" ;; esac',
    )


@pytest.mark.parametrize(
    "answer",
    [
        "echo garbage",
        "head -c 1000000 /dev/urandom",
        'echo \'{"event":"hello","protocol":99,"agent":"9"}\'',
        'echo \'{"event":"hello"\'',
        f'echo \'{HELLO}\'; echo \'{{"event":"device","device":{{"hostname":7}}}}\'',
        f"echo '{HELLO}'; echo '{{\"event\":\"device\"}}'",
        f"echo '{HELLO}'; echo '[]'",
        f"echo '{HELLO}'; head -c 100000 /dev/zero | tr '\\0' '['",
        f'echo \'{HELLO}\'; yes \'{{"event":"phase","name":"x"}}\'',
        f"echo '{HELLO}'; head -c 80000000 /dev/zero | tr '\\0' 'x'",
    ],
)
def test_an_answer_that_is_not_the_protocol(
    board: Sshd, tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.device.answers._MAX_EVENTS", 20_000)
    device = Device.open(board.target(python=liar(tmp_path, answer)))
    with device, pytest.raises(ProtocolMismatch) as caught:
        device.probe()
    assert str(caught.value).isprintable()


def test_an_agent_that_never_answers(board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.device._PROBE_S", 2.0)
    with Device.open(board.target(python=liar(tmp_path, "sleep 60"))) as device, pytest.raises(DeviceTimeout):
        device.probe()


def test_terminal_escapes_do_not_reach_the_terminal(
    board: Sshd, tmp_path: Path, edgewright: Edgewright
) -> None:
    with Device.open(board.target(python=WITH_EVERYTHING)) as device:
        facts = wire.encode(device.probe())
    facts.update(hostname="\x1b]0;owned\x07\x1b[31m", cpu_model="\u202e<script>\ud800", board="two\nlines")
    lines = "\n".join([HELLO, json.dumps({"event": "device", "device": facts})])
    (tmp_path / "lines").write_text(lines + "\n")
    python = liar(tmp_path, f"cat {tmp_path / 'lines'}")
    (tmp_path / "farm.toml").write_text(board.farm_toml(python=python))
    for words in ((), ("--json",)):
        answer = edgewright("device", "probe", "board", *words)
        assert (answer.code, answer.err) == (0, "")
        assert "owned" in answer.out
        assert all(line.isprintable() for line in answer.out.splitlines())


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", "", "a/b", "a\nb", "-x"])
def test_a_file_name_that_climbs_out_is_refused(board: Sshd, tmp_path: Path, name: str) -> None:
    with (
        Device.open(board.target(python=WITH_EVERYTHING)) as device,
        pytest.raises(ProtocolMismatch, match="bare"),
    ):
        device.collect("job", wire.FileRef(name, "0" * 64, 10), tmp_path / "into")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("claimed", [5, 7, 6])
def test_an_output_that_is_not_what_was_announced(board: Sshd, tmp_path: Path, claimed: int) -> None:
    with Device.open(board.target(python=WITH_EVERYTHING)) as device:
        folder = board.home / "edgewright" / "jobs" / "job"
        folder.mkdir(parents=True)
        (folder / "out.npz").write_bytes(b"sixsix")
        with pytest.raises(ProtocolMismatch):
            device.collect("job", wire.FileRef("out.npz", "0" * 64, claimed), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_device_that_asks_for_files_nobody_named(board: Sshd, tmp_path: Path, model: Path) -> None:
    stock = {
        "missing": ["../../etc/shadow"],
        "free_bytes": 1 << 40,
        "allowed_bytes": 1 << 40,
        "limit_bytes": 1,
    }
    lie = json.dumps({"event": "stock", "stock": stock})
    python = liar(tmp_path, f"echo '{HELLO}'; echo '{lie}'; cat > /dev/null", "receive")
    with (
        Device.open(board.target(python=python)) as device,
        pytest.raises(ProtocolMismatch, match="no job names"),
    ):
        device.run(*job_for(model))


# --- the command line ------------------------------------------------------------------------------


def test_list_connects_to_nobody(board: Sshd, edgewright: Edgewright, tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text(board.farm_toml())
    board.stop()
    answer = edgewright("device", "list", "--json")
    assert (answer.code, answer.err) == (0, "")
    rows = {row["name"]: row for row in json.loads(answer.out)}
    assert set(rows) == {"local", "board"}
    assert rows["board"]["profile"] == "x86-64-linux"
    assert rows["board"]["tags"] == ["bench", "loopback"]
    assert rows["board"]["address"].endswith(f"@127.0.0.1:{board.port}")
    shown = edgewright("device", "list")
    assert shown.code == 0
    assert "bench loopback" in shown.out


def test_probe_shows_what_decides_the_speed(board: Sshd, edgewright: Edgewright, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(board.farm_toml(python=WITH_EVERYTHING))
    answer = edgewright("device", "probe", "board", "--farm", "my.toml")
    assert (answer.code, answer.err) == (0, "")
    for label in ("processor", "int8", "disk free", "runtime      onnxruntime", "power", "governor"):
        assert f"\n{label}" in answer.out
    found = edgewright("device", "probe", "board", "--farm", "my.toml", "--json")
    facts = json.loads(found.out)
    assert facts.pop("name") == "board"
    assert facts.pop("profile") == "x86-64-linux"
    assert facts.pop("meter") is None
    assert wire.decode(wire.Device, facts).cpu_count == os.cpu_count()


@pytest.mark.parametrize(
    "words",
    [
        ("probe", "nobody"),
        ("trust", "nobody"),
        ("clean", "nobody"),
        ("list", "--farm", "missing.toml"),
        ("probe",),
    ],
)
def test_wrong_words_end_with_two(edgewright: Edgewright, words: tuple[str, ...]) -> None:
    answer = edgewright("device", *words)
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
