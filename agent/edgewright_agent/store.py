"""What is kept on the device: the content-addressed store and the folders of jobs.

ROOT/agent/SHA.pyz    the agent itself
ROOT/store/SHA        model and data files, named by their SHA-256; how they come there: intake.py
ROOT/jobs/ID/         one job: model/ and data/ while it runs, outputs, result.json
ROOT/engines/         what accelerators' compilers built, see engines.py
"""

import errno
import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Dict, List, Sequence

from .failure import AgentFailure
from .files import sha256_of, sync
from .shelf import PART, USES, Shelf

if TYPE_CHECKING:
    from .protocol_model import FileRef

_SHA256 = re.compile(r"[0-9a-f]{64}")
_JOB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_MAX_NAME_BYTES = 255


def _is_file_name(name: str) -> bool:
    """A bare name: nothing that could lead out of a folder."""
    fits = 0 < len(os.fsencode(name)) <= _MAX_NAME_BYTES
    return fits and name not in (".", "..") and "/" not in name and "\0" not in name


class Store:
    """The device's content-addressed files and job folders under one root."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.store = os.path.join(self.root, "store")
        self.jobs = os.path.join(self.root, "jobs")
        self.engines = os.path.join(self.root, "engines")
        for folder in (self.store, self.jobs):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        self.shelf = Shelf(self.root, self.store, self.jobs)

    def path(self, sha256: str) -> str:
        """Where a file of that hash is kept."""
        if not _SHA256.fullmatch(sha256):
            raise AgentFailure("protocol", f"not a SHA-256: {sha256[:80]!r}")
        return os.path.join(self.store, sha256)

    def missing(self, hashes: Sequence[str]) -> List[str]:
        """Those of ``hashes`` that the store does not hold."""
        return [sha256 for sha256 in hashes if not os.path.isfile(self.path(sha256))]

    def partial(self, hashes: Sequence[str]) -> Dict[str, int]:
        """How much is there of files that have not arrived whole."""
        parts = {sha256: self.path(sha256) + PART for sha256 in hashes}
        return {sha256: os.path.getsize(part) for sha256, part in parts.items() if os.path.isfile(part)}

    def keep(self, sha256: str) -> None:
        """Take ``SHA.part``, which is whole and verified, into the store."""
        final = self.path(sha256)
        os.replace(final + PART, final)

    def settle(self, hashes: Sequence[str]) -> None:
        """See to it that these files outlast a power cut, and note that they do."""
        for sha256 in hashes:
            with suppress(FileNotFoundError):  # taken out for a job meanwhile, or made room for another
                sync(self.path(sha256))
        if hashes:
            sync(self.store)
        self.shelf.settle(hashes)

    def job_folder(self, job_id: str) -> str:
        """The folder of a job; the id is a bare name."""
        if not _JOB_ID.fullmatch(job_id):
            raise AgentFailure("protocol", f"not a job id: {job_id[:80]!r}")
        return os.path.join(self.jobs, job_id)

    def place(self, ref: "FileRef", folder: str) -> str:
        """Make the stored file appear in ``folder`` under its own name, verified, and return its path.

        A hard link where the file system has them, a copy elsewhere.
        """
        source, target = self._verified(ref), os.path.join(folder, ref.name)
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            shutil.copyfile(source, target)
        return target

    def decode(self, coded: "FileRef", ref: "FileRef", folder: str) -> str:
        """Decode the stored file ``coded`` to ``ref`` in ``folder``, verified, and return its path."""
        from .unpack_coded import decode_file  # numpy is not needed for anything else here

        if not _is_file_name(ref.name):
            raise AgentFailure("protocol", f"not a file name: {ref.name[:80]!r}")
        target = os.path.join(folder, ref.name)
        decode_file(self._verified(coded), target, ref.sha256)
        return target

    def lend(self, ref: "FileRef", folder: str) -> str:
        """Move the stored file to ``folder`` under its own name, its only one, verified, and return its path.

        Whoever takes it moves it back: until then the store lacks it.
        """
        source, target = self._verified(ref), os.path.join(folder, ref.name)
        if os.stat(source).st_nlink == 1:
            os.replace(source, target)
        else:
            shutil.copyfile(source, target)
        return target

    def _verified(self, ref: "FileRef") -> str:
        """Where the file is, after its name and content were checked."""
        if not _is_file_name(ref.name):
            raise AgentFailure("protocol", f"not a file name: {ref.name[:80]!r}")
        source = self.path(ref.sha256)
        if not os.path.isfile(source):
            raise AgentFailure("protocol", f"{ref.name}: {ref.sha256} was not pushed", "push it again")
        if sha256_of(source) != ref.sha256:
            os.unlink(source)
            raise AgentFailure(
                "protocol", f"{ref.name}: altered on the device since it was pushed", "run again"
            )
        return source

    def clean(self) -> int:
        """Remove everything but the agent; how many bytes that freed."""
        freed = 0
        for folder in filter(os.path.isdir, (self.store, self.jobs, self.engines)):
            for where, _, names in os.walk(folder):
                freed += sum(os.lstat(os.path.join(where, name)).st_size for name in names)
            shutil.rmtree(folder)
        with suppress(FileNotFoundError):  # nothing was pushed yet
            os.unlink(os.path.join(self.root, USES))
        return freed
