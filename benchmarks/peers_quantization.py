"""Our int8 beside onnxruntime's, NNCF's and ai-edge-quantizer's own, on the same calibration samples.

    python benchmarks/peers_quantization.py [--nets digits,efficientnet_lite0] [--rounds 60]

Ours are built for this machine's own device profile. Each peer quantizes the very fp32 file that our recipe
begins with, the way its own documentation begins:

* ``onnxruntime``: ``quant_pre_process``, then ``quantize_static`` with its defaults; ``onnxruntime, x86``: as
  its documentation advises for a processor without VNNI, U8S8 with 7-bit weights and a scale a channel.
* ``nncf``: ``nncf.quantize`` with its defaults. It needs an older numpy, so it runs in an environment of its
  own, which is made under build/benchmarks/ by pip unless ``--nncf-python`` names one.
* ``ai-edge-quantizer``: its recipe ``static_wi8_ai8`` with its default calibration.

Accuracy is of the file as it is executed on the workload's evaluation inputs, and so is the signal-to-noise
ratio against the fp32 file. Latency is measured with one thread, all files of a format by turns of one block
each in one process; the ratio is the median over rounds of this file's block to ours, in brackets its
quartiles. One table goes to standard output.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.boundary import foreign
from edgewright.build import build
from edgewright.build.builder import open_workload
from edgewright.compress.mixed import sqnr_db
from edgewright.errors import CompressionError, EdgewrightError
from edgewright.export import exporter
from edgewright.farm.inventory import LOCAL, load_inventory
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.reference import reference_run
from edgewright.workload import Array, Workload
from edgewright.workloads import WorkloadSource

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "benchmarks"
PROFILE = load_profile(load_inventory().get(LOCAL).profile)
NNCF = ("nncf>=3.0,<4", "onnx", "onnxruntime")
Samples = list[tuple[Array, ...]]

IN_NNCF = """
import sys
import nncf, numpy as np, onnx
source, samples, out = sys.argv[1:]
model = onnx.load(source)
names = [value.name for value in model.graph.input]
with np.load(samples) as kept:
    rows = [dict(zip(names, row)) for row in zip(*(kept[f"input{n}"] for n in range(len(names))))]
onnx.save(nncf.quantize(model, nncf.Dataset(rows), subset_size=len(rows)), out)
"""


@dataclass(frozen=True)
class Entry:
    """One file, or why there is none."""

    who: str
    path: Path | None
    reason: str = ""
    quality: float | None = None
    sqnr_db: float | None = None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--nets", default="digits,efficientnet_lite0", help="files of examples/ or nets/")
    parser.add_argument("--formats", default="onnx,tflite")
    parser.add_argument("--ours", default="int8-static", help="recipes of ours, the first is the ratio's 1")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--nncf-python", type=Path, help="a Python that has nncf, instead of one made here")
    asked = parser.parse_args()
    print("| network | format | quantized by | quality | SQNR dB | bytes | latency ratio | reason |")
    print("|---|---|---|---|---|---|---|---|")
    for name in asked.nets.split(","):
        source = workload_source(name)
        workload = open_workload(source)
        for kind in asked.formats.split(","):
            entries = judged(source, workload, kind, asked)
            ratios = by_turns([e.path for e in entries if e.path], kind, workload, asked.rounds)
            for entry in entries:
                print(row(name, kind, entry, ratios.get(entry.path)), flush=True)


def workload_source(name: str) -> WorkloadSource:
    """``examples/NAME.py:workload``, or ``nets/NAME.py:make`` beside this file."""
    example = ROOT / "examples" / f"{name}.py"
    beside = Path(__file__).resolve().parent / "nets" / f"{name}.py"
    return WorkloadSource(example, "workload") if example.is_file() else WorkloadSource(beside, "make")


def judged(source: WorkloadSource, workload: Workload, format: str, asked: argparse.Namespace) -> list[Entry]:
    """Every contender's file with what it is worth, ours first and fp32 last."""

    def ours(recipe: str) -> Path:
        say(f"{workload.name} {format}: our {recipe}")
        return build(source, load_recipe(recipe), PROFILE.name, PROFILE, format, cache=BUILD / "cache").path

    recipes = asked.ours.split(",")
    files: dict[str, Callable[[], Path]] = {f"ours, {one}": functools.partial(ours, one) for one in recipes}
    plain = ours("fp32")
    kinds = exporter(format).input_types(plain)
    samples = [
        tuple(tensor.numpy().astype(kind, copy=False) for tensor, kind in zip(sample, kinds, strict=True))
        for sample in workload.calibration
    ]
    folder = BUILD / "peers" / workload.name
    folder.mkdir(parents=True, exist_ok=True)
    if format == "onnx":
        files["onnxruntime"] = lambda: by_onnxruntime(plain, folder / "onnxruntime.onnx", samples, {})
        files["onnxruntime, x86"] = lambda: by_onnxruntime(
            plain, folder / "onnxruntime-x86.onnx", samples, advised()
        )
        files["nncf"] = lambda: by_nncf(plain, folder / "nncf.onnx", samples, asked.nncf_python)
    else:
        files["ai-edge-quantizer"] = lambda: by_ai_edge(plain, folder / "ai-edge.tflite", samples)
    files["none, fp32"] = lambda: plain
    evaluation = workload.evaluate
    assert evaluation is not None
    inputs = [values.astype(kind, copy=False) for values, kind in zip(evaluation.inputs, kinds, strict=True)]
    wanted = tuple(reference_run([plain], format, evaluation=inputs).evaluation.values())
    found = []
    for who, make in files.items():
        say(f"{workload.name} {format}: {who}")
        try:
            path = make()
            outputs = tuple(reference_run([path], format, evaluation=inputs).evaluation.values())
        except (EdgewrightError, subprocess.CalledProcessError, OSError) as error:
            found.append(Entry(who, None, reason=str(error).splitlines()[0][:200]))
            continue
        found.append(Entry(who, path, "", evaluation.score(outputs), sqnr_db(wanted, outputs)))
    return found


def advised() -> dict[str, Any]:
    """What onnxruntime's documentation advises on x86 without VNNI."""
    from onnxruntime.quantization import QuantType

    return {
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,
    }


def by_onnxruntime(source: Path, out: Path, samples: Samples, settings: dict[str, Any]) -> Path:
    """``quantize_static`` on a file that was prepared as its documentation says."""
    with foreign(CompressionError, "onnxruntime"):
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        names = [value.name for value in onnx.load(str(source)).graph.input]

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            """Feeds the samples once."""

            def __init__(self) -> None:
                self._rows = iter(samples)

            def get_next(self) -> Any:
                """The next sample by input name, or None at the end."""
                row = next(self._rows, None)
                return None if row is None else dict(zip(names, row, strict=True))

        prepared = out.with_suffix(".prepared.onnx")
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(out), Reader(), **settings)
    return out


def by_nncf(source: Path, out: Path, samples: Samples, python: Path | None) -> Path:
    """``nncf.quantize`` in its own environment.

    Raises:
        CompressionError: it cannot be had, or failed.
    """
    kept = out.with_suffix(".samples.npz")
    np.savez(kept, **{f"input{n}": np.stack(column) for n, column in enumerate(zip(*samples, strict=True))})
    words = [str(python or nncf_python()), "-c", IN_NNCF, str(source), str(kept), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompressionError(f"nncf failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return out


def nncf_python() -> Path:
    """The Python of an environment that has nncf, made now if need be.

    Raises:
        CompressionError: pip cannot install it.
    """
    place = BUILD / "nncf"
    python = place / "bin" / "python"
    asks = [str(python), "-c", "import nncf, onnx, onnxruntime"]
    if python.is_file() and subprocess.run(asks, capture_output=True, check=False).returncode == 0:
        return python
    say(f"making an environment with nncf in {place}")
    venv.create(place, with_pip=True, clear=True)
    words = [str(python), "-m", "pip", "install", "--quiet", *NNCF]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CompressionError(f"nncf cannot be had here, pip says: {last}")
    return python


def by_ai_edge(source: Path, out: Path, samples: Samples) -> Path:
    """ai-edge-quantizer's static recipe, with float inputs and outputs as ours has them."""
    with foreign(CompressionError, "ai-edge-quantizer"):
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer, recipe
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName

        interpreter = Interpreter(str(source))
        key = next(iter(interpreter.get_signature_list()))
        details = interpreter.get_signature_runner(key).get_input_details()
        by_index = {detail["index"]: name for name, detail in details.items()}
        names = [by_index[detail["index"]] for detail in interpreter.get_input_details()]
        made = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
        for ends in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            made.update_quantization_recipe(".*", ends, algorithm_key=AlgorithmName.NO_QUANTIZE)
        data = {key: [dict(zip(names, row, strict=True)) for row in samples]}
        result = made.quantize(made.calibrate(data))
        out.write_bytes(bytes(result.quantized_model))
    return out


def by_turns(
    paths: list[Path], format: str, workload: Workload, rounds: int
) -> dict[Path | None, list[float]]:
    """By file, the ratio of its block's time to the first file's in each round; the order turns around."""
    kinds = exporter(format).input_types(paths[0])
    given = zip(workload.example_inputs, kinds, strict=True)
    inputs = tuple(tensor.numpy().astype(kind, copy=False) for tensor, kind in given)
    runs = [prepared(path, format, inputs) for path in paths]
    clock = time.perf_counter_ns
    for run in runs:
        until = clock() + 200_000_000
        while clock() < until:
            run()
    began = clock()
    runs[0]()
    block = max(1, round(10e6 / (clock() - began)))
    found: dict[Path | None, list[float]] = {path: [] for path in paths}
    for number in range(rounds):
        say(f"{workload.name} {format}: timing, round {number + 1} of {rounds}")
        order = list(range(len(runs)))
        taken = [0] * len(runs)
        for which in order if number % 2 == 0 else order[::-1]:
            began = clock()
            for _ in range(block):
                runs[which]()
            taken[which] = clock() - began
        for path, nanoseconds in zip(paths, taken, strict=True):
            found[path].append(nanoseconds / taken[0])
    return found


def prepared(path: Path, format: str, inputs: tuple[Array, ...]) -> Callable[[], object]:
    """Runs a file once, with one thread."""
    if format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feeds = dict(zip([value.name for value in session.get_inputs()], inputs, strict=True))
        return lambda: session.run(None, feeds)
    from ai_edge_litert.interpreter import Interpreter

    with foreign(CompressionError, path.name):
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    run: Callable[[], object] = interpreter.invoke
    return run


def row(name: str, format: str, entry: Entry, ratios: list[float] | None) -> str:
    """One line of the table."""
    if entry.path is None or not ratios:
        return f"| {name} | {format} | {entry.who} | - | - | - | - | {entry.reason} |"
    low, middle, high = statistics.quantiles(ratios, n=4)
    noise = "-" if np.isinf(entry.sqnr_db or 0) else f"{entry.sqnr_db:.2f}"
    figures = f"{entry.quality:.4f} | {noise} | {entry.path.stat().st_size}"
    return f"| {name} | {format} | {entry.who} | {figures} | {middle:.3f} ({low:.3f}..{high:.3f}) | |"


def say(text: str) -> None:
    """A line on standard error that the next one writes over."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
