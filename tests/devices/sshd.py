"""A real OpenSSH server as a device: its own address, host key, home directory and PATH."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.farm.inventory import SshAddress, Target

from . import find_command, require_command

_START_S = 10.0


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair at ``path`` and ``path.pub``."""
    path.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class Place:
    """Where a server listens, and the words to put before a command that is to run there."""

    address: str = "127.0.0.1"
    port: int = 0
    prefix: tuple[str, ...] = ()


@dataclass
class Sshd:
    """One server under ``folder``, which holds ``home``, the keys, and the log.

    Attributes:
        settings: more lines for ``sshd_config``.
        environment: what a session finds in its environment; ``HOME`` is the device's own.
    """

    folder: Path
    place: Place = field(default_factory=Place)
    settings: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_command("sshd", "ssh-keygen")
        self.home.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.port = self.place.port or free_port()
        self.client_key = make_key(self.folder / "client_key")
        self.host_key = make_key(self.folder / "host_key")
        self._process: subprocess.Popen[bytes] | None = None
        self.trust()

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def user(self) -> str:
        """Who runs the tests: an unprivileged server lets nobody else in."""
        return pwd.getpwuid(os.getuid()).pw_name

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def known_name(self) -> str:
        address = self.place.address
        return address if self.port == 22 else f"[{address}]:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def public_key(self) -> str:
        """Type and key of the server, without the comment."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def fingerprint(self) -> str:
        """The server's, as ssh-keygen computes it."""
        words = ["ssh-keygen", "-l", "-f", str(self.folder / "host_key.pub")]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[1]

    def trust(self) -> None:
        """Write the known_hosts file that trusts this server and no other."""
        self.known_hosts.write_text(f"{self.known_name} {self.public_key()}\n")

    def change_host_key(self) -> None:
        """As after the device was set up anew; what was known of it stays as it was."""
        self.stop()
        make_key(self.host_key)
        self.start()

    def start(self) -> Sshd:
        """Listen; returns when the server answers."""
        authorized = self.folder / "authorized_keys"
        authorized.write_text((self.folder / "client_key.pub").read_text())
        config = self.folder / "sshd_config"
        config.write_text("\n".join([*self._config(authorized), *self.settings]) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        (self.folder / "log").write_text("")
        binary = find_command("sshd")
        assert binary
        words = [*self.place.prefix, binary, "-D", "-f", str(config), "-E", str(self.folder / "log")]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        self._wait()
        return self

    def _config(self, authorized: Path) -> list[str]:
        environment = {"HOME": str(self.home), **self.environment}
        assignments = " ".join(f'"{name}={value}"' for name, value in environment.items())
        return [
            f"Port {self.port}",
            f"ListenAddress {self.place.address}",
            f"HostKey {self.host_key}",
            f"PidFile {self.folder / 'pid'}",
            f"AuthorizedKeysFile {authorized}",
            f"SetEnv {assignments}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "AllowTcpForwarding yes",
            "UseDNS no",
            "MaxStartups 50:30:100",
            "LogLevel VERBOSE",
        ]

    def _wait(self) -> None:
        assert self._process
        deadline = time.monotonic() + _START_S
        while "Server listening" not in self.log:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd did not start: {self.log}")
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """Of the process that listens."""
        assert self._process
        return self._process.pid

    def sessions(self) -> list[int]:
        """Process ids of the server's children: one or more for each connection."""
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(word) for word in children.read_text().split()]

    def kill_sessions(self) -> None:
        """End every connection without a word, as a crash of the server would."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stop listening and end every session."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.kill_sessions()
        self._process.terminate()
        self._process.wait(10)
        self._process = None

    def address(self) -> SshAddress:
        """The way to it with its own key, trusting its own host key."""
        return SshAddress(self.place.address, self.user, self.port, self.client_key, self.known_hosts)

    def target(self, name: str = "board", *, python: str = "python3") -> Target:
        """The device as the farm file would describe it."""
        return Target(name, "x86-64-linux", self.address(), python=python, workdir="edgewright")

    def farm_toml(
        self, name: str = "board", *, python: str = "python3", profile: str = "x86-64-linux"
    ) -> str:
        """The lines of a farm file for it."""
        address = self.address()
        return (
            f"[devices.{name}]\n"
            f'profile = "{profile}"\n'
            f'address = "{address.user}@{address.host}"\n'
            f"port = {self.port}\n"
            f'key = "{self.client_key}"\n'
            f'known_hosts = "{self.known_hosts}"\n'
            f'python = "{python}"\n'
            'workdir = "edgewright"\n'
            'tags = ["bench", "loopback"]\n'
        )
