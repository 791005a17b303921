"""Pruning a workload down to a latency that is measured on a device, never counted in multiplications.

The unpruned network and the smallest one are measured by turns first: they say at once whether the target can
be reached at all. Then the device is asked for the times of layers, channels are chosen for a budget of those
times, and the whole pruned network is measured beside the unpruned one; what that gives corrects the next
budget, until the latency is within :data:`TOLERANCE` of the target. There are several ways to share a budget
out (:mod:`edgewright.latency.ways`); the networks that they lead to are trained for a while and judged on
samples that were held back. Only the best one is trained to the end, and measured again as it is left.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

from edgewright.artifact import Artifact
from edgewright.build import build
from edgewright.build.builder import open_workload
from edgewright.compress import ModelJob
from edgewright.compress.channels import find_network
from edgewright.compress.importance import Measure
from edgewright.compress.prune import PruneOptions
from edgewright.compress.screening import can_screen, held_back_losses
from edgewright.errors import ConfigError, UnsupportedError
from edgewright.export.layers import times_layer
from edgewright.latency.layers import Counts, Network
from edgewright.latency.target import Correction, Point, Search
from edgewright.latency.ways import WAYS, Way
from edgewright.recipe import Recipe, Step

from .execute import choose_runtime
from .job import Bench, Settings, format_of
from .layer_times import LayerTimes
from .pruned import Candidate, Found, Request, Round, TimedLayer
from .race import Race, race
from .subject import WorkloadSubject

#: How near to the target a latency has to be, as a share of it, and how near ends the search at once.
TOLERANCE, GOOD = 0.05, 0.02
#: Networks that are measured on the way at most; after some, any within the tolerance will do.
_MOST_ROUNDS, _PATIENCE = 8, 3
#: How often channels are chosen anew because the exact times of the chosen layers were taken.
_MOST_REFINEMENTS = 2
#: Launches of the network as it is left, at least: so many give an interval that is not wide.
_LAST_LAUNCHES = 10

#: Called with a few words when something begins.
Say = Callable[[str], None]


def prune_to_latency(request: Request, bench: Bench, settings: Settings, say: Say) -> Found:
    """See the module.

    Raises:
        ConfigError: the model is as fast already, or the workload is not what it should be. UnsupportedError:
        the target cannot be reached, with the fastest that can; or the device cannot run it. BuildError,
        DeviceError: as :func:`edgewright.build.build` and :meth:`edgewright.device.Device.run`.
    """
    bench.check_times()
    return _Pruning(request, bench, settings, say).found()


def step_of(network: Network, counts: Counts, options: PruneOptions) -> tuple[Step, ...]:
    """The step that leaves groups with ``counts``; none where nothing goes."""
    shares = tuple(
        (group.name, round(1 - counts[group.name] / group.size, 6))
        for group in network.groups
        if counts[group.name] < group.size
    )
    return (Step("prune", replace(options, layers=shares)),) if shares else ()


class _Pruning:
    """One request on one device."""

    def __init__(self, request: Request, bench: Bench, settings: Settings, say: Say) -> None:
        self._request, self._bench, self._settings, self._say = request, bench, settings, say
        subject = WorkloadSubject(request.source, request.cache)
        self._runtime = choose_runtime(request.runtime, subject, bench)
        say("loading the workload")
        self._workload = workload = open_workload(request.source)
        self._measure: Measure = request.importance or ("l2" if workload.training is None else "taylor")
        job = ModelJob(copy.deepcopy(workload.model), workload)
        self._network = self._timeable(find_network(job, self._measure, request.round_to))
        self._options = PruneOptions(importance=self._measure, round_to=request.round_to, fine_tune=False)
        self._full = self._built(self._network.full)
        self._rounds: list[Round] = []
        self._points: dict[frozenset[tuple[str, int]], Point] = {}

    def found(self) -> Found:
        """Everything, from the first measurement to the last."""
        full, smallest, full_ns = self._ends()
        times = LayerTimes(self._runtime, self._bench, self._settings, self._request.cache / "latency")
        taken = times.take(self._network.grid(), self._on_layers)
        searches: dict[Way, Search] = {}
        for way in self._ways():
            on_the_way = self._points.values()
            search = Search(
                self._network, times.table, full, smallest, share=WAYS[way], others=tuple(on_the_way)
            )
            taken += self._searched(search, times, full_ns)
            searches[way] = search
        candidates = self._candidates(searches)
        if not candidates:
            raise self._cannot(min(searches.values(), key=lambda one: abs(one.best.error)), full_ns)
        counts, correction = candidates[0].counts, searches[candidates[0].way].correction()
        recipe = self._recipe(counts, fine_tune=self._request.fine_tune)
        artifact = self._build(recipe)
        last = self._raced(artifact, max(self._request.launches, _LAST_LAUNCHES))
        target_ns = self._request.target.wanted_ns(last.full.median_ns)
        return Found(
            recipe=recipe,
            artifact=artifact,
            runtime=self._runtime,
            importance=self._measure,
            target_ns=target_ns,
            race=last,
            error=self._of_target(last) - 1,
            network=self._network,
            counts=counts,
            candidates=candidates,
            layers=self._layers(counts, times, correction, target_ns),
            rest_ns=None if correction is None else correction.rest_ns * target_ns,
            rounds=tuple(self._rounds),
            timed=(taken, len(times.table)),
        )

    def _ways(self) -> tuple[Way, ...]:
        """All that were asked for where the networks can be told apart, which takes training."""
        tells = self._request.fine_tune and can_screen(self._workload)
        return self._request.ways if tells else self._request.ways[:1]

    def _candidates(self, searches: Mapping[Way, Search]) -> tuple[Candidate, ...]:
        """The networks near enough to the target, the one that recovers best first."""
        found: dict[frozenset[tuple[str, int]], Candidate] = {}
        for way, search in searches.items():
            if abs(search.best.error) <= TOLERANCE:
                candidate = Candidate(way, search.best.counts, search.best.error)
                found.setdefault(frozenset(candidate.counts.items()), candidate)
        whole = found.get(frozenset(self._network.full.items()))
        if whole or len(found) < 2:  # nothing recovers better than what loses nothing
            return (whole,) if whole else tuple(found.values())
        prunings: dict[str, PruneOptions] = {
            one.way: step.options
            for one in found.values()
            for step in step_of(self._network, one.counts, self._options)
        }
        losses = held_back_losses(self._workload, prunings, self._say)
        told = [replace(one, held_back_loss=losses[one.way]) for one in found.values()]
        return tuple(sorted(told, key=lambda one: losses[one.way]))

    def _ends(self) -> tuple[Point, Point, float]:
        """The whole network and the smallest one, measured, and what the whole one takes.

        Raises:
            ConfigError: there is nothing to do.
            UnsupportedError: not even the smallest network is fast enough.
        """
        smallest = self._built(self._network.smallest)
        found = self._raced(smallest, self._request.launches)
        full_ns, target = found.full.median_ns, self._request.target.wanted_ns(found.full.median_ns)
        where = self._bench.device.target.name
        if target >= full_ns:
            raise ConfigError(
                f"{where}: nothing to prune: the model takes {full_ns / 1e6:.4g} ms in {self._runtime},"
                f" {target / 1e6:.4g} ms were asked for"
            )
        point = Point(self._network.smallest, self._of_target(found))
        if point.error > TOLERANCE:
            took = f"{found.pruned.median_ns / 1e6:.4g} ms, {found.ratio:.1%} of {full_ns / 1e6:.4g} ms"
            raise UnsupportedError(
                f"{where}: {target / 1e6:.4g} ms cannot be reached in {self._runtime}:"
                f" with the fewest channels in each layer the model takes {took}",
                mend="lower --round-to" if self._request.round_to > 1 else "use a smaller model",
            )
        return Point(self._network.full, full_ns / target), point, full_ns

    def _searched(self, search: Search, times: LayerTimes, full_ns: float) -> int:
        """Measure networks until one is near enough or none is left; how many layers were timed for it."""
        taken = 0
        for number in range(_MOST_ROUNDS):
            near_enough = GOOD if number < _PATIENCE else TOLERANCE
            if abs(search.best.error) <= near_enough:
                break
            counts = search.next()
            for _ in range(_MOST_REFINEMENTS):
                new = times.take(self._network.shapes(counts), self._on_layers) if counts else 0
                taken += new
                if not new:
                    break
                counts = search.next()
            if counts is None:
                break
            self._measured(search, times, counts, full_ns)
        return taken

    def _measured(self, search: Search, times: LayerTimes, counts: dict[str, int], full_ns: float) -> None:
        correction, key = search.correction(), frozenset(counts.items())
        if key in self._points:  # another way led there already
            search.add(self._points[key])
            return
        found = self._raced(self._built(counts), self._request.launches)
        point = self._points[key] = Point(counts, self._of_target(found))
        search.add(point)
        predicted = None
        if correction is not None:
            of_target = correction.latency_ns(times.table.total_ns(self._network.shapes(counts)))
            predicted = of_target * self._request.target.wanted_ns(full_ns)
        self._rounds.append(Round(counts, predicted, found.pruned.median_ns, point.error))
        self._say(
            f"{found.pruned.median_ns / 1e6:.4g} ms measured, {found.ratio:.1%} of the unpruned model:"
            f" {point.error:+.1%} from the target"
        )

    def _of_target(self, found: Race) -> float:
        """How many times the target: by the ratio where the target is a share, which a drift cannot touch."""
        target = self._request.target
        if target.share is not None:
            return found.ratio / target.share
        return found.pruned.median_ns / target.wanted_ns(found.full.median_ns)

    def _cannot(self, search: Search, full_ns: float) -> UnsupportedError:
        best, request = search.best, self._request
        wanted_ns = request.target.wanted_ns(full_ns)
        nearest = f"{best.of_target * wanted_ns / 1e6:.4g} ms ({best.error:+.1%})"
        return UnsupportedError(
            f"{self._bench.device.target.name}: none of {len(self._rounds)} measured networks is within"
            f" {TOLERANCE:.0%} of {wanted_ns / 1e6:.4g} ms: the nearest takes {nearest}, and channels go by"
            f" {request.round_to}",
            mend="lower --round-to, or raise --launches where the device is noisy",
        )

    def _layers(
        self, counts: Counts, times: LayerTimes, correction: Correction | None, target_ns: float
    ) -> tuple[TimedLayer, ...]:
        def share_ns(number: int, of: Counts) -> float | None:
            if correction is None:
                return None
            shape = self._network.layers[number].shaped(of)
            return correction.scale * times.table.time_ns(shape) * target_ns

        return tuple(
            TimedLayer(
                layer.name,
                (layer.shape.inputs, layer.shape.outputs),
                (layer.inputs.count(counts), layer.outputs.count(counts)),
                share_ns(number, self._network.full),
                share_ns(number, counts),
            )
            for number, layer in enumerate(self._network.layers)
        )

    def _timeable(self, network: Network) -> Network:
        """Without the layers that the runtime's format cannot hold alone."""
        kind = format_of(self._runtime)
        gone = tuple(layer for layer in network.layers if not times_layer(layer.shape, kind))
        left = tuple(layer for layer in network.layers if layer not in gone)
        if not left:
            raise UnsupportedError(
                "no layer of the model can be timed alone", mend="prune by a share instead"
            )
        reasons = tuple((layer.name, f"{kind} has no such layer alone") for layer in gone)
        return replace(network, layers=left, untimed=(*network.untimed, *reasons))

    def _recipe(self, counts: Counts, *, fine_tune: bool) -> Recipe:
        target, device = self._request.target, self._bench.device.target.name
        asked = (
            f"{target.share:.4g} of its latency"
            if target.share
            else f"{(target.latency_ns or 0) / 1e6:.4g} ms"
        )
        options = replace(self._options, fine_tune=fine_tune)
        return Recipe(
            self._request.name,
            f"pruned to {asked} on {device} in {self._runtime}, measured there",
            step_of(self._network, counts, options),
        )

    def _built(self, counts: Counts) -> Artifact:
        """The network as it is with ``counts``, not trained: its weights do not change its latency."""
        return self._build(self._recipe(counts, fine_tune=False))

    def _build(self, recipe: Recipe) -> Artifact:
        request, profile = self._request, self._bench.profile
        kind = format_of(self._runtime)
        return build(
            request.source, recipe, profile.name, profile, kind, cache=request.cache, progress=self._say
        )

    def _raced(self, pruned: Artifact, launches: int) -> Race:
        self._say(f"measuring on {self._bench.device.target.name}")
        return race(self._full, pruned, self._runtime, self._bench, self._settings, launches)

    def _on_layers(self, done: int, of: int) -> None:
        self._say(f"timing layers on {self._bench.device.target.name}: {done} of {of}")
