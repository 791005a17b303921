"""Who may read a site that is served: checked before anything is looked up.

Three things are asked of every request. That it names this server as people do: a page of a foreign name that
was made to point here (DNS rebinding) names itself. That no other site's page made it: a browser says so.
And, off loopback, that it knows the token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Protocol

from edgewright.errors import ConfigError

#: A token that is made, in bytes; and the fewest characters of one that is given.
_TOKEN_BYTES, SHORTEST = 32, 16
_LOCAL_NAMES = ("localhost",)


class Headers(Protocol):
    """Headers of a request, by name in any case."""

    def get(self, name: str, /) -> str | None:
        """The first of that name."""


@dataclass(frozen=True)
class Refused:
    """Why a request is not answered: a status of HTTP, and a line for whoever made it."""

    status: int
    reason: str


@dataclass(frozen=True)
class Admitted:
    """It is answered. ``by_address`` says that the token stood in the address, from which it is to go."""

    by_address: bool = False


@dataclass(frozen=True)
class Gate:
    """What a server lets in.

    Attributes:
        names: that it may be called by, in lower case, besides addresses.
        any_address: whether it may be called by any IP address; else by loopback ones alone.
        port: that it listens on.
        token: that a reader must know; empty for none.
    """

    names: frozenset[str]
    any_address: bool
    port: int
    token: str

    def check(self, headers: Headers, asked_token: str = "") -> Admitted | Refused:
        """Whether a request may be answered.

        Args:
            headers: of the request.
            asked_token: the token in its address, if there is one.
        """
        host = headers.get("Host") or ""
        if not self._is_ours(host):
            return Refused(421, "this server is not called that; begin it with --name to allow another name")
        if not _is_own(headers, host):
            return Refused(403, "requests of other sites are refused")
        if not self.token:
            return Admitted()
        if asked_token and _same(asked_token, self.token):
            return Admitted(by_address=True)
        if _same(_bearer(headers), self.token) or _same(self._cookie_of(headers), self._cookie_value()):
            return Admitted()
        return Refused(401, "this server asks for its token: open the address that it printed when it began")

    def cookie(self) -> str:
        """The header that lets a browser in from then on; what it holds is made from the token."""
        return f"{self._cookie_name()}={self._cookie_value()}; HttpOnly; SameSite=Lax; Path=/"

    def _is_ours(self, host: str) -> bool:
        name, port = _parts(host)
        if port != self.port:
            return False
        address = _address(name)
        if address is None:
            return name in self.names
        return self.any_address or address.is_loopback

    def _cookie_name(self) -> str:
        return f"edgewright-{self.port}"  # a browser hands cookies to every port of a host

    def _cookie_value(self) -> str:
        return hmac.new(self.token.encode(), b"edgewright reader", hashlib.sha256).hexdigest()

    def _cookie_of(self, headers: Headers) -> str:
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie.load(headers.get("Cookie") or "")
        except CookieError:
            return ""  # somebody else's, which cannot be read
        found = cookie.get(self._cookie_name())
        return found.value if found else ""


def make_gate(host: str, port: int, token: str | None, names: tuple[str, ...]) -> Gate:
    """The gate of a server on an address.

    Args:
        host: that it listens on, a name or an address.
        port: see there.
        token: that is asked for; None for none on loopback, and for a new one elsewhere.
        names: that it may be called by, too.

    Raises:
        ConfigError: the token is too short.
    """
    if token is not None and len(token) < SHORTEST:
        raise ConfigError(
            f"a token of {len(token)} characters can be guessed",
            mend=f"give {SHORTEST} or more, or none, and one is made",
        )
    local = is_loopback(host)
    own = () if local else (host.lower(), socket.gethostname().lower())
    return Gate(
        names=frozenset(name for name in (*_LOCAL_NAMES, *own, *(n.lower() for n in names)) if name),
        any_address=not local,
        port=port,
        token=token or ("" if local else secrets.token_urlsafe(_TOKEN_BYTES)),
    )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach a server that listens there."""
    address = _address(host.lower())
    return address.is_loopback if address else host.lower() in _LOCAL_NAMES


def _is_own(headers: Headers, host: str) -> bool:
    """Whether a page of ours made the request, a person by typing or a link, or no browser at all."""
    origin = headers.get("Origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return False
    site = headers.get("Sec-Fetch-Site")
    if site in (None, "same-origin", "none"):
        return True
    # A link on another page: it opens in a window of its own, where that page reads nothing.
    return headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"


def _parts(host: str) -> tuple[str, int]:
    """The name of a Host header in lower case, and its port; -1 for what is none."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or "]" in port:
        name, port = host.lower(), "80"
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    return name, int(port) if port.isascii() and port.isdigit() and len(port) < 6 else -1


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _bearer(headers: Headers) -> str:
    kind, _, value = (headers.get("Authorization") or "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _same(told: str, known: str) -> bool:
    """Compared in a time that tells nothing of where they differ."""
    return hmac.compare_digest(told.encode("utf-8", "replace"), known.encode())
