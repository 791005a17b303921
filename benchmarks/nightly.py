"""Nights of a farm made from real launches: what a model's median does from one fresh process to the next.

Launches are measured one after another, each a fresh process that times every model for a while. A night is
a row of launches that followed one another, and a history is made of nights from random places, so that what
the machine did meanwhile (its drifts, its neighbours) is in it as it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from agent_overhead import write_model

from edgewright.files import write_atomic
from edgewright.report.verdict import LAUNCH_SPREAD

Floats = npt.NDArray[np.float64]

#: width, layers, image size, as in noise.py: some 0.2, 1 and 6 milliseconds.
SIZES = {"tiny": (4, 20, 8), "small": (8, 60, 16), "medium": (16, 60, 48)}
LAUNCHES = 5

_LAUNCH = """
import json, sys, time
import numpy as np
import onnxruntime as ort
found, clock = [], time.perf_counter_ns
for path in sys.argv[2:]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
    for _ in range(10):
        session.run(None, feeds)
    times, until = [], clock() + int(1e9 * float(sys.argv[1]))
    while clock() < until:
        start = clock()
        session.run(None, feeds)
        times.append(clock() - start)
    found.append(float(np.median(times)))
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Noise:
    """Medians in nanoseconds of one launch after another, for each model."""

    medians_ns: dict[str, Floats]

    def save(self, path: Path) -> None:
        """Keep them, for measuring takes minutes."""
        text = json.dumps({name: list(values) for name, values in self.medians_ns.items()})
        write_atomic(path, text.encode())


def load(path: Path) -> Noise:
    """What :meth:`Noise.save` kept."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Noise({name: np.asarray(values, dtype=np.float64) for name, values in found.items()})


def measure(minutes: float, seconds: float = 0.25) -> Noise:
    """Launch after launch for so many minutes, each model for ``seconds`` in each."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in SIZES}
        for name, (width, layers, size) in SIZES.items():
            write_model(paths[name], width, layers, size)
        words = [sys.executable, "-c", _LAUNCH, str(seconds), *map(str, paths.values())]
        found, until = [], time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            found.append(json.loads(said))
    return Noise(dict(zip(SIZES, np.asarray(found, dtype=np.float64).T, strict=True)))


def night(medians_ns: Floats, rng: np.random.Generator) -> float | None:
    """The median of a night's launches; None when they lie so far apart that the row would not be valid."""
    start = int(rng.integers(len(medians_ns) - LAUNCHES + 1))
    launches = medians_ns[start : start + LAUNCHES]
    middle = float(np.median(launches))
    return None if float(np.ptp(launches)) > LAUNCH_SPREAD * middle else middle


def share_valid(medians_ns: Floats) -> float:
    """Of all the nights that could be, how many are valid."""
    windows = np.lib.stride_tricks.sliding_window_view(medians_ns, LAUNCHES)
    return float(np.mean(np.ptp(windows, axis=1) <= LAUNCH_SPREAD * np.median(windows, axis=1)))
