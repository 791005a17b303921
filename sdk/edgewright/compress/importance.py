"""How much a channel matters, by six measures; what each needs to see of the data is gathered once.

* ``l1``, ``l2``: the norm of the weights (Li et al., ICLR 2017, arXiv 1608.08710).
* ``bn-scale``: the scales of batch normalisation (Liu et al., Network Slimming, ICCV 2017, arXiv 1708.06519).
* ``taylor``: weight times gradient of the loss (Molchanov et al., CVPR 2019).
* ``hessian``: weight squared times the loss's curvature, by the squared gradients of single samples (LeCun et
  al., Optimal Brain Damage, NIPS 1989; the Fisher approximation).
* ``random``: nothing; what the others must beat.

Channels that go together are judged together, as torch-pruning's dependency graph finds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from edgewright.boundary import foreign
from edgewright.errors import CompressionError

from . import ModelJob
from .tuning import SEED, training_of

if TYPE_CHECKING:
    import torch

Measure = Literal["l1", "l2", "bn-scale", "taylor", "hessian", "random"]

#: Samples that gradients are taken over.
_SAMPLES = 256
_SINGLE_SAMPLES = 64


class Importance:
    """One measure for one module and for copies of it.

    Attributes:
        squares: by parameter, the squared gradients of single samples, for ``hessian``.

    Raises:
        CompressionError: the measure needs what the module or workload has not.
    """

    def __init__(self, measure: Measure, module: torch.nn.Module, job: ModelJob) -> None:
        from torch import nn

        self._measure = measure
        self._gradients: dict[str, torch.Tensor] = {}
        self.squares: dict[str, torch.Tensor] = {}
        norms = nn.modules.batchnorm._BatchNorm
        if measure == "bn-scale" and not any(isinstance(layer, norms) for layer in module.modules()):
            raise CompressionError(
                "prune: bn-scale needs batch normalisation, the model has none", mend='importance = "l2"'
            )
        if measure in ("taylor", "hessian"):
            self._gather(module, job)

    def of(self, module: torch.nn.Module, *, compared: bool = False) -> Any:
        """torch-pruning's estimator for ``module``, which is the one it was made for or a copy.

        Args:
            compared: channels of different groups are compared by what all their weights together are worth,
                in the unit of the loss where the measure is in that unit, and otherwise by how much more than
                the average of their group.
        """
        import torch
        from torch_pruning import importance

        for name, parameter in module.named_parameters():
            if name in self._gradients:
                parameter.grad = self._gradients[name].clone()
        in_loss: Any = {"group_reduction": "sum", "normalizer": None} if compared else {}
        match self._measure:
            case "l1" | "l2":
                return importance.GroupMagnitudeImportance(p=int(self._measure[1]))
            case "bn-scale":
                return importance.BNScaleImportance()
            case "taylor":
                return importance.GroupTaylorImportance(**in_loss)
            case "hessian":
                estimator = importance.GroupHessianImportance(**in_loss)
                named = dict(module.named_parameters())
                estimator._accu_grad = {named[name]: value.clone() for name, value in self.squares.items()}
                estimator._counter = {named[name]: 1 for name in self.squares}
                return estimator
        torch.manual_seed(SEED)
        return importance.RandomImportance()

    def _gather(self, module: torch.nn.Module, job: ModelJob) -> None:
        """The loss's gradient over some samples and, for the curvature, its square over single ones."""
        import torch

        training = training_of(job, f"importance {self._measure!r}")
        data, was_training = training.data, module.training
        module.eval()
        count = min(len(data), _SAMPLES)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SEED))[:count].tolist()
        sizes = [1] * min(count, _SINGLE_SAMPLES) if self._measure == "hessian" else [count]
        at = 0
        for size in sizes:
            columns = zip(*(data[index] for index in order[at : at + size]), strict=True)
            *inputs, targets = (torch.stack(list(map(torch.as_tensor, column))) for column in columns)
            at += size
            module.zero_grad()
            with foreign(CompressionError, "prune: the workload's loss", silent=False):
                torch.autograd.backward(training.loss(module(*inputs), targets))
            for name, parameter in module.named_parameters():
                if parameter.grad is not None:
                    self._add(name, parameter.grad, 1 / len(sizes))
        module.zero_grad()
        module.train(was_training)

    def _add(self, name: str, gradient: torch.Tensor, share: float) -> None:
        self._gradients[name] = self._gradients.get(name, 0) + share * gradient
        self.squares[name] = self.squares.get(name, 0) + share * gradient**2
