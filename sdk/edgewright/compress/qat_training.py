"""The training itself, and what of it goes into the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgewright.boundary import foreign
from edgewright.errors import CompressionError
from edgewright.profile import Int8Format
from edgewright.workload import Array, Training

from . import Changed, FileJob, ModelJob
from .calibration import Observe, Range
from .grouped import take_apart
from .qat_fakes import Activation, Weight
from .qat_graph import TRACED, Simulation, fold_norms, simulate, traced
from .quantize import QuantizeOptions
from .tuning import tune

if TYPE_CHECKING:
    from .qat import QatOptions

#: Training samples that stand for the data: to begin the ranges with, and to know tensors of a file by.
_SAMPLES = 256
_KNOWN_BY = 2
#: How far a file's values may be from torch's, as a share of the largest.
_NEAR = 1e-3


def trained(job: ModelJob, options: QatOptions, chosen: Int8Format) -> Changed:
    """Train the job's module, or take up what an earlier training of it kept.

    Raises:
        CompressionError: the model cannot be traced or trained, or has nothing to round.
    """
    training = job.workload.training
    assert training is not None
    inputs = _batch(training, range(min(TRACED, len(training.data))))
    folded = fold_norms(job.module, inputs)
    apart = take_apart(job.module)
    bits = 7 if chosen.reduce_range else 8
    batches = options.warmup_epochs * -(-len(training.data) // training.batch_size)

    def made(device: str = "cpu") -> Simulation:
        program = traced(job.module, inputs)
        if device != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        simulation = simulate(program, bits=bits, per_channel=chosen.per_channel, warmup=batches)
        _tell_rows(simulation)
        return simulation.to(device)

    simulation = made()
    if not _taken_up(simulation, job.earlier):
        learner = made("cuda") if torch.cuda.is_available() else simulation
        _begin(learner, training)
        tune(job, learner, options.tuning, name="quantization-aware training")
        if learner is not simulation:
            _taken_up(simulation, _arrays(learner))
    kept = _arrays(simulation)
    _settle(simulation, job.module)
    per = "channel" if chosen.per_channel else "tensor"
    note = f"trained for 8-bit activations and {bits}-bit weights per {per}: {options.tuning.epochs} epochs"
    if folded:
        note += f", {folded} normalisations folded beforehand"
    if apart:
        note += f", {apart} transposed convolutions taken apart into their groups"
    samples = _samples(training, job.workload.example_inputs)
    return Changed(job.module.eval(), (note,), _Finish(simulation.eval(), samples, chosen), kept)


def _tell_rows(simulation: Simulation) -> None:
    """Let the roundings that only softmaxes take know along which axis these go."""
    for node in simulation.graph.graph.nodes:
        rounding = simulation.graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        kinds = {user.target for user in node.users}
        if isinstance(rounding, Activation) and kinds == {torch.ops.aten.softmax.int}:
            rounding.rows = next(iter(node.users)).args[1]


class _Finish:
    """See :class:`edgewright.compress.Finish`."""

    def __init__(
        self, simulation: Simulation, samples: tuple[tuple[torch.Tensor, ...], ...], chosen: Int8Format
    ) -> None:
        self.simulated: torch.nn.Module = simulation
        self.samples = samples
        self._simulation = simulation
        self._chosen = chosen

    def write(self, job: FileJob) -> tuple[str, ...]:
        """Write the integers, with the ranges that were learnt where the file has tensors for them."""
        kinds = [tensor.dtype for tensor in self.samples[0]]
        known_by = job.calibration[:_KNOWN_BY]
        wanted: dict[str, list[Array]] = {}
        for sample in known_by:
            tensors = tuple(torch.from_numpy(a).to(k) for a, k in zip(sample, kinds, strict=True))
            for name, value in self._simulation.seen(tensors).items():
                wanted.setdefault(name, []).append(np.sort(value.numpy(), axis=None))
        ranges = self._simulation.ranges()
        missing = set(ranges)

        def learnt(observe: Observe) -> Mapping[str, Range]:
            found = recognised(observe, known_by, {name: wanted[name] for name in ranges})
            missing.difference_update(found.values())
            return {tensor: ranges[name] for tensor, name in found.items()}

        notes = self._write(replace(job, learnt=learnt))
        lost = f"{len(missing)} of {len(ranges)} learnt ranges are of no tensor in the file"
        if 2 * len(missing) > len(ranges):
            raise CompressionError(f"qat: {lost}")
        return (*notes, f"{lost}, which has calibrated ones there") if missing else notes

    def _write(self, job: FileJob) -> tuple[str, ...]:
        """By the quantizers of the file step, which find the weights' grid again."""
        chosen = self._chosen
        options = QuantizeOptions(per_channel=chosen.per_channel, reduce_range=chosen.reduce_range)
        if job.format == "onnx":
            from .quantize_onnx import quantize

            return quantize(job, options, chosen)
        from .quantize_tflite import quantize as quantize_tflite

        return quantize_tflite(job, options)


def recognised(
    observe: Observe, samples: tuple[tuple[Array, ...], ...], wanted: Mapping[str, list[Array]]
) -> dict[str, str]:
    """The tensors of a file that hold what torch has at some place, with the place.

    Names and layouts change in an export; the values do not, but for rounding. So a tensor is known by its
    sorted values on a few samples.

    Args:
        wanted: sorted values at each place, one array for each sample.
    """
    rows = [observe(sample) for sample in samples]
    found = {}
    for tensor in rows[0]:
        values = [np.sort(row[tensor], axis=None) for row in rows if tensor in row]
        distances = {name: _distance(values, theirs) for name, theirs in wanted.items()}
        nearest = min(distances, key=distances.__getitem__)
        if distances[nearest] <= _NEAR:
            found[tensor] = nearest
    return found


def _distance(ours: list[Array], theirs: list[Array]) -> float:
    """The largest difference as a share of the largest value; infinite where nothing can be told."""
    if [values.size for values in ours] != [values.size for values in theirs]:
        return np.inf
    largest = max(float(np.abs(values).max(initial=0.0)) for values in theirs)
    if largest == 0 or not np.isfinite(largest):
        return np.inf
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs) / largest


def _batch(training: Training, numbers: Iterable[int]) -> tuple[torch.Tensor, ...]:
    """Inputs of some training samples."""
    with foreign(CompressionError, "qat: the workload's training data", silent=False):
        items = torch.utils.data.default_collate([training.data[number] for number in numbers])
        return tuple(items[:-1])


def _samples(training: Training, example: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor, ...], ...]:
    """Training samples as the file takes them."""
    size = example[0].shape[0] if example[0].dim() else 1
    return tuple(
        tuple(tensor.repeat_interleave(size, 0) for tensor in _batch(training, [number]))
        for number in range(min(_SAMPLES, len(training.data)))
    )


def _begin(simulation: Simulation, training: Training) -> None:
    """Set the ranges to what is seen before anything is rounded."""
    phase = simulation.phase
    device = simulation.batches.device
    phase.observes, phase.rounds = True, False
    count = min(_SAMPLES, len(training.data))
    with torch.no_grad():
        for first in range(0, count, training.batch_size):
            batch = _batch(training, range(first, min(first + training.batch_size, count)))
            simulation.graph(*(tensor.to(device) for tensor in batch))
    phase.observes, phase.rounds = False, True


def _settle(simulation: Simulation, module: torch.nn.Module) -> None:
    """Give the module the trained weights, rounded to the grid that the quantizers find again."""
    graph = simulation.graph
    held = dict(module.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for node in graph.graph.nodes:
            if node.op != "get_attr" or str(node.target) not in held:
                continue
            value = graph.get_parameter(str(node.target))
            for user in node.users:
                rounding = graph.get_submodule(str(user.target)) if user.op == "call_module" else None
                if isinstance(rounding, Weight):
                    value = rounding(value)
            held[str(node.target)].copy_(value)


def _arrays(simulation: Simulation) -> dict[str, Array]:
    return {name: value.detach().cpu().numpy() for name, value in simulation.state_dict().items()}


def _taken_up(simulation: Simulation, state: Mapping[str, Array] | None) -> bool:
    """Whether ``state`` is of this very simulation, which has it then."""
    own = simulation.state_dict()
    if state is None or {name: tuple(value.shape) for name, value in own.items()} != {
        name: value.shape for name, value in state.items()
    }:
        return False
    simulation.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    return True
