"""A bare device made ready over real SSH, looked at before and after, and cleaned."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
from tests.devices import require
from tests.devices.command_line import Answer, Edgewright
from tests.devices.netns import Lab
from tests.devices.sshd import Sshd
from tests.devices.wheelhouse import FolderPip, Wheelhouse
from tests.models.onnx_zoo import one_node

from edgewright.device import Device, OnEvent, clean_up
from edgewright.device.answers import ignore
from edgewright.errors import ConfigError, DeviceBusy, DiskFull, MissingRuntime
from edgewright.profiles import load_profile
from edgewright.provision import Outcome, Wish, provision
from edgewright_agent.protocol_provision import FOLDER

pytestmark = pytest.mark.usefixtures("own_home")

MakeSshd = Callable[..., Sshd]


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """A Python with neither numpy nor pip, as a board has it whose distribution parts them."""
    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheelhouse:
    """All that this host's pip finds."""
    made = Wheelhouse(tmp_path / "wheelhouse")
    made.add_pip()
    made.add_numpy()
    made.add_onnxruntime()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """The same, for a host that asks no pip."""
    made = Wheelhouse(tmp_path / "house")
    made.add_pip()
    made.add_numpy()
    made.add_onnxruntime()
    return made


def add_to_farm(folder: Path, board: Sshd, python: str) -> None:
    (folder / "farm.toml").write_text(board.farm_toml(python=python))


def make(
    board: Sshd,
    python: str,
    house: Wheelhouse,
    *,
    upgrade: bool = False,
    offline: bool = True,
    on_event: OnEvent = ignore,
) -> Outcome:
    profile = load_profile("x86-64-linux")
    wish = Wish(offline=offline, upgrade=upgrade)
    return provision(board.target(python=python), profile, wish, on_event, pip=FolderPip(house))


def usable(board: Sshd, python: str) -> dict[str, str]:
    """The runtimes that every command finds, and their versions."""
    with Device.open(board.target(python=python)) as device:
        return {one.name: one.version for one in device.probe().runtimes if not one.reason}


def checks(answer: Answer) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(answer.out)}


def left_on(board: Sshd) -> list[Path]:
    return sorted(path.relative_to(board.home) for path in board.home.rglob("*") if path.is_file())


def environments(board: Sshd) -> list[str]:
    folder = board.home / "edgewright" / FOLDER
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


# --- with stand-ins for the packages ---------------------------------------------------------------


@pytest.mark.long
def test_offline_then_nothing_to_do(
    board: Sshd, edgewright: Edgewright, tmp_path: Path, bare_python: str, wheelhouse: Wheelhouse
) -> None:
    """By this host's real pip, from the command line."""
    add_to_farm(tmp_path, board, bare_python)
    with pytest.raises(MissingRuntime, match="edgewright device provision board"):
        usable(board, bare_python)
    made = edgewright("device", "provision", "board", "--offline")
    assert made.code == 0, made
    assert "onnxruntime 1.32.0: CPUExecutionProvider" in made.out
    assert "with numpy 2.2.0" in made.out
    (name,) = environments(board)
    assert f"edgewright/{FOLDER}/{name}/bin/python" in made.out
    assert list((board.home / "edgewright" / "store").iterdir()) == [], "the wheels are not kept"
    assert usable(board, bare_python) == {"onnxruntime": "1.32.0"}
    again = edgewright("device", "provision", "board", "--offline")
    assert again.code == 0
    assert "is there and works, nothing was done" in again.out
    assert "fetching" not in again.err
    assert environments(board) == [name]


def test_online_the_device_s_own_pip_fetches(
    make_sshd: MakeSshd, tmp_path: Path, bare_python: str, house: Wheelhouse
) -> None:
    theirs = Wheelhouse(tmp_path / "theirs")
    theirs.add_numpy("2.1.0")
    theirs.add_onnxruntime("1.30.0")
    board = make_sshd(environment=theirs.environment)
    outcome = make(board, bare_python, house, offline=False)
    assert (outcome.packages["numpy"], outcome.packages["onnxruntime"]) == ("2.1.0", "1.30.0")


def test_a_device_that_reaches_no_index_says_so_and_keeps_nothing(
    make_sshd: MakeSshd, bare_python: str, house: Wheelhouse
) -> None:
    secret = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "http://somebody:hunter2@127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
    }
    board = make_sshd(environment=secret)
    with pytest.raises(MissingRuntime, match="pip on the device cannot reach its index") as caught:
        make(board, bare_python, house, offline=False)
    assert "--offline" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert environments(board) == []


@pytest.mark.long
def test_what_holds_holds_until_the_next_works(board: Sshd, bare_python: str, house: Wheelhouse) -> None:
    half = board.home / "edgewright" / FOLDER / "0123abcd" / "lib"
    half.mkdir(parents=True)
    (half / "half.py").write_text("what an interruption leaves")
    make(board, bare_python, house)
    before = environments(board)
    assert len(before) == 1
    assert "0123abcd" not in before
    house.add_onnxruntime("1.33.0", works=False)
    with pytest.raises(
        MissingRuntime, match=r"onnxruntime was installed and does not work: .*libstandin\.so"
    ):
        make(board, bare_python, house, upgrade=True)
    assert environments(board) == before
    assert usable(board, bare_python) == {"onnxruntime": "1.32.0"}
    house.add_onnxruntime("1.34.0")
    assert not make(board, bare_python, house, upgrade=True).was_there
    assert len(environments(board)) == 1
    assert usable(board, bare_python) == {"onnxruntime": "1.34.0"}


@pytest.mark.long
def test_a_damaged_environment_is_named_and_made_again(
    board: Sshd, edgewright: Edgewright, tmp_path: Path, bare_python: str, house: Wheelhouse
) -> None:
    add_to_farm(tmp_path, board, bare_python)
    make(board, bare_python, house)
    (python,) = (board.home / "edgewright" / FOLDER).glob("*/bin/python")
    python.unlink()
    with pytest.raises(MissingRuntime, match="the environment of provision is damaged"):
        usable(board, bare_python)
    looked = edgewright("device", "doctor", "board", "--json")
    assert looked.code == 1
    assert checks(looked)["environment"]["status"] == "problem"
    assert checks(looked)["environment"]["mend"] == "edgewright device provision board"
    assert not make(board, bare_python, house).was_there
    assert usable(board, bare_python) == {"onnxruntime": "1.32.0"}
    assert "ai-edge-litert" in usable(board, sys.executable), (
        "another Python in the farm file is used as it is"
    )


def test_a_link_cut_while_it_installs(
    lab: Lab, bare_python: str, house: Wheelhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same is asked for again over the next connection, and done once."""
    monkeypatch.setattr("edgewright.transport.ssh_link.KEEPALIVE_S", 0.5)
    monkeypatch.setattr("edgewright.transport.ssh_link.SILENCE_S", 2.0)
    node = lab.add()
    told: list[str] = []

    def cut_and_heal(event: Mapping[str, Any]) -> None:
        name = str(event.get("name"))
        if name == "install" and "install" not in told:
            node.cut()
        if name == "reconnect":
            node.heal()
        told.append(name)

    with lab.entered():
        outcome = make(node.sshd, bare_python, house, on_event=cut_and_heal)
        assert usable(node.sshd, bare_python) == {"onnxruntime": "1.32.0"}
    assert "reconnect" in told
    assert environments(node.sshd) == [Path(outcome.python).parts[-3]]


def test_nothing_is_sent_when_there_is_no_wheel(board: Sshd, bare_python: str, house: Wheelhouse) -> None:
    profile, target = load_profile("x86-64-linux"), board.target(python=bare_python)
    with pytest.raises(MissingRuntime, match="no wheel of ai-edge-litert for x86_64") as caught:
        provision(target, profile, Wish(("ai-edge-litert",)), pip=FolderPip(house))
    assert "--runtime onnxruntime can be had" in str(caught.value)
    with pytest.raises(ConfigError, match="did you mean 'onnxruntime'"):
        provision(target, profile, Wish(("onxruntime",)), pip=FolderPip(house))
    assert left_on(board) == []


def test_space_is_asked_for_first(lab: Lab, bare_python: str, house: Wheelhouse) -> None:
    node = lab.add(disk="4m")
    with lab.entered(), pytest.raises(DiskFull, match=r"an environment needs \d+ MiB and \d MiB are free"):
        make(node.sshd, bare_python, house)
    assert left_on(node.sshd) == []


def test_a_held_device_is_left_alone(
    board: Sshd, edgewright: Edgewright, tmp_path: Path, bare_python: str, house: Wheelhouse
) -> None:
    add_to_farm(tmp_path, board, bare_python)
    busy = board.home / "edgewright" / "busy"
    busy.parent.mkdir()
    with busy.open("w") as stream:
        stream.write("anna@desk: resnet on board")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(DeviceBusy, match="held by anna@desk: resnet on board"):
            make(board, bare_python, house)
        with pytest.raises(DeviceBusy, match="held by anna@desk: resnet on board"):
            clean_up(board.target(python=bare_python))
        looked = checks(edgewright("device", "doctor", "board", "--json"))
        assert looked["turn"]["status"] == "warning"
        assert "anna@desk" in looked["turn"]["found"]
    clean_up(board.target(python=bare_python))
    assert list(board.home.iterdir()) == []


def test_clean_ends_a_job_that_runs_when_it_is_told_to(
    board: Sshd, edgewright: Edgewright, tmp_path: Path
) -> None:
    """A job as the spool keeps it: whoever lives holds its lock."""
    add_to_farm(tmp_path, board, sys.executable)
    folder = board.home / "edgewright" / "jobs" / "one"
    folder.mkdir(parents=True)
    held = (
        "import fcntl, os, sys, time\n"
        "stream = open(sys.argv[1], 'w')\n"
        "fcntl.flock(stream, fcntl.LOCK_EX)\n"
        "stream.write(str(os.getpid())); stream.flush()\n"
        "print(flush=True); time.sleep(600)\n"
    )
    words = [sys.executable, "-c", held, str(folder / "alive")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as job:
        assert job.stdout
        job.stdout.readline()
        refused = edgewright("device", "clean", "board")
        assert refused.code == 1
        assert "edgewright device clean board --force" in refused.err
        assert (folder / "alive").exists()
        answer = edgewright("device", "clean", "board", "--force")
        assert (answer.code, answer.err) == (0, "")
        assert "1 job ended" in answer.out
        assert job.wait(10) == -signal.SIGTERM
    assert list(board.home.iterdir()) == []


# --- the doctor --------------------------------------------------------------------------------------


def test_the_doctor_of_a_bare_device_checks_the_rest_too(
    board: Sshd, edgewright: Edgewright, tmp_path: Path, bare_python: str
) -> None:
    add_to_farm(tmp_path, board, bare_python)
    answer = edgewright("device", "doctor", "board", "--json")
    assert (answer.code, answer.err) == (1, "")
    found = checks(answer)
    assert found["python"]["status"] == "problem"
    assert "no numpy" in found["python"]["found"]
    assert found["python"]["mend"] == "edgewright device provision board"
    for name in ("connection", "workdir", "disk", "memory", "clock"):
        assert found[name]["status"] in ("ok", "warning"), found[name]
    assert {"onnxruntime", "governor", "temperature", "throttling", "load", "results"} <= set(found)
    assert edgewright("device", "doctor", "board").out.startswith("check ")


def test_the_doctor_of_a_device_that_is_ready(board: Sshd, edgewright: Edgewright, tmp_path: Path) -> None:
    add_to_farm(tmp_path, board, sys.executable)
    answer = edgewright("device", "doctor", "board", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = checks(answer)
    assert found["onnxruntime"]["status"] == "ok"
    assert [check for check in found.values() if check["status"] == "problem"] == []
    older = board.home / "edgewright" / "agent" / ("0" * 64 + ".pyz")
    older.write_bytes(b"older")
    found = checks(edgewright("device", "doctor", "board", "--json"))
    assert "1 of other versions: 5 bytes" in found["agent"]["found"]


def test_the_doctor_without_a_python_and_without_a_device(
    board: Sshd, edgewright: Edgewright, tmp_path: Path
) -> None:
    add_to_farm(tmp_path, board, "python9")
    answer = edgewright("device", "doctor", "board", "--json")
    assert answer.code == 1
    assert checks(answer)["connection"]["status"] == "ok"
    assert "there is no python9" in checks(answer)["python"]["found"]
    board.change_host_key()
    changed = edgewright("device", "doctor", "board", "--json")
    assert changed.code == 3
    assert "has CHANGED" in checks(changed)["connection"]["found"]
    board.stop()
    gone = edgewright("device", "doctor", "board", "--json")
    assert gone.code == 3
    assert checks(gone)["connection"]["status"] == "problem"


def test_the_doctor_of_a_full_disk(lab: Lab, tmp_path: Path, bare_python: str) -> None:
    node = lab.add(disk="1m")
    stuffing = node.disk / "stuffing"
    space = os.statvfs(node.disk)
    stuffing.write_bytes(bytes(space.f_bavail * space.f_frsize - 8192))
    add_to_farm(tmp_path, node.sshd, sys.executable)
    inside = Edgewright(tmp_path, tuple(lab.command()))
    answer = inside("device", "doctor", "board", "--json")
    assert answer.code == 1
    found = checks(answer)
    assert found["disk"]["status"] == "problem"
    assert found["the rest"]["status"] == "not checked"
    assert inside("device", "clean", "board").code == 0, "it needs no room"
    assert [path.name for path in node.disk.rglob("*") if path.is_file()] == ["stuffing"]


# --- with the real packages --------------------------------------------------------------------------


@pytest.mark.long
def test_a_bare_device_measures_after_provision(
    board: Sshd,
    edgewright: Edgewright,
    brief: Edgewright,
    tmp_path: Path,
    bare_python: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_to_farm(tmp_path, board, bare_python)
    answer = edgewright("device", "provision", "board", "--offline")
    require("cannot reach its index" not in answer.err, "no index of wheels can be reached")
    assert answer.code == 0, answer
    looked = edgewright("device", "doctor", "board", "--json")
    assert looked.code == 0, looked
    monkeypatch.setenv("EDGEWRIGHT_STORE", str(tmp_path / "store.sqlite"))
    model = tmp_path / "model.onnx"
    onnx.save(one_node("Relu"), model)
    measured = brief("bench", str(model), "--device", "board", "--preset", "rapid")
    assert measured.code == 0, measured.err
    assert edgewright("device", "clean", "board").code == 0
    assert list(board.home.iterdir()) == []
