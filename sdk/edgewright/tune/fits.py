"""Pruning layer by layer by the times of the layers on the device: seeds that an equal share cannot give.

The device times layers of the network alone, at some channel counts; a knapsack then gives up the channels
that matter least for the time they take. Whole networks are not predicted from it: what a seed takes is
measured like that of any other setting.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgewright.compress import ModelJob
from edgewright.compress.channels import find_network
from edgewright.compress.prune import PruneOptions
from edgewright.errors import BuildError, UnsupportedError
from edgewright.export.layers import times_layer
from edgewright.farm.job import Bench, Settings
from edgewright.farm.layer_times import LayerTimes
from edgewright.farm.to_latency import step_of
from edgewright.latency.knapsack import choose, total_ns
from edgewright.workload import Workload

from .setting import Layers
from .space import Space, SpaceFile, format_of

#: Shares of the layers' time that are tried when nobody says.
SHARES = (0.75, 0.5)


def wanted(asked: SpaceFile, space: Space) -> tuple[float, ...]:
    """The shares to fit: those asked for; without a word on pruning some, where pruning is tried at all."""
    if asked.fit is not None:
        return asked.fit
    return SHARES if asked.prune is None and any(space.prune) else ()


def fitted(
    shares: Sequence[float],
    runtime: str,
    bench: Bench,
    settings: Settings,
    workload: Workload,
    cache: Path,
    say: Callable[[str], None],
) -> tuple[tuple[float, Layers], ...]:
    """For each share that can be reached, the channels that each layer loses.

    Raises:
        DeviceError: the device is gone.
    """
    if not shares:
        return ()
    options = PruneOptions()
    try:
        job = ModelJob(copy.deepcopy(workload.model), workload)
        network = find_network(job, options.importance, options.round_to)
        kind = format_of(runtime)
        network = replace(
            network, layers=tuple(layer for layer in network.layers if times_layer(layer.shape, kind))
        )
        if not network.layers or not network.groups:
            say("no layer can be pruned by its time, so pruning is by equal shares alone")
            return ()
        times = LayerTimes(runtime, bench, settings, cache / "latency")
        taken = times.take(network.grid(), lambda done, of: say(f"timing layers: {done} of {of}"))
    except (BuildError, UnsupportedError) as error:
        say(f"pruning is by equal shares alone: {error}")
        return ()
    whole_ns = total_ns(network, times.table.time_ns, network.full)
    found = []
    for share in shares:
        chosen = choose(network, times.table.time_ns, share * whole_ns)
        steps = step_of(network, chosen.counts, options) if chosen else ()
        if steps:
            found.append((share, steps[0].options.layers))
    say(f"{taken} layers timed, {len(found)} prunings fitted to their times in {runtime}")
    return tuple(found)
