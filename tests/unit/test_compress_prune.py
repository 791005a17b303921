from __future__ import annotations

import copy

import pytest
import torch
from tests import nets
from torch import nn

from edgewright.compress import ModelJob
from edgewright.compress.prune import Prune, PruneOptions
from edgewright.errors import CompressionError
from edgewright.workload import Workload


def job(module: nn.Module, example: torch.Tensor, **more: object) -> ModelJob:
    return ModelJob(module, Workload("net", module, (example,), **more))  # type: ignore[arg-type]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_half_of_the_parameters_go_and_the_outputs_stay() -> None:
    module = nets.Residual(64).eval()
    changed = Prune().apply(job(copy.deepcopy(module), nets.image()), PruneOptions(amount=0.5))
    assert 0.4 < 1 - count(changed.module) / count(module) < 0.6
    assert changed.module(nets.image()).shape == (1, 5)
    share = (1 - count(changed.module) / count(module)) * 100
    assert changed.notes == (f"pruned {share:.1f} % of parameters, not fine-tuned: workload has no training",)


def test_channels_are_multiples_of_what_was_asked() -> None:
    module = nets.Residual(64)
    pruned = Prune().apply(job(module.eval(), nets.image()), PruneOptions(round_to=16)).module
    counts = [m.out_channels for m in pruned.modules() if isinstance(m, nn.Conv2d)]
    assert all(number % 16 == 0 for number in counts)


def test_the_least_important_channels_go_first() -> None:
    module = nets.Dense(16).eval()
    first = module.layers[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight[::2] *= 1e-3
        first.bias[:] = 0
    kept = first.weight[1::2].clone()
    pruned = Prune().apply(job(module, nets.features()), PruneOptions(amount=0.5, round_to=1))
    left = pruned.module.layers[0].weight  # type: ignore[index, union-attr]
    assert torch.equal(left, kept)


def test_it_is_fine_tuned_when_the_workload_can_train() -> None:
    trained: list[nn.Module] = []
    module = nets.Residual(32).eval()
    changed = Prune().apply(job(module, nets.image(), train=trained.append), PruneOptions())
    assert trained == [changed.module]
    assert changed.notes[0].endswith("fine-tuned: trained by the workload")


def test_the_recipe_may_forbid_fine_tuning() -> None:
    module = nets.Residual(32).eval()
    options = PruneOptions(fine_tune=False)
    changed = Prune().apply(job(module, nets.image(), train=pytest.fail), options)
    assert "not fine-tuned: the recipe says so" in changed.notes[0]


def test_nothing_to_prune_is_an_error() -> None:
    module = nets.Dense(8).eval()
    with pytest.raises(CompressionError, match="prune removed nothing: no layer has channels to spare"):
        Prune().apply(job(module, nets.features()), PruneOptions(round_to=8))


def test_a_module_without_parameters_is_an_error() -> None:
    module = nets.NoWeights()
    with pytest.raises(CompressionError, match="prune"):
        Prune().apply(job(module, nets.features()), PruneOptions())


def test_pruning_twice_gives_the_same() -> None:
    module = nets.Residual(32).eval()
    one, two = (
        Prune().apply(job(copy.deepcopy(module), nets.image()), PruneOptions()).module for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
