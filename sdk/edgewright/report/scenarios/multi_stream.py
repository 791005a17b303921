"""Several sessions at once: what each loses beside the others, and what they do together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.report.scenario_document import MultiStream, Scenario, Stream
from edgewright.report.stats import Nanoseconds
from edgewright.report.text import clean
from edgewright.report.units import rate
from edgewright_agent.protocol import RunResult, StreamRun

from .series import integers, median_ratio, milli, spread, start_times


@dataclass(frozen=True)
class _Track:
    """One stream of one launch inside the time in which all streams ran, and alone."""

    latency: Nanoseconds
    alone: Nanoseconds
    per_second: float

    @property
    def share(self) -> float:
        """How much of its pace alone it kept; the mean counts here, since slow inferences take their time."""
        return self.per_second * float(self.alone.mean()) / 1e9


def scenario(launches: Sequence[RunResult]) -> Scenario:
    """The part of the report for a multi-stream row.

    Raises:
        ValueError: the launches do not have the same streams.
    """
    runs = [launch.scenario.streams for launch in launches if launch.scenario and launch.scenario.streams]
    if not runs or len({tuple(run.name for run in launch) for launch in runs}) > 1:
        raise ValueError("the launches do not have the same streams")
    tracks = [_tracks(launch) for launch in runs]
    streams = [_stream(run, [launch[place] for launch in tracks]) for place, run in enumerate(runs[0])]
    shares = [[track.share for track in launch] for launch in tracks]
    figures = MultiStream(
        streams=streams,
        throughput=float(np.median([sum(t.per_second for t in launch) for launch in tracks])),
        work=float(np.median([sum(launch) for launch in shares])),
        fairness=float(np.median([jain(launch) for launch in shares])),
    )
    return Scenario(
        kind="multi-stream",
        headline=headline(figures),
        remarks=[_remark(stream) for stream in streams],
        multi_stream=figures,
    )


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all are alike, 1 / n when one has everything (Jain et al. 1984)."""
    values = np.asarray(shares, dtype=np.float64)
    return float(values.sum() ** 2 / (values.size * (values**2).sum()))


def headline(figures: MultiStream) -> str:
    """The essence in one sentence."""
    worst = max(figures.streams, key=lambda stream: stream.slowdown.value)
    alike = not any(stream.is_other for stream in figures.streams)
    total = f"{rate(figures.throughput)} in all, " if alike else ""  # of different models it says nothing
    return (
        f"{len(figures.streams)} streams: {total}the work of {figures.work:.2f} "
        f"streams alone; the slowest takes {worst.slowdown.value:.2f} times as long as alone, fairness "
        f"{figures.fairness:.2f}"
    )


def _remark(stream: Stream) -> str:
    ratio = stream.slowdown
    return (
        f"{stream.name}: {ratio.value:.2f} times as long as alone ({ratio.low:.2f} to {ratio.high:.2f}), "
        f"{rate(stream.throughput)}"
    )


def _tracks(streams: Sequence[StreamRun]) -> list[_Track]:
    """Every stream cut to the time in which all of them ran."""
    starts, ends, latencies = [], [], []
    for stream in streams:
        latency = integers(stream.latency_ns)
        if not latency.size or not len(stream.alone_ns):
            raise ValueError(f"the stream {clean(stream.name, 80)} was not timed")
        start = start_times(stream.starts, latency) + stream.starts.begin_ns
        starts.append(start)
        ends.append(start + latency)
        latencies.append(latency)
    begin, end = max(int(start[0]) for start in starts), min(int(done[-1]) for done in ends)
    tracks = []
    for stream, start, done, latency in zip(streams, starts, ends, latencies, strict=True):
        inside = latency[(start >= begin) & (done <= end)]
        if not inside.size or end <= begin:
            raise ValueError("the streams did not run at the same time")
        tracks.append(_Track(inside, integers(stream.alone_ns), inside.size / ((end - begin) / 1e9)))
    return tracks


def _stream(run: StreamRun, tracks: Sequence[_Track]) -> Stream:
    latency = spread(np.concatenate([track.latency for track in tracks]))
    slowdown = median_ratio([(track.latency, track.alone) for track in tracks])
    assert latency and slowdown  # every track has samples
    return Stream(
        name=clean(run.name, 200),
        is_other=run.is_other,
        runtime=clean(run.runtime, 100),
        provider=clean(run.providers[0], 100) if run.providers else None,
        alone_ms=milli(float(np.median(np.concatenate([track.alone for track in tracks])))),
        latency_ms=latency,
        slowdown=slowdown,
        throughput=float(np.median([track.per_second for track in tracks])),
    )
