"""ONNX Runtime's own profile of a session: its file, read line by line into times by node.

The file is a JSON array with one event a line. An event of category ``Node`` whose name ends in
``_kernel_time`` is one execution of one node, in whole microseconds; ``model_run`` ends each inference.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Tuple

from ..protocol import OpTime
from ..protocol_ops import MAX_OP_NAME, MAX_OP_TENSORS, MAX_OPS

_KERNEL = "_kernel_time"
#: Operators that run other nodes inside their own time.
_PARENTS = frozenset(
    ("If", "Loop", "Scan", "SequenceMap", "BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch")
)
_DTYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "str"}

Key = Tuple[str, str, str, str]


@dataclass
class Run:
    """One inference: microseconds and calls by node."""

    self_us: Dict[Key, int] = field(default_factory=dict)
    calls: Dict[Key, int] = field(default_factory=dict)


@dataclass
class Trace:
    """All inferences of a file. ``unreadable`` counts lines that were no event."""

    runs: List[Run] = field(default_factory=list)
    tensors: Dict[Key, Tuple[Tuple[str, ...], Tuple[str, ...]]] = field(default_factory=dict)
    unreadable: int = 0

    def nodes_by_provider(self) -> List[Tuple[str, int]]:
        """Each node that ran in the last inference counts one, for the provider that ran it."""
        return [(key[2], 1) for key in self.runs[-1].self_us] if self.runs else []


def read_trace(path: str) -> Trace:
    """Read the file a session's ``end_profiling`` wrote."""
    trace, pending = Trace(), []  # type: Trace, List[Dict[str, Any]]
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            text = line.strip().rstrip(",")
            if text in ("[", "]", ""):
                continue
            try:
                event = json.loads(text)
                name, category = str(event["name"]), event["cat"]
            except (ValueError, KeyError, TypeError):
                trace.unreadable += 1
                continue
            if category == "Node" and name.endswith(_KERNEL):
                pending.append(event)
            elif name == "model_run":
                trace.runs.append(_run(pending, trace))
                pending = []
    return trace


def _run(events: List[Dict[str, Any]], trace: Trace) -> Run:
    run = Run()
    for event, own_us in _self_times(events):
        arguments = event.get("args") or {}
        key = (
            str(event["name"])[: -len(_KERNEL)],
            str(arguments.get("op_name", "?")),
            str(arguments.get("provider", "?")),
            str(arguments.get("node_index", "")),
        )
        run.self_us[key] = run.self_us.get(key, 0) + own_us
        run.calls[key] = run.calls.get(key, 0) + 1
        if key not in trace.tensors:
            trace.tensors[key] = (
                _tensors(arguments.get("input_type_shape")),
                _tensors(arguments.get("output_type_shape")),
            )
    return run


def _self_times(events: List[Dict[str, Any]]) -> Iterator[Tuple[Dict[str, Any], int]]:
    """Each event with its duration less that of the nodes that ran inside it.

    Only an operator with a body can hold others, so that rounding to microseconds nests no neighbours.
    """
    starts = sorted(events, key=lambda e: (int(e["ts"]), -int(e["dur"])))
    own = {id(event): int(event["dur"]) for event in starts}
    open_parents: List[Dict[str, Any]] = []
    for event in starts:
        begin, end = int(event["ts"]), int(event["ts"]) + int(event["dur"])
        while open_parents and not _inside(begin, end, open_parents[-1]):
            open_parents.pop()
        if open_parents:
            own[id(open_parents[-1])] -= int(event["dur"])
        if (event.get("args") or {}).get("op_name") in _PARENTS:
            open_parents.append(event)
    for event in starts:
        yield event, max(0, own[id(event)])


def _inside(begin: int, end: int, parent: Dict[str, Any]) -> bool:
    start = int(parent["ts"])
    return begin >= start and end <= start + int(parent["dur"]) + 1


def _tensors(described: Any) -> Tuple[str, ...]:
    """``[{"float": [1, 3]}, {}]`` as ``("float32[1x3]", "")``."""
    found = []
    for one in described if isinstance(described, list) else []:
        pairs = list(one.items()) if isinstance(one, dict) else []
        found.append("".join(f"{_DTYPES.get(t, t)}[{'x'.join(map(str, shape))}]" for t, shape in pairs[:1]))
    return tuple(found[:MAX_OP_TENSORS])


def op_times(trace: Trace, skip: int) -> Tuple[Tuple[OpTime, ...], List[int], int]:
    """The nodes in the order they first ran, leaving out the first ``skip`` inferences.

    Returns:
        The nodes, each inference's sum in nanoseconds, and how many nodes are beyond what may be listed.
    """
    runs = trace.runs[skip:]
    sums = [1000 * sum(run.self_us.values()) for run in runs]
    order: Dict[Key, None] = {key: None for run in runs for key in run.self_us}
    listed = list(order)
    if len(listed) > MAX_OPS:
        slowest = sorted(listed, key=lambda key: -sum(run.self_us.get(key, 0) for run in runs))[:MAX_OPS]
        keep = set(slowest)
        listed = [key for key in order if key in keep]
    ops = tuple(_op_time(key, runs, trace) for key in listed)
    return ops, sums, len(order) - len(listed)


def _op_time(key: Key, runs: List[Run], trace: Trace) -> OpTime:
    times = sorted(1000 * run.self_us.get(key, 0) for run in runs)
    middle = len(times) // 2
    median = times[middle] if len(times) % 2 else (times[middle - 1] + times[middle]) // 2
    inputs, outputs = trace.tensors[key]
    name, op_type, provider, _ = key
    calls = max(run.calls.get(key, 0) for run in runs)
    return OpTime(name[:MAX_OP_NAME], op_type, provider, calls, median, inputs, outputs)
