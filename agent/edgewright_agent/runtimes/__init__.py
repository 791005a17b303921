"""Inference runtimes: one Protocol, one module a runtime, imported only in the worker that uses it."""

import importlib
from types import ModuleType
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from ..failure import AgentFailure
from ..feeds import Feeds
from ..protocol import Execution, OpsPlan, OpsProfile, Placement, SessionInfo, TensorSpec

try:
    from typing import Protocol
except ImportError:  # pragma: no cover - Python before 3.8 is refused earlier
    raise

_MODULES: Dict[str, str] = {
    "onnxruntime": "onnx",
    "ai-edge-litert": "tflite",
    "tflite-runtime": "tflite",
}


class Session(Protocol):
    """A loaded model. ``bind`` once, then ``invoke`` any number of times."""

    inputs: Sequence[TensorSpec]

    def bind(self, inputs: Mapping[str, Any]) -> None:
        """Place the inputs where the runtime reads them, so that ``invoke`` copies nothing it need not."""

    @property
    def invoke(self) -> Callable[[], object]:
        """One inference on the bound inputs; this is what is timed."""

    def outputs(self) -> Dict[str, Any]:
        """The outputs of the last inference, copied, in the model's order."""

    def info(self) -> SessionInfo:
        """What really runs."""

    def placement(self, *, by_running: bool) -> Placement:
        """Which provider executes which share of the nodes.

        Args:
            by_running: where the session does not tell, load the model once more and run it to find out.
        """

    def profile_ops(self, plan: OpsPlan) -> OpsProfile:
        """Time by node on the bound inputs, in a session of its own, or why this runtime gives none."""

    def arena(self) -> Tuple[Optional[int], str]:
        """Bytes that the runtime's allocator holds for this model and where from, or None and the reason.

        It may load the model once more.
        """


class Runtime(Protocol):
    """A runtime that is imported. ``load`` is what the load phase times."""

    def load(self, path: str, execution: Execution, feeds: Feeds) -> Session:
        """Load the model, for the sizes that ``feeds`` gives its dynamic inputs.

        Raises:
            AgentFailure: ``invalid-model``, ``model-rejected`` or ``provider-missing``, in words; from a
                runtime that places its tensors now, also what :meth:`Feeds.sizes` raises.
        """


def import_runtime(name: str) -> Runtime:
    """Import the runtime called ``name``.

    Raises:
        AgentFailure: ``missing-runtime`` with the reason of the failed import.
    """
    if name not in _MODULES:
        raise AgentFailure(
            "missing-runtime", f"no runtime is called {name!r}", f"known: {', '.join(_MODULES)}"
        )
    module: ModuleType = importlib.import_module("." + _MODULES[name], __name__)
    runtime: Runtime = module.open_runtime(name)
    return runtime
