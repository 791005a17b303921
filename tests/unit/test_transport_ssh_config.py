from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from edgewright.errors import ConfigError
from edgewright.farm.inventory import SshAddress
from edgewright.transport.ssh_config import Hop, route


@dataclass
class Home:
    folder: Path

    def config(self, text: str, name: str = "config") -> None:
        path = self.folder / ".ssh" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def route(
        self, host: str, user: str | None = None, port: int | None = None, **more: Path
    ) -> tuple[Hop, ...]:
        return route(SshAddress(host, user, port, **more), self.folder / ".ssh" / "config")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "me")
    return Home(tmp_path)


def test_without_a_configuration_ssh_s_defaults_hold(home: Home) -> None:
    (hop,) = home.route("pi.lab")
    ssh = home.folder / ".ssh"
    assert (hop.host, hop.port, hop.credentials.user) == ("pi.lab", 22, "me")
    assert hop.credentials.keys == (ssh / "id_ed25519", ssh / "id_ecdsa", ssh / "id_rsa")
    assert not hop.credentials.explicit
    assert hop.known_hosts == (ssh / "known_hosts", ssh / "known_hosts2", Path("/etc/ssh/ssh_known_hosts"))
    assert hop.filed_as == "pi.lab"


def test_the_configuration_fills_in(home: Home) -> None:
    home.config(
        """
        Host pi
            HostName 192.168.1.20
            User admin
            Port 2222
            IdentityFile ~/keys/%h
            IdentitiesOnly yes
            UserKnownHostsFile ~/pi_hosts ~/more_hosts
            GlobalKnownHostsFile none
            ConnectTimeout 3
        Host *
            User nobody
        """
    )
    (hop,) = home.route("pi")
    assert (hop.host, hop.port, hop.credentials.user) == ("192.168.1.20", 2222, "admin")
    assert hop.credentials.keys == (home.folder / "keys" / "192.168.1.20",)
    assert hop.credentials.identities_only
    assert hop.known_hosts == (home.folder / "pi_hosts", home.folder / "more_hosts")
    assert hop.filed_as == "[192.168.1.20]:2222"
    assert hop.timeout_s == 3


def test_the_farm_file_goes_before_the_configuration(home: Home) -> None:
    home.config("Host pi\n User admin\n Port 2222\n IdentityFile ~/a\n UserKnownHostsFile ~/b\n")
    (hop,) = home.route("pi", "root", 22, key=Path("/k"), known_hosts=Path("/h"))
    assert (hop.port, hop.credentials.user) == (22, "root")
    assert hop.credentials.keys == (Path("/k"),)
    assert hop.credentials.explicit
    assert hop.known_hosts == (Path("/h"),)


def test_a_host_key_alias_is_what_the_key_is_filed_under(home: Home) -> None:
    home.config("Host pi\n Port 2222\n HostKeyAlias Kitchen\n")
    assert home.route("pi")[0].filed_as == "kitchen"


def test_jumps_come_in_order_and_each_is_looked_up(home: Home) -> None:
    home.config(
        """
        Host pi
            HostName 10.0.0.2
            ProxyJump me@gate:2200, ssh://inner
        Host gate
            HostName gate.example.org
            Port 99
        Host inner
            User deep
            HostName 10.0.0.1
            ProxyJump ignored
        """
    )
    gate, inner, pi = home.route("pi")
    assert (gate.host, gate.port, gate.credentials.user) == ("gate.example.org", 2200, "me")
    assert (inner.host, inner.port, inner.credentials.user) == ("10.0.0.1", 22, "deep")
    assert pi.host == "10.0.0.2"


def test_a_jump_may_have_a_jump(home: Home) -> None:
    home.config("Host pi\n ProxyJump b\nHost b\n ProxyJump a\n")
    assert [hop.host for hop in home.route("pi")] == ["a", "b", "pi"]


def test_jumps_in_a_circle_are_an_error(home: Home) -> None:
    home.config("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
    with pytest.raises(ConfigError, match="circle"):
        home.route("a")


def test_the_farm_file_s_known_hosts_hold_for_the_jumps_too(home: Home) -> None:
    home.config("Host pi\n ProxyJump gate\n")
    assert [hop.known_hosts for hop in home.route("pi", known_hosts=Path("/h"))] == [(Path("/h"),)] * 2


def test_a_proxy_command_is_for_the_first_hop(home: Home) -> None:
    home.config("Host pi\n Port 2222\n ProxyCommand relay %h %p\n")
    assert home.route("pi")[0].proxy_command == "relay pi 2222"
    home.config("Host pi\n ProxyJump gate\n ProxyCommand relay\nHost gate\n ProxyCommand first %h\n")
    assert [hop.proxy_command for hop in home.route("pi")] == ["first gate", None]


@pytest.mark.parametrize("word", ["ProxyJump", "ProxyCommand"])
def test_none_is_no_proxy(home: Home, word: str) -> None:
    home.config(f"Host pi\n {word} none\nHost *\n {word} gate\n")
    (hop,) = home.route("pi")
    assert hop.proxy_command is None


@pytest.mark.parametrize("text", ["", " GlobalKnownHostsFile none\n"])
def test_without_a_file_of_one_s_own_nothing_can_be_recorded(home: Home, text: str) -> None:
    home.config("Host pi\n UserKnownHostsFile none\n" + text)
    with pytest.raises(ConfigError, match="set known_hosts"):
        _ = home.route("pi")[0].record_in
    assert home.route("other")[0].record_in == home.folder / ".ssh" / "known_hosts"


def test_included_files_count_where_they_stand(home: Home) -> None:
    home.config("Include conf.d/*\nHost pi\n Port 3\n")
    home.config("Host pi\n Port 1\n", "conf.d/10")
    home.config("Host pi\n User second\n Port 2\n", "conf.d/20")
    (hop,) = home.route("pi")
    assert (hop.port, hop.credentials.user) == (1, "second")


def test_a_block_goes_on_after_an_include(home: Home) -> None:
    home.config("Host pi\n Include more\n Port 7\n")
    home.config("Host other\n Port 8\n", "more")
    assert home.route("pi")[0].port == 7
    assert home.route("other")[0].port == 8
    assert home.route("third")[0].port == 22


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Host pi\n Port many\n", "port 'many'"),
        ("Host pi\n ProxyJump a:b:c\n", "ProxyJump 'a:b:c'"),
        ("Host 'unbalanced\n", "config: "),
        ("Include config\n", "Include goes in a circle"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(home: Home, text: str, said: str) -> None:
    home.config(text)
    with pytest.raises(ConfigError) as caught:
        home.route("pi")
    assert said in str(caught.value)
    assert str(home.folder / ".ssh" / "config") in str(caught.value)
