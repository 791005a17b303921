"""TFLite: ai-edge-litert, or its predecessor tflite-runtime. Same interpreter, same Python interface."""

import re
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..arrays import Arrays
from ..failure import AgentFailure
from ..protocol import Execution, SessionInfo, TensorSpec

_XNNPACK = "XNNPACK"
_CPU = "CPU"
_UNKNOWN_OPERATOR = re.compile(r"unresolved custom op: (?P<op>[\w.:/-]+)")
_UNKNOWN_VERSION = re.compile(r"Didn't find op for builtin opcode '(?P<op>\w+)' version '(?P<version>\d+)'")
_ERRORS = (ValueError, RuntimeError, TypeError)


def open_runtime(name: str) -> "TfliteRuntime":
    """Import the interpreter, or say why it cannot be."""
    try:
        if name == "ai-edge-litert":
            import ai_edge_litert.interpreter as module
        else:
            import tflite_runtime.interpreter as module
    except (ImportError, OSError, AttributeError) as error:
        old = name == "tflite-runtime" and np.__version__.split(".")[0] != "1"
        mend = "it needs numpy<2 on the device" if old else f"pip install {name} on the device"
        reason = f"numpy {np.__version__} is too new for it" if old else str(error)
        raise AgentFailure("missing-runtime", f"{name} cannot be imported: {reason}", mend) from error
    return TfliteRuntime(name, _version(name), module)


class TfliteRuntime:
    """The imported interpreter module; sessions come from :meth:`load`."""

    def __init__(self, name: str, version: str, module: Any) -> None:
        self.name = name
        self.version = version
        self.module = module

    def load(self, path: str, execution: Execution, shapes: Mapping[str, Sequence[int]]) -> "TfliteSession":
        """Build the interpreter with its default delegate (XNNPACK) unless only ``CPU`` is asked for."""
        providers = list(execution.providers) or [_XNNPACK, _CPU]
        for provider in providers:
            if provider not in (_XNNPACK, _CPU):
                raise AgentFailure(
                    "provider-missing",
                    f"{self.name} has no delegate {provider}",
                    f"it has {_XNNPACK} and {_CPU}",
                )
        resolvers = self.module.OpResolverType
        resolver = resolvers.AUTO if _XNNPACK in providers else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            interpreter = self.module.Interpreter(
                model_path=path, num_threads=execution.threads, experimental_op_resolver_type=resolver
            )
            session = TfliteSession(self, interpreter, execution)
            session.resize(shapes)
        except _ERRORS as error:
            raise self.explain(str(error)) from error
        return session

    def explain(self, text: str) -> AgentFailure:
        """The interpreter's message as one sentence in words."""
        custom = _UNKNOWN_OPERATOR.search(text)
        if custom:
            return AgentFailure(
                "model-rejected",
                f"{self.name} {self.version} has no operator {custom.group('op')}",
                "export the model without it, or install a runtime build that has it",
            )
        newer = _UNKNOWN_VERSION.search(text)
        if newer:
            return AgentFailure(
                "model-rejected",
                f"{self.name} {self.version} has no version {newer.group('version')} of {newer.group('op')}",
                "use a newer runtime",
            )
        if "model identifier" in text or "Could not open" in text or "not a valid" in text or "mmap" in text:
            return AgentFailure("invalid-model", "not a valid TFLite file: truncated, or another format")
        return AgentFailure("model-rejected", f"{self.name} {self.version} refused the model: {text[:500]}")


class TfliteSession:
    """An interpreter. Only ``invoke`` is timed: tensors are set once."""

    def __init__(self, runtime: TfliteRuntime, interpreter: Any, execution: Execution) -> None:
        self._runtime = runtime
        self._interpreter = interpreter
        self._threads = execution.threads
        self._details: List[Dict[str, Any]] = interpreter.get_input_details()
        self.inputs: Tuple[TensorSpec, ...] = tuple(_spec(detail) for detail in self._details)
        self._output_details: List[Dict[str, Any]] = interpreter.get_output_details()
        self.invoke: Callable[[], object] = interpreter.invoke

    def resize(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Give dynamic axes the sizes asked for, then allocate."""
        for spec, detail in zip(self.inputs, self._details):
            given = shapes.get(spec.name)
            if given is not None and list(detail["shape"]) != list(given):
                self._interpreter.resize_tensor_input(detail["index"], list(given), strict=True)
        self._interpreter.allocate_tensors()

    def bind(self, inputs: Mapping[str, Any]) -> None:
        """Copy the inputs into the interpreter's tensors, resizing those whose dynamic axes differ."""
        try:
            self.resize({name: value.shape for name, value in inputs.items()})
            for detail, spec in zip(self._details, self.inputs):
                self._interpreter.set_tensor(detail["index"], inputs[spec.name])
        except _ERRORS as error:
            raise self._runtime.explain(str(error)) from error

        run, explain = self._interpreter.invoke, self._runtime.explain

        def invoke() -> None:
            try:
                run()
            except _ERRORS as error:
                raise explain(str(error)) from error

        self.invoke = invoke

    def outputs(self) -> Arrays:
        """Copies of the output tensors by name; a name that stands twice gets its index."""
        named: Dict[str, Any] = {}
        for spec, detail in zip(_unique(self._output_details), self._output_details):
            named[spec.name] = np.array(self._interpreter.get_tensor(detail["index"]))
        return named

    def info(self) -> SessionInfo:
        """XNNPACK is named only when the delegate really took nodes of this graph."""
        taken = self._delegated()
        return SessionInfo(
            runtime=self._runtime.name,
            version=self._runtime.version,
            providers=(_XNNPACK, _CPU) if taken else (_CPU,),
            threads=self._threads,
            inputs=self.inputs,
            outputs=tuple(_unique(self._output_details)),
        )

    def _delegated(self) -> bool:
        return any(op["op_name"] == "DELEGATE" for op in self._interpreter._get_ops_details())


def _unique(details: Sequence[Mapping[str, Any]]) -> List[TensorSpec]:
    specs: List[TensorSpec] = []
    for position, detail in enumerate(details):
        spec = _spec(detail)
        taken = any(other.name == spec.name for other in specs)
        specs.append(TensorSpec(f"{spec.name}:{position}", spec.dtype, spec.shape) if taken else spec)
    return specs


def _spec(detail: Mapping[str, Any]) -> TensorSpec:
    signature = detail.get("shape_signature")
    shape = detail["shape"] if signature is None or not len(signature) else signature
    dtype = "str" if detail["dtype"] is np.bytes_ else np.dtype(detail["dtype"]).name
    return TensorSpec(str(detail["name"]), dtype, tuple(int(d) if d >= 0 else "?" for d in shape))


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version("ai-edge-litert" if name == "ai-edge-litert" else "tflite-runtime")
    except metadata.PackageNotFoundError:
        return "unknown"
