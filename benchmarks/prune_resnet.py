"""Structured pruning of a residual network: parameters, multiplications, measured time and accuracy.

    python benchmarks/prune_resnet.py [--runtimes onnxruntime,tflite] [--budget 20]

Aimed at: 75 % fewer parameters and half of the multiplications at no more than a point of accuracy, and a
measured speed-up of at least 0.8 of what the multiplications promise. Both files take turns of milliseconds
in the same processes, with one thread.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from beside import RUNTIMES, compare, made, net, one_thread, recipe_of, say, this_machine

from edgewright.compress.weights import stored_tensors
from edgewright.recipe import load_recipe

_TUNING: dict[str, Any] = {"epochs": 6, "learning_rate": 2e-3, "distillation": "response"}
RECIPE = recipe_of("prune 75 %", ("prune", {"amount": 0.75, "round_to": 8, "rounds": 1, "tuning": _TUNING}))


def parameters(path: Path, format: str) -> int:
    """Floats that the file holds."""
    return sum(tensor.size for tensor in stored_tensors(path, format) if tensor.dtype.kind == "f")


def main() -> None:
    """Build, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of taking turns for each row")
    options = parser.parse_args()
    one_thread()
    print("| runtime | parameters | MACs | faster | of what MACs promise | accuracy |")
    print("|---|---|---|---|---|---|")
    source, plain = net("resnet"), load_recipe("fp32")
    with this_machine() as bench:
        for runtime in options.runtimes.split(","):
            found = compare(source, RECIPE, runtime, bench, budget_s=options.budget, plain=plain)
            say(f"{runtime}, {found.launches} launches: {'; '.join(found.notes)}")
            before, after = (made(source, recipe, runtime, bench) for recipe in (plain, RECIPE))
            left = parameters(after.path, after.format) / parameters(before.path, before.format)
            macs = found.after_macs / found.before_macs
            assert found.time_ratio
            print(
                f"| {runtime} | {100 * (left - 1):+.1f} % | {100 * (macs - 1):+.1f} %"
                f" | {1 / found.time_ratio:.2f}x | {macs / found.time_ratio:.2f}"
                f" | {100 * found.before:.2f} to {100 * found.after:.2f} ({0.0 - found.lost:+.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
