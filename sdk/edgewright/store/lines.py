"""Results as lines of JSON: what such a file looks like, and reading one that anybody may have written.

The first line says what the file is, ``{"edgewright": "store/1", ...}``; each other one is a run,
``{"run": {...}}``, or a row of the run before it, ``{"row": {"run_id", "position", "key", "body": {...}}}``.
Every line is bounded, and decoded before anything is made of it.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgewright.errors import ConfigError
from edgewright.row import Row

from .rowcodec import row_from_json

FORMAT = "store/1"
#: No row is longer: one of a million samples in each of eight launches takes some 100 MB.
LONGEST_LINE = 1 << 29
_RUN_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class RunLine(_Strict):
    """A run as a line."""

    run_id: str = Field(max_length=32)
    name: str = Field(max_length=10_000)
    preset: str = Field(max_length=1000)
    plan_text: str = Field(max_length=1 << 22)
    started_at: str = Field(max_length=40)
    finished_at: str | None = Field(max_length=40)
    version: str = Field(max_length=40)
    project_commit: str = Field(default="", max_length=80)
    is_baseline: bool = False


@dataclass(frozen=True)
class RowLine:
    """A row as a line, decoded."""

    run_id: str
    position: int
    key: str
    row: Row


Line = RunLine | RowLine


def read_lines(path: Path, *, is_gzip: bool) -> Iterator[tuple[str, Line]]:
    """The lines of a file, checked and decoded, each with where it stands.

    Raises:
        ConfigError: a line is not what it should be.
    """
    with ExitStack() as stack:
        stream: Any = stack.enter_context(path.open("rb"))
        if is_gzip:
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
        try:
            yield from _decoded(stream)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ConfigError(f"{path}: the file is damaged: {error}") from None
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from None


def _decoded(stream: IO[bytes]) -> Iterator[tuple[str, Line]]:
    for number, data in enumerate(_objects(stream), start=1):
        where = f"line {number}"
        if number == 1:
            if data.get("edgewright") != FORMAT:
                raise ValueError(f"not results in lines of format {FORMAT!r}")
        elif "run" in data:
            yield where, run_line(data["run"], where)
        elif "row" in data:
            yield where, _row_line(data["row"], where)
        else:
            raise ValueError(f"{where}: neither a run nor a row")


def _objects(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise ValueError(f"line {number}: longer than any row")
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: not JSON: {error}") from None
        if not isinstance(data, dict):
            raise ValueError(f"line {number}: not an object")
        yield data
    if not number:
        raise ValueError(f"not results in lines of format {FORMAT!r}: it is empty")


def run_line(data: object, where: str) -> RunLine:
    """A run as it was said to be.

    Raises:
        ValueError: it is none; the message says where.
    """
    try:
        run = RunLine.model_validate(data)
        for moment in (run.started_at, run.finished_at):
            if moment is not None and datetime.fromisoformat(moment).tzinfo is None:
                raise ValueError(f"{moment!r} lacks its time zone")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{where}: run.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not _RUN_ID.fullmatch(run.run_id):
        raise ValueError(f"{where}: {run.run_id!r} is no id of a run")
    return run


def _row_line(data: object, where: str) -> RowLine:
    if not isinstance(data, dict) or not isinstance(data.get("body"), dict):
        raise ValueError(f"{where}: a row without a body")
    run_id, position, key = data.get("run_id"), data.get("position"), data.get("key", "")
    fits = isinstance(run_id, str) and type(position) is int and 0 <= position < 1 << 31
    if not fits or not isinstance(key, str) or len(key) > 1000:
        raise ValueError(f"{where}: a row without a run, a position or a key")
    assert isinstance(run_id, str) and isinstance(position, int)
    try:
        row = row_from_json(json.dumps(data["body"]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: {error}") from None
    return RowLine(run_id, position, key, row)
