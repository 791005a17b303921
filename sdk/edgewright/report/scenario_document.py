"""What a row's scenario showed: the part ``scenario`` of the report document (docs/scenarios.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .contract import Contract


class Spread(Contract):
    """Percentiles in milliseconds; one without enough samples is null and ``reasons`` says why."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float
    count: int
    reasons: dict[str, str]


class Ratio(Contract):
    """A ratio of medians and its interval; ``method`` says what was resampled."""

    value: float
    low: float
    high: float
    confidence: float
    method: str


class Paced(Contract):
    """Arrivals at a steady rate, over all launches.

    ``miss_rate`` is the share of ``arrivals`` done after their deadline, between ``low`` and ``high`` with
    that confidence if misses are independent; ``launch_miss_rates`` show whether they are.
    ``misses_by_wakeup`` of them would have been in time had the process been woken when it asked. A model
    that does not keep up has a queue that grows as long as one looks, so that its response and queueing
    times are null with ``response_reason``.
    """

    rate_hz: float
    deadline_ms: float
    arrivals: int
    keeps_up: bool
    utilization: float
    ended: str | None
    misses: int
    misses_by_wakeup: int
    miss_rate: float
    miss_rate_low: float
    miss_rate_high: float
    confidence: float
    launch_miss_rates: list[float]
    response_ms: Spread | None
    queueing_ms: Spread | None
    response_reason: str | None
    service_ms: Spread
    wakeup_ms: Spread | None
    back_to_back_ms: float | None
    idle_gap: Ratio | None
    idle_gap_reason: str | None


class Window(Contract):
    """Inferences that began between ``t_s`` and ``t_s`` plus the length of a window."""

    t_s: float
    count: int
    p50_ms: float
    p90_ms: float | None


class Moment(Contract):
    """The device's state ``t_s`` after the run began: hottest sensor, fastest clock, flags that are up."""

    t_s: float
    temperature_celsius: float | None
    frequency_mhz: float | None
    flags: list[str]


class Shift(Contract):
    """At ``t_s`` the level of the latency changed and stayed so until the next shift or the end."""

    t_s: float
    before_ms: float
    after_ms: float


class Sustained(Contract):
    """One launch over minutes.

    ``throttled_after_s`` is null with ``throttle_evidence`` when nothing slowed the device down; otherwise
    ``throttled_by`` names the witness. ``slowdown`` is the steady state's median over the first minute's (the
    first ``first_s``, a third of a shorter run), or null with ``slowdown_reason``; the steady state begins at
    ``steady_from_s``, and ``settled`` says whether it lasted long enough to be called so.
    """

    minutes_asked: float
    minutes: float
    window_s: float
    windows: list[Window]
    environment: list[Moment]
    throttled_after_s: float | None
    throttled_by: Literal["flag", "clock", "latency"] | None
    throttle_evidence: str
    resolution_s: float
    shifts: list[Shift]
    first_s: float
    first_minute_ms: float | None
    steady_ms: float | None
    steady_from_s: float | None
    settled: bool
    slowdown: Ratio | None
    slowdown_reason: str | None


class Batch(Contract):
    """One batch size; all null with ``reason`` when it did not run.

    Throughput is samples a second, the median of launches, which lay between ``low`` and ``high``. ``gain``
    is the throughput over that of the smallest batch that ran.
    """

    batch: int
    throughput: float | None
    low: float | None
    high: float | None
    gain: float | None
    latency_ms: Spread | None
    reason: str | None


class Stream(Contract):
    """One session among several; ``slowdown`` is its median beside the others over its median alone."""

    name: str
    is_other: bool
    runtime: str
    provider: str | None
    alone_ms: float
    latency_ms: Spread
    slowdown: Ratio
    throughput: float


class MultiStream(Contract):
    """Sessions at once.

    ``throughput`` is inferences a second of all streams. ``work`` adds up what share of its pace alone each
    stream kept: as many as there are streams when they do not disturb each other, 1 when they might as well
    take turns. ``fairness`` is Jain's index of those shares, 1 when all are alike.
    """

    streams: list[Stream]
    throughput: float
    work: float
    fairness: float


class Scenario(Contract):
    """Which way the model was driven and what that showed, its essence in ``headline``.

    A single stream has nothing to add to its latencies. Otherwise, where there are no figures, ``reason``
    says why.
    """

    kind: str
    headline: str | None = None
    remarks: list[str] = Field(default=[])
    reason: str | None = None
    paced: Paced | None = None
    sustained: Sustained | None = None
    batches: list[Batch] | None = None
    multi_stream: MultiStream | None = None
