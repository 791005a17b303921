"""TFLite models of the kinds found in the wild, written straight with the file format's schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s
from numpy.typing import NDArray

FLOAT32, INT32, INT64, INT8, UINT8, BOOL, STRING = (
    s.TensorType.FLOAT32, s.TensorType.INT32, s.TensorType.INT64, s.TensorType.INT8, s.TensorType.UINT8,
    s.TensorType.BOOL, s.TensorType.STRING,
)  # fmt: skip


@dataclass
class Tensor:
    name: str
    shape: Sequence[int]
    kind: int = FLOAT32
    content: NDArray[Any] | None = None
    scale: float = 0.0
    zero_point: int = 0
    is_variable: bool = False


@dataclass
class Op:
    """``kind`` is the name of a builtin operator, or of a custom one."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: tuple[str, Mapping[str, Any]] | None = None
    version: int = 1


@dataclass
class Graph:
    tensors: Sequence[Tensor]
    ops: Sequence[Op]
    inputs: Sequence[int]
    outputs: Sequence[int]
    signature: str = ""
    name: str = "main"


@dataclass
class _Model:
    model: Any = field(default_factory=s.ModelT)

    def __post_init__(self) -> None:
        empty = s.BufferT()
        self.model.version = 3
        self.model.description = "stranger"
        self.model.buffers, self.model.operatorCodes, self.model.subgraphs = [empty], [], []
        self.model.signatureDefs = []

    def buffer(self, content: NDArray[Any] | None) -> int:
        if content is None:
            return 0
        made = s.BufferT()
        made.data = np.frombuffer(content.tobytes(), np.uint8)
        self.model.buffers.append(made)
        return len(self.model.buffers) - 1

    def opcode(self, op: Op) -> int:
        code = s.OperatorCodeT()
        builtin = getattr(s.BuiltinOperator, op.kind, None)
        code.builtinCode = s.BuiltinOperator.CUSTOM if builtin is None else builtin
        code.customCode = op.kind if builtin is None else None
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = op.version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def tensor(self, tensor: Tensor) -> Any:
        made = s.TensorT()
        made.name, made.type, made.buffer = tensor.name, tensor.kind, self.buffer(tensor.content)
        made.isVariable = tensor.is_variable
        made.shape = [max(size, 1) if size < 0 else size for size in tensor.shape]
        made.hasRank = True
        if any(size < 0 for size in tensor.shape):
            made.shapeSignature = list(tensor.shape)
        if tensor.scale:
            made.quantization = s.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [tensor.scale], [tensor.zero_point]
        return made

    def operator(self, op: Op) -> Any:
        made = s.OperatorT()
        made.opcodeIndex = self.opcode(op)
        made.inputs, made.outputs = list(op.inputs), list(op.outputs)
        if op.options:
            kind, values = op.options
            made.builtinOptionsType = getattr(s.BuiltinOptions, kind)
            made.builtinOptions = getattr(s, f"{kind}T")()
            for name, given in values.items():
                setattr(made.builtinOptions, name, given)
        return made

    def graph(self, graph: Graph) -> None:
        made = s.SubGraphT()
        made.name = graph.name
        made.tensors = [self.tensor(tensor) for tensor in graph.tensors]
        made.operators = [self.operator(op) for op in graph.ops]
        made.inputs, made.outputs = list(graph.inputs), list(graph.outputs)
        self.model.subgraphs.append(made)
        if graph.signature:
            self.model.signatureDefs.append(self.signature(graph, len(self.model.subgraphs) - 1))

    @staticmethod
    def signature(graph: Graph, index: int) -> Any:
        made = s.SignatureDefT()
        made.signatureKey, made.subgraphIndex = graph.signature, index
        made.inputs, made.outputs = (
            [_named(f"{prefix}{position}", tensor) for position, tensor in enumerate(indices)]
            for prefix, indices in (("in", graph.inputs), ("out", graph.outputs))
        )
        return made


def _named(name: str, index: int) -> Any:
    made = s.TensorMapT()
    made.name, made.tensorIndex = name, index
    return made


def pack(*graphs: Graph) -> bytes:
    made = _Model()
    for graph in graphs:
        made.graph(graph)
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def weights(seed: int, *shape: int) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.1).astype(np.float32)


ADD = ("AddOptions", {"fusedActivationFunction": 0})
FC = ("FullyConnectedOptions", {"fusedActivationFunction": 0})


def one_op(kind: str, tensor: Tensor, options: tuple[str, Mapping[str, Any]] | None = None) -> bytes:
    """``y = kind(x)``, of one type and shape."""
    y = Tensor("y", tensor.shape, tensor.kind, scale=tensor.scale, zero_point=tensor.zero_point)
    return pack(Graph([tensor, y], [Op(kind, [0], [1], options)], [0], [1]))


def dense(layers: int = 2, width: int = 64) -> bytes:
    """Fully connected layers, as XNNPACK takes them."""
    tensors = [Tensor("x", [1, width])]
    ops = []
    for layer in range(layers):
        base = len(tensors)
        tensors += [
            Tensor(f"w{layer}", [width, width], content=weights(layer, width, width)),
            Tensor(f"b{layer}", [width], content=weights(100 + layer, width)),
            Tensor(f"h{layer}", [1, width]),
        ]
        ops.append(Op("FULLY_CONNECTED", [base - 1, base, base + 1], [base + 2], FC))
    return pack(Graph(tensors, ops, [0], [len(tensors) - 1]))


def several_inputs() -> bytes:
    tensors = [Tensor("a", [2, 3]), Tensor("b", [2, 3]), Tensor("sum", [2, 3]), Tensor("double", [2, 3])]
    ops = [Op("ADD", [0, 1], [2], ADD), Op("ADD", [2, 2], [3], ADD)]
    return pack(Graph(tensors, ops, [0, 1], [2, 3]))


def many_types() -> bytes:
    """Int32, int64, bool and uint8 in, each cast to float; int8 in, and what it stands for out."""
    kinds = [("i32", INT32), ("i64", INT64), ("flag", BOOL), ("u8", UINT8)]
    tensors = [Tensor(name, [2, 3], kind) for name, kind in kinds]
    tensors += [Tensor(f"{name}_f", [2, 3]) for name, _ in kinds]
    tensors += [Tensor("q8", [2, 3], INT8, scale=0.5, zero_point=3), Tensor("q8_f", [2, 3])]
    cast = "CastOptions"
    ops = [
        Op("CAST", [at], [at + 4], (cast, {"inDataType": kind, "outDataType": FLOAT32}))
        for at, (_, kind) in enumerate(kinds)
    ]
    ops.append(Op("DEQUANTIZE", [8], [9], version=2))
    return pack(Graph(tensors, ops, [0, 1, 2, 3, 8], [4, 5, 6, 7, 9]))


def scalars() -> bytes:
    """``y = x * gain`` with a gain of shape []."""
    tensors = [Tensor("x", [1, 4]), Tensor("gain", []), Tensor("y", [1, 4])]
    return pack(Graph(tensors, [Op("MUL", [0, 1], [2], ("MulOptions", {}))], [0, 1], [2]))


def dynamic() -> bytes:
    """The name and signature that Keras models have: batch and length are open."""
    return one_op("ABS", Tensor("serving_default_x:0", [-1, 4, -1]), ("AbsOptions", {}))


def custom_operator() -> bytes:
    return one_op("SuperResize", Tensor("x", [1, 4]))


def newer_operator() -> bytes:
    """A builtin operator in a version that no runtime has yet."""
    tensors = [Tensor("x", [1, 4]), Tensor("y", [1, 4])]
    return pack(Graph(tensors, [Op("ABS", [0], [1], ("AbsOptions", {}), version=99)], [0], [1]))


def same_name_twice() -> bytes:
    tensors = [Tensor("x", [1, 4]), Tensor("x", [1, 4]), Tensor("y", [1, 4]), Tensor("y", [1, 4])]
    ops = [Op("SUB", [0, 1], [2], ("SubOptions", {})), Op("SUB", [1, 0], [3], ("SubOptions", {}))]
    return pack(Graph(tensors, ops, [0, 1], [2, 3]))


def nameless() -> bytes:
    return pack(
        Graph([Tensor("", [1, 4]), Tensor("", [1, 4])], [Op("ABS", [0], [1], ("AbsOptions", {}))], [0], [1])
    )


def stateful() -> bytes:
    """A variable tensor that accumulates its input from one inference to the next."""
    tensors = [
        Tensor("x", [1, 4]),
        Tensor("handle", [], s.TensorType.RESOURCE),
        Tensor("before", [1, 4]),
        Tensor("after", [1, 4]),
        Tensor("zeros", [1, 4], content=np.zeros((1, 4), np.float32)),
        Tensor("first_handle", [], s.TensorType.RESOURCE),
    ]
    variable = ("VarHandleOptions", {"container": "", "sharedName": "memory"})
    start = Graph(
        [Tensor("start_handle", [], s.TensorType.RESOURCE), tensors[4]],
        [
            Op("VAR_HANDLE", [], [0], variable),
            Op("ASSIGN_VARIABLE", [0, 1], [], ("AssignVariableOptions", {})),
        ],
        [],
        [],
        name="start",
    )
    main = Graph(
        tensors,
        [
            Op("CALL_ONCE", [], [], ("CallOnceOptions", {"initSubgraphIndex": 1})),
            Op("VAR_HANDLE", [], [1], variable),
            Op("READ_VARIABLE", [1], [2], ("ReadVariableOptions", {})),
            Op("ADD", [0, 2], [3], ADD),
            Op("ASSIGN_VARIABLE", [1, 3], [], ("AssignVariableOptions", {})),
        ],
        [0],
        [3],
    )
    return pack(main, start)


def lstm(hidden: int = 4) -> bytes:
    """A fused LSTM whose state lives in variable tensors."""
    none = -1
    tensors = [Tensor("x", [1, 3, 2])]
    inputs = [0]

    def add(tensor: Tensor) -> int:
        tensors.append(tensor)
        return len(tensors) - 1

    inputs += [add(Tensor(f"w_in{i}", [hidden, 2], content=weights(i, hidden, 2))) for i in range(4)]
    inputs += [
        add(Tensor(f"w_rec{i}", [hidden, hidden], content=weights(9 + i, hidden, hidden))) for i in range(4)
    ]
    inputs += [none] * 3
    inputs += [add(Tensor(f"bias{i}", [hidden], content=np.zeros(hidden, np.float32))) for i in range(4)]
    inputs += [none] * 2
    inputs += [add(Tensor(name, [1, hidden], is_variable=True)) for name in ("activation", "cell")]
    inputs += [none] * 4
    y = add(Tensor("y", [1, 3, hidden]))
    options = (
        "UnidirectionalSequenceLSTMOptions",
        {"fusedActivationFunction": 4, "cellClip": 0.0, "projClip": 0.0},
    )
    return pack(Graph(tensors, [Op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], options)], [0], [y]))


def while_loop() -> bytes:
    """Doubles ``x`` until a counter, fed from outside, reaches ten."""
    counter, x = Tensor("i", [], INT32), Tensor("x", [4])
    limit = Tensor("ten", [], INT32, content=np.asarray(10, np.int32))
    one = Tensor("one", [], INT32, content=np.asarray(1, np.int32))
    main = Graph(
        [counter, x, Tensor("i_out", [], INT32), Tensor("x_out", [4])],
        [Op("WHILE", [0, 1], [2, 3], ("WhileOptions", {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}))],
        [0, 1],
        [2, 3],
    )
    condition = Graph(
        [counter, x, limit, Tensor("go", [], BOOL)],
        [Op("LESS", [0, 2], [3], ("LessOptions", {}))],
        [0, 1],
        [3],
    )
    body = Graph(
        [counter, x, one, Tensor("next", [], INT32), Tensor("twice", [4])],
        [Op("ADD", [0, 2], [3], ADD), Op("ADD", [1, 1], [4], ADD)],
        [0, 1],
        [3, 4],
    )
    return pack(main, condition, body)


def two_signatures() -> bytes:
    def one(key: str, kind: str, options: str) -> Graph:
        tensors = [Tensor(f"{key}_x", [1, 4]), Tensor(f"{key}_y", [1, 4])]
        return Graph(tensors, [Op(kind, [0], [1], (options, {}))], [0], [1], key, key)

    return pack(one("encode", "ABS", "AbsOptions"), one("decode", "NEG", "NegOptions"))


def strings() -> bytes:
    """Text goes in and comes out, by way of a reshape."""
    shape = Tensor("shape", [2], INT32, content=np.asarray([1, 2], np.int32))
    tensors = [Tensor("text", [2], STRING), shape, Tensor("same", [1, 2], STRING)]
    return pack(Graph(tensors, [Op("RESHAPE", [0, 1], [2], ("ReshapeOptions", {}))], [0], [2]))


def where() -> bytes:
    """The output's shape depends on the data."""
    return pack(
        Graph([Tensor("mask", [3, 2], BOOL), Tensor("at", [-1, 2], INT64)], [Op("WHERE", [0], [1])], [0], [1])
    )


def not_a_number() -> bytes:
    tensors = [Tensor("x", [1, 4]), Tensor("size", [1, 4]), Tensor("below", [1, 4]), Tensor("loss", [1, 4])]
    ops = [
        Op("ABS", [0], [1], ("AbsOptions", {})),
        Op("NEG", [1], [2], ("NegOptions", {})),
        Op("LOG", [2], [3]),
    ]
    return pack(Graph(tensors, ops, [0], [3]))


def no_inputs() -> bytes:
    tensors = [Tensor("w", [1, 4], content=weights(5, 1, 4)), Tensor("y", [1, 4])]
    return pack(Graph(tensors, [Op("ABS", [0], [1], ("AbsOptions", {}))], [], [1]))


def random_numbers() -> bytes:
    shape = Tensor("shape", [2], INT32, content=np.asarray([1, 64], np.int32))
    tensors = [Tensor("x", [1, 64]), shape, Tensor("noise", [1, 64]), Tensor("y", [1, 64])]
    ops = [
        Op("RANDOM_STANDARD_NORMAL", [1], [2], ("RandomOptions", {"seed": 0, "seed2": 0})),
        Op("ADD", [0, 2], [3], ADD),
    ]
    return pack(Graph(tensors, ops, [0], [3]))


def passthrough() -> bytes:
    """An input that is an output, beside one that is computed."""
    return pack(
        Graph(
            [Tensor("x", [1, 4]), Tensor("y", [1, 4])], [Op("ABS", [0], [1], ("AbsOptions", {}))], [0], [0, 1]
        )
    )


def endless_recursion() -> bytes:
    """A loop whose body is the graph it stands in: no converter writes it, and it ends the interpreter."""
    tensors = [Tensor("x", [4]), Tensor("y", [4])]
    loop = Op("WHILE", [0], [1], ("WhileOptions", {"condSubgraphIndex": 1, "bodySubgraphIndex": 0}))
    always = Graph(
        [tensors[0], Tensor("go", [], BOOL, content=np.ones((), np.bool_))], [], [0], [1], name="always"
    )
    return pack(Graph(tensors, [loop], [0], [1]), always)


def save(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


#: Those that run as they are, without sizes or values from the user.
PLAIN: dict[str, Callable[[], bytes]] = {
    maker.__name__: maker
    for maker in (
        dense, several_inputs, many_types, scalars, same_name_twice, nameless, stateful, lstm, while_loop,
        two_signatures, where, no_inputs, random_numbers, passthrough,
    )
}  # fmt: skip
