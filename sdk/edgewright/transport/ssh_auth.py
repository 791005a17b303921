"""Logging in: which keys to offer in which order, and what a refusal means."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm

from edgewright.errors import AccessDenied, ConfigError
from edgewright.untrusted import one_line

from .ssh_config import Credentials, Hop

_NOT_A_KEY = (ValueError, UnsupportedAlgorithm, paramiko.SSHException, paramiko.pkey.UnknownKeyType)


def log_in(target: str, hop: Hop, transport: paramiko.Transport) -> None:
    """Authenticate by key, as ``ssh`` would without asking for anything.

    Raises:
        AccessDenied: the server refused the user or every key.
        ConfigError: a key the farm file names cannot be used.
        TimeoutError, SSHException: the connection broke meanwhile.
    """
    user = hop.credentials.user
    allowed = _ask_for_nothing(transport, user)
    if allowed is None:
        return
    if "publickey" not in allowed:
        raise AccessDenied(
            target,
            f"{hop} takes no keys, only {one_line(', '.join(allowed))}",
            mend="allow PubkeyAuthentication there",
        )
    offered: list[str] = []
    with closing(paramiko.Agent()) as agent:
        for name, key in _identities(hop.credentials, agent.get_keys()):
            offered.append(name)
            if _offer(target, hop, transport, key):
                return
            if not transport.is_active():
                break  # too many keys for this server: what it was offered says why
    tried = f"refused {', '.join(offered)}" if offered else "wants a key and none was found"
    mend = f"ssh-copy-id -p {hop.port} {user}@{hop.host}, or set key and user"
    raise AccessDenied(target, f"{hop} does not let {user} in: it {tried}", mend=mend)


def _offer(target: str, hop: Hop, transport: paramiko.Transport, key: paramiko.PKey) -> bool:
    """Whether the server takes this key."""
    started = time.monotonic()
    user = hop.credentials.user
    try:
        more = transport.auth_publickey(user, key)
    except (paramiko.SSHException, EOFError):
        if time.monotonic() - started >= hop.timeout_s:
            raise TimeoutError from None
        return False
    if more:
        raise AccessDenied(target, f"{hop} wants more than a key from {user}: {one_line(', '.join(more))}")
    return True


def _ask_for_nothing(transport: paramiko.Transport, user: str) -> tuple[str, ...] | None:
    """The methods the server takes from this user; None when it lets them in without any."""
    try:
        transport.auth_none(user)
    except paramiko.BadAuthenticationType as error:
        return tuple(error.allowed_types)
    return None


def _identities(
    credentials: Credentials, agent_keys: tuple[paramiko.PKey, ...]
) -> Iterator[tuple[str, paramiko.PKey]]:
    """Keys with what to call them: the files first, then those that only the SSH agent has."""
    in_agent = {key.asbytes(): key for key in agent_keys}
    for path in credentials.keys:
        public = _public_blob(path)
        if public in in_agent:
            yield str(path), in_agent.pop(public)
        elif (key := _load(path, credentials.explicit)) is not None:
            in_agent.pop(key.asbytes(), None)
            yield str(path), key
    if not credentials.identities_only:
        for key in in_agent.values():
            yield f"{key.get_name()} {key.fingerprint} of the SSH agent", key


def _public_blob(path: Path) -> bytes | None:
    """The public half that lies beside a private key, to find it in the SSH agent without unlocking it."""
    public = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    try:
        return base64.b64decode(public.read_text(encoding="utf-8").split()[1], validate=True)
    except (OSError, ValueError, IndexError):
        return None


def _load(path: Path, explicit: bool) -> paramiko.PKey | None:
    """The private key; None when it cannot be used and nobody insisted on it."""
    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError:
        problem, mend = "no such file", "set key to the private key's file"
    except OSError as error:
        problem, mend = f"cannot be read: {error.strerror}", ""
    except (TypeError, paramiko.PasswordRequiredException):
        problem, mend = "locked with a passphrase", f"ssh-add {path}"
    except _NOT_A_KEY:
        problem, mend = "not a private key that can be used here", "set key to the private key's file"
    if explicit:
        raise ConfigError(f"{path}: {problem}", mend=mend)
    return None
