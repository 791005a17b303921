"""What every transport promises, asked of each."""

from __future__ import annotations

import hashlib
import queue
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.devices.adbd import AdbServer, Phone
from tests.devices.netns import Lab
from tests.devices.sshd import Sshd

from edgewright.errors import DeviceTimeout, ProtocolMismatch, StableDeviceError
from edgewright.transport import MAX_LINE_BYTES, MAX_STDERR_BYTES, Transport
from edgewright.transport.adb import AdbTransport
from edgewright.transport.local import LocalTransport
from edgewright.transport.ssh import SshTransport

AWKWARD = [
    "two words",
    "it's",
    '"',
    "$HOME",
    "`id`",
    "a;b|c&d",
    "*",
    "\\",
    "-n",
    "",
    "new\nline",
    "ü€",
    "~",
    "#",
]


@pytest.fixture(scope="module", params=["local", "ssh", "adb"])
def transport(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Transport]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "local":
        yield LocalTransport("board")
        return
    way = over_ssh if request.param == "ssh" else over_adb
    with way(folder) as opened:
        yield opened


@contextmanager
def over_ssh(folder: Path) -> Iterator[SshTransport]:
    server = Sshd(folder).start()
    try:
        with closing(SshTransport.open("board", server.address())) as opened:
            yield opened
    finally:
        server.stop()


@contextmanager
def over_adb(folder: Path) -> Iterator[AdbTransport]:
    with Lab(folder / "lab") as lab, lab.entered(), pytest.MonkeyPatch.context() as patch:
        phone, server = Phone(lab.add(), folder / "phone").start(), AdbServer(lab, folder / "server").start()
        for name, value in server.environment.items():
            patch.setenv(name, value)
        try:
            with closing(AdbTransport.open("board", phone.address)) as opened:
                yield opened
        finally:
            server.kill()
            phone.stop()


def output(transport: Transport, *argv: str, stdin: bytes = b"") -> list[str]:
    with closing(transport.start(argv, stdin=stdin, timeout_s=30)) as process:
        lines = list(process.lines())
        status, said = process.finish()
    assert status == 0, said
    return lines


def test_every_word_arrives_as_it_is(transport: Transport) -> None:
    shown = "\n".join(AWKWARD).split("\n")
    assert (
        output(transport, "sh", "-c", 'for w in "$@"; do printf "%s\\n" "$w"; done', "sh", *AWKWARD) == shown
    )


def test_standard_input_arrives_and_ends(transport: Transport) -> None:
    text = "".join(f"line {number}\n" for number in range(200_000))
    assert output(transport, "sh", "-c", "wc -c", stdin=text.encode())[0].strip() == str(len(text))


def test_standard_input_is_made_while_the_output_is_read(transport: Transport) -> None:
    """Each piece is made only when the answer to the one before has come."""
    heard: queue.Queue[str] = queue.Queue()

    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        for number in range(3):
            yield f"{heard.get(timeout=20)} again {number}\n".encode()

    with closing(transport.start(["cat"], stdin=pieces(), timeout_s=30)) as process:
        lines = []
        for line in process.lines():
            lines.append(line)
            heard.put(line)
        assert process.finish()[0] == 0
    assert lines == ["first", "first again 0", "first again 0 again 1", "first again 0 again 1 again 2"]


def test_large_pieces_arrive_whole(transport: Transport) -> None:
    pieces = (bytes([number]) * 300_000 for number in range(40))
    with closing(transport.start(["sha256sum"], stdin=pieces, timeout_s=60)) as process:
        (line,) = process.lines()
    assert line.split()[0] == hashlib.sha256(b"".join(bytes([n]) * 300_000 for n in range(40))).hexdigest()


def test_pieces_end_with_the_command(transport: Transport) -> None:
    taken = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(1 << 16)
        finally:
            taken.set()

    with closing(
        transport.start(["sh", "-c", "echo enough; exit 3"], stdin=endless(), timeout_s=60)
    ) as process:
        assert list(process.lines()) == ["enough"]
        assert process.finish()[0] == 3
    assert taken.wait(20)


def test_reading_one_line_and_then_the_end(transport: Transport) -> None:
    for _ in range(20):
        argv = ["sh", "-c", "echo one; echo two; echo why >&2; exit 3"]
        with closing(transport.start(argv, timeout_s=30)) as process:
            assert next(process.lines()) == "one"
            assert process.finish() == (3, "why\n")


def test_lines_come_as_they_are_written(transport: Transport) -> None:
    argv = ["sh", "-c", "echo first; read answer; sleep 60; echo second"]
    started = time.monotonic()
    with closing(transport.start(argv, timeout_s=50)) as process:
        assert next(process.lines()) == "first"
    assert time.monotonic() - started < 20


def test_undecodable_bytes_are_replaced(transport: Transport) -> None:
    assert output(transport, "printf", r"a\377b\n") == ["a\N{REPLACEMENT CHARACTER}b"]


def test_a_last_line_needs_no_end(transport: Transport) -> None:
    assert output(transport, "printf", r"one\ntwo") == ["one", "two"]


def test_status_and_standard_error_are_told(transport: Transport) -> None:
    with closing(transport.start(["sh", "-c", "echo why >&2; exit 7"], timeout_s=30)) as process:
        assert process.finish() == (7, "why\n")


def test_only_the_end_of_standard_error_is_kept(transport: Transport) -> None:
    script = (
        "i=0; while [ $i -lt 2000 ]; do echo 'a line of some length' >&2; i=$((i+1)); done; echo last >&2"
    )
    with closing(transport.start(["sh", "-c", script], timeout_s=30)) as process:
        status, said = process.finish()
    assert status == 0
    assert said.endswith("last\n")
    assert len(said) == MAX_STDERR_BYTES


def test_a_command_that_does_not_exist_ends_with_127(transport: Transport) -> None:
    with closing(transport.start(["no-such-command-here"], timeout_s=30)) as process:
        status, said = process.finish()
    assert status == 127
    assert "no-such-command-here" in said


def test_a_signal_gives_a_negative_status(transport: Transport) -> None:
    with closing(transport.start(["sh", "-c", "kill -9 $$"], timeout_s=30)) as process:
        assert process.finish()[0] < 0


@pytest.mark.parametrize("script", ["sleep 60", "while :; do echo line; done", "exec >&-; sleep 60"])
def test_a_command_is_bounded_in_time(transport: Transport, script: str) -> None:
    started = time.monotonic()
    with (
        closing(transport.start(["sh", "-c", script], timeout_s=1.5)) as process,
        pytest.raises(DeviceTimeout),
    ):
        for _ in process.lines():
            pass
        process.finish()
    assert 1 < time.monotonic() - started < 15


def test_an_endless_line_is_refused(transport: Transport) -> None:
    argv = ["sh", "-c", f"head -c {MAX_LINE_BYTES + (1 << 20)} /dev/zero"]
    with (
        closing(transport.start(argv, timeout_s=60)) as process,
        pytest.raises(ProtocolMismatch, match="line"),
    ):
        next(process.lines())


def test_closing_ends_the_command(transport: Transport, tmp_path: Path) -> None:
    script = "echo $$; while :; do echo tick || exit; sleep 0.05; done"
    process = transport.start(["sh", "-c", script], timeout_s=60)
    pid = int(next(process.lines()))
    process.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in _state(pid):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def make_file(path: Path, size: int) -> str:
    content = random.Random(size).randbytes(size)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 65536, (5 << 20) + 13])
def test_a_file_goes_there_and_back(transport: Transport, tmp_path: Path, size: int) -> None:
    expected = make_file(tmp_path / "local", size)
    remote = tmp_path / "new folder" / "it's here"
    seen: list[tuple[int, int]] = []
    transport.put(tmp_path / "local", str(remote), lambda done, of: seen.append((done, of)))
    assert sha256(remote) == expected
    assert [path.name for path in remote.parent.iterdir()] == [remote.name]
    assert size == 0 or seen[-1] == (size, size)
    assert seen == sorted(seen)
    transport.get(str(remote), tmp_path / "back", max_bytes=size)
    assert sha256(tmp_path / "back") == expected


def test_put_replaces_a_file_and_what_an_earlier_try_left(transport: Transport, tmp_path: Path) -> None:
    expected = make_file(tmp_path / "local", 100_000)
    remote = tmp_path / "remote"
    remote.write_bytes(b"old")
    (tmp_path / "remote.part").write_bytes(b"left over")
    transport.put(tmp_path / "local", str(remote))
    assert sha256(remote) == expected
    assert not (tmp_path / "remote.part").exists()


def test_put_where_nothing_can_be_written_says_why(transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    make_file(tmp_path / "local", 10)
    with pytest.raises(StableDeviceError, match=r"(?i)not a directory|file exists"):
        transport.put(tmp_path / "local", str(tmp_path / "file" / "remote"))


def test_get_of_more_than_allowed_is_refused_and_leaves_nothing(transport: Transport, tmp_path: Path) -> None:
    make_file(tmp_path / "remote", 100_001)
    with pytest.raises(ProtocolMismatch, match="larger than 100000 bytes"):
        transport.get(str(tmp_path / "remote"), tmp_path / "back", max_bytes=100_000)
    assert [path.name for path in tmp_path.iterdir()] == ["remote"]


def test_get_of_something_endless_is_refused(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(ProtocolMismatch, match="larger"):
        transport.get("/dev/zero", tmp_path / "back", max_bytes=1 << 20)


def test_get_of_nothing_says_why_and_leaves_nothing(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(StableDeviceError, match=r"(?i)no such file"):
        transport.get(str(tmp_path / "missing"), tmp_path / "back", max_bytes=10)
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_is_safe(tmp_path: Path) -> None:
    local = LocalTransport("board")
    local.close()
    local.close()
    for way in (over_ssh, over_adb):
        with way(tmp_path / way.__name__) as opened:
            opened.close()
            opened.close()
