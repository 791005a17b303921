"""Training a module for a while: the one loop behind fine-tuning, distillation and all that trains.

It shows progress, goes on after a kill from the last epoch that was kept (see :mod:`.checkpoint`), runs on a
GPU where torch has one, and gives the same weights for the same seed on the same machine. AdamW with a
learning rate that falls to nothing along a cosine (Loshchilov and Hutter, ICLR 2019 and 2017): it needs no
other choice to be sound.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from edgewright.boundary import foreign
from edgewright.config import STRICT
from edgewright.errors import CompressionError
from edgewright.workload import Training

from . import ModelJob
from .checkpoint import Checkpoint, Stateful

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]

SEED = 0
_TELL_EVERY_S = 0.5


@dataclass(frozen=True, config=STRICT)
class Tuning:
    """How a step trains; 0 leaves a choice to the workload.

    Attributes:
        distillation: the model as it was before the recipe also teaches, by this kind of distillation.
        temperature, teacher_weight: of the teacher's share in the loss, see :mod:`.distillation`.
        seed: of the order of the samples and of all that is drawn while training.
    """

    epochs: Annotated[int, Field(ge=0, le=10_000)] = 0
    learning_rate: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    distillation: Literal["none", "response", "feature", "relation"] = "none"
    temperature: Annotated[float, Field(gt=0.0, le=100.0)] = 4.0
    teacher_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = SEED


class Term(Stateful, Protocol):
    """A share in the loss beside the task's own. Its state is what changes while it is used.

    Attributes:
        weight: its share, between 0 and 1; the rest is the loss as it is without it.
        parameters: what is trained along with the module, such as a teacher's adapters.
    """

    @property
    def weight(self) -> float:
        """See the class."""

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """See the class."""

    def watching(self, module: torch.nn.Module) -> contextlib.AbstractContextManager[object]:
        """Look into the module while it is trained."""

    def __call__(
        self, inputs: tuple[torch.Tensor, ...], returned: Any, targets: torch.Tensor
    ) -> torch.Tensor:
        """The term for one batch, a scalar."""


def can_tune(job: ModelJob) -> bool:
    """Whether the workload can train in any way."""
    return job.workload.training is not None or job.workload.train is not None


def training_of(job: ModelJob, why: str) -> Training:
    """The workload's training.

    Raises:
        CompressionError: it has none; ``why`` says what needs it.
    """
    if job.workload.training is None:
        raise CompressionError(
            f"{why} needs the workload's training", mend="give Workload a training=Training(...)"
        )
    return job.workload.training


def tune(
    job: ModelJob,
    module: torch.nn.Module,
    tuning: Tuning,
    *,
    name: str = "fine-tuning",
    terms: Sequence[Term] = (),
    penalty: Callable[[torch.nn.Module], torch.Tensor] | None = None,
    after_step: Callable[[], None] | None = None,
) -> str:
    """Train ``module`` in place; what was done in a few words. Weights that are zero stay so.

    Args:
        name: what the training is, for progress and for its checkpoint.
        terms: shares in the loss, a teacher's for instance.
        penalty: added to the loss of each batch, for instance to make weights sparse.
        after_step: called after each step of the optimizer, for instance to keep weights at zero.

    Raises:
        CompressionError: the loss is no longer a number, or the terms need a training that is not there.
        ConfigError: the workload's own code raised.
    """
    import torch

    terms = (*terms, *_teacher(job, module, tuning))
    own = job.workload.train
    if job.workload.training is None and own is not None and not (terms or penalty or after_step):
        own(module)
        module.eval()
        return "trained by the workload"
    training = training_of(job, name)
    epochs = tuning.epochs or training.epochs
    torch.manual_seed(tuning.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for term in terms:
        for parameter in term.parameters:
            parameter.data = parameter.data.to(device)
    loop = _Loop(job, module.to(device), training, tuning, epochs, name, terms)
    zeros = _zeros(module)

    def stepped() -> None:
        for weight, mask in zeros:
            weight.data.masked_fill_(mask, 0.0)
        if after_step is not None:
            after_step()

    with contextlib.ExitStack() as stack:
        for term in terms:
            stack.enter_context(term.watching(module))
        loop.run(penalty, stepped)
    module.to("cpu").eval()
    return f"{epochs} epoch{'s' * (epochs != 1)}{_also_taught(tuning)}"


def _also_taught(tuning: Tuning) -> str:
    """In words, that the workload's own model was a teacher, beside whoever else was."""
    kind = tuning.distillation
    return "" if kind == "none" else f", the model as it came teaching by {kind}"


def _zeros(module: torch.nn.Module) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
    """The weights that a step before has set to zero in part, and where. All zeros are an untrained layer."""
    found = ((weight, weight.data == 0) for weight in module.parameters() if weight.dim() > 1)
    return [(weight, mask) for weight, mask in found if mask.any() and not mask.all()]


def _teacher(job: ModelJob, module: torch.nn.Module, tuning: Tuning) -> tuple[Term, ...]:
    """The workload's own model, when it is to teach."""
    from .distillation import teach

    if tuning.distillation == "none":
        return ()
    teacher = job.workload.model
    return (teach(tuning.distillation, job, module, teacher, tuning.temperature, tuning.teacher_weight),)


class _Loop:
    """One training, from where the last one of the same kind was killed."""

    def __init__(
        self,
        job: ModelJob,
        module: torch.nn.Module,
        training: Training,
        tuning: Tuning,
        epochs: int,
        name: str,
        terms: Sequence[Term],
    ) -> None:
        import torch

        self._job, self._module, self._training, self._name = job, module, training, name
        self._epochs, self._terms, self._seed = epochs, terms, tuning.seed
        self._told = 0.0
        self._device = next((p.device for p in module.parameters()), torch.device("cpu"))
        parameters = [p for p in module.parameters() if p.requires_grad]
        parameters += [parameter for term in terms for parameter in term.parameters]
        if not parameters:
            raise CompressionError(f"{name}: nothing in the model can be trained")
        self._optimizer = torch.optim.AdamW(parameters, lr=tuning.learning_rate or training.learning_rate)
        self._steps = -(-len(training.data) // training.batch_size)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self._optimizer, max(1, epochs * self._steps)
        )
        rate = tuning.learning_rate or training.learning_rate
        asked = [epochs, len(training.data), training.batch_size, rate, asdict(tuning)]
        moved = {f"term{number}": term for number, term in enumerate(terms)}
        self._kept = Checkpoint(
            job, name, module, asked, optimizer=self._optimizer, schedule=self._schedule, **moved
        )

    def run(
        self, penalty: Callable[[torch.nn.Module], torch.Tensor] | None, after_step: Callable[[], None]
    ) -> None:
        first = self._kept.load()
        self._module.train()
        for epoch in range(first, self._epochs):
            for number, loss in enumerate(self._epoch(epoch, penalty, after_step), 1):
                self._tell(epoch, number, loss)
            self._kept.keep(epoch + 1)
        self._kept.keep(self._epochs, at_once=True)

    def _epoch(
        self,
        epoch: int,
        penalty: Callable[[torch.nn.Module], torch.Tensor] | None,
        after_step: Callable[[], None],
    ) -> Iterator[torch.Tensor]:
        import torch

        shuffled = torch.Generator().manual_seed(self._seed + epoch)
        loader = torch.utils.data.DataLoader(
            self._training.data, self._training.batch_size, shuffle=True, generator=shuffled
        )
        batches = iter(loader)
        while True:
            with foreign(CompressionError, f"{self._name}: the workload's training data", silent=False):
                batch = next(batches, None)
            if batch is None:
                return
            *inputs, targets = (part.to(self._device) for part in batch)
            if len(targets) == 1 < self._training.batch_size and self._steps > 1:
                continue  # a normalisation over the one sample that is left over is none
            self._optimizer.zero_grad()
            with foreign(CompressionError, f"{self._name}: the model on the training data", silent=False):
                returned = self._module(*inputs)
            with foreign(CompressionError, f"{self._name}: the workload's loss", silent=False):
                loss = self._training.loss(returned, targets)
            for term in self._terms:
                taught = term(tuple(inputs), returned, targets)
                loss = (1.0 - term.weight) * loss + term.weight * taught
            if penalty is not None:
                loss = loss + penalty(self._module)
            if not torch.isfinite(loss):
                raise CompressionError(
                    f"{self._name}: the loss is {float(loss.detach())} in epoch {epoch + 1}",
                    mend="lower learning_rate",
                )
            torch.autograd.backward(loss)
            self._optimizer.step()
            self._schedule.step()
            after_step()
            yield loss.detach()

    def _tell(self, epoch: int, number: int, loss: torch.Tensor) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S or number == self._steps:
            self._told = now
            self._job.tell(f"{self._name}: epoch {epoch + 1} of {self._epochs}, loss {float(loss):.4g}")
