"""The site over HTTP: the same pages, and nobody but who should reads them."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import HOSTILE
from tests.sites import Made, fill

from edgewright.cli.site import serve
from edgewright.errors import ConfigError
from edgewright.site.gate import Admitted, Gate, Headers, Refused, is_loopback, make_gate
from edgewright.site.live import Live
from edgewright.site.server import SiteServer
from edgewright.store import Store

TOKEN = "a-token-of-some-length"


@dataclass
class Served:
    """A server of a filled store, on loopback."""

    server: SiteServer
    made: Made
    store: Store

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection.putrequest(method, path, skip_host=bool(headers and "Host" in headers))
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def status(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> int:
        return self.ask(path, headers, method)[0].status


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = fill(tmp_path_factory.mktemp("served") / "store.sqlite")
    with Store.open(made.path) as store, SiteServer("127.0.0.1", 0) as server:
        server.gate = make_gate("127.0.0.1", server.port, None, ())
        server.live = Live(store, 0.05)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Served(server, made, store)
        server.shutdown()
        thread.join()


@pytest.fixture
def guarded(served: Served) -> Iterator[Served]:
    """The same server while it asks for a token."""
    free = served.server.gate
    served.server.gate = make_gate("127.0.0.1", served.server.port, TOKEN, ())
    yield served
    served.server.gate = free


def headers(**given: str) -> Headers:
    found = Message()
    for name, value in given.items():
        found[name.replace("_", "-")] = value
    return found


def test_every_page_of_the_folder_is_served(served: Served) -> None:
    live = served.server.live
    pages = ["", "index.html", "matrix.html", "devices.html", "series.html", "runs.html", "compare.html"]
    pages += ["assets/site.css", "assets/site.js", "assets/series.js", "assets/compare.js"]
    pages += ["data/series.js", "data/runs.js"]
    book = live._shown.book
    for device in book.snapshot.devices:
        pages += [f"devices/{device.slug}.html", f"pareto/{device.slug}.html"]
    pages += [f"matrix/{one.slug}.html" for one in book.workloads]
    pages += [f"series/{one.slug}.html" for one in book.snapshot.series]
    pages += [f"runs/{served.made.run_ids[-1]}.html", f"data/runs/{served.made.run_ids[-1]}.js"]
    for page in pages:
        response, body = served.ask(f"/{page}")
        assert (response.status, int(response.headers["Content-Length"])) == (200, len(body)), page
        assert body and b"<script>window" not in body and b"\x1b" not in body
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "unsafe" not in response.headers["Content-Security-Policy"]


def test_raw_samples_come_as_a_file(served: Served) -> None:
    response, body = served.ask(f"/samples/{served.made.run_ids[0]}/1.csv")
    assert response.headers["Content-Disposition"] == f'attachment; filename="{served.made.run_ids[0]}-1.csv"'
    assert body.startswith(b"attempt,launch,phase,number,latency_ns\n") and body.count(b"\n") > 150
    for missing in ("0", "99", "6", "999999999"):  # none, none, skipped, none
        assert served.status(f"/samples/{served.made.run_ids[0]}/{missing}.csv") == 404


def test_raw_samples_are_never_held_whole(served: Served) -> None:
    """They come in pieces, after which the connection goes on, or up to its end for an old client."""
    path = f"/samples/{served.made.run_ids[0]}/1.csv"
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=20)
    bodies = []
    for _ in range(2):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in response.headers
        bodies.append(response.read())
    connection.request("HEAD", path)
    assert connection.getresponse().read() == b""
    connection.close()
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=20) as old:
        old.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{served.server.port}\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: old.recv(1 << 16), b"")).partition(b"\r\n\r\n")
    assert b"chunked" not in head and bodies == [body, body]


def test_two_runs_are_compared_by_their_samples(served: Served) -> None:
    a, b = served.made.run_ids[-2:]
    response, body = served.ask(f"/exact.html?a={a}&b={b}")
    assert response.status == 200 and b"cannot tell" in body  # two launches are too few for an answer
    assert served.status(f"/exact.html?a={a}&b=nothing") == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/series/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/assets/../site.css",
        "/runs/%00.html",
        "/series/x;.html",
        "/data/runs/..%5c..%5cx.js",
        "/samples/" + "9" * 5000,
        "/server.py",
        "/index.html/",
    ],
)
def test_a_path_leads_to_a_page_or_nowhere(path: str, served: Served) -> None:
    response, body = served.ask(path)
    assert response.status == 404 and body == b"there is no such page\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X<script>"])
def test_nothing_but_reading_is_possible(method: str, served: Served) -> None:
    response, body = served.ask("/", method=method)
    assert response.status in (400, 501) and b"<script>" not in body


def test_head_has_no_body(served: Served) -> None:
    response, body = served.ask("/", method="HEAD")
    assert response.status == 200 and body == b"" and int(response.headers["Content-Length"]) > 1000


def test_foreign_names_are_refused(served: Served) -> None:
    port = served.server.port
    for good in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert served.status("/", {"Host": good}) == 200, good
    bad = ("evil.example", f"evil.example:{port}", f"10.0.0.1:{port}", "localhost", f"localhost:{port + 1}")
    for host in (*bad, "", f"localhost.evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert served.status("/", {"Host": host}) == 421, host


def test_two_hosts_or_none_are_refused(served: Served) -> None:
    for lines in (b"", f"Host: localhost:{served.server.port}\r\n".encode() * 2):
        with socket.create_connection(("127.0.0.1", served.server.port), timeout=20) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_other_sites_requests_are_refused(served: Served) -> None:
    port = served.server.port
    own = {"Host": f"localhost:{port}"}
    assert served.status("/", {**own, "Origin": f"http://localhost:{port}"}) == 200
    for origin in ("http://evil.example", "null", f"http://localhost:{port + 1}", "http://localhost", ""):
        assert served.status("/", {**own, "Origin": origin}) == 403, origin
    assert served.status("/", {**own, "Sec-Fetch-Site": "same-origin"}) == 200
    assert served.status("/", {**own, "Sec-Fetch-Site": "none"}) == 200
    for site in ("cross-site", "same-site"):
        foreign = {**own, "Sec-Fetch-Site": site}
        script = {**foreign, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
        assert served.status("/data/series.js", script) == 403
        frame = {**foreign, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
        assert served.status("/", frame) == 403
        link = {**foreign, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert served.status("/", link) == 200


def test_without_the_token_there_is_nothing(guarded: Served) -> None:
    for path in ("/", "/data/series.js", "/assets/site.js", "/newest", "/nothing"):
        response, body = guarded.ask(path)
        assert response.status == 401 and TOKEN.encode() not in body and len(body) < 200
        assert response.headers["WWW-Authenticate"] == "Bearer"
    wrong = (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", "\xe9" * 20)
    for token in wrong:
        assert guarded.status("/", {"Authorization": f"Bearer {token}"}) == 401
        assert guarded.status("/", {"Cookie": f"edgewright-{guarded.server.port}={token}"}) == 401
    assert guarded.status("/?token=wrong") == 401


def test_the_token_opens_the_door_and_leaves_the_address(guarded: Served) -> None:
    assert guarded.status("/", {"Authorization": f"Bearer {TOKEN}"}) == 200
    response, _ = guarded.ask(f"/runs.html?token={TOKEN}")
    assert (response.status, response.headers["Location"]) == (303, "/runs.html")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite" in cookie and TOKEN not in cookie
    assert guarded.status("/runs.html", {"Cookie": cookie.partition(";")[0]}) == 200
    # It never leads away from here.
    response, _ = guarded.ask(f"//evil.example/x?token={TOKEN}")
    assert response.status == 303 and response.headers["Location"] == "/evil.example/x"
    response, _ = guarded.ask(f"/%2f/evil.example?token={TOKEN}")
    assert response.headers["Location"].startswith("/") and not response.headers["Location"].startswith("//")


def test_off_loopback_a_token_is_made() -> None:
    gates = [make_gate(host, 80, None, ()) for host in ("0.0.0.0", "192.168.1.5", "::", "bench.example")]
    assert len({gate.token for gate in gates}) == 4 and all(len(gate.token) >= 32 for gate in gates)
    assert isinstance(gates[0].check(headers(Host="192.168.1.5")), Refused)
    assert isinstance(gates[0].check(headers(Host="192.168.1.5"), gates[0].token), Admitted)
    refused = gates[0].check(headers(Host="evil.example"), gates[0].token)
    assert isinstance(refused, Refused) and refused.status == 421
    named = make_gate("0.0.0.0", 80, None, ("Bench.example",))
    assert isinstance(named.check(headers(Host="bench.EXAMPLE"), named.token), Admitted)
    assert make_gate("127.0.0.1", 80, None, ()).token == make_gate("localhost", 80, None, ()).token == ""
    assert is_loopback("127.0.0.2") and is_loopback("::1") and not is_loopback("localhost.evil.example")


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(codec="latin-1")), st.text(alphabet=st.characters(codec="latin-1")))
def test_no_header_breaks_the_gate(host: str, other: str) -> None:
    gate = Gate(frozenset({"localhost"}), any_address=False, port=80, token=TOKEN)

    class Told:
        def get(self, name: str, /) -> str | None:
            return host if name == "Host" else other

    assert isinstance(gate.check(Told(), other), Refused)


def test_short_tokens_and_ports_in_use_are_refused(served: Served, tmp_path: Path) -> None:
    store = str(tmp_path / "s.sqlite")
    Store.open(store).close()
    done = CliRunner().invoke(serve, ["--token", "secret", "--store", store])
    assert isinstance(done.exception, ConfigError) and "can be guessed" in str(done.exception)
    done = CliRunner().invoke(serve, ["--port", str(served.server.port), "--store", store])
    assert isinstance(done.exception, ConfigError) and "cannot listen there" in str(done.exception)
    done = CliRunner().invoke(serve, ["--host", "no.such.host.invalid", "--store", store])
    assert isinstance(done.exception, ConfigError)


def test_new_rows_show_once_the_store_is_read_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fakes import row

    from edgewright.row import Skipped

    run_id = served.store.begin_run("another", "", "quick")
    served.store.add_row(run_id, row(Skipped(HOSTILE)))
    served.store.finish_run(run_id)
    assert b'"is_newer": false' in served.ask("/newest")[1]  # what is shown is not old enough
    assert run_id.encode() not in served.ask("/runs.html")[1]
    monkeypatch.setattr("edgewright.site.live._LEAST_AGE_S", 0.0)
    monkeypatch.setattr("edgewright.site.live._AGES", 0.0)
    assert b'"is_newer": true' in served.ask("/newest")[1]
    assert run_id.encode() in served.ask("/runs.html")[1]
    assert b'"is_newer": false' in served.ask("/newest")[1]
