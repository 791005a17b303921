from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.artifact import sha256_file
from edgewright.manifest import Verified, verify_folder
from edgewright.signing import new_key

WORKLOAD = """
import torch
from edgewright.workload import Workload

print("a factory may print")

def workload():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    return Workload("tiny", model, (torch.ones(1, 8),), calibration=[(torch.randn(1, 8),) for _ in range(64)])

def broken():
    raise RuntimeError("no weights")
"""


def edgewright(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    entry = "from edgewright.cli.main import main; main()"
    command = [sys.executable, "-c", entry, *words, "--cache", str(folder / "cache")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cli")
    (made / "net.py").write_text(WORKLOAD)
    return made


def words(
    factory: str = "workload", recipe: str = "int8-static", profile: str = "raspberry-pi-4"
) -> list[str]:
    return [
        "build",
        f"net.py:{factory}",
        "--recipe",
        recipe,
        "--profile",
        profile,
        "--format",
        "onnx",
        "-o",
        "out",
    ]


def test_it_writes_the_file_and_its_manifest_and_says_what_it_knows(folder: Path) -> None:
    done = edgewright(folder, *words(), "--json", "copy.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "a factory may print\n"
    path = folder / "out" / "tiny-int8-static-raspberry-pi-4.onnx"
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["file"] == "out/tiny-int8-static-raspberry-pi-4.onnx"
    assert lines["sha256"] == sha256_file(path)
    assert lines["size"].endswith(f"({path.stat().st_size} bytes)")
    assert lines["parity"].startswith("cosine 0.9")
    assert lines["quality"] == "not judged: the workload has no evaluate"

    assert lines["signed"] == "no: no key is configured"

    manifest = json.loads(path.with_suffix(".manifest.json").read_text())
    assert manifest == json.loads((folder / "copy.json").read_text())
    assert manifest["files"] == [
        {"name": path.name, "sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    ]
    assert manifest["recipe"] == "int8-static"
    assert manifest["created_by"].startswith("edgewright ")
    assert manifest["profile"] == "raspberry-pi-4"
    assert manifest["parity"]["cosine"] > 0.9
    assert manifest["quality"] is None
    assert manifest["notes"][0].startswith("static int8")
    assert str(folder) not in json.dumps(manifest)
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        path.with_suffix(".manifest.json").name,
        path.name,
    ]

    again = edgewright(folder, *words())
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"factory": "wrkload"}, 2, "factory 'wrkload' is not there (did you mean 'workload'?)"),
        ({"factory": "broken"}, 2, "net.py:13: factory 'broken' raised RuntimeError: no weights"),
        ({"recipe": "int8"}, 2, "unknown recipe 'int8'"),
        ({"profile": "raspbery-pi-4"}, 2, "did you mean 'raspberry-pi-4'?"),
        ({"recipe": "prune50"}, 0, ""),
    ],
)
def test_errors_are_one_line_and_have_their_code(
    changed: dict[str, str], code: int, said: str, folder: Path
) -> None:
    done = edgewright(folder, *words(**changed))
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line != "a factory may print"]
    assert len(lines) == (0 if code == 0 else 1)
    assert said in done.stderr


def test_an_output_folder_that_cannot_be_made_is_one_line(folder: Path) -> None:
    (folder / "blocked").write_text("")
    command = words()
    command[-1] = "blocked/deeper"
    done = edgewright(folder, *command)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("error: blocked/deeper")
    assert "Traceback" not in done.stderr


def test_with_a_key_it_is_signed(folder: Path) -> None:
    signer = new_key(folder / "models.key")
    (folder / "farm.toml").write_text('[signing]\nkey = "models.key"\n')
    done = edgewright(folder, *words()[:-1], "signed")
    (folder / "farm.toml").unlink()
    assert done.returncode == 0, done.stderr
    assert f"signed   with {signer.fingerprint}" in done.stdout
    (found,) = verify_folder(folder / "signed", [signer])
    assert isinstance(found, Verified) and found.manifest.recipe == "int8-static"
