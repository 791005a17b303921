"""The renderers: each turns a report document into text of one format."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

from edgewright.config import did_you_mean
from edgewright.errors import ConfigError, EdgewrightError
from edgewright.files import write_atomic

from .document import ReportDocument

#: format -> (module, attribute) of its renderer, imported when it is used.
FORMATS: dict[str, tuple[str, str]] = {
    "csv": ("edgewright.report.plain", "render_csv"),
    "html": ("edgewright.report.html", "render_html"),
    "json": ("edgewright.report.plain", "render_json"),
    "markdown": ("edgewright.report.markdown", "render_markdown"),
    "terminal": ("edgewright.report.terminal", "render_terminal"),
}


class Renderer(Protocol):
    """Turns a document into text: every row, the failed and skipped ones with their reason."""

    def __call__(self, document: ReportDocument, /) -> str:
        """The whole text, ending in a newline."""


def renderer(format_name: str) -> Renderer:
    """The renderer of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if format_name not in FORMATS:
        raise ConfigError(
            f"no report format is called {format_name!r}", mend=did_you_mean(format_name, FORMATS)
        )
    module, attribute = FORMATS[format_name]
    found: Renderer = getattr(importlib.import_module(module), attribute)
    return found


def render(document: ReportDocument, format_name: str) -> str:
    """The document as text of one of :data:`FORMATS`."""
    return renderer(format_name)(document)


def write(document: ReportDocument, path: Path, format_name: str) -> None:
    """Write the rendered document; a reader finds the old file or the whole new one, never a part.

    Raises:
        ConfigError: the file cannot be written there.
    """
    content = render(document, format_name).encode("utf-8")
    try:
        write_atomic(path, content)
    except EdgewrightError as error:
        raise ConfigError(error.message) from error
