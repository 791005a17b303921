"""Whatever a person gets wrong on this machine: one line that says what, and the right exit code."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.devices.quick_command import QuickCommand
from tests.models import onnx_zoo, tflite_zoo

WORKLOADS = """
import torch
from edgewright.workload import Workload

def net(name, inputs, weight=0.5):
    model = torch.nn.Linear(4, 2)
    torch.nn.init.constant_(model.weight, weight)
    return Workload(name, model, inputs)

def good():
    return net("good", (torch.zeros(1, 4),))

def raises():
    raise KeyError("weights\\n of another line")

def leaves():
    raise SystemExit(0)

def number():
    return 3

def needs(argument):
    return argument

def shapes():
    return net("shapes", (torch.zeros(1, 5),))

def no_numbers():
    return net("no-numbers", (torch.ones(1, 4),), float("nan"))
"""


def bad_file(folder: Path, kind: str, ending: str) -> str:
    """A file that ends like a model and is none."""
    path = folder / f"bad.{ending}"
    if kind == "absent":
        return path.name
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "unreadable":
        path.symlink_to("/proc/self/mem")
    elif kind == "other format":
        path.write_bytes(tflite_zoo.dense() if ending == "onnx" else onnx_zoo.lstm().SerializeToString())
    else:
        path.write_bytes({"empty": b"", "text": b"hello, I am no model\n", "zeros": bytes(4096)}[kind])
    return path.name


@pytest.mark.parametrize("ending", ["onnx", "tflite"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("absent", "no such file"),
        ("folder", "not a file"),
        ("pipe", "not a file"),
        ("device", "not a file"),
        ("dangling link", "no such file"),
        ("unreadable", "empty"),
        ("empty", "empty"),
        ("text", "not a"),
        ("zeros", "not a"),
        ("other format", "not a"),
    ],
)
def test_a_file_that_is_no_model(kind: str, said: str, ending: str, quick: QuickCommand) -> None:
    name = bad_file(quick.folder, kind, ending)
    assert quick.refusal(2, "bench", name).startswith(f"{name}: {said}")


def test_a_file_that_may_not_be_read(quick: QuickCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *args: object, **kwargs: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    onnx_zoo.save(onnx_zoo.lstm(), quick.folder / "mine.onnx")
    monkeypatch.setattr(Path, "read_bytes", refused)
    assert quick.refusal(2, "bench", "mine.onnx") == "mine.onnx: cannot be read: Permission denied"


def test_an_onnx_file_beyond_what_the_format_can_hold(quick: QuickCommand) -> None:
    with (quick.folder / "huge.onnx").open("wb") as stream:
        stream.truncate(3 << 30)
    assert quick.refusal(2, "bench", "huge.onnx") == (
        "huge.onnx: larger than the 2 GiB of an ONNX file (keep its data in a file beside it)"
    )


@pytest.mark.parametrize("kept", [1, 0.1, 0.5, 0.9, -1])
def test_a_truncated_onnx_model(kept: float, quick: QuickCommand) -> None:
    content = onnx_zoo.voice_activity().SerializeToString()
    end = int(len(content) * kept) if isinstance(kept, float) else kept
    (quick.folder / "cut.onnx").write_bytes(content[:end])
    assert quick.refusal(2, "bench", "cut.onnx") == (
        "cut.onnx: not a valid ONNX file: truncated, or another format"
    )


@pytest.mark.parametrize("kept", [64, 0.5, -1])
def test_a_truncated_tflite_model(kept: float, quick: QuickCommand) -> None:
    content = tflite_zoo.lstm()
    end = int(len(content) * kept) if isinstance(kept, float) else kept
    (quick.folder / "cut.tflite").write_bytes(content[:end])
    assert quick.refusal(2, "bench", "cut.tflite") == (
        "cut.tflite: not a valid TFLite file: truncated, or another format"
    )


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("missing.bin", "is missing"),
        ("/etc/hostname", "points outside the model's folder"),
        ("../outside.bin", "points outside the model's folder"),
        ("a/../../outside.bin", "points outside the model's folder"),
        ("..\\outside.bin", "points outside the model's folder"),
        ("", "points outside the model's folder"),
        ("link.bin", "points outside the model's folder"),
        ("*/_ORT_MEM_ADDR_/*", "is in a subfolder (save the model with its data beside it)"),
        ("short.bin", "is truncated: it needs 32 bytes, the file has 10"),
        ("pipe.bin", "is not a file"),
    ],
)
def test_external_data_that_is_not_beside_its_model(location: str, said: str, quick: QuickCommand) -> None:
    (quick.folder / "outside.bin").write_bytes(bytes(64))
    models = quick.folder / "models"
    models.mkdir()
    (models / "link.bin").symlink_to(quick.folder / "outside.bin")
    (models / "short.bin").write_bytes(bytes(10))
    os.mkfifo(models / "pipe.bin")
    onnx_zoo.pointing_at(location, models)
    assert quick.refusal(2, "bench", "models/pointing.onnx") == (
        f"models/pointing.onnx: external data {location!r} of tensor 'w' {said}"
    )


def test_external_data_in_a_function_of_the_model_s_own_is_looked_at(quick: QuickCommand) -> None:
    proto = onnx_zoo.listed_initializer()
    tensor = proto.graph.initializer[0]
    onnx_zoo.refer(tensor, "/etc/hostname", 0, 8)
    function = proto.functions.add(name="f", domain="own")
    function.node.add(op_type="Constant", output=["c"]).attribute.add(name="value", type=4).t.CopyFrom(tensor)
    proto.graph.initializer.pop()
    onnx_zoo.save(proto, quick.folder / "f.onnx")
    assert "points outside the model's folder" in quick.refusal(2, "bench", "f.onnx")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.pt"], "model.pt: neither a model file nor a workload (expected MODEL.onnx"),
        (["wl.py"], "wl.py: neither a model file nor a workload"),
        (["none.py:f"], "none.py: no such file"),
        (["m.onnx", "--recipe", "int8"], "--recipe is for FILE.py:FACTORY"),
        (["wl.py:good", "--recipe", "int8-statik"], "unknown recipe 'int8-statik' (did you mean 'int8"),
        (["wl.py:good", "--recipe", "none.toml"], "none.toml: no such file"),
        (["wl.py:good", "--recipe", "odd.toml"], "odd.toml: unknown key 'stepz' (did you mean 'steps'?)"),
        (["m.onnx", "--device", "lokal"], "unknown device 'lokal' and there is no farm.toml"),
        (["m.onnx", "--preset", "rapd"], "no preset is called 'rapd' (did you mean 'rapid'?)"),
        (["m.onnx", "--runtime", "onnxruntim"], "no runtime is called 'onnxruntim' (did you mean 'onnxr"),
        (["m.onnx", "--runtime", "tflite"], "m.onnx: tflite does not run onnx (use onnxruntime)"),
        (["m.onnx", "--threads", "0"], "Invalid value for '--threads'"),
        (["m.onnx", "--threads", "many"], "Invalid value for '--threads'"),
        (["m.onnx", "--shape", "1x2"], "Invalid value for --shape: '1x2' is not NAME:1x3x224x224"),
        (["m.onnx", "--shape", "x:1x"], "Invalid value for --shape: 'x:1x'"),
        (["m.onnx", "--shape", "x:-1x4"], "Invalid value for --shape: 'x:-1x4'"),
        (["m.onnx", "--shape", "x:1x٤"], "Invalid value for --shape: 'x:1x٤'"),
        (["m.onnx", "--shape", "x:1x4", "--shape", "x:1x4"], "Invalid value for --shape: 'x' is given twice"),
        (["m.onnx", "--shape", "x:9999999999x4"], "Invalid value for --shape: 'x:9999999999x4' has a size"),
        (["m.onnx", "--shape", "gain:2"], "m.onnx: --shape gain:2 does not fit a scalar input"),
        (["m.onnx", "--input", "x"], "Invalid value for --input: 'x' is not NAME=VALUE or NAME=FILE.npy"),
        (["m.onnx", "--input", "=1"], "Invalid value for --input: '=1'"),
        (["m.onnx", "--input", "x=1", "--input", "x=2"], "Invalid value for --input: 'x' is given twice"),
        (["m.onnx", "--input", "x=none.npy"], "none.npy: no such file"),
        (["m.onnx", "--input", "x=pipe.npy"], "pipe.npy: not a file"),
        (["m.onnx", "--input", "x=text.npy"], "text.npy: not a readable .npy file"),
        (["m.onnx", "--input", "x=objects.npy"], "objects.npy: not a readable .npy file"),
        (["m.onnx", "--input", "x=liar.npy"], "liar.npy: not a readable .npy file"),
        (["m.onnx", "--input", "x=archive.npy"], "archive.npy: an archive, not a .npy file"),
        (["wl.py:good", "--shape", "x:1x4"], "--shape and --input are for bare model files"),
        (["m.onnx", "--farm", "none.toml"], "none.toml: no such file"),
        (["m.onnx", "--farm", "farm.toml"], "farm.toml: unknown key 'devices.pi.profil' (did you mean 'pro"),
        (["m.onnx", "--json", "none/r.json"], "none/r.json: no such folder"),
        (["m.onnx", "--html", "none/r.html"], "none/r.html: no such folder"),
        (["m.onnx", "--json", "."], ".: a folder (name the file in it)"),
        (["m.onnx", "--json", "/proc/r.json"], "/proc/r.json: cannot be written: "),
        (["m.onnx", "--nonsense"], "No such option '--nonsense'"),
        (["m.onnx", "more"], "Got unexpected extra argument (more)"),
        ([], "Missing argument"),
    ],
)  # fmt: skip
def test_a_word_that_is_wrong_is_refused_before_anything_runs(
    words: list[str], said: str, quick: QuickCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was run")

    folder = quick.folder
    onnx_zoo.save(onnx_zoo.scalars(), folder / "m.onnx")
    (folder / "wl.py").write_text("raise AssertionError('imported')\n")
    (folder / "odd.toml").write_text("description = 'odd'\nstepz = []\n")
    if "farm.toml" in words:
        (folder / "farm.toml").write_text("[devices.pi]\nprofil = 'raspberry-pi-5'\naddress = 'a@b'\n")
    os.mkfifo(folder / "pipe.npy")
    (folder / "text.npy").write_text("1 2 3\n")
    np.save(folder / "objects.npy", np.array([{}], dtype=object))
    np.savez(folder / "archive.npz", x=np.zeros(1))
    (folder / "archive.npz").rename(folder / "archive.npy")
    np.save(folder / "liar.npy", np.zeros(3))
    lying = (folder / "liar.npy").read_bytes().replace(b"(3,), }         ", b"(3000000000000,)")
    (folder / "liar.npy").write_bytes(lying.replace(b"(3000000000000,)", b"(300000000000,)}"))
    monkeypatch.setattr("edgewright.reference.reference_run", never)
    monkeypatch.setattr("edgewright.device.Device.open", never)
    assert quick.refusal(2, "bench", *words).startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shape", "x:2x4"], "m.onnx: --shape x:2x4 does not fit input x: float32[1 x 4]"),
        (["--shape", "y:2"], "m.onnx: --shape: the model has no input 'y' (its inputs: x, gain, rate)"),
        (["--input", "rate=1.5"], "m.onnx: input rate: int64[] cannot hold '1.5' (write --input rate=NUMBER"),
        (["--input", "x=wide.npy"], "m.onnx: input x: float32[1 x 4] cannot take float64[1 x 4] (save"),
    ],
)  # fmt: skip
def test_sizes_and_values_that_do_not_fit_the_model(words: list[str], said: str, quick: QuickCommand) -> None:
    onnx_zoo.save(onnx_zoo.scalars(), quick.folder / "m.onnx")
    np.save(quick.folder / "wide.npy", np.zeros((1, 4)))
    assert quick.refusal(2, "bench", "m.onnx", *words).startswith(said)


def test_more_threads_than_there_are_cores(quick: QuickCommand) -> None:
    onnx_zoo.save(onnx_zoo.scalars(), quick.folder / "m.onnx")
    line = quick.refusal(2, "bench", "m.onnx", "--threads", "4096")
    assert line.startswith("local: 4096 threads asked for, the device has ")


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("/proc/none/s.sqlite", "/proc/none/s.sqlite: the store cannot be opened"),
        ("/dev/null", "/dev/null: the store cannot be opened"),
        ("m.onnx", "not an Edgewright store"),
    ],
)
def test_a_store_that_cannot_be_written(store: str, said: str, quick: QuickCommand) -> None:
    onnx_zoo.save(onnx_zoo.scalars(), quick.folder / "m.onnx")
    assert said in quick.refusal(2, "bench", "m.onnx", "--store", store)


@pytest.mark.parametrize(
    ("factory", "code", "said"),
    [
        ("raises", 2, "factory 'raises' raised KeyError"),
        ("leaves", 2, "factory 'leaves' raised SystemExit: 0"),
        ("number", 2, "returned int, not a Workload"),
        ("needs", 2, "raised TypeError: needs() missing 1 required positional argument"),
        ("goood", 2, "factory 'goood' is not there (did you mean 'good'?)"),
        ("WORD", 2, "factory 'WORD' is not a function"),
        ("shapes", 2, "the model's forward failed on float32[1 x 5]"),
        ("no_numbers", 1, "output 'output' holds 2 NaN or infinite of 2 values"),
    ],
)
def test_a_workload_that_is_wrong(factory: str, code: int, said: str, quick: QuickCommand) -> None:
    (quick.folder / "wl.py").write_text(WORKLOADS + "\nWORD = 'a word'\n")
    assert said in quick.refusal(code, "bench", f"wl.py:{factory}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", "wl.py:1: loading raised SyntaxError"),
        ("import no_such\n", "wl.py:1: loading raised Module"),
    ],
)
def test_a_workload_file_that_cannot_be_loaded(text: str, said: str, quick: QuickCommand) -> None:
    (quick.folder / "wl.py").write_text(text)
    assert said in quick.refusal(2, "bench", "wl.py:f")


PLAN = '[plan]\nname = "p"\nworkloads = ["m.onnx"]\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "missing key 'plan'"),
        ("[plan\n", "not valid TOML: Expected ']' at the end of a table declaration (at line 1, column 6)"),
        ("\xff\xfe", "not UTF-8 text"),
        ("a = " + "[" * 5000, "not valid TOML: nested too deeply"),
        ("x = 1\n", "missing key 'plan'"),
        ('[[plan]]\nname = "p"\n', "plan: Input should be an object"),
        ('[plan]\nworkloads = ["m.onnx"]\n', "missing key 'plan.name'"),
        ('[plan]\nname = " "\nworkloads = ["m.onnx"]\n', "plan.name is empty"),
        ('[plan]\nname = 3\nworkloads = ["m.onnx"]\n', "plan.name: Input should be a valid string, got 3"),
        ('[plan]\nname = "p"\n', "missing key 'plan.workloads'"),
        ('[plan]\nname = "p"\nworkloads = []\n', "plan.workloads is empty"),
        ('[plan]\nname = "p"\nworkloads = "m.onnx"\n', "plan.workloads: Input should be a valid array"),
        ('[plan]\nname = "p"\nworkloads = ["m.onnx", "m.onnx"]\n', "plan.workloads names something twice"),
        (PLAN + 'recipies = ["fp32"]\n', "unknown key 'plan.recipies' (did you mean 'recipes'?)"),
        (PLAN + "[plans]\n", "unknown key 'plans' (did you mean 'plan'?)"),
        (PLAN + 'name = "q"\n', "not valid TOML: Cannot overwrite a value"),
        (PLAN + "recipes = []\n", "plan.recipes is empty"),
        (PLAN + "threads = -1\n", "plan.threads is -1 (0 means the performance cores)"),
        (PLAN + "threads = 1.5\n", "plan.threads: Input should be a valid integer, got 1.5"),
        (PLAN + "threads = nan\n", "plan.threads: Input should be a valid integer, got nan"),
        (PLAN + 'evaluate = "devise"\n', "plan.evaluate: Input should be 'device' or 'host', got 'devise'"),
        ('[plan]\nname = "p"\nworkloads = ["none.onnx"]\n', "none.onnx: no such file"),
        ('[plan]\nname = "p"\nworkloads = ["m.pt"]\n', "m.pt: neither a model file nor a workload"),
        ('[plan]\nname = "p"\nworkloads = ["none.py:f"]\n', "none.py: no such file"),
        (PLAN + 'recipes = ["int8-statik"]\n', "unknown recipe 'int8-statik' (did you mean 'int8-static'?"),
        (PLAN + 'runtimes = ["onnxruntme"]\n', "no runtime is called 'onnxruntme' (did you mean 'onnx"),
        (PLAN + 'devices = ["lokal"]\n', "unknown device 'lokal' and there is no farm.toml"),
        (PLAN + 'preset = "qick"\n', "no preset is called 'qick' (did you mean 'quick'?)"),
        (PLAN + "preset = 2024-01-01\n", "no preset is called '2024-01-01'"),
    ],
    ids=str,
)  # fmt: skip
def test_a_plan_that_is_wrong(
    content: str, said: str, quick: QuickCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a device was opened")

    monkeypatch.setattr("edgewright.device.Device.open", never)
    onnx_zoo.save(onnx_zoo.scalars(), quick.folder / "m.onnx")
    (quick.folder / "plan.toml").write_text(content, encoding="latin-1")
    assert said in quick.refusal(2, "run", "plan.toml")


def test_a_plan_whose_reports_have_nowhere_to_go(quick: QuickCommand) -> None:
    onnx_zoo.save(onnx_zoo.scalars(), quick.folder / "m.onnx")
    (quick.folder / "plan.toml").write_text(PLAN)
    for option in ("--html", "--json", "--csv", "--markdown"):
        assert quick.refusal(2, "run", "plan.toml", option, "none/r") == "none/r: no such folder"


def test_a_plan_goes_on_after_what_is_wrong_in_it(quick: QuickCommand) -> None:
    """What cannot be built is a row with its reason, beside those that can."""
    onnx_zoo.save(onnx_zoo.scalars(), quick.folder / "m.onnx")
    (quick.folder / "cut.onnx").write_bytes(onnx_zoo.lstm().SerializeToString()[:300])
    (quick.folder / "wl.py").write_text(WORKLOADS)
    (quick.folder / "plan.toml").write_text(
        '[plan]\nname = "p"\nworkloads = ["cut.onnx", "wl.py:raises", "m.onnx"]\n'
    )
    answer = quick("run", "plan.toml", "--csv", "report.csv")
    assert answer.code == 1
    report = (quick.folder / "report.csv").read_text()
    assert "truncated" in report and "raised KeyError" in report and "measured" in report


def test_a_plan_in_which_all_is_wrong_is_bad_usage(quick: QuickCommand) -> None:
    (quick.folder / "wl.py").write_text(WORKLOADS)
    (quick.folder / "plan.toml").write_text(
        '[plan]\nname = "p"\nworkloads = ["wl.py:raises", "wl.py:number"]\n'
    )
    assert quick("run", "plan.toml").code == 2
