"""Pushing a model beside copying it with scp: over loopback, and as changes over a slow link.

    python benchmarks/push.py [--pairs 7] [--megabytes 100]

Both go to the same OpenSSH server, made for this and gone after it. scp is timed as the command it is. A push
is timed on a device that is open already, from asking what it has to the answer that all of it is there and
has its SHA-256; neither waits for the disk. How long opening takes is told too, and the ratio with that
included. They take turns, and ``ratio_vs_scp`` is the median of the pairs' ratios.

The slow link is a network namespace of 16 Mbit/s, which needs root. Over it goes a file of which 5 % of the
bytes were replaced, in 40 regions, while the device has the one it was made from.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.devices import find_command
from tests.devices.netns import Lab
from tests.devices.sshd import Sshd

from edgewright.device import Device
from edgewright.device.pushing import push

_RATE = "16mbit"
_REGIONS = 40
_CHANGED = 0.05
_SFTP = "Subsystem sftp internal-sftp"


@dataclass(frozen=True)
class File:
    """One to send; ``sha256`` is what the device must find."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path, content: bytes) -> File:
        path.write_bytes(content)
        return cls(path, hashlib.sha256(content).hexdigest())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewright-push-") as name:
        folder = Path(name)
        os.environ["EDGEWRIGHT_CACHE"] = str(folder / "cache")
        weights = np.random.default_rng(0).standard_normal(options.megabytes << 18).astype(np.float32)
        over_loopback(folder, weights.tobytes(), options.pairs)
        reason = what_is_missing()
        if reason:
            print(f"delta_speedup_vs_scp: not measured: {reason}")
        else:
            over_a_slow_link(folder, weights[: 24 << 18].tobytes())


def over_loopback(folder: Path, content: bytes, pairs: int) -> None:
    """By turns, on a server that listens on loopback."""
    model = File.of(folder / "model.onnx", content)
    server = Sshd(folder / "loopback", settings=[_SFTP]).start()
    try:
        once(server, model)  # the agent is there from now on, and everything has been read once
        scp(server, model, ())
        found: list[tuple[float, float, float]] = []
        for number in range(pairs):
            if number % 2:
                copied_s, (opened_s, pushed_s) = scp(server, model, ()), once(server, model)
            else:
                (opened_s, pushed_s), copied_s = once(server, model), scp(server, model, ())
            found.append((copied_s, opened_s, pushed_s))
            print(
                f"pair {number + 1}: scp {copied_s:.2f} s, push {pushed_s:.2f} s "
                f"(opening the device {opened_s:.2f} s)"
            )
    finally:
        server.stop()
    scp_s, _, push_s = (statistics.median(times) for times in zip(*found, strict=True))
    size = len(content) / 1e6
    print(f"{size:.0f} MB: scp {size / scp_s:.0f} MB/s, push {size / push_s:.0f} MB/s with its hash")
    print(f"ratio_with_opening={statistics.median((o + p) / s for s, o, p in found):.3f}")
    print(f"ratio_vs_scp={statistics.median(p / s for s, _, p in found):.3f}")


def over_a_slow_link(folder: Path, content: bytes) -> None:
    """The sibling of a file that the device has."""
    model = File.of(folder / "base.onnx", content)
    sibling = File.of(folder / "sibling.onnx", changed(content))
    with Lab(folder / "lab") as lab:
        node = lab.add(disk="256m", settings=[_SFTP])
        with lab.entered():
            device = Device.open(node.sshd.target(python=sys.executable))
        with device:
            send(device, model)
            node.rate(_RATE)
            sent: list[int] = []
            began = time.perf_counter()
            send(device, sibling, sent)
            pushed_s = time.perf_counter() - began
        check(node.sshd, sibling)
        copied_s = scp(node.sshd, sibling, lab.command())
    megabytes = len(content) / 1e6
    print(
        f"{megabytes:.1f} MB with {_CHANGED:.0%} replaced at {_RATE}: scp {copied_s:.1f} s, "
        f"push {pushed_s:.1f} s for {sent[-1] / 1e6:.2f} MB"
    )
    print(f"delta_speedup_vs_scp={copied_s / pushed_s:.2f}")


def changed(content: bytes) -> bytes:
    """As much replaced as said, in regions that are scattered evenly."""
    rng = np.random.default_rng(1)
    result = bytearray(content)
    length = int(len(content) * _CHANGED / _REGIONS)
    for begin in np.linspace(0, len(content) - length, _REGIONS).astype(int):
        result[begin : begin + length] = rng.bytes(length)
    return bytes(result)


def once(server: Sshd, file: File) -> tuple[float, float]:
    """Seconds to open the device, and to push a file that it does not have."""
    os.sync()  # what was written before is not to be waited for
    began = time.perf_counter()
    with Device.open(server.target(python=sys.executable)) as device:
        opened = time.perf_counter()
        send(device, file)
        pushed = time.perf_counter()
    check(server, file).unlink()
    return opened - began, pushed - opened


def send(device: Device, file: File, sent: list[int] | None = None) -> None:
    """Push it; what travelled is noted."""

    def on_event(event: Mapping[str, Any]) -> None:
        if sent is not None and "sent" in event:
            sent.append(event["sent"])

    device._link.during(lambda link, told: push(link, {file.sha256: file.path}, told), on_event)


def check(server: Sshd, file: File) -> Path:
    """Where the device has it, as it is here."""
    stored = server.home / "edgewright" / "store" / file.sha256
    if stored.read_bytes() != file.path.read_bytes():
        raise SystemExit("what arrived is not what was sent")
    return stored


def scp(server: Sshd, file: File, before: list[str] | tuple[()]) -> float:
    """Seconds of the command; the copy is removed."""
    options = {
        "UserKnownHostsFile": server.known_hosts,
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
    }
    words = [*before, "scp", "-q", "-F", "none", "-i", str(server.client_key), "-P", str(server.port)]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    target = server.home / "copy"
    address = server.address()
    os.sync()
    began = time.perf_counter()
    subprocess.run([*words, str(file.path), f"{address.user}@{address.host}:{target}"], check=True)
    took_s = time.perf_counter() - began
    target.unlink()
    return took_s


def what_is_missing() -> str:
    """Why there can be no slow link here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft", "tc") if not find_command(name)]
    return f"{', '.join(missing)} not installed" if missing else ""


if __name__ == "__main__":
    main()
