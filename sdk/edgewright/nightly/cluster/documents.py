"""What a farm and its workers say to each other: JSON documents, every field of which is checked.

No object of Python's travels, so nothing that arrives can be more than what is declared here. Rows are in
the store's own format, plans in that of the plan file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, field
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from edgewright import __version__
from edgewright.artifact import ExportParity, Provenance, Quality
from edgewright.config import STRICT
from edgewright.errors import TransportError
from edgewright.farm.group import Ended
from edgewright.farm.plan import Plan
from edgewright.farm.prepared import Asked
from edgewright.nightly.orders import GroupReport, Health
from edgewright.row import Cell, Failed, Skipped
from edgewright.store.rowcodec import row_from_json, row_to_json
from edgewright_agent.protocol import SignedManifest, Tolerance

T = TypeVar("T")

#: The longest document: rows hold every raw sample.
MOST_BYTES = 256 << 20

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[^/\\\x00]{1,255}$")]
#: Of a device, as farm files know it.
Device = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


@dataclass(frozen=True, config=STRICT)
class Blob:
    """A file by its content, with the name it has for a runtime."""

    sha256: Sha256
    name: Name
    size_bytes: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=STRICT)
class Built:
    """An artifact whose files are elsewhere; ``files`` says for what each is, ``extra`` is external data."""

    format: str
    sha256: Sha256
    size_bytes: int
    files: dict[str, Blob]
    extra: tuple[Blob, ...] = ()
    parity: ExportParity | None = None
    quality: Quality | None = None
    provenance: Provenance | None = None
    tolerance: Tolerance | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    signed: SignedManifest | None = None
    notes: tuple[str, ...] = ()

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every file."""
        return (*self.files.values(), *self.extra)


@dataclass(frozen=True, config=STRICT)
class Place:
    """A device as a farm knows it: how to reach it is its site's business."""

    device: Device
    profile: str
    site: str


@dataclass(frozen=True, config=STRICT)
class Job:
    """A run, and what it measures; ``version`` is the farm's Edgewright."""

    run_id: Annotated[str, Field(pattern="^[0-9A-Za-z-]{1,32}$")]
    plan: Plan
    asked: Asked
    places: tuple[Place, ...]
    is_resumed: bool = False
    given_up: str = ""
    version: str = __version__


@dataclass(frozen=True, config=STRICT)
class TaskLine:
    """A cell of the run; ``built`` is its file, once there is one."""

    key: str
    cell: Cell
    built: Built | None = None


@dataclass(frozen=True, config=STRICT)
class EndedLine:
    """A cell that has ended. ``row`` is the row; of one that is only to be forgotten, whether it failed."""

    key: str
    job_ids: tuple[str, ...]
    row: str = ""
    has_failed: bool = False


@dataclass(frozen=True, config=STRICT)
class Order:
    """One thing to do.

    Attributes:
        number: the same when it is given again, to the same worker or another.
        kind: ``build``, ``measure``, ``forget``, ``check`` or ``leave``.
        device: where, or for whose profile.
        tasks: the cells.
        ended: what is to be forgotten.
        cycle: whether the device's power is cycled first.
    """

    number: str
    kind: str
    device: Device
    tasks: tuple[TaskLine, ...] = ()
    ended: tuple[EndedLine, ...] = ()
    cycle: bool = False


@dataclass(frozen=True, config=STRICT)
class Report:
    """What became of an order; what is not of its kind is empty. ``refused`` says why it was not done."""

    refused: str = ""
    failed: Failed | None = None
    skipped: Skipped | None = None
    built: Built | None = None
    ended: tuple[EndedLine, ...] = ()
    unopened: Failed | None = None
    seconds: float = 0.0
    health: Health | None = None


def group_report(report: Report) -> GroupReport:
    """As the farm takes it.

    Raises:
        ValueError: a row is none.
    """
    ended = (Ended(line.key, row_from_json(line.row), line.job_ids) for line in report.ended)
    return GroupReport(tuple(ended), report.unopened, report.seconds)


def of_group(report: GroupReport) -> Report:
    """As it travels."""
    lines = (EndedLine(one.key, one.job_ids, row_to_json(one.row)) for one in report.ended)
    return Report(ended=tuple(lines), unopened=report.unopened, seconds=report.seconds)


def pack(document: Any) -> bytes:
    """A document as JSON. Numbers that are none keep their value, characters that are none become ``?``."""
    return json.dumps(asdict(document), ensure_ascii=False).encode("utf-8", "replace")


def unpack(kind: type[T], data: object, where: str) -> T:
    """The document.

    Raises:
        TransportError: it is not what it should be; ``where`` says from whom it is.
    """
    if not isinstance(data, bytes) or len(data) > MOST_BYTES:
        raise TransportError(where, f"not a document, or longer than {MOST_BYTES >> 20} MiB")
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise TransportError(where, f"not a document as expected: {place}: {first['msg']}") from None
