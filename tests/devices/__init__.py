"""Stand-ins for devices, made fresh for a test and gone after it."""

from __future__ import annotations

import os
import shutil

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test when what it needs is missing; in CI fail it, so that nothing goes untested."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def require_command(*names: str) -> None:
    """Require programs; those for the administrator are looked for too."""
    for name in names:
        require(find_command(name), f"{name} is not installed")


def find_command(name: str) -> str | None:
    """The program's path, also when it is one that only the administrator's PATH has."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
