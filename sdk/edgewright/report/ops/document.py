"""The profile as data: what ``profile-ops --json`` writes and its renderers read (docs/profile-ops.md).

Fields may be added under the same schema version. What was not measured is null, with its reason beside it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA: Literal["edgewright.ops/1"] = "edgewright.ops/1"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, serialize_by_alias=True)


class Node(_Model):
    """One node: ``ms`` is the median over the profiled inferences, null where the runtime tells no times.

    ``numbers`` is what a computing node multiplies, such as ``float32`` or ``uint8 x int8``.
    """

    name: str
    op_type: str
    family: str
    provider: str
    calls: int
    ms: float | None
    share: float | None
    numbers: str | None
    inputs: list[str]
    outputs: list[str]


class Total(_Model):
    """Nodes of one kind: an operator on one provider, or a family of operators."""

    name: str
    provider: str | None
    nodes: int
    calls: int
    ms: float | None
    share: float | None


class Provider(_Model):
    """Nodes one provider executes, and their time."""

    name: str
    nodes: int
    share: float
    ms: float | None


class Times(_Model):
    """Milliseconds: an inference without profiling, one with it, and the nodes' times together; medians.

    ``profiling_cost`` is by what share profiling made the inference longer; ``disturbed`` says how these
    figures contradict each other, null when they do not.
    """

    plain: float
    plain_count: int
    profiled: float
    nodes: float
    runs: int
    profiling_cost: float
    disturbed: str | None


class Side(_Model):
    """One model as it was profiled."""

    label: str
    sha256: str
    size_bytes: int
    format: str
    runtime: str
    runtime_version: str
    threads: int
    plain_ms: float
    times_ms: Times | None
    times_reason: str | None
    providers_asked: list[str]
    providers: list[Provider]
    providers_method: str
    families: list[Total]
    op_types: list[Total]
    nodes: list[Node]
    unlisted_nodes: int
    notes: list[str]


class FamilyPair(_Model):
    """A family in both models; null where a model has no node of it."""

    family: str
    baseline_ms: float | None
    candidate_ms: float | None
    change_ms: float


class NodePair(_Model):
    """A convolution or matrix product of both models, matched by order and sizes; null without a match."""

    family: str
    baseline: Node | None
    candidate: Node | None
    ratio: float | None


class Comparison(_Model):
    """A model against the first one. ``ratio`` is its latency in parts of the first's."""

    baseline: str
    candidate: str
    ratio: float
    answer: list[str]
    families: list[FamilyPair]
    pairs: list[NodePair]


class DeviceFacts(_Model):
    """The device. ``features`` are those of its processor that decide how fast small numbers are."""

    name: str
    profile: str
    board: str
    cpu_model: str
    machine: str
    cpu_count: int
    features: list[str]


class OpsDocument(_Model):
    """A whole profile."""

    schema_: Literal["edgewright.ops/1"] = Field(alias="schema")
    generator: str
    created_at: str
    device: DeviceFacts
    sides: list[Side]
    comparisons: list[Comparison]
