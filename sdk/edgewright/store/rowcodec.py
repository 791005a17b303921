"""A row as JSON text and back, without loss.

What the device said goes through the protocol's own codec (raw samples packed, everything bounded);
what the host added is checked against its dataclass. The text is pure ASCII, so that whatever
characters a device sends can be stored in any database. Non-finite host figures keep their value.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edgewright.artifact import Quality
from edgewright.row import ArtifactInfo, Cell, Failed, Measured, Outcome, Row, Skipped
from edgewright_agent.protocol import Device, RunResult, WireError, decode, encode

#: Version of the JSON below; a change of shape needs a migration that rewrites stored rows.
ROW_FORMAT = 1

_TEXTS = TypeAdapter(tuple[str, ...])
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}

T = TypeVar("T")


def row_to_json(row: Row) -> str:
    """The row with its raw samples, as one line of ASCII."""
    return json.dumps(
        {
            "format": ROW_FORMAT,
            "cell": vars(row.cell),
            "outcome": _encode_outcome(row.outcome),
            "preset": row.preset,
            "started_at": row.started_at,
            "artifact": row.artifact and vars(row.artifact),
            "quality": row.quality and vars(row.quality),
            "notes": row.notes,
            "providers": row.providers,
            "scenario": row.scenario,
            "earlier": [_encode_outcome(measured) for measured in row.earlier],
        },
        separators=(",", ":"),
    )


def row_from_json(text: str) -> Row:
    """The very row that was stored.

    Raises:
        ValueError: when the text is not a row of this format; the message says where.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != ROW_FORMAT:
            raise ValueError(f"not a row of format {ROW_FORMAT}")
        return Row(
            cell=_host(Cell, data["cell"]),
            outcome=_decode_outcome(data["outcome"]),
            preset=str(data["preset"]),
            started_at=str(data["started_at"]),
            artifact=None if data["artifact"] is None else _host(ArtifactInfo, data["artifact"]),
            quality=None if data["quality"] is None else _host(Quality, data["quality"]),
            notes=_TEXTS.validate_python(data["notes"]),
            providers=_TEXTS.validate_python(data["providers"]),
            scenario=str(data.get("scenario", "single-stream")),
            earlier=tuple(_decode_measured(item) for item in data.get("earlier", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"row lacks {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"row.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except WireError as error:
        raise ValueError(str(error)) from None


def quality_from_json(text: str) -> Quality | None:
    """The quality of a stored row, without looking at the rest of it.

    Raises:
        ValueError: when the text is not a row of this format.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != ROW_FORMAT:
            raise ValueError(f"not a row of format {ROW_FORMAT}")
        return None if data["quality"] is None else _host(Quality, data["quality"])
    except KeyError as error:
        raise ValueError(f"row lacks {error}") from None
    except ValidationError as error:
        raise ValueError(f"row.quality: {error.errors(include_url=False)[0]['msg']}") from None


def _encode_outcome(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Measured(launches, device):
            return {"kind": "measured", "launches": encode(launches), "device": encode(device)}
        case Failed():
            return {"kind": "failed", **vars(outcome)}
        case Skipped():
            return {"kind": "skipped", **vars(outcome)}


def _decode_outcome(data: dict[str, Any]) -> Outcome:
    fields = dict(data)
    match fields.pop("kind"):
        case "measured":
            return _decode_measured(fields)
        case "failed":
            return _host(Failed, fields)
        case "skipped":
            return _host(Skipped, fields)
        case kind:
            raise ValueError(f"unknown outcome {kind!r}")


def _decode_measured(fields: dict[str, Any]) -> Measured:
    launches = tuple(decode(RunResult, item, f"launch {i}") for i, item in enumerate(fields["launches"]))
    return Measured(launches, decode(Device, fields["device"]))


def _host(kind: type[T], data: Any) -> T:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)  # making one takes longer than its use
    found: T = _ADAPTERS[kind].validate_python(data)
    return found
