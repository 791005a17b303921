"""``profile-ops`` as a person runs it, on real models of one network in float and in integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.devices.command_line import Answer, Edgewright
from tests.models import quantized, tflite_zoo


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    source = quantized.float_model(folder / "float.onnx")
    quantized.static_model(source, folder / "static.onnx")
    quantized.static_model(source, folder / "signed.onnx", activations="QInt8")
    quantized.dynamic_model(source, folder / "dynamic.onnx")
    tflite_zoo.save(tflite_zoo.dense(), folder / "dense.tflite")
    return folder


@pytest.fixture
def edgewright(models: Path, own_home: Path, tmp_path: Path) -> Edgewright:
    del own_home
    (models / "farm.toml").write_text(f'[devices.local]\nworkdir = "{tmp_path / "agent"}"\n')
    return Edgewright(models)


def profile(edgewright: Edgewright, *words: str) -> tuple[Answer, Any]:
    out = edgewright.folder / "profile.json"
    out.unlink(missing_ok=True)
    answer = edgewright(
        "profile-ops", *words, "--threads", "1", "--json", "profile.json", "--html", "page.html"
    )
    return answer, json.loads(out.read_text()) if out.is_file() else None


def types(side: Any) -> dict[str, int]:
    return {total["name"]: total["nodes"] for total in side["op_types"]}


@pytest.mark.long
def test_float_against_static_integers(edgewright: Edgewright) -> None:
    answer, found = profile(edgewright, "static.onnx", "--against", "float.onnx", "--runs", "20")
    assert answer.code == 0, answer.err
    base, other = found["sides"]
    assert (base["label"], other["label"]) == ("float.onnx", "static.onnx")
    assert (
        types(base)["Conv"] == 2 and types(other)["QLinearConv"] == 2 and types(other)["QuantizeLinear"] == 1
    )
    for side in (base, other):
        times = side["times_ms"]
        assert times["runs"] == 20 and times["nodes"] <= times["profiled"]
        assert [one["name"] for one in side["providers"]] == ["CPUExecutionProvider"]
        assert sum(node["ms"] for node in side["nodes"]) == pytest.approx(
            sum(total["ms"] for total in side["families"]), abs=1e-3
        )
    (comparison,) = found["comparisons"]
    assert comparison["ratio"] == pytest.approx(other["plain_ms"] / base["plain_ms"], abs=1e-3)
    assert [(p["baseline"]["op_type"], p["candidate"]["op_type"]) for p in comparison["pairs"]] == [
        ("Conv", "QLinearConv"),
        ("Conv", "QLinearConv"),
        ("MatMul", "QLinearMatMul"),
    ]
    text = " ".join(comparison["answer"])
    assert "3 convolutions and products multiply uint8 x int8" in text
    assert "static.onnx does no convolution or product in float" in text
    assert comparison["answer"][0] in " ".join(answer.out.split())
    assert "profile: page.html" in answer.out
    assert "QLinearConv" in (edgewright.folder / "page.html").read_text()


@pytest.mark.long
def test_signed_activations_are_told_from_unsigned_ones(edgewright: Edgewright) -> None:
    _, found = profile(edgewright, "signed.onnx", "--against", "static.onnx", "--runs", "10")
    computing = [node["numbers"] for node in found["sides"][0]["nodes"] if node["numbers"]]
    assert computing == ["uint8 x int8"] * 3
    assert [node["numbers"] for node in found["sides"][1]["nodes"] if node["numbers"]] == ["int8 x int8"] * 3


@pytest.mark.long
def test_dynamic_integers_show_what_quantizing_costs(edgewright: Edgewright) -> None:
    answer, found = profile(edgewright, "dynamic.onnx", "--against", "float.onnx", "--runs", "10")
    assert answer.code == 0, answer.err
    families = {pair["family"]: pair for pair in found["comparisons"][0]["families"]}
    assert families["quantize"]["baseline_ms"] is None and families["quantize"]["candidate_ms"] > 0
    assert families["rescale"]["candidate_ms"] > 0
    assert "Activations are quantized anew at every inference" in " ".join(found["comparisons"][0]["answer"])


def test_a_runtime_that_gives_no_times_says_so(edgewright: Edgewright) -> None:
    answer, found = profile(edgewright, "dense.tflite")
    assert answer.code == 1
    assert "unsupported: the Python interface of ai-edge-litert" in answer.err
    (side,) = found["sides"]
    assert side["times_ms"] is None and side["plain_ms"] > 0
    assert types(side) == {"FULLY_CONNECTED": 2} and side["providers"][0]["name"] == "XNNPACK"


@pytest.mark.long
def test_a_required_provider_that_does_not_execute_ends_the_command(edgewright: Edgewright) -> None:
    for command in ("profile-ops", "bench"):
        words = ("float.onnx", "--provider", "azure", "--farm", "farm.toml")
        store = ("--store", "results.db", "--preset", "rapid") if command == "bench" else ()
        answer = edgewright(command, *words, *store)
        assert answer.code == 1
        assert "AzureExecutionProvider is required and executes 0 of 7 nodes" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("float.onnx", "--recipe", "int8-static"), "--recipe is for FILE.py:FACTORY"),
        (("float.onnx", "--against", "gone.onnx"), "gone.onnx: no such file"),
        (("float.onnx", "--provider", "cudda"), "did you mean 'cuda'?"),
        (("float.onnx", "--html", "nowhere/p.html"), "no such folder"),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(
    words: tuple[str, ...], said: str, edgewright: Edgewright
) -> None:
    answer = edgewright("profile-ops", *words)
    assert answer.code == 2 and said in answer.err and "Traceback" not in answer.err
