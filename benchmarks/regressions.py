"""How soon a step of 5 % is found in a history of nights, and how often one is found where there is none.

    python benchmarks/regressions.py [--series 100] [--nights 60] [--minutes 6] [--fresh]

Nights are made of real launches (nightly.py), which are measured once and kept under build/benchmarks. Each
detector sees every history night by night, as a farm does: a false alarm is a step to slower that it reports
in a history without one, and counts once; a step counts as found when it is reported within three nights. The
kinds of noise are the measured one, the same twice as wide, and the measured one with a drift and wild
nights (2 % of them, 5 to 15 % off).
Edgewright's detector runs twice: on one measurement a night, and with suspects measured twice more the same
night, as the farm does. asv's step detector and Apache Otava run in environments of their own, made here with
pip; a detector that cannot be had is left out, and it is said why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nightly import Floats, Noise, load, measure, night, share_valid

from edgewright.history.changes import Course, course

BUILD = Path(__file__).resolve().parents[1] / "build/benchmarks"
#: The fewest nights before a detector is asked, and how far apart two reports are of two steps.
FIRST, APART = 12, 8
STEP, WITHIN = 1.05, 3
AGAIN = 2
#: Below half the threshold nothing counts, for any detector.
LEAST = 0.025

ASV = f"""
import json, sys
from asv.step_detect import detect_regressions, detect_steps
for line in sys.stdin:
    data, told = json.loads(line), []
    for night in range(data["first"], len(data["values"]) + 1):
        found = detect_regressions(detect_steps(data["values"][:night]), threshold={LEAST})[2] or []
        told.append([int(position[1]) for position in found])
    print(json.dumps(told), flush=True)
"""

OTAVA = f"""
import json, sys
from otava.analysis import compute_change_points
for line in sys.stdin:
    data, told = json.loads(line), []
    for night in range(data["first"], len(data["values"]) + 1):
        found, _ = compute_change_points(data["values"][:night], min_magnitude={LEAST})
        told.append([int(p.index) for p in found if p.stats.mean_2 > p.stats.mean_1])
    print(json.dumps(told), flush=True)
"""

#: name -> package, the module that must be there, what is run.
OTHERS = {
    "asv": ("asv>=0.6", "asv.step_detect", ASV),
    "otava": ("apache-otava>=0.7", "otava.analysis", OTAVA),
}


@dataclass(frozen=True)
class Kind:
    """A kind of noise: how it widens what was measured, and what it adds."""

    name: str
    width: float = 1.0
    drift: float = 0.0
    wild: float = 0.0


KINDS = (
    Kind("measured"),
    Kind("twice as wide", width=2.0),
    Kind("drifts and wild nights", drift=0.01, wild=0.02),
)


class Nights:
    """Nights of one series, one after another."""

    def __init__(self, medians_ns: Floats, kind: Kind, rng: np.random.Generator) -> None:
        self._medians = medians_ns
        self._kind = kind
        self._rng = rng
        self._level = float(np.median(medians_ns))
        self._phase = rng.random()

    def measure(self, number: int, ratio: float = 1.0) -> float:
        """A valid median of night ``number``; a night that is not valid has no say and is left out."""
        kind, rng = self._kind, self._rng
        while (median := night(self._medians, rng)) is None:
            pass
        log = kind.width * np.log(median / self._level)
        log += kind.drift * np.sin(2 * np.pi * (number / 60 + self._phase))
        if rng.random() < kind.wild:
            log += rng.choice([-1, 1]) * rng.uniform(0.05, 0.15)
        return float(self._level * np.exp(log) * ratio)


@dataclass(frozen=True)
class History:
    """A series night by night; ``at`` is where it steps, None where it does not."""

    values: list[float]
    again: list[list[float]]
    at: int | None


def histories(noise: Noise, kind: Kind, count: int, nights: int, step: bool) -> Iterator[History]:
    """Series of every model in turn; each night has further measurements, for whoever asks for them."""
    models = [medians for medians in noise.medians_ns.values() if share_valid(medians) > 0.1]
    for number in range(count):
        rng = np.random.default_rng(number + 1000 * step)
        series = Nights(models[number % len(models)], kind, rng)
        at = int(rng.integers(FIRST, nights)) if step else None
        length = nights if at is None else at + WITHIN
        ratios = [STEP if at is not None and n >= at else 1.0 for n in range(length)]
        values = [series.measure(n, ratio) for n, ratio in enumerate(ratios)]
        again = [[series.measure(n, ratio) for _ in range(AGAIN)] for n, ratio in enumerate(ratios)]
        yield History(values, again, at)


#: What a detector reports after each night from FIRST on: the nights from which it is slower.
Reports = list[list[int]]


def edgewright(history: History, *, again: bool) -> Reports:
    """Night by night; a suspect's further measurements join the series before it is reported."""
    values, of_night, told = [], [], []
    for number, value in enumerate(history.values):
        values.append(value)
        of_night.append(number)
        if number + 1 < FIRST:
            continue
        found = _course(values)
        if again and any(not change.is_certain for change in found.changes):
            values += history.again[number]
            of_night += [number] * AGAIN
            found = _course(values)
        told.append([of_night[c.index] for c in found.changes if c.is_certain and c.ratio > 1])
    return told


def _course(values: Sequence[float]) -> Course:
    return course(np.asarray(values, dtype=np.float64), np.empty(0))


class Other:
    """A detector in a process of its own."""

    def __init__(self, python: Path, code: str) -> None:
        self._process = subprocess.Popen(
            [python, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, history: History) -> Reports:
        """One history."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"values": history.values, "first": FIRST}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the detector's process ended")
        found: Reports = json.loads(line)
        return found

    def close(self) -> None:
        """End it."""
        self._process.stdin.close() if self._process.stdin else None
        self._process.wait()


def environment(name: str, package: str, module: str) -> Path | str:
    """The Python of an environment that has the package; why there is none."""
    folder = BUILD / "detectors" / name
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    check = [str(python), "-c", f"import {module}"]
    if subprocess.run(check, capture_output=True, check=False).returncode == 0:
        return python
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    installed = subprocess.run(words, capture_output=True, text=True, check=False)
    if installed.returncode or subprocess.run(check, capture_output=True, check=False).returncode:
        lines = installed.stderr.strip().splitlines()
        return lines[-1] if lines else f"{module} cannot be imported"
    return python


def false_alarms(reports: Reports) -> int:
    """How many steps were reported, each once."""
    seen: list[int] = []
    for told in reports:
        seen += [place for place in told if all(abs(place - other) > APART for other in seen)]
    return len(seen)


def nights_to_find(reports: Reports, at: int) -> int | None:
    """The night after the step in which it was reported."""
    for number, told in enumerate(reports, start=FIRST - 1):
        if number >= at and any(place >= at - 2 for place in told):
            return number - at + 1
    return None


def judge(detector: Callable[[History], Reports], still: Sequence[History], steps: Sequence[History]) -> str:
    """One line: how often it was wrong, and how soon it was right."""
    started = time.monotonic()
    wrong = sum(false_alarms(detector(history)) for history in still)
    nights = sum(len(history.values) - FIRST + 1 for history in still)
    found = [nights_to_find(detector(history), history.at) for history in steps if history.at is not None]
    by_night = [sum(n is not None and n <= k for n in found) / len(found) for k in range(1, WITHIN + 1)]
    each_ms = 1000 * (time.monotonic() - started) / (nights + sum(map(len, [h.values for h in steps])))
    shares = " ".join(f"{share:.1%}" for share in by_night)
    return (
        f"false_alarms_per_1000={1000 * wrong / nights:.2f} ({wrong} in {nights:,}) "
        f"found_by_night_1_2_3={shares} ms_a_night={each_ms:.1f}"
    )


def main() -> None:
    """Measure what is missing, and print a line a detector and kind of noise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=6.0, help="of measuring, when nothing is kept")
    parser.add_argument("--fresh", action="store_true", help="measure again")
    parser.add_argument("--only", default="", help="edgewright, asv or otava")
    options = parser.parse_args()
    kept = BUILD / "nightly.json"
    if options.fresh or not kept.exists():
        measure(options.minutes).save(kept)
    noise = load(kept)
    for name, medians in noise.medians_ns.items():
        told = f"{len(medians)} launches, {share_valid(medians):.0%} of nights valid"
        print(f"{name}: {np.median(medians) / 1e6:.3f} ms, {told}")
    detectors: dict[str, Callable[[History], Reports]] = {
        "edgewright": lambda history: edgewright(history, again=False),
        "edgewright, suspects again": lambda history: edgewright(history, again=True),
    }
    others = []
    for name, (package, module, code) in OTHERS.items():
        found = environment(name, package, module)
        if isinstance(found, str):
            print(f"{name}: left out: {found}")
            continue
        others.append(Other(found, code))
        detectors[name] = others[-1]
    for kind in KINDS:
        still = list(histories(noise, kind, options.series, options.nights, step=False))
        steps = list(histories(noise, kind, options.series, options.nights, step=True))
        for name, detector in detectors.items():
            if name.startswith(options.only):
                print(f"{kind.name}: {name}: {judge(detector, still, steps)}", flush=True)
    for other in others:
        other.close()
    print(f"load_average={os.getloadavg()[0]:.2f}", file=sys.stderr)


if __name__ == "__main__":
    main()
