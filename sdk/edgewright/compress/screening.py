"""Which of several prunings a network recovers from best: each is trained for a while and then judged.

A part of the training data is held back from all of them and is what they are judged by; the workload's own
evaluation stays unseen, so that its score of the one that is chosen is an honest one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.boundary import foreign
from edgewright.errors import CompressionError
from edgewright.workload import Workload

from . import ModelJob
from .prune import Prune, PruneOptions
from .tuning import SEED

if TYPE_CHECKING:
    import torch

#: With fewer samples nothing is held back: what is left says too little.
FEWEST = 50
#: How many are held back, as a share and at most; and how long is trained, as a share of the usual epochs.
_HELD_BACK, _MOST = 0.2, 2000
_SHARE = 0.5


def can_screen(workload: Workload) -> bool:
    """Whether the workload has enough to train on, and to hold some of it back."""
    return workload.training is not None and len(workload.training.data) >= FEWEST


def held_back_losses(
    workload: Workload, prunings: Mapping[str, PruneOptions], tell: Callable[[str], None]
) -> dict[str, float]:
    """The mean loss of each pruning on samples that were held back; less is better.

    Args:
        workload: one that :func:`can_screen`; its model stays as it is.
        prunings: by name.
        tell: says what goes on.

    Raises:
        CompressionError: one cannot be pruned or trained.
    """
    import torch

    training = workload.training
    assert training is not None
    count = len(training.data)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED)).tolist()
    held = min(_MOST, math.ceil(_HELD_BACK * count))
    seen, unseen = (torch.utils.data.Subset(training.data, part) for part in (order[held:], order[:held]))
    less = replace(workload, training=replace(training, data=seen))

    def telling(name: str) -> Callable[[str], None]:
        return lambda text: tell(f"{name}: {text}")

    losses = {}
    for name, options in prunings.items():
        tuning = replace(options.tuning, epochs=max(1, round(_SHARE * training.epochs)))
        job = ModelJob(copy.deepcopy(workload.model).eval(), less, telling(name))
        pruned = Prune().apply(job, replace(options, fine_tune=True, tuning=tuning)).module
        losses[name] = _loss(pruned, workload, unseen)
    return losses


def _loss(module: torch.nn.Module, workload: Workload, data: torch.utils.data.Dataset[object]) -> float:
    import torch

    training = workload.training
    assert training is not None
    total = count = 0.0
    with torch.no_grad(), foreign(CompressionError, "the workload's loss", silent=False):
        for batch in torch.utils.data.DataLoader(data, training.batch_size):
            *inputs, targets = batch
            total += len(targets) * float(training.loss(module(*inputs), targets))
            count += len(targets)
    return total / count
