"""The store on the device: verified before use, and nothing outside its folder."""

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


def stored(store: Store) -> FileRef:
    Path(store.path(SHA) + ".part").write_bytes(CONTENT)
    store.keep(SHA)
    return FileRef("my model.onnx", SHA, len(CONTENT))


def test_a_pushed_file_is_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert store.missing([SHA]) == [SHA]
    stored(store)
    assert store.missing([SHA]) == []
    assert not Path(store.path(SHA) + ".part").exists()


def test_a_file_altered_on_the_device_is_refused_before_it_is_used(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    ref = stored(store)
    Path(store.path(SHA)).write_bytes(b"mode1")
    (tmp_path / "here").mkdir()
    with pytest.raises(AgentFailure, match="altered on the device"):
        store.place(ref, str(tmp_path / "here"))
    assert store.missing([SHA]) == [SHA]


def test_a_stored_file_appears_under_its_own_name(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "here").mkdir()
    assert Path(store.place(stored(store), str(tmp_path / "here"))).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "x\0y", "n" * 256])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path))
    stored(store)
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
    stored(store)
    write_json(str(Path(store.jobs) / "x.json"), {"a": 1})
    assert store.clean() == len(CONTENT) + len('{"a":1}')
    assert list(tmp_path.iterdir()) == []
