"""Memory against what was really allocated, shared, or counted by a driver."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.agent.test_worker import SHORT, Bench
from tests.devices.tree import put
from tests.models import onnx_zoo, tflite_zoo

from edgewright_agent.device_memory import DeviceCounter
from edgewright_agent.memory import MemoryWatch, pss_bytes, reset_peak, resident_bytes
from edgewright_agent.protocol import Memory, decode

MIB = 1 << 20

#: A worker's life: the runtime's own peak, then a model of 64 MiB that needs 32 more to run.
_LIFE = """
import json
from edgewright_agent.memory import MemoryWatch
from edgewright_agent.protocol import encode
before = b"1" * (200 << 20)
del before
watch = MemoryWatch({proc})
model = b"1" * (64 << 20)
watch.loaded()
work = b"1" * (32 << 20)
del work
print(json.dumps(encode(watch.seen())))
"""


def life(proc: str = "") -> Memory:
    done = subprocess.run(
        [sys.executable, "-c", _LIFE.format(proc=proc)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return decode(Memory, json.loads(done.stdout))


def test_the_model_s_memory_is_what_it_allocated() -> None:
    if not reset_peak():
        pytest.skip("clear_refs may not be written here")
    seen = life()
    assert seen.loaded_bytes - seen.baseline_bytes == pytest.approx(64 * MIB, abs=MIB)
    assert seen.peak_bytes is not None
    assert seen.peak_bytes - seen.baseline_bytes == pytest.approx(96 * MIB, abs=MIB)
    assert seen.peak_method == "VmHWM since the runtime was imported"
    assert seen.pss_bytes is not None
    assert 64 * MIB < seen.pss_bytes <= seen.loaded_bytes + MIB
    assert seen.notes["pss"].startswith("smaps")


@pytest.fixture
def locked_proc(tmp_path: Path) -> Iterator[str]:
    """A view of ``/proc/self`` in which ``clear_refs`` cannot be written, as in many containers."""
    folder = tmp_path / "proc"
    (folder / "clear_refs").mkdir(parents=True)
    for name in ("status", "smaps_rollup"):
        (folder / name).symlink_to(f"/proc/self/{name}")
    yield repr(str(folder))


def test_a_peak_that_may_not_be_reset_is_said_to_be_the_whole_life_s(locked_proc: str) -> None:
    seen = life(locked_proc)
    assert seen.peak_bytes is not None
    assert seen.peak_bytes - seen.baseline_bytes == pytest.approx(200 * MIB, abs=2 * MIB)
    assert "over the whole process: clear_refs is not allowed" in seen.peak_method
    assert "the model's own peak is at most this" in seen.peak_method


def fake_proc(folder: Path, **files: str) -> str:
    for name, text in files.items():
        put(folder, name, text)
    return str(folder)


def test_a_kernel_without_a_high_water_mark_has_no_peak(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, status="Name:\tpython\nVmRSS:\t  1000 kB")
    seen = MemoryWatch(proc, str(tmp_path)).seen()
    assert (seen.baseline_bytes, seen.peak_bytes) == (1000 * 1024, None)
    assert "no high-water mark" in seen.peak_method
    assert seen.pss_bytes is None and "no proportional set size" in seen.notes["pss"]


def test_an_old_kernel_s_pss_is_summed_up(tmp_path: Path) -> None:
    mapping = "7f00-7f01 r-xp 0 fd:0 1 /lib/x.so\nSize: 8 kB\nRss: 8 kB\nPss: {} kB\nShared_Clean: 4 kB\n"
    proc = fake_proc(tmp_path, smaps=mapping.format(3) + mapping.format(5))
    assert pss_bytes(proc) == (8 * 1024, "smaps, after the steady state")


def test_a_pss_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "smaps_rollup").mkdir()
    found, why = pss_bytes(str(tmp_path))
    assert found is None and "cannot be read: Is a directory" in why


def test_shared_pages_count_for_their_share() -> None:
    code = """
import json, os, sys
from edgewright_agent.memory import pss_bytes, resident_bytes
block = b"1" * (64 << 20)
alone = pss_bytes()[0]
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
shared, resident = pss_bytes()[0], resident_bytes()
os.close(writer)
os.waitpid(child, 0)
print(json.dumps([alone, shared, resident]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    alone, shared, resident = json.loads(done.stdout)
    assert alone - shared == pytest.approx(32 * MIB, abs=6 * MIB)
    assert shared < alone <= resident + MIB


CLIENTS = """CLIENT                        PROCESS      PID        SIZE
user                  gnome-shell     1200      22852K
user                           python     4961      70800K
user                           python     4961          2M
total                                              95700K
"""


def test_jetson_s_memory_of_this_process(tmp_path: Path) -> None:
    put(tmp_path, "sys/kernel/debug/nvmap/iovmm/clients", CLIENTS)
    counter = DeviceCounter(str(tmp_path), pid=4961)
    assert counter.read() == (70800 * 1024 + 2 * MIB, "nvmap's memory of this process")
    assert DeviceCounter(str(tmp_path), pid=1).read() == (None, "nvmap lists no memory of this process")


def test_jetson_s_memory_as_far_as_everybody_may_see_it(tmp_path: Path) -> None:
    meminfo = "MemTotal: 8000000 kB\nNvMapMemFree: 100 kB\nNvMapMemUsed: {} kB"
    put(tmp_path, "proc/meminfo", meminfo.format(1000))
    counter = DeviceCounter(str(tmp_path), pid=4961)
    put(tmp_path, "proc/meminfo", meminfo.format(5000))
    found, how = counter.read()
    assert found == 4000 * 1024 and how.startswith("increase of the whole machine's NvMapMemUsed")
    put(tmp_path, "proc/meminfo", meminfo.format(400))
    found, how = counter.read()
    assert found is None and "NvMapMemUsed fell" in how


def test_a_device_without_such_a_counter_says_so(tmp_path: Path) -> None:
    assert DeviceCounter(str(tmp_path)).read() == (
        None,
        "no accelerator here whose driver tells its memory",
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def heavy(folder: Path, mebibytes: int) -> Path:
    """y = x + w with a weight of so many mebibytes, which the runtime cannot fold away."""
    count = mebibytes * MIB // 4
    weight = onnx_zoo.constant("w", np.ones((1, count), np.float32))
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    tensors = [onnx_zoo.value(name, onnx.TensorProto.FLOAT, [1, count]) for name in "xy"]
    return onnx_zoo.save(onnx_zoo.model([node], tensors[:1], tensors[1:], [weight]), folder / "heavy.onnx")


def memory_of(bench: Bench, path: Path) -> Memory:
    return bench.run(replace(bench.job(path, keep_outputs=False), scenario=SHORT)).memory


def test_a_worker_s_memory_holds_the_weights_and_the_arena_tells_them(bench: Bench) -> None:
    seen = memory_of(bench, heavy(bench.folder, 32))
    own = seen.loaded_bytes - seen.baseline_bytes
    assert 32 * MIB <= own <= 32 * MIB * 2.5
    assert seen.peak_bytes is not None and seen.pss_bytes is not None
    assert seen.peak_bytes >= seen.loaded_bytes
    assert seen.pss_bytes <= seen.peak_bytes + MIB
    if seen.arena_bytes is None:
        assert "tells it neither in its profile nor in Python" in seen.notes["arena"]
    else:
        assert 32 * MIB <= seen.arena_bytes <= 140 * MIB
        assert "mem_arena_held" in seen.notes["arena"]
    assert seen.device_bytes is None and seen.notes["device"]


def test_tflite_s_arena_is_said_not_to_be_told(bench: Bench) -> None:
    pytest.importorskip("ai_edge_litert")
    seen = memory_of(bench, tflite_zoo.save(tflite_zoo.dense(), bench.folder / "model.tflite"))
    assert (seen.arena_bytes, seen.notes["arena"]) == (
        None,
        "ai-edge-litert does not tell its arena in Python",
    )


def test_resident_bytes_are_this_process_s() -> None:
    assert MIB < resident_bytes() < 1 << 40
