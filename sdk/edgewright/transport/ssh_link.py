"""An authenticated SSH connection through any number of hops, host keys checked at each."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import paramiko
from cryptography.exceptions import InvalidSignature

from edgewright.errors import TransportError, UntrustedHost
from edgewright.untrusted import one_line

from .known_hosts import Entry, HostKey, KnownHosts, Standing
from .ssh_auth import log_in
from .ssh_config import Hop

_LOG = "edgewright.ssh"
logging.getLogger(_LOG).addHandler(logging.NullHandler())

#: What paramiko raises when a connection breaks. Its reader thread meets a malformed packet with
#: whatever the parser stumbled over, and raises that again in the caller.
BROKEN = (
    paramiko.SSHException,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    InvalidSignature,
)

#: The server is asked this often, and given up when nothing has come from it for so long.
KEEPALIVE_S = 10.0
SILENCE_S = 30.0
_FASTEST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


@dataclass(frozen=True)
class Offer:
    """A host key as offered; ``recorded`` are the lines already there about that host."""

    target: str
    hop: Hop
    key: HostKey
    standing: Standing
    recorded: tuple[Entry, ...]


#: Decides about a host key: returns when it is to be trusted, raises UntrustedHost otherwise.
Policy = Callable[[Offer], None]


def strict(offer: Offer) -> None:
    """Trust only what is recorded.

    Raises:
        UntrustedHost: with the fingerprints, and the command that trusts the host.
    """
    command = f"edgewright device trust {offer.target}"
    match offer.standing:
        case Standing.TRUSTED:
            return
        case Standing.UNKNOWN:
            raise UntrustedHost(
                offer.target,
                f"host key of {offer.hop.filed_as} is not known: {offer.key}",
                mend=f"compare it, then: {command}",
            )
        case Standing.CHANGED:
            known = ", ".join(f"{entry.key} in {entry}" for entry in offer.recorded)
            raise UntrustedHost(
                offer.target,
                f"host key of {offer.hop.filed_as} has CHANGED: it offers {offer.key}, known is {known}",
                mend=f"somebody may be in between; if the device was set up anew: {command}",
            )
        case Standing.REVOKED:
            raise UntrustedHost(offer.target, f"host key of {offer.hop.filed_as} is revoked: {offer.key}")


class Link:
    """The connection to the last hop, alive as long as it answers.

    A cut link gives no sign by itself, so the server is asked something every few seconds and the
    connection is closed when nothing has come back for half a minute; every blocked call then ends.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._parts = contextlib.ExitStack()
        self._transport: paramiko.Transport | None = None
        self._seen = time.monotonic()
        self._limit = float("inf")
        self._closing = threading.Event()
        self._lost = False
        self._server_key: paramiko.PKey | None = None
        self._proxy_said: IO[bytes] | None = None

    @property
    def transport(self) -> paramiko.Transport:
        """The last hop's."""
        assert self._transport
        return self._transport

    def watch(self) -> None:
        """Begin to ask and to watch."""
        self.touch()
        for work, seconds in ((self._ask, KEEPALIVE_S), (self._watch, SILENCE_S)):
            threading.Thread(target=work, args=(seconds,), name=f"ssh-{self.target}", daemon=True).start()

    def touch(self) -> None:
        """Something came from the device."""
        self._seen = time.monotonic()

    @contextlib.contextmanager
    def bounded(self, seconds: float) -> Iterator[None]:
        """Close the connection when the block takes longer: some of paramiko's calls know no timeout."""
        self._limit = time.monotonic() + seconds
        try:
            yield
        finally:
            self._limit = float("inf")

    def broken(self, what: str) -> TransportError:
        """The error for a call that the end of the connection has ended."""
        why = "the device does not answer any more" if self._lost else "the connection broke"
        return TransportError(self.target, f"{why} {what}")

    def with_proxy_s_words(self, error: TransportError) -> TransportError:
        """The error, with the last line the proxy command had to say."""
        if self._proxy_said is None:
            return error
        self._proxy_said.seek(0)
        lines = self._proxy_said.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
        said = f"; its proxy command said: {one_line(lines[-1])}" if lines else ""
        return TransportError(self.target, error.message + said, mend=error.mend)

    def close(self) -> None:
        """Close all hops, the last first."""
        self._closing.set()
        self._parts.close()

    def greet(self, hop: Hop, before: paramiko.Transport | None) -> paramiko.Transport:
        """Reach a hop, through the one before if there is one, and agree with it on how to encrypt."""
        transport = paramiko.Transport(self._reach(hop, before))
        self._parts.callback(transport.close)
        transport.set_log_channel(_LOG)
        transport.banner_timeout = transport.handshake_timeout = hop.timeout_s
        transport.auth_timeout = transport.channel_timeout = hop.timeout_s
        _prefer(transport, [entry.key.kind for entry in hop.recorded()])
        transport.start_client(timeout=3 * hop.timeout_s)
        self._server_key = transport.get_remote_server_key()
        self._transport = transport
        return transport

    def check(self, hop: Hop, policy: Policy) -> None:
        """Believe the hop just greeted only when ``policy`` does."""
        assert self._server_key
        key = HostKey(self._server_key.get_name(), self._server_key.asbytes())
        standing = KnownHosts(hop.known_hosts).standing(hop.filed_as, key)
        policy(Offer(self.target, hop, key, standing, hop.recorded()))

    def _reach(self, hop: Hop, before: paramiko.Transport | None) -> socket.socket | paramiko.Channel:
        """A byte stream to the hop: through the one before, from a command, or straight."""
        if before is not None:
            return _forward(hop, before)
        if hop.proxy_command:
            return self._run_proxy(hop.proxy_command)
        sock = socket.create_connection((hop.host, hop.port), timeout=hop.timeout_s)
        self._parts.callback(sock.close)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _run_proxy(self, command: str) -> socket.socket:
        """A socket: paramiko's own ProxyCommand spins at its end of file and waits for full buffers."""
        ours, theirs = socket.socketpair()
        self._parts.callback(ours.close)
        self._proxy_said = self._parts.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        with theirs:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._proxy_said,
                start_new_session=True,
            )
        self._parts.callback(_end, process)
        return ours

    def _ask(self, every_s: float) -> None:
        transport = self.transport
        while not self._closing.wait(every_s) and transport.is_active():
            try:
                transport.global_request("keepalive@openssh.com", wait=True)
            except BROKEN:
                return  # whoever is using the connection is told by its own call
            if transport.is_active():
                self.touch()

    def _watch(self, silence_s: float) -> None:
        while not self._closing.wait(min(1.0, silence_s / 4)) and self.transport.is_active():
            now = time.monotonic()
            if now > self._limit or now - self._seen > silence_s:
                self._lost = True
                self.transport.close()


def open_link(target: str, hops: Sequence[Hop], policy: Policy = strict, *, log_in_last: bool = True) -> Link:
    """Connect hop by hop.

    Raises:
        UntrustedHost, AccessDenied: a hop is not believed, or does not let us in.
        TransportError: a hop cannot be reached or does not speak SSH.
        ConfigError: a key the farm file names cannot be used.
    """
    link = Link(target)
    try:
        before: paramiko.Transport | None = None
        for hop in hops:
            with _translated(target, hop):
                before = link.greet(hop, before)
            link.check(hop, policy)
            if log_in_last or hop is not hops[-1]:
                with _translated(target, hop):
                    log_in(target, hop, before)
    except TransportError as error:
        told = link.with_proxy_s_words(error)
        link.close()
        raise told from None
    except BaseException:
        link.close()
        raise
    return link


def _forward(hop: Hop, before: paramiko.Transport) -> paramiko.Channel:
    """A connection to ``hop`` made by the server before it."""
    try:
        return before.open_channel(
            "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=hop.timeout_s
        )
    except paramiko.ChannelException:
        raise
    except paramiko.SSHException:
        raise TimeoutError from None  # paramiko has no exception of its own for it


@contextlib.contextmanager
def _translated(target: str, hop: Hop) -> Iterator[None]:
    """One error for all the ways in which a server cannot be reached."""
    try:
        yield
    except TimeoutError:
        raise _unreachable(target, f"{hop} did not answer within {hop.timeout_s:g} s") from None
    except socket.gaierror as error:
        raise _unreachable(target, f"{hop.host}: {(error.strerror or 'name not known').lower()}") from None
    except paramiko.ChannelException as error:
        raise _unreachable(
            target, f"{hop} cannot be reached from the hop before: {one_line(error.text)}"
        ) from None
    except OSError as error:
        raise _unreachable(target, f"{hop}: {(error.strerror or one_line(str(error))).lower()}") from None
    except BROKEN as error:
        said = one_line(str(error)) or "it closed the connection"
        raise _unreachable(target, f"{hop} does not speak SSH with us: {said}") from None


def _unreachable(target: str, message: str) -> TransportError:
    return TransportError(target, f"cannot connect: {message}", mend="is it on, and address and port right?")


def _prefer(transport: paramiko.Transport, kinds: Sequence[str]) -> None:
    """Ask for the kinds of host key that are known, so that another of the same host is not taken for new.

    And for AES-GCM, which encrypts and authenticates in one pass: paramiko's first choice takes two.
    """
    options = transport.get_security_options()
    options.ciphers = sorted(options.ciphers, key=lambda name: name not in _FASTEST)
    wanted = [name for kind in kinds for name in (_RSA if kind == "ssh-rsa" else (kind,))]
    offered = tuple(options.key_types)
    first = tuple(dict.fromkeys(name for name in wanted if name in offered))
    options.key_types = first + tuple(name for name in offered if name not in first)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
