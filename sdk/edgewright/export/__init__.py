"""Exporters: a torch module into one file of a format. One module a format, imported when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgewright.config import did_you_mean
from edgewright.errors import UnsupportedError

if TYPE_CHECKING:
    import torch

#: format -> ``module:class``
_EXPORTERS: dict[str, str] = {
    "onnx": "edgewright.export.onnx:OnnxExporter",
    "tflite": "edgewright.export.tflite:TfliteExporter",
}

#: format -> distributions whose versions decide what is written
TOOLS: dict[str, tuple[str, ...]] = {
    "onnx": ("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "numpy"),
    "tflite": ("torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert", "numpy"),
}


@dataclass(frozen=True)
class Request:
    """What to export: a module in evaluation mode, its example inputs and the names of its outputs."""

    module: torch.nn.Module
    example_inputs: tuple[torch.Tensor, ...]
    output_names: tuple[str, ...]


class Exporter(Protocol):
    """Writes one format. Inputs and outputs of the file are in the order of ``forward``'s own."""

    def export(self, request: Request, out: Path) -> tuple[str, ...]:
        """Write ``out``; the notes say what the user should know.

        Raises:
            ExportError: when the module cannot be written in this format.
            UnsupportedError: when the packages that write it are not installed.
        """

    def input_types(self, path: Path) -> tuple[str, ...]:
        """The numpy type names of the file's inputs, in order."""


def exporter(format: str) -> Exporter:
    """The exporter of ``format``.

    Raises:
        UnsupportedError: when there is none.
    """
    if format not in _EXPORTERS:
        raise UnsupportedError(f"unknown format {format!r}", mend=did_you_mean(format, _EXPORTERS))
    module, _, attribute = _EXPORTERS[format].partition(":")
    made: Exporter = getattr(importlib.import_module(module), attribute)()
    return made


def formats() -> tuple[str, ...]:
    """The formats that can be written."""
    return tuple(_EXPORTERS)


def argument_names(module: torch.nn.Module, count: int) -> tuple[str, ...] | None:
    """Names of the first ``count`` positional arguments of ``forward``, or None when it has fewer."""
    import inspect

    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    names = tuple(p.name for p in parameters if p.kind in kinds)[:count]
    return names if len(names) == count else None
