"""Arm's programs, each run by qemu-user: a bare board is made ready and computes what the host computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.devices.brief import BriefHost
from tests.devices.netns import Lab
from tests.devices.qemu_user import KINDS, plug_in

pytestmark = pytest.mark.arch

RUNTIMES = {"aarch64": ("onnxruntime", "ai-edge-litert"), "armv7l": ("tflite-runtime",)}
BOARDS = {"aarch64": "Raspberry Pi 5 Model B Rev 1.0", "armv7l": "Raspberry Pi 4 Model B Rev 1.4"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "lab") as made:
        yield made


@pytest.fixture
def host(lab: Lab, tmp_path: Path) -> Iterator[BriefHost]:
    made = BriefHost(tmp_path / "host", lab.command())
    yield made
    made.stop()


@pytest.mark.parametrize("machine", RUNTIMES)
def test_a_bare_board_computes_what_the_host_does(machine: str, lab: Lab, host: BriefHost) -> None:
    runtimes = RUNTIMES[machine]
    server = plug_in(lab, machine).sshd
    (host.folder / "farm.toml").write_text(server.farm_toml(profile=KINDS[machine].profile))

    made = host("device", "provision", "board", "--offline", *[w for r in runtimes for w in ("--runtime", r)])
    assert made.code == 0, made
    assert f"Python 3.11, {machine}, glibc 2.36" in made.out

    plan = host.plan("board", ["fp32", "int8-static"], runtimes)
    ran = host("run", plan, "--json", "report.json", "--markdown", "report.md")
    assert ran.code == 0, ran
    report = host.report()
    rows = report["rows"]
    assert [(row["recipe"], row["runtime"]) for row in rows] == [
        (recipe, runtime) for recipe in ("fp32", "int8-static") for runtime in runtimes
    ]
    for row in rows:
        assert row["outcome"] == "measured", row["reason"]
        assert row["parity"]["cosine"] > (0.9999 if row["recipe"] == "fp32" else 0.999), row
        assert row["quality"]["value"] > 0.98
        assert row["emulated"] is True and row["verdict"]["status"] == "emulated"
        assert "are run by qemu-" in row["verdict"]["evidence"][0]
    (device,) = report["devices"]
    assert (device["board"], device["machine"]) == (BOARDS[machine], machine)
    assert [headline["recipe"] for headline in report["headlines"]] == [None]
    assert (
        "ran under emulation" in ran.out and "faster" not in ran.out + (host.folder / "report.md").read_text()
    )

    cleaned = host("device", "clean", "board")
    assert cleaned.code == 0, cleaned
    assert list(server.home.iterdir()) == []
