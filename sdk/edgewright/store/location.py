"""Where results are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from edgewright.config import printable
from edgewright.errors import ConfigError

VARIABLE = "EDGEWRIGHT_STORE"
_EXPECTED = "expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
#: How a PostgreSQL database may be called; the last says by which driver it is reached.
_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")


def default_location(environ: Mapping[str, str] = os.environ) -> str:
    """``EDGEWRIGHT_STORE``, else ``edgewright/store.sqlite`` in the user's data directory (XDG)."""
    if environ.get(VARIABLE):
        return environ[VARIABLE]
    # The XDG specification has relative paths ignored.
    data = Path(environ.get("XDG_DATA_HOME", ""))
    home = data if data.is_absolute() else Path.home() / ".local" / "share"
    return str(home / "edgewright" / "store.sqlite")


def database_url(location: str | Path) -> URL:
    """A path is a SQLite file; anything with ``://`` is a URL of SQLite or PostgreSQL.

    Raises:
        ConfigError: it is a URL of something else, or none; the message holds nothing secret.
    """
    text = str(location)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).expanduser().absolute()))
    scheme = printable(text.partition("://")[0])
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(f"store {scheme}://...: not a database URL", mend=_EXPECTED) from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return url
    if url.drivername not in _POSTGRESQL:
        raise ConfigError(f"store {scheme}://...: neither SQLite nor PostgreSQL", mend=_EXPECTED)
    if "@" in (url.host or ""):
        raise ConfigError(
            f"store {scheme}://...: an '@' too many", mend="in a user's name or password, write it as %40"
        )
    return url.set(drivername=_POSTGRESQL[-1])


def shown(url: URL) -> str:
    """The file, or the URL without its passwords."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    secret = {name: "hidden" for name in url.query if "password" in name.lower()}
    name = url.get_backend_name()
    return url.update_query_dict(secret).set(drivername=name).render_as_string(hide_password=True)
