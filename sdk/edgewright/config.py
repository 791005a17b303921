"""Strict reading of what users write: TOML files whose every key is known.

A key that is not in the schema, a value of another type, or a name that does not exist is a
:class:`~edgewright.errors.ConfigError` of one line with the file, the key, what was expected and
the nearest name. Schemas are frozen pydantic dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from .errors import ConfigError

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")

#: Configuration shared by every schema dataclass: unknown keys and implicit conversions are errors.
STRICT = ConfigDict(extra="forbid", strict=True)

_WORDS = {str: "text", float: "number", int: "whole number", bool: "true or false"}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A mend for a wrong name: the nearest known one, or the list when nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "there are none"


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables, or a ConfigError that names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid TOML: nested too deeply") from None


def load_toml(path: Path, kind: type[T]) -> T:
    """Read ``path`` as one ``kind``."""
    return parse(read_toml(path), kind, str(path))


def user_path(text: str, where: str) -> Path:
    """A path as a person writes it, with a leading ``~`` or ``~user`` made a folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{where}: {text}: there is no such user's home directory") from None


def parse(data: Mapping[str, Any], kind: type[T], where: str) -> T:
    """Validate decoded TOML tables as ``kind``; ``where`` names the file in messages."""
    try:
        return _validate(data, kind)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False)[0], kind, where) from None


def problems(data: Mapping[str, Any], kind: type[Any], where: str) -> tuple[ConfigError, ...]:
    """All that is wrong with ``data`` as ``kind``, one error a key; empty when nothing is."""
    try:
        _validate(data, kind)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return tuple(_explain(one, kind, where) for one in found if not _follows(one, found))
    return ()


def _follows(problem: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """Whether a list is too short only because what is in it was refused."""
    place = problem["loc"]
    return problem["type"] == "too_short" and any(place == o["loc"][: len(place)] != o["loc"] for o in found)


def _validate(data: Mapping[str, Any], kind: type[T]) -> T:
    return TypeAdapter(kind).validate_json(json.dumps(data, default=str))


def _explain(problem: ErrorDetails, kind: type[Any], where: str) -> ConfigError:
    path = [str(part) for part in problem["loc"]]
    key = printable(".".join(path))
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return ConfigError(
            f"{where}: unknown key {key!r}", mend=did_you_mean(path[-1], _keys_at(kind, path[:-1]))
        )
    meant = _members(kind, path if problem["type"] in ("too_long", "tuple_type") else path[:-1])
    if meant and problem["type"] in ("missing", "too_long", "tuple_type"):
        place = path[:-1] if problem["type"] == "missing" else path
        return ConfigError(
            f"{where}: {printable('.'.join(place))}: [{', '.join(meant)}] is meant, got {problem['input']!r}"
        )
    if problem["type"] in ("missing", "missing_argument"):
        return ConfigError(f"{where}: missing key {key!r}")
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    shown = "" if isinstance(given, dict | list) else f", got {given!r}"
    mend = ""
    if problem["type"] == "literal_error" and isinstance(given, str):
        mend = did_you_mean(given, re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    return ConfigError(": ".join(filter(None, (where, key, message))) + shown, mend=mend)


def printable(text: str) -> str:
    """``text`` with what a terminal would act upon written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _keys_at(kind: Any, path: list[str]) -> list[str]:
    """The field names of the dataclass that ``path`` leads to inside ``kind``."""
    kind = _kind_at(kind, path)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _members(kind: Any, path: list[str]) -> list[str]:
    """What a list of a fixed length that ``path`` leads to inside ``kind`` holds, a word each."""
    kind = _kind_at(kind, path)
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is not tuple or ... in arguments:
        return []
    return [_WORDS.get(member, "value") for member in arguments]


def _kind_at(kind: Any, path: list[str]) -> Any:
    """The type that ``path`` leads to inside ``kind``, None where it leads nowhere."""
    for part in path:
        kind = _unwrap(kind)
        if not dataclasses.is_dataclass(kind):
            arguments = typing.get_args(kind)
            kind = arguments[-1] if typing.get_origin(kind) is dict else arguments[0] if arguments else kind
            continue
        hints = typing.get_type_hints(kind)
        if part not in hints:
            return None
        kind = hints[part]
    return _unwrap(kind)


def _unwrap(kind: Any) -> Any:
    """``X`` of ``X | None``."""
    options = [k for k in typing.get_args(kind) if k is not type(None)]
    is_optional = type(None) in typing.get_args(kind)
    return options[0] if is_optional and len(options) == 1 else kind
