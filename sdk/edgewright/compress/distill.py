"""Distillation: the module, or a light network in its place, is trained by a teacher.

The teacher is the workload's own model (``offline``), a peer that learns at the same time and is taught in
turn (``online``: Zhang et al., Deep Mutual Learning, CVPR 2018, arXiv 1706.00384), or the student of the
generation before (``self``: Furlanello et al., Born-Again Networks, ICML 2018, arXiv 1805.04770). What is
handed over is in :mod:`.distillation`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.config import STRICT, did_you_mean
from edgewright.errors import CompressionError, ConfigError
from edgewright.profile import DeviceProfile
from edgewright.students import FAMILIES, make_student

from . import Changed, ModelJob
from .checkpoint import Stateful
from .distillation import first, teach, term
from .tuning import Tuning, training_of, tune

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, config=STRICT)
class DistillOptions:
    """Options of ``distill``.

    Attributes:
        kind: what the teacher hands over.
        mode: who the teacher is.
        student: a light network to train in the model's place, see ``edgewright models list``; without one
            the model itself is trained, as the steps before have left it.
        width: of that network's channels, as a share of the published ones.
        temperature, weight: how soft the teacher's answers are, and its share in the loss; at 0 the student
            learns alone, to see what the teacher is worth.
        generations: for ``self``, how many students follow each other.
        tuning: how to train.
    """

    kind: Literal["response", "feature", "relation"] = "response"
    mode: Literal["offline", "online", "self"] = "offline"
    student: str = ""
    width: Annotated[float, Field(gt=0.0, le=4.0)] = 1.0
    temperature: Annotated[float, Field(gt=0.0, le=100.0)] = 4.0
    weight: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    generations: Annotated[int, Field(ge=1, le=20)] = 2
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        """Refuse students that there are not, and a width of none."""
        if self.student and self.student not in FAMILIES:
            raise ConfigError(
                f"distill: no light network is called {self.student!r}",
                mend=did_you_mean(self.student, list(FAMILIES)),
            )
        if self.width != 1.0 and not self.student:
            raise ConfigError("distill: width is that of a student, and none is named", mend="name a student")


class Distill:
    """See the module."""

    stage: ClassVar[Literal["model"]] = "model"
    saves: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[type[Any]] = DistillOptions

    def profile_facts(
        self, options: DistillOptions, profile: DeviceProfile, format: str
    ) -> Mapping[str, object]:
        """Nothing: the module is the same for every device."""
        return {}

    def on_device(self, options: DistillOptions, profile: DeviceProfile) -> tuple[str, ...]:
        """See :class:`edgewright.recipe.Technique`."""
        return ()

    def apply(self, job: ModelJob, options: DistillOptions) -> Changed:
        """See :class:`edgewright.compress.ModelTechnique`."""
        training_of(job, "distillation")
        student = _student(job, options)
        if options.weight == 0:
            said = tune(job, student, options.tuning, name="training alone")
        elif options.mode == "online":
            said = _online(job, student, options)
        elif options.mode == "self":
            student, said = _generations(job, student, options)
        else:
            said = _offline(job, student, job.workload.model, options, "distillation")
        who = "the model"
        if options.student:
            sizes = [sum(p.numel() for p in one.parameters()) for one in (student, job.module)]
            said_of = f"{sizes[0]:,} parameters in place of {sizes[1]:,}"
            who = f"{options.student} at width {options.width:g}, {said_of},"
        how = f"taught by {options.kind}, {options.mode}" if options.weight else "without a teacher"
        outputs = _outputs(student, job)
        more = (f"of its {outputs} outputs the first was taught",) if outputs > 1 and options.weight else ()
        return Changed(student.eval(), (f"{who} {how}: {said}", *more))


def _outputs(module: torch.nn.Module, job: ModelJob) -> int:
    """How many tensors come out."""
    import torch
    from torch.utils import _pytree

    with torch.no_grad():
        leaves = _pytree.tree_leaves(module.eval()(*job.workload.example_inputs))
    return sum(isinstance(leaf, torch.Tensor) for leaf in leaves)


def _student(job: ModelJob, options: DistillOptions) -> torch.nn.Module:
    if not options.student:
        return job.module
    import torch

    example = job.workload.example_inputs
    if len(example) != 1:
        raise CompressionError(
            f"distill: {options.student} takes one input, the model has {len(example)}",
            mend="leave student out, so that the model itself is trained",
        )
    with torch.no_grad():
        scores = first(job.module(*example))
    if scores.dim() != 2:
        raise CompressionError(
            f"distill: {options.student} gives scores [n, k], the model gives {list(scores.shape)}",
            mend="leave student out, so that the model itself is trained",
        )
    torch.manual_seed(options.tuning.seed)
    return make_student(options.student, options.width, example[0], scores.shape[-1])


def _offline(
    job: ModelJob, student: torch.nn.Module, teacher: torch.nn.Module, options: DistillOptions, name: str
) -> str:
    taught = teach(options.kind, job, student, teacher, options.temperature, options.weight)
    return tune(job, student, options.tuning, name=name, terms=(taught,))


def _online(job: ModelJob, student: torch.nn.Module, options: DistillOptions) -> str:
    """Beside a peer of the same kind that is drawn anew."""
    peer = _redrawn(student, options.tuning.seed + 1)
    return tune(
        job, student, options.tuning, name="mutual learning", terms=(_Peer(job, student, peer, options),)
    )


def _generations(
    job: ModelJob, student: torch.nn.Module, options: DistillOptions
) -> tuple[torch.nn.Module, str]:
    """Students that begin alike, each taught by the one before; the first by itself as it came."""
    begin = copy.deepcopy(student)
    teacher = tuned = student
    said = ""
    if options.student:
        tune(job, teacher, options.tuning, name="generation 0")
    for number in range(1, options.generations + 1):
        tuned = copy.deepcopy(begin)
        said = _offline(job, tuned, teacher, options, f"generation {number} of {options.generations}")
        teacher = tuned
    return tuned, f"{options.generations} generations of {said}"


def _redrawn(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    import torch

    peer = copy.deepcopy(module)
    torch.manual_seed(seed)
    for layer in peer.modules():
        reset = getattr(layer, "reset_parameters", None)
        if reset is not None:
            reset()
    return peer


class _Peer:
    """A term whose teacher is trained on the same batches, by the task and by the student."""

    def __init__(
        self, job: ModelJob, student: torch.nn.Module, peer: torch.nn.Module, options: DistillOptions
    ) -> None:
        training = training_of(job, "distillation")
        self.weight = options.weight
        self._loss = training.loss
        self._peer = peer
        self._rate = options.tuning.learning_rate or training.learning_rate
        terms = (
            term(options.kind, job, one, other, options.temperature, options.weight)
            for one, other in ((student, peer), (peer, student))
        )
        self._to_student, self._to_peer = terms
        self.parameters = self._to_student.parameters
        self._optimizer: torch.optim.Optimizer | None = None

    @contextlib.contextmanager
    def watching(self, module: torch.nn.Module) -> Iterator[None]:
        """The peer comes to where the student is."""
        import torch

        with self._to_student.watching(module), self._to_peer.watching(self._peer):
            device = next(module.parameters()).device
            for parameter in self._to_peer.parameters:
                parameter.data = parameter.data.to(device)
            trained = [*self._peer.train().parameters(), *self._to_peer.parameters]
            self._optimizer = torch.optim.AdamW(trained, lr=self._rate)
            yield

    def __call__(self, inputs: Tensors, returned: Any, targets: torch.Tensor) -> torch.Tensor:
        """Train the peer for a step, then what the student may learn of it."""
        import torch

        assert self._optimizer is not None
        ours = first(returned)
        self._optimizer.zero_grad()
        answered = self._peer(*inputs)
        theirs = first(answered)
        taught = self._to_peer.between(theirs, ours.detach(), targets)
        torch.autograd.backward((1 - self.weight) * self._loss(answered, targets) + self.weight * taught)
        self._optimizer.step()
        return self._to_student.between(ours, theirs.detach(), targets)

    def state_dict(self) -> dict[str, Any]:
        """The peer with its optimizer, and what is trained along with both."""
        return {name: part.state_dict() for name, part in self._moved().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be as it was."""
        for name, part in self._moved().items():
            part.load_state_dict(state[name])

    def _moved(self) -> dict[str, Stateful]:
        assert self._optimizer is not None
        return {
            "peer": self._peer,
            "optimizer": self._optimizer,
            "to_peer": self._to_peer,
            "to_student": self._to_student,
        }
