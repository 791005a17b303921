"""Manifests on this host: written for an artifact, laid beside a built file, and checked against it.

NAME.onnx                  the model
NAME.manifest.json         what is known of it, see :mod:`edgewright_agent.protocol_manifest`
NAME.manifest.json.sig     {"key": HEX, "signature": HEX}, when a key is configured
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright_agent.protocol import FileRef, SignedManifest, Tolerance, WireError, decode
from edgewright_agent.protocol_keys import PublicKey
from edgewright_agent.protocol_manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    Nearness,
    Score,
    read_manifest,
    write_manifest,
)

from . import __version__
from .artifact import Artifact, Quality, sha256_file
from .config import printable
from .errors import ConfigError, VerificationError
from .files import write_atomic
from .signing import Signer, is_signed_by

ENDING, SIGNATURE = ".manifest.json", ".sig"
_MODELS = (".onnx", ".tflite")
#: What the notes may take of a manifest, as they are written.
_NOTES_BYTES = MAX_MANIFEST_BYTES // 4


@dataclass(frozen=True)
class _Signature:
    """A signature's file."""

    key: str
    signature: str


@dataclass(frozen=True)
class Verified:
    """A manifest that its files agree with, and whose it is: None when nobody signed it."""

    path: Path
    manifest: Manifest
    signer: PublicKey | None


def manifest_of(artifact: Artifact, files: Sequence[FileRef]) -> Manifest:
    """What is known of an artifact, under the names that its files have where it goes.

    Args:
        files: the model, then its external data.
    """
    made, parity, quality = artifact.provenance, artifact.parity, artifact.quality
    tolerance = artifact.tolerance
    return Manifest(
        files=tuple(files),
        format=artifact.format,
        created_by=f"edgewright {__version__}",
        workload=made.workload if made else "",
        recipe=made.recipe if made else "",
        recipe_hash=made.recipe_hash if made else "",
        profile=made.profile if made else "",
        parity=Nearness(float(parity.cosine), float(parity.max_abs)) if parity else None,
        tolerance=tolerance and Tolerance(float(tolerance.cosine), float(tolerance.max_abs)),
        quality=_score(quality) if quality else None,
        notes=_fitting(made.notes) if made else (),
        versions=dict(made.versions) if made else {},
    )


def _score(quality: Quality) -> Score:
    value, baseline = float(quality.value), float(quality.baseline)
    return Score(quality.metric, value, baseline, quality.samples, quality.higher_is_better)


def _fitting(notes: Sequence[str]) -> tuple[str, ...]:
    """The first of the notes, as many as there is room for."""
    sizes = itertools.accumulate(len(json.dumps(note)) for note in notes)
    return tuple(note for note, size in zip(notes, sizes, strict=True) if size <= _NOTES_BYTES)


def vouched(artifact: Artifact, files: Sequence[FileRef], signer: Signer | None) -> SignedManifest:
    """The manifest to send with an artifact: signed here, or as it was found beside the file, or unsigned."""
    if signer is None and artifact.signed is not None:
        return artifact.signed
    text = write_manifest(manifest_of(artifact, files))
    return signer.sign(text) if signer else SignedManifest(text)


def write_beside(model: Path, manifest: Manifest, signer: Signer | None) -> str:
    """Write the manifest beside the model, and its signature when there is a key; the manifest's text.

    Raises:
        EdgewrightError: one of them cannot be written.
    """
    text = write_manifest(manifest)
    path = manifest_path(model)
    signature = path.with_name(path.name + SIGNATURE)
    signature.unlink(missing_ok=True)  # that of an earlier build would not fit any more
    write_atomic(path, text.encode())
    if signer:
        signed = signer.sign(text)
        write_atomic(
            signature, (json.dumps({"key": signed.key, "signature": signed.signature}) + "\n").encode()
        )
    return text


def manifest_path(model: Path) -> Path:
    """Where the manifest of a model file is."""
    return model.with_suffix(ENDING)


def signed_beside(model: Path, files: Sequence[Path]) -> SignedManifest | None:
    """The signed manifest that lies beside a model file, for a device to check; None when there is none.

    Raises:
        ConfigError: there is one, and the files are not what it says.
    """
    path = manifest_path(model)
    if not path.with_name(path.name + SIGNATURE).is_file():
        return None
    try:
        signed = _read(path)
        manifest = read_manifest(signed.text)
        _check_files(path, manifest)
    except WireError as error:
        raise ConfigError(f"{path}: {printable(str(error))}") from None
    except VerificationError as error:
        raise ConfigError(error.message, mend=error.mend) from None
    if [ref.name for ref in manifest.files] != [file.name for file in files]:
        raise ConfigError(f"{path}: it is signed for other files than {model.name} and its external data")
    return signed


def verify_folder(folder: Path, keys: Sequence[PublicKey]) -> Iterator[Verified | VerificationError]:
    """Every manifest of a folder with its files; and every model file that no manifest names.

    Args:
        keys: whom to believe; without any, a signature is checked against the key that it names itself.

    Raises:
        ConfigError: there is no such folder, or nothing in it to verify.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}") from None
    manifests = [path for path in found if path.name.endswith(ENDING)]
    models = {path.name for path in found if path.suffix in _MODELS}
    if not manifests and not models:
        raise ConfigError(f"{folder}: there is neither a model nor a *{ENDING} in it")
    named: set[str] = set()
    for path in manifests:
        try:
            verified = verify(path, keys)
        except VerificationError as error:
            yield error
        else:
            named.update(ref.name for ref in verified.manifest.files)
            yield verified
    for name in sorted(models - named - {_model_name(path) for path in manifests}):
        yield VerificationError(f"{folder / name}: no manifest names it", mend="edgewright build writes one")


def _model_name(manifest: Path) -> str:
    """The model of a manifest that was not verified, so that it is complained of once."""
    stem = manifest.name.removesuffix(ENDING)
    return next((stem + ending for ending in _MODELS if (manifest.parent / (stem + ending)).exists()), "")


def verify(path: Path, keys: Sequence[PublicKey]) -> Verified:
    """Check one manifest: its signature, and the files beside it.

    Raises:
        VerificationError: what is wrong, with which file.
    """
    try:
        signed = _read(path)
        signer = _signer(path, signed, keys)
        manifest = read_manifest(signed.text)
    except WireError as error:
        raise VerificationError(f"{path}: {printable(str(error))}") from None
    _check_files(path, manifest)
    return Verified(path, manifest, signer)


def _signer(path: Path, signed: SignedManifest, keys: Sequence[PublicKey]) -> PublicKey | None:
    """Who signed, believed."""
    if not signed.signature:
        if keys:
            raise VerificationError(f"{path}: not signed", mend="build it again with a key configured")
        return None
    try:
        own = PublicKey(bytes.fromhex(signed.key))
    except ValueError:
        raise VerificationError(f"{path}{SIGNATURE}: not a signature") from None
    known = next((key for key in keys if key.raw == own.raw), None)
    if keys and known is None:
        raise VerificationError(
            f"{path}: signed with {own.fingerprint}, not with {' or '.join(key.fingerprint for key in keys)}"
        )
    if not is_signed_by(own, signed):
        raise VerificationError(
            f"{path}: altered since it was signed with {own.fingerprint}", mend="build it again"
        )
    return known or own


def _read(path: Path) -> SignedManifest:
    """The manifest's text with the signature beside it, neither of them believed yet.

    Raises:
        VerificationError, WireError: they cannot be read.
    """
    text = _text(path)
    beside = path.with_name(path.name + SIGNATURE)
    if not beside.exists():
        return SignedManifest(text)
    try:
        found = decode(_Signature, json.loads(_text(beside)), beside.name)
    except (ValueError, RecursionError):
        raise VerificationError(f"{beside}: not a signature") from None
    return SignedManifest(text, found.key, found.signature)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_MANIFEST_BYTES + 1).decode("ascii")
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VerificationError(f"{path}: not a manifest: it is not ASCII") from None


def _check_files(path: Path, manifest: Manifest) -> None:
    for ref in manifest.files:
        if ref.name in ("", ".", "..") or "/" in ref.name or not ref.name.isprintable():
            raise VerificationError(f"{path}: not a file name: {ref.name[:80]!r}")
        file = path.parent / ref.name
        try:
            size, sha256 = file.stat().st_size, sha256_file(file)
        except OSError as error:
            raise VerificationError(f"{file}: cannot be read: {error.strerror}") from None
        if (size, sha256) != (ref.size_bytes, ref.sha256):
            raise VerificationError(
                f"{file}: not the file of its manifest: {size} bytes with SHA-256 {sha256[:16]}..., "
                f"{ref.size_bytes} with {ref.sha256[:16]}... are due"
            )
