"""Light networks: their published sizes, other widths, small images, and that both formats take them."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from edgewright.cli.main import main
from edgewright.errors import CompressionError
from edgewright.students import FAMILIES, make_student

#: Millions of parameters at width 1 with 1000 outputs, as published.
PUBLISHED = {
    "efficientnet-lite0": 4.65,
    "mobilenet-v2": 3.50,
    "mobilenet-v3-small": 2.54,
    "mobilenet-v3-large": 5.48,
    "shufflenet-v2": 2.28,
    "squeezenet": 1.24,
}


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_it_has_the_published_size(name: str) -> None:
    made = make_student(name, 1.0, torch.zeros(1, 3, 224, 224), 1000)
    assert parameters(made) / 1e6 == pytest.approx(PUBLISHED[name], rel=0.02)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("size", [8, 32, 96])
def test_it_takes_images_of_any_size_and_width(name: str, size: int) -> None:
    x = torch.zeros(2, 1, size, size)
    small, large = (make_student(name, width, x, 10).eval() for width in (0.25, 0.5))
    assert small(x).shape == large(x).shape == (2, 10)
    assert parameters(small) < parameters(large)


def test_a_wrong_name_or_input_is_refused() -> None:
    with pytest.raises(CompressionError, match="did you mean 'mobilenet-v2'"):
        make_student("mobilenetv2", 1.0, torch.zeros(1, 3, 8, 8), 10)
    with pytest.raises(CompressionError, match="takes images"):
        make_student("squeezenet", 1.0, torch.zeros(1, 8), 10)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["edgewright", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_they_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(monkeypatch, capsys, "models", "list", "--json"))
    assert [row["name"] for row in rows] == list(FAMILIES)
    assert "mobilenet-v2" in run(monkeypatch, capsys, "models", "list")


def test_techniques_are_listed_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads(run(monkeypatch, capsys, "techniques", "list", "--json"))
    found = {row["name"]: row for row in rows}
    assert found["sparsify"]["saves"] == ["file"] and found["prune"]["stage"] == "model"
    assert "quantize" in run(monkeypatch, capsys, "techniques", "list")
    shown = json.loads(run(monkeypatch, capsys, "techniques", "show", "factorize", "--json"))
    assert shown["options"]["rank"] == "vbmf" and "arXiv" in shown["about"]
    text = run(monkeypatch, capsys, "techniques", "show", "prune")
    assert "importance" in text and "l2" in text and "DepGraph" in text
