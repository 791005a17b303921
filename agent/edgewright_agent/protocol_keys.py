"""Public keys as OpenSSH writes them, one a line: ``ssh-ed25519 BASE64 COMMENT``. Part of the protocol."""

import base64
import hashlib
import struct
from dataclasses import dataclass

from .codec import WireError

_KIND = b"ssh-ed25519"
_BEGIN = struct.pack(">I", len(_KIND)) + _KIND + struct.pack(">I", 32)
_MOST_CHARACTERS = 1000


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, 32 bytes, and whose it is."""

    raw: bytes
    comment: str = ""

    @property
    def line(self) -> str:
        """As OpenSSH writes it."""
        words = [_KIND.decode(), base64.b64encode(_BEGIN + self.raw).decode(), self.comment]
        return " ".join(filter(None, words))

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` tells it."""
        digest = base64.b64encode(hashlib.sha256(_BEGIN + self.raw).digest()).decode()
        return "SHA256:" + digest.rstrip("=")


def parse_public_key(line: str) -> PublicKey:
    """The key in one line.

    Raises:
        WireError: it is not an Ed25519 public key as OpenSSH writes it.
    """
    words = line.split(None, 2)
    if len(line) > _MOST_CHARACTERS or not line.isprintable():
        raise WireError("not a public key: too long, or with control characters")
    if len(words) < 2 or words[0] != _KIND.decode():
        found = f"it begins with {words[0][:40]!r}" if words else "it is empty"
        raise WireError(f"not an Ed25519 public key as in a .pub file of OpenSSH: {found}")
    try:
        blob = base64.b64decode(words[1].encode("ascii"), validate=True)
    except ValueError:
        blob = b""
    raw = blob[len(_BEGIN) :]
    key = PublicKey(raw, words[2].strip() if len(words) > 2 else "")
    if len(raw) != 32 or key.line.split()[1] != words[1]:
        raise WireError(f"not an Ed25519 public key: {words[1][:40]!r}")
    return key
