"""What a profile by node says: sums, pairs, and an answer that follows from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import HOSTILE, device, launch

from edgewright.report.ops import OpsDocument, Profiled, ops_document
from edgewright.report.ops.assemble import Place
from edgewright.report.ops.cpu import deciding, integer_sentence
from edgewright.report.ops.disturbance import disturbance
from edgewright.report.ops.families import family, is_integer, numbers, sizes
from edgewright.report.ops.render import print_profile, render_html, write_html, write_json
from edgewright_agent.protocol import NodeShare, OpsProfile, OpTime, Placement, RunResult, Samples

CPU = "CPUExecutionProvider"
IMAGE = "float32[1x3x32x32]"


def op(name: str, op_type: str, us: int | None, *tensors: str, provider: str = CPU) -> OpTime:
    *inputs, output = tensors or (IMAGE, IMAGE)
    return OpTime(name, op_type, provider, 1, None if us is None else us * 1000, tuple(inputs), (output,))


FLOAT = (
    op("conv0", "Conv", 100, IMAGE, "float32[16x3x3x3]", "float32[1x16x32x32]"),
    op("conv1", "Conv", 300, "float32[1x16x32x32]", "float32[32x16x3x3]", "float32[1x32x32x32]"),
    op("dense", "Gemm", 50, "float32[1x32]", "float32[32x10]", "float32[1x10]"),
    op("relu", "Relu", 10),
)
QLINEAR = ("float32[]", "{0}[]", "float32[]", "{1}[]", "float32[]", "{0}[]")


def integer(activation: str = "uint8", weight: str = "int8", slower: int = 4) -> tuple[OpTime, ...]:
    rest = [text.format(activation, weight) for text in QLINEAR]

    def of(sizes: str) -> str:
        return f"{activation}[{sizes}]"

    return (
        op("x_q", "QuantizeLinear", 20, IMAGE, "float32[]", of(""), of("1x3x32x32")),
        op("conv0_q", "QLinearConv", 100 * slower, of("1x32x32x3"), *rest, of("1x32x32x16")),
        op("conv1_q", "QLinearConv", 300 * slower, of("1x32x32x16"), *rest, of("1x32x32x32")),
        op("dense", "Gemm", 50, "float32[1x32]", "float32[32x10]", "float32[1x10]"),
        op("y_dq", "DequantizeLinear", 5, of("1x10"), "float32[]", of(""), "float32[1x10]"),
    )


MAPS, SCALES = "float32[1x16x32x32]", "float32[16x1x1]"
DYNAMIC = (
    op("x_q", "DynamicQuantizeLinear", 60, IMAGE, "uint8[1x3x32x32]"),
    op("conv0_q", "ConvInteger", 120, "uint8[1x3x32x32]", "uint8[16x3x3x3]", "uint8[]", "int32[1x16x32x32]"),
    op("cast", "Cast", 7, "int32[1x16x32x32]", MAPS),
    op("conv0_quant_scales_mul", "Mul", 2, "float32[]", SCALES, SCALES),
    op("conv0_quant_output_scale_mul", "Mul", 9, MAPS, SCALES, MAPS),
    op("gate", "Mul", 4, MAPS, "float32[1x16x1x1]", MAPS),
)


def profiled(
    label: str, ops: tuple[OpTime, ...], *, plain_us: int = 0, reason: str = "", **session: object
) -> Profiled:
    total = sum(one.median_ns or 0 for one in ops)
    plain = 1000 * plain_us or total
    timed = launch(Samples([plain] * 60))
    shares: dict[str, int] = {}
    for one in ops:
        shares[one.provider] = shares.get(one.provider, 0) + 1
    placement = Placement(tuple(NodeShare(*share) for share in shares.items()), "counted")
    profile = OpsProfile(ops, Samples([total] * 9), Samples([total + 40_000] * 9), reason)
    if reason:
        profile = OpsProfile(ops, reason=reason)
    facts = replace(timed.session, placement=placement, **session)  # type: ignore[arg-type]
    result: RunResult = replace(timed, session=facts, ops=profile)
    return Profiled(label, "ab" * 32, 1000, "onnx", result)


def document(
    *models: Profiled, machine: str = "x86_64", features: tuple[str, ...] = ("avx2",)
) -> OpsDocument:
    facts = device(machine=machine, cpu_features=features, cpu_model="a processor")
    return ops_document(models, Place("bench", "x86-64-linux", facts))


def answer(*ops: tuple[OpTime, ...], machine: str = "x86_64", features: tuple[str, ...] = ("avx2",)) -> str:
    models = [profiled(label, one) for label, one in zip(("float", "other"), ops, strict=True)]
    found = document(*models, machine=machine, features=features)
    return "\n".join(found.comparisons[0].answer)


def test_sums_are_those_of_the_nodes() -> None:
    side = document(profiled("float", FLOAT)).sides[0]
    assert side.plain_ms == 0.46 and side.times_ms is not None and side.times_ms.nodes == 0.46
    assert [(f.name, f.nodes, f.ms) for f in side.families] == [
        ("convolution", 2, 0.4),
        ("matrix product", 1, 0.05),
        ("activation", 1, 0.01),
    ]
    assert next((t.name, t.ms, t.share) for t in side.op_types) == ("Conv", 0.4, 0.8696)
    assert [(p.name, p.nodes, p.ms) for p in side.providers] == [(CPU, 4, 0.46)]
    assert abs(sum(node.share or 0 for node in side.nodes) - 1.0) < 1e-3


def test_layers_are_matched_whatever_their_names_and_layouts() -> None:
    found = document(profiled("float", FLOAT), profiled("int8", integer())).comparisons[0]
    pairs = [(p.baseline and p.baseline.name, p.candidate and p.candidate.name, p.ratio) for p in found.pairs]
    assert pairs == [("conv0", "conv0_q", 4.0), ("conv1", "conv1_q", 4.0), ("dense", "dense", 1.0)]


def test_a_layer_without_a_counterpart_stands_alone() -> None:
    found = document(profiled("float", FLOAT), profiled("cut", FLOAT[1:])).comparisons[0]
    assert found.pairs[0].baseline is not None and found.pairs[0].candidate is None


def test_why_int8_is_slower_with_signed_activations() -> None:
    text = answer(FLOAT, integer("int8", "int8"))
    assert "other takes 1.68 ms and float 460 µs: 3.64 times as long." in text
    assert "convolution +1.20 ms (1.60 ms against 400 µs)" in text
    assert "the one that changed most is conv1_q (QLinearConv, int8 x int8): 1.20 ms against 300 µs" in text
    assert "no vector kernel for int8 x int8 on x86 processors without avx_vnni_int8" in text
    assert "Converting numbers (quantize, dequantize, rescale: 2 nodes) takes 25.0 µs, 1.5%" in text
    assert "Of the 3 convolutions and products of other, 1 are still done in float" in text


@pytest.mark.parametrize(
    ("machine", "features", "words"),
    [
        ("x86_64", ("avx2",), "has avx2 but none of avx512_vnni, avx_vnni and amx_int8"),
        ("x86_64", ("avx2", "avx512f", "avx512_vnni"), "in one instruction (avx512_vnni)"),
        ("x86_64", ("avx2", "avx_vnni"), "in one instruction (avx_vnni)"),
        ("aarch64", ("asimd",), "lacks asimddp"),
        ("aarch64", ("asimddp",), "has asimddp, but not i8mm"),
        ("aarch64", ("asimddp", "i8mm"), "has asimddp and i8mm"),
    ],
)
def test_the_processor_s_part_is_named(machine: str, features: tuple[str, ...], words: str) -> None:
    assert words in answer(FLOAT, integer(), machine=machine, features=features)


def test_an_unknown_processor_is_not_explained() -> None:
    assert integer_sentence("uint8 x int8", "riscv64", ("rv64gc",)) == ""
    assert "2 convolutions and products multiply uint8 x int8" in answer(FLOAT, integer(), machine="riscv64")


def test_quantizing_anew_and_rescaling_are_lines_of_their_own() -> None:
    text = answer(FLOAT[:1], DYNAMIC)
    assert "by 1 nodes that take 60.0 µs in all; static quantization fixes it beforehand" in text
    assert "Converting numbers (quantize, dequantize, rescale: 4 nodes) takes 78.0 µs" in text
    gate = next(n for n in document(profiled("d", DYNAMIC)).sides[0].nodes if n.name == "gate")
    assert gate.family == "elementwise", "a gate is the model's own"


def test_latencies_near_to_each_other_are_not_told_apart() -> None:
    models = [profiled("a", FLOAT, plain_us=460), profiled("b", FLOAT, plain_us=470)]
    assert "which one launch of each cannot tell apart" in document(*models).comparisons[0].answer[0]


def test_a_disturbed_device_gives_no_ranking() -> None:
    found = document(profiled("a", FLOAT), profiled("b", FLOAT, plain_us=900)).comparisons[0]
    assert "the device was disturbed while b ran: profile again" in found.answer[0]
    assert "times as" not in found.answer[0]


@pytest.mark.parametrize(
    ("plain", "profiled_", "nodes", "each", "words"),
    [
        (10.0, 10.4, 9.9, [9.8], None),
        (0.02, 0.09, 0.03, [0.001] * 20, None),
        (0.02, 0.077, 0.039, [0.004] * 8, None),
        (10.0, 8.0, 7.9, [7.9], "longer without profiling than with it"),
        (10.0, 14.0, 13.5, [13.5], "the nodes took longer than an inference"),
        (24.0, 24.7, 24.2, [6.0, 5.7], "their nodes took 24.2 ms, and 11.7 ms going by"),
    ],
)
def test_figures_that_contradict_each_other(
    plain: float, profiled_: float, nodes: float, each: list[float], words: str | None
) -> None:
    found = disturbance(plain, profiled_, nodes, each)
    assert found is None if words is None else found is not None and words in found


def test_a_runtime_without_times_is_said_in_words() -> None:
    untimed = (op("a", "CONV_2D", None, provider="XNNPACK"), op("b", "CUMSUM", None, provider="CPU"))
    reason = "unsupported: the Python interface of ai-edge-litert 2.3.0 gives no times by operator"
    tflite = profiled("net", untimed, plain_us=50, reason=reason, runtime="ai-edge-litert")
    found = document(tflite, tflite)
    side = found.sides[0]
    assert side.times_ms is None and side.times_reason == reason and side.plain_ms == 0.05
    assert [(n.op_type, n.provider, n.ms, n.share) for n in side.nodes] == [
        ("CONV_2D", "XNNPACK", None, None),
        ("CUMSUM", "CPU", None, None),
    ]
    assert any(f"no times by node: {reason}" in s for s in found.comparisons[0].answer)
    assert "No times by node:" in render_html(found)


def test_several_providers_are_told() -> None:
    mixed = (*FLOAT[:2], op("dense", "Gemm", 50, provider="CUDAExecutionProvider"))
    found = document(profiled("float", FLOAT), profiled("mixed", mixed)).comparisons[0]
    assert any("mixed is divided among CPUExecutionProvider 2 nodes, CUDA" in s for s in found.answer)
    assert any("end when the work is handed over" in s for s in found.answer)


U8, S8, F = "uint8[]", "int8[]", "float32[]"


@pytest.mark.parametrize(
    ("op_type", "inputs", "expected"),
    [
        ("Conv", ("float32[1x3]", "float32[3x3]"), "float32"),
        ("Conv", ("float16[1x3]", "float16[3x3]"), "float16"),
        ("QLinearConv", ("uint8[1]", F, U8, F, "int8[4]", F, U8), "uint8 x int8"),
        ("QLinearConv", ("int8[1]", F, S8, "int8[3x3]", F, S8, F, S8, "int32[4]"), "int8 x int8"),
        ("QGemm", ("uint8[1]", F, U8, F, S8, "int32[4]"), "uint8 x int8"),
        ("ConvInteger", ("uint8[1]", "int8[3]", U8, S8), "uint8 x int8"),
        ("MatMulInteger", ("uint8[1]", U8, S8), "uint8 x int8"),
        ("DynamicQuantizeMatMul", ("float32[1x32]", F, S8), "uint8 x int8"),
        ("Conv", (), "?"),
    ],
)
def test_what_a_node_multiplies(op_type: str, inputs: tuple[str, ...], expected: str) -> None:
    assert numbers(op_type, inputs) == expected
    assert is_integer(expected) == ("int8" in expected)


def test_families_know_operators_of_every_format() -> None:
    assert family("DEPTHWISE_CONV_2D", "", (), is_unscaled=False) == "convolution"
    assert family("NchwcSomething", "", (), is_unscaled=False) == "other"
    assert family("Cast", "", ("int32[4]",), is_unscaled=False) == "elementwise"
    assert sizes("uint8[1x32x16x32]") == (16, 32, 32) and sizes("") == () and sizes("float32[]") == ()
    assert deciding(("sse", "asimddp", "avx2", "i8mm")) == ["avx2", "asimddp", "i8mm"]


def test_what_a_device_says_is_harmless_in_every_form(tmp_path: Path) -> None:
    hostile = tuple(replace(one, name=HOSTILE, op_type=HOSTILE, provider=HOSTILE) for one in FLOAT)
    found = document(profiled("float", FLOAT), profiled("hostile", hostile, notes=(HOSTILE,)))
    page = render_html(found)
    assert "<script" not in page and "<img" not in page and "\x1b" not in page
    assert "default-src &#39;none&#39;" in page
    write_json(found, tmp_path / "p.json")
    write_html(found, tmp_path / "p.html")
    assert OpsDocument.model_validate_json((tmp_path / "p.json").read_text()) == found
    assert json.loads((tmp_path / "p.json").read_text())["schema"] == "edgewright.ops/1"
    with (tmp_path / "p.txt").open("w") as stream:
        print_profile(found, stream, width=100)
    printed = (tmp_path / "p.txt").read_text()
    assert "\x1b" not in printed and "hostile against float" in printed
