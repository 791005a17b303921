"""How a budget of time is shared out among layers, and which network recovers best from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.unit.test_latency_knapsack import random_chain, time_ns
from torch import nn

from edgewright.compress.prune import PruneOptions
from edgewright.compress.screening import FEWEST, can_screen, held_back_losses
from edgewright.latency.knapsack import total_ns
from edgewright.latency.layers import Counts, Network
from edgewright.latency.ways import WAYS, Share, evenly
from edgewright.workload import Training, Workload

NETWORK = random_chain(7, groups=4, size=64)


def shares(network: Network, counts: Counts) -> list[float]:
    return [counts[group.name] / group.size for group in network.groups]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_every_way_keeps_to_the_budget_and_uses_it(way: Share, part: float) -> None:
    full = total_ns(NETWORK, time_ns, NETWORK.full)
    choice = way(NETWORK, time_ns, part * full)
    assert choice is not None
    assert choice.total_ns == pytest.approx(total_ns(NETWORK, time_ns, choice.counts))
    assert 0.85 * part * full < choice.total_ns <= part * full
    assert choice.lost == pytest.approx(NETWORK.lost(choice.counts))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_way_leads_below_the_smallest(way: Share) -> None:
    assert way(NETWORK, time_ns, 0.5 * total_ns(NETWORK, time_ns, NETWORK.smallest)) is None


def test_evenly_takes_the_same_share_of_every_group() -> None:
    choice = evenly(NETWORK, time_ns, 0.5 * total_ns(NETWORK, time_ns, NETWORK.full))
    assert choice is not None
    kept = shares(NETWORK, choice.counts)
    assert max(kept) - min(kept) <= 8 / 64


def test_the_tempered_way_lies_between() -> None:
    """Where one group is worth a hundredth of the others, importance alone empties it."""
    *others, last = NETWORK.groups
    spare = replace(last, importance=tuple(value / 100 for value in last.importance))
    network = Network((*others, spare), NETWORK.layers)
    budget = 0.6 * total_ns(network, time_ns, network.full)
    kept = {}
    for name, way in WAYS.items():
        choice = way(network, time_ns, budget)
        assert choice is not None
        kept[name] = shares(network, choice.counts)[3]
    assert kept["importance"] <= kept["tempered"] <= kept["even"] and kept["importance"] < kept["even"]


def workload(samples: int) -> Workload:
    """Which half of the features is the larger: the second hidden layer can do without most channels."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    features = torch.randn(samples, 16, generator=torch.Generator().manual_seed(1))
    labels = (features[:, :8].sum(1) > features[:, 8:].sum(1)).long()
    data = torch.utils.data.TensorDataset(features, labels)
    return Workload(
        "halves",
        model.eval(),
        (features[:1],),
        training=Training(data, nn.functional.cross_entropy, 8, 16, 1e-2),
    )


def test_what_a_network_recovers_from_has_the_lower_loss() -> None:
    seen = workload(400)
    before = {name: value.clone() for name, value in seen.model.state_dict().items()}
    said: list[str] = []
    losses = held_back_losses(
        seen,
        {
            "spares": PruneOptions(layers=(("2", 0.5),), round_to=1),
            "ruins": PruneOptions(layers=(("0", 0.96), ("2", 0.96)), round_to=1),
        },
        said.append,
    )
    assert losses["spares"] < 0.3 < losses["ruins"]
    assert any(text.startswith("ruins: fine-tuning: epoch 4 of 4") for text in said)
    assert all(torch.equal(before[name], value) for name, value in seen.model.state_dict().items())


@pytest.mark.parametrize(("samples", "answer"), [(FEWEST, True), (FEWEST - 1, False)])
def test_little_data_is_not_divided(samples: int, answer: bool) -> None:
    assert can_screen(workload(samples)) is answer
