"""What a farm and its workers say to each other: checked, and files that are what they were built as."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import HOSTILE, launch, measured, row

from edgewright.artifact import Artifact, ExportParity, Provenance, Quality, sha256_file
from edgewright.errors import ConfigError, TransportError, VerificationError
from edgewright.farm.group import Ended
from edgewright.farm.plan import Plan
from edgewright.farm.prepared import Asked
from edgewright.nightly.cluster import files as module
from edgewright.nightly.cluster.dask import Tls, check_address
from edgewright.nightly.cluster.documents import (
    Blob,
    Built,
    EndedLine,
    Job,
    Order,
    Place,
    Report,
    TaskLine,
    group_report,
    of_group,
    pack,
    unpack,
)
from edgewright.nightly.cluster.files import Incoming, Shelf, arrived, described
from edgewright.nightly.orders import GroupReport, Health
from edgewright.row import Cell, Failed
from edgewright_agent.protocol import Conditions, Tolerance

CELL = Cell("net", "int8", "pi", "raspberry-pi-5", "onnxruntime")
JOB = Job(
    "20260101-000000-abcd",
    Plan("night", ("net.onnx",), batch=(1, 8), rate=20.0),
    Asked("rapid", 0.01, conditions=Conditions("performance", "", 50_000)),
    (Place("pi", "raspberry-pi-5", "lab"),),
    is_resumed=True,
)
ROWS = (row(measured(launch(range(1000, 2000)))), row(Failed(HOSTILE, "transport", retryable=True)))


def artifact(folder: Path) -> Artifact:
    paths = {}
    for name in ("net.onnx", "net.data", "inputs.npz", "expected.npz", "empty.npz"):
        paths[name] = folder / name
        paths[name].write_bytes(b"" if name == "empty.npz" else name.encode() * 100)
    return Artifact(
        path=paths["net.onnx"],
        format="onnx",
        sha256=sha256_file(paths["net.onnx"]),
        size_bytes=800,
        extra_files=(paths["net.data"],),
        inputs=paths["inputs.npz"],
        expected=paths["expected.npz"],
        evaluation=paths["empty.npz"],
        parity=ExportParity(0.99, 1e-5),
        quality=Quality("accuracy", float("nan"), 0.9, 10),
        provenance=Provenance("net", "int8", "hash", "pi", ("a note",), (("torch", "2"),)),
        tolerance=Tolerance(cosine=0.9, max_abs=1e-3),
        shapes={"x": (1, 3)},
    )


def carry(built: Built, source: Shelf, target: Shelf) -> None:
    for blob in built.blobs:
        incoming = Incoming(target, blob)
        for part in source.parts(blob):
            incoming.add(part)
        assert incoming.is_complete and target.has(blob)


@pytest.mark.parametrize(
    "document",
    [
        JOB,
        Order("1", "measure", "pi", (TaskLine("run/pi/0", CELL),), cycle=True),
        Order("2", "forget", "pi", ended=(EndedLine("run/pi/0", ("a", "b"), has_failed=True),)),
        Report(failed=Failed("why", "code", retryable=True), health=Health(True, "well")),
        Report(refused=HOSTILE.encode("utf-8", "replace").decode(), seconds=1.5),
    ],
)
def test_a_document_comes_back_as_it_was(document: Any) -> None:
    assert unpack(type(document), pack(document), "the farm") == document


def test_a_character_that_is_none_is_no_end_of_it() -> None:
    assert unpack(Report, pack(Report(refused="a\ud800b")), "w").refused == "a?b"


def test_rows_come_back_as_they_were() -> None:
    report = GroupReport(tuple(Ended(f"k{n}", one, ("j",)) for n, one in enumerate(ROWS)), seconds=2.0)
    assert group_report(unpack(Report, pack(of_group(report)), "w")) == report
    with pytest.raises(ValueError, match="row"):
        group_report(Report(ended=(EndedLine("k", (), '{"format": 1}'),)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"surprise": 1}, "surprise"),
        ({"run_id": "../x"}, "run_id"),
        ({"is_resumed": "yes"}, "is_resumed"),
        ({"plan": {"name": "a"}}, "plan.workloads"),
        ({"places": [{"device": "-rf", "profile": "p", "site": "s"}]}, "places.0.device"),
    ],
)
def test_what_is_no_document_is_told_in_a_line(change: dict[str, Any], told: str) -> None:
    data = json.dumps({**asdict(JOB), **change}).encode()
    with pytest.raises(TransportError, match=f"the farm: not a document as expected: {told}"):
        unpack(Job, data, "the farm")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text().map(str.encode) | st.none() | st.integers())
def test_anything_else_is_refused(data: object) -> None:
    with pytest.raises(TransportError):
        unpack(Job, data, "somebody")


def test_a_built_file_arrives_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    made = artifact(tmp_path)
    here, there = Shelf(tmp_path / "here"), Shelf(tmp_path / "there")
    built = unpack(Built, pack(described(made, ("a note",), here)), "w")
    with pytest.raises(VerificationError, match="are not here"):
        arrived(built, there)
    carry(built, here, there)
    found = arrived(built, Shelf(tmp_path / "there"))
    assert found.path.parent.parent == tmp_path / "there" and found.path.name == "net.onnx"
    for name in ("path", "inputs", "expected", "evaluation"):
        assert getattr(found, name).read_bytes() == getattr(made, name).read_bytes()
    assert [path.name for path in found.extra_files] == ["net.data"] and built.notes == ("a note",)
    assert found.quality is not None and found.quality.value != found.quality.value
    same = ("format", "sha256", "size_bytes", "parity", "provenance", "tolerance", "shapes", "signed")
    assert [getattr(found, name) for name in same] == [getattr(made, name) for name in same]


def test_a_file_that_is_another_never_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = artifact(tmp_path)
    here, there = Shelf(tmp_path / "here"), Shelf(tmp_path / "there")
    model = described(made, (), here).files["model"]
    incoming = Incoming(there, model)
    with pytest.raises(VerificationError, match="not the file that was announced"):
        incoming.add(b"x" * model.size_bytes)
    incoming = Incoming(there, model)
    with pytest.raises(VerificationError, match="more of it came"):
        incoming.add(b"x" * (model.size_bytes + 1))
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(VerificationError, match="larger than"):
        Incoming(there, model)
    assert not there.has(model) and list((tmp_path / "there").rglob("*.*")) == []


def test_a_file_that_was_damaged_since_is_sent_again(tmp_path: Path) -> None:
    built = described(artifact(tmp_path), (), here := Shelf(tmp_path / "here"))
    carry(built, here, Shelf(tmp_path / "there"))
    (tmp_path / "there" / built.sha256 / "net.onnx").write_bytes(b"damaged")
    assert [b.name for b in built.blobs if not Shelf(tmp_path / "there").has(b)] == ["net.onnx"]


@pytest.mark.parametrize("name", ["", "a/b", "..\\x", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    blob = {**asdict(Blob("0" * 64, "x", 1)), "name": name}
    with pytest.raises(TransportError):
        unpack(Blob, json.dumps(blob).encode(), "w")


TLS = Tls(Path("ca"), Path("cert"), Path("key"))


@pytest.mark.parametrize(
    ("address", "tls", "told"),
    [
        ("tcp://10.0.0.1:8786", None, "not encrypted, and not on this machine"),
        ("tcp://bench.lab:8786", None, "not encrypted, and not on this machine"),
        ("tls://10.0.0.1:8786", None, "needs --tls-ca"),
        ("tcp://127.0.0.1:8786", TLS, "takes no --tls"),
        ("ucx://h:1", None, "is not an address"),
        ("tcp://127.0.0.1", None, "is not an address"),
        ("tcp://[::1", None, "is not an address"),
        ("tcp://127.0.0.1:http", None, "is not an address"),
        ("8786", None, "is not an address"),
    ],
)
def test_an_address_beyond_this_machine_has_to_be_encrypted(address: str, tls: Tls | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_address(address, tls)


def test_addresses_that_are_good() -> None:
    assert check_address("tcp://127.0.0.1:8786", None) == "tcp://127.0.0.1:8786"
    assert check_address("tcp://[::1]:8786", None) and check_address("tcp://localhost:1", None)
    assert check_address("tls://bench.lab:8786", TLS)


def test_a_job_differs_when_its_farm_goes_on() -> None:
    assert replace(JOB, is_resumed=False) != JOB
