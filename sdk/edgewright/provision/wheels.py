"""Wheels on this host: whole, what they need, and no more of them than a device needs."""

from __future__ import annotations

import base64
import binascii
import csv
import email.parser
import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from edgewright.artifact import sha256_file
from edgewright.errors import EdgewrightError
from edgewright_agent.protocol import FileRef

_METADATA_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20

#: What the standard library raises when an archive is damaged, by where the damage is.
_DAMAGED = (
    InvalidWheelFilename,
    zipfile.BadZipFile,
    zlib.error,
    csv.Error,
    struct.error,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Wheel:
    """A wheel whose every file has the hash that its own record says.

    Attributes:
        name: canonical.
        unpacked_bytes: what its files take.
        requires: as it says, conditions and all.
    """

    path: Path
    name: str
    version: str
    tags: frozenset[Tag]
    sha256: str
    size_bytes: int
    unpacked_bytes: int
    requires: tuple[str, ...]

    @property
    def ref(self) -> FileRef:
        """As the agent is told of it."""
        return FileRef(self.path.name, self.sha256, self.size_bytes)


def read_wheel(path: Path) -> Wheel:
    """Read and verify.

    Raises:
        EdgewrightError: it is no wheel, or damaged.
    """
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            folder = _metadata_folder(archive, path)
            _verify(archive, folder, path)
            text = archive.read(f"{folder}/METADATA")[:_METADATA_BYTES].decode("utf-8", "replace")
            unpacked = sum(info.file_size for info in archive.infolist())
    except _DAMAGED as error:
        raise EdgewrightError(f"{path.name}: not a whole wheel: {error}") from None
    requires = email.parser.Parser().parsestr(text, headersonly=True).get_all("Requires-Dist") or []
    return Wheel(
        path,
        canonicalize_name(name),
        str(version),
        frozenset(tags),
        sha256_file(path),
        path.stat().st_size,
        unpacked,
        tuple(requires),
    )


def _metadata_folder(archive: zipfile.ZipFile, path: Path) -> str:
    for name in archive.namelist():
        folder, slash, file = name.partition("/")
        if slash and file == "METADATA" and folder.endswith(".dist-info"):
            return folder
    raise EdgewrightError(f"{path.name}: not a whole wheel: it has no METADATA")


def _verify(archive: zipfile.ZipFile, folder: str, path: Path) -> None:
    """Every file is in RECORD with its hash, but for RECORD itself and its signatures."""
    text = archive.read(f"{folder}/RECORD").decode("utf-8")
    hashes = {row[0]: row[1] for row in csv.reader(io.StringIO(text)) if len(row) == 3}
    exempt = {f"{folder}/RECORD", f"{folder}/RECORD.jws", f"{folder}/RECORD.p7s"}
    for info in archive.infolist():
        name = info.filename
        if name.startswith("/") or ".." in name.split("/"):
            raise EdgewrightError(f"{path.name}: {name!r} leads out of it")
        if info.is_dir() or name in exempt:
            continue
        if not _has_hash(archive, info, hashes.get(name, "")):
            raise EdgewrightError(f"{path.name}: {name!r} is not what the wheel's own record says")


def _has_hash(archive: zipfile.ZipFile, info: zipfile.ZipInfo, recorded: str) -> bool:
    algorithm, _, told = recorded.partition("=")
    if algorithm not in ("sha256", "sha384", "sha512"):
        return False
    digest = hashlib.new(algorithm)
    with archive.open(info) as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    try:
        return base64.urlsafe_b64decode(told + "=" * (-len(told) % 4)) == digest.digest()
    except binascii.Error:
        return False


@dataclass(frozen=True)
class Closure:
    """The wheels that some requirements need under a device's conditions, and what is missing among them."""

    wheels: tuple[Wheel, ...]
    missing: tuple[str, ...]


def closure(
    roots: Sequence[str], wheels: Iterable[Wheel], markers: Mapping[str, str], provided: Mapping[str, str]
) -> Closure:
    """Follow the requirements from ``roots``.

    pip decides conditions such as ``python_version < "3.10"`` by the Python it runs on, also where it is
    asked for another platform. So what it fetched is followed once more by the device's own markers.

    Args:
        provided: what the device has already: the version of each, by canonical name.
    """
    by_name = {wheel.name: wheel for wheel in wheels}
    needed: dict[str, Wheel] = {}
    missing: dict[str, None] = {}
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        text = pending.pop()
        if text in seen:
            continue
        seen.add(text)
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name in provided and requirement.specifier.contains(provided[name], prereleases=True):
            continue
        wheel = by_name.get(name)
        if wheel is None or not requirement.specifier.contains(wheel.version, prereleases=True):
            missing[_bare(requirement)] = None
            continue
        needed[wheel.name] = wheel
        for extra in ("", *sorted(requirement.extras)):
            pending += _applying(wheel, {**markers, "extra": extra})
    return Closure(tuple(needed[name] for name in sorted(needed)), tuple(sorted(missing)))


def _applying(wheel: Wheel, environment: Mapping[str, str]) -> list[str]:
    """Its requirements that hold in an environment."""
    found = []
    for text in wheel.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise EdgewrightError(f"{wheel.path.name}: {error}") from None
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            found.append(_bare(requirement))
    return found


def _bare(requirement: Requirement) -> str:
    """Without its condition."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"
