"""Whom the host believes, and who lets it in: keys, hops, and what is said when it does not work."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.devices import require_command
from tests.devices.command_line import Edgewright
from tests.devices.netns import Lab
from tests.devices.sshd import Sshd, free_port, make_key

from edgewright.errors import AccessDenied, ConfigError, TransportError, UntrustedHost
from edgewright.farm.inventory import SshAddress
from edgewright.transport.ssh import SshTransport

pytestmark = pytest.mark.usefixtures("own_home")

MakeSshd = Callable[..., Sshd]


def says_hello(address: SshAddress) -> bool:
    """Whether a command runs there."""
    with (
        closing(SshTransport.open("board", address)) as transport,
        closing(transport.start(["echo", "hello"], timeout_s=20)) as process,
    ):
        return list(process.lines()) == ["hello"]


def farm(board: Sshd, tmp_path: Path, **changes: str) -> Path:
    path = tmp_path / "farm.toml"
    text = board.farm_toml()
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text)
    return path


# --- host keys ---------------------------------------------------------------------------------


def test_an_unknown_host_is_refused_with_its_fingerprint_and_the_mend(board: Sshd) -> None:
    board.known_hosts.unlink()
    with pytest.raises(UntrustedHost) as caught:
        SshTransport.open("board", board.address())
    assert board.fingerprint() in str(caught.value)
    assert "edgewright device trust board" in str(caught.value)
    assert not board.known_hosts.exists()
    assert "Accepted publickey" not in board.log


def test_a_changed_host_key_is_refused_with_both_fingerprints(board: Sshd) -> None:
    old = board.fingerprint()
    board.change_host_key()
    with pytest.raises(UntrustedHost, match="CHANGED") as caught:
        SshTransport.open("board", board.address())
    assert old in str(caught.value)
    assert board.fingerprint() in str(caught.value)
    assert f"{board.known_hosts}:1" in str(caught.value)
    assert "Accepted publickey" not in board.log


def test_a_revoked_host_key_is_refused(board: Sshd) -> None:
    with board.known_hosts.open("a") as stream:
        stream.write(f"@revoked * {board.public_key()}\n")
    with pytest.raises(UntrustedHost, match="revoked"):
        SshTransport.open("board", board.address())


def test_hashed_names_are_understood(board: Sshd) -> None:
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", board.known_hosts], check=True, stderr=subprocess.DEVNULL)
    assert board.known_name not in board.known_hosts.read_text()
    assert says_hello(board.address())


def test_the_kind_of_key_that_is_known_is_asked_for(make_sshd: MakeSshd, tmp_path: Path) -> None:
    rsa = make_key(tmp_path / "rsa_host", kind="rsa")
    board = make_sshd(settings=[f"HostKey {rsa}"])
    board.known_hosts.write_text(f"{board.known_name} {rsa.with_suffix('.pub').read_text()}")
    assert says_hello(board.address())


def test_without_known_hosts_of_its_own_the_user_s_file_counts(board: Sshd, own_home: Path) -> None:
    address = replace(board.address(), known_hosts=None)
    with pytest.raises(UntrustedHost):
        SshTransport.open("board", address)
    (own_home / ".ssh" / "known_hosts").write_text(board.known_hosts.read_text())
    assert says_hello(address)


# --- edgewright device trust ---------------------------------------------------------------------


def test_trust_shows_the_key_asks_and_records_it(board: Sshd, edgewright: Edgewright, tmp_path: Path) -> None:
    board.known_hosts.unlink()
    path = farm(board, tmp_path)
    refused = edgewright("device", "probe", "board", "--farm", str(path))
    assert refused.code == 3
    assert len(refused.err.splitlines()) == 1
    assert board.fingerprint() in refused.err

    answer = edgewright("device", "trust", "board", "--farm", str(path), stdin="y\n")
    assert (answer.code, answer.err) == (0, "")
    assert f"ssh-ed25519 {board.fingerprint()}" in answer.out
    assert "[y/N]" in answer.out
    assert board.known_hosts.read_text() == f"{board.known_name} {board.public_key()}\n"
    assert "Accepted publickey" not in board.log
    assert says_hello(board.address())

    again = edgewright("device", "trust", "board", "--farm", str(path))
    assert again.code == 0
    assert "is trusted" in again.out


@pytest.mark.parametrize("words", ["n\n", "\n", ""])
def test_no_answer_is_no(board: Sshd, edgewright: Edgewright, tmp_path: Path, words: str) -> None:
    board.known_hosts.unlink()
    answer = edgewright("device", "trust", "board", "--farm", str(farm(board, tmp_path)), stdin=words)
    assert answer.code == 3
    assert not board.known_hosts.exists()


def test_yes_trusts_a_new_host_but_not_a_changed_one(
    board: Sshd, edgewright: Edgewright, tmp_path: Path
) -> None:
    words = ("device", "trust", "board", "--farm", str(farm(board, tmp_path)), "--yes")
    board.known_hosts.unlink()
    assert edgewright(*words).code == 0
    before = board.known_hosts.read_text()
    board.change_host_key()
    refused = edgewright(*words)
    assert refused.code == 3
    assert "changed" in refused.err
    assert board.known_hosts.read_text() == before
    assert edgewright(*words, "--replace").code == 0
    assert board.public_key() in board.known_hosts.read_text()


def test_a_changed_key_is_shown_beside_the_old_one_and_replaced_when_agreed(
    board: Sshd, edgewright: Edgewright, tmp_path: Path
) -> None:
    other = f"elsewhere {board.public_key()}\n"
    with board.known_hosts.open("a") as stream:
        stream.write(other)
    old = board.fingerprint()
    board.change_host_key()
    words = ("device", "trust", "board", "--farm", str(farm(board, tmp_path)))
    assert edgewright(*words, stdin="n\n").code == 3
    answer = edgewright(*words, stdin="y\n")
    assert answer.code == 0
    assert "CHANGED" in answer.out
    assert old in answer.out
    assert board.fingerprint() in answer.out
    assert board.known_hosts.read_text() == f"{other}{board.known_name} {board.public_key()}\n"
    assert says_hello(board.address())


def test_this_machine_has_no_key_to_trust(edgewright: Edgewright) -> None:
    answer = edgewright("device", "trust", "local")
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1


# --- logging in ------------------------------------------------------------------------------------


def test_a_key_that_is_not_let_in(board: Sshd, tmp_path: Path, edgewright: Edgewright) -> None:
    wrong = make_key(tmp_path / "wrong")
    with pytest.raises(AccessDenied, match=r"does not let .* in") as caught:
        SshTransport.open("board", replace(board.address(), key=wrong))
    assert str(wrong) in str(caught.value)
    path = farm(board, tmp_path, **{str(board.client_key): str(wrong)})
    answer = edgewright("device", "probe", "board", "--farm", str(path))
    assert answer.code == 3
    assert len(answer.err.splitlines()) == 1


def test_a_user_that_does_not_exist(board: Sshd) -> None:
    with pytest.raises(AccessDenied, match="nobody-at-all"):
        SshTransport.open("board", replace(board.address(), user="nobody-at-all"))


def test_without_any_key_it_says_so(board: Sshd) -> None:
    with pytest.raises(AccessDenied, match="none was found"):
        SshTransport.open("board", replace(board.address(), key=None))


def test_a_server_that_takes_no_keys(make_sshd: MakeSshd) -> None:
    board = make_sshd(settings=["PubkeyAuthentication no"])
    # sshd takes the first of two settings, and the fixture turns passwords off: nothing is left.
    with pytest.raises(AccessDenied, match="takes no keys"):
        SshTransport.open("board", board.address())


def test_a_server_that_gives_up_after_one_key(make_sshd: MakeSshd, tmp_path: Path) -> None:
    board = make_sshd(settings=["MaxAuthTries 1"])
    wrong = make_key(tmp_path / "wrong")
    with pytest.raises(AccessDenied):
        SshTransport.open("board", replace(board.address(), key=wrong))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("not a key"), "not a private key"),
        (lambda path: make_key(path, passphrase="secret"), "ssh-add"),
    ],
)
def test_a_named_key_that_cannot_be_used_is_the_user_s_mistake(
    board: Sshd, tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / "key")
    with pytest.raises(ConfigError, match=said):
        SshTransport.open("board", replace(board.address(), key=tmp_path / "key"))


def test_the_default_keys_are_tried(board: Sshd, own_home: Path) -> None:
    make_key(own_home / ".ssh" / "id_ed25519")
    for name in ("", ".pub"):
        content = Path(f"{board.client_key}{name}").read_bytes()
        (own_home / ".ssh" / f"id_ecdsa{name}").write_bytes(content)
    assert says_hello(replace(board.address(), key=None))


@pytest.fixture
def ssh_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    require_command("ssh-agent", "ssh-add")
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not socket.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield socket
    process.terminate()
    process.wait(10)


def test_the_ssh_agent_s_keys_are_tried(board: Sshd, ssh_agent: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(board.client_key)], check=True)
    assert says_hello(replace(board.address(), key=None))


def test_a_locked_key_is_found_in_the_ssh_agent(board: Sshd, ssh_agent: Path, tmp_path: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(board.client_key)], check=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(board.client_key)], check=True
    )
    assert says_hello(board.address())


# paramiko itself forgets to close the socket with which it looks for an SSH agent in vain.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_ssh_agent_that_is_gone_is_no_obstacle(board: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent/agent")
    assert says_hello(board.address())


# --- getting there ----------------------------------------------------------------------------------


def test_a_port_where_nobody_listens(board: Sshd, tmp_path: Path, edgewright: Edgewright) -> None:
    closed = free_port()
    with pytest.raises(TransportError, match="connection refused"):
        SshTransport.open("board", replace(board.address(), port=closed))
    path = farm(board, tmp_path, **{f"port = {board.port}": f"port = {closed}"})
    answer = edgewright("device", "probe", "board", "--farm", str(path))
    assert answer.code == 3
    assert len(answer.err.splitlines()) == 1
    assert "connection refused" in answer.err


def test_a_name_that_is_not_known(board: Sshd) -> None:
    with pytest.raises(TransportError, match=r"no-such-host\.invalid"):
        SshTransport.open("board", replace(board.address(), host="no-such-host.invalid"))


def test_a_server_that_speaks_something_else(board: Sshd) -> None:
    def speak(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"\x1b[2J 220 smtp\r\n" * 300)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=speak, args=(server,))
        thread.start()
        with pytest.raises(TransportError, match="does not speak SSH") as caught:
            SshTransport.open("board", replace(board.address(), port=server.getsockname()[1]))
        thread.join(10)
    assert str(caught.value).isprintable()


def test_a_server_that_says_nothing(board: Sshd, own_home: Path) -> None:
    """As a port forwarded to a machine that is off: connected, and silent."""
    (own_home / ".ssh" / "config").write_text("Host *\n ConnectTimeout 2\n")
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TransportError):
        SshTransport.open("board", replace(board.address(), port=server.getsockname()[1]))
    assert time.monotonic() - started < 15


def test_a_device_that_is_off_is_given_up_in_time(lab: Lab, own_home: Path, tmp_path: Path) -> None:
    node = lab.add()
    with lab.entered():
        assert says_hello(node.sshd.address())
    node.cut()
    (own_home / ".ssh" / "config").write_text("Host *\n ConnectTimeout 3\n")
    started = time.monotonic()
    inside = Edgewright(tmp_path, tuple(lab.command()))
    answer = inside("device", "probe", "board", "--farm", str(farm(node.sshd, tmp_path)))
    assert answer.code == 3
    assert len(answer.err.splitlines()) == 1
    assert "did not answer within 3 s" in answer.err or "no route" in answer.err
    assert time.monotonic() - started < 20


# --- through other machines --------------------------------------------------------------------------


def jump_config(home: Path, gate: Sshd, board: Sshd, proxy: str) -> None:
    (home / ".ssh" / "config").write_text(
        f"Host gate\n HostName 127.0.0.1\n Port {gate.port}\n User {gate.user}\n"
        f" IdentityFile {gate.client_key}\n"
        f"Host inner\n HostName 127.0.0.1\n Port {board.port}\n User {gate.user}\n {proxy}\n"
        f"Host *\n UserKnownHostsFile {home / 'hosts'}\n"
    )


def test_through_a_jump_host_each_with_its_own_key(make_sshd: MakeSshd, own_home: Path) -> None:
    gate, board = make_sshd(), make_sshd()
    jump_config(own_home, gate, board, "ProxyJump gate")
    hosts = own_home / "hosts"
    address = SshAddress("inner", key=board.client_key)
    with pytest.raises(UntrustedHost) as caught:
        SshTransport.open("board", address)
    assert gate.fingerprint() in str(caught.value)
    hosts.write_text(gate.known_hosts.read_text())
    with pytest.raises(UntrustedHost) as caught:
        SshTransport.open("board", address)
    assert board.fingerprint() in str(caught.value)
    hosts.write_text(gate.known_hosts.read_text() + board.known_hosts.read_text())
    assert says_hello(address)
    assert "Accepted publickey" in gate.log


def test_trust_walks_the_whole_way(
    make_sshd: MakeSshd, own_home: Path, tmp_path: Path, edgewright: Edgewright
) -> None:
    gate, board = make_sshd(), make_sshd()
    jump_config(own_home, gate, board, "ProxyJump gate")
    path = tmp_path / "farm.toml"
    path.write_text(
        f'[devices.board]\nprofile = "x86-64-linux"\naddress = "inner"\nkey = "{board.client_key}"\n'
    )
    answer = edgewright("device", "trust", "board", "--farm", str(path), stdin="y\ny\n")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.index(gate.fingerprint()) < answer.out.index(board.fingerprint())
    assert len((own_home / "hosts").read_text().splitlines()) == 2
    assert says_hello(SshAddress("inner", key=board.client_key))


def test_a_jump_host_that_cannot_reach_the_device(make_sshd: MakeSshd, own_home: Path) -> None:
    gate, board = make_sshd(), make_sshd()
    jump_config(own_home, gate, board, "ProxyJump gate")
    (own_home / "hosts").write_text(gate.known_hosts.read_text() + board.known_hosts.read_text())
    board.stop()
    with pytest.raises(TransportError, match="from the hop before"):
        SshTransport.open("board", SshAddress("inner", key=board.client_key))


def test_through_a_proxy_command(make_sshd: MakeSshd, own_home: Path) -> None:
    require_command("ssh")
    gate, board = make_sshd(), make_sshd()
    relay = (
        f"ssh -F none -i {gate.client_key} -o UserKnownHostsFile={gate.known_hosts}"
        f" -p {gate.port} -W %h:%p {gate.user}@127.0.0.1"
    )
    jump_config(own_home, gate, board, f"ProxyCommand {relay}")
    (own_home / "hosts").write_text(board.known_hosts.read_text())
    before = _processes("-W")
    assert says_hello(SshAddress("inner", key=board.client_key))
    assert _processes("-W") == before


def test_a_proxy_command_that_fails(board: Sshd, own_home: Path) -> None:
    (own_home / ".ssh" / "config").write_text("Host *\n ProxyCommand ls /no-such-folder\n")
    with pytest.raises(TransportError, match=r"proxy command said: ls: .*/no-such-folder"):
        SshTransport.open("board", board.address())


def _processes(word: str) -> int:
    """How many children of this process have that word in their command line."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return sum(word in Path(f"/proc/{pid}/cmdline").read_text() for pid in children)


# --- links that break ----------------------------------------------------------------------------------


def test_a_link_that_is_cut_is_noticed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.transport.ssh_link.KEEPALIVE_S", 0.5)
    monkeypatch.setattr("edgewright.transport.ssh_link.SILENCE_S", 2.0)
    node = lab.add()
    with lab.entered():
        transport = SshTransport.open("board", node.sshd.address())
    with (
        closing(transport),
        closing(transport.start(["sh", "-c", "echo on; sleep 60"], timeout_s=50)) as process,
    ):
        lines = process.lines()
        assert next(lines) == "on"
        node.cut()
        started = time.monotonic()
        with pytest.raises(TransportError, match="does not answer any more"):
            next(lines)
        assert time.monotonic() - started < 10
        with pytest.raises(TransportError):
            transport.start(["true"], timeout_s=5)
    node.heal()


def test_a_long_silent_command_is_not_taken_for_a_cut_link(
    board: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.transport.ssh_link.KEEPALIVE_S", 0.2)
    monkeypatch.setattr("edgewright.transport.ssh_link.SILENCE_S", 1.0)
    with (
        closing(SshTransport.open("board", board.address())) as transport,
        closing(transport.start(["sh", "-c", "sleep 3; echo done"], timeout_s=50)) as process,
    ):
        assert list(process.lines()) == ["done"]
        assert process.finish() == (0, "")


def test_a_session_that_is_killed_is_a_transport_error(board: Sshd) -> None:
    with (
        closing(SshTransport.open("board", board.address())) as transport,
        closing(transport.start(["sh", "-c", "echo on; sleep 60"], timeout_s=50)) as process,
    ):
        lines = process.lines()
        assert next(lines) == "on"
        board.kill_sessions()
        started = time.monotonic()
        with pytest.raises(TransportError):
            next(lines)
        assert time.monotonic() - started < 10


def test_a_broken_transfer_never_takes_the_final_name(board: Sshd, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(bytes(24 << 20))

    def kill_half_way(done: int, of: int) -> None:
        if done > of // 2:
            board.kill_sessions()

    with closing(SshTransport.open("board", board.address())) as transport, pytest.raises(TransportError):
        transport.put(tmp_path / "local", str(board.home / "file"), kill_half_way)
    assert not (board.home / "file").exists()


@pytest.mark.parametrize("trouble", ["loss", "slow"])
def test_a_bad_link_only_takes_longer(lab: Lab, tmp_path: Path, trouble: str) -> None:
    node = lab.add()
    node.lose(5) if trouble == "loss" else node.rate("16mbit")
    content = os.urandom(2 << 20)
    (tmp_path / "local").write_bytes(content)
    with lab.entered():
        transport = SshTransport.open("board", node.sshd.address())
    with closing(transport):
        transport.put(tmp_path / "local", str(node.disk / "file"))
        transport.get(str(node.disk / "file"), tmp_path / "back", max_bytes=len(content))
    assert (tmp_path / "back").read_bytes() == content
