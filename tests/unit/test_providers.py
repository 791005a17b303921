"""Providers as users name them, as profiles order them, and as a verdict judges them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import launch, measured, row

from edgewright.errors import ConfigError
from edgewright.farm.providers import Asked
from edgewright.profile import DeviceProfile
from edgewright.profiles import load_profile
from edgewright.providers import provider_name
from edgewright.report import report_document, verdict
from edgewright.store import Run, StoredRun
from edgewright_agent.protocol import NodeShare, Placement, RunResult

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


@pytest.mark.parametrize(
    ("text", "runtime", "name"),
    [
        ("tensorrt", "onnxruntime", TENSORRT),
        ("TRT", "onnxruntime", TENSORRT),
        ("CUDAExecutionProvider", "onnxruntime", CUDA),
        ("cpu", "onnxruntime", CPU),
        ("OurOwnExecutionProvider", "onnxruntime", "OurOwnExecutionProvider"),
        ("xnnpack", "ai-edge-litert", "XNNPACK"),
        ("coral", "tflite", "edgetpu"),
        ("/usr/lib/libedgetpu.so.1", "tflite-runtime", "/usr/lib/libedgetpu.so.1"),
        ("libvx_delegate.so", "tflite", "libvx_delegate.so"),
    ],
)
def test_a_provider_is_known_by_what_people_call_it(text: str, runtime: str, name: str) -> None:
    assert provider_name(text, runtime) == name


@pytest.mark.parametrize(
    ("text", "runtime", "mend"),
    [
        ("tensort", "onnxruntime", "did you mean 'tensorrt'?"),
        ("XNNPAK", "tflite", "did you mean 'xnnpack'?"),
        ("ExecutionProvider", "onnxruntime", "known: "),
        ("cuda\n", "onnxruntime", ""),
    ],
)
def test_a_provider_nobody_knows(text: str, runtime: str, mend: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider_name(text, runtime)
    assert mend in caught.value.mend and "\n" not in str(caught.value)


JETSON = "[runtimes.onnxruntime.options.TensorrtExecutionProvider]"


def jetson(folder: Path, table: str = JETSON) -> DeviceProfile:
    shipped = Path(__file__).parents[2] / "device_profiles" / "jetson-orin-nano.toml"
    path = folder / "ours.toml"
    path.write_text(f'{shipped.read_text(encoding="utf-8")}\n{table}\ntrt_fp16_enable = "1"\n')
    return load_profile(path)


def test_a_profile_s_order_is_preferred_with_its_options(tmp_path: Path) -> None:
    execution = Asked().execution("onnxruntime", jetson(tmp_path), 2)
    assert execution.providers == (TENSORRT, CUDA, CPU) and execution.required == ()
    assert execution.provider_options == {TENSORRT: {"trt_fp16_enable": "1"}}
    assert execution.threads == 2


def test_what_the_user_names_replaces_the_order(tmp_path: Path) -> None:
    profile = jetson(tmp_path)
    asked = Asked.parse(("tensorrt",), ("cpu",), "onnxruntime")
    execution = asked.execution("onnxruntime", profile, 1)
    assert (execution.providers, execution.required) == ((TENSORRT, CPU), (TENSORRT,))
    assert execution.provider_options == {TENSORRT: {"trt_fp16_enable": "1"}}
    assert (
        Asked.parse((), ("cuda",), "onnxruntime").execution("onnxruntime", profile, 1).provider_options == {}
    )
    with pytest.raises(ConfigError, match="named twice"):
        Asked.parse(("cuda",), ("CUDA",), "onnxruntime")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            "[runtimes.onnxruntime.options.TensortExecutionProvider]",
            "did you mean 'TensorrtExecutionProvider'?",
        ),
        ("[runtimes.onnxruntime.option.TensorrtExecutionProvider]", "did you mean 'options'?"),
    ],
)
def test_options_that_nothing_reads_are_refused(table: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        jetson(tmp_path, table)
    assert words in str(caught.value)


def ran(*shares: tuple[str, int], providers: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> RunResult:
    result = launch(providers=providers or tuple(name for name, _ in shares))
    placement = Placement(tuple(NodeShare(*share) for share in shares), "counted")
    return replace(result, session=replace(result.session, placement=placement, notes=notes))


def judged(asked: tuple[str, ...], *launches: RunResult) -> tuple[str, list[str]]:
    found = verdict(replace(row(measured(*launches)), providers=asked))
    assert found is not None
    return found.status, [s for s in found.evidence if "asked for" in s or "different providers" in s]


def test_a_listed_provider_without_a_node_fell_back() -> None:
    note = f"{CUDA} did not start: libcublas.so.13: cannot open shared object file"
    status, evidence = judged((CUDA, CPU), ran((CPU, 9), providers=(CUDA, CPU), notes=(note,)))
    assert status == "fell back"
    assert evidence == [f"{CUDA} was asked for first, {CPU} executed 9 of 9 nodes ({note})"]


def test_a_share_of_the_nodes_is_evidence_and_no_fault() -> None:
    status, evidence = judged((CUDA, CPU), ran((CUDA, 90), (CPU, 10)))
    assert status != "fell back"
    assert evidence == [f"{CUDA} was asked for first; {CUDA} executed 90 of 100 nodes, {CPU} 10"]


def test_a_provider_that_the_first_one_left_nothing_did_not_fall_back() -> None:
    assert (
        judged((TENSORRT, CUDA, CPU), ran((TENSORRT, 9), providers=(TENSORRT, CUDA, CPU)))[0] != "fell back"
    )
    started = ran((TENSORRT, 9), (CPU, 1), providers=(TENSORRT, CUDA, CPU))
    assert judged((TENSORRT, CUDA, CPU), started)[0] != "fell back"


def test_a_provider_that_did_not_start_fell_back_wherever_it_stands() -> None:
    status, evidence = judged((TENSORRT, CUDA, CPU), ran((TENSORRT, 9), (CPU, 1)))
    assert status == "fell back" and evidence[0].startswith(
        f"{CUDA} was asked for earlier, {TENSORRT} executed"
    )


def test_launches_that_ran_differently_fell_back() -> None:
    status, evidence = judged((CUDA, CPU), ran((CUDA, 9)), ran((CUDA, 8), (CPU, 1)))
    assert status == "fell back" and "different providers" in evidence[0]


def test_nobody_who_was_asked_executed() -> None:
    status, evidence = judged((CUDA,), ran((CPU, 9)))
    assert status == "fell back" and evidence == [f"{CUDA} was asked for first, {CPU} executed 9 of 9 nodes"]


def document_row(result: RunResult) -> dict[str, object]:
    asked = replace(row(measured(result)), providers=(CUDA, CPU))
    run = Run("r", "demo", "quick", "", "2025-01-02T03:04:05+00:00", None, "0.1.0")
    return report_document(StoredRun(run, (asked,))).rows[0].model_dump()


def test_the_report_has_the_nodes_of_each_provider() -> None:
    found = document_row(ran((CPU, 3), (CUDA, 1), providers=(CUDA, CPU)))
    assert found["provider"] == CPU and found["providers_asked"] == [CUDA, CPU]
    assert found["provider_nodes"] == [
        {"provider": CPU, "nodes": 3, "share": 0.75},
        {"provider": CUDA, "nodes": 1, "share": 0.25},
    ]
    assert found["provider_nodes_method"] == "counted"


def test_the_report_says_why_nodes_were_not_counted() -> None:
    found = document_row(launch())
    assert found["provider"] == CPU and found["provider_nodes"] is None and found["provider_nodes_method"]


def test_the_time_of_building_an_engine_is_a_phase_of_its_own() -> None:
    result = launch()
    assert result.timing is not None
    built = replace(result, timing=replace(result.timing, build_ns=61_000_000_000))
    phases = document_row(built)["phases_ms"]
    assert isinstance(phases, dict) and phases["build"] == 61_000.0 and phases["load"] == 81.0
