"""CP on AlexNet-like and Tucker-2 on VGG16-like convolutions: size, time and accuracy after fine-tuning.

    python benchmarks/low_rank.py [--nets alexnet,vgg] [--runtimes onnxruntime,tflite] [--budget 20]

Published: AlexNet by CP 5.0 times smaller and 1.82 times faster; VGG16 by Tucker-2 2.75 and 2.05 times (on
a phone). The networks are the convolutions with one linear layer over their means, so that size and time of
the whole file are those of the convolutions. Both files take turns of milliseconds in the same processes,
with one thread.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from beside import RUNTIMES, compare, net, one_thread, recipe_of, say, this_machine

from edgewright.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Case:
    """A network's convolutions, what is done to them, and what was published of the like."""

    recipe: Recipe
    smaller: float
    faster: float


def _factorized(name: str, convolutions: str, ratio: float, epochs: int) -> Recipe:
    tuning: dict[str, Any] = {"epochs": epochs, "learning_rate": 1e-3, "distillation": "response"}
    options = {"convolutions": convolutions, "rank": "ratio", "ratio": ratio, "tuning": tuning}
    return recipe_of(name, ("factorize", options))


CASES = {
    "alexnet": Case(_factorized("cp", "cp", 0.13, 6), 5.0, 1.82),
    "vgg": Case(_factorized("tucker-2", "tucker", 0.28, 4), 2.75, 2.05),
}


def main() -> None:
    """Build, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", default=",".join(CASES))
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of taking turns for each row")
    options = parser.parse_args()
    one_thread()
    print("| net | by | runtime | smaller | published | fewer MACs | faster | published | accuracy |")
    print("|---|---|---|---|---|---|---|---|---|")
    with this_machine() as bench:
        for name in options.nets.split(","):
            case = CASES[name]
            source = net(name, "convolutions")
            for runtime in options.runtimes.split(","):
                found = compare(
                    source, case.recipe, runtime, bench, budget_s=options.budget, plain=load_recipe("fp32")
                )
                say(f"{name} {runtime}, {found.launches} launches: {'; '.join(found.notes)}")
                assert found.time_ratio
                print(
                    f"| {name} | {case.recipe.name} | {runtime} | {found.smaller:.2f}x | {case.smaller}x"
                    f" | {found.before_macs / found.after_macs:.2f}x | {1 / found.time_ratio:.2f}x"
                    f" | {case.faster}x"
                    f" | {100 * found.before:.2f} to {100 * found.after:.2f} ({0.0 - found.lost:+.2f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
