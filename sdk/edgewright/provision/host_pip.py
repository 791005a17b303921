"""This host's pip: what wheels there are for a device's platform, and fetching them.

The index is whatever this host's pip is set up for. Its address is never shown or kept, for it may hold a
password.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

from edgewright.errors import ConfigError, EdgewrightError
from edgewright.untrusted import one_line
from edgewright_agent.protocol_provision import pip_reason

from .platform import Platform

_ASK_S = 180.0
_FETCH_S = 3600.0
_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off", "LC_ALL": "C"}
_VERSIONS = re.compile(r"^Available versions: (.+)$", re.MULTILINE)
_NO_MATCH = re.compile(r"No matching distribution found for ([^\s(;]+(?:\s*\([^)]*\))?)")
_CONFLICT = re.compile(r"ResolutionImpossible|conflicting dependencies|Cannot install")


class NoWheelError(EdgewrightError):
    """There is no wheel of ``requirement`` for the platform."""

    def __init__(self, requirement: str, platform: Platform) -> None:
        super().__init__(f"there is no wheel of {requirement} for {platform}")
        self.requirement = requirement


class HostPip:
    """pip beside Edgewright, asked about other platforms than its own."""

    def versions(self, name: str, platform: Platform) -> tuple[Version, ...]:
        """The versions of a package that have a wheel for the platform, the newest first; perhaps none.

        Raises:
            EdgewrightError: the index cannot be reached.
        """
        done = self._run(["index", "versions", *platform.pip_words, name], _ASK_S)
        if done.returncode == 0:
            match = _VERSIONS.search(done.stdout)
            return tuple(_versions(match[1] if match else ""))
        if _kind(done) == "refused" and _NO_MATCH.search(done.stderr + done.stdout):
            return ()
        raise _failed(done, f"asking for {name}")

    def download(
        self, requirements: Sequence[str], platform: Platform, into: Path, *, alone: bool = False
    ) -> None:
        """Fetch wheels that satisfy the requirements, and what those need in turn unless ``alone``.

        Raises:
            NoWheelError: one of them has none.
            EdgewrightError: the index cannot be reached, or the requirements contradict each other.
        """
        words = ["download", "--quiet", "--dest", str(into), *platform.pip_words]
        if alone:
            words.append("--no-deps")
        done = self._run([*words, "--", *requirements], _FETCH_S)
        if done.returncode == 0:
            return
        text = done.stderr + done.stdout
        missing = _NO_MATCH.search(text)
        if _kind(done) == "refused" and missing and not _CONFLICT.search(text):
            raise NoWheelError(missing[1], platform)
        raise _failed(done, f"fetching {', '.join(requirements)}")

    def _run(self, words: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pip", *words]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                env={**os.environ, **_QUIET},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EdgewrightError(f"this host's pip did not end within {timeout_s:g} s") from None
        if done.returncode != 0 and "No module named pip" in done.stderr:
            raise ConfigError(
                f"{sys.executable} has no pip, which fetches the wheels",
                mend="python -m ensurepip, or install pip",
            )
        return done


def _versions(text: str) -> list[Version]:
    found = []
    for word in text.split(","):
        try:
            found.append(Version(word.strip()))
        except InvalidVersion:
            continue  # older than the rules for versions; nothing here is
    return sorted(found, reverse=True)


def _kind(done: subprocess.CompletedProcess[str]) -> str:
    return pip_reason((done.stdout + done.stderr).splitlines())[0]


def _failed(done: subprocess.CompletedProcess[str], what: str) -> EdgewrightError:
    kind, reason = pip_reason((done.stdout + done.stderr).splitlines())
    told = one_line(reason)
    if kind == "unreachable":
        return EdgewrightError(
            f"this host's pip cannot reach its index while {what}: {told}",
            mend="connect this host, or set its pip up: pip config list",
        )
    return EdgewrightError(f"this host's pip failed {what}: {told}")
