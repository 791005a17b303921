"""Changing what belongs to the administrator: directly where that is allowed, else by ``sudo``, unasked."""

import getpass
import os
import re
import subprocess
from typing import List, Sequence

from ..failure import AgentFailure
from ..sensors import commands

#: How long a command of a vendor may take: nvpmodel switches cores and clocks one after the other.
COMMAND_S = 30.0
_WORDS = 300
_DIGIT = re.compile(r"(?<=policy)[0-9](?=/)")


class RefusedError(Exception):
    """It was not changed; the message says why, ``mend`` what to do about it."""

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend

    def failure(self) -> AgentFailure:
        """As the end of a job."""
        return AgentFailure("conditions-refused", str(self), self.mend)


def write_attribute(path: str, value: str) -> None:
    """Write one of the kernel's attributes.

    Raises:
        RefusedError: it cannot be, not with sudo either, or its driver refuses the value.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    except PermissionError as error:
        why = f"{path}: {error.strerror}"
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    else:
        try:
            os.write(handle, value.encode("ascii"))
        except OSError as error:
            raise RefusedError(f"{path} refuses {value!r}: {error.strerror}") from error
        finally:
            os.close(handle)
        return
    command = [commands.locate("tee") or "tee", path]
    _sudo(command, why, [f"{command[0]} {_DIGIT.sub('[0-9]', path)}"], value)


def run_privileged(command: Sequence[str], allow: Sequence[str]) -> str:
    """Run a command as the administrator to its end, and return the last of what it said.

    Args:
        command: its path and its words.
        allow: what sudo must allow for this and for undoing it, as written in a sudoers file.

    Raises:
        RefusedError: this user may not, or it ended badly.
    """
    if os.geteuid() == 0:
        return _run(list(command), _words_of(command))
    return _sudo(list(command), _for_administrator(command), allow)


def check_privileged(command: Sequence[str], allow: Sequence[str]) -> None:
    """Ask whether a command could be run as the administrator, without running it.

    Raises:
        RefusedError: it could not.
    """
    if os.geteuid() != 0:
        _sudo(["-l", *command], _for_administrator(command), allow)


def _for_administrator(command: Sequence[str]) -> str:
    return f"{_words_of(command)} is for the administrator"


def _words_of(command: Sequence[str]) -> str:
    return " ".join([os.path.basename(command[0]), *command[1:]])


def _sudo(words: List[str], why: str, allow: Sequence[str], stdin: str = "") -> str:
    sudo = commands.locate("sudo")
    if not sudo:
        raise RefusedError(f"{why}, and there is no sudo", "see docs/conditions.md for what to allow")
    try:
        return _run([sudo, "-n", *words], "sudo -n", stdin)
    except RefusedError as error:
        raise RefusedError(f"{why}; {error}", f"in /etc/sudoers.d/edgewright there: {_rule(allow)}") from None


def _rule(allow: Sequence[str]) -> str:
    """The line that lets this user run these commands and no others."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        user = f"#{os.geteuid()}"
    return f"{user} ALL=(root) NOPASSWD: {', '.join(allow)}"


def _run(command: List[str], name: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(
            command,
            input=stdin.encode("ascii"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_S,
            check=False,
            env=dict(os.environ, LC_ALL="C"),
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(f"{name} did not end within {COMMAND_S:g} s") from None
    except OSError as error:
        raise RefusedError(f"{name} cannot be started: {error.strerror}") from error
    said = " ".join(done.stdout.decode("utf-8", "replace").split())[-_WORDS:]
    if done.returncode != 0:
        raise RefusedError(f"{name}: {said or f'ended with status {done.returncode}'}")
    return said
