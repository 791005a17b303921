"""Two devices whose best settings differ by their runtimes and formats, and what swapping them costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.devices import require
from tests.devices.brief import BriefHost
from tests.devices.command_line import TEST_CACHE
from tests.devices.limits import ONE_PROCESSOR, limited_memory
from tests.devices.netns import Lab

ROOT = Path(__file__).resolve().parents[2]
DIGITS = f"{ROOT / 'examples/digits.py'}:workload"
NARROW_BYTES = 160 << 20
# Dynamic integers make the smallest file, and tflite-runtime computes such convolutions wrongly.
SPACE = """
prune = [0.0]
low_rank = [0.0]
quantize = ["none", "fp16", "int8-dynamic"]
keep_floats = [0]
distill = ["none"]
threads = [1]
"""


def python(runtime: str) -> str:
    path = ROOT / "build/envs" / runtime / "bin/python"
    require(path.exists(), f"{path} is missing: make test sets it up")
    return str(path)


@pytest.fixture
def host(lab: Lab, tmp_path: Path) -> Iterator[BriefHost]:
    """Beside a device with onnxruntime, a narrow one with tflite-runtime, and another with onnxruntime."""
    wide, narrow, twin = lab.add(), lab.add(inside=ONE_PROCESSOR), lab.add()
    made = BriefHost(tmp_path / "ann", lab.command())
    (made.folder / "temporary").mkdir()
    made.environment["TMPDIR"] = str(made.folder / "temporary")
    farm = [
        wide.sshd.farm_toml("wide", python=python("onnxruntime")),
        narrow.sshd.farm_toml("narrow", python=python("tflite-runtime")),
        twin.sshd.farm_toml("twin", python=python("onnxruntime")),
    ]
    (made.folder / "farm.toml").write_text("\n".join(farm))
    (made.folder / "space.toml").write_text(SPACE)
    with limited_memory(narrow, NARROW_BYTES):
        yield made
        made.stop()


def study(host: BriefHost, folder: str, *words: str) -> Any:
    answer = host(*words, "-o", folder, "--farm", "farm.toml")
    assert answer.code == 0, answer
    return json.loads((host.folder / folder / "study.json").read_text())


def best(found: Any, device: str) -> Any:
    """What to ship on a device."""
    (answer,) = [one for one in found["devices"] if one["device"] == device]
    (attempt,) = [a for a in found["attempts"] if (a["device"], a["position"]) == (device, answer["best"])]
    return attempt


def prices(found: Any) -> dict[tuple[str, str], Any]:
    """The matrix: whose setting, on what."""
    return {(one["setting_of"], one["on"]): one for one in found["regrets"]}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_device_gets_its_own_best_and_the_price_of_the_others(host: BriefHost) -> None:
    words = ("tune", DIGITS, "--device", "wide", "--device", "narrow", "--space", "space.toml")
    effort = ("--objective", "size", "--trials", "3", "--final-preset", "rapid")
    found = study(host, "chosen", *words, *effort)
    wide, narrow = best(found, "wide"), best(found, "narrow")
    assert (wide["recipe"], wide["runtime"]) == ("int8-dynamic", "onnxruntime")
    assert (narrow["recipe"], narrow["runtime"]) == ("fp16", "tflite-runtime")
    (wrong,) = [a for a in found["attempts"] if (a["device"], a["recipe"]) == ("narrow", "int8-dynamic")]
    assert wrong["state"] == "failed" and "computes this file wrongly" in wrong["reason"]

    matrix = prices(found)
    assert matrix["wide", "wide"]["share"] == matrix["narrow", "narrow"]["share"] == 0
    (there,) = [a for a in found["attempts"] if (a["device"], a["recipe"]) == ("wide", "fp16")]
    price = there["size_bytes"] / wide["size_bytes"] - 1
    assert matrix["narrow", "wide"]["share"] == pytest.approx(price) and price > 0.3
    assert matrix["wide", "narrow"]["share"] is None
    assert matrix["wide", "narrow"]["reason"].startswith("failed there: ")
    page = (host.folder / "chosen/study.html").read_text()
    assert f"+{price:.1%}" in page and "failed there: " in page

    # a device like the first is given the very files that were built for that
    built = sorted(path.name for path in (TEST_CACHE / "objects").iterdir())
    carried = study(host, "carried", "transfer", found["study"]["id"], "--device", "twin")
    twin, matrix = best(carried, "twin"), prices(carried)
    assert (twin["recipe"], twin["sha256"]) == ("int8-dynamic", wide["sha256"])
    assert matrix["wide", "twin"]["share"] == 0 and matrix["narrow", "twin"]["share"] == pytest.approx(price)
    assert len(matrix) == 9
    assert set(built) >= {
        f"{attempt['sha256']}.onnx" for attempt in carried["attempts"] if attempt["device"] == "twin"
    }
    left = {path.name.partition("_")[0] for path in (host.folder / "temporary").iterdir()}
    assert left <= {"torchinductor"}  # torch's own cache
