"""Pruning to a measured latency beside uniform pruning: which keeps more accuracy in the same time?

    python benchmarks/prune_to_latency.py [--seeds 3] [--share 50%] [--device local] [--threads 1]

A small residual network on scikit-learn's digits, enlarged to 32 x 32, trained here on 500 of them and judged
on the other 1297 as executed from the exported file. For each seed every group of channels is first pruned by
the same share, trained, and measured by turns with the unpruned network. What it takes is then the target of
``edgewright prune --to-latency``, which may choose. Both go by 8 channels, by the same measure of importance,
and are trained for as long. One line a way: its latency over the unpruned one's, how far that is from the
target, milliseconds, and the accuracy after and before.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads sleep while they wait for each other

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from edgewright.artifact import Quality
from edgewright.build import build
from edgewright.build.builder import open_workload
from edgewright.cache import default_cache
from edgewright.cli.quantities import parse_share
from edgewright.compress import ModelJob
from edgewright.compress.channels import find_network
from edgewright.compress.importance import Measure
from edgewright.compress.prune import PruneOptions
from edgewright.farm.effort import load_effort
from edgewright.farm.inventory import load_inventory
from edgewright.farm.job import Bench, Settings
from edgewright.farm.pruned import Request
from edgewright.farm.race import Race, race
from edgewright.farm.session import open_bench
from edgewright.farm.to_latency import prune_to_latency, step_of
from edgewright.latency.target import Target
from edgewright.recipe import Recipe
from edgewright.workload import Evaluation, Training, Workload
from edgewright.workloads import WorkloadSource

TRAINED, EPOCHS, TUNING_EPOCHS = 500, 8, 4
ROUND_TO = 8
RUNTIME = "onnxruntime"
IMPORTANCE: Measure = "taylor"
LAUNCHES = 10


class Block(nn.Module):
    """Two convolutions around a sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.short = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sum and rectify."""
        inner = self.norm2(self.second(torch.relu(self.norm(self.first(x)))))
        return torch.relu(inner + self.short(x))


class ResNet(nn.Module):
    """Three stages of one block each, and a classifier."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stages = nn.Sequential(
            Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2)
        )
        self.classify = nn.Linear(4 * width, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Ten scores of an image."""
        scores: torch.Tensor = self.classify(self.stages(self.stem(image)).mean((2, 3)))
        return scores


def workload(seed: int) -> Workload:
    """The network trained from that seed."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    images = nn.functional.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    train, test = order[:TRAINED], order[TRAINED:]
    torch.manual_seed(seed)
    model = ResNet()
    data = TensorDataset(images[train], labels[train])
    fit(model, data, seed)
    truth = labels[test].numpy()
    return Workload(
        name=f"resnet-digits-{seed}",
        model=model.eval(),
        example_inputs=(images[:1],),
        evaluate=Evaluation(
            "accuracy",
            (images[test].numpy(),),
            lambda outputs: float((outputs[0].argmax(1) == truth).mean()),
        ),
        training=Training(data, nn.functional.cross_entropy, TUNING_EPOCHS, 32, 1e-3),
        source="scikit-learn's digits, BSD licence",
    )


def fit(model: nn.Module, data: TensorDataset, seed: int) -> None:
    """Train from nothing."""
    loader = torch.utils.data.DataLoader(
        data, 32, shuffle=True, generator=torch.Generator().manual_seed(seed)
    )
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(loader))
    model.train()
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


def seed0() -> Workload:
    """Seed 0."""
    return workload(0)


def seed1() -> Workload:
    """Seed 1."""
    return workload(1)


def seed2() -> Workload:
    """Seed 2."""
    return workload(2)


def seed3() -> Workload:
    """Seed 3."""
    return workload(3)


def seed4() -> Workload:
    """Seed 4."""
    return workload(4)


@dataclass(frozen=True)
class Way:
    """One way to prune: what was measured of the trained file, and its accuracy."""

    race: Race
    quality: Quality

    def line(self, seed: int, name: str, target: float) -> str:
        """A line of the table."""
        error, took = self.race.ratio / target - 1, self.race.pruned.median_ns / 1e6
        figures = f"{self.race.ratio:>12.3f}{error:>+11.1%}{took:>9.3f}"
        return f"{seed:<5}{name:<12}{figures}{self.quality.value:>10.4f}{self.quality.baseline:>9.4f}"


def uniformly(source: WorkloadSource, share: float, bench: Bench, settings: Settings) -> Way:
    """The same share of every group, as nearly as channels go by eights."""
    workload = open_workload(source)
    network = find_network(ModelJob(copy.deepcopy(workload.model), workload), IMPORTANCE, ROUND_TO)
    counts = {
        group.name: max(ROUND_TO, round(group.size * (1 - share) / ROUND_TO) * ROUND_TO)
        for group in network.groups
    }
    steps = step_of(network, counts, PruneOptions(importance=IMPORTANCE, round_to=ROUND_TO))
    full, pruned = (
        build(source, recipe, bench.profile.name, bench.profile, "onnx", cache=default_cache())
        for recipe in (Recipe("fp32", ""), Recipe("uniform", "the same share everywhere", steps))
    )
    assert pruned.quality is not None
    return Way(race(full, pruned, RUNTIME, bench, settings, LAUNCHES), pruned.quality)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, choices=range(1, 6))
    parser.add_argument("--share", default="50%", help="of the channels that uniform pruning takes")
    parser.add_argument("--device", default="local")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    share = parse_share(asked.share, "--share")
    settings = Settings(load_effort("rapid"), asked.threads, evaluate_on_device=False)
    rows = []
    print(f"{'seed':<5}{'way':<12}{'of unpruned':>12}{'to target':>11}{'ms':>9}{'accuracy':>10}{'before':>9}")
    bench = open_bench(load_inventory(None).get(asked.device))
    with bench.device:
        for seed in range(asked.seeds):
            source = WorkloadSource(Path(__file__).resolve(), f"seed{seed}")
            same = uniformly(source, share, bench, settings)
            print(same.line(seed, "uniform", same.race.ratio), flush=True)
            request = Request(
                source,
                Target(share=same.race.ratio),
                RUNTIME,
                default_cache(),
                IMPORTANCE,
                ROUND_TO,
                launches=LAUNCHES,
            )
            found = prune_to_latency(request, bench, settings, say)
            assert found.artifact.quality is not None
            ours = Way(found.race, found.artifact.quality)
            print(ours.line(seed, "to latency", same.race.ratio), flush=True)
            say(", ".join(f"{name} {left}" for name, left in found.counts.items()))
            rows.append((ours.quality.value, same.quality.value))
    ours_mean, same_mean = (statistics.mean(column) for column in zip(*rows, strict=True))
    print(f"mean accuracy: to latency {ours_mean:.4f}, uniform {same_mean:.4f}")


def say(text: str) -> None:
    """What is measured, on standard error."""
    if "epoch" not in text and any(word in text for word in ("measured", "timing", ", ")):
        print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
