"""Scheduler and workers on loopback: nothing that is a pickle is read, whoever sends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.devices.hosts import Running, until
from tests.devices.quick_command import QuickCommand

FARM = """
[devices.pi]
profile = "raspberry-pi-5"
address = "pi@127.0.0.1"
port = 1
site = "lab"
"""
PLAN = '[plan]\nname = "night"\nworkloads = ["net.onnx"]\ndevices = ["pi"]\npreset = "rapid"\n'

_ATTACK = """
import asyncio, os, sys
from distributed import Client
from distributed.comm import connect
from distributed.protocol import to_serialize
from distributed.protocol.pickle import dumps
from distributed.protocol.serialize import ToPickle

class Evil:
    def __reduce__(self):
        return os.system, ("touch " + sys.argv[1],)

async def say(address, message):
    comm = await connect(address, timeout=5)
    await comm.write(message)
    try:
        print(await asyncio.wait_for(comm.read(), 2))
    except (OSError, asyncio.TimeoutError) as error:
        print(type(error).__name__)
    comm.abort()

async def main():
    payload = dumps(Evil())
    for address in sys.argv[2:]:
        for message in (
            {"op": "identity", "x": ToPickle(Evil())},
            {"op": "identity", "x": to_serialize(Evil())},
            {"op": "edgewright-order", "job": ToPickle(Evil()), "order": b"{}"},
            {"op": "run", "function": payload},
            {"op": "run_function", "function": payload},
            {"op": "plugin-add", "plugin": payload},
            {"op": "register_worker_plugin", "plugin": payload, "name": "x"},
            {"op": "register-client", "client": "x", "versions": {}},
        ):
            await say(address, message)
    try:
        async with Client(sys.argv[2], asynchronous=True, timeout=3) as client:
            await asyncio.wait_for(client.submit(os.system, "touch " + sys.argv[1]).result(), 3)
    except (OSError, asyncio.TimeoutError, RuntimeError) as error:
        print(type(error).__name__)

asyncio.run(main())
"""


@pytest.fixture
def processes(quick: QuickCommand) -> Iterator[list[Running]]:
    started: list[Running] = []
    yield started
    for running in started:
        if running.process.poll() is None:
            running.kill()


@pytest.mark.long
def test_pickles_are_not_read_and_the_farm_says_what_is_missing(
    quick: QuickCommand, processes: list[Running], tmp_path: Path
) -> None:
    (quick.folder / "farm.toml").write_text(FARM)
    (quick.folder / "plan.toml").write_text(PLAN)
    (quick.folder / "net.onnx").write_bytes(b"nothing yet")
    dask = ("farm", "run", "plan.toml", "--dask")
    assert "the scheduler cannot be reached" in quick.refusal(3, *dask, "tcp://127.0.0.1:1")
    assert "not encrypted" in quick.refusal(2, *dask, "tcp://10.0.0.1:1")

    def start(*words: str) -> Running:
        main = "from edgewright.cli.main import main; main()"
        command = [sys.executable, "-c", main, "farm", *words]
        processes.append(Running(command, quick.folder, dict(os.environ)))
        return processes[-1]

    scheduler = start("scheduler", "--listen", "tcp://127.0.0.1:0")
    until(lambda: "scheduler at " in scheduler.err, "a scheduler")
    address = scheduler.err.split("scheduler at ")[1].split()[0]
    told = quick.refusal(3, *dask, address)
    assert told == f"pi: no worker of site 'lab' is with {address} (edgewright farm worker)"
    assert "no device is of that site" in quick.refusal(2, "farm", "worker", address, "--site", "attic")

    worker = start("worker", address, "--site", "lab")
    until(lambda: "with the scheduler" in worker.err, "a worker")
    where = worker.err.split(": with the scheduler")[0].split()[-1]
    mark = tmp_path / "mark"
    words = [sys.executable, "-c", _ATTACK, str(mark), address, where]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not mark.exists() and done.stdout.count("pickles are neither written nor read") == 5, done.stdout
    assert scheduler.process.poll() is None and worker.process.poll() is None
    worker.interrupt()
    assert worker.end().code == 0
