"""Time by node, from ONNX Runtime's own profile of a session made for it."""

import os
import time
from typing import Any, Dict, List

from ..protocol import Execution, OpsPlan, OpsProfile, Samples
from .onnx_providers import create
from .onnx_trace import op_times, read_trace

#: Runs of the session that finds out how much the runtime writes about one.
_PILOT_RUNS = 2


def profile_ops(
    module: Any,
    path: str,
    execution: Execution,
    feeds: Dict[str, Any],
    folder: str,
    plan: OpsPlan,
) -> OpsProfile:
    """Profile ``plan.runs`` inferences after ``plan.warmup``.

    A first session of two runs tells how much is written about one, so that the file stays under
    ``plan.max_file_bytes`` whatever the model's size.
    """
    prefix = os.path.join(folder, "ops")
    pilot = _Session(module, path, execution, prefix)
    pilot_ns = [pilot.run(feeds) for _ in range(_PILOT_RUNS)]
    size_bytes = pilot.trace_bytes()
    runs = min(
        plan.warmup + plan.runs,
        plan.max_file_bytes // max(1, size_bytes // _PILOT_RUNS),
        plan.max_duration_ns // max(1, pilot_ns[-1]),
    )
    is_cut = runs < plan.warmup + plan.runs
    warmup = min(plan.warmup, max(1, runs // 5)) if is_cut else plan.warmup
    if runs < warmup + 1:
        return OpsProfile(
            (),
            reason=f"profiling {warmup + 1} inferences would take more than {plan.max_duration_ns / 1e9:g} s "
            f"or {plan.max_file_bytes} bytes on the device",
        )
    session = _Session(module, path, execution, prefix)
    run_ns = [session.run(feeds) for _ in range(runs)]
    trace_file = session.end()
    try:
        trace = read_trace(trace_file)
    finally:
        os.unlink(trace_file)
    notes: List[str] = []
    if trace.unreadable:
        notes.append(f"{trace.unreadable} lines of the runtime's profile could not be read")
    if is_cut:
        notes.append(f"{runs - warmup} inferences were profiled, to stay within the limits of time and space")
    if len(trace.runs) != runs:
        return OpsProfile(
            (),
            reason=f"the runtime's profile holds {len(trace.runs)} of {runs} inferences",
            notes=tuple(notes),
        )
    ops, sums, unlisted = op_times(trace, warmup)
    if not ops:
        return OpsProfile((), reason="the runtime's profile names no node", notes=tuple(notes))
    return OpsProfile(
        ops=ops, sum_ns=Samples(sums), run_ns=Samples(run_ns[warmup:]), unlisted=unlisted, notes=tuple(notes)
    )


class _Session:
    """A session whose runtime writes down every node."""

    def __init__(self, module: Any, path: str, execution: Execution, prefix: str) -> None:
        self._session = create(module, path, execution, trace_prefix=prefix)

    def run(self, feeds: Dict[str, Any]) -> int:
        """Nanoseconds one inference took."""
        start = time.perf_counter_ns()
        self._session.run(None, feeds)
        return time.perf_counter_ns() - start

    def end(self) -> str:
        """The path of the profile."""
        return str(self._session.end_profiling())

    def trace_bytes(self) -> int:
        """How long the profile is; it is removed."""
        path = self.end()
        size = os.path.getsize(path)
        os.unlink(path)
        return size
