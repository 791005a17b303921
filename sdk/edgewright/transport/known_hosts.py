"""Files of trusted host keys, as OpenSSH writes them (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

paramiko's own reader knows neither ``@revoked`` nor wildcards nor which line a key came from, and
rewrites the whole file; this one keeps every line that is not replaced as it was.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import ConfigError
from edgewright.files import write_atomic

_REVOKED = "@revoked"
_AUTHORITY = "@cert-authority"


@dataclass(frozen=True)
class HostKey:
    """A public key: its type as SSH names it, and its encoded bytes."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """``SHA256:...`` as ``ssh-keygen -l`` shows it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii")
        return f"SHA256:{digest.rstrip('=')}"

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


@dataclass(frozen=True)
class Entry:
    """One line: where it stands, whom it is about, and the key. ``marker`` is empty or ``@...``."""

    path: Path
    line: int
    marker: str
    hosts: str
    key: HostKey

    def is_about(self, name: str) -> bool:
        """Whether the line's patterns match ``name``, which is ``host`` or ``[host]:port``."""
        if self.hosts.startswith("|"):
            return _hash_matches(self.hosts, name)
        patterns = self.hosts.split(",")
        if any(_pattern_matches(p[1:], name) for p in patterns if p.startswith("!")):
            return False
        return any(_pattern_matches(p, name) for p in patterns if not p.startswith("!"))

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Standing(enum.Enum):
    """What the files say of a key a host offered."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True)
class KnownHosts:
    """The host keys of several files; a file that does not exist has none."""

    files: tuple[Path, ...]

    def entries(self, name: str) -> tuple[Entry, ...]:
        """The plain lines about ``name``, in order."""
        return tuple(e for e in self._about(name) if not e.marker)

    def standing(self, name: str, key: HostKey) -> Standing:
        """Whether ``key`` may be believed to be ``name``'s."""
        about = list(self._about(name))
        if any(e.marker == _REVOKED and e.key.blob == key.blob for e in about):
            return Standing.REVOKED
        plain = [e for e in about if not e.marker]
        if any(e.key == key for e in plain):
            return Standing.TRUSTED
        return Standing.CHANGED if plain else Standing.UNKNOWN

    def _about(self, name: str) -> Iterator[Entry]:
        for path in self.files:
            for number, line in enumerate(_read(path), 1):
                entry = _entry(path, number, line)
                if entry and entry.is_about(name):
                    yield entry


def host_name(host: str, port: int) -> str:
    """The name a host is known by: the port is part of it unless it is SSH's own."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def trust(path: Path, name: str, key: HostKey) -> None:
    """Make ``key`` the only one of ``name`` in ``path``; all other lines stay as they are.

    Raises:
        ConfigError: the file cannot be written, or an older key stands in a line with a wildcard,
            which is also about other hosts.
    """
    kept: list[str] = []
    for number, line in enumerate(_read(path), 1):
        entry = _entry(path, number, line)
        if entry is None or entry.marker or not entry.is_about(name):
            kept.append(line)
        elif rest := _without(entry, name):
            kept.append(line.replace(entry.hosts, rest, 1))
    kept.append(f"{name} {key.kind} {base64.b64encode(key.blob).decode('ascii')}")
    _write(path, kept)


def _without(entry: Entry, name: str) -> str:
    """The line's hosts less ``name``; empty when nobody is left."""
    if entry.hosts.startswith("|"):
        return ""
    hosts = entry.hosts.split(",")
    if any(set(host) & set("*?!") and _pattern_matches(host, name) for host in hosts):
        raise ConfigError(
            f"{entry}: another key for {name}, and for more hosts", mend="edit that line by hand"
        )
    return ",".join(host for host in hosts if host.lower() != name)


def _entry(path: Path, number: int, line: str) -> Entry | None:
    """The line's content; None for comments and for what cannot be read, as OpenSSH does."""
    words = line.split()
    marker = words.pop(0) if words and words[0] in (_REVOKED, _AUTHORITY) else ""
    if len(words) < 3 or words[0].startswith(("#", "@")):
        return None
    try:
        blob = base64.b64decode(words[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    return Entry(path, number, marker, words[0], HostKey(words[1], blob))


def _hash_matches(hashed: str, name: str) -> bool:
    """``|1|salt|hash``: HMAC-SHA1 of the name under the salt."""
    parts = hashed.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in parts[2:])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), expected)


def _pattern_matches(pattern: str, name: str) -> bool:
    """``*`` and ``?`` as in a shell; nothing else is special, brackets least of all."""
    expression = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _write(path: Path, lines: Sequence[str]) -> None:
    """Replace the file whole, keeping its mode; a symbolic link goes on pointing at it."""
    real = path.resolve()
    if real.exists() and not real.is_file():
        raise ConfigError(f"{path}: not a file that can hold host keys", mend="set known_hosts")
    try:
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o777 if real.exists() else 0o600
        write_atomic(real, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
        real.chmod(mode)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
