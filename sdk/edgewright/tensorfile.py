"""Named arrays in ``.npz`` files, the same bytes for the same arrays, never unpickled."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .boundary import summary
from .errors import ConfigError
from .files import replacing
from .workload import Array

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write durably, with fixed time stamps so that equal arrays make equal files.

    Raises:
        EdgewrightError: when the folder or file cannot be written.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, value in arrays.items():
            entry = io.BytesIO()
            np.save(entry, np.ascontiguousarray(value).reshape(value.shape), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), entry.getvalue())


def read_arrays(path: Path) -> dict[str, Array]:
    """Read an ``.npz`` file in its own order.

    Raises:
        ConfigError: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: not a readable .npz file: {summary(error)}") from error


def read_array(path: Path) -> Array:
    """Read one ``.npy`` file.

    Raises:
        ConfigError: not such a file.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        # mapped first, so that a header which claims more than the file holds does not get that memory
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            mapped.close()
            raise ConfigError(f"{path}: an archive, not a .npy file")
        return np.array(mapped)
    except (ValueError, OSError, EOFError, OverflowError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: not a readable .npy file: {summary(error)}") from error
