"""What every page of Edgewright shares: its frame and look, and how texts get into it.

A page asks for nothing: a content security policy lets only the scripts that are named run. Whatever others
wrote is escaped by the templates; data for scripts is JSON without any character that an HTML parser, or an
old JavaScript, would read.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PACKAGE = "edgewright.report.frame"


def environment(package: str) -> Environment:
    """Templates of a package, which may extend ``frame.html.j2``; everything is escaped."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(_PACKAGE, "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def asset(package: str, name: str) -> str:
    """A file of a package, with the same line ends everywhere."""
    return (resources.files(package) / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def style(*sheets: tuple[str, str]) -> Markup:
    """The frame's style, and behind it other style sheets: a package and a name each."""
    texts = [asset(_PACKAGE, "frame.css"), *(asset(package, name) for package, name in sheets)]
    return Markup("".join(texts))  # noqa: S704 - files of ours


def frame_script() -> str:
    """What the pages' scripts have in common: light and dark, tables that sort, reasons that show."""
    return asset(_PACKAGE, "frame.js")


def policy(*scripts: str, images: bool = False) -> str:
    """The content security policy of a page that holds everything it needs, and may run these scripts."""
    allowed = " ".join(map(_hash, scripts)) or "'none'"
    drawn = " img-src data: blob:;" if images else ""
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline';{drawn} "
        "base-uri 'none'; form-action 'none'"
    )


def script(text: str) -> Markup:
    """Code of ours, or of a library, inside a page.

    Raises:
        ValueError: it would end its own element.
    """
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("a script of the page would end its own element")
    return Markup(text)  # noqa: S704 - checked above, and run only under its hash


def data(value: Any) -> Markup:
    """JSON that means nothing to an HTML parser, and the same to every JavaScript."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - ASCII that holds no character which HTML reads


def moment(iso: str) -> str:
    """An ISO time in UTC as people write it; anything else as it is."""
    return f"{iso[:10]} {iso[11:16]} UTC" if iso.endswith("+00:00") and iso[10:11] == "T" else iso


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
