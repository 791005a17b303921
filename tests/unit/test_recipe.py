from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass

from edgewright import recipe as recipes
from edgewright.compress.prune import PruneOptions
from edgewright.compress.quantize import QuantizeOptions
from edgewright.config import STRICT
from edgewright.errors import ConfigError
from edgewright.profile import DeviceProfile
from edgewright.recipe import Recipe, Step, Tolerance, load_recipe, preset_names


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_presets_are_the_promised_ones() -> None:
    quantized = ("adaround", "dynamic", "equalized", "mixed", "smooth", "static", "static-mse")
    others = ("fp16", "fp32", "prune50", "prune50-int8", "prune50-qat-distill", "qat")
    assert preset_names() == tuple(sorted([*(f"int8-{name}" for name in quantized), *others]))


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_survives_its_own_toml(name: str, tmp_path: Path) -> None:
    preset = load_recipe(name)
    copy = tmp_path / f"{name}.toml"
    copy.write_text(preset.to_toml())
    assert load_recipe(copy) == preset
    assert load_recipe(copy).hash == preset.hash


def test_presets_differ_in_what_they_do() -> None:
    assert len({load_recipe(name).hash for name in preset_names()}) == len(preset_names())


def test_lossier_presets_allow_more() -> None:
    fp32, fp16, int8 = (load_recipe(name).tolerance.cosine for name in ("fp32", "fp16", "int8-static"))
    assert fp32 > fp16 > int8


def test_prune50_int8_prunes_before_it_quantizes() -> None:
    preset = load_recipe("prune50-int8")
    assert [step.technique for step in preset.model_steps] == ["prune"]
    assert [step.technique for step in preset.file_steps] == ["quantize"]


def test_the_hash_is_of_the_deeds_and_not_of_the_words() -> None:
    step = Step("prune", PruneOptions())
    one, two = Recipe("one", "so", (step,)), Recipe("two", "or so", (step,))
    assert one.hash == two.hash
    assert Recipe("one", "so", (Step("prune", PruneOptions(amount=0.4)),)).hash != one.hash
    assert Recipe("one", "so", (step,), tolerance=Tolerance(0.5, 0.0)).hash != one.hash


def test_a_default_written_out_hashes_like_one_left_out(tmp_path: Path) -> None:
    short = load_recipe(write(tmp_path, 'description = "d"\n[[steps]]\ntechnique = "quantize"\n'))
    text = 'description = "d"\n[[steps]]\ntechnique = "quantize"\nmode = "static"\ncalibrator = "minmax"\n'
    assert load_recipe(write(tmp_path, text)).hash == short.hash


maybe = st.sampled_from([None, True, False])
integers = st.sampled_from([None, "int8", "uint8"])
options = st.builds(QuantizeOptions, mode=st.just("dynamic"), per_channel=maybe) | st.builds(
    lambda calibrator, percentile, **more: QuantizeOptions(
        calibrator=calibrator, **({"percentile": percentile} if calibrator == "percentile" else {}), **more
    ),
    calibrator=st.sampled_from(["minmax", "entropy", "percentile"]),
    percentile=st.floats(51.0, 100.0),
    activation=integers,
    weight=integers,
    per_channel=maybe,
    reduce_range=maybe,
)


@given(option=options, amount=st.floats(0.01, 0.99), text=st.text())
def test_any_recipe_survives_its_own_toml(
    tmp_path_factory: pytest.TempPathFactory, option: QuantizeOptions, amount: float, text: str
) -> None:
    made = Recipe("mine", text, (Step("prune", PruneOptions(amount=amount)), Step("quantize", option)))
    path = tmp_path_factory.mktemp("recipe") / "mine.toml"
    path.write_text(made.to_toml(), encoding="utf-8")
    assert load_recipe(path) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('description = "d"\ntolerence.cosine = 1.0', "unknown key 'tolerence' (did you mean 'tolerance'?)"),
        ("", "missing key 'description'"),
        ('description = "d"\nname = "n"', "unknown key 'name' (a recipe is named by its file)"),
        ('description = "d"\n[tolerance]\ncosine = 1.0', "missing key 'tolerance.max_abs'"),
        ('description = "d"\n[[steps]]\nmode = "static"', "step 1: missing key 'technique'"),
        ('description = "d"\n[[steps]]\ntechnique = "quantise"', "step 1: unknown technique 'quantise'"),
        ('description = "d"\n[[steps]]\ntechnique = "quantise"', "did you mean 'quantize'?"),
        ('description = "d"\n[[steps]]\ntechnique = "prune"\namout = 0.5', "did you mean 'amount'?"),
        ('description = "d"\n[[steps]]\ntechnique = "prune"\namount = 1.5', "step 1: amount"),
        ('description = "d"\n[[steps]]\ntechnique = "prune"\namount = "half"', "got 'half'"),
        ('description = "d"\n[[steps]]\ntechnique = "quantize"\nmode = "statc"', "did you mean 'static'?"),
        *(
            (f'description = "d"\n[[steps]]\ntechnique = "prune"\nlayers = {layers}', said)
            for layers, said in (
                ('[["a"]]', "step 1: layers.0: [text, number] is meant, got ['a']"),
                ("[[]]", "step 1: layers.0: [text, number] is meant, got []"),
                ('[["a", 0.5, 1]]', "layers.0: [text, number] is meant, got ['a', 0.5, 1]"),
                ('["a", 0.5]', "layers.0: [text, number] is meant, got 'a'"),
                ('[["a", "b"]]', "layers.0.1: Input should be a valid number, got 'b'"),
                ('"a"', "layers: Input should be a valid array, got 'a'"),
            )
        ),
        ("description = ", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_names_file_and_place(text: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_step_before_a_model_step_is_refused(tmp_path: Path) -> None:
    steps = '[[steps]]\ntechnique = "quantize"\n[[steps]]\ntechnique = "prune"\n'
    with pytest.raises(
        ConfigError,
        match=r"step 2: 'prune' edits the model, but 'quantize' \(post-training quantization\) before it",
    ):
        load_recipe(write(tmp_path, f'description = "d"\n{steps}'))


@pytest.mark.parametrize("name", ["int8-statc", "no-such.toml"])
def test_a_recipe_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'int8-static'\?|no such file"):
        load_recipe(name)


def test_looking_techniques_up_imports_nothing_heavy() -> None:
    code = (
        "import sys, edgewright.recipe as r\n"
        "[r.load_recipe(n).file_steps for n in r.preset_names()]\n"
        "[r.find_technique(n) for n in r.technique_names()]\n"
        "print(sorted(set(sys.modules) & {'torch', 'onnx', 'onnxruntime', 'jax', 'torch_pruning'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@dataclass(frozen=True, config=STRICT)
class ShrinkOptions:
    factor: int = 2


class Shrink:
    stage: ClassVar[Literal["model"]] = "model"
    options: ClassVar[type[Any]] = ShrinkOptions

    def profile_facts(self, options: Any, profile: DeviceProfile, format: str) -> Mapping[str, object]:
        return {}

    def on_device(self, options: Any, profile: DeviceProfile) -> tuple[str, ...]:
        return ()


def test_a_third_party_registers_through_an_entry_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = metadata.EntryPoint("shrink", f"{__name__}:Shrink", recipes.ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == entry.group else [])
    recipes.find_technique.cache_clear()
    text = 'description = "d"\n[[steps]]\ntechnique = "shrink"\nfactor = 3'
    step = load_recipe(write(tmp_path, text)).steps[0]
    assert step.options.factor == 3
    assert "shrink" in recipes.technique_names()
    recipes.find_technique.cache_clear()


def test_a_third_party_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("broken", "no_such_module:X", recipes.ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry])
    with pytest.raises(ConfigError, match=r"'broken' \(no_such_module:X\) cannot be loaded"):
        recipes.find_technique("broken")


def test_nothing_may_move_weights_whose_rounding_was_learnt(tmp_path: Path) -> None:
    steps = '[[steps]]\ntechnique = "adaround"\n[[steps]]\ntechnique = "prune"\n'
    with pytest.raises(
        ConfigError, match="step 2: 'prune' moves weights that 'adaround' before it has rounded"
    ):
        load_recipe(write(tmp_path, f'description = "wrong"\n{steps}'))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            ("quantize", "quantize"),
            r"step 2: 'quantize' \(.*\) needs a file in 32-bit floats, but 'quantize' .* \(quantize once\)",
        ),
        (("fp16", "quantize"), "needs a file in 32-bit floats, but 'fp16' before it ends them"),
        (("quantize", "fp16"), "step 2: 'fp16' needs a file in 32-bit floats"),
        (
            ("quantize-weights", "share"),
            r"step 2: 'share' needs .* \(put 'share' before 'quantize-weights'\)",
        ),
        (("adaround", "share", "quantize"), "step 2: 'share' moves weights that 'adaround' before it has"),
        (("adaround",), r"step 1: 'adaround' prepares .* no step after .* \(end with a step 'quantize'\)"),
        (("prune", "equalize"), "step 2: 'equalize' prepares the weights for integers, and no step after it"),
        (("smooth", "fp16"), "step 1: 'smooth' prepares the weights for integers, and no step after it"),
        (("equalize", "share"), "step 1: 'equalize' prepares the weights for integers, and no step after it"),
        (("sparsify", "prune", "factorize"), r"step 3: the factors .* \(put 'factorize' before 'sparsify'\)"),
    ],
)
def test_steps_that_undo_each_other_are_refused(steps: tuple[str, ...], said: str, tmp_path: Path) -> None:
    tables = "".join(f'[[steps]]\ntechnique = "{name}"\n' for name in steps)
    with pytest.raises(ConfigError) as error:
        load_recipe(write(tmp_path, f'description = "wrong"\n{tables}'))
    assert re.search(said, str(error.value))


@pytest.mark.parametrize(
    "steps",
    [
        ("share", "quantize"),
        ("share", "quantize-weights"),
        ("share", "fp16"),
        ("factorize", "sparsify", "share"),
        ("equalize", "smooth", "adaround", "quantize"),
        ("equalize", "quantize-weights"),
        ("smooth", "qat"),
        ("prune", "distill"),
    ],
)
def test_steps_that_go_together_are_not(steps: tuple[str, ...], tmp_path: Path) -> None:
    tables = "".join(f'[[steps]]\ntechnique = "{name}"\n' for name in steps)
    assert len(load_recipe(write(tmp_path, f'description = "right"\n{tables}')).steps) == len(steps)


@pytest.mark.parametrize("before", ["prune", "sparsify", "factorize", "equalize", "smooth", "distill"])
def test_what_a_student_would_replace_is_not_computed(before: str, tmp_path: Path) -> None:
    steps = [
        f'technique = "{before}"',
        'technique = "distill"\nstudent = "squeezenet"',
        'technique = "quantize"',
    ]

    def recipe(*order: int) -> Path:
        tables = "".join(f"[[steps]]\n{steps[number]}\n" for number in order)
        return write(tmp_path, f'description = "d"\n{tables}')

    with pytest.raises(ConfigError) as error:
        load_recipe(recipe(0, 1, 2))
    said = "step 2: 'distill' puts the student 'squeezenet' in the model's place"
    assert re.search(rf"{said}.* what '{before}' before it did \(.*first\)", str(error.value))
    assert len(load_recipe(recipe(1, 0, 2)).steps) == 3


@pytest.mark.parametrize("after", ["equalize", "smooth", "adaround"])
def test_a_step_of_another_s_may_be_what_makes_integers(
    after: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class OnFiles(Shrink):
        stage: ClassVar[Any] = "file"

    monkeypatch.setitem(globals(), "OnFiles", OnFiles)
    entry = metadata.EntryPoint("shrink", f"{__name__}:OnFiles", recipes.ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == entry.group else [])
    recipes.find_technique.cache_clear()
    tables = "".join(f'[[steps]]\ntechnique = "{name}"\n' for name in (after, "shrink"))
    assert len(load_recipe(write(tmp_path, f'description = "d"\n{tables}')).steps) == 2
    recipes.find_technique.cache_clear()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[tolerance]\ncosine = nan\nmax_abs = 0.1", "cosine"),
        ("[tolerance]\ncosine = 0.9\nmax_abs = inf", "max_abs"),
        ("max_accuracy_drop = inf", "max_accuracy_drop"),
        ("max_accuracy_drop = nan", "max_accuracy_drop"),
        ('[[steps]]\ntechnique = "distill"\nstudent = "mobilenet-v9"', "did you mean 'mobilenet-v2'"),
        ('[[steps]]\ntechnique = "distill"\nwidth = 0.5', "width is that of a student"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_recipe(write(tmp_path, f'description = "wrong"\n{text}\n'))
    assert place in str(error.value)
