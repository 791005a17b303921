"""Writing trees of small files as a kernel shows them, and commands that answer from files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_COMMAND = """#!/bin/sh
# Answers with the file named by its words; what has no file is not registered with this firmware.
answer="${0%/*}/../../run/${0##*/}/$(echo "$*" | tr ' ' '_')"
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
    program = root / "usr/bin" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(_COMMAND)
    program.chmod(0o755)
    for words, text in answers.items():
        put(root, f"run/{name}/{words.replace(' ', '_')}", text)


def denied_command(root: Path, name: str, text: str) -> None:
    """A command that prints why it cannot work on standard output and ends with 255."""
    program = root / "usr/bin" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{text}\"\nexit 255\n")
    program.chmod(0o755)
