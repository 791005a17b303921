"""A fixed piece of work, timed before and after a model: a slow or contended device shows in it.

Many boards tell neither their clock nor that they throttle, but the same instructions on the same data
take the same time unless the device is slower or something else runs. The work is numpy on arrays that
fit any first-level cache, without a linear algebra library: one thread, no memory traffic, no model. Its
times compare on one device under one version of numpy.
"""

import time
from array import array
from typing import Any, Tuple

import numpy as np

from .codec import Samples
from .protocol import KernelRun

#: Whatever the device, so many steps of some milliseconds, while this time lasts.
STEPS = 24
LONGEST_NS = 400_000_000
_SIZE = 1024
_PASSES = 400


def run_kernel() -> KernelRun:
    """Time the kernel: wall time and this thread's processor time of every step, some 100 ms in all.

    A slow device does fewer steps. Where processor time stands still within a step, as on a kernel that
    counts it in ticks, the difference between the two tells nothing; the wall time still does.
    """
    state = _state()
    wall, cpu = array("q"), array("q")
    begin = time.perf_counter_ns()
    for _ in range(STEPS):
        cpu_start, start = time.thread_time_ns(), time.perf_counter_ns()
        _step(*state)
        end, cpu_end = time.perf_counter_ns(), time.thread_time_ns()
        wall.append(end - start)
        cpu.append(cpu_end - cpu_start)
        if end - begin > LONGEST_NS:
            break
    return KernelRun(Samples(wall), Samples(cpu))


def _state() -> Tuple[Any, Any, Any]:
    values = np.linspace(-1.0, 1.0, _SIZE, dtype=np.float32)
    return values, np.empty_like(values), np.empty_like(values)


def _step(values: Any, first: Any, second: Any) -> None:
    """Multiplications, additions and square roots, always from the same values and to bounded ones."""
    np.copyto(first, values)
    for _ in range(_PASSES):
        np.multiply(first, first, out=second)
        np.add(second, 1.0, out=second)
        np.sqrt(second, out=second)
        np.divide(first, second, out=first)
        np.add(first, values, out=first)
        np.multiply(first, 0.5, out=first)
