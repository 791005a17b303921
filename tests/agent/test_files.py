"""The store on the device: verified on the way in and again before use, and nothing outside its folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgewright_agent.failure import AgentFailure
from edgewright_agent.files import write_json
from edgewright_agent.protocol import FileRef
from edgewright_agent.store import Store

CONTENT = b"model"
SHA = hashlib.sha256(CONTENT).hexdigest()


def admitted(store: Store) -> FileRef:
    Path(store.path(SHA) + ".part").write_bytes(CONTENT)
    store.admit(SHA, len(CONTENT))
    return FileRef("my model.onnx", SHA, len(CONTENT))


def test_a_pushed_file_is_verified_and_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert store.missing([SHA]) == [SHA]
    admitted(store)
    assert store.missing([SHA]) == []
    assert not Path(store.path(SHA) + ".part").exists()


@pytest.mark.parametrize(("content", "size"), [(b"modem", 5), (b"mod", 5), (CONTENT, 6)])
def test_a_damaged_push_is_refused_and_removed(tmp_path: Path, content: bytes, size: int) -> None:
    store = Store(str(tmp_path))
    part = Path(store.path(SHA) + ".part")
    part.write_bytes(content)
    with pytest.raises(AgentFailure, match="arrived damaged"):
        store.admit(SHA, size)
    assert not part.exists() and store.missing([SHA]) == [SHA]


def test_a_file_altered_on_the_device_is_refused_before_it_is_used(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    ref = admitted(store)
    Path(store.path(SHA)).write_bytes(b"mode1")
    (tmp_path / "here").mkdir()
    with pytest.raises(AgentFailure, match="altered on the device"):
        store.place(ref, str(tmp_path / "here"))
    assert store.missing([SHA]) == [SHA]


def test_a_stored_file_appears_under_its_own_name(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "here").mkdir()
    assert Path(store.place(admitted(store), str(tmp_path / "here"))).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "x\0y", "n" * 256])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path))
    admitted(store)
    with pytest.raises(AgentFailure, match="not a file name"):
        store.place(FileRef(name, SHA, 5), str(tmp_path))


@pytest.mark.parametrize("name", ["", "..", "../../x", "a/b", ".hidden"])
def test_a_job_id_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AgentFailure, match="not a job id"):
        Store(str(tmp_path)).job_folder(name)


def test_a_hash_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentFailure, match="not a SHA-256"):
        Store(str(tmp_path)).path("../" + SHA)


def test_clean_leaves_nothing_of_models_and_jobs(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    admitted(store)
    write_json(str(Path(store.jobs) / "x.json"), {"a": 1})
    assert store.clean() == len(CONTENT) + len('{"a":1}')
    assert list(tmp_path.iterdir()) == []
