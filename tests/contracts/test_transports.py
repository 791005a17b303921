"""What every transport promises, asked of each."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.devices.sshd import Sshd

from edgewright.errors import DeviceTimeout, ProtocolMismatch, StableDeviceError
from edgewright.transport import MAX_LINE_BYTES, MAX_STDERR_BYTES, Transport
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


@pytest.fixture(scope="module", params=["local", "ssh"])
def transport(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Transport]:
    if request.param == "local":
        yield LocalTransport("board")
        return
    server = Sshd(tmp_path_factory.mktemp("sshd")).start()
    try:
        with closing(SshTransport.open("board", server.address())) as opened:
            yield opened
    finally:
        server.stop()


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


def test_resume_sends_only_the_rest(transport: Transport, tmp_path: Path) -> None:
    expected = make_file(tmp_path / "local", 1 << 20)
    remote = tmp_path / "file.part"
    remote.write_bytes((tmp_path / "local").read_bytes()[:700_000])
    inode = remote.stat().st_ino
    seen: list[int] = []
    transport.put(tmp_path / "local", str(remote), lambda done, of: seen.append(done), resume=True)
    assert sha256(remote) == expected
    assert remote.stat().st_ino == inode
    assert seen[0] > 700_000


def test_resume_with_all_of_it_there_sends_nothing(transport: Transport, tmp_path: Path) -> None:
    expected = make_file(tmp_path / "local", 1 << 18)
    remote = tmp_path / "file.part"
    remote.write_bytes((tmp_path / "local").read_bytes())
    seen: list[int] = []
    transport.put(tmp_path / "local", str(remote), lambda done, of: seen.append(done), resume=True)
    assert sha256(remote) == expected
    assert seen == []


def test_resume_of_a_longer_file_begins_anew(transport: Transport, tmp_path: Path) -> None:
    expected = make_file(tmp_path / "local", 1000)
    remote = tmp_path / "file.part"
    remote.write_bytes(bytes(5000))
    transport.put(tmp_path / "local", str(remote), resume=True)
    assert sha256(remote) == expected


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
    server = Sshd(tmp_path / "sshd").start()
    try:
        over_ssh = SshTransport.open("board", server.address())
        over_ssh.close()
        over_ssh.close()
    finally:
        server.stop()
