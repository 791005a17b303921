"""Whether a long ``edgewright tune`` keeps its memory, and leaves no temporary file behind.

    python benchmarks/tune_memory.py [--trials 500] [--every 50]

One study on this machine of a small network: every trial is built by torch, exported, quantized, run and
judged as in any study, and measured in processes of its own, only more briefly than the presets would. The
cache, the store and all temporary files are in a folder of their own, which is looked at afterwards.

Prints the resident set of the host's process after every so many trials, what became of the trials, the
growth from the first of these figures to the last, and the temporary files that are left: torch makes one
empty folder for a cache of its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.farm.effort import Effort
from edgewright.farm.inventory import load_inventory
from edgewright.store import Store
from edgewright.tune import Bounds, Means, Question, SpaceFile, tune
from edgewright_agent.protocol import Scenario

if TYPE_CHECKING:
    from edgewright.workload import Workload

SPACE = SpaceFile(
    prune=tuple(percent / 100 for percent in range(0, 84, 2)),
    low_rank=(0.0,),
    quantize=("none", "fp16", "int8-dynamic", "int8-minmax", "int8-entropy", "int8-mse"),
    keep_floats=(0,),
    distill=("none",),
    runtimes=("onnxruntime",),
    threads=(2, 1),
)
_MIB = 1 << 20
_DONE = re.compile(r"\[(\d+)\] ")


def workload() -> Workload:
    """Three linear layers that tell whether four numbers of 32 are more than nothing together."""
    import torch
    from torch import nn
    from torch.utils.data import TensorDataset

    from edgewright.workload import Evaluation, Training, Workload

    torch.manual_seed(0)
    x = torch.randn(400, 32)
    y = (x[:, :4].sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(32, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 2))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
        optimizer.step()
    labels = y.numpy()
    return Workload(
        "sum-of-four",
        model.eval(),
        (x[:1],),
        calibration=[(row[None],) for row in x[:50]],
        evaluate=Evaluation("accuracy", (x.numpy(),), lambda o: float((o[0].argmax(1) == labels).mean())),
        training=Training(TensorDataset(x, y), nn.functional.cross_entropy, epochs=1),
    )


class Brief(Effort):
    """Enough for a median with an interval: what is measured is nobody's question here."""

    def scenario(self) -> Scenario:
        """Without a warm-up of seconds."""
        return replace(super().scenario(), warmup_duration_ns=0)


def brief(name: str) -> Effort:
    """See :class:`Brief`."""
    return Brief(name, 1, 64, 0.05, 1.0, idle_s=0.0, energy_s=0.0, repeats=0)


def resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Notes the resident set after every so many trials."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._begun = time.monotonic()
        self.resident: dict[int, int] = {}

    def __call__(self, line: str) -> None:
        """Told what the study says."""
        done = _DONE.search(line)
        if done is None or int(done[1]) % self._every:
            return
        gc.collect()
        self.resident[int(done[1])] = resident_bytes()
        minutes = (time.monotonic() - self._begun) / 60
        print(
            f"trial {done[1]:>4}: {resident_bytes() / _MIB:7.1f} MiB resident, {minutes:5.1f} min", flush=True
        )


def left_in(folder: Path) -> list[str]:
    """What lies in a folder of temporary files."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def run(folder: Path, trials: int, every: int) -> None:
    """One study in ``folder``, and what it leaves there."""
    temporary = folder / "temporary"
    temporary.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    question = Question(
        f"{Path(__file__).resolve()}:workload",
        ("local",),
        objective="memory",  # for which nothing is ranked out unmeasured
        bounds=Bounds(max_accuracy_drop=0.5),
        trials=trials,
        space=SPACE,
        final_preset="rapid",
    )
    watch = Watch(every)
    with Store.open(folder / "store.sqlite") as store:
        means = Means(store, load_inventory(None), folder / "cache", say=watch, efforts=brief)
        answer = tune(question, means)
    tried = answer.device("local").tried
    states = ", ".join(
        f"{count} {state}" for state, count in Counter(one.state for one in tried).most_common()
    )
    files = {one.built.sha256 for one in tried if one.built}
    rows = {one.row.key for one in tried if one.row}
    print(f"{len(tried)} trials: {states}; {len(files)} different files, {len(rows)} measurements")
    for reason, count in Counter(one.reason for one in tried if one.reason).most_common(5):
        print(f"  {count} times: {reason}")
    if len(watch.resident) > 1:
        first, last = min(watch.resident), max(watch.resident)
        grown = watch.resident[last] - watch.resident[first]
        print(
            f"growth from trial {first} to {last}: {grown / _MIB:.1f} MiB, "
            f"{grown / (last - first) / 1024:.1f} KiB a trial"
        )
    left = left_in(temporary)
    print(f"temporary files left: {len(left)}{''.join(f'{chr(10)}  {name}' for name in left)}")


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--every", type=int, default=50, help="note the memory after so many trials")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tune-memory-") as folder:
        os.environ["HOME"] = folder  # the device's own store is of this study alone
        run(Path(folder), asked.trials, asked.every)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
