"""What is asked of a study, and what became of each setting that it tried; both are kept as JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as schema
from pydantic_core import PydanticSerializationError

from edgewright.config import STRICT
from edgewright.errors import ConfigError, StoreError
from edgewright.report.text import clean
from edgewright.store import StoredTrial

from .bounds import Bounds
from .figures import Built, Objective
from .setting import Setting
from .space import SpaceFile

T = TypeVar("T")

TRIALS = 40
_LONGEST = 600
#: ``begun`` is being built or measured. ``skipped`` cannot exist or breaks a bound before it runs; ``failed``
#: could not be built or run; ``collapsed`` lost too much; ``ranked out`` was not worth measuring by what is
#: known of others; ``stopped`` was given up after its first launch.
State = Literal["begun", "skipped", "failed", "collapsed", "ranked out", "stopped", "measured"]
Origin = Literal["baseline", "warm start", "seed", "predicted", "front", "optuna"]


@schema(frozen=True, config=STRICT)
class Question:
    """What is asked for.

    Attributes:
        workload: ``file.py:factory``.
        trials: settings to try on each device.
        time_budget_s: seconds after which no more are begun; None for any.
        preset, final_preset: the effort of a measurement on the way, and of the last ones.
        warm: settings of another study to begin with, and ``parent`` is that study.
    """

    workload: str
    devices: Annotated[tuple[str, ...], Field(min_length=1)]
    objective: Objective = "latency"
    bounds: Bounds = Bounds()
    trials: Annotated[int, Field(ge=1, le=10_000)] = TRIALS
    time_budget_s: float | None = None
    preset: str = "rapid"
    final_preset: str = "publish"
    space: SpaceFile = SpaceFile()
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    warm: tuple[Setting, ...] = ()
    parent: str = ""

    @property
    def saves_files(self) -> bool:
        """Whether the size of the file matters."""
        return self.objective == "size" or self.bounds.max_size_mb is not None


@schema(frozen=True, config=STRICT)
class Place:
    """Where a measurement's row is: a run, and the row's key in it."""

    run_id: str
    key: str


@schema(frozen=True, config=STRICT)
class Tried:
    """A setting on a device.

    Attributes:
        origin: who proposed it.
        reason: why it was not measured, or not to the end.
        predicted: the cost that was predicted before it was measured, in the objective's unit.
        row: where its measurement is; ``final`` of the one beside the other finalists.
    """

    device: str
    position: int
    setting: Setting
    origin: Origin
    state: State = "begun"
    reason: str = ""
    built: Built | None = None
    predicted: float | None = None
    row: Place | None = None
    final: Place | None = None

    def stored(self) -> StoredTrial:
        """As the store keeps it; a reason may be a device's own words."""
        cell = self.row.key if self.row else ""
        told = replace(self, reason=clean(self.reason, _LONGEST))
        return StoredTrial(self.device, self.position, self.state, cell, to_json(told))


def tried_from(stored: StoredTrial) -> Tried:
    """The very trial that was stored.

    Raises:
        StoreError: it is damaged, or of another version.
    """
    return from_json(stored.body, Tried, f"trial {stored.position} on {stored.device}")


def to_json(value: object) -> str:
    """A question or trial as one line.

    Raises:
        ConfigError: a name in it is no text.
    """
    try:
        return TypeAdapter(type(value)).dump_json(value).decode()
    except PydanticSerializationError as error:
        raise ConfigError(f"a name cannot be kept: {' '.join(str(error).split())}") from None


def from_json(text: str, kind: type[T], what: str) -> T:
    """What :func:`to_json` wrote.

    Raises:
        StoreError: it is damaged, or of another version.
    """
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{what} cannot be read: {where}: {first['msg']}") from None
