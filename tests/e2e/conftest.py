"""Devices for end-to-end tests: real SSH servers, and this user with a home of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.devices.command_line import TEST_CACHE, Edgewright, brief_main
from tests.devices.hosts import Host
from tests.devices.netns import Lab
from tests.devices.sshd import Sshd


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory for this user, without an SSH agent: nothing of the real one matters.

    What was built is shared by all tests: a build is found by what it is made of.
    """
    home = tmp_path / "user"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(TEST_CACHE))
    for name in ("SSH_AUTH_SOCK", "EDGEWRIGHT_FARM", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def make_sshd(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Makes started servers; they are stopped after the test."""
    servers: list[Sshd] = []

    def make(**options: object) -> Sshd:
        server = Sshd(tmp_path / f"sshd{len(servers)}", **options)  # type: ignore[arg-type]
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def board(make_sshd: Callable[..., Sshd]) -> Sshd:
    """One device over SSH, trusted."""
    return make_sshd()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A network of its own for devices whose links and disks fail."""
    with Lab(tmp_path / "lab") as made:
        yield made


@pytest.fixture
def make_lab_host(lab: Lab, tmp_path: Path) -> Iterator[Callable[[str], Host]]:
    """Makes hosts in the lab; what still runs of their commands is ended after the test."""
    hosts: list[Host] = []

    def make(name: str) -> Host:
        hosts.append(Host(lab, tmp_path, name))
        return hosts[-1]

    yield make
    for host in hosts:
        host.stop()


@pytest.fixture
def edgewright(tmp_path: Path) -> Edgewright:
    """The command line, run in the test's folder."""
    return Edgewright(tmp_path)


@pytest.fixture
def brief(tmp_path: Path) -> Edgewright:
    """The same with presets that measure briefly, for what is done with the figures."""
    return Edgewright(tmp_path, timeout_s=600.0, program=brief_main(0.2, count=64))
