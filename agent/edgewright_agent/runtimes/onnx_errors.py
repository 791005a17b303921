"""ONNX Runtime's exceptions, and its messages in words."""

import re
from typing import Pattern, Tuple, Type

from ..failure import AgentFailure

_WITHOUT = "export the model without it, or install a runtime build that has it"
_OLDER = "export it for an older version, or install a newer runtime"

#: What to look for, what it means, and its mend; groups of the pattern fill the words.
_MEANINGS: Tuple[Tuple[Pattern[str], str, str], ...] = (
    (
        re.compile(r"Fatal error: :?(?P<op>[\w.]*:?\w+)\(-?\d+\) is not a registered function/op"),
        "has no operator {op}",
        _WITHOUT,
    ),
    (
        re.compile(
            r'In Node, \("[^"]*", (?P<op>[^,]+), "(?P<domain>[^"]*)".*Error No opset import for domain',
            re.DOTALL,
        ),
        "has no operator {domain}:{op}: the model does not import its domain",
        _WITHOUT,
    ),
    (re.compile(r"No Op registered for (?P<op>\w+)"), "has no operator {op}", _WITHOUT),
    (
        re.compile(r"(?P<domain>[\w.]+) is not a registered (?:domain|opset)"),
        "has no domain {domain}",
        _WITHOUT,
    ),
    (
        re.compile(r"Could not find an implementation for (?P<op>[\w.:]+)\((?P<version>\d+)\)"),
        "has no kernel for {op} (version {version}) with this model's number types",
        "export the model with other number types",
    ),
    (
        re.compile(r"Unsupported model IR version: (?P<has>\d+), max supported IR version: (?P<most>\d+)"),
        "reads IR versions up to {most}, this model has {has}",
        _OLDER,
    ),
    (
        re.compile(
            r"Opset (?P<has>\d+) is under development.*"
            r"official support for domain (?P<domain>\S+) is till opset (?P<most>\d+)",
            re.DOTALL,
        ),
        "knows opset {domain} up to version {most}, this model has {has}",
        _OLDER,
    ),
)
_INVALID = (
    "Protobuf parsing failed",
    "INVALID_PROTOBUF",
    "Missing opset in the model",
    "ModelProto does not have a graph",
)
_NO_MEMORY = ("bad_alloc", "Failed to allocate memory")
#: The code, the path in the job's folder, and the place in onnxruntime's own source.
_NOISE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"|Load model from \S.*? failed: ?"
    r"|\S*onnxruntime/\S+:\d+ \S.*?\) (?=[A-Z])"
)
_MOST = 500


def refusals() -> Tuple[Type[Exception], ...]:
    """What onnxruntime raises: its own classes share no public base, so they are gathered by name."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [
        value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    return (*own, RuntimeError, ValueError, IndexError)


def explain(version: str, text: str) -> AgentFailure:
    """onnxruntime's message as one sentence in words."""
    if any(sign in text for sign in _NO_MEMORY):
        return AgentFailure("out-of-memory", f"onnxruntime could not allocate memory: {_short(text)}")
    if any(sign in text for sign in _INVALID):
        return AgentFailure("invalid-model", "not a valid ONNX file: truncated, or another format")
    for pattern, meaning, mend in _MEANINGS:
        match = pattern.search(text)
        if match:
            said = meaning.format(**{key: value or "" for key, value in match.groupdict().items()})
            return AgentFailure("model-rejected", f"onnxruntime {version} {said}", mend)
    return AgentFailure("model-rejected", f"onnxruntime {version} refused the model: {_short(text)}")


def _short(text: str) -> str:
    return _NOISE.sub("", " ".join(text.split()))[:_MOST]
