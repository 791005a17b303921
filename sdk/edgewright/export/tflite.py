"""torch -> TFLite by litert-torch, which the extra ``tflite`` brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.boundary import foreign
from edgewright.errors import ExportError, UnsupportedError
from edgewright.files import replacing

from . import Request, argument_names

if TYPE_CHECKING:
    import torch

INSTALL = "pip install 'edgewright[tflite]'"
_NARROWED = {"int64": "int32", "float64": "float32"}


class TfliteExporter:
    """Writes one ``.tflite`` file with fixed shapes and a signature named ``serving_default``."""

    def export(self, request: Request, out: Path) -> tuple[str, ...]:
        """See :class:`edgewright.export.Exporter`."""
        convert = _converter()
        names = argument_names(request.module, len(request.example_inputs))
        notes = _narrowed(request.example_inputs, names)
        with foreign(ExportError, "litert_torch.convert"), replacing(out) as temporary:
            if names:
                edge = convert(
                    request.module, sample_kwargs=dict(zip(names, request.example_inputs, strict=True))
                )
            else:
                edge = convert(request.module, request.example_inputs)
            edge.export(str(temporary))
        return notes

    def input_types(self, path: Path) -> tuple[str, ...]:
        """See :class:`edgewright.export.Exporter`."""
        import numpy as np

        details = open_interpreter(path).get_input_details()
        return tuple(np.dtype(detail["dtype"]).name for detail in details)


def open_interpreter(path: Path) -> Any:
    """The runtime's interpreter of a file, nothing allocated.

    Raises:
        UnsupportedError: when the extra is not installed.
        ExportError: when the file is refused.
    """
    with foreign(ExportError, f"{path.name}: cannot be read as TFLite"):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UnsupportedError("TFLite needs ai-edge-litert", mend=INSTALL) from error
        return Interpreter(model_path=str(path))


def _converter() -> Any:
    with foreign(ExportError, "import litert_torch"):
        try:
            import litert_torch
        except ImportError as error:
            raise UnsupportedError(f"TFLite needs litert-torch: {error}", mend=INSTALL) from error
        return litert_torch.convert


def _narrowed(inputs: tuple[torch.Tensor, ...], names: tuple[str, ...] | None) -> tuple[str, ...]:
    """One note for each input whose 64-bit type the format's runtimes do not take."""
    notes = []
    for number, tensor in enumerate(inputs):
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind in _NARROWED:
            name = names[number] if names else str(number)
            notes.append(f"input {name} is {_NARROWED[kind]} in the file, {kind} in torch")
    return tuple(notes)
