"""Built files on their way from the worker that built them to those that push them.

They are kept by their SHA-256 and checked against it, so that what is measured is what was built: a worker
never builds again what another has built.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.artifact import Artifact, Quality, sha256_file
from edgewright.errors import EdgewrightError, VerificationError
from edgewright.farm.subject import Subject
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe
from edgewright.workload import Array

from .documents import Blob, Built

#: What travels in one message, and the largest file that is taken.
CHUNK_BYTES, MOST_BYTES = 4 << 20, 4 << 30
#: Files of an artifact beside the model, by what they are for.
_BESIDE = ("inputs", "expected", "evaluation", "coded")


class Shelf:
    """Files that came from elsewhere, ``SHA-256/name`` in a folder; several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: dict[str, Path] = {}
        self._whole: set[str] = set()

    def lend(self, blob: Blob, path: Path) -> None:
        """A file that is here already, where it is."""
        self._own[blob.sha256] = path

    def path(self, blob: Blob) -> Path:
        """Where it is, or is to be."""
        return self._own.get(blob.sha256) or self._folder / blob.sha256 / blob.name

    def has(self, blob: Blob) -> bool:
        """Whether it is here, and is what its name says."""
        path = self.path(blob)
        if blob.sha256 not in self._whole and path.is_file() and sha256_file(path) == blob.sha256:
            self._whole.add(blob.sha256)
        return blob.sha256 in self._whole and path.is_file()

    def read(self, blob: Blob, offset: int) -> bytes:
        """The next part of it.

        Raises:
            EdgewrightError: it cannot be read.
        """
        try:
            with self.path(blob).open("rb") as stream:
                stream.seek(offset)
                return stream.read(CHUNK_BYTES)
        except OSError as error:
            raise EdgewrightError(f"{self.path(blob)}: cannot be read: {error.strerror}") from None

    def parts(self, blob: Blob) -> Iterator[bytes]:
        """All of it; a file of no bytes is one part."""
        offset = 0
        while not offset or offset < blob.size_bytes:
            part = self.read(blob, offset)
            yield part
            offset += max(1, len(part))


class Incoming:
    """A file on its way onto a shelf: there whole, with the content it was announced by, or not at all.

    Raises:
        VerificationError: it is too large, or another.
    """

    def __init__(self, shelf: Shelf, blob: Blob) -> None:
        if blob.size_bytes > MOST_BYTES:
            raise VerificationError(f"{blob.name}: larger than {MOST_BYTES >> 30} GiB")
        self._blob = blob
        self._path = shelf.path(blob)
        self._temporary = self._path.with_name(f".{os.getpid()}-{id(self)}")
        self._digest = hashlib.sha256()
        self._size = 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._temporary.open("xb")

    @property
    def is_complete(self) -> bool:
        """Whether all of it has come."""
        return self._size >= self._blob.size_bytes

    def add(self, data: bytes) -> None:
        """The next part; after the last, the file is there."""
        self._size += len(data)
        if self._size > self._blob.size_bytes:
            self.give_up()
            raise VerificationError(f"{self._blob.name}: more of it came than was announced")
        self._digest.update(data)
        self._stream.write(data)
        if self.is_complete:
            self._finish()

    def give_up(self) -> None:
        """Nothing of it stays."""
        self._stream.close()
        self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._digest.hexdigest() != self._blob.sha256:
            self.give_up()
            raise VerificationError(f"{self._blob.name}: not the file that was announced, by its SHA-256")
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._temporary.replace(self._path)


def described(artifact: Artifact, notes: tuple[str, ...], shelf: Shelf) -> Built:
    """An artifact of this host as it travels; its files are lent to the shelf."""

    def blob(path: Path) -> Blob:
        made = Blob(sha256_file(path), path.name, path.stat().st_size)
        shelf.lend(made, path)
        return made

    beside = {name: getattr(artifact, name) for name in _BESIDE}
    return Built(
        format=artifact.format,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        files={
            "model": blob(artifact.path),
            **{name: blob(path) for name, path in beside.items() if path is not None},
        },
        extra=tuple(map(blob, artifact.extra_files)),
        parity=artifact.parity,
        quality=artifact.quality,
        provenance=artifact.provenance,
        tolerance=artifact.tolerance,
        shapes=dict(artifact.shapes),
        signed=artifact.signed,
        notes=notes,
    )


def arrived(built: Built, shelf: Shelf) -> Artifact:
    """The artifact, whose files are on the shelf.

    Raises:
        VerificationError: one is not, or the model is another than was built.
    """
    missing = [blob.name for blob in built.blobs if not shelf.has(blob)]
    model = built.files.get("model")
    if missing or model is None or model.sha256 != built.sha256:
        raise VerificationError(f"the files of {built.sha256[:12]} are not here: {', '.join(missing)}")
    return Artifact(
        path=shelf.path(model),
        format=built.format,
        sha256=built.sha256,
        size_bytes=built.size_bytes,
        extra_files=tuple(map(shelf.path, built.extra)),
        parity=built.parity,
        quality=built.quality,
        provenance=built.provenance,
        tolerance=built.tolerance,
        shapes=built.shapes,
        signed=built.signed,
        **{name: shelf.path(built.files[name]) for name in _BESIDE if name in built.files},
    )


@dataclass(frozen=True)
class BuiltSubject:
    """A subject whose file was built elsewhere; what there is beyond that file is its own business."""

    subject: Subject
    made: Artifact
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its own."""
        return self.subject.name

    @property
    def default_runtime(self) -> str:
        """Its own."""
        return self.subject.default_runtime

    def check_format(self, format_name: str) -> None:
        """Its own."""
        self.subject.check_format(format_name)

    def artifact(
        self, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> tuple[Artifact, tuple[str, ...]]:
        """What was built."""
        if format_name != self.made.format:
            return self.subject.artifact(recipe, profile, format_name)
        return self.made, self.notes

    def for_batch(
        self, size: int, recipe: Recipe | None, profile: DeviceProfile, format_name: str
    ) -> Artifact | None:
        """Its own."""
        return self.subject.for_batch(size, recipe, profile, format_name)

    def score(self, outputs: Mapping[str, Array], artifact: Artifact) -> Quality | None:
        """Its own."""
        return self.subject.score(outputs, artifact)
