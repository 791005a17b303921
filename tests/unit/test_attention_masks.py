"""Ranges of what goes into a softmax: what a mask puts out of it needs no level of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import FileJob, ModelJob
from edgewright.compress.attention_masks import Masks, Step, end_of_rows
from edgewright.compress.calibration import Calibrator, calibrate
from edgewright.compress.mixed import sqnr_db
from edgewright.compress.qat import Qat, QatOptions
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.export import Request, exporter
from edgewright.profiles import load_profile
from edgewright.workload import Array, Training, Workload

X86 = load_profile("x86-64-linux")


class Causal(nets.Attention):
    """Nothing sees what comes after it."""

    def __init__(self, masked: float, way: str) -> None:
        super().__init__(outlier=1.0)
        self.masked, self.way = masked, way
        self.register_buffer("later", torch.ones(8, 8).triu(1).bool())
        self.register_buffer("mask", torch.zeros(8, 8).masked_fill(torch.ones(8, 8).triu(1).bool(), masked))
        with torch.no_grad():
            for layer in (self.queries, self.keys):
                layer.weight *= 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.norm(x)
        scores = self.queries(seen) @ self.keys(seen).transpose(1, 2) / 32**0.5
        if self.way == "made":  # of what the samples hold, as of a text's length
            scores = scores + (1 - (x[:, :, 0] > 0).float())[:, None] * self.masked
        elif self.way == "added":
            scores = scores + self.get_buffer("mask")
        else:
            scores = scores.masked_fill(self.get_buffer("later"), self.masked)
        result: torch.Tensor = self.out(scores.softmax(-1) @ self.values(seen))
        return result


def tokens(seed: int = 0) -> torch.Tensor:
    """Each is to be seen or not, by the sign of its first value."""
    made = nets.tokens(seed)
    made[:, :, 0] = made[:, :, 0].sign() * 2
    made[:, 0, 0] = 2.0
    return made


def masked_job(folder: Path, format: str, module: nn.Module) -> FileJob:
    source = folder / f"source.{format}"
    exporter(format).export(Request(module.eval(), (tokens(),), ("output",)), source)
    samples = tuple((tokens(seed).numpy(),) for seed in range(16))
    return FileJob(source, folder / f"out.{format}", format, samples, X86)


def output(path: Path, format: str, seed: int) -> Array:
    (got,) = plain_run([path], format, inputs=[tokens(seed).numpy()]).outputs.values()
    return got


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("masked, way", [(-1e4, "added"), (-1e9, "added"), (-1e9, "filled"), (-1e9, "made")])
def test_a_mask_costs_no_level(masked: float, way: str, format: str, tmp_path: Path) -> None:
    module = Causal(masked, way)
    work = masked_job(tmp_path, format, module)
    with torch.no_grad():
        want = np.stack([module(tokens(seed)).numpy() for seed in range(50, 54)])
    calibrators: tuple[Calibrator, ...] = ("minmax", "percentile", "mse")
    for calibrator in calibrators if way == "added" else calibrators[:1]:
        Quantize().apply(work, QuantizeOptions(calibrator=calibrator))
        got = np.stack([output(work.out, format, seed) for seed in range(50, 54)])
        assert sqnr_db((want,), (got,)) > 24, calibrator  # without the mask it is 23 to 27


def test_a_mask_costs_no_level_in_training(tmp_path: Path) -> None:
    module = Causal(-1e9, "added").eval()
    data = [(tokens(seed)[0], module(tokens(seed))[0].detach()) for seed in range(32)]
    training = Training(data, nn.functional.mse_loss, epochs=1, batch_size=8, learning_rate=1e-5)
    workload = Workload("net", module, (tokens(),), training=training)
    changed = Qat().apply(ModelJob(module, workload, profile=X86), QatOptions())
    assert changed.finish is not None
    for kind in ("onnx", "tflite"):
        work = masked_job(tmp_path, kind, changed.module)
        changed.finish.write(work)
        got = np.stack([output(work.out, kind, seed) for seed in range(4)])
        assert sqnr_db((np.stack([data[seed][1].numpy()[None] for seed in range(4)]),), (got,)) > 20


def test_the_end_is_that_of_the_lowest_row_that_counts() -> None:
    scores = np.array([[3.0, -1e9, -2.0], [-1.0, -4.0, -1e9], [-1e9, -1e9, -1e9]])
    assert end_of_rows(scores, -1) == pytest.approx(-1 - np.log(512 * 3))
    assert end_of_rows(scores.T, 0) == end_of_rows(scores, -1)
    assert end_of_rows(np.full((2, 2), -np.inf), -1) == np.inf
    below = np.full(1000, end_of_rows(np.zeros((1, 1001)), -1))
    assert np.exp(below).sum() < 1 / 500  # of the greatest, which is exp(0)


@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "entropy", "mse"])
@pytest.mark.parametrize("hidden", [-1e4, -1e9, -3.4e38, -np.inf])
def test_ranges_end_where_values_stop_counting(calibrator: Calibrator, hidden: float) -> None:
    drawn = np.random.default_rng(0).normal(size=(4, 64, 64)).astype(np.float32)
    mask = np.triu(np.full((64, 64), hidden, np.float32), 1)
    masks = Masks((Step("sum", ("scores", "mask"), "sum"), Step("softmax", ("sum",), "made")))

    def observe(sample: tuple[Array, ...]) -> dict[str, Array]:
        return {"scores": sample[0], "mask": mask, "sum": sample[0] + mask, "other": sample[0] + mask}

    found = calibrate(observe, [(one,) for one in drawn], calibrator, masks=masks)
    end = min(end_of_rows(one + mask, -1) for one in drawn)
    assert found["sum"].lowest == pytest.approx(end)
    assert found["mask"].lowest == pytest.approx(end - drawn.max())
    assert 2 < found["sum"].highest <= drawn.max() + 1e-3
    if hidden > -1e30:
        assert calibrate(observe, [(one,) for one in drawn], "minmax", masks=masks)["other"].lowest < -9e3


def test_only_what_softmaxes_take_alone_ends_there() -> None:
    steps = (
        Step("choice", ("low", "chosen"), "sum"),
        Step("same", ("sum",), "turned"),
        Step("softmax", ("turned",), "made"),
    )
    constants = {"low": np.array(-1e9)}
    asked = {"turned": -8.0}, {"chosen": 5.0, "sum": 5.0, "turned": 5.0}
    assert Masks(steps, constants=constants).masked_constants(*asked) == {"low": -8.0}
    assert Masks(steps).floors(*asked) == dict.fromkeys(("low", "chosen", "sum", "turned"), -8.0)
    assert Masks(steps, frozenset({"sum"})).floors(*asked) == {"turned": -8.0}
    times = Masks((Step("product", ("kept", "low"), "sum"), *steps[1:]), constants=constants)
    assert times.masked_constants({"turned": -8.0}, {"kept": 1.0}) == {"low": -8000.0}
    assert "kept" not in times.floors({"turned": -8.0}, {"kept": 1.0})
    assert Masks(steps, frozenset({"low"}), constants).masked_constants(*asked) == {}


def test_scores_that_are_given_out_keep_their_range(tmp_path: Path) -> None:
    class Shown(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scores = x * 30.0
            return scores, scores.softmax(-1)

    source = tmp_path / "source.onnx"
    exporter("onnx").export(Request(Shown(), (tokens(),), ("scores", "made")), source)
    from edgewright.compress.calibration_onnx import masks_of

    masks = masks_of(onnx.load(source))
    (name,) = masks.scores
    assert masks.floors({name: -8.0}, {name: 60.0}) == {}
