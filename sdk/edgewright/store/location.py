"""Where results are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from edgewright.errors import ConfigError

VARIABLE = "EDGEWRIGHT_STORE"


def default_location(environ: Mapping[str, str] = os.environ) -> str:
    """``EDGEWRIGHT_STORE``, else ``edgewright/store.sqlite`` in the user's data directory (XDG)."""
    if environ.get(VARIABLE):
        return environ[VARIABLE]
    # The XDG specification has relative paths ignored.
    data = Path(environ.get("XDG_DATA_HOME", ""))
    home = data if data.is_absolute() else Path.home() / ".local" / "share"
    return str(home / "edgewright" / "store.sqlite")


def database_url(location: str | Path) -> URL:
    """A path is a SQLite file; anything with ``://`` is a SQLAlchemy URL."""
    text = str(location)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser().absolute()))
    try:
        return make_url(text)
    except ArgumentError:
        scheme = text.partition("://")[0]
        raise ConfigError(
            f"store {scheme}://...: not a database URL",
            mend="expected sqlite:///FILE or postgresql+psycopg://...",
        ) from None


def shown(url: URL) -> str:
    """The file, or the URL without its password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.render_as_string(hide_password=True)
