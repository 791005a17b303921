"""Ed25519 keys on this host: made, read, and used to sign manifests. A private key never leaves the host.

A key file is what OpenSSH or OpenSSL write (``ssh-keygen -t ed25519``, or PEM), without a passphrase, and
readable by its owner alone. Its public half is the line of a ``.pub`` file.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright_agent.protocol import SignedManifest, WireError
from edgewright_agent.protocol_keys import PublicKey, parse_public_key

from .config import printable, user_path
from .errors import ConfigError
from .files import write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VARIABLE = "EDGEWRIGHT_SIGNING_KEY"
_MOST_BYTES = 1 << 16
_EVERYBODY = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Signer:
    """A private key that signs; what is printed of it is its public half."""

    public: PublicKey
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, text: str) -> SignedManifest:
        """A manifest's text with its signature."""
        return SignedManifest(text, self.public.raw.hex(), self._private.sign(text.encode()).hex())


def find_key(configured: Path | None) -> Path | None:
    """The key file to sign with: ``EDGEWRIGHT_SIGNING_KEY``, else the farm file's, else none."""
    named = os.environ.get(VARIABLE)
    return user_path(named, VARIABLE) if named else configured


def load_signer(path: Path) -> Signer:
    """Read a private key.

    Raises:
        ConfigError: there is none, it is no Ed25519 key, it has a passphrase, or others may read it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _private_bytes(path)
    is_openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if is_openssh else serialization.load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError:
        raise ConfigError(
            f"{path}: the key has a passphrase, and nobody is there to type it",
            mend=f"ssh-keygen -p -f {path}",
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        passphrase = "password" in str(error).lower()
        why = "has a passphrase" if passphrase else "is not a private key as OpenSSH or OpenSSL write it"
        raise ConfigError(f"{path}: the file {why}", mend="edgewright keys new FILE makes one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: not an Ed25519 key", mend="edgewright keys new FILE makes one")
    return Signer(PublicKey(key.public_key().public_bytes_raw(), path.name), key)


def _private_bytes(path: Path) -> bytes:
    """The file's content, if nobody else may read it."""
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path}: not a file")
            if mode & _EVERYBODY:
                raise ConfigError(
                    f"{path}: others than its owner may use this private key (mode {stat.S_IMODE(mode):04o})",
                    mend=f"chmod 600 {path}",
                )
            return stream.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(
            f"{path}: the signing key cannot be read: {error.strerror}",
            mend="edgewright keys new FILE makes one",
        ) from None


def new_key(path: Path) -> PublicKey:
    """Make a key pair: ``path``, which only its owner may read, and ``path.pub``.

    Raises:
        ConfigError: one of the files is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public_path = path.with_name(path.name + ".pub")
    if public_path.exists():
        raise ConfigError(
            f"{public_path}: is there already", mend="a key is never written over: use another name"
        )
    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = PublicKey(key.public_key().public_bytes_raw(), path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path}: is there already", mend="a key is never written over: use another name"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(handle)
    write_atomic(public_path, f"{public.line}\n".encode())
    return public


def load_public_key(path: Path) -> PublicKey:
    """Read a ``.pub`` file, or the public half of a private key's file.

    Raises:
        ConfigError: there is none, or it holds something else than one Ed25519 key.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise ConfigError(f"{path}: the public key cannot be read: {error.strerror}") from None
    if "PRIVATE KEY" in text:
        return load_signer(path).public
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if len(lines) != 1:
        raise ConfigError(f"{path}: expected one public key, found {len(lines)} lines")
    try:
        return parse_public_key(lines[0])
    except WireError as error:
        raise ConfigError(f"{path}: {printable(str(error))}") from None


def is_signed_by(key: PublicKey, signed: SignedManifest) -> bool:
    """Whether the signature is that of the text under ``key``, whatever key it names itself."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(key.raw)
        public.verify(bytes.fromhex(signed.signature), signed.text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
