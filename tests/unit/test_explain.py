"""What a recipe is said to do depends on the device."""

from __future__ import annotations

import json
import sys

import pytest

from edgewright.cli.main import main
from edgewright.explain import explain
from edgewright.profiles import load_profile, profile_names
from edgewright.recipe import load_recipe, preset_names


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("recipe", preset_names())
def test_every_preset_is_explained_on_every_device(recipe: str, profile: str) -> None:
    chosen = load_recipe(recipe)
    steps = explain(chosen, load_profile(profile), ("onnx", "tflite"))
    assert [step.technique for step in steps] == [step.technique for step in chosen.steps]
    assert all(step.does and step.here for step in steps)


def here(recipe: str, profile: str) -> str:
    steps = explain(load_recipe(recipe), load_profile(profile), ())
    return " ".join(line for step in steps for line in step.here)


def test_the_device_decides() -> None:
    assert "8-bit dot products (asimddp)" in here("int8-static", "raspberry-pi-5")
    assert "it may take longer" in here("int8-static", "raspberry-pi-4")
    assert "int8 weights of 7 bits" in here("int8-static", "x86-64-linux")
    assert "no 16-bit arithmetic" in here("fp16", "raspberry-pi-4")
    assert "computes in 16-bit floats" in here("fp16", "jetson-orin-nano")


def test_what_is_found_at_run_time_is_unsigned_everywhere() -> None:
    for profile in ("raspberry-pi-5", "x86-64-linux"):
        assert "ONNX: uint8 activations, uint8 weights " in here("int8-dynamic", profile)
        assert "7 bits" not in here("int8-dynamic", profile)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["edgewright", "explain", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    text = run("prune50-int8", "--profile", "raspberry-pi-5")
    assert "1. prune: " in text and "2. quantize: " in text
    assert 'mode = "static"' not in text  # as by default
    rows = json.loads(run("int8-dynamic", "--profile", "raspberry-pi-5", "--json"))
    assert rows[0]["options"] == {"mode": "dynamic"}
    assert "no steps" in run("fp32", "--profile", "raspberry-pi-5")
