"""Deep Compression on networks of AlexNet's and VGG16's form: prune, share, code; and run on a device.

    python benchmarks/deep_compression.py [--nets alexnet,vgg] [--runtimes onnxruntime,tflite]

Weights are set to zero a part at a time with training in between, the rest share few values, and the file
is entropy coded (Han, Mao and Dally, ICLR 2016, arXiv 1510.00149: AlexNet 35 times and VGG16 49 times
smaller). The coded file is what is pushed to the device ``local``, whose agent decodes it and computes
every test image; the accuracy is of those outputs.
"""

from __future__ import annotations

import argparse
from typing import Any

from beside import BUILD, RUNTIMES, made, net, one_thread, recipe_of, say, this_machine

from edgewright.artifact import Quality, sha256_file
from edgewright.farm.effort import load_effort
from edgewright.farm.execute import Launch, Ready, launch_once, prepare
from edgewright.farm.execute import Task as CellTask
from edgewright.farm.job import Bench, Settings
from edgewright.farm.subject import WorkloadSubject
from edgewright.recipe import Recipe, load_recipe
from edgewright.row import Cell, Row

PUBLISHED = {"alexnet": 35, "vgg": 49}


def _recipe(amount: float, rounds: int, epochs: int) -> Recipe:
    tuning: dict[str, Any] = {"distillation": "response", "learning_rate": 1e-3, "epochs": epochs}
    return recipe_of(
        "deep-compression",
        ("sparsify", {"amount": amount, "by": "magnitude", "rounds": rounds, "tuning": tuning}),
        ("share", {"bits": 5, "linear_bits": 4}),
    )


RECIPES = {"alexnet": _recipe(0.98, 2, 4), "vgg": _recipe(0.95, 3, 3)}


def on_device(name: str, recipe: Recipe, runtime: str, bench: Bench) -> Quality:
    """What the agent computed of all test images, from the file as it was pushed."""

    settings = Settings(load_effort("rapid"), threads=1)
    subject = WorkloadSubject(net(name), BUILD / "cache")
    cell = Cell(name, recipe.name, bench.device.target.name, bench.profile.name, runtime)
    ready = prepare(CellTask(subject, recipe, cell, f"deep-compression/{name}"), bench, settings)
    if isinstance(ready, Row):
        raise SystemExit(f"{name} in {runtime}: {ready.outcome}")
    return _quality(ready, bench, settings)


def _quality(ready: Ready, bench: Bench, settings: Settings) -> Quality:
    launch = Launch(f"{ready.key}/{ready.artifact.sha256}", 1, True, [])
    _, quality = launch_once(ready, bench, settings, launch, lambda _: None)
    bench.device.acknowledge(*launch.job_ids)
    assert quality is not None
    return quality


def main() -> None:
    """Build, run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", default=",".join(PUBLISHED))
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    options = parser.parse_args()
    one_thread()
    print("| network | runtime | file | stored and pushed | smaller | published | accuracy on the device |")
    print("|---|---|---|---|---|---|---|")
    with this_machine() as bench:
        for name in options.nets.split(","):
            for runtime in options.runtimes.split(","):
                plain = made(net(name), load_recipe("fp32"), runtime, bench)
                small = made(net(name), RECIPES[name], runtime, bench)
                quality = on_device(name, RECIPES[name], runtime, bench)
                assert plain.quality and small.provenance and small.coded
                say(f"{name} {runtime} {sha256_file(small.coded)[:12]}: {'; '.join(small.provenance.notes)}")
                before, after = 100 * plain.quality.value, 100 * quality.value
                print(
                    f"| {name} | {runtime} | {plain.size_bytes / 1e6:.2f} MB"
                    f" | {small.size_bytes / 1e3:.1f} kB"
                    f" | {plain.size_bytes / small.size_bytes:.1f}x | {PUBLISHED[name]}x"
                    f" | {before:.2f} to {after:.2f} ({after - before:+.2f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
