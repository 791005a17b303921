"""What every registered technique keeps to, whoever wrote it."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import nets
from tests.plain_runner import plain_run

from edgewright.artifact import sha256_file
from edgewright.compress import Changed, FileJob, ModelJob
from edgewright.compress.coding import encode_file
from edgewright.compress.weights import stored_tensors
from edgewright.config import parse
from edgewright.errors import CompressionError, ConfigError
from edgewright.export import Request, exporter, formats
from edgewright.profiles import load_profile
from edgewright.recipe import OWN_TECHNIQUES, Step, find_technique, step_table, technique_names
from edgewright.workload import Workload
from edgewright.workload_check import torch_outputs

PROFILE = load_profile("x86-64-linux")
TECHNIQUES: dict[str, Any] = {name: find_technique(name) for name in technique_names()}
MODEL = [name for name, technique in TECHNIQUES.items() if technique.stage == "model"]
FILE = [name for name, technique in TECHNIQUES.items() if technique.stage == "file"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    module = nets.Residual(32).eval()
    names = tuple(torch_outputs(module, (nets.image(),), "test"))
    paths = {name: tmp_path_factory.mktemp("exported") / f"source.{name}" for name in formats()}
    for name, path in paths.items():
        exporter(name).export(Request(module, (nets.image(),), names), path)
    return paths


def job(source: Path, folder: Path) -> FileJob:
    samples = tuple(tuple(t.numpy() for t in sample) for sample in nets.images(4))
    return FileJob(source, folder / f"out{source.suffix}", source.suffix[1:], samples, PROFILE)


def test_all_of_edgewright_s_own_are_seen() -> None:
    assert set(OWN_TECHNIQUES) <= set(TECHNIQUES)
    assert MODEL
    assert FILE


@pytest.mark.parametrize("name", TECHNIQUES)
def test_importing_it_imports_neither_torch_nor_a_runtime(name: str) -> None:
    code = (
        f"import sys; from edgewright.recipe import find_technique; find_technique({name!r})\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'ai_edge_litert'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_options_are_frozen_have_defaults_and_refuse_unknown_keys(name: str) -> None:
    technique = TECHNIQUES[name]
    options = technique.options()
    field = dataclasses.fields(options)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, field, None)
    assert hash(options) == hash(technique.options())
    with pytest.raises(ConfigError, match="unknown key"):
        parse({"no_such_option": 1}, technique.options, "test")


@pytest.mark.parametrize("name", TECHNIQUES)
def test_default_options_survive_a_step_s_table(name: str) -> None:
    table = step_table(Step(name, TECHNIQUES[name].options()))
    assert table.pop("technique") == name
    assert parse(table, TECHNIQUES[name].options, "test") == TECHNIQUES[name].options()


@pytest.mark.parametrize("name", TECHNIQUES)
@pytest.mark.parametrize("format", formats())
def test_what_it_reads_of_the_profile_can_be_hashed(name: str, format: str) -> None:
    import json

    technique = TECHNIQUES[name]
    facts = technique.profile_facts(technique.options(), PROFILE, format)
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("name", TECHNIQUES)
def test_what_a_device_makes_of_it_is_said_in_lines(name: str) -> None:
    technique = TECHNIQUES[name]
    lines = technique.on_device(technique.options(), PROFILE)
    assert all(line and line.isprintable() for line in lines)
    assert lines or not technique.saves, "what it can save, it says of this device"


def weights(module: torch.nn.Module) -> int:
    return sum(int((parameter != 0).sum()) for parameter in module.parameters())


def net_for(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A network that a technique can do something to, and an input."""
    if name == "smooth":
        return nets.Attention().eval(), nets.tokens()
    return (nets.Chain() if name == "equalize" else nets.Residual(32)).eval(), nets.image()


@pytest.mark.parametrize("name", MODEL)
def test_a_model_technique_changes_the_module_keeps_its_outputs_and_says_so(name: str) -> None:
    (module, example), technique = net_for(name), TECHNIQUES[name]
    workload = Workload(
        "net", module, (example,), ((example,),), training=nets.training(example.shape[1:], 5)
    )
    before = {key: value.clone() for key, value in module.state_dict().items()}
    job = ModelJob(copy.deepcopy(module), workload, profile=PROFILE, format="onnx")
    changed = technique.apply(job, technique.options())
    assert isinstance(changed, Changed)
    assert changed.notes and not changed.module.training
    if "file" in technique.saves:
        assert weights(changed.module) < weights(module)
    after = changed.module.state_dict()
    assert list(after) != list(before) or any(not torch.equal(after[key], before[key]) for key in before)
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in before.items())
    with torch.no_grad():
        assert changed.module(example).shape == module(example).shape


@pytest.mark.parametrize("name", TECHNIQUES)
def test_it_says_what_it_saves(name: str) -> None:
    assert set(TECHNIQUES[name].saves) <= {"file", "memory", "time"}


@pytest.mark.parametrize("name", MODEL)
def test_a_model_technique_that_can_change_nothing_fails(name: str) -> None:
    technique = TECHNIQUES[name]
    with pytest.raises(CompressionError):
        technique.apply(
            ModelJob(nets.NoWeights(), Workload("net", nets.NoWeights(), (nets.features(),))),
            technique.options(),
        )


@pytest.mark.parametrize("name", FILE)
@pytest.mark.parametrize("format", formats())
def test_a_file_technique_writes_a_smaller_file_that_computes_nearly_the_same(
    name: str, format: str, exported: dict[str, Path], tmp_path: Path
) -> None:
    work, technique = job(exported[format], tmp_path), TECHNIQUES[name]
    before = sha256_file(work.source)
    notes = technique.apply(work, technique.options())
    assert isinstance(notes, tuple)
    assert all(note and "\n" not in note for note in notes)
    assert sha256_file(work.source) == before
    stored = work.out
    if getattr(technique, "codes", False):
        stored = tmp_path / "coded"
        encode_file(work.out, stored_tensors(work.out, format), stored)
    assert stored.stat().st_size < work.source.stat().st_size
    x = [nets.image(99).numpy()]
    (got,), (want,) = (plain_run([p], format, inputs=x).outputs.values() for p in (work.out, work.source))
    assert got.shape == want.shape
    assert float((got * want).sum()) > 0.98 * float((got**2).sum() * (want**2).sum()) ** 0.5


@pytest.mark.parametrize("name", FILE)
@pytest.mark.parametrize("format", formats())
def test_a_file_technique_writes_the_same_bytes_each_time(
    name: str, format: str, exported: dict[str, Path], tmp_path: Path
) -> None:
    technique, hashes = TECHNIQUES[name], set()
    for number in range(2):
        work = job(exported[format], tmp_path / str(number))
        work.out.parent.mkdir()
        technique.apply(work, technique.options())
        hashes.add(sha256_file(work.out))
    assert len(hashes) == 1
