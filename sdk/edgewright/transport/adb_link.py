"""One Android device behind an adb server, and the streams that are opened to its services.

The user's own server is used, where one runs, and started as ``adb`` itself would otherwise. It notices by
itself when a USB cable is pulled; a cut network it may not notice at all, so nothing here waits without a
limit, and who waits long asks with :meth:`AdbLink.ping` whether the device is still there.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgewright.errors import AccessDenied, ConfigError, DeviceError, StableDeviceError, TransportError
from edgewright.untrusted import one_line

from .adb_address import AdbAddress

if TYPE_CHECKING:
    from adbutils import AdbClient, AdbConnection

#: How long the device may take to answer, and the server to start or to connect to a device.
ANSWER_S = 10.0
_START_S = 20.0
_CONNECT_S = 20.0

#: How long a device may take to become ready that has just been connected.
_READY_S = 5.0
_LOOK_S = 0.1

_PORT = 5037
_SOCKET = re.compile(r"tcp:(?:(?P<host>[^:]+|\[[^\]]+\]):)?(?P<port>[0-9]{1,5})")
_LOCAL = ("127.0.0.1", "localhost", "::1")

#: States that may pass by themselves.
_PASSING = ("", "offline", "connecting", "authorizing")


class AdbLink:
    """Streams to one device that was ready when this was made."""

    def __init__(self, target: str, address: AdbAddress) -> None:
        self.target = target
        self.serial = address.serial
        self._server = _server_address()
        self._client = _client(address, *self._server)
        is_new = _ensure_server(target, *self._server)
        self._await_ready(address, is_new)

    def open(self, service: str) -> AdbConnection:
        """A stream to a service of the device, which has accepted it.

        Raises:
            TransportError, AccessDenied: the device is not there any more, or does not answer.
        """
        with self._translated():
            connection = self._connect(ANSWER_S)
            with _closed_on_failure(connection):
                for command in (f"host:transport:{self.serial}", service):
                    connection.send_command(command)
                    connection.check_okay()
            return connection

    def ping(self) -> None:
        """Ask the device for something that costs it nothing.

        Raises:
            TransportError: it does not answer.
        """
        self.open("sync:").close()

    def has_shell_protocol(self) -> bool:
        """Whether the device tells a command's streams apart, and its status: Android 7 and newer."""
        return "shell_v2" in self._ask(f"host-serial:{self.serial}:features").split(",")

    def broken(self, what: str) -> TransportError:
        """The error for a call that the end of the connection has ended."""
        return TransportError(self.target, f"the connection broke {what}")

    def _ask(self, question: str, limit_s: float | None = None) -> str:
        """What the server answers."""
        with self._translated():
            connection = self._connect(limit_s or ANSWER_S)
            with contextlib.closing(connection):
                connection.send_command(question)
                connection.check_okay()
                answer: str = connection.read_string_block()
                return answer

    def _connect(self, limit_s: float) -> AdbConnection:
        """A connection to the server, which adbutils would start by itself and talkatively."""
        socket.create_connection(self._server, ANSWER_S).close()
        return self._client.make_connection(limit_s)

    def _await_ready(self, address: AdbAddress, is_new: bool) -> None:
        """Connect to the device where that is needed, and wait for what passes by itself.

        Args:
            is_new: the server has just been started, and may not have found the device yet.

        Raises:
            TransportError, AccessDenied: it does not become ready.
        """
        state = self._state()
        said = ""
        if address.is_network and state in ("", "offline"):
            if state:
                self._ask(f"host:disconnect:{self.serial}")
            said = self._ask(f"host:connect:{self.serial}", _CONNECT_S)
            is_new = "connected" in said.split()
        until = time.monotonic() + (_READY_S if is_new or state == "authorizing" else 0.0)
        while (state := self._state()) in _PASSING and time.monotonic() < until:
            time.sleep(_LOOK_S)
        if state != "device":
            raise self._not_ready(state, said)

    def _state(self) -> str:
        """As ``adb devices`` shows it; empty when the device is not in its list."""
        return self._states().get(self.serial, "")

    def _states(self) -> dict[str, str]:
        lines = [line.split("\t", 1) for line in self._ask("host:devices").splitlines()]
        return {words[0]: words[1].strip() for words in lines if len(words) == 2}

    def _not_ready(self, state: str, said: str) -> DeviceError:
        if state in ("unauthorized", "authorizing"):
            return AccessDenied(
                self.target,
                f"the device {self.serial} does not trust this computer yet",
                mend="unlock it and allow USB debugging when it asks",
            )
        if "permission" in state:
            return AccessDenied(
                self.target,
                f"this user may not use the USB device {self.serial}",
                mend="Linux: install android-sdk-platform-tools-common, join the group plugdev, log in again",
            )
        if state == "offline":
            return TransportError(
                self.target,
                f"the device {self.serial} is offline: adb knows it, and it does not answer",
                mend="pull the cable and plug it in again, or switch USB debugging off and on",
            )
        if state:
            return TransportError(
                self.target,
                f"the device {self.serial} is in the state {one_line(state, 40)!r}",
                mend="start it normally",
            )
        if said:
            return TransportError(
                self.target,
                f"cannot connect: {one_line(said, 200)}",
                mend="is it on, and its wireless debugging; or: adb tcpip 5555, over USB",
            )
        others = one_line(", ".join(sorted(self._states())), 200)
        return TransportError(
            self.target,
            f"adb has no device {self.serial}; it has {others or 'none'}",
            mend="is it plugged in, and USB debugging on?",
        )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """One error for each way in which the server or the device fails us."""
        from adbutils.errors import AdbError, AdbTimeout

        try:
            yield
        except (AdbTimeout, TimeoutError):
            raise TransportError(self.target, f"the device {self.serial} does not answer any more") from None
        except AdbError as error:
            said = one_line(str(error), 200)
            if "unauthorized" in said:
                raise self._not_ready("unauthorized", "") from None
            raise TransportError(self.target, f"adb: {said}") from None
        except (OSError, EOFError, ValueError, subprocess.SubprocessError) as error:
            said = getattr(error, "strerror", None) or one_line(str(error), 200) or type(error).__name__
            raise TransportError(self.target, f"the adb server does not answer properly: {said}") from None


def _server_address() -> tuple[str, int]:
    """Where the server listens, from the variables that ``adb`` itself reads.

    Raises:
        ConfigError: one of them says what cannot be.
    """
    whole = os.environ.get("ADB_SERVER_SOCKET", "")
    if whole:
        found = _SOCKET.fullmatch(whole)
        if found is None:
            raise ConfigError(f"ADB_SERVER_SOCKET: not tcp:PORT or tcp:HOST:PORT: {whole!r}")
        name, host, port = "ADB_SERVER_SOCKET", found["host"], found["port"]
    else:
        name, host = "ANDROID_ADB_SERVER_PORT", os.environ.get("ANDROID_ADB_SERVER_ADDRESS")
        port = os.environ.get(name) or str(_PORT)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"{name}: not a port: {port!r}")
    return (host or _LOCAL[0]).strip("[]"), int(port)


def _client(address: AdbAddress, host: str, port: int) -> AdbClient:
    try:
        import adbutils
    except ImportError:
        raise ConfigError(
            f"{address} is reached by adbutils, which is not installed",
            mend="pip install 'edgewright[android]'",
        ) from None
    return adbutils.AdbClient(host, port, socket_timeout=ANSWER_S)


def _ensure_server(target: str, host: str, port: int) -> bool:
    """Start the server unless one listens; True when it was started.

    Raises:
        TransportError: there is none, and none can be started.
    """
    try:
        socket.create_connection((host, port), ANSWER_S).close()
    except OSError as error:
        if host not in _LOCAL:
            why = (error.strerror or one_line(str(error))).lower()
            raise TransportError(target, f"the adb server at {host}:{port}: {why}") from None
    else:
        return False
    with tempfile.TemporaryFile() as said:
        _start_server(target, port, said.fileno())
    return True


def _start_server(target: str, port: int, output: int) -> None:
    from adbutils import AdbError, adb_path

    mend = "install adb (Android platform tools), or start it: adb start-server"
    try:
        words = [adb_path(), "-P", str(port), "start-server"]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=_START_S, check=False
        )
    except (OSError, AdbError, subprocess.TimeoutExpired) as error:
        said = one_line(str(error), 200)
        raise TransportError(target, f"the adb server cannot be started: {said}", mend=mend) from None
    if done.returncode:
        os.lseek(output, 0, os.SEEK_SET)
        lines = os.read(output, 1 << 16).decode("utf-8", "replace").strip().splitlines()
        said = one_line(lines[-1], 200) if lines else f"status {done.returncode}"
        raise TransportError(target, f"the adb server cannot be started: {said}", mend=mend)


def old_device(target: str) -> StableDeviceError:
    """The error for a device whose shell tells no status."""
    return StableDeviceError(
        target,
        "its adb does not tell how a command ended: that came with Android 7",
        mend="reach it over SSH, with Termux",
    )


@contextlib.contextmanager
def _closed_on_failure(connection: AdbConnection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
