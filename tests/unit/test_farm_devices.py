"""Which devices a plan means, their power, and the model that tells whether they are well."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as s
from tests.models.tflite_zoo import Graph, Op, Tensor, pack

from edgewright.errors import ConfigError, DeviceError, DeviceTimeout
from edgewright.farm import inventory as farm_inventory
from edgewright.farm.inventory import SshAddress, Target, load_inventory
from edgewright.farm.plan import load_plan
from edgewright.farm.power import cycle_power
from edgewright.farm.selectors import choose_targets
from edgewright.nightly import gold
from edgewright.nightly.gold import gold_standard, gold_weights
from edgewright.nightly.health import check_health
from edgewright.nightly.lane import board_of
from edgewright.reference import reference_run
from edgewright.tensorfile import read_arrays
from edgewright.transport.adb_address import AdbAddress

FARM = """
[devices.pi]
profile = "raspberry-pi-5"
address = "ann@pi"
tags = ["lab", "arm"]
power_cycle = "uhubctl -l '1 1' -a cycle"

[devices.nano]
profile = "jetson-nano"
address = "ann@nano"
tags = ["lab"]
power_cycle = ["sh", "-c", "echo $HOME; true"]

[devices.pi2]
profile = "raspberry-pi-5"
address = "ann@pi2"
"""


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(farm_inventory.VARIABLE, raising=False)
    (tmp_path / "farm.toml").write_text(FARM)
    return tmp_path / "farm.toml"


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        (["tag:lab"], ["pi", "nano"]),
        (["profile:raspberry-pi-5"], ["pi", "pi2"]),
        (["pi2", "tag:lab", "profile:raspberry-pi-5"], ["pi2", "pi", "nano"]),
        (["local"], ["local"]),
    ],
)
def test_devices_by_name_tag_and_profile(farm: Path, selectors: list[str], names: list[str]) -> None:
    assert [target.name for target in choose_targets(selectors, load_inventory())] == names


@pytest.mark.parametrize(
    ("selector", "mend"),
    [
        ("tag:labs", r"no device has the tag 'labs' in farm.toml \(did you mean 'lab'\?\)"),
        ("profile:raspberry-pi-4", r"no device has the profile .* \(did you mean 'raspberry-pi-5'\?\)"),
        ("tags:lab", r"expected a name, tag:NAME or profile:NAME \(did you mean 'tag'\?\)"),
        ("nan", r"unknown device 'nan' in farm.toml \(did you mean 'nano'\?\)"),
        ("tag:", "no device has the tag ''"),
    ],
)
def test_a_selector_that_means_nothing(farm: Path, selector: str, mend: str) -> None:
    with pytest.raises(ConfigError, match=mend):
        choose_targets([selector], load_inventory())


def test_priority_in_a_plan(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[plan]\nname = "n"\nworkloads = ["a.onnx"]\npriority = -3\n')
    assert load_plan(plan).priority == -3
    plan.write_text('[plan]\nname = "n"\nworkloads = ["a.onnx"]\npriority = 1000\n')
    with pytest.raises(ConfigError, match=r"plan\.priority is 1000"):
        load_plan(plan)


def test_power_commands_are_words(farm: Path) -> None:
    targets = {target.name: target for target in load_inventory().targets}
    assert targets["pi"].power_cycle == ("uhubctl", "-l", "1 1", "-a", "cycle")
    assert targets["nano"].power_cycle == ("sh", "-c", "echo $HOME; true")
    assert targets["pi2"].power_cycle == ()


@pytest.mark.parametrize("value", ['""', '" "', "[]", '[""]', '"it\'s"', "7", '["a\\u0000b"]'])
def test_a_power_command_that_is_none(farm: Path, value: str) -> None:
    farm.write_text(f'[devices.pi]\nprofile = "raspberry-pi-5"\naddress = "a@b"\npower_cycle = {value}\n')
    with pytest.raises(ConfigError, match=r"devices\.pi\.power_cycle"):
        load_inventory()


def test_this_machine_does_not_cut_its_own_power(farm: Path) -> None:
    farm.write_text('[devices.local]\npower_cycle = "reboot"\n')
    with pytest.raises(ConfigError, match="'local' is the machine that would run it"):
        load_inventory()


def test_cycling_power(tmp_path: Path) -> None:
    done = tmp_path / "done"
    cycle_power("pi", (sys.executable, "-c", f"open({str(done)!r}, 'w')"))
    assert done.exists()
    with pytest.raises(DeviceError, match=r"pi: power_cycle: .* ended with 3: no such port"):
        cycle_power("pi", (sys.executable, "-c", "print('no such port'); raise SystemExit(3)"))
    with pytest.raises(DeviceError, match="pi: power_cycle: no-such-command: No such file"):
        cycle_power("pi", ("no-such-command",))


def test_a_power_command_that_hangs_is_ended_with_all_it_started() -> None:
    begun = time.monotonic()
    with pytest.raises(DeviceTimeout, match="took longer than 1 s"):
        cycle_power("pi", ("sh", "-c", "sleep 60 & sleep 60"), limit_s=1.0)
    assert time.monotonic() - begun < 20


def test_a_board_is_known_by_its_address() -> None:
    first, second = (SshAddress("Pi.lab", user, None, None, None) for user in ("ann", "bob"))
    assert board_of(Target("pi", "p", first)) == board_of(Target("other", "p", second)) == "pi.lab:22"
    assert board_of(Target("phone", "p", AdbAddress("R58"))) == "adb:R58"
    assert board_of(Target("local", "p")).startswith("local@")


def gold_tflite() -> bytes:
    """The TFLite file of the gold standard: how the one in the package was made."""
    kernel, matrix = gold_weights()
    tensors = [
        Tensor("image", [1, 6, 6, 2]),
        Tensor("kernel", [4, 3, 3, 2], content=np.ascontiguousarray(kernel.transpose(0, 2, 3, 1))),
        Tensor("zeros", [4], content=np.zeros(4, np.float32)),
        Tensor("maps", [1, 4, 4, 4]),
        Tensor("matrix", [4, 64], content=np.ascontiguousarray(matrix.T)),
        Tensor("scores", [1, 4]),
    ]
    options = {"padding": s.Padding.VALID, "strideW": 1, "strideH": 1, "dilationWFactor": 1}
    relu = s.ActivationFunctionType.RELU
    conv = {**options, "dilationHFactor": 1, "fusedActivationFunction": relu}
    ops = [
        Op("CONV_2D", [0, 1, 2], [3], ("Conv2DOptions", conv)),
        Op("FULLY_CONNECTED", [3, 4, 2], [5], ("FullyConnectedOptions", {})),
    ]
    return pack(Graph(tensors, ops, [0], [5]))


def test_the_tflite_file_is_the_one_that_was_made() -> None:
    assert (Path(gold.__file__).parent / "gold.tflite").read_bytes() == gold_tflite()


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_the_gold_standard_is_what_a_runtime_computes(format_name: str) -> None:
    with gold_standard(format_name) as artifact:
        assert artifact.inputs and artifact.expected
        run = reference_run([artifact.path], format_name, inputs=read_arrays(artifact.inputs))
        expected = read_arrays(artifact.expected)
    assert {name: value.tolist() for name, value in run.outputs.items()} == {
        name: value.tolist() for name, value in expected.items()
    }
    assert len(set(expected["scores"].ravel().tolist())) > 2


def test_this_machine_is_well_and_one_that_is_not_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    health = check_health(Target("here", "x86-64-linux", None, sys.executable), None, "check1")
    assert health.is_healthy and "the gold standard came out right" in health.words, health
    gone = check_health(
        Target("gone", "x86-64-linux", SshAddress("127.0.0.1", "ann", 1, None, None)), None, "c"
    )
    assert not gone.is_healthy and gone.code == "transport" and gone.may_pass
