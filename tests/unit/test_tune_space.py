"""Spaces and settings: what is asked for, what suits a device, and the recipe that a setting stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tuning import SPACE

from edgewright.errors import ConfigError
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.tune.regret import carried
from edgewright.tune.setting import STATIC, Setting
from edgewright.tune.space import Place, Space, SpaceFile, default_space, impossible, load_space, resolve
from edgewright.workload import Evaluation, Training, Workload

KINDS = ("none", "fp16", "int8-dynamic", *STATIC, "qat", "int8-weights", "share")
SETTINGS = st.builds(
    Setting,
    prune=st.sampled_from([0.0, 0.25, 1 / 3]),
    low_rank=st.sampled_from([0.0, 0.9]),
    quantize=st.sampled_from(KINDS),
    keep_floats=st.sampled_from([0, 2]),
    distill=st.sampled_from(["none", "response"]),
    threads=st.sampled_from([1, 2]),
)


def place(*runtimes: str, cores: int = 4) -> Place:
    return Place("pi", load_profile("x86-64-linux"), runtimes or ("onnxruntime",), cores, cores)


def workload(**parts: Any) -> Workload:
    evaluation = Evaluation("accuracy", (), lambda _: 1.0)
    everything: dict[str, Any] = {
        "calibration": ((),),
        "evaluate": evaluation,
        "training": Training([], lambda outputs, targets: targets),
    }
    return Workload("net", None, (), **{**everything, **parts})  # type: ignore[arg-type]


@given(SETTINGS)
def test_a_setting_s_recipe_survives_its_file(setting: Setting) -> None:
    import tempfile

    recipe = setting.canonical().recipe()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_text(recipe.to_toml(), encoding="utf-8")
        again = load_recipe(path)
    assert again.hash == recipe.hash and again.steps == recipe.steps


@given(SETTINGS)
def test_what_has_no_effect_makes_no_other_setting(setting: Setting) -> None:
    canonical = setting.canonical()
    assert canonical.canonical() == canonical
    assert canonical.recipe().hash == setting.canonical().recipe().hash
    if not setting.trains:
        assert canonical.distill == "none"
    if setting.quantize not in STATIC:
        assert canonical.keep_floats == 0


def test_every_setting_of_a_space_is_there_once_and_has_labels() -> None:
    settings = list(SPACE.settings())
    assert len(settings) == len(set(settings)) < SPACE.size
    names = [(one.recipe_name, one.threads) for one in settings]
    assert len(set(names)) == len(names)
    for one in settings:
        labels = SPACE.labels(one)
        assert labels is not None and SPACE.setting(labels) == one
    assert SPACE.labels(Setting(prune=0.31)) is None
    assert set(Space.of(settings).settings()) >= set(settings)


def test_prunings_by_layer_have_their_own_labels() -> None:
    layers = (("features.0", 0.5),)
    space = replace(SPACE, fits=((0.5, layers),))
    fitted = Setting(prune=0.5, layers=layers, threads=2)
    assert fitted.recipe_name == "fit50" and fitted in set(space.settings())
    assert space.setting(space.labels(fitted) or {}) == fitted
    assert space.labels(replace(fitted, layers=(("features.0", 0.25),))) is None
    (step,) = fitted.recipe().steps
    assert step.options.layers == layers


def test_a_space_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('prune = [0.0, 0.5]\nquantize = ["none", "int8-mse"]\n', encoding="utf-8")
    assert load_space(path) == SpaceFile(prune=(0.0, 0.5), quantize=("none", "int8-mse"))
    for text, words in (
        ("prun = [0.1]", "unknown key 'prun' (did you mean 'prune'?)"),
        ("prune = [1.0]", "prune.0"),
        ("prune = []", "an axis needs a value"),
        ("threads = [1, 1]", "a value is given twice"),
        ("threads = [0]", "threads.0"),
        ('quantize = ["int8"]', "quantize.0"),
        ('runtimes = ["onnx"]', "unknown runtime 'onnx'"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_space(path)
        assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_workload_lacks_is_not_tried() -> None:
    everything = default_space(place(), workload(), saves_files=False)
    assert everything.prune[0] == 0.0 and len(everything.prune) > 1 and "qat" in everything.quantize
    assert "share" not in everything.quantize
    assert "share" in default_space(place(), workload(), saves_files=True).quantize
    untrained = default_space(place(), workload(training=None), saves_files=False)
    assert (untrained.prune, untrained.low_rank, untrained.distill) == ((0.0,), (0.0,), ("none",))
    assert "qat" not in untrained.quantize
    assert not set(STATIC) & set(default_space(place(), workload(calibration=()), saves_files=False).quantize)
    assert default_space(place(), workload(evaluate=None), saves_files=False).prune == (0.0,)
    assert everything.threads == (4, 1)
    assert default_space(place(cores=1), workload(), saves_files=False).threads == (1,)


@pytest.mark.parametrize(
    ("asked", "parts", "words"),
    [
        (SpaceFile(runtimes=("tflite-runtime",)), {}, "asks for tflite-runtime, the device has onnxruntime"),
        (SpaceFile(threads=(8,)), {}, "asks for 8 threads, the device has 4 cores"),
        (SpaceFile(quantize=("int8-mse",)), {"calibration": ()}, "static int8 needs calibration"),
        (SpaceFile(quantize=("qat",)), {"training": None}, "qat needs training"),
        (SpaceFile(distill=("response",)), {"training": None}, "distillation needs training"),
        (SpaceFile(prune=(0.5,)), {"evaluate": None}, "what pruning and low rank lose cannot be told"),
    ],
)
def test_a_space_asks_for_what_there_is(asked: SpaceFile, parts: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve(asked, place(), workload(**parts), saves_files=False)


def test_what_a_profile_lacks_cannot_exist() -> None:
    profile = load_profile("generic-armv7l")
    assert "has no onnxruntime" in impossible(Setting(), profile)
    assert impossible(Setting(runtime="tflite-runtime"), profile) == ""
    space = replace(SPACE, runtimes=("tflite-runtime", "onnxruntime"))
    possible, refused = space.possible(profile)
    assert {one.runtime for one in possible} == {"tflite-runtime"}
    assert all(one.reason for one in refused) and refused
    with pytest.raises(ConfigError, match="settings"):
        replace(SPACE, prune=tuple(i / 20_000 for i in range(19_999))).possible(profile)


def test_a_setting_is_carried_to_what_another_device_has() -> None:
    setting = Setting(quantize="fp16", threads=4)
    assert carried(setting, place("tflite-runtime", cores=2)) == Setting(
        quantize="fp16", runtime="tflite-runtime", threads=2
    )
    assert carried(setting, place()) == setting
