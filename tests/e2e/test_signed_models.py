"""A device that runs signed models only, by the commands a person gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.devices.quick_command import QuickCommand
from tests.models import onnx_zoo

from edgewright.artifact import sha256_file
from edgewright.manifest import write_beside
from edgewright.signing import VARIABLE, load_signer
from edgewright_agent.protocol import FileRef
from edgewright_agent.protocol_manifest import Manifest

BENCH = ("bench", "model.onnx", "--preset", "rapid")
SIGNING = '[signing]\nkey = "keys/models"\n'


@pytest.fixture
def lab(quick: QuickCommand, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a key and a model; what the agent keeps is below it."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert quick("keys", "new", "keys/models").code == 0
    onnx_zoo.save(onnx_zoo.one_node("Relu"), quick.folder / "model.onnx")
    return quick.folder


def kept(lab: Path) -> Path:
    """The agent's folder."""
    return lab / "home" / ".cache" / "edgewright"


def authorized(lab: Path) -> Path:
    return kept(lab) / "authorized_keys"


def test_only_what_is_signed_by_a_trusted_key_runs(quick: QuickCommand, lab: Path) -> None:
    assert "runs whatever it is given" in quick("device", "authorize", "local").out
    trusted = quick("device", "authorize", "local", "keys/models.pub")
    assert "local runs only what is signed with this key" in trusted.out
    assert authorized(lab).stat().st_mode & 0o777 == 0o600
    said = quick.refusal(1, *BENCH)
    assert "model.onnx is not signed, and this device runs signed models only" in said
    assert "[signing]" in said
    assert list((kept(lab) / "jobs").iterdir()) == []

    (lab / "farm.toml").write_text(SIGNING)
    assert quick(*BENCH).code == 0

    quick("keys", "new", "keys/other")
    (lab / "farm.toml").write_text(SIGNING.replace("models", "other"))
    said = quick.refusal(1, *BENCH)
    assert "which this device does not trust" in said and "device authorize" in said


def test_keys_come_and_go(quick: QuickCommand, lab: Path) -> None:
    quick("keys", "new", "keys/other")
    quick("device", "authorize", "local", "keys/models.pub")
    both = quick("device", "authorize", "local", "keys/other.pub", "keys/models")
    assert both.out.count("SHA256:") == 2 and "one of these keys" in both.out
    revoked = quick("device", "authorize", "local", "keys/other.pub", "--revoke")
    assert revoked.out.count("SHA256:") == 1
    assert quick("device", "authorize", "local").out == revoked.out
    assert "does not trust" in quick.refusal(2, "device", "authorize", "local", "keys/other.pub", "--revoke")
    assert "trusts no key" in quick("device", "authorize", "local", "--revoke").out
    assert not authorized(lab).exists()


def test_a_list_that_cannot_be_believed_is_repaired_by_revoking(quick: QuickCommand, lab: Path) -> None:
    quick("device", "authorize", "local", "keys/models.pub")
    authorized(lab).chmod(0o644)
    said = quick.refusal(1, "device", "authorize", "local")
    assert "others than its owner may use it" in said and "chmod 600" in said
    assert "trusts no key" in quick("device", "authorize", "local", "--revoke").out


def test_what_was_signed_elsewhere_is_passed_on(quick: QuickCommand, lab: Path) -> None:
    """Signed on one host, measured from another that has no key."""
    model = lab / "model.onnx"
    ref = FileRef(model.name, sha256_file(model), model.stat().st_size)
    write_beside(model, Manifest((ref,), "onnx", "somebody"), load_signer(lab / "keys" / "models"))
    assert quick("verify", ".", "--key", "keys/models.pub").code == 0
    quick("device", "authorize", "local", "keys/models.pub")
    assert quick(*BENCH).code == 0
    onnx_zoo.save(onnx_zoo.one_node("Sigmoid"), model)
    assert "not the file of its manifest" in quick.refusal(2, *BENCH)


def test_two_models_by_turns_are_asked_too(quick: QuickCommand, lab: Path) -> None:
    quick("device", "authorize", "local", "keys/models.pub")
    assert "is not signed" in quick("ab", "model.onnx", "model.onnx", "--budget", "2s").out


def test_clean_forgets_the_keys(quick: QuickCommand, lab: Path) -> None:
    quick("device", "authorize", "local", "keys/models.pub")
    assert quick("device", "clean", "local").code == 0
    assert not authorized(lab).exists()
