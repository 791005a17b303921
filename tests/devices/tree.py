"""Writing trees of small files as a kernel shows them, and commands that answer from files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_COMMAND = """#!/bin/sh
# Answers with the file named by its words; what has no file is not registered with this firmware.
answer="${0%/*}/../../run/${0##*/}/$(echo "$*" | tr ' /' '__')"
if [ -f "$answer" ]; then exec cat "$answer"; fi
echo 'error=1 error_msg="Command not registered"'
"""


def put(root: Path, path: str, value: object) -> None:
    """Write an attribute under ``root`` in one step."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.parent / f".{file.name}.part"
    part.write_bytes(value if isinstance(value, bytes) else f"{value}\n".encode())
    part.replace(file)


def put_all(root: Path, folder: str, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        put(root, f"{folder}/{name}", value)


def link(root: Path, path: str, target: str) -> None:
    """A relative link, as sysfs makes them."""
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(root / target, place.parent))


def command(root: Path, name: str, answers: Mapping[str, str]) -> None:
    """A vendor command with fixed answers; each can be replaced while it is in use."""
    program(root, name, _COMMAND)
    for words, text in answers.items():
        put(root, f"run/{name}/{words.replace(' ', '_').replace('/', '_')}", text)


def program(root: Path, name: str, text: str) -> Path:
    """A command that does what ``text`` says."""
    file = root / "usr/bin" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


def denied_command(root: Path, name: str, text: str) -> None:
    """A command that prints why it cannot work on standard output and ends with 255."""
    program(root, name, f"#!/bin/sh\nprintf '%s\\n' \"{text}\"\nexit 255\n")
