"""A folder of small wheels in place of an index: stand-ins that install and import as the real ones do."""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from edgewright.provision.host_pip import HostPip, NoWheelError
from edgewright.provision.platform import Platform

from . import require

#: Takes part in the imports of the agent's runtimes, and computes nothing.
_NUMPY = """
__version__ = {version!r}

class _Anything(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything

class Anything(metaclass=_Anything):
    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything
"""
_ONNXRUNTIME = """
import numpy
__version__ = {version!r}

def set_default_logger_severity(level): pass
def set_seed(seed): pass
def get_available_providers(): return ["CPUExecutionProvider"]
"""
_BROKEN = "raise ImportError('libstandin.so.1: cannot open shared object file')\n"


class Wheelhouse:
    """Wheels in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a pip look here and nowhere else."""
        return {
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder),
            "PIP_INDEX_URL": "",
            "PIP_EXTRA_INDEX_URL": "",
        }

    def add_pip(self) -> Path:
        """The pip that comes with this Python."""
        found = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
        require(found, "this Python has no pip of its own to give away")
        return Path(shutil.copy(found[-1], self.folder))

    def add_numpy(self, version: str = "2.2.0") -> Path:
        """A stand-in of numpy."""
        return self.add("numpy", version, {"numpy/__init__.py": _NUMPY.format(version=version)})

    def add_onnxruntime(
        self, version: str = "1.32.0", *, works: bool = True, tag: str = "py3-none-any"
    ) -> Path:
        """A stand-in of onnxruntime; one that does not work cannot be imported."""
        text = _ONNXRUNTIME.format(version=version) if works else _BROKEN
        files = {"onnxruntime/__init__.py": text}
        return self.add("onnxruntime", version, files, tag=tag, requires=["numpy>=1.21"])

    def add(
        self,
        name: str,
        version: str,
        files: Mapping[str, str],
        *,
        tag: str = "py3-none-any",
        requires: Sequence[str] = (),
    ) -> Path:
        """A wheel of these files."""
        info = f"{name}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
        metadata += [f"Requires-Dist: {text}\n" for text in requires]
        contents = {
            **files,
            f"{info}/METADATA": "".join(metadata),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        record = "".join(f"{path},{_hash(text)},{len(text.encode())}\n" for path, text in contents.items())
        contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
        path = self.folder / f"{name}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, text in contents.items():
                archive.writestr(file, text)
        return path


class FolderPip(HostPip):
    """What :class:`HostPip` finds in a wheelhouse, without a process of pip's own for each question."""

    def __init__(self, house: Wheelhouse) -> None:
        self._folder = house.folder

    def versions(self, name: str, platform: Platform) -> tuple[Version, ...]:
        return tuple(sorted(self._fitting(name, platform), reverse=True))

    def download(
        self, requirements: Sequence[str], platform: Platform, into: Path, *, alone: bool = False
    ) -> None:
        into.mkdir()
        for requirement in map(Requirement, requirements):
            found = self._fitting(requirement.name, platform)
            fitting = [version for version in found if version in requirement.specifier]
            if not fitting:
                raise NoWheelError(str(requirement), platform)
            shutil.copy(found[max(fitting)], into)

    def _fitting(self, name: str, platform: Platform) -> dict[Version, Path]:
        found = {}
        for path in self._folder.glob("*.whl"):
            project, version, _, tags = parse_wheel_filename(path.name)
            if project == name and tags & platform.tags:
                found[version] = path
        return found


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
