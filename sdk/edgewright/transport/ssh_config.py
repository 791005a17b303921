"""The way to a device: what the farm file says, filled in from ``~/.ssh/config`` as ``ssh`` would."""

from __future__ import annotations

import getpass
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgewright.errors import ConfigError

from .known_hosts import Entry, KnownHosts, host_name

if TYPE_CHECKING:
    import paramiko

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
CONNECT_TIMEOUT_S = 10.0
_MAX_HOPS = 8
_MAX_INCLUDES = 16
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:\[\]/]+)(?::(?P<port>\d{1,5}))?/?"
)


class SshAddress(Protocol):
    """Where a device is, as written in the farm file; None is for the SSH configuration to say."""

    @property
    def host(self) -> str:
        """A name, an address, or a Host of ``~/.ssh/config``."""

    @property
    def user(self) -> str | None:
        """Whom to log in as."""

    @property
    def port(self) -> int | None:
        """The server's port."""

    @property
    def key(self) -> Path | None:
        """The private key's file."""

    @property
    def known_hosts(self) -> Path | None:
        """The file of trusted host keys."""


@dataclass(frozen=True)
class Credentials:
    """Whom to log in as and with what.

    Attributes:
        keys: private key files in the order to try.
        explicit: the keys were named by the farm file, so a missing one is an error and no other is tried.
        identities_only: keys of the SSH agent are used only when they are among ``keys``.
    """

    user: str
    keys: tuple[Path, ...]
    explicit: bool = False
    identities_only: bool = False


@dataclass(frozen=True)
class Hop:
    """One SSH server on the way, the last being the device.

    Attributes:
        known_name: what its host key is filed under, instead of address and port (``HostKeyAlias``).
        known_hosts: files of trusted keys; new ones go to the first, which is this user's.
        proxy_command: a command whose standard streams are the connection, instead of a socket.
    """

    host: str
    port: int
    credentials: Credentials
    known_hosts: tuple[Path, ...]
    known_name: str | None = None
    proxy_command: str | None = None
    timeout_s: float = CONNECT_TIMEOUT_S

    @property
    def filed_as(self) -> str:
        """The name its host key is filed under."""
        return self.known_name or host_name(self.host, self.port)

    @property
    def record_in(self) -> Path:
        """The file its host key is written to.

        Raises:
            ConfigError: there is none.
        """
        if not self.known_hosts or self.known_hosts[0] == SYSTEM_KNOWN_HOSTS:
            raise ConfigError(f"no file to record the host key of {self.filed_as} in", mend="set known_hosts")
        return self.known_hosts[0]

    def recorded(self) -> tuple[Entry, ...]:
        """The host keys known for it."""
        return KnownHosts(self.known_hosts).entries(self.filed_as)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host} port {self.port}"


@dataclass(frozen=True)
class _Wanted:
    """A place on the way as somebody wrote it."""

    host: str
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    known_hosts: Path | None = None


def route(address: SshAddress, config: Path | None = None) -> tuple[Hop, ...]:
    """The servers to pass, first to last.

    Args:
        config: read instead of ``~/.ssh/config`` and the system's.

    Raises:
        ConfigError: the configuration cannot be read or leads nowhere.
    """
    table = _Table(config)
    wanted = _Wanted(address.host, address.user, address.port, address.key, address.known_hosts)
    return tuple(table.hops(wanted, ()))


class _Table:
    """The SSH configuration of this user and this system."""

    def __init__(self, config: Path | None) -> None:
        files = [config] if config else [Path.home() / ".ssh" / "config", SYSTEM_CONFIG]
        self._where = str(files[0])
        # Between two files everything is again about every host.
        text = "\nHost *\n".join("\n".join(_expanded(path, path.parent)) for path in files)
        self._config = _parsed(text, self._where)

    def hops(self, wanted: _Wanted, seen: tuple[str, ...]) -> Iterator[Hop]:
        """The hops that lead to ``wanted``, and its own."""
        if wanted.host in seen or len(seen) >= _MAX_HOPS:
            raise ConfigError(f"{self._where}: ProxyJump goes in a circle at {wanted.host}")
        found = self._lookup(wanted.host)
        jumps = [j for j in found.get("proxyjump", "none").split(",") if j.strip().lower() != "none"]
        for number, jump in enumerate(jumps):
            place = self._jump(jump.strip(), wanted.known_hosts)
            # Only the first jump's own ProxyJump counts: the others are reached through the one before.
            yield from self.hops(place, (*seen, wanted.host)) if number == 0 else (self._hop(place),)
        hop = self._hop(wanted)
        yield hop if not jumps else _without_command(hop)

    def _jump(self, text: str, known_hosts: Path | None) -> _Wanted:
        match = _JUMP.fullmatch(text)
        if not match:
            raise ConfigError(f"{self._where}: ProxyJump {text!r} is not [user@]host[:port]")
        port = int(match["port"]) if match["port"] else None
        return _Wanted(match["host"].strip("[]"), match["user"], port, known_hosts=known_hosts)

    def _hop(self, wanted: _Wanted) -> Hop:
        found = self._lookup(wanted.host)
        alias = found.get("hostkeyalias")
        return Hop(
            host=found["hostname"],
            port=wanted.port or self._number(found, "port", 22),
            credentials=_credentials(wanted, found),
            known_hosts=(wanted.known_hosts,) if wanted.known_hosts else _known_hosts(found),
            known_name=alias.lower() if alias else None,
            proxy_command=found.get("proxycommand"),
            timeout_s=float(self._number(found, "connecttimeout", int(CONNECT_TIMEOUT_S))),
        )

    def _number(self, found: paramiko.SSHConfigDict, key: str, default: int) -> int:
        text = found.get(key, str(default))
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise ConfigError(f"{self._where}: {key} {text!r} is not a number from 1 to 65535")
        return int(text)

    def _lookup(self, host: str) -> paramiko.SSHConfigDict:
        import paramiko

        try:
            return self._config.lookup(host)
        except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize) as error:
            raise ConfigError(f"{self._where}: {error}") from None


def _without_command(hop: Hop) -> Hop:
    """A hop that is reached through another needs no command of its own."""
    return Hop(hop.host, hop.port, hop.credentials, hop.known_hosts, hop.known_name, None, hop.timeout_s)


def _credentials(wanted: _Wanted, found: paramiko.SSHConfigDict) -> Credentials:
    user = wanted.user or found.get("user") or getpass.getuser()
    if wanted.key:
        return Credentials(user, (wanted.key,), explicit=True, identities_only=True)
    files: list[str] = [f for f in found.get("identityfile", []) if f.lower() != "none"]
    keys = tuple(Path(f).expanduser() for f in files)
    only = found.get("identitiesonly", "no").lower() == "yes"
    return Credentials(user, keys or tuple(Path.home() / ".ssh" / k for k in DEFAULT_KEYS), False, only)


def _known_hosts(found: paramiko.SSHConfigDict) -> tuple[Path, ...]:
    own = found.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
    shared = found.get("globalknownhostsfile", str(SYSTEM_KNOWN_HOSTS))
    words = [word for text in (own, shared) for word in shlex.split(text) if word.lower() != "none"]
    return tuple(Path(os.path.expandvars(word)).expanduser() for word in words)


def _parsed(text: str, where: str) -> paramiko.SSHConfig:
    import paramiko

    try:
        return paramiko.SSHConfig.from_text(text)
    except paramiko.ConfigParseError as error:
        raise ConfigError(f"{where}: {error}") from None


def _expanded(path: Path, folder: Path, depth: int = 0) -> Iterator[str]:
    """The file's lines with every ``Include`` replaced by what it names, which paramiko does not do.

    Names are relative to ``folder``, where the first file stands.
    """
    if depth > _MAX_INCLUDES:
        raise ConfigError(f"{path}: Include goes in a circle")
    block = "Host *"
    for line in _lines(path):
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() in ("host", "match"):
            block = line.strip()
        if word.lower() != "include":
            yield line
            continue
        for pattern in shlex.split(rest):
            full = folder / Path(pattern).expanduser()
            for included in sorted(Path(full.anchor).glob(str(full.relative_to(full.anchor)))):
                yield from _expanded(included, folder, depth + 1)
                yield block


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
