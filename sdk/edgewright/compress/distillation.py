"""What a teacher adds to a student's loss.

* ``response``: the student's softened class probabilities approach the teacher's (Hinton, Vinyals and Dean,
  2015, arXiv 1503.02531); outputs that are no class scores approach each other by their squared difference.
* ``feature``: what is inside approaches the teacher's: at each quarter of the depth the student's channels,
  through a linear adapter that is trained along and dropped, are regressed on the teacher's (Romero et al.,
  FitNets, ICLR 2015, arXiv 1412.6550).
* ``relation``: the distances and angles between the samples of a batch approach those the teacher sees
  (Park et al., RKD, CVPR 2019, arXiv 1904.05068).
"""

from __future__ import annotations

import abc
import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgewright.errors import CompressionError

from . import ModelJob

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, ...]

#: Where inside the networks ``feature`` looks, as shares of their depth.
_DEPTHS = (0.25, 0.5, 0.75, 1.0)
#: RKD's own weights of its two parts.
_DISTANCE, _ANGLE = 1.0, 2.0
_EPSILON = 1e-8
KINDS = ("response", "feature", "relation")


def teach(
    kind: str,
    job: ModelJob,
    student: torch.nn.Module,
    teacher: torch.nn.Module,
    temperature: float,
    weight: float,
) -> Response | Feature | Relation:
    """The term by which ``teacher``, which is copied, teaches ``student``.

    Raises:
        CompressionError: ``feature`` finds no layers to compare.
    """
    taught = copy.deepcopy(teacher).eval()
    for parameter in taught.parameters():
        parameter.requires_grad_(False)
    return term(kind, job, student, taught, temperature, weight)


def term(
    kind: str,
    job: ModelJob,
    student: torch.nn.Module,
    teacher: torch.nn.Module,
    temperature: float,
    weight: float,
) -> Response | Feature | Relation:
    """The same with ``teacher`` itself, which may be learning too."""
    if kind == "response":
        return Response(teacher, temperature, weight)
    if kind == "relation":
        return Relation(teacher, weight)
    return Feature(teacher, student, job.workload.example_inputs, weight)


class _Taught(abc.ABC):
    """A term whose teacher answers each batch."""

    def __init__(self, teacher: torch.nn.Module, weight: float) -> None:
        self._teacher = teacher
        self.weight = weight
        self.parameters: list[torch.nn.Parameter] = []

    def watching(self, module: torch.nn.Module) -> contextlib.AbstractContextManager[object]:
        """The teacher comes to where the student is."""
        device = next((p.device for p in module.parameters()), None)
        self._teacher.to(device)
        return contextlib.nullcontext()

    def _answer(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        import torch

        with torch.no_grad():
            return first(self._teacher(*inputs))

    def __call__(self, inputs: Tensors, returned: Any, targets: torch.Tensor) -> torch.Tensor:
        """What the student may learn of the teacher's answer to this batch."""
        theirs = self._answer(inputs)
        return self.between(first(returned), theirs, targets)

    @abc.abstractmethod
    def between(self, ours: torch.Tensor, theirs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The term for these outputs of student and teacher."""

    def state_dict(self) -> list[torch.Tensor]:
        """What is trained along."""
        return [parameter.detach() for parameter in self.parameters]

    def load_state_dict(self, state: list[torch.Tensor]) -> None:
        """Be as it was."""
        import torch

        with torch.no_grad():
            for parameter, value in zip(self.parameters, state, strict=True):
                parameter.copy_(value)


class Response(_Taught):
    """See the module."""

    def __init__(self, teacher: torch.nn.Module, temperature: float, weight: float) -> None:
        super().__init__(teacher, weight)
        self._temperature = temperature

    def between(self, ours: torch.Tensor, theirs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Kullback-Leibler divergence at the temperature, times its square; or the squared difference.

        The latter where the outputs are no class scores: one value a sample, or targets that are no classes.
        """
        from torch.nn import functional

        if ours.shape != theirs.shape:
            raise CompressionError(
                f"distillation: the student returns {list(ours.shape)}, the teacher {list(theirs.shape)}"
            )
        axis = _class_axis(ours.shape, targets.shape)
        if axis is None or ours.shape[axis] < 2 or targets.is_floating_point():
            return functional.mse_loss(ours, theirs)
        t = self._temperature
        return functional.kl_div(
            functional.log_softmax(ours / t, axis),
            functional.log_softmax(theirs / t, axis),
            reduction="batchmean",
            log_target=True,
        ) * (t * t)


def _class_axis(scores: Sequence[int], targets: Sequence[int]) -> int | None:
    """The axis that the targets lack: ``[n, classes, ...]``, as torch has it, or ``[n, ..., classes]``."""
    if len(scores) < 2:
        return None
    lacking = [axis for axis in range(1, len(scores)) if [*scores[:axis], *scores[axis + 1 :]] == [*targets]]
    return lacking[0] if lacking else 1


class Relation(_Taught):
    """See the module."""

    def between(self, ours: torch.Tensor, theirs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Huber loss of distances and of angles between the samples' outputs."""
        from torch.nn import functional

        ours, theirs = ours.flatten(1), theirs.flatten(1)
        distance = functional.smooth_l1_loss(_distances(ours), _distances(theirs))
        angle = functional.smooth_l1_loss(_angles(ours), _angles(theirs))
        return _DISTANCE * distance + _ANGLE * angle


class Feature(_Taught):
    """See the module."""

    def __init__(
        self,
        teacher: torch.nn.Module,
        student: torch.nn.Module,
        example: tuple[torch.Tensor, ...],
        weight: float,
    ) -> None:
        super().__init__(teacher, weight)
        self._pairs = _pairs(_shapes(student, example), _shapes(teacher, example))
        if not self._pairs:
            raise CompressionError(
                "feature distillation finds no layers of student and teacher that can be compared",
                mend='distillation = "response"',
            )
        self._adapters = [_adapter(*channels) for *_, channels in self._pairs]
        self.parameters = [p for adapter in self._adapters for p in adapter.parameters()]
        self._ours: dict[str, torch.Tensor] = {}
        self._theirs: dict[str, torch.Tensor] = {}

    def watching(self, module: torch.nn.Module) -> contextlib.AbstractContextManager[object]:
        """Keep what the compared layers of both give."""
        super().watching(module)
        stack = contextlib.ExitStack()
        stack.enter_context(_recorded(module, [ours for ours, _, _ in self._pairs], self._ours))
        stack.enter_context(_recorded(self._teacher, [theirs for _, theirs, _ in self._pairs], self._theirs))
        return stack

    def between(self, ours: torch.Tensor, theirs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean over the compared layers of the normalised squared difference, adapters applied."""
        import torch

        losses = []
        for (inside, of_teacher, _), adapter in zip(self._pairs, self._adapters, strict=True):
            wanted = self._theirs[of_teacher].detach()
            given = adapter(_resized(self._ours[inside], wanted))
            losses.append(((given - wanted) ** 2).mean() / (wanted.var() + _EPSILON))
        return torch.stack(losses).mean()


def first(returned: Any) -> torch.Tensor:
    """The first tensor of whatever ``forward`` returned."""
    import torch
    from torch.utils import _pytree

    for leaf in _pytree.tree_leaves(returned):
        if isinstance(leaf, torch.Tensor):
            return leaf
    raise CompressionError("distillation: forward returns no tensor")


def _distances(rows: torch.Tensor) -> torch.Tensor:
    import torch

    found = torch.cdist(rows, rows)
    mean = found[found > 0].mean() if bool((found > 0).any()) else found.new_ones(())
    return found / mean


def _angles(rows: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    edges = functional.normalize(rows[None] - rows[:, None], dim=2)
    return edges @ edges.transpose(1, 2)


#: A layer's name with the shape of what it gives.
_Shaped = list[tuple[str, tuple[int, ...]]]


def _shapes(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> _Shaped:
    """Convolutions and linear layers in the order they run."""
    import torch
    from torch import nn

    found: _Shaped = []
    hooks = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):

            def note(_: Any, __: Any, output: Any, name: str = name) -> None:
                found.append((name, tuple(output.shape)))

            hooks.append(layer.register_forward_hook(note))
    was_training = module.training
    with torch.no_grad():
        module.eval()(*example)
    module.train(was_training)
    for hook in hooks:
        hook.remove()
    return found


def _pairs(student: _Shaped, teacher: _Shaped) -> list[tuple[str, str, tuple[int, int, int]]]:
    """Layers at the same share of the depth, with the student's and teacher's channels and the axes."""
    pairs: dict[tuple[str, str], tuple[int, int, int]] = {}
    for depth in _DEPTHS:
        if not student or not teacher:
            break
        ours = student[min(len(student) - 1, round(depth * (len(student) - 1)))]
        theirs = teacher[min(len(teacher) - 1, round(depth * (len(teacher) - 1)))]
        if len(ours[1]) == len(theirs[1]) and len(ours[1]) in (2, 3, 4):
            is_linear = len(ours[1]) == 2
            axis = 1 if is_linear or len(ours[1]) == 4 else 2
            pairs[ours[0], theirs[0]] = (ours[1][axis], theirs[1][axis], len(ours[1]))
    return [(ours, theirs, channels) for (ours, theirs), channels in pairs.items()]


def _adapter(ours: int, theirs: int, axes: int) -> torch.nn.Module:
    from torch import nn

    return nn.Conv2d(ours, theirs, 1) if axes == 4 else nn.Linear(ours, theirs)


def _resized(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    if ours.dim() == 4 and ours.shape[2:] != theirs.shape[2:]:
        return functional.adaptive_avg_pool2d(ours, (theirs.shape[2], theirs.shape[3]))
    return ours


@contextlib.contextmanager
def _recorded(module: torch.nn.Module, names: list[str], into: dict[str, torch.Tensor]) -> Iterator[None]:
    def recorder(name: str) -> Any:
        def record(_: Any, __: Any, output: torch.Tensor) -> None:
            into[name] = output

        return record

    hooks = [module.get_submodule(name).register_forward_hook(recorder(name)) for name in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
