"""A study as data: what ``edgewright tune --json`` writes and its page and table are made of.

Described in ``docs/tune.md``. Fields may be added under the same schema version. What was not measured is
null, and ``reason`` says why.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgewright.report.contract import Contract

SCHEMA: Literal["edgewright.study/1"] = "edgewright.study/1"


class Figure(Contract):
    """A figure with the ends of its interval, which are the figure itself where it is known exactly."""

    value: float
    low: float
    high: float


class Score(Contract):
    """The file's score as executed on the host, beside the uncompressed model's."""

    metric: str
    value: float
    baseline: float
    loss: float


class Attempt(Contract):
    """A setting on a device and what became of it.

    Attributes:
        axes: the value of each axis, as text.
        state: ``measured``, or why it was not to the end: ``skipped``, ``failed``, ``collapsed``,
            ``ranked out`` or ``stopped``; ``begun`` when the study was cut short.
        predicted: the cost that was predicted beforehand, in the objective's unit: no measurement.
        is_final: whether the figures are of the measurement beside the other finalists.
        tied_with: positions of settings whose cost cannot be told from this one's and that lose no more; only
            for settings of the front.
    """

    device: str
    position: int
    words: str
    recipe: str
    runtime: str
    threads: int
    axes: dict[str, str]
    origin: str
    state: str
    reason: str
    score: Score | None
    size_bytes: int | None
    sha256: str | None
    latency_ms: Figure | None
    energy_mj: Figure | None
    memory_bytes: int | None
    verdict: str | None
    evidence: str
    predicted: float | None
    is_final: bool
    on_front: bool
    tied_with: list[int]
    breaks: list[str]


class Prediction(Contract):
    """How far predictions were off on measurements that they were not made from, as shares."""

    measurements: int
    median: float
    largest: float


class DeviceAnswer(Contract):
    """The answer for one device.

    Attributes:
        best: position of the setting to ship; null when none keeps the bounds, then ``nearest`` is the one
            that breaks them least and ``binding`` the bound.
        importance: for ``loss`` and the objective, the share of each axis in what decides it; empty where
            there are too few measurements to tell.
    """

    device: str
    profile: str
    sentence: str
    remarks: list[str]
    best: int | None
    nearest: int | None
    binding: str | None
    front: list[int]
    importance: dict[str, dict[str, float]]
    prediction: Prediction | None
    counts: dict[str, int]


class Regret(Contract):
    """What it costs to ship the best setting of one device on another.

    Attributes:
        share: by how much more it costs there than that device's own best; null with ``reason``.
    """

    setting_of: str
    on: str
    words: str
    share: float | None
    reason: str


class StudyInfo(Contract):
    """The study. ``finished_at`` is null while it goes on, or when it was cut short."""

    id: str
    workload: str
    started_at: str
    finished_at: str | None
    version: str
    objective: str
    unit: str
    bounds: list[str]
    trials: int
    preset: str
    final_preset: str
    parent: str


class StudyDocument(Contract):
    """A whole study."""

    schema_: Literal["edgewright.study/1"] = Field(alias="schema")
    generator: str
    study: StudyInfo
    devices: list[DeviceAnswer]
    attempts: list[Attempt]
    regrets: list[Regret]
