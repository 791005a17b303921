"""How often ``edgewright ab`` is wrong: identical models under random load, and models 5 % apart.

    python benchmarks/noise.py [--pairs 60] [--trials 40] [--sizes tiny,small,medium] [--budget 30]

A/A: a model against itself while a second process loads the machine at random times. Any "slower" or
"faster" is false. A/B: a model against one that costs 5 % more, on the machine as it is, in either order. How
much more it really costs is measured first, in fresh processes of a bare onnxruntime loop.

Prints a line for each comparison on standard error, and at the end aa_false, aa_same and aa_cannot_tell,
ab_detected, ab_missed and ab_wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent_overhead import write_model

from edgewright.farm.ab import Contest, run_contest
from edgewright.farm.effort import load_effort
from edgewright.farm.inventory import Target
from edgewright.farm.job import Bench, Settings
from edgewright.farm.profile_ops import Model
from edgewright.farm.session import open_bench
from edgewright.farm.subject import BareSubject

#: width, layers, image size: from some 50 microseconds to some 10 milliseconds.
SIZES = {"tiny": (4, 20, 8), "small": (8, 60, 16), "medium": (16, 60, 48), "large": (24, 80, 64)}
STEP = 0.05
_LOADING_S = 0.4

LOAD = """
import os, random, sys, time
rng, parent = random.Random(int(sys.argv[1])), os.getppid()
until = time.monotonic() + float(sys.argv[2])
block = bytearray(1 << 22)
while time.monotonic() < until and os.getppid() == parent:
    busy, heavy = time.monotonic() + rng.expovariate(1 / float(sys.argv[3])), rng.random() < 0.5
    while time.monotonic() < busy:
        bytes(block) if heavy else sum(range(2000))
    time.sleep(rng.expovariate(1 / float(sys.argv[3])))
"""

BARE = """
import json, sys, time
import numpy as np
import onnxruntime as ort
runs = []
for path in sys.argv[1:3]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(sys.argv[3])
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
    runs.append(lambda session=session, feeds=feeds: session.run(None, feeds))
times, clock = ([], []), time.perf_counter_ns
until = clock() + int(1.5e9)
while clock() < until:
    for which, run in enumerate(runs):
        block = clock() + 5_000_000
        while clock() < block:
            start = clock()
            run()
            times[which].append(clock() - start)
print(json.dumps([float(np.quantile(t, 0.25)) for t in times]))
"""


@dataclass(frozen=True)
class Pair:
    """Two models and how much more the second costs, by a bare loop."""

    a: Path
    b: Path
    a_ms: float
    ratio: float


def bare(a: Path, b: Path, threads: int, processes: int = 6) -> tuple[float, float]:
    """Milliseconds of A and the ratio of B to A, medians over fresh processes that load either first."""
    found = []
    for turn in range(processes):
        order = (a, b) if turn % 2 == 0 else (b, a)
        words = [sys.executable, "-c", BARE, *map(str, order), str(threads)]
        said = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        found.append(said if turn % 2 == 0 else said[::-1])
    return statistics.median(t[0] for t in found) / 1e6, statistics.median(t[1] / t[0] for t in found)


def calibrated(folder: Path, name: str, options: argparse.Namespace) -> Pair:
    """A model and one that costs as nearly 5 % more as a whole number of further layers can make it.

    Without trials there is no need for the second: it is the first then.
    """
    width, layers, size = SIZES[name]
    threads = options.threads
    a, b = folder / f"{name}-a.onnx", folder / f"{name}-b.onnx"
    write_model(a, width, layers, size)
    if not options.trials:
        return Pair(a, a, *bare(a, a, threads, processes=1))
    write_model(b, width, 2 * layers, size)
    per_layer = (bare(a, b, threads)[1] - 1) / layers
    write_model(b, width, layers + max(1, round(STEP / per_layer)), size)
    a_ms, ratio = bare(a, b, threads)
    return Pair(a, b, a_ms, ratio)


@contextlib.contextmanager
def random_load(seed: int, longest_s: float) -> Iterator[None]:
    """A process that is busy and idle for random times; it ends with this one, or after ``longest_s``."""
    words = [sys.executable, "-c", LOAD, str(seed), str(longest_s), str(_LOADING_S)]
    process = subprocess.Popen(words)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def compare(bench: Bench, a: Path, b: Path, options: argparse.Namespace) -> tuple[str, str]:
    """The verdict, and what there is to say of it."""
    cache = Path(options.folder) / "cache"
    models = [Model(path.name, BareSubject(path, cache), None, "onnxruntime") for path in (a, b)]
    contest = Contest(models[0], models[1], STEP, options.budget)
    settings = Settings(load_effort("rapid"), options.threads, evaluate_on_device=False)
    trial = run_contest(contest, bench, settings, lambda _: None)
    found = trial.finding
    if found is None:
        return "cannot tell", "no launch"
    where = f"{found.bounds.low:.4f} to {found.bounds.high:.4f}" if found.bounds else "no interval"
    return (
        found.answer,
        f"{found.ratio:.4f} ({where}) in {trial.elapsed_s:.0f} s, {len(trial.ratios)} launches",
    )


def say(text: str) -> None:
    """A line on standard error, at once."""
    print(f"{text} [load {os.getloadavg()[0]:.2f}]", file=sys.stderr, flush=True)


def identical(bench: Bench, pairs: list[Pair], options: argparse.Namespace) -> Counter[str]:
    """A/A under load."""
    found: Counter[str] = Counter()
    for number in range(options.pairs):
        pair = pairs[number % len(pairs)]
        copy = pair.a.with_name(f"copy-of-{pair.a.name}")
        copy.write_bytes(pair.a.read_bytes())
        with random_load(number, 10 * options.budget):
            answer, detail = compare(bench, pair.a, copy, options)
        found[answer] += 1
        say(f"A/A {number + 1:3d} {pair.a.stem} {pair.a_ms:.3f} ms: {answer}: {detail}")
    return found


def apart(bench: Bench, pairs: list[Pair], options: argparse.Namespace) -> Counter[str]:
    """A/B with the machine as it is; every other trial the other way round."""
    found: Counter[str] = Counter()
    for number in range(options.trials):
        pair = pairs[number % len(pairs)]
        is_turned = number // len(pairs) % 2 == 1
        a, b = (pair.b, pair.a) if is_turned else (pair.a, pair.b)
        right, wrong = ("faster", "slower") if is_turned else ("slower", "faster")
        answer, detail = compare(bench, a, b, options)
        found["detected" if answer == right else "wrong" if answer == wrong else "missed"] += 1
        say(f"A/B {number + 1:3d} {a.stem} {b.stem} {pair.a_ms:.3f} ms: {answer}: {detail}")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--sizes", default="tiny,small,medium", help=", ".join(SIZES))
    parser.add_argument("--budget", type=float, default=30.0, help="seconds a comparison")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as options.folder:
        folder = Path(options.folder)
        target = Target("local", "x86-64-linux", python=sys.executable, workdir=f"{folder}/agent")
        pairs = [calibrated(folder, name, options) for name in options.sizes.split(",")]
        for pair in pairs:
            say(f"{pair.a.stem}: {pair.a_ms:.4f} ms, {pair.b.stem} costs {pair.ratio:.4f} of it")
        bench = open_bench(target)
        with bench.device:
            same = identical(bench, pairs, options)
            different = apart(bench, pairs, options)
    print(f"aa_pairs={options.pairs}")
    print(f"aa_false={same['slower'] + same['faster']}")
    print(f"aa_same={same['same']}")
    print(f"aa_cannot_tell={same['cannot tell']}")
    print(f"ab_trials={options.trials}")
    print(f"ab_detected={different['detected']}")
    print(f"ab_missed={different['missed']}")
    print(f"ab_wrong={different['wrong']}")
    print(f"load_average={os.getloadavg()[0]:.2f}")
    print(f"elapsed_s={time.monotonic() - started:.0f}")


if __name__ == "__main__":
    main()
