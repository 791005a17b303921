"""adb without a device: what its server may say, and the packets of its shell."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices.sshd import free_port

from edgewright.errors import AccessDenied, ConfigError, DeviceTimeout, StableDeviceError, TransportError
from edgewright.transport import adb, adb_link
from edgewright.transport.adb import AdbTransport
from edgewright.transport.adb_address import AdbAddress
from edgewright.transport.shell_packets import EXIT, STDERR, STDOUT, Packets, packet

PHONE = AdbAddress("R5CT1")


class Server:
    """Speaks as an adb server does.

    Attributes:
        devices: the lines of its list.
        features: of the device.
        shell: what a command sends after it has been accepted; then the connection ends unless ``stays``.
        refusal: instead of accepting the device.
    """

    def __init__(self) -> None:
        self.devices = "R5CT1\tdevice\n"
        self.features = "cmd,shell_v2"
        self.shell = packet(EXIT, b"\0")
        self.stays = False
        self.refusal = ""
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if not self.stays:
                stack.enter_context(connection)
            stream = stack.enter_context(connection.makefile("rb"))
            while length := stream.read(4):
                service = stream.read(int(length, 16)).decode()
                self.asked.append(service)
                connection.sendall(self._reply(service))
                if service.startswith("shell"):
                    return

    def _reply(self, service: str) -> bytes:
        if service == "host:devices":
            return b"OKAY" + _block(self.devices)
        if service.startswith("host:connect:"):
            return b"OKAY" + _block(f"failed to connect to {service[13:]}: no route to host")
        if service.endswith(":features"):
            return b"OKAY" + _block(self.features)
        if service.startswith("host:transport:") and self.refusal:
            return b"FAIL" + _block(self.refusal)
        return b"OKAY" + (self.shell if service.startswith("shell") else b"")

    def close(self) -> None:
        for connection in (self._socket, *self._open):
            connection.close()


def _block(text: str) -> bytes:
    return f"{len(text):04x}{text}".encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(made.port))
    monkeypatch.setattr(adb_link, "_READY_S", 0.3)
    yield made
    made.close()


# --- finding the device ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("devices", "kind", "why"),
    [
        ("", TransportError, r"adb has no device R5CT1; it has none \(is it plugged in"),
        ("A\tdevice\nB\x1b[2J\toffline\n", TransportError, r"it has A, B[^\x1b]*\[2J \("),
        ("R5CT1\tunauthorized\n", AccessDenied, r"does not trust this computer yet \(unlock it and allow"),
        ("R5CT1\tauthorizing\n", AccessDenied, "does not trust this computer yet"),
        ("R5CT1\tno permissions (user x is not in the plugdev group)\n", AccessDenied, "plugdev"),
        ("R5CT1\toffline\n", TransportError, "is offline.*pull the cable"),
        ("R5CT1\trecovery\n", TransportError, "in the state 'recovery'"),
        ("nonsense\n", TransportError, "adb has no device"),
    ],
)
def test_a_device_that_is_not_ready_says_why(
    server: Server, devices: str, kind: type[Exception], why: str
) -> None:
    server.devices = devices
    with pytest.raises(kind, match=why):
        AdbTransport.open("phone", PHONE)


def test_a_device_that_is_being_authorized_is_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adb_link, "_READY_S", 30.0)
    server.devices = "R5CT1\tauthorizing\n"
    timer = threading.Timer(0.3, lambda: setattr(server, "devices", "R5CT1\tdevice\n"))
    timer.start()
    AdbTransport.open("phone", PHONE)
    timer.join()


def test_a_host_and_port_is_connected_to(server: Server) -> None:
    server.devices = ""
    with pytest.raises(TransportError, match=r"cannot connect: failed to .*no route to host \(is it on"):
        AdbTransport.open("phone", AdbAddress("192.168.1.20:5555"))
    assert "host:connect:192.168.1.20:5555" in server.asked


@pytest.mark.parametrize(
    ("serial", "is_network"),
    [
        ("192.168.1.20:5555", True),
        ("[fe80::1]:5555", True),
        ("phone.lan:5555", True),
        ("emulator-5554", False),
        ("adb-39111FDJH005ZC-vWgJpq._adb-tls-connect._tcp", False),
    ],
)
def test_serials(serial: str, is_network: bool) -> None:
    assert AdbAddress(serial).is_network is is_network


def test_a_device_before_android_7_is_refused(server: Server) -> None:
    server.features = "cmd"
    with pytest.raises(StableDeviceError, match=r"that came with Android 7 \(reach it over SSH"):
        AdbTransport.open("phone", PHONE)


# --- the server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADB_SERVER_SOCKET", "localfilesystem:/tmp/adb"),
        ("ADB_SERVER_SOCKET", "tcp:localhost:99999"),
        ("ANDROID_ADB_SERVER_PORT", "abc"),
        ("ANDROID_ADB_SERVER_PORT", "0"),
    ],
)
def test_variables_that_say_nonsense_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        AdbTransport.open("phone", PHONE)


def test_the_server_s_socket_is_read_as_adb_reads_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    for text in (f"tcp:{server.port}", f"tcp:localhost:{server.port}"):
        monkeypatch.setenv("ADB_SERVER_SOCKET", text)
        AdbTransport.open("phone", PHONE)


@pytest.mark.parametrize("program", ["exit 3", "echo 'cannot bind: no' >&2; exit 1"])
def test_a_server_that_does_not_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str
) -> None:
    fake = tmp_path / "adb"
    fake.write_text(f"#!/bin/sh\n{program}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(fake))
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    with pytest.raises(TransportError, match=r"cannot be started: (status 3|cannot bind: no) \(install adb"):
        AdbTransport.open("phone", PHONE)


def test_a_server_elsewhere_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.2:{free_port()}")
    with pytest.raises(TransportError, match=r"the adb server at 127\.0\.0\.2:\d+: connection refused"):
        AdbTransport.open("phone", PHONE)


def test_without_adbutils_the_command_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbutils", None)
    with pytest.raises(ConfigError, match=r"pip install 'edgewright\[android\]'"):
        AdbTransport.open("phone", PHONE)


def test_a_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_link, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(TransportError, match="does not answer"):
            AdbTransport.open("phone", PHONE)
    assert time.monotonic() - began < 10


@given(noise=st.binary(max_size=40))
def test_a_server_that_talks_nonsense_is_an_error(noise: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADB_SERVER_SOCKET", f"tcp:{listening.getsockname()[1]}")
        patch.setattr(adb_link, "ANSWER_S", 2.0)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.sendall(noise)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(TransportError):
            AdbTransport.open("phone", PHONE)
        listening.shutdown(socket.SHUT_RDWR)


# --- commands --------------------------------------------------------------------------------------------


def test_reading_one_line_loses_nothing_of_the_rest(server: Server) -> None:
    server.shell = b"".join(
        [packet(STDOUT, b"one\ntwo\n"), packet(STDERR, b"why"), packet(STDOUT, b"3"), packet(EXIT, b"\x07")]
    )
    with closing(AdbTransport.open("phone", PHONE).start(["it"], timeout_s=10)) as process:
        assert next(process.lines()) == "one"
        assert process.finish() == (7, "why")


@pytest.mark.parametrize(("byte", "status"), [(0, 0), (127, 127), (128, 128), (137, -9), (255, 255)])
def test_status(server: Server, byte: int, status: int) -> None:
    server.shell = packet(EXIT, bytes([byte]))
    with closing(AdbTransport.open("phone", PHONE).start(["it"], timeout_s=10)) as process:
        assert process.finish() == (status, "")


def test_an_end_without_a_status_is_a_broken_connection(server: Server) -> None:
    server.shell = packet(STDOUT, b"one\n")
    with (
        closing(AdbTransport.open("phone", PHONE).start(["it"], timeout_s=10)) as process,
        pytest.raises(TransportError, match="the connection broke while a command ran"),
    ):
        list(process.lines())


def test_a_device_that_is_unplugged_between_two_commands(server: Server) -> None:
    transport = AdbTransport.open("phone", PHONE)
    server.refusal = "device 'R5CT1' not found"
    with pytest.raises(TransportError, match="adb: device 'R5CT1' not found"):
        transport.start(["it"], timeout_s=10)
    server.refusal = "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set"
    with pytest.raises(AccessDenied, match="allow USB debugging"):
        transport.start(["it"], timeout_s=10)


def test_input_that_nobody_takes_ends_with_the_command_s_time(server: Server) -> None:
    server.shell, server.stays = b"", True
    process = AdbTransport.open("phone", PHONE)._open(["it"], 1.5)
    with closing(process), pytest.raises(DeviceTimeout):
        process.send(bytes(64 << 20))


def test_more_words_than_adb_can_carry_are_refused(server: Server) -> None:
    with pytest.raises(StableDeviceError, match="too long for adb"):
        AdbTransport.open("phone", PHONE).start(["it", "x" * 70_000], timeout_s=10)


def test_a_quiet_connection_is_asked_about(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb, "_QUIET_S", 0.0)
    server.shell, server.stays = b"", True
    with closing(AdbTransport.open("phone", PHONE).start(["it"], timeout_s=2.5)) as process:
        with pytest.raises(DeviceTimeout):
            process.finish()
        assert "sync:" in server.asked


# --- packets ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=12),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_packets_are_the_same_however_they_are_cut(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(packet(kind, content) for kind, content in sent)
    packets, found, at = Packets(), [], 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        found += list(packets.feed(stream[at : at + size]))
        at += size
    for kind in range(256):
        assert b"".join(p for k, p in found if k == kind) == b"".join(p for k, p in sent if k == kind)


def test_a_packet_s_length_takes_no_memory() -> None:
    packets = Packets()
    assert list(packets.feed(b"\x01\xff\xff\xff\xffabc")) == [(STDOUT, b"abc")]
    assert list(packets.feed(os.urandom(10))) != []
