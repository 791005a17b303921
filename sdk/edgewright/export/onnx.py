"""torch -> ONNX by torch's own exporter, then simplified, tidied and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.boundary import foreign
from edgewright.errors import ExportError, UnsupportedError
from edgewright.files import write_atomic

from . import Request, argument_names

if TYPE_CHECKING:
    import onnx

#: The exporter's native set: asked for an older one it may keep 18 without failing.
OPSET = 18
_PROTOBUF_LIMIT = 2**31 - 1


class OnnxExporter:
    """Writes one self-contained ``.onnx`` file with fixed shapes."""

    def export(self, request: Request, out: Path) -> tuple[str, ...]:
        """See :class:`edgewright.export.Exporter`."""
        names = argument_names(request.module, len(request.example_inputs))
        with foreign(ExportError, "torch.onnx.export"):
            import torch

            program = torch.onnx.export(
                request.module,
                request.example_inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(names) if names else None,
                output_names=list(request.output_names),
                verbose=False,
            )
            assert program is not None
            model = program.model_proto
        written = {entry.domain: entry.version for entry in model.opset_import}
        if written.get("", 0) != OPSET:
            raise ExportError(f"torch.onnx.export wrote opset {written.get('')}, not the {OPSET} asked for")
        model = simplify(model)
        outputs = [value.name for value in model.graph.output]
        if len(model.graph.input) != len(request.example_inputs) or outputs != list(request.output_names):
            raise ExportError(
                f"the exported graph has {len(model.graph.input)} inputs and outputs {outputs}, forward has"
                f" {len(request.example_inputs)} and {list(request.output_names)}"
            )
        write_model(model, out)
        return ()

    def input_types(self, path: Path) -> tuple[str, ...]:
        """See :class:`edgewright.export.Exporter`."""
        import onnx

        model = onnx.load(str(path), load_external_data=False)
        kinds = [value.type.tensor_type.elem_type for value in model.graph.input]
        return tuple(onnx.helper.tensor_dtype_to_np_dtype(kind).name for kind in kinds)


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold and fuse with onnxslim, then take out what differs between machines and runs."""
    from .onnx_tidy import pool_for_mean, strip

    inputs = list(model.graph.input)
    with foreign(ExportError, "onnxslim"):
        import onnxslim

        slim: onnx.ModelProto = onnxslim.slim(model)
    del slim.graph.input[:]
    slim.graph.input.extend(inputs)  # onnxslim takes out those that the graph does not use
    pool_for_mean(slim)
    strip(slim)
    return slim


def write_model(model: onnx.ModelProto, out: Path) -> None:
    """Check and write one file.

    Raises:
        ExportError: when ONNX's checker refuses it.
        UnsupportedError: beyond the 2 GB that a single ONNX file can hold.
    """
    import onnx

    if model.ByteSize() > _PROTOBUF_LIMIT:
        raise UnsupportedError("the model is over 2 GB, which one ONNX file cannot hold")
    with foreign(ExportError, "onnx.checker"):
        onnx.checker.check_model(model, full_check=True)
    write_atomic(out, model.SerializeToString(deterministic=True))
