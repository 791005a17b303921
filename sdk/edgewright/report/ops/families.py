"""What nodes do, whatever number type they do it in: so that float and integer models can be compared."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from importlib import resources

_NAMES: dict[str, list[str]] = tomllib.loads(
    (resources.files(__package__ or "") / "operators.toml").read_text(encoding="utf-8")
)
_FAMILY = {name: family for family, names in _NAMES.items() for name in names}

OTHER = "other"
RESCALE = "rescale"

#: Where arithmetic happens: what a number type makes faster or slower.
COMPUTE = ("convolution", "matrix product", "attention, recurrence")
#: What only numbers of another type ask for.
CONVERSION = ("quantize", "dequantize", RESCALE)

#: The order in which families are shown.
ORDER = (*COMPUTE, *CONVERSION, *(name for name in (*_NAMES, OTHER) if name not in (*COMPUTE, *CONVERSION)))

#: Operators whose integer results come out in 32 bits and must be scaled afterwards.
_UNSCALED = frozenset({"ConvInteger", "MatMulInteger"})
_SCALING = ("_scales_mul", "_output_scale_mul")
_INTEGER_8 = ("int8", "uint8")
_TENSOR = re.compile(r"(?P<dtype>\w+)\[(?P<sizes>[\d x]*)\]")


def family(op_type: str, name: str, inputs: Sequence[str], *, is_unscaled: bool) -> str:
    """The family of a node.

    Args:
        op_type: its operator.
        name: its own.
        inputs: its inputs, written ``float32[1x3]``.
        is_unscaled: whether the model has operators that leave their results to be scaled: then a cast from
            32-bit integers is that scaling, and so is a product with a single number, or one that ONNX
            Runtime's quantizer named as such.
    """
    if is_unscaled and op_type == "Cast" and dtype(inputs[0] if inputs else "") == "int32":
        return RESCALE
    if is_unscaled and op_type == "Mul" and ("float32[]" in inputs or name.endswith(_SCALING)):
        return RESCALE
    return _FAMILY.get(op_type, OTHER)


def leaves_unscaled(op_types: Sequence[str]) -> bool:
    """Whether a model with these operators scales integer results in nodes of their own."""
    return not _UNSCALED.isdisjoint(op_types)


def dtype(tensor: str) -> str:
    """``float32`` of ``float32[1x3]``; empty when it is not told."""
    return tensor.partition("[")[0]


def sizes(tensor: str) -> tuple[int, ...]:
    """The sizes that are not 1, in ascending order: the same whatever the memory layout."""
    match = _TENSOR.fullmatch(tensor)
    found = [int(part) for part in match["sizes"].split("x") if part.strip()] if match else []
    return tuple(sorted(size for size in found if size != 1))


def numbers(op_type: str, inputs: Sequence[str]) -> str:
    """What a computing node multiplies: ``float32``, or activations by weights such as ``uint8 x int8``."""
    first = dtype(inputs[0]) if inputs else ""
    narrow = [dtype(text) for text in inputs if dtype(text) in _INTEGER_8]
    if op_type in ("DynamicQuantizeMatMul", "DynamicQuantizeLSTM"):
        return f"uint8 x {narrow[-1]}" if narrow else "uint8 x ?"
    if first not in _INTEGER_8:
        return first or "?"
    if op_type.startswith("QLinear") or op_type == "QGemm":
        # x and its zero point, then the weights, which the runtime may have packed away, or their zero point
        return f"{first} x {narrow[2]}" if len(narrow) > 2 else first
    return f"{first} x {narrow[-1]}" if len(narrow) > 1 else first


def is_integer(text: str) -> bool:
    """Whether :func:`numbers` names 8-bit integers."""
    return text.startswith(_INTEGER_8)
