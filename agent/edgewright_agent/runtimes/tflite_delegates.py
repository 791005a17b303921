"""TFLite delegates: which to load from where, and which operators each took over.

A delegate replaces operators by one ``DELEGATE`` node; the operators stay listed in the graph. They are
found again as what lies between the node's inputs and its outputs.
"""

import ctypes
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple, Type

import numpy as np

from ..failure import AgentFailure
from ..protocol import Execution, OpsProfile, OpTime, Placement
from ..protocol_ops import MAX_OP_NAME, MAX_OP_TENSORS, MAX_OPS
from .placement import count

XNNPACK = "XNNPACK"
CPU = "CPU"

#: The option that says where a delegate's library is; all other options are the delegate's own.
LIBRARY = "library"

#: Libraries by the name that the vendors' own packages install.
LIBRARIES: Dict[str, str] = {
    "edgetpu": "libedgetpu.so.1",
    "ArmNN": "libarmnnDelegate.so",
    "QNN": "libQnnTFLiteDelegate.so",
}

_METHOD = "operators of the graph, by what replaced them"
_DELEGATE = "DELEGATE"


Operator = Mapping[str, Any]


@dataclass(frozen=True)
class Delegation:
    """What an interpreter is given: whether XNNPACK may take part, and at most one delegate of a library.

    ``nodes`` is how many nodes the library's delegate put into the graph; they come before XNNPACK's.
    """

    xnnpack: bool
    name: str = ""
    delegate: Any = None
    nodes: int = 0
    notes: Tuple[str, ...] = ()

    def placement(self, interpreter: Any) -> Placement:
        """The operators by who executes them."""
        return count([(provider, 1) for _, provider in self.placed(interpreter)], _METHOD)

    def executing(self, interpreter: Any) -> Tuple[str, ...]:
        """The delegates that execute something, and the processor."""
        taken = {provider for _, provider in self.placed(interpreter)}
        return (*(name for name in (self.name, XNNPACK) if name in taken), CPU)

    def placed(self, interpreter: Any) -> List[Tuple[Operator, str]]:
        """Each operator of the model with the name of who executes it, in the model's order."""
        return placed(interpreter._get_ops_details(), self.nodes, self.name)


def choose(module: Any, execution: Execution) -> Delegation:
    """Load the first delegate asked for that can be; the order's other libraries are not tried then.

    Raises:
        AgentFailure: ``provider-missing`` when a required one cannot be loaded.
    """
    asked = list(execution.providers) or [XNNPACK, CPU]
    notes: List[str] = []
    name, delegate = "", None
    for provider in asked:
        if provider in (XNNPACK, CPU):
            continue
        if delegate is not None:
            if provider in execution.required:
                raise AgentFailure(
                    "provider-missing", f"{name} is loaded, and {provider} is required too", "require one"
                )
            notes.append(f"{provider} was not tried: {name} came first and loaded")
            continue
        try:
            delegate = _load(module, provider, execution.provider_options.get(provider, {}))
            name = provider
        except AgentFailure as failure:
            if provider in execution.required:
                raise
            notes.append(failure.error.message)
    return Delegation(XNNPACK in asked, name, delegate, notes=tuple(notes))


def interpreter(
    module: Any, path: str, execution: Execution, chosen: Delegation, refusals: Tuple[Type[Exception], ...]
) -> Tuple[Any, Delegation]:
    """The interpreter, and what came of the delegation: a preferred delegate that refuses is left out.

    Raises:
        AgentFailure: ``provider-missing`` when a required one refuses the graph.
    """
    resolvers = module.OpResolverType
    options = {
        "model_path": path,
        "num_threads": execution.threads,
        "experimental_op_resolver_type": resolvers.AUTO
        if chosen.xnnpack
        else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    }
    if chosen.delegate is None:
        return module.Interpreter(**options), chosen
    try:
        made = module.Interpreter(experimental_delegates=[chosen.delegate], **options)
    except refusals as error:
        plain = module.Interpreter(**options)  # a file that is no model is told apart here
        text = f"delegate {chosen.name} refused the model: {str(error)[:300]}"
        if chosen.name in execution.required:
            raise AgentFailure("provider-missing", text) from error
        return plain, Delegation(chosen.xnnpack, notes=(*chosen.notes, text))
    return made, replace(chosen, nodes=_delegate_nodes(made._get_ops_details()))


def _load(module: Any, provider: str, options: Mapping[str, str]) -> Any:
    given = {key: value for key, value in options.items() if key != LIBRARY}
    library = options.get(LIBRARY) or LIBRARIES.get(provider) or provider
    if "/" not in library and ".so" not in library:
        raise AgentFailure(
            "provider-missing",
            f"no delegate is called {provider}",
            f"known: {', '.join((XNNPACK, CPU, *LIBRARIES))}; any other needs the option {LIBRARY!r}",
        )
    try:
        ctypes.CDLL(library)  # load_delegate fails untidily on a library that is not there
        return module.load_delegate(library, given)
    except (ValueError, OSError, RuntimeError) as error:
        text = str(error).strip() or f"{library} refused to start"
        raise AgentFailure(
            "provider-missing",
            f"delegate {provider} cannot be loaded from {library}: {text[:300]}",
            "install its library on the device, or say where it is with the option 'library'",
        ) from error


def placed(operators: Sequence[Operator], external_nodes: int, external: str) -> List[Tuple[Operator, str]]:
    """Each operator of the model with the name of who executes it, in the model's order.

    Args:
        operators: as the interpreter lists them, delegates' nodes included.
        external_nodes: how many of the delegates' nodes are those of the library; they come first.
        external: its name.
    """
    plain = [op for op in operators if op["op_name"] != _DELEGATE]
    nodes = [op for op in operators if op["op_name"] == _DELEGATE]
    makers = {int(out): op for op in plain for out in op["outputs"]}
    owner: Dict[int, str] = {}
    for position, node in enumerate(nodes):
        for index in _replaced(node, makers):
            owner[index] = external if position < external_nodes else XNNPACK
    return [(op, owner.get(int(op["index"]), CPU)) for op in plain]


def _replaced(node: Operator, makers: Mapping[int, Operator]) -> Set[int]:
    """Indices of the operators between a delegate node's inputs and its outputs."""
    inputs = {int(tensor) for tensor in node["inputs"]}
    found: Set[int] = set()
    pending = [int(tensor) for tensor in node["outputs"]]
    while pending:
        tensor = pending.pop()
        maker = makers.get(tensor)
        if tensor in inputs or maker is None or int(maker["index"]) in found:
            continue
        found.add(int(maker["index"]))
        pending += [int(source) for source in maker["inputs"]]
    return found


def _delegate_nodes(operators: Sequence[Operator]) -> int:
    return sum(op["op_name"] == _DELEGATE for op in operators)


def untimed(interpreter: Any, delegation: Delegation, runtime: str) -> OpsProfile:
    """The operators with who executes them, and why there are no times."""
    tensors = {int(one["index"]): one for one in interpreter.get_tensor_details()}

    def described(indices: Any) -> Tuple[str, ...]:
        return tuple(_tensor(tensors.get(int(index))) for index in indices[:MAX_OP_TENSORS])

    found = delegation.placed(interpreter)
    ops = [
        OpTime(
            name=_name(op, tensors)[:MAX_OP_NAME],
            op_type=str(op["op_name"]),
            provider=provider,
            count=1,
            median_ns=None,
            inputs=described(op["inputs"]),
            outputs=described(op["outputs"]),
        )
        for op, provider in found[:MAX_OPS]
    ]
    return OpsProfile(
        ops=tuple(ops),
        reason=f"unsupported: the Python interface of {runtime} gives no times by operator",
        unlisted=len(found) - len(ops),
    )


def _name(op: Operator, tensors: Mapping[int, Mapping[str, Any]]) -> str:
    """An operator has no name of its own: that of its first output."""
    first = tensors.get(int(op["outputs"][0])) if len(op["outputs"]) else None
    return str(first["name"]) if first else ""


def _tensor(detail: Any) -> str:
    if detail is None:
        return ""
    dtype = "str" if detail["dtype"] is np.bytes_ else np.dtype(detail["dtype"]).name
    return f"{dtype}[{'x'.join(str(int(size)) for size in detail['shape'])}]"
