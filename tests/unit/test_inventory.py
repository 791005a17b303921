"""farm.toml and this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgewright.farm.inventory as farm
from edgewright.errors import ConfigError
from edgewright.farm.inventory import Inventory, SshAddress, load_inventory
from edgewright.farm.this_machine import ThisMachine, this_machine
from edgewright.transport.adb_address import AdbAddress


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a farm, on a plain x86-64 machine."""
    monkeypatch.delenv(farm.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    on_machine(monkeypatch, "x86_64")
    return tmp_path


def on_machine(monkeypatch: pytest.MonkeyPatch, arch: str, *features: str, board: str = "") -> None:
    monkeypatch.setattr(farm, "this_machine", lambda: ThisMachine(arch, frozenset(features), board))


def read(folder: Path, text: str) -> Inventory:
    path = folder / "devices.toml"
    path.write_text(text, encoding="utf-8")
    return load_inventory(path)


def device(folder: Path, lines: str, name: str = "pi") -> Inventory:
    return read(folder, f'[devices.{name}]\nprofile = "raspberry-pi-5"\n{lines}')


def test_without_a_farm_there_is_this_machine() -> None:
    inventory = load_inventory()
    assert inventory.path is None
    assert inventory.names == ("local",)
    local = inventory.get("local")
    assert (local.link, local.profile, local.python) == (None, "x86-64-linux", sys.executable)
    assert local.address == "this machine"


def test_vnni_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine(monkeypatch, "x86_64", "avx512_vnni")
    assert load_inventory().get("local").profile == "x86-64-vnni-linux"


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5 GB", 1_500_000_000), ("500MB", 5 * 10**8), ("1TB", 10**12)]
)
def test_a_store_may_be_limited(tmp_path: Path, text: str, size: int) -> None:
    remote = device(tmp_path, f'address = "a@b"\nstore_limit = "{text}"\n').get("pi")
    assert remote.store_limit_bytes == size
    local = read(tmp_path, f'[devices.local]\nstore_limit = "{text}"\n').get("local")
    assert local.store_limit_bytes == size
    assert device(tmp_path, 'address = "a@b"\n').get("pi").store_limit_bytes == 0


def test_a_known_board_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine(monkeypatch, "aarch64", "asimd", board="Raspberry Pi 5 Model B Rev 1.1")
    assert load_inventory().get("local").profile == "raspberry-pi-5"


def test_a_machine_without_a_profile_can_still_reach_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(monkeypatch, "riscv64")
    inventory = device(tmp_path, 'address = "pi@host"')
    assert inventory.names == ("pi",)
    with pytest.raises(
        ConfigError, match=r"no profile fits this machine \(riscv64\).*set profile in \[devices.local\]"
    ):
        inventory.get("local")
    assert (
        read(tmp_path, '[devices.local]\nprofile = "generic-aarch64"').get("local").profile
        == "generic-aarch64"
    )


def test_every_key_arrives(tmp_path: Path) -> None:
    inventory = device(
        tmp_path,
        'address = "root@10.0.0.5"\nport = 2222\nkey = "keys/id"\nknown_hosts = "/etc/hosts.known"\n'
        'python = "~/venv/bin/python"\nworkdir = "/mnt/ssd/edgewright/"\ntags = ["lab", "arm"]\n',
    )
    target = inventory.get("pi")
    assert target.link == SshAddress("10.0.0.5", "root", 2222, tmp_path / "keys/id", Path("/etc/hosts.known"))
    assert (target.python, target.workdir) == ("venv/bin/python", "/mnt/ssd/edgewright")
    assert target.tags == ("lab", "arm")
    assert target.address == "root@10.0.0.5:2222"
    assert inventory.names == ("local", "pi")


def test_what_is_not_written_is_left_to_the_ssh_configuration(tmp_path: Path) -> None:
    target = device(tmp_path, 'address = "kitchen"').get("pi")
    assert target.link == SshAddress("kitchen", None, None, None, None)
    assert (target.python, target.workdir) == ("python3", ".cache/edgewright")


def test_the_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    target = device(tmp_path, 'address = "pi@host"\nkey = "~/.ssh/id_ed25519"').get("pi")
    assert isinstance(target.link, SshAddress)
    assert target.link.key == Path("/home/somebody/.ssh/id_ed25519")


@pytest.mark.parametrize(
    ("address", "user", "host"),
    [
        ("pi@raspberrypi.local", "pi", "raspberrypi.local"),
        ("board_7", None, "board_7"),
        ("pi@fe80::1%eth0", "pi", "fe80::1%eth0"),
        ("pi@[2001:db8::7]", "pi", "2001:db8::7"),
        ("::1", None, "::1"),
        ("jane@corp@host", "jane@corp", "host"),
        (r"CORP\\jane@host", r"CORP\jane", "host"),
    ],
)
def test_addresses(tmp_path: Path, address: str, user: str | None, host: str) -> None:
    target = device(tmp_path, f'address = "{address}"').get("pi")
    assert target.link == SshAddress(host, user)
    assert host in target.address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "pi@",
        "@host",
        "-oProxyCommand=evil",
        "pi@-oProxyCommand=evil",
        "-pi@host",
        "pi@ho st",
        "pi@host;reboot",
        "pi@host\\nhost2",
        "pi@host\\u0000",
        "pi@host:22",
        "pi@[::1]:22",
        "pi@[host]",
        "pi@::1%-x",
        "pi@1::2::3",
        "ssh://pi@host",
        "pi@host-",
        "pi@höst",
    ],
)
def test_bad_addresses_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"devices\.toml: devices\.pi\.address: ") as caught:
        device(tmp_path, f'address = "{address}"')
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_a_port_in_the_address_is_pointed_to_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a port is a key of its own"):
        device(tmp_path, 'address = "pi@host:2222"')


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('adress = "pi@host"', "unknown key 'devices.pi.adress' (did you mean 'address'?)"),
        ("", "devices.pi: missing key 'address'"),
        ('address = "a@b"\nport = 0', "devices.pi.port: "),
        ('address = "a@b"\nport = 65536', "devices.pi.port: "),
        ('address = "a@b"\nport = "22"', "devices.pi.port: "),
        ('address = "a@b"\n"p\\u001bt" = 22', "unknown key "),
        ('address = "a@b"\ntags = ["a b"]', "devices.pi.tags.0: "),
        ('address = "a@b"\npython = "-c"', "devices.pi.python: "),
        ('address = "a@b"\npython = "~root/bin/python"', "another user's home directory"),
        ('address = "a@b"\nkey = ""', "devices.pi.key: "),
        ('address = "a@b"\nkey = "~no-such-user-here/id"', "devices.pi.key: "),
        ('address = "a@b"\nworkdir = "/"', "devices.pi.workdir: "),
        ('address = "a@b"\nstore_limit = "2"', "devices.pi.store_limit: not a size"),
        ('address = "a@b"\nstore_limit = "2 gb"', "devices.pi.store_limit: not a size"),
        ('address = "a@b"\nstore_limit = "-2GB"', "devices.pi.store_limit: not a size"),
        ('address = "a@b"\nstore_limit = "999kB"', "devices.pi.store_limit: not a size of 1MB or more"),
        ('address = "a@b"\nstore_limit = ""', "devices.pi.store_limit: not a size"),
        ('address = "a@b"\nstore_limit = 2', "devices.pi.store_limit: "),
        ('address = "a@b"\nworkdir = "~"', "devices.pi.workdir: "),
        ('address = "a@b"\nworkdir = "cache/../.."', "devices.pi.workdir: "),
        ('address = "a@b"\nworkdir = "a\\u0007b"', "devices.pi.workdir: "),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, lines: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        device(tmp_path, lines)
    assert str(caught.value).startswith(str(tmp_path / "devices.toml") + ": ")
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ['""', '"-x"', '"a b"', '"a/b"', '"\\u001b[2J"', f'"{"a" * 65}"'])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a name has letters") as caught:
        device(tmp_path, 'address = "pi@host"', name)
    assert str(caught.value).isprintable()


def test_a_missing_profile_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"devices\.pi: missing key 'profile'"):
        read(tmp_path, '[devices.pi]\naddress = "pi@host"')


def test_an_unknown_profile_gets_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"devices\.pi\.profile: unknown profile 'raspberry-5'.*'raspberry-pi-5'"
    ):
        read(tmp_path, '[devices.pi]\naddress = "pi@host"\nprofile = "raspberry-5"')


def test_a_profile_may_be_a_file_beside_the_farm(tmp_path: Path) -> None:
    text = '[devices.pi]\naddress = "pi@host"\nprofile = "boards/mine.toml"'
    with pytest.raises(ConfigError, match=r"mine\.toml: no such file"):
        read(tmp_path, text)
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards/mine.toml").write_text("", encoding="utf-8")
    assert read(tmp_path, text).get("pi").profile == str(tmp_path / "boards/mine.toml")


def test_an_unknown_device_gets_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown device 'kitchn' in .*did you mean 'kitchen'"):
        device(tmp_path, 'address = "pi@host"', "kitchen").get("kitchn")
    with pytest.raises(ConfigError, match=r"there is no farm\.toml \(known: local\)"):
        load_inventory().get("elsewhere")


def test_this_machine_can_be_described(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        '[devices.local]\nprofile = "x86-64-vnni-linux"\npython = "venv/bin/python"\ntags = ["desk"]',
    )
    local = inventory.get("local")
    assert (local.profile, local.python, local.tags) == (
        "x86-64-vnni-linux",
        str(tmp_path / "venv/bin/python"),
        ("desk",),
    )


def test_this_machine_has_no_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"devices\.local\.address: 'local' is this machine"):
        read(tmp_path, '[devices.local]\naddress = "root@localhost"')


def test_the_option_the_variable_and_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("farm", "variable", "option"):
        text = f'[devices.{name}]\nprofile = "raspberry-pi-4"\naddress = "pi@{name}"'
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    assert load_inventory().names == ("local", "farm")
    monkeypatch.setenv(farm.VARIABLE, str(tmp_path / "variable.toml"))
    assert load_inventory().names == ("local", "variable")
    assert load_inventory(tmp_path / "option.toml").names == ("local", "option")


def test_a_farm_that_is_asked_for_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file"):
        load_inventory(tmp_path / "absent.toml")
    monkeypatch.setenv(farm.VARIABLE, str(tmp_path / "absent.toml"))
    with pytest.raises(ConfigError, match=r"EDGEWRIGHT_FARM: .*absent\.toml: no such file"):
        load_inventory()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_no_address_ever_becomes_an_option_or_two_words(tmp_path: Path, address: str) -> None:
    entry = farm._Entry(tmp_path / "farm.toml", "x", farm._Device(profile="generic-aarch64", address=address))
    try:
        target = entry.remote(("generic-aarch64",))
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    assert isinstance(target.link, SshAddress)
    for word in (target.link.host, target.link.user or "x"):
        assert word.isascii()
        assert word.isprintable()
        assert " " not in word
        assert not word.startswith("-")


def cpuinfo(root: Path, text: str) -> Path:
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(text, encoding="utf-8")
    return root


def test_x86_flags_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    found = this_machine(cpuinfo(tmp_path, "processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\nbugs\t: none\n"))
    assert found == ThisMachine("x86_64", frozenset({"fpu", "avx2", "avx_vnni"}), "")


def test_a_board_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    root = cpuinfo(tmp_path, "Features\t: fp asimd\n")
    (root / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert this_machine(root) == ThisMachine(
        "aarch64", frozenset({"fp", "asimd"}), "Raspberry Pi 5 Model B Rev 1.0"
    )


def test_a_32_bit_python_on_a_64_bit_kernel_is_armv7l(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("sys.maxsize", (1 << 31) - 1)
    assert this_machine(tmp_path).arch == "armv7l"


def test_a_system_without_proc_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert this_machine(tmp_path) == ThisMachine("aarch64", frozenset(), "")


# --- adb ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "serial",
    [
        "R5CT1038XYZ",
        "emulator-5554",
        "192.168.1.20:5555",
        "[fe80::1]:5555",
        "adb-39-vW._adb-tls-connect._tcp",
    ],
)
def test_a_device_behind_adb(tmp_path: Path, serial: str) -> None:
    target = device(tmp_path, f'address = "adb:{serial}"\npython = "debian/python"').get("pi")
    assert target.link == AdbAddress(serial)
    assert target.address == f"adb:{serial}"


@pytest.mark.parametrize("serial", ["", "-s", "two words", "a;b", "ü", "x" * 200, "a\\u001bb"])
def test_what_is_no_serial_is_refused(tmp_path: Path, serial: str) -> None:
    with pytest.raises(
        ConfigError, match=r"devices\.pi\.address: not a serial number.*as adb devices shows it"
    ):
        device(tmp_path, f'address = "adb:{serial}"')


@pytest.mark.parametrize("line", ["port = 22", 'key = "keys/id"', 'known_hosts = "known_hosts"'])
def test_adb_has_no_keys_of_ssh(tmp_path: Path, line: str) -> None:
    key = line.partition(" ")[0]
    with pytest.raises(
        ConfigError, match=rf"devices\.pi\.{key}: adb:R5CT1 is not reached over SSH.*leave {key} out"
    ):
        device(tmp_path, f'address = "adb:R5CT1"\n{line}')
