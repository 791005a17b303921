"""``edgewright bench`` on files that Edgewright did not make, as a person runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.devices.quick_command import QuickCommand
from tests.models import onnx_zoo, tflite_zoo

from edgewright.artifact import sha256_file
from edgewright.tensorfile import read_arrays


def save(made: onnx.ModelProto | bytes, folder: Path, name: str = "model") -> str:
    """The file's name in ``folder``."""
    is_onnx = isinstance(made, onnx.ModelProto)
    path = folder / f"{name}.{'onnx' if is_onnx else 'tflite'}"
    path.write_bytes(made.SerializeToString() if isinstance(made, onnx.ModelProto) else made)
    return path.name


def row(quick: QuickCommand, *words: str) -> dict[str, Any]:
    """The measured row of a command that must be done without a word on standard error."""
    answer = quick("bench", *words, "--json", "report.json")
    assert (answer.code, answer.err) == (0, ""), answer
    rows = json.loads((quick.folder / "report.json").read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 1 and rows[0]["outcome"] == "measured"
    assert rows[0]["latency_ms"]["count"] >= 3
    found: dict[str, Any] = rows[0]
    return found


def agrees(found: dict[str, Any]) -> bool:
    """Whether the device computed what this host did."""
    return bool(found["parity"]["cosine"] >= 0.999999 or found["parity"]["max_abs"] == 0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            onnx_zoo.voice_activity,
            ["--shape", "input:1x512", "--shape", "state:2x1x128", "--input", "sr=16000"],
        ),
        (tflite_zoo.dynamic, ["--shape", "serving_default_x:0:2x4x3"]),
    ],
)
def test_a_stranger_s_model_is_measured_with_the_user_s_sizes_and_values(
    make: Callable[[], onnx.ModelProto | bytes], words: list[str], quick: QuickCommand
) -> None:
    name = save(make(), quick.folder, "a stranger's")
    found = row(quick, name, *words)
    assert found["workload"] == name and found["recipe"] == "as-is" and agrees(found)
    assert found["artifact"]["sha256"] == sha256_file(quick.folder / name)


def test_an_array_from_a_file_is_what_the_model_is_fed_whatever_its_name(quick: QuickCommand) -> None:
    name = save(onnx_zoo.odd_names(), quick.folder)
    np.save(quick.folder / "seven.npy", np.full(2, 7, np.float32))
    zeros = [f"{name}=0" for name in ("serving_default_x:0", "file", "allow_pickle", "#1")]
    given = [word for text in ("model/in put.1=seven.npy", *zeros) for word in ("--input", text)]
    assert agrees(row(quick, name, *given))
    recorded = (quick.folder / "home/.cache/edgewright/recorded").glob("*.npz")
    kept = {key: value for path in recorded for key, value in read_arrays(path).items()}
    assert kept["../out:0"].tolist() == [7, 7] and kept["file"].tolist() == [0, 0]


def test_external_data_travels_with_its_model_through_the_links_of_a_download_cache(
    quick: QuickCommand,
) -> None:
    blobs, snapshot = quick.folder / "blobs", quick.folder / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    path = onnx_zoo.with_external_data(blobs, locations=("a.bin", "b.bin"))
    for name in (path.name, "a.bin", "b.bin"):
        (snapshot / name).symlink_to(Path("../blobs") / name)
    found = row(quick, "snapshot/big.onnx", "--input", "flag=true")
    assert found["artifact"]["size_bytes"] == sum(file.stat().st_size for file in blobs.iterdir())


def test_an_input_of_unknown_rank_runs_with_the_shape_it_is_given(quick: QuickCommand) -> None:
    name = save(onnx_zoo.unknown_rank(), quick.folder)
    assert quick.refusal(2, "bench", name) == (
        "model.onnx: input 'x' declares no shape, not even its number of axes "
        "(give it, for example --shape 'x:1x3x224x224', or x:scalar)"
    )
    assert agrees(row(quick, name, "--shape", "x:2x3"))


def test_a_plan_of_strangers_models_has_what_is_odd_about_each_in_its_row(quick: QuickCommand) -> None:
    makers: list[Callable[[], onnx.ModelProto | bytes]] = [
        onnx_zoo.lstm,
        onnx_zoo.zip_map,
        onnx_zoo.custom_operator,
        tflite_zoo.stateful,
        tflite_zoo.random_numbers,
    ]
    names = [save(make(), quick.folder, make.__name__) for make in makers]
    (quick.folder / "plan.toml").write_text(
        f"[plan]\nname = 'strangers'\nruntimes = ['onnxruntime', 'tflite']\nworkloads = {names}\n",
        encoding="utf-8",
    )
    answer = quick("run", "plan.toml", "--json", "report.json")
    assert answer.code == 1
    report = json.loads((quick.folder / "report.json").read_text(encoding="utf-8"))
    skipped = [one for one in report["rows"] if one["outcome"] == "skipped"]
    rows = {one["workload"]: one for one in report["rows"] if one["outcome"] != "skipped"}
    assert len(skipped) == len(rows) == len(names)
    assert all("it cannot run in a runtime for" in one["reason"] for one in skipped)

    custom = rows.pop("custom_operator.onnx")
    assert custom["outcome"] == "failed"
    assert "no operator com.acme.vision:SuperResize" in custom["reason"]
    assert any(note.startswith("this host could not run the model: ") for note in custom["notes"])
    random = rows.pop("random_numbers.tflite")
    assert random["parity"] is None and "random numbers" in random["parity_reason"]
    assert all(one["outcome"] == "measured" and agrees(one) for one in rows.values())
    assert any("probabilities" in note for note in rows["zip_map.onnx"]["notes"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (tflite_zoo.custom_operator, "has no operator SuperResize"),
        (onnx_zoo.not_a_number, "output 'loss' holds 6 NaN of 6 values"),
        (tflite_zoo.endless_recursion, "the worker was ended by SIGSEGV in its phase 'load'"),
    ],
)
def test_what_a_device_cannot_run_is_a_row_with_the_reason_in_words(
    make: Callable[[], onnx.ModelProto | bytes], words: str, quick: QuickCommand
) -> None:
    answer = quick("bench", save(make(), quick.folder), "--json", "report.json")
    assert answer.code == 1
    assert answer.err.startswith("error: local: ") and answer.err.count("\n") == 1 and words in answer.err
    (found,) = json.loads((quick.folder / "report.json").read_text(encoding="utf-8"))["rows"]
    assert found["outcome"] == "failed" and words in found["reason"]


@pytest.mark.parametrize(
    ("make", "words", "said"),
    [
        (
            onnx_zoo.voice_activity,
            [],
            "model.onnx: input input: float32[N x T] has dynamic dimensions: N (axis 0), T (axis 1); "
            "input state: float32[2 x N x 128] has dynamic dimensions: N (axis 1) "
            "(give their sizes, for example --shape input:1x1 --shape state:2x1x128)",
        ),
        (
            onnx_zoo.voice_activity,
            ["--shape", "input:3x512"],
            "model.onnx: input state: float32[2 x N x 128] has dynamic dimensions: N (axis 1) "
            "(give their sizes, for example --shape state:2x3x128)",
        ),
        (
            tflite_zoo.dynamic,
            [],
            "model.tflite: input serving_default_x:0: float32[? x 4 x ?] has dynamic dimensions: ? (axis 0), "
            "? (axis 2) (give their sizes, for example --shape serving_default_x:0:1x4x1)",
        ),
    ],
)
def test_sizes_that_only_the_user_knows_are_asked_for_by_name(
    make: Callable[[], onnx.ModelProto | bytes], words: list[str], said: str, quick: QuickCommand
) -> None:
    assert quick.refusal(2, "bench", save(make(), quick.folder), *words) == said


def test_sizes_the_model_cannot_compute_with_are_the_user_s_to_mend(quick: QuickCommand) -> None:
    line = quick.refusal(2, "bench", save(onnx_zoo.wants_four(), quick.folder), "--shape", "x:1x5")
    assert "the model cannot run on its inputs x: float32[1 x 5]" in line


def test_inputs_beyond_all_memory_are_refused_without_being_made(quick: QuickCommand) -> None:
    name = save(onnx_zoo.unnamed_dimension(), quick.folder)
    line = quick.refusal(1, "bench", name, "--shape", "tokens:2000000000x2000")
    assert "the inputs int64[2000000000 x 2000] need 64000000000000 bytes of memory" in line
