"""TFLite: ai-edge-litert, or its predecessor tflite-runtime. Same interpreter, same Python interface."""

import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..arrays import Arrays
from ..failure import AgentFailure
from ..feeds import Feeds, Shape
from ..protocol import Execution, OpsPlan, OpsProfile, Placement, SessionInfo, TensorSpec
from . import tflite_delegates as delegates

_UNKNOWN_OPERATOR = re.compile(r"unresolved custom op: (?P<op>[\w.:/-]*\w)")
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

    def load(self, path: str, execution: Execution, feeds: Feeds) -> "TfliteSession":
        """Build the interpreter with the delegates asked for; XNNPACK, its own, unless others are named."""
        chosen = delegates.choose(self.module, execution)
        try:
            interpreter, chosen = delegates.interpreter(self.module, path, execution, chosen, _ERRORS)
            session = TfliteSession(self, interpreter, execution, chosen)
            session.resize(feeds.sizes(session.inputs))
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

    def __init__(
        self, runtime: TfliteRuntime, interpreter: Any, execution: Execution, delegation: delegates.Delegation
    ) -> None:
        self._runtime = runtime
        self._interpreter = interpreter
        self._execution = execution
        self._delegation = delegation
        self._details: List[Dict[str, Any]] = interpreter.get_input_details()
        self.inputs: Tuple[TensorSpec, ...] = tuple(_unique(self._details))
        self._output_details: List[Dict[str, Any]] = interpreter.get_output_details()
        self.invoke: Callable[[], object] = interpreter.invoke

    def resize(self, sizes: Mapping[str, Shape]) -> None:
        """Give every input its size, then allocate."""
        for spec, detail in zip(self.inputs, self._details):
            if tuple(detail["shape"]) != sizes[spec.name]:
                self._interpreter.resize_tensor_input(detail["index"], list(sizes[spec.name]), strict=True)
        self._interpreter.allocate_tensors()
        self._details = self._interpreter.get_input_details()

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
        """Copies of the output tensors by name."""
        named: Dict[str, Any] = {}
        for spec, detail in zip(_unique(self._output_details), self._output_details):
            value = np.array(self._interpreter.get_tensor(detail["index"]))
            named[spec.name] = _text(value) if spec.dtype == "str" else value
        return named

    def info(self) -> SessionInfo:
        """A delegate is named only when it really took operators of this graph."""
        return SessionInfo(
            runtime=self._runtime.name,
            version=self._runtime.version,
            providers=self._delegation.executing(self._interpreter),
            threads=self._execution.threads,
            inputs=self.inputs,
            outputs=tuple(_unique(self._output_details)),
            notes=(*self._notes(), *self._delegation.notes),
            asked=self._execution.providers,
        )

    def placement(self, *, by_running: bool) -> Placement:
        """Which operators the delegates replaced, as the graph shows."""
        del by_running
        return self._delegation.placement(self._interpreter)

    def profile_ops(self, plan: OpsPlan) -> OpsProfile:
        """Who executes which operator; times are not to be had."""
        del plan
        named = f"{self._runtime.name} {self._runtime.version}"
        return delegates.untimed(self._interpreter, self._delegation, named)

    def arena(self) -> Tuple[Optional[int], str]:
        """The interpreter's Python interface has no word for it."""
        return None, f"{self._runtime.name} does not tell its arena in Python"

    def _notes(self) -> Tuple[str, ...]:
        names = list(self._interpreter.get_signature_list())
        if len(names) < 2:
            return ()
        return (f"of the model's signatures {', '.join(names)} the first graph was run",)


def _unique(details: Sequence[Mapping[str, Any]]) -> List[TensorSpec]:
    """Each tensor under a name of its own: one that is empty or stands twice gets its position."""
    specs: List[TensorSpec] = []
    taken = {str(detail["name"]) for detail in details}
    for position, detail in enumerate(details):
        spec = _spec(detail)
        name = spec.name
        if not name or any(other.name == name for other in specs):
            name = f"{name}:{position}"
            while name in taken:
                name += "'"
            taken.add(name)
        specs.append(TensorSpec(name, spec.dtype, spec.shape))
    return specs


def _text(value: Any) -> Any:
    """TFLite's byte strings as text, so that they can be kept without pickling."""
    texts = [item.decode("utf-8", "backslashreplace") for item in value.ravel()]
    return np.array(texts, dtype=str).reshape(value.shape)


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
