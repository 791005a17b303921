"""Taking the times of layers on a device: many in one job, each kept as soon as its job is done.

A job's process loads one layer after the other and times it alone, back to back, as the scenario ``offline``
does with batches of different sizes: that is what the layers are to the device. A layer counts by the lower
quartile of its inferences, which others' work on the machine reaches last. What an interruption leaves is
kept, and a second call takes no time of a layer that it has.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgewright.artifact import Artifact, sha256_file
from edgewright.device import Errand
from edgewright.errors import AgentFault, UnsupportedError
from edgewright.export.layers import write_layer
from edgewright.latency.layers import LayerShape
from edgewright.latency.table import LayerTable, TableFolder, TableKey
from edgewright.temporary import work_folder
from edgewright.untrusted import one_line
from edgewright_agent import protocol as wire

from .job import Bench, Second, Settings, format_of, make_job, threads_of

#: Layers of one job, and bytes of its files; a job's process loads one layer after the other.
JOB_LAYERS = 64
JOB_BYTES = 64 << 20
_QUARTILE = 0.25
_MS = 1_000_000
#: One layer's turn: three inferences and 5 ms to warm up, then at least eight and 25 ms.
_TURN = wire.Scenario(
    kind="offline",
    min_count=8,
    min_duration_ns=25 * _MS,
    max_duration_ns=2000 * _MS,
    max_count=20_000,
    warmup_count=3,
    warmup_duration_ns=5 * _MS,
)

#: Called with how many of how many layers are timed.
OnLayers = Callable[[int, int], None]


class LayerTimes:
    """One table on one device, filled by asking the device.

    Args:
        runtime: as the device has it.
        root: the folder of all tables.
    """

    def __init__(self, runtime: str, bench: Bench, settings: Settings, root: Path) -> None:
        self._runtime, self._bench, self._settings = runtime, bench, settings
        self._folder = TableFolder(root, table_key(runtime, bench, settings))
        self.table: LayerTable = self._folder.load()

    def take(self, shapes: Iterable[LayerShape], on_layers: OnLayers) -> int:
        """Have the time of each; how many were not known before.

        Raises:
            UnsupportedError: a layer cannot be written or timed alone.
            DeviceError: whatever kept a job from being done; what was taken before is kept.
        """
        missing = sorted(self.table.missing(shapes), key=repr)
        random.Random(len(missing)).shuffle(missing)  # so that a drift falls on no kind of layer
        done = 0
        for batch in _batches(missing):
            on_layers(done, len(missing))
            times = self._timed(batch)
            self._folder.keep(times)
            self.table.add(times)
            done += len(batch)
        return done

    def _timed(self, shapes: Sequence[LayerShape]) -> dict[LayerShape, float]:
        """One job."""
        device, name = self._bench.device, uuid.uuid4().hex
        with work_folder("layers") as folder:
            made = [self._written(shape, folder / f"{at}") for at, shape in enumerate(shapes, 1)]
            seconds = [Second(artifact, self._runtime, at) for at, artifact in enumerate(made, 1)]
            job, files = make_job(
                made[0],
                self._runtime,
                self._bench,
                self._settings,
                name=name,
                evaluate=False,
                seconds=seconds,
            )
            turn = replace(_TURN, batches=tuple(range(1, len(shapes) + 1)))
            job = replace(job, job_id=name, scenario=turn, energy=None)
            result = device.run(job, files, errand=Errand(f"times of {len(shapes)} layers"))
        device.acknowledge(job.job_id)
        runs = {run.batch: run for run in result.scenario.batches} if result.scenario else {}
        return {shape: self._latency_ns(shape, runs.get(at)) for at, shape in enumerate(shapes, 1)}

    def _written(self, shape: LayerShape, path: Path) -> Artifact:
        kind = format_of(self._runtime)
        path = path.with_suffix(f".{kind}")
        write_layer(shape, kind, path)
        return Artifact(path, kind, sha256_file(path), path.stat().st_size)

    def _latency_ns(self, shape: LayerShape, run: wire.BatchRun | None) -> float:
        target = self._bench.device.target.name
        if run is None:
            raise AgentFault(target, f"the device told nothing of {shape}")
        if run.reason or not run.latency_ns:
            why = one_line(run.reason) or "no inference was timed"
            raise UnsupportedError(f"{target}: {shape} cannot be timed: {why}")
        return float(np.quantile(np.asarray(run.latency_ns, dtype=np.float64), _QUARTILE))


def _batches(shapes: Sequence[LayerShape]) -> Iterator[list[LayerShape]]:
    """As many layers as one job takes."""
    batch: list[LayerShape] = []
    for shape in shapes:
        if batch and (len(batch) == JOB_LAYERS or 4 * sum(s.weights for s in (*batch, shape)) > JOB_BYTES):
            yield batch
            batch = []
        batch.append(shape)
    if batch:
        yield batch


def table_key(runtime: str, bench: Bench, settings: Settings) -> TableKey:
    """What the times of a device belong to: the unit, how it runs at this moment, and what runs there."""
    facts = bench.facts
    state = facts.environment
    unit = (facts.hostname, facts.board, facts.soc, facts.machine, facts.cpu_model, str(facts.cpu_count))
    governors = sorted(f"{name}={governor}" for name, governor in state.governor.items())
    versions: Mapping[str, str] = {found.name: found.version for found in facts.runtimes}
    execution = settings.asked.execution(runtime, bench.profile, threads_of(settings, bench))
    options = [f"{name}:{sorted(given.items())}" for name, given in execution.provider_options.items()]
    return TableKey(
        device=tuple(one_line(text, 200) for text in (*unit, state.power_mode, *governors)),
        runtime=runtime,
        version=one_line(versions.get(runtime, ""), 200),
        providers=(*execution.providers, *options),
        threads=execution.threads,
    )
