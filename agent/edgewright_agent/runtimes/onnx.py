"""ONNX Runtime."""

import re
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple, Type

import numpy as np

from ..arrays import Arrays
from ..failure import AgentFailure
from ..protocol import Execution, SessionInfo, TensorSpec

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}
_INTEGER = re.compile(r"tensor\((u?int(?:8|16|32|64))\)")
_UNKNOWN_OPERATORS = (
    re.compile(r"Fatal error: (?P<domain>[\w.]*):(?P<op>\w+)\(-?\d+\) is not a registered function/op"),
    re.compile(r"No [Oo]p registered for (?P<op>\w+)"),
    re.compile(r"Could not find an implementation for (?P<op>[\w.:]+)\("),
    re.compile(r"(?P<domain>[\w.]+) is not a registered (?:domain|opset)"),
)


def open_runtime(name: str) -> "OnnxRuntime":
    """Import onnxruntime, or say why it cannot be."""
    try:
        import onnxruntime
    except (ImportError, OSError, AttributeError) as error:
        raise AgentFailure(
            "missing-runtime",
            f"onnxruntime cannot be imported: {error}",
            "pip install onnxruntime on the device",
        ) from error
    onnxruntime.set_default_logger_severity(3)
    return OnnxRuntime(name, onnxruntime)


class OnnxRuntime:
    """The imported module; sessions come from :meth:`load`."""

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.module = module

    def load(self, path: str, execution: Execution, shapes: Mapping[str, Sequence[int]]) -> "OnnxSession":
        """Create a session with the providers asked for, each of which must exist in this build."""
        del shapes  # sizes of dynamic axes come with the inputs
        ort = self.module
        providers = list(execution.providers) or ["CPUExecutionProvider"]
        available = ort.get_available_providers()
        for provider in providers:
            if provider not in available:
                raise AgentFailure(
                    "provider-missing",
                    f"onnxruntime {ort.__version__} has no {provider}",
                    f"this build has {', '.join(available)}",
                )
        options = ort.SessionOptions()
        options.intra_op_num_threads = execution.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        choices = [(p, dict(execution.provider_options.get(p, {}))) for p in providers]
        try:
            session = ort.InferenceSession(path, options, providers=choices)
        except _errors() as error:
            raise _explain(ort.__version__, str(error)) from error
        return OnnxSession(self, session, execution)


class OnnxSession:
    """A session with bound inputs; tensors go through IO binding, anything else through ``run``."""

    def __init__(self, runtime: OnnxRuntime, session: Any, execution: Execution) -> None:
        self._runtime = runtime
        self._session = session
        self._threads = execution.threads
        self.inputs: Tuple[TensorSpec, ...] = tuple(_spec(value) for value in session.get_inputs())
        self._outputs: Tuple[TensorSpec, ...] = tuple(_spec(value) for value in session.get_outputs())
        self._invoke: Callable[[], object] = _not_bound
        self._read: Callable[[], List[Any]] = _not_bound
        self._is_bound = all(s.dtype != "str" and "(" not in s.dtype for s in self.inputs + self._outputs)

    @property
    def invoke(self) -> Callable[[], object]:
        """One inference, copying neither inputs nor outputs."""
        return self._invoke

    def bind(self, inputs: Mapping[str, Any]) -> None:
        """Hand the inputs over; the runtime's own allocator places the outputs."""
        if not self._is_bound:
            self._bind_plain(inputs)
            return
        session, errors, version = self._session, _errors(), self._runtime.module.__version__
        binding = session.io_binding()
        values = [self._runtime.module.OrtValue.ortvalue_from_numpy(value) for value in inputs.values()]
        for name, value in zip(inputs, values):
            binding.bind_ortvalue_input(name, value)
        for spec in self._outputs:
            binding.bind_output(spec.name, "cpu")
        run = session.run_with_iobinding

        def invoke() -> None:
            try:
                run(binding)
            except errors as error:
                raise _explain(version, str(error)) from error

        self._keep = values
        self._invoke = invoke
        self._read = binding.copy_outputs_to_cpu

    def _bind_plain(self, inputs: Mapping[str, Any]) -> None:
        feeds, results = dict(inputs), [None] * len(self._outputs)
        run, errors, version = self._session.run, _errors(), self._runtime.module.__version__

        def invoke() -> None:
            try:
                results[:] = run(None, feeds)
            except errors as error:
                raise _explain(version, str(error)) from error

        self._invoke = invoke
        self._read = lambda: results

    def outputs(self) -> Arrays:
        """Tensor outputs by name; sequences and maps are left out (see the notes of :meth:`info`)."""
        named: Dict[str, Any] = {}
        for spec, value in zip(self._outputs, self._read()):
            if isinstance(value, np.ndarray):
                named[spec.name] = value.astype(str) if value.dtype == object else np.array(value)
        return named

    def info(self) -> SessionInfo:
        """Providers are those the session reports, not those asked for."""
        notes = (
            ()
            if self._is_bound
            else ("inputs or outputs that are no numeric tensors: run without IO binding",)
        )
        return SessionInfo(
            runtime="onnxruntime",
            version=self._runtime.module.__version__,
            providers=tuple(self._session.get_providers()),
            threads=self._threads,
            inputs=self.inputs,
            outputs=self._outputs,
            notes=notes,
        )


def _not_bound() -> Any:
    raise AssertionError("bind() comes first")


def _errors() -> Tuple[Type[Exception], ...]:
    """Exceptions onnxruntime raises: its own classes share no public base, so they are gathered by name."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [
        value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    return (*own, RuntimeError, ValueError, IndexError)


def _spec(value: Any) -> TensorSpec:
    integer = _INTEGER.fullmatch(value.type)
    dtype = integer.group(1) if integer else _DTYPES.get(value.type, value.type)
    shape = tuple(d if isinstance(d, int) and d >= 0 else str(d or "?") for d in value.shape or ())
    return TensorSpec(value.name, dtype, shape)


def _explain(version: str, text: str) -> AgentFailure:
    """onnxruntime's message as one sentence in words."""
    for pattern in _UNKNOWN_OPERATORS:
        match = pattern.search(text)
        if match:
            named = match.groupdict()
            operator = ":".join(part for part in (named.get("domain"), named.get("op")) if part)
            return AgentFailure(
                "model-rejected",
                f"onnxruntime {version} has no operator {operator}",
                "export the model without it, or install a runtime build that has it",
            )
    if "bad_alloc" in text or "Failed to allocate memory" in text:
        return AgentFailure("out-of-memory", f"onnxruntime could not allocate memory: {_short(text)}")
    if "Protobuf parsing failed" in text or "INVALID_PROTOBUF" in text:
        return AgentFailure("invalid-model", "not a valid ONNX file: truncated, or another format")
    return AgentFailure("model-rejected", f"onnxruntime {version} refused the model: {_short(text)}")


def _short(text: str) -> str:
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)[:500]
