"""Finding and reading device profiles.

A name is looked for in the folders of the variable ``EDGEWRIGHT_PROFILES`` (separated as in PATH), in
``./device_profiles``, and among those that Edgewright ships; the first folder that has it wins. A path
that ends in ``.toml`` is read as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .config import did_you_mean, parse, problems, read_toml, user_path
from .errors import ConfigError
from .profile import DeviceProfile

VARIABLE = "EDGEWRIGHT_PROFILES"


def shipped_folder() -> Path:
    """Where the profiles that come with Edgewright are: in the wheel, or in the checkout.

    Raises:
        ConfigError: when the installation lacks them.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "device_profiles", package.parents[1] / "device_profiles"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"{package}: the device profiles are missing", mend="install edgewright again")


def profile_folders() -> tuple[Path, ...]:
    """The folders that are looked through, in order, each once.

    Raises:
        ConfigError: when ``EDGEWRIGHT_PROFILES`` names something that is not a folder.
    """
    folders: list[Path] = []
    for text in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        folder = user_path(text, VARIABLE)
        if not folder.is_dir():
            raise ConfigError(f"{VARIABLE}: {folder} is not a folder")
        folders.append(folder)
    if (own := Path("device_profiles")).is_dir():
        folders.append(own)
    folders.append(shipped_folder())
    return tuple({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]


def profile_paths() -> dict[str, Path]:
    """Every profile's file by name, sorted by name."""
    found: dict[str, Path] = {}
    for folder in reversed(profile_folders()):
        found.update({path.stem: path for path in folder.glob("*.toml")})
    return dict(sorted(found.items()))


def profile_names() -> tuple[str, ...]:
    """The names that :func:`load_profile` knows, sorted."""
    return tuple(profile_paths())


def load_profile(name_or_path: str | Path) -> DeviceProfile:
    """The profile of that name, or the one in that ``.toml`` file.

    Raises:
        ConfigError: for an unknown name with the nearest known one, or a file that breaks the schema.
    """
    if str(name_or_path).endswith(".toml"):
        return _read(user_path(str(name_or_path), "profile"))
    paths = profile_paths()
    name = str(name_or_path)
    if name not in paths:
        raise ConfigError(f"unknown profile {name!r}", mend=did_you_mean(name, paths))
    return _read(paths[name])


def load_profiles() -> dict[str, DeviceProfile]:
    """All profiles by name, sorted.

    Raises:
        ConfigError: for the first file that breaks the schema.
    """
    return {name: _read(path) for name, path in profile_paths().items()}


def profile_problems(path: Path) -> tuple[ConfigError, ...]:
    """All that is wrong with a profile's file, one error a key; empty when nothing is."""
    try:
        return problems(_tables(path), DeviceProfile, str(path))
    except ConfigError as error:
        return (error,)


def match_profile(
    arch: str, features: frozenset[str], board: str, profiles: Mapping[str, DeviceProfile]
) -> str | None:
    """The name of the profile that fits a machine best, or None when none does.

    The longest ``board_patterns`` that fits the board's own name decides. Of profiles for any board
    (``*``), the one wins that asks for the most CPU features and gets all of them.
    """
    fitting: list[tuple[int, int, str]] = []
    for name, profile in profiles.items():
        hardware = profile.hardware
        if hardware.arch != arch:
            continue
        for pattern in hardware.board_patterns:
            complete = all(features & set(wanted.split("|")) for wanted in hardware.features)
            if fnmatchcase(board.lower(), pattern.lower()) and (complete or pattern != "*"):
                fitting.append((len(pattern), len(hardware.features), name))
    return max(fitting)[2] if fitting else None


def _tables(path: Path) -> dict[str, Any]:
    data = read_toml(path)
    if "name" in data:
        raise ConfigError(f"{path}: unknown key 'name'", mend="a profile is named by its file")
    return {**data, "name": path.stem}


def _read(path: Path) -> DeviceProfile:
    return parse(_tables(path), DeviceProfile, str(path))
