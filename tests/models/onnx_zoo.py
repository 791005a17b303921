"""ONNX models of the kinds found in the wild, a few kilobytes each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

OPSET, IR = 17, 9
Dims = Sequence[int | str | None]


def value(name: str, kind: int, shape: Dims) -> onnx.ValueInfoProto:
    return h.make_tensor_value_info(name, kind, shape)


def constant(name: str, array: NDArray[np.generic]) -> onnx.TensorProto:
    return numpy_helper.from_array(array, name)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
    *,
    opsets: Sequence[tuple[str, int]] = (("", OPSET),),
    ir: int = IR,
) -> onnx.ModelProto:
    graph = h.make_graph(nodes, "stranger", inputs, outputs, list(constants))
    return h.make_model(graph, opset_imports=[h.make_opsetid(*opset) for opset in opsets], ir_version=ir)


def one_node(operator: str, kind: int = T.FLOAT, shape: Dims = (1, 8), name: str = "x") -> onnx.ModelProto:
    """``y = operator(x)``, of one type and shape."""
    return model(
        [h.make_node(operator, [name], ["y"])], [value(name, kind, shape)], [value("y", kind, shape)]
    )


def weights(seed: int, *shape: int) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.1).astype(np.float32)


def many_types() -> onnx.ModelProto:
    """One input of each numeric type, each cast to float and summed."""
    kinds = {
        "f32": T.FLOAT, "f16": T.FLOAT16, "f64": T.DOUBLE, "i8": T.INT8, "u8": T.UINT8, "i16": T.INT16,
        "i32": T.INT32, "i64": T.INT64, "u32": T.UINT32, "flag": T.BOOL,
    }  # fmt: skip
    nodes = [h.make_node("Cast", [name], [f"{name}_f"], to=T.FLOAT) for name in kinds]
    nodes.append(h.make_node("Sum", [f"{name}_f" for name in kinds], ["sum"]))
    nodes.append(h.make_node("Cast", ["f64"], ["half"], to=T.FLOAT16))
    nodes.append(h.make_node("Not", ["flag"], ["not_flag"]))
    outputs = [
        value("sum", T.FLOAT, [2, 3]),
        value("half", T.FLOAT16, [2, 3]),
        value("not_flag", T.BOOL, [2, 3]),
    ]
    return model(nodes, [value(name, kind, [2, 3]) for name, kind in kinds.items()], outputs)


def scalars() -> onnx.ModelProto:
    """``y = x * gain + Cast(rate)`` with both of shape []."""
    nodes = [
        h.make_node("Cast", ["rate"], ["rate_f"], to=T.FLOAT),
        h.make_node("Mul", ["x", "gain"], ["scaled"]),
        h.make_node("Add", ["scaled", "rate_f"], ["y"]),
    ]
    inputs = [value("x", T.FLOAT, [1, 4]), value("gain", T.FLOAT, []), value("rate", T.INT64, [])]
    return model(nodes, inputs, [value("y", T.FLOAT, [1, 4]), value("rate_f", T.FLOAT, [])])


def lstm(hidden: int = 4) -> onnx.ModelProto:
    """State in, state out, as exported from torch."""
    node = h.make_node("LSTM", ["x", "w", "r", "", "", "h0", "c0"], ["ys", "hn", "cn"], hidden_size=hidden)
    state = [1, 1, hidden]
    return model(
        [node],
        [value("x", T.FLOAT, [5, 1, 3]), value("h0", T.FLOAT, state), value("c0", T.FLOAT, state)],
        [value("ys", T.FLOAT, [5, 1, 1, hidden]), value("hn", T.FLOAT, state), value("cn", T.FLOAT, state)],
        [constant("w", weights(0, 1, 4 * hidden, 3)), constant("r", weights(1, 1, 4 * hidden, hidden))],
    )


def voice_activity() -> onnx.ModelProto:
    """The signature of Silero VAD, with a branch on its scalar rate."""

    def branch(name: str, columns: int) -> onnx.GraphProto:
        nodes = [
            h.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
            h.make_node("MatMul", ["mean", f"w_{name}"], ["out"]),
        ]
        return h.make_graph(
            nodes,
            name,
            [],
            [value("out", T.FLOAT, ["N", 1])],
            [constant(f"w_{name}", weights(columns, 1, 1))],
        )

    nodes = [
        h.make_node("Equal", ["sr", "sixteen_k"], ["is_16k"]),
        h.make_node("If", ["is_16k"], ["score"], then_branch=branch("k16", 1), else_branch=branch("k8", 2)),
        h.make_node("Sigmoid", ["score"], ["output"]),
        h.make_node("Tanh", ["state"], ["stateN"]),
    ]
    return model(
        nodes,
        [
            value("input", T.FLOAT, ["N", "T"]),
            value("state", T.FLOAT, [2, "N", 128]),
            value("sr", T.INT64, []),
        ],
        [value("output", T.FLOAT, ["N", 1]), value("stateN", T.FLOAT, [2, "N", 128])],
        [constant("sixteen_k", np.asarray(16000, np.int64))],
    )


def loop() -> onnx.ModelProto:
    """Adds ``x`` to itself ``count`` times."""
    body = h.make_graph(
        [h.make_node("Add", ["sum_in", "x"], ["sum_out"]), h.make_node("Identity", ["go_in"], ["go_out"])],
        "body",
        [value("i", T.INT64, []), value("go_in", T.BOOL, []), value("sum_in", T.FLOAT, [1, 8])],
        [value("go_out", T.BOOL, []), value("sum_out", T.FLOAT, [1, 8])],
    )
    return model(
        [h.make_node("Loop", ["count", "", "x"], ["y"], body=body)],
        [value("x", T.FLOAT, [1, 8]), value("count", T.INT64, [])],
        [value("y", T.FLOAT, [1, 8])],
    )


def unnamed_dimension() -> onnx.ModelProto:
    """``tokens[?, length]``: one axis without even a symbol."""
    return one_node("Abs", T.INT64, [None, "length"], "tokens")


def odd_names() -> onnx.ModelProto:
    """Names that mean something to shells, zip files, paths, or numpy's own functions."""
    names = ["serving_default_x:0", "model/in put.1", "file", "allow_pickle", "#1"]
    inputs = [value(name, T.FLOAT, [2]) for name in names]
    return model([h.make_node("Sum", names, ["../out:0"])], inputs, [value("../out:0", T.FLOAT, [2])])


def strings() -> onnx.ModelProto:
    """Text in, the same text and its labels' numbers out."""
    node = h.make_node(
        "LabelEncoder",
        ["text"],
        ["number"],
        domain="ai.onnx.ml",
        keys_strings=["yes", "no"],
        values_int64s=[1, 0],
    )
    return model(
        [node, h.make_node("Identity", ["text"], ["same"])],
        [value("text", T.STRING, [2])],
        [value("number", T.INT64, [2]), value("same", T.STRING, [2])],
        opsets=[("", OPSET), ("ai.onnx.ml", 2)],
    )


def zip_map(*, only_map: bool = False) -> onnx.ModelProto:
    """What scikit-learn converters end with: probabilities as a sequence of maps."""
    nodes = [
        h.make_node("MatMul", ["x", "w"], ["logits"]),
        h.make_node("Softmax", ["logits"], ["p"]),
        h.make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
    ]
    entry = h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(T.FLOAT, []))
    outputs = [h.make_value_info("probabilities", h.make_sequence_type_proto(entry))]
    if not only_map:
        outputs.append(value("p", T.FLOAT, [2, 3]))
    return model(
        nodes,
        [value("x", T.FLOAT, [2, 4])],
        outputs,
        [constant("w", weights(3, 4, 3))],
        opsets=[("", OPSET), ("ai.onnx.ml", 2)],
    )


def sequence_input() -> onnx.ModelProto:
    kind = h.make_sequence_type_proto(h.make_tensor_type_proto(T.FLOAT, [2]))
    node = h.make_node("ConcatFromSequence", ["parts"], ["y"], axis=0)
    return model([node], [h.make_value_info("parts", kind)], [value("y", T.FLOAT, [None])])


def custom_operator(domain: str = "com.acme.vision") -> onnx.ModelProto:
    node = h.make_node("SuperResize", ["x"], ["y"], domain=domain)
    return model(
        [node],
        [value("x", T.FLOAT, [1, 8])],
        [value("y", T.FLOAT, [1, 8])],
        opsets=[("", OPSET), (domain, 1)],
    )


def unknown_operator() -> onnx.ModelProto:
    """An operator that the standard domain does not have, or not yet."""
    return one_node("TeleportV9")


def unknown_domain() -> onnx.ModelProto:
    """The domain is imported by nobody."""
    node = h.make_node("SuperResize", ["x"], ["y"], domain="com.acme.vision")
    return model([node], [value("x", T.FLOAT, [1, 8])], [value("y", T.FLOAT, [1, 8])])


def non_zero() -> onnx.ModelProto:
    """The output's shape depends on the data."""
    return model(
        [h.make_node("NonZero", ["x"], ["where"])],
        [value("x", T.FLOAT, [3, 5])],
        [value("where", T.INT64, [2, "found"])],
    )


def non_max_suppression() -> onnx.ModelProto:
    """What detectors end with; with made-up scores some boxes remain."""
    nodes = [
        h.make_node("Sigmoid", ["raw"], ["scores"]),
        h.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["kept"]),
    ]
    limits = [
        constant("most", np.asarray([3], np.int64)),
        constant("overlap", np.asarray([0.5], np.float32)),
        constant("least", np.asarray([0.4], np.float32)),
    ]
    return model(
        nodes,
        [value("boxes", T.FLOAT, [1, 20, 4]), value("raw", T.FLOAT, [1, 2, 20])],
        [value("kept", T.INT64, ["kept", 3])],
        limits,
    )


def not_a_number() -> onnx.ModelProto:
    """``log(-|x| - 1)``: NaN whatever comes in; a second output is sound."""
    nodes = [
        h.make_node("Abs", ["x"], ["size"]),
        h.make_node("Neg", ["size"], ["below"]),
        h.make_node("Sub", ["below", "one"], ["negative"]),
        h.make_node("Log", ["negative"], ["loss"]),
    ]
    return model(
        nodes,
        [value("x", T.FLOAT, [2, 3])],
        [value("size", T.FLOAT, [2, 3]), value("loss", T.FLOAT, [2, 3])],
        [constant("one", np.asarray(1, np.float32))],
    )


def no_inputs() -> onnx.ModelProto:
    return model(
        [h.make_node("Neg", ["w"], ["y"])],
        [],
        [value("y", T.FLOAT, [2, 2])],
        [constant("w", weights(4, 2, 2))],
    )


def listed_initializer() -> onnx.ModelProto:
    """Old exporters list their weights among the graph's inputs."""
    return model(
        [h.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, [1, 4]), value("w", T.FLOAT, [4, 2])],
        [value("y", T.FLOAT, [1, 2])],
        [constant("w", weights(5, 4, 2))],
    )


def random_numbers() -> onnx.ModelProto:
    """Noise is added inside, without a seed, as in text-to-speech models."""
    nodes = [h.make_node("RandomNormalLike", ["x"], ["noise"]), h.make_node("Add", ["x", "noise"], ["y"])]
    return model(nodes, [value("x", T.FLOAT, [1, 64])], [value("y", T.FLOAT, [1, 64])])


def folds_slowly(size: int = 1024) -> onnx.ModelProto:
    """A product of large constants, which the runtime computes while it loads."""
    ones = h.make_node("ConstantOfShape", ["shape"], ["c"], value=h.make_tensor("", T.FLOAT, [1], [1e-3]))
    nodes = [ones]
    last = "c"
    for step in range(6):
        nodes.append(h.make_node("MatMul", [last, "c"], [f"m{step}"]))
        last = f"m{step}"
    nodes += [h.make_node("ReduceMax", [last], ["top"], keepdims=0), h.make_node("Mul", ["x", "top"], ["y"])]
    return model(
        nodes,
        [value("x", T.FLOAT, [1, 8])],
        [value("y", T.FLOAT, [1, 8])],
        [constant("shape", np.asarray([size, size], np.int64))],
    )


def brain_floats() -> onnx.ModelProto:
    """A type that numpy does not have."""
    return one_node("Identity", T.BFLOAT16, [2])


def passthrough() -> onnx.ModelProto:
    """An input that is an output."""
    return model([], [value("x", T.FLOAT, [1, 8])], [value("x", T.FLOAT, [1, 8])])


def wants_four() -> onnx.ModelProto:
    """Declares any size and computes with four only: the runtime finds out as it runs."""
    return model(
        [h.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", T.FLOAT, ["n", "k"])],
        [value("y", T.FLOAT, ["n", 2])],
        [constant("w", weights(9, 4, 2))],
    )


def unknown_rank() -> onnx.ModelProto:
    """An input of which not even the number of axes is declared."""
    return model(
        [h.make_node("Abs", ["x"], ["y"])],
        [h.make_tensor_value_info("x", T.FLOAT, None)],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
    )


def float64_convolution() -> onnx.ModelProto:
    """Valid, and of a type that no kernel is for."""
    return model(
        [h.make_node("Conv", ["x", "w"], ["y"])],
        [value("x", T.DOUBLE, [1, 3, 8, 8])],
        [value("y", T.DOUBLE, [1, 3, 6, 6])],
        [constant("w", np.zeros((3, 3, 3, 3)))],
    )


def newer(*, opset: int = OPSET, ir: int = IR, ml: int = 2) -> onnx.ModelProto:
    """Written for versions that do not exist yet."""
    proto = strings()
    proto.ir_version = ir
    proto.opset_import[0].version, proto.opset_import[1].version = opset, ml
    return proto


def save(proto: onnx.ModelProto, path: Path) -> Path:
    onnx.save(proto, path)
    return path


def with_external_data(
    folder: Path, name: str = "big.onnx", locations: Sequence[str] = ("big.data",)
) -> Path:
    """Two large constants of the graph and one in a subgraph, kept in one file or spread over several."""
    branch = h.make_graph(
        [h.make_node("MatMul", ["x", "w_sub"], ["then"])],
        "then",
        [],
        [value("then", T.FLOAT, [1, 64])],
        [constant("w_sub", weights(6, 64, 64))],
    )
    other = h.make_graph(
        [h.make_node("Identity", ["x"], ["else"])], "else", [], [value("else", T.FLOAT, [1, 64])]
    )
    nodes = [
        h.make_node("MatMul", ["x", "w0"], ["a"]),
        h.make_node("MatMul", ["a", "w1"], ["b"]),
        h.make_node("If", ["flag"], ["c"], then_branch=branch, else_branch=other),
        h.make_node("Add", ["b", "c"], ["y"]),
    ]
    proto = model(
        nodes,
        [value("x", T.FLOAT, [1, 64]), value("flag", T.BOOL, [])],
        [value("y", T.FLOAT, [1, 64])],
        [constant("w0", weights(7, 64, 64)), constant("w1", weights(8, 64, 64))],
    )
    inner = next(a.g for a in proto.graph.node[2].attribute if a.name == "then_branch")
    tensors = [*proto.graph.initializer, *inner.initializer]
    for number, tensor in enumerate(tensors):
        _move_out(tensor, folder, locations[number % len(locations)])
    return save(proto, folder / name)


def _move_out(tensor: onnx.TensorProto, folder: Path, location: str) -> None:
    """Append the tensor's bytes to ``location`` and refer to them there."""
    target = folder / location
    offset = target.stat().st_size if target.is_file() else 0
    with target.open("ab") as stream:
        stream.write(tensor.raw_data)
    refer(tensor, location, offset, len(tensor.raw_data))


def refer(tensor: onnx.TensorProto, location: str, offset: int = 0, length: int | None = None) -> None:
    """Make the tensor one whose bytes are elsewhere, wherever ``location`` may lead."""
    tensor.ClearField("raw_data")
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": location, "offset": str(offset)}
    if length is not None:
        entries["length"] = str(length)
    for key, text in entries.items():
        tensor.external_data.add(key=key, value=text)


def pointing_at(location: str, folder: Path) -> Path:
    """A model whose one constant is said to be in ``location``."""
    proto = listed_initializer()
    refer(proto.graph.initializer[0], location, 0, 32)
    return save(proto, folder / "pointing.onnx")


#: Those that run as they are, without sizes or values from the user.
PLAIN: dict[str, Callable[[], onnx.ModelProto]] = {
    maker.__name__: maker
    for maker in (
        many_types, scalars, lstm, loop, odd_names, zip_map, non_zero, non_max_suppression, no_inputs,
        listed_initializer, random_numbers, passthrough,
    )
}  # fmt: skip
