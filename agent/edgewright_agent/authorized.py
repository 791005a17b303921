"""Whose models this device runs.

ROOT/authorized_keys    public keys as OpenSSH writes them, one a line; only its owner may read or write it

While the file is there, only what is signed with one of its keys is run. A file that cannot be believed lets
nothing through.
"""

import os
import stat
from contextlib import suppress
from typing import Optional, Sequence, Tuple

from .codec import WireError
from .ed25519 import is_key
from .failure import AgentFailure
from .files import sync_folder
from .protocol_keys import PublicKey, parse_public_key

FILE = "authorized_keys"
MOST_KEYS = 64
_MOST_BYTES = 1 << 17


def authorized_keys(root: str) -> Optional[Tuple[PublicKey, ...]]:
    """The keys, None when the device runs whatever it is given.

    Raises:
        AgentFailure: ``unverified`` when the file is there and cannot be believed.
    """
    path = os.path.join(root, FILE)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unbelievable(path, f"{error.strerror}") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _unbelievable(path, "it is not a file")
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise _unbelievable(path, "others than its owner may use it", f"chmod 600 {path} there")
        data = os.read(handle, _MOST_BYTES + 1)
    finally:
        os.close(handle)
    text = data.decode("utf-8", "replace")
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if len(data) > _MOST_BYTES or not 1 <= len(lines) <= MOST_KEYS:
        raise _unbelievable(path, f"expected 1 to {MOST_KEYS} keys")
    try:
        return tuple(map(_parsed, lines))
    except WireError as error:
        raise _unbelievable(path, str(error)) from None


def authorize(root: str, lines: Sequence[str]) -> Tuple[PublicKey, ...]:
    """Let these keys be the only ones; without any, the device runs whatever it is given.

    Raises:
        WireError: one of them is no key, or there are too many; nothing was changed.
    """
    keys = tuple({key.raw: key for key in map(_parsed, lines)}.values())
    if len(keys) > MOST_KEYS:
        raise WireError(f"more than {MOST_KEYS} keys")
    path = os.path.join(root, FILE)
    if keys:
        temporary = path + ".tmp"
        try:
            _write(temporary, "".join(key.line + "\n" for key in keys))
            os.replace(temporary, path)
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    elif os.path.lexists(path):
        os.unlink(path)
    sync_folder(root)
    return keys


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        os.fchmod(handle, 0o600)
        stream.write(text)
        stream.flush()
        os.fsync(handle)


def _parsed(line: str) -> PublicKey:
    key = parse_public_key(line)
    if not is_key(key.raw):
        raise WireError(
            f"{key.fingerprint} is no key: not a point of the curve, or one that fits any message"
        )
    return key


def _unbelievable(path: str, why: str, mend: str = "") -> AgentFailure:
    return AgentFailure(
        "unverified",
        f"{path}: {why}; nothing is run while it is so",
        mend or "edgewright device authorize writes it anew",
    )
