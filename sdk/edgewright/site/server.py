"""The server: HTTP/1.1 with GET and HEAD, a thread a connection, every request through the gate."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from edgewright.errors import ConfigError, StoreError

from .gate import Admitted, Gate, Refused
from .live import Answer, Live, refusal
from .pages import LIVE_POLICY

_MOST_CONNECTIONS = 64
_IDLE_S = 30.0
_LINES_AT_ONCE = 1000
_TEXT = "text/plain; charset=utf-8"
#: No other site may frame, embed or read an answer, nor a browser guess what it is or keep it.
_HEADERS = {
    "Content-Security-Policy": f"{LIVE_POLICY}; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class SiteServer(ThreadingHTTPServer):
    """Listens once it is made; :meth:`serve_forever` answers.

    Args:
        host: a name or an address.
        port: 0 for any that is free.

    Raises:
        ConfigError: it cannot listen there.
    """

    daemon_threads = True
    request_queue_size = 32
    gate: Gate
    live: Live

    def __init__(self, host: str, port: int) -> None:
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__((str(address[0]), port), _Handler)
        except OSError as error:
            raise ConfigError(f"{host} port {port}: cannot listen there: {error.strerror}") from error
        self.host = host

    @property
    def port(self) -> int:
        """That it listens on."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """Where a browser finds it, the token included."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        token = f"?token={quote(self.gate.token, safe='')}" if self.gate.token else ""
        return f"http://{name}:{self.port}/{token}"

    def server_bind(self) -> None:
        """Without the look-up of this host's name that http.server does, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for a connection, unless there are too many."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Its room is free again when it ends, however it does."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no error; anything else shows on standard error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "edgewright", ""
    timeout = _IDLE_S
    server: SiteServer

    def do_GET(self) -> None:
        """Answer."""
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(has_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: an address may hold the token."""

    def _answer(self, *, has_body: bool) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows is a body that nobody reads, and no request
        try:
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query, max_num_fields=20))
        except ValueError:
            self._send(Answer(b"no address of this site\n", _TEXT, 400), {}, has_body=has_body)
            return
        admitted = self._admitted(query.get("token", ""))
        if isinstance(admitted, Refused):
            self.close_connection = True
            self._send(Answer(f"{admitted.reason}\n".encode(), _TEXT, admitted.status), {}, has_body=has_body)
            return
        if admitted.by_address:
            headers = {
                "Location": "/" + quote(address.path.lstrip("/")),
                "Set-Cookie": self.server.gate.cookie(),
            }
            self._send(Answer(b"", _TEXT, 303), headers, has_body=has_body)
            return
        try:
            found = self.server.live.answer(unquote(address.path).removeprefix("/"), query)
        except (ConfigError, StoreError) as error:
            found = refusal(error)
        missing = Answer(b"there is no such page\n", _TEXT, 404)
        self._send(found or missing, {}, has_body=has_body)

    def _admitted(self, token: str) -> Admitted | Refused:
        if len(self.headers.get_all("Host", ())) != 1:
            return Refused(400, "a request names one host")
        return self.server.gate.check(self.headers, token)

    def _send(self, answer: Answer, headers: dict[str, str], *, has_body: bool) -> None:
        self.send_response(answer.status)
        disposition = {"Content-Disposition": f'attachment; filename="{answer.file}"'} if answer.file else {}
        told = {"Content-Type": answer.kind, **disposition, **headers}
        is_chunked = answer.lines is not None and self.request_version != "HTTP/1.0"
        if is_chunked:
            told["Transfer-Encoding"] = "chunked"
        elif answer.lines is None:
            told["Content-Length"] = str(len(answer.body))
        else:
            self.close_connection = True  # its end is the end of the answer
        if answer.status == 401:
            told["WWW-Authenticate"] = "Bearer"
        for name, value in {**_HEADERS, **told}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if has_body:
            self.wfile.write(answer.body)
            self._send_lines(answer.lines, is_chunked=is_chunked)

    def _send_lines(self, lines: Iterator[str] | None, *, is_chunked: bool) -> None:
        """As RFC 9112, section 7.1, has it, or as they are."""
        while piece := "".join(islice(lines or (), _LINES_AT_ONCE)).encode():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")
