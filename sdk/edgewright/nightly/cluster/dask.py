"""Dask distributed without pickle: what of it a farm needs, and nothing else.

Dask's tasks are pickles, and whoever may submit one may have any code run. So no task is ever submitted here.
What is used is the scheduler's knowledge of who is there and what they have (their *resources*), its
connections, and their encryption. :func:`distributed` takes the rest away: pickles are neither written nor
read in this process any more, and scheduler and workers answer to a handful of messages, all others are
unknown to them.
"""

from __future__ import annotations

import ipaddress
import logging
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from edgewright.errors import ConfigError
from edgewright.untrusted import one_line

#: What one process asks another for.
ORDER, STOP, MISSING, PUT, FETCH = (
    f"edgewright-{name}" for name in ("order", "stop", "missing", "put", "fetch")
)
#: What Dask's own processes have to say to each other.
OF_SCHEDULER = frozenset({"identity", "register-worker", "heartbeat_worker", "unregister"})
FROM_WORKERS = frozenset({"keep-alive", "log-event", "worker-status-change"})
OF_WORKER = frozenset({"identity", "terminate"})
FROM_SCHEDULER = frozenset({"close", "remove-worker", "worker-status-change"})


@dataclass(frozen=True)
class Tls:
    """The files of one process: who vouches for the site's processes, and its own certificate and key."""

    ca: Path
    cert: Path
    key: Path


def site_resource(site: str) -> str:
    """What a worker of the site has, as Dask knows it."""
    return f"site-{site}"


@cache
def distributed() -> Any:
    """The package, once pickles are refused.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import distributed as package
        import distributed.protocol.pickle as codec
    except ImportError as error:
        raise ConfigError(f"no Dask: {error}", mend="pip install 'edgewright[dask]'") from None
    instead = {codec.dumps: _refuse, codec.loads: _refuse, package.core.error_message: _told}
    for name, module in list(sys.modules.items()):
        if name.startswith("distributed."):
            for attribute in ("dumps", "loads", "error_message"):
                found = getattr(module, attribute, None)
                if callable(found) and found in instead:
                    setattr(module, attribute, instead[found])
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return package


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("pickles are neither written nor read here")


def _told(error: BaseException, status: str = "error") -> dict[str, str]:
    """What a server answers when something went wrong: words, where Dask sends a pickled exception."""
    return {"status": status, "exception_text": one_line(repr(error))}


def only(handlers: dict[str, Any], wanted: Collection[str]) -> None:
    """Leave a server but these of its handlers."""
    for name in set(handlers) - set(wanted):
        del handlers[name]


def check_address(address: str, tls: Tls | None) -> str:
    """An address as Dask takes it; beyond this machine it has to be encrypted.

    Raises:
        ConfigError: it is none, or not encrypted, or without the files for that.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("tcp", "tls") or not host or port is None or parts.path or parts.username:
        raise ConfigError(f"{address!r} is not an address", mend="tls://HOST:PORT, or tcp://127.0.0.1:PORT")
    if parts.scheme == "tcp" and not _is_here(host):
        raise ConfigError(
            f"{address}: not encrypted, and not on this machine",
            mend="tls://HOST:PORT with --tls-ca, --tls-cert and --tls-key",
        )
    if (parts.scheme == "tls") != (tls is not None):
        wanted = "needs --tls-ca, --tls-cert and --tls-key" if tls is None else "takes no --tls files"
        raise ConfigError(f"{address}: {parts.scheme} {wanted}")
    return address


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def security(tls: Tls | None) -> Any:
    """Dask's own description: each side shows its certificate, and each checks the other's.

    Raises:
        ConfigError: a file cannot be used.
    """
    package = distributed()
    if tls is None:
        return package.Security(require_encryption=False)
    for path in (tls.ca, tls.cert, tls.key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    roles = ("client", "scheduler", "worker")
    pairs = {f"tls_{role}_{what}": str(getattr(tls, what)) for role in roles for what in ("cert", "key")}
    made = package.Security(tls_ca_file=str(tls.ca), require_encryption=True, **pairs)
    try:
        made.get_connection_args("client")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(f"{tls.cert}: cannot be used with its key and {tls.ca}: {error}") from None
    return made
