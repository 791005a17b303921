"""A PostgreSQL server of the tests' own: an unprivileged process, in a folder that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from . import find_command, require

PASSWORD = "not@secret:at/all"
_QUOTED = "not%40secret%3Aat%2Fall"
_SETTINGS = {
    "shared_buffers": "16MB",
    "max_connections": "60",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
}
_LIMIT_S = 30.0


class Postgres:
    """One server, on a socket in its folder and on a port of loopback."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ewpg"))
        self._data, self._log = self.folder / "data", self.folder / "log"
        self._count = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._as = _somebody()
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Postgres:
        """Make its files and start it; a language's own order of texts, as most servers have it."""
        passwords = self.folder / "password"
        passwords.write_text(PASSWORD)
        passwords.chmod(0o644)
        self._run(
            *(_program("initdb"), "-D", str(self._data), "-U", "bench", f"--pwfile={passwords}"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"),
            *("--locale-provider=icu", "--icu-locale=en-US", "--no-sync", "--no-instructions"),
        )
        self.resume()
        return self

    def resume(self) -> None:
        """Start it, also again after :meth:`stop`."""
        words = [_program("postgres"), "-D", str(self._data), "-k", str(self.folder), "-p", str(self.port)]
        words += [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, cwd="/", **self._as)
        deadline = time.monotonic() + _LIMIT_S
        while self._psql("SELECT 1", check=False).returncode:
            assert time.monotonic() < deadline and self._process.poll() is None, self._log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once; its files stay."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def remove(self) -> None:
        """End it, and its files."""
        self.stop()
        shutil.rmtree(self.folder)

    def database(self, options: str = "") -> str:
        """A new empty database; its URL."""
        self._count += 1
        name = f"store{self._count}"
        self._psql(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        return self.url(name)

    def url(self, name: str) -> str:
        """A database's URL, by way of the socket."""
        return f"postgresql://bench@/{name}?host={self.folder}&port={self.port}"

    def tcp_url(self, name: str, password: str = _QUOTED) -> str:
        """A database's URL, by way of the network, where a password is asked for."""
        return f"postgresql://bench:{password}@127.0.0.1:{self.port}/{name}"

    def ask(self, database: str, statement: str) -> str:
        """What psql says to a statement in the database of a URL."""
        return self._psql(statement, name_in(database)).stdout.strip()

    def _psql(
        self, statement: str, database: str = "postgres", *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        words = [
            _program("psql"),
            "-h",
            str(self.folder),
            "-p",
            str(self.port),
            "-U",
            "bench",
            "-d",
            database,
        ]
        done = subprocess.run([*words, "-XAtqc", statement], capture_output=True, text=True, timeout=_LIMIT_S)
        assert not check or done.returncode == 0, done.stderr
        return done

    def _run(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT_S, cwd="/", **self._as)
        assert done.returncode == 0, done.stderr


def name_in(url: str) -> str:
    """The name of a database in its URL."""
    return url.partition("?")[0].rpartition("/")[2]


def _somebody() -> dict[str, Any]:
    """Who runs it: this user, or somebody unprivileged when that is root, for whom it would not start."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _program(name: str) -> str:
    """A server's program; Debian keeps them out of the way."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(versions[-1]) if versions else find_command(name)
    require(found, f"PostgreSQL's {name} is not installed")
    assert found is not None
    return found
