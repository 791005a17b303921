"""Students with a teacher beside the same students alone, over several seeds.

    python benchmarks/distill.py [--seeds 5] [--amount 0.9] [--epochs N]

The teacher was trained on all images. The student is what is left of it when nine of ten of its parameters
are taken out at random, which knows nothing, and it has five labelled images of each digit. With and
without a teacher it begins with the same weights, sees the same images in the same order and trains as
long. The accuracy is of the exported file as ONNX Runtime computes it.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from beside import made, net, one_thread, recipe_of, say, this_machine

from edgewright.compress.distillation import KINDS
from edgewright.farm.job import Bench
from edgewright.recipe import load_recipe

#: The teacher's share in the loss.
_WEIGHTS = {"response": 0.9, "feature": 0.5, "relation": 0.6}


def accuracy(kind: str, weight: float, seed: int, options: argparse.Namespace, bench: Bench) -> float:
    """Of one student."""
    small = {"amount": options.amount, "importance": "random", "round_to": 1, "fine_tune": False}
    tuning = {"seed": seed, "epochs": options.epochs}
    taught: dict[str, Any] = {"kind": kind, "weight": weight, "tuning": tuning}
    name = f"{kind if weight else 'alone'}-{seed}"
    recipe = recipe_of(name, ("prune", small), ("distill", taught))
    quality = made(net("few_labels"), recipe, "onnxruntime", bench).quality
    assert quality
    say(f"{recipe.name}: {100 * quality.value:.2f}")
    return 100 * quality.value


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--amount", type=float, default=0.9, help="share of the teacher that is taken out")
    parser.add_argument("--epochs", type=int, default=0, help="0 for the workload's own")
    options = parser.parse_args()
    one_thread()
    seeds = range(options.seeds)
    with this_machine() as bench:
        teacher = made(net("few_labels"), load_recipe("fp32"), "onnxruntime", bench).quality
        assert teacher
        print(
            f"teacher: {100 * teacher.value:.2f}; a student has {1 - options.amount:.0%} of its parameters\n"
        )
        alone = [accuracy("response", 0.0, seed, options, bench) for seed in seeds]
        print("| student | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | gain | better in |")
        print("|---" * (options.seeds + 4) + "|")
        _row("alone", alone, alone)
        for kind in KINDS:
            _row(kind, [accuracy(kind, _WEIGHTS[kind], seed, options, bench) for seed in seeds], alone)


def _row(name: str, found: list[float], alone: list[float]) -> None:
    each = [one - other for one, other in zip(found, alone, strict=True)]
    better = f"{sum(gain > 0 for gain in each)} of {len(each)}" if found is not alone else ""
    gain = f"{statistics.mean(each):+.2f}" if found is not alone else ""
    cells = [*(f"{one:.2f}" for one in found), f"{statistics.mean(found):.2f}", gain, better]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
