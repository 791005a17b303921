from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices import require_command

from edgewright.errors import ConfigError
from edgewright.transport.known_hosts import HostKey, KnownHosts, Standing, _write, host_name, trust

OLD = HostKey("ssh-ed25519", b"\x00\x00\x00\x0bssh-ed25519-old")
NEW = HostKey("ssh-ed25519", b"\x00\x00\x00\x0bssh-ed25519-new")


def line(hosts: str, key: HostKey = OLD) -> str:
    return f"{hosts} {key.kind} {base64.b64encode(key.blob).decode()}"


def standing(path: Path, text: str, name: str, key: HostKey = OLD) -> Standing:
    path.write_text(text)
    return KnownHosts((path,)).standing(name, key)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (line("pi.lab"), "pi.lab", Standing.TRUSTED),
        (line("pi.lab") + " a comment", "pi.lab", Standing.TRUSTED),
        (line("PI.lab"), "pi.lab", Standing.TRUSTED),
        (line("other,pi.lab,10.0.0.1"), "pi.lab", Standing.TRUSTED),
        (line("*.lab"), "pi.lab", Standing.TRUSTED),
        (line("p?.lab"), "pi.lab", Standing.TRUSTED),
        (line("*.lab,!pi.lab"), "pi.lab", Standing.UNKNOWN),
        (line("pi.lab"), "pixlab", Standing.UNKNOWN),
        (line("[pi.lab]:2222"), "[pi.lab]:2222", Standing.TRUSTED),
        (line("[pi.lab]:2222"), "pi.lab", Standing.UNKNOWN),
        (line("pi.lab"), "[pi.lab]:2222", Standing.UNKNOWN),
        ("", "pi.lab", Standing.UNKNOWN),
        ("# " + line("pi.lab"), "pi.lab", Standing.UNKNOWN),
        ("pi.lab ssh-ed25519", "pi.lab", Standing.UNKNOWN),
        ("pi.lab ssh-ed25519 !!!", "pi.lab", Standing.UNKNOWN),
        (line("|1|broken"), "pi.lab", Standing.UNKNOWN),
        (line("pi.lab", NEW), "pi.lab", Standing.CHANGED),
        (line("pi.lab", NEW) + "\n" + line("pi.lab"), "pi.lab", Standing.TRUSTED),
        (line("pi.lab") + "\n@revoked " + line("*"), "pi.lab", Standing.REVOKED),
        (line("pi.lab") + "\n@revoked " + line("*", NEW), "pi.lab", Standing.TRUSTED),
        ("@cert-authority " + line("pi.lab"), "pi.lab", Standing.UNKNOWN),
    ],
)
def test_standing(tmp_path: Path, text: str, name: str, expected: Standing) -> None:
    assert standing(tmp_path / "known_hosts", text, name) is expected


def test_the_same_bytes_under_another_type_are_another_key(tmp_path: Path) -> None:
    other = HostKey("ssh-rsa", OLD.blob)
    assert standing(tmp_path / "known_hosts", line("pi.lab"), "pi.lab", other) is Standing.CHANGED


def test_a_file_that_is_missing_knows_nobody(tmp_path: Path) -> None:
    assert KnownHosts((tmp_path / "none",)).standing("pi.lab", OLD) is Standing.UNKNOWN


def test_a_later_file_counts_too(tmp_path: Path) -> None:
    (tmp_path / "b").write_text(line("pi.lab") + "\n")
    assert KnownHosts((tmp_path / "a", tmp_path / "b")).standing("pi.lab", OLD) is Standing.TRUSTED


def test_names() -> None:
    assert host_name("Pi.Lab", 22) == "pi.lab"
    assert host_name("Pi.Lab", 2222) == "[pi.lab]:2222"
    assert host_name("FE80::1", 22) == "fe80::1"


def test_the_fingerprint_and_hashed_names_are_ssh_keygen_s(tmp_path: Path) -> None:
    require_command("ssh-keygen")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    kind, blob = key.with_suffix(".pub").read_text().split()[:2]
    host_key = HostKey(kind, base64.b64decode(blob))
    shown = subprocess.run(["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True).stdout
    assert shown.split()[1] == host_key.fingerprint

    file = tmp_path / "known_hosts"
    trust(file, "[pi.lab]:2222", host_key)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, stderr=subprocess.DEVNULL)
    assert "pi.lab" not in file.read_text()
    assert KnownHosts((file,)).standing("[pi.lab]:2222", host_key) is Standing.TRUSTED
    assert KnownHosts((file,)).standing("[pi.lab]:2223", host_key) is Standing.UNKNOWN
    trust(file, "[pi.lab]:2222", NEW)
    assert len(file.read_text().splitlines()) == 1


def test_trust_makes_the_file_and_its_folder_private(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    trust(file, "pi.lab", OLD)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.read_text() == line("pi.lab") + "\n"


def test_trust_replaces_only_what_is_about_that_host(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    others = ["# mine", "", "odd line", line("other"), "@revoked " + line("pi.lab", HostKey("ssh-rsa", b"x"))]
    file.write_bytes(
        "\n".join([*others, line("pi.lab"), line("a,pi.lab,b") + " note"]).encode() + b"\n# \xff\n"
    )
    file.chmod(0o640)
    trust(file, "pi.lab", NEW)
    assert file.stat().st_mode & 0o777 == 0o640
    expected = [*others, line("a,b") + " note"]
    assert (
        file.read_bytes()
        == "\n".join(expected).encode() + b"\n# \xff\n" + line("pi.lab", NEW).encode() + b"\n"
    )
    assert KnownHosts((file,)).standing("pi.lab", NEW) is Standing.TRUSTED
    assert KnownHosts((file,)).standing("pi.lab", OLD) is Standing.CHANGED


def test_trust_does_not_touch_a_line_about_many_hosts(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("*.lab") + "\n")
    with pytest.raises(ConfigError, match=r"known_hosts:1: .*more hosts"):
        trust(file, "pi.lab", NEW)
    assert file.read_text() == line("*.lab") + "\n"


def test_trust_follows_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("")
    (tmp_path / "link").symlink_to("real")
    trust(tmp_path / "link", "pi.lab", OLD)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == line("pi.lab") + "\n"


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="folder: cannot be read"):
        KnownHosts((tmp_path / "folder",)).standing("pi.lab", OLD)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="known_hosts: cannot be"):
        trust(tmp_path / "file" / "known_hosts", "pi.lab", OLD)


def test_a_device_node_is_never_replaced(tmp_path: Path) -> None:
    """``UserKnownHostsFile /dev/null`` is in many a configuration, and root may replace anything."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="not a file"):
        _write(pipe, ["line"])
    assert pipe.is_fifo()
    with pytest.raises(ConfigError, match="not a file"):
        trust(Path("/dev/null"), "pi.lab", OLD)
    assert Path("/dev/null").is_char_device()


@given(text=st.text(max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed_known_hosts"
    file.write_text(text, errors="replace")
    assert KnownHosts((file,)).standing("pi.lab", OLD) in (Standing.UNKNOWN, Standing.CHANGED)
