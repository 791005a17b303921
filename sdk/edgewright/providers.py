"""Names of execution providers and delegates, as users write them and as the runtimes know them."""

from __future__ import annotations

from .config import did_you_mean
from .errors import ConfigError

_SUFFIX = "ExecutionProvider"

#: ONNX Runtime's providers, without the word every name ends in.
ONNX = (
    "ACL", "ArmNN", "Azure", "CANN", "CPU", "CUDA", "CoreML", "Dml", "Dnnl", "MIGraphX", "Nnapi",
    "NvTensorRTRTX", "OpenVINO", "QNN", "ROCM", "Rknpu", "Tensorrt", "VSINPU", "VitisAI", "WebGpu", "Xnnpack",
)  # fmt: skip

#: TFLite's, of which all but the first two are libraries of their vendors.
TFLITE = ("XNNPACK", "CPU", "edgetpu", "ArmNN", "QNN")

_ALIASES = {"coral": "edgetpu", "trt": "Tensorrt", "dnnl": "Dnnl", "directml": "Dml"}


def provider_name(text: str, runtime: str) -> str:
    """The runtime's own name for what a user wrote: capitals and ``ExecutionProvider`` may be left out.

    A TFLite delegate may also be the path of its library on the device, and an ONNX Runtime provider that
    is not known here its full name.

    Raises:
        ConfigError: nothing is called so, with the nearest name.
    """
    is_onnx = runtime == "onnxruntime"
    if not text.isprintable() or not text.strip():
        raise ConfigError(f"{text!r} is no provider's name")
    if is_onnx and text.endswith(_SUFFIX) and text != _SUFFIX:
        return text
    if not is_onnx and ("/" in text or ".so" in text):
        return text
    known = {name.lower(): name for name in (ONNX if is_onnx else TFLITE)}
    short = text.lower().removesuffix(_SUFFIX.lower())
    found = known.get(_ALIASES.get(short, short).lower())
    if found is None:
        raise ConfigError(f"no provider of {runtime} is called {text!r}", mend=did_you_mean(short, known))
    return found + _SUFFIX if is_onnx else found
