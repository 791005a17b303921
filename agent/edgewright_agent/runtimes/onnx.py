"""ONNX Runtime."""

import os
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

import numpy as np

from ..arrays import Arrays
from ..failure import AgentFailure
from ..feeds import Feeds
from ..protocol import Execution, OpsPlan, OpsProfile, Placement, SessionInfo, TensorSpec
from . import onnx_profile, onnx_providers
from .onnx_arena import arena_bytes
from .onnx_errors import explain, refusals

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}
T = TypeVar("T")

_INTEGER = re.compile(r"tensor\((u?int(?:8|16|32|64))\)")


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
    onnxruntime.set_seed(0)  # random operators without a seed of their own draw the same on host and device
    return OnnxRuntime(name, onnxruntime)


class OnnxRuntime:
    """The imported module; sessions come from :meth:`load`."""

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.module = module

    def load(self, path: str, execution: Execution, feeds: Feeds) -> "OnnxSession":
        """Create a session with those of the providers asked for that this build has, in their order."""
        del feeds  # sizes of dynamic axes come with the inputs
        try:
            session = onnx_providers.create(self.module, path, execution)
        except refusals() as error:
            raise explain(self.module.__version__, str(error)) from error
        return OnnxSession(self, session, path, execution)


class OnnxSession:
    """A session with bound inputs; tensors go through IO binding, anything else through ``run``."""

    def __init__(self, runtime: OnnxRuntime, session: Any, path: str, execution: Execution) -> None:
        self._runtime = runtime
        self._session = session
        self._path = path
        self._execution = execution
        self._feeds: Dict[str, Any] = {}
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
        self._feeds = dict(inputs)
        if not self._is_bound:
            self._bind_plain(inputs)
            return
        session, errors, version = self._session, refusals(), self._runtime.module.__version__
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
                raise explain(version, str(error)) from error

        self._keep = values
        self._invoke = invoke
        self._read = binding.copy_outputs_to_cpu

    def _bind_plain(self, inputs: Mapping[str, Any]) -> None:
        feeds, results = dict(inputs), [None] * len(self._outputs)
        run, errors, version = self._session.run, refusals(), self._runtime.module.__version__

        def invoke() -> None:
            try:
                results[:] = run(None, feeds)
            except errors as error:
                raise explain(version, str(error)) from error

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
        return SessionInfo(
            runtime="onnxruntime",
            version=self._runtime.module.__version__,
            providers=tuple(self._session.get_providers()),
            threads=self._execution.threads,
            inputs=self.inputs,
            outputs=self._outputs,
            notes=(*self._notes(), *self._absent()),
            asked=self._execution.providers,
        )

    def placement(self, *, by_running: bool) -> Placement:
        """As the session tells, or, in versions that do not tell, by profiling one run of another session."""
        told = onnx_providers.told_placement(self._session, self._execution)
        if not by_running or not onnx_providers.needs_running(told):
            return told
        where = self._elsewhere()
        return self._explained(lambda: onnx_providers.placement_by_running(*where))

    def profile_ops(self, plan: OpsPlan) -> OpsProfile:
        """Times by node, from the runtime's own profile of another session on the same inputs."""
        where = self._elsewhere()
        return self._explained(lambda: onnx_profile.profile_ops(*where, plan))

    def arena(self) -> Tuple[Optional[int], str]:
        """From the runtime's own profile of another session, in versions that write it there."""
        where, providers = self._elsewhere(), self._session.get_providers()
        return self._explained(lambda: arena_bytes(*where, providers))

    def _elsewhere(self) -> onnx_providers.Elsewhere:
        module, folder = self._runtime.module, os.path.dirname(os.path.abspath(self._path))
        return module, self._path, self._execution, self._feeds, folder

    def _explained(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except refusals() as error:
            raise explain(self._runtime.module.__version__, str(error)) from error

    def _absent(self) -> List[str]:
        module, asked = self._runtime.module, self._execution
        _, lacking = onnx_providers.choose(module, asked)
        return lacking + onnx_providers.why_absent(module, asked.providers, self._session.get_providers())

    def _notes(self) -> Tuple[str, ...]:
        if self._is_bound:
            return ()
        left_out = ", ".join(spec.name for spec in self._outputs if "(" in spec.dtype)
        bound = "inputs or outputs that are no numeric tensors: run without IO binding"
        return (
            bound,
            *([f"outputs that cannot be compared with the host's: {left_out}"] if left_out else []),
        )


def _not_bound() -> Any:
    raise AssertionError("bind() comes first")


def _spec(value: Any) -> TensorSpec:
    integer = _INTEGER.fullmatch(value.type)
    dtype = integer.group(1) if integer else _DTYPES.get(value.type, value.type)
    shape = tuple(d if isinstance(d, int) and d >= 0 else str(d or "?") for d in value.shape or ())
    return TensorSpec(value.name, dtype, shape)
