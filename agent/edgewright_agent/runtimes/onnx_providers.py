"""Execution providers of ONNX Runtime: sessions that use them, and who executes which node."""

import ctypes
import os
import re
from typing import Any, Dict, List, Sequence, Tuple

from ..protocol import Execution, Placement
from .onnx_errors import refusals
from .onnx_trace import read_trace
from .placement import count, usable

CPU = "CPUExecutionProvider"

#: onnxruntime, the model, what was asked for, inputs by name, and a folder to write in: all that another
#: session of the same model takes.
Elsewhere = Tuple[Any, str, Execution, Dict[str, Any], str]

_TELLS = "get_provider_graph_assignment_info"
_PARTITION = "nodes of the graph as the session divided it among its providers"
_BY_RUNNING = (
    "nodes that ran in one inference of a second session; what a provider compiled into one counts as one"
)
_ONLY_CPU = f"not counted: nothing but {CPU} was asked for"
_NO_NODES = "there are none: all that the graph computes was computed while loading it"
_NOT_YET = "not counted yet"


def choose(module: Any, execution: Execution) -> Tuple[List[str], List[str]]:
    """Providers to create a session with, in order, and notes about those that this build lacks.

    Raises:
        AgentFailure: ``provider-missing`` for a required one.
    """
    return usable(execution, module.get_available_providers(), f"onnxruntime {module.__version__}")


def create(module: Any, path: str, execution: Execution, trace_prefix: str = "") -> Any:
    """A session with the providers asked for, in their order.

    Where the processor was not named and something else is required, the runtime is told to refuse rather
    than fall back. When it does, a session that may fall back is returned, so that the nodes can be counted
    and the refusal can say by how much.

    Args:
        module: onnxruntime.
        path: the model.
        execution: what was asked for; what this build lacks is left out.
        trace_prefix: where to write a profile, its path without the ending; empty for no profile.
    """
    providers, _ = choose(module, execution)
    choices = [(name, dict(execution.provider_options.get(name, {}))) for name in providers or [CPU]]
    if execution.required and CPU not in execution.providers:
        try:
            return module.InferenceSession(
                path, _options(module, execution, trace_prefix, strict=True), providers=choices
            )
        except refusals() as error:
            if "fallback to" not in str(error):
                raise
    return module.InferenceSession(path, _options(module, execution, trace_prefix), providers=choices)


def _options(module: Any, execution: Execution, trace_prefix: str, *, strict: bool = False) -> Any:
    options = module.SessionOptions()
    options.intra_op_num_threads = execution.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if execution.exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if hasattr(module.InferenceSession, _TELLS):  # costs nothing that can be measured while loading
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if trace_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = trace_prefix
    return options


def told_placement(session: Any, execution: Execution) -> Placement:
    """What the session itself says of its nodes; without any where this version does not tell."""
    if hasattr(session, _TELLS):
        parts = getattr(session, _TELLS)()
        if not parts:
            return Placement((), _NO_NODES)
        return count([(str(part.ep_name), len(part.get_nodes())) for part in parts], _PARTITION)
    only_cpu = set(execution.providers) <= {CPU}
    return Placement((), _ONLY_CPU if only_cpu else _NOT_YET)


def placement_by_running(
    module: Any, path: str, execution: Execution, feeds: Dict[str, Any], folder: str
) -> Placement:
    """Load the model once more, run it once, and see in the runtime's profile who ran what."""
    session = create(module, path, execution, trace_prefix=os.path.join(folder, "placement"))
    session.run(None, feeds)
    trace_file = str(session.end_profiling())
    try:
        return count(read_trace(trace_file).nodes_by_provider(), _BY_RUNNING)
    finally:
        os.unlink(trace_file)


def needs_running(placement: Placement) -> bool:
    """Whether the nodes can still be counted by running the model."""
    return placement.method == _NOT_YET


def why_absent(module: Any, asked: Sequence[str], present: Sequence[str]) -> List[str]:
    """A note about each provider that this build has and the session has not, with the linker's reason."""
    notes = []
    for provider in asked:
        if provider not in present and provider in module.get_available_providers():
            reason = _link_error(module, provider)
            notes.append(f"{provider} did not start" + (f": {reason}" if reason else ""))
    return notes


def _link_error(module: Any, provider: str) -> str:
    """Why the provider's library cannot be loaded; empty when it can or there is none."""
    folder = os.path.join(os.path.dirname(os.path.abspath(module.__file__)), "capi")
    name = re.sub("ExecutionProvider$", "", provider).lower()
    library = os.path.join(folder, f"libonnxruntime_providers_{name}.so")
    if not os.path.isfile(library):
        return ""
    try:
        ctypes.CDLL(os.path.join(folder, "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(library)
    except OSError as error:
        return str(error)[:300]
    return ""
