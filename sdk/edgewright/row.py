"""A row: one cell of a plan, and what became of it. Nothing is ever lost: a failure is a row too."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright_agent.protocol import Device, RunResult

from .artifact import Quality


@dataclass(frozen=True)
class Cell:
    """What was asked: one workload, compressed one way, on one device, in one runtime."""

    workload: str
    recipe: str
    device: str
    profile: str
    runtime: str


@dataclass(frozen=True)
class ArtifactInfo:
    """The file that ran."""

    sha256: str
    size_bytes: int
    format: str


@dataclass(frozen=True)
class Measured:
    """It ran. ``launches`` are fresh processes of the same job, raw samples and all."""

    launches: tuple[RunResult, ...]
    device: Device


@dataclass(frozen=True)
class Failed:
    """It should have run and did not. ``code`` is the error's; ``retryable`` says whether again may help."""

    reason: str
    code: str
    retryable: bool = False


@dataclass(frozen=True)
class Skipped:
    """It cannot exist, and why."""

    reason: str


Outcome = Measured | Failed | Skipped


@dataclass(frozen=True)
class Row:
    """A cell with its outcome.

    ``preset`` names the measuring effort, ``scenario`` the way the model was driven; ``notes`` come from the
    build. ``providers`` are the execution providers that were asked for, in order; empty when the choice was
    left to the runtime. ``earlier`` are measurements that were made again because they were not valid, raw
    samples and all.
    """

    cell: Cell
    outcome: Outcome
    preset: str
    started_at: str
    artifact: ArtifactInfo | None = None
    quality: Quality | None = None
    notes: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    earlier: tuple[Measured, ...] = ()
    scenario: str = "single-stream"
