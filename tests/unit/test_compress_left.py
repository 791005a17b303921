"""What the notes say of weights that stay in floats, and options that keep them so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run
from torch import nn

from edgewright.compress import FileJob
from edgewright.compress.fp16 import Fp16, Fp16Options
from edgewright.compress.quantize import Quantize, QuantizeOptions
from edgewright.compress.weight_only import WeightOnly, WeightOnlyOptions, codes_and_scales
from edgewright.compress.weights import stored_tensors
from edgewright.errors import CompressionError, UnsupportedError
from edgewright.export import Request, exporter
from edgewright.profiles import load_profile

X86 = load_profile("x86-64-linux")


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.classify = nn.Conv3d(1, 8, 3, padding=1), nn.Linear(8, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(torch.relu(self.first(x)).mean((2, 3, 4)))
        return scores


class Sums(nn.Module):
    """Einstein's sums: of no operator that quantizers know, and a vector among axes of one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.gain = nn.Parameter(torch.randn(8, 4, 16)), nn.Parameter(torch.randn(1, 1, 64))
        self.classify = nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = torch.einsum("btc,chd->bthd", x, self.weight).flatten(2)
        scores: torch.Tensor = self.classify((made * self.gain).relu())
        return scores


class Tokens(nn.Module):
    """A table of which rows are looked up, one of them from the end, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.classify = nn.Embedding(100, 16), nn.Linear(16, 8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classify(self.table(tokens))
        return scores


def job(folder: Path, format: str, module: nn.Module, example: torch.Tensor) -> FileJob:
    source = folder / f"source.{format}"
    exporter(format).export(Request(module.eval(), (example,), ("output",)), source)
    return FileJob(source, folder / f"out.{format}", format, ((example.numpy(),),) * 2, X86)


VOLUME, SERIES = torch.randn(1, 1, 4, 4, 4), torch.randn(1, 6, 8)
TOKENS = torch.tensor([[5, 99, 0, 5]])


@pytest.mark.parametrize(("technique", "options"), [(Fp16(), Fp16Options()), (Quantize(), QuantizeOptions())])
def test_tflite_says_what_stays_in_floats(technique: Any, options: Any, tmp_path: Path) -> None:
    notes = technique.apply(job(tmp_path, "tflite", Volumes(), VOLUME), options)
    assert notes[-1] == "75 % of the weights stay in floats, those of 1 CONV_3D"


def test_tflite_says_nothing_where_no_weight_stays(tmp_path: Path) -> None:
    notes = Quantize().apply(job(tmp_path, "tflite", nets.Residual(), nets.image()), QuantizeOptions())
    assert len(notes) == 1


def test_onnx_says_what_stays_in_floats_whatever_its_operator(tmp_path: Path) -> None:
    notes = Quantize().apply(job(tmp_path, "onnx", Sums(), SERIES), QuantizeOptions())
    assert notes[1] == "67 % of the weights stay in floats, those of 1 Einsum"


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_weights_fewer_than_asked_for_stay(format: str, tmp_path: Path) -> None:
    work = job(tmp_path, format, nets.Dense(32), torch.randn(1, 8))  # of 256 and 128 weights
    for fewest, sizes in ((2, set()), (200, {128})):
        notes = WeightOnly().apply(work, WeightOnlyOptions(fewest=fewest))
        tensors = stored_tensors(work.out, format)
        assert {t.size for t in tensors if t.dtype == np.float32 and t.ndim > 1} == sizes
        assert ("33 % of the weights stay in floats" in notes[-1]) == bool(sizes)
    with pytest.raises(CompressionError, match="has 256 floats of 257") as told:
        WeightOnly().apply(work, WeightOnlyOptions(fewest=257))
    assert told.value.mend == "lower fewest"


def test_fp16_keeps_no_operators_in_tflite(tmp_path: Path) -> None:
    options = Fp16Options(keep=("Conv",))
    assert Fp16().profile_facts(options, X86, "onnx") == {}
    with pytest.raises(UnsupportedError, match="TFLite has no keep for fp16"):
        Fp16().profile_facts(options, X86, "tflite")
    with pytest.raises(UnsupportedError, match="TFLite has no keep for fp16"):
        Fp16().apply(job(tmp_path, "tflite", nets.Dense(), torch.randn(1, 8)), options)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("bits", [8, 4])
def test_tables_are_looked_up_in_few_bits(bits: Any, tied: bool, tmp_path: Path) -> None:
    module = Tokens()
    if tied:
        module.classify = nn.Linear(16, 100)
        module.classify.weight = module.table.weight
    work = job(tmp_path, "onnx", module, TOKENS)
    WeightOnly().apply(work, WeightOnlyOptions(bits=bits, fewest=64))
    assert not [t for t in stored_tensors(work.out, "onnx") if t.dtype == np.float32 and t.ndim > 1]
    with torch.no_grad():
        for weight in dict.fromkeys([module.table.weight, module.classify.weight]):
            codes, scales = codes_and_scales(weight.numpy(), bits)
            weight.copy_(torch.from_numpy(codes * scales[:, None]))
        want = module(TOKENS).numpy()
    (got,) = plain_run([work.out], "onnx", inputs=[TOKENS.numpy()]).outputs.values()
    assert np.abs(got - want).max() < 1e-5


def test_a_table_that_is_needed_as_it_is_stays_in_floats(tmp_path: Path) -> None:
    class Summed(Tokens):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            whole = (self.table.weight * tokens.float().mean()).sum(0)
            scores: torch.Tensor = self.classify(self.table(tokens) + whole)
            return scores

    work = job(tmp_path, "onnx", Summed(), TOKENS)
    notes = WeightOnly().apply(work, WeightOnlyOptions(fewest=64))
    assert notes[0] == "the weights of 1 operator in 8 bits, one scale a channel"
    assert notes[1].startswith("93 % of the weights stay in floats, those of 1 ")
