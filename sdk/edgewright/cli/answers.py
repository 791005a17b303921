"""How a comparison leaves the command line: the exit code from its answers, and its JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.errors import ConfigError, EdgewrightError
from edgewright.files import write_atomic

if TYPE_CHECKING:
    from pydantic import BaseModel

    from edgewright.report.decision import Answer

SAME_OR_FASTER, SLOWER, CANNOT_TELL = 0, 1, 4


def answer_code(answers: Sequence[Answer]) -> int:
    """1 when any is slower, else 4 when any cannot be told or there is none, else 0."""
    if "slower" in answers:
        return SLOWER
    return CANNOT_TELL if "cannot tell" in answers or not answers else SAME_OR_FASTER


def write_json(document: BaseModel, path: Path) -> None:
    """Write the document, whole or not at all.

    Raises:
        ConfigError: the file cannot be written there; any other error would end like a "slower".
    """
    from edgewright.report.plain import render_json

    try:
        write_atomic(path, render_json(document).encode("utf-8"))
    except EdgewrightError as error:
        raise ConfigError(error.message) from error
