"""Which version of the user's project is measured, so that a change can be laid to one."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

#: Where continuous builds say it: GitHub, GitLab, Jenkins, and whatever else the user sets.
_VARIABLES = ("EDGEWRIGHT_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT")
_COMMIT = re.compile(r"[0-9A-Za-z._/+-]{1,79}")
_LIMIT_S = 10


def project_commit(folder: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The commit that a folder is at, with a ``+`` when tracked files differ from it; empty without one."""
    for name in _VARIABLES:
        told = environ.get(name, "")
        if _COMMIT.fullmatch(told):
            return told
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit or not _COMMIT.fullmatch(commit):
        return ""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if changed else commit


def _git(folder: Path, *words: str) -> str:
    """What git says; empty where there is no repository, no commit or no git."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
