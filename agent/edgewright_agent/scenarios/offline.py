"""Throughput: whole batches back to back, at one size of the first axis after the other."""

from dataclasses import replace
from typing import Any, Dict, Mapping, Sequence, Union

import numpy as np

from .. import arrays, memory, timing
from ..failure import AgentFailure
from ..protocol import BatchRun, Samples, ScenarioRun, TensorSpec
from ..runtimes import Session
from .companion import open_companion
from .stage import Played, Stage, warm_up


def play(stage: Stage) -> Played:
    """Every batch that the model can take; what is shown as its latency is of the smallest that ran.

    Raises:
        AgentFailure: ``protocol`` when no batch is asked for.
    """
    sizes = stage.scenario.batches
    if not sizes or min(sizes) < 1:
        raise AgentFailure("protocol", "the scenario offline needs batch sizes above zero")
    runs, played = [], {}
    for size in sizes:
        found = _run(stage, size)
        if isinstance(found, Played):
            played[size] = found
            runs.append(BatchRun(size, found.latency_ns, found.duration_ns))
        else:
            runs.append(found)
    stage.session.bind(stage.inputs)
    shown = played[min(played)] if played else Played(Samples(), Samples(), 0)
    return replace(shown, run=ScenarioRun("offline", batches=tuple(runs)))


def _run(stage: Stage, size: int) -> Union[Played, BatchRun]:
    scenario = stage.scenario
    try:
        session = _prepare(stage, size)
        warmup = warm_up(session.invoke, scenario)
        latency, duration_ns, capped = timing.timed_loop(
            session.invoke,
            scenario.min_count,
            scenario.min_duration_ns,
            scenario.max_duration_ns,
            scenario.max_count,
        )
    except AgentFailure as failure:
        return BatchRun(size, reason=failure.error.message)
    return Played(warmup, latency, duration_ns, capped)


def _prepare(stage: Stage, size: int) -> Session:
    """A session that is fed a batch of that size and has computed the right thing for it.

    Raises:
        AgentFailure: the model cannot take it, or computes something else.
    """
    for number, companion in enumerate(stage.job.companions):
        if companion.batch == size:
            return open_companion(stage, number, companion)
    stage.session.bind(batched(stage.session.inputs, stage.inputs, size))
    stage.session.invoke()
    _compare(stage, size)
    return stage.session


def batched(specs: Sequence[TensorSpec], inputs: Mapping[str, Any], size: int) -> Dict[str, Any]:
    """Inputs with the first sample ``size`` times along the axis that is the first input's first one.

    Raises:
        AgentFailure: ``invalid-input`` when that axis is fixed at another size, ``out-of-memory`` when there
            is no room for so many.
    """
    first = next((spec for spec in specs if inputs[spec.name].ndim), None)
    if first is None:
        raise AgentFailure("invalid-input", "the model has no input with axes, so it has no batches")
    if inputs[first.name].shape[0] == size:
        return dict(inputs)
    axis = first.shape[0] if first.shape else "?"
    if isinstance(axis, int):
        raise AgentFailure(
            "invalid-input",
            f"the first axis of input {first.name} is fixed at {axis}",
            "export the model with a dynamic first axis",
        )
    repeated = [spec.name for spec in specs if spec.shape[:1] == (axis,)] or [first.name]
    needed = size * sum(inputs[name][:1].nbytes for name in repeated)
    free = memory.available_bytes()
    if free is not None and 2 * needed > free:
        raise AgentFailure("out-of-memory", f"inputs of {needed} bytes do not fit twice into {free} free")
    return {name: _repeat(v, size) if name in repeated else v for name, v in inputs.items()}


def _repeat(value: Any, size: int) -> Any:
    return np.ascontiguousarray(np.repeat(value[:1], size, axis=0))


def _compare(stage: Stage, size: int) -> None:
    """Every sample of the batch is the same, so every output must be that of the first one alone.

    Outputs whose first axis is not the batch cannot be compared and are left out, as are all outputs of a
    model that does not repeat itself.

    Raises:
        AgentFailure: ``model-rejected`` with the first output that differs.
    """
    tolerance = stage.job.data.tolerance
    if not stage.is_same or tolerance is None:
        return
    found = stage.session.outputs()
    alone = next(value.shape[0] for value in stage.inputs.values() if value.ndim)
    for name, value in stage.outputs.items():
        if value.shape[:1] != (alone,) or found[name].shape[:1] != (size,):
            continue
        worst, _ = arrays.compare({name: found[name]}, {name: _repeat(value, size)})
        if not arrays.within(worst, tolerance):
            raise AgentFailure(
                "model-rejected",
                f"output {name!r} of a batch of {size} differs from that of one sample: cosine "
                f"{worst.cosine:.4f}, largest error {worst.max_abs:.4g}",
            )
