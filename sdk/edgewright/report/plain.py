"""JSON and CSV: the report for other programs."""

from __future__ import annotations

import csv
import io
import json
import re

from pydantic import BaseModel

from .document import ReportDocument, Row

#: A spreadsheet takes a text that begins so for a formula; an apostrophe in front makes it text again.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: An array of integers over several lines; inside a JSON string there is no bare line break to match.
_INTEGERS = re.compile(r"\[\n(?:\s*-?\d+,?\n)+\s*\]")
_COLUMNS = (
    "workload",
    "recipe",
    "device",
    "profile",
    "runtime",
    "runtime_version",
    "provider",
    "threads",
    "preset",
    "started_at",
    "outcome",
    "reason",
    "error_code",
    "verdict.status",
    "verdict.evidence",
    "emulated",
    *(f"latency_ms.{name}" for name in ("p50", "p90", "p95", "p99", "mean", "min", "max", "count")),
    "latency_ms.interval.low",
    "latency_ms.interval.high",
    *(f"phases_ms.{name}" for name in ("load", "first", "warmup")),
    *(
        f"memory_bytes.{name}"
        for name in ("baseline", "loaded", "peak", "model_loaded", "model_peak", "pss", "arena", "device")
    ),
    *(f"energy_mj.{name}" for name in ("gross", "net", "gross_uncertainty", "sensor", "scope")),
    "energy_reason",
    "scenario.kind",
    "scenario.headline",
    "scenario.reason",
    *(
        f"scenario.paced.{name}"
        for name in ("rate_hz", "deadline_ms", "arrivals", "miss_rate", "miss_rate_high")
    ),
    "scenario.paced.response_ms.p50",
    "scenario.paced.response_ms.p90",
    "scenario.paced.idle_gap.value",
    *(
        f"scenario.sustained.{name}"
        for name in ("minutes", "throttled_after_s", "first_minute_ms", "steady_ms")
    ),
    "scenario.sustained.slowdown.value",
    *(f"scenario.multi_stream.{name}" for name in ("throughput", "work", "fairness")),
    "parity.cosine",
    "parity.max_abs",
    "parity_reason",
    *(f"quality.{name}" for name in ("metric", "value", "baseline", "samples")),
    "quality_reason",
    "artifact.sha256",
    "artifact.size_bytes",
    "artifact.format",
    "notes",
)


def render_json(document: BaseModel) -> str:
    """The document itself; a report as ``docs/report.schema.json`` describes it."""
    text = json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    return _INTEGERS.sub(lambda match: " ".join(match.group().split()), text) + "\n"


def render_csv(document: ReportDocument) -> str:
    """One line a row under dotted names of the JSON fields; what is null there is empty here."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in document.rows:
        writer.writerow([_cell(row, column) for column in _COLUMNS])
    return stream.getvalue()


def _cell(row: Row, column: str) -> str:
    value: object = row
    for name in column.split("."):
        value = getattr(value, name, None)
    if value is None:
        return ""
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return repr(value) if isinstance(value, float) else str(value)
