"""The timed loop: the inference, two clock reads, and nothing else."""

import gc
import time
from array import array
from typing import Callable, List, Tuple

from .protocol import Samples, Scenario, Timing

_CHUNK = 1 << 14


def time_once(action: Callable[[], object]) -> int:
    """Nanoseconds one call took."""
    start = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - start


def timed_loop(
    invoke: Callable[[], object], min_count: int, min_ns: int, max_ns: int, max_count: int
) -> Tuple[Samples, int, bool]:
    """Call ``invoke`` back to back until both minima hold or a maximum is reached.

    Samples go to arrays allocated and touched beforehand, the garbage collector is off, and between
    the two clock reads there is the call alone.

    Returns:
        The latencies and the wall time of the whole loop in nanoseconds, and whether ``max_count`` ended it.
    """
    clock = time.perf_counter_ns
    chunks: List[array[int]] = [array("q", bytes(8 * _CHUNK))]
    current, filled, done = chunks[0], 0, 0
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        begin = clock()
        earliest, latest = begin + min_ns, begin + max_ns
        while True:
            start = clock()
            invoke()
            end = clock()
            current[filled] = end - start
            filled += 1
            done += 1
            if (done >= min_count and end >= earliest) or end >= latest or done >= max_count:
                break
            if filled == _CHUNK:
                current = array("q", bytes(8 * _CHUNK))
                chunks.append(current)
                filled = 0
    finally:
        if was_enabled:
            gc.enable()
    del current[filled:]
    samples = array("q")
    for chunk in chunks:
        samples.extend(chunk)
    return Samples(samples), end - begin, done >= max_count


def measure(invoke: Callable[[], object], scenario: Scenario, load_ns: int, first_ns: int) -> Timing:
    """Warm up, then time the steady state; the warm-up's samples are kept apart."""
    warmup, _, _ = timed_loop(
        invoke,
        scenario.warmup_count,
        scenario.warmup_duration_ns,
        scenario.max_duration_ns,
        scenario.max_count,
    )
    latency, duration_ns, capped = timed_loop(
        invoke, scenario.min_count, scenario.min_duration_ns, scenario.max_duration_ns, scenario.max_count
    )
    return Timing(load_ns, first_ns, warmup, latency, duration_ns, capped)
