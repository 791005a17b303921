"""Keys and manifests on the host: made, used, and refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.devices import require_command
from tests.devices.quick_command import QuickCommand

from edgewright.artifact import Artifact, ExportParity, Provenance, Quality, sha256_file
from edgewright.errors import ConfigError, VerificationError
from edgewright.manifest import (
    manifest_of,
    manifest_path,
    signed_beside,
    verify,
    verify_folder,
    vouched,
    write_beside,
)
from edgewright.signing import VARIABLE, Signer, find_key, is_signed_by, load_public_key, load_signer, new_key
from edgewright_agent.ed25519 import verify as device_verifies
from edgewright_agent.protocol import FileRef, Tolerance
from edgewright_agent.protocol_manifest import MAX_MANIFEST_BYTES, read_manifest, write_manifest

PEM, OPENSSH = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH


def private_file(path: Path, key: object, form: serialization.PrivateFormat, password: bytes = b"") -> Path:
    cipher = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, cipher))  # type: ignore[attr-defined]
    path.chmod(0o600)
    return path


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    new_key(tmp_path / "keys" / "models")
    return load_signer(tmp_path / "keys" / "models")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "built" / "net-fp32.onnx"
    path.parent.mkdir()
    path.write_bytes(b"a model, or so")
    return path


def artifact(path: Path) -> Artifact:
    return Artifact(
        path=path,
        format="onnx",
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        parity=ExportParity(1, 0),
        quality=Quality("accuracy", 1, 0.5, 10),
        provenance=Provenance("net", "fp32", "abc", "raspberry-pi-5", ("a note",), (("onnx", "1.20"),)),
        tolerance=Tolerance(1, 0),
    )


def ref(path: Path) -> FileRef:
    return FileRef(path.name, sha256_file(path), path.stat().st_size)


class TestKeys:
    def test_a_new_key_is_its_owner_s_alone_and_never_written_over(self, tmp_path: Path) -> None:
        public = new_key(tmp_path / "k")
        assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
        assert load_public_key(tmp_path / "k.pub") == public == load_signer(tmp_path / "k").public
        kept = (tmp_path / "k").read_bytes()
        for gone in ("k.pub", "k"):
            with pytest.raises(ConfigError, match="is there already"):
                new_key(tmp_path / "k")
            assert (tmp_path / "k").read_bytes() == kept
            (tmp_path / gone).unlink()

    def test_openssh_reads_it_and_its_keys_are_read(self, tmp_path: Path) -> None:
        require_command("ssh-keygen")
        public = new_key(tmp_path / "ours")
        said = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(tmp_path / "ours")], capture_output=True, text=True, check=True
        )
        assert public.fingerprint in said.stdout
        theirs = tmp_path / "theirs"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(theirs)], check=True
        )
        assert load_signer(theirs).public.raw == load_public_key(tmp_path / "theirs.pub").raw
        assert load_public_key(tmp_path / "theirs.pub").comment == "me"

    @pytest.mark.parametrize("form", [PEM, OPENSSH])
    def test_both_forms_sign_alike(self, form: serialization.PrivateFormat, tmp_path: Path) -> None:
        key = Ed25519PrivateKey.from_private_bytes(bytes(32))
        signed = load_signer(private_file(tmp_path / "k", key, form)).sign("text")
        assert signed.signature == key.sign(b"text").hex()

    def test_nothing_of_the_key_is_printed(self, signer: Signer, tmp_path: Path) -> None:
        told = f"{signer!r} {signer.sign('x')!r}"
        assert "PRIVATE" not in told and "_private" not in told
        assert signer.public.raw.hex() in told or signer.public.comment in told

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
    def test_one_that_others_may_read_is_refused(self, mode: int, tmp_path: Path) -> None:
        new_key(tmp_path / "k")
        (tmp_path / "k").chmod(mode)
        with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600"):
            load_signer(tmp_path / "k")

    @pytest.mark.parametrize("form", [PEM, OPENSSH])
    def test_one_with_a_passphrase_is_refused(
        self, form: serialization.PrivateFormat, tmp_path: Path
    ) -> None:
        path = private_file(tmp_path / "k", Ed25519PrivateKey.generate(), form, b"secret")
        with pytest.raises(ConfigError, match="has a passphrase"):
            load_signer(path)

    @pytest.mark.parametrize(
        "make",
        [lambda: ec.generate_private_key(ec.SECP256R1()), lambda: rsa.generate_private_key(65537, 2048)],
    )
    def test_another_kind_of_key_is_refused(self, make: Callable[[], object], tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="not an Ed25519 key"):
            load_signer(private_file(tmp_path / "k", make(), PEM))

    @pytest.mark.parametrize(
        "content", [b"", b"no key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", b"\xff" * 99]
    )
    def test_something_else_is_refused(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "k"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match="keys new"):
            load_signer(path)
        with pytest.raises(ConfigError):
            load_public_key(path)

    def test_no_file_at_all(self, tmp_path: Path) -> None:
        for load in (load_signer, load_public_key):
            with pytest.raises(ConfigError, match="No such file"):
                load(tmp_path / "none")
            with pytest.raises(ConfigError):
                load(tmp_path)

    def test_the_variable_goes_before_the_farm_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        assert find_key(None) is None
        assert find_key(Path("farm.key")) == Path("farm.key")
        monkeypatch.setenv(VARIABLE, "~/own.key")
        assert find_key(Path("farm.key")) == Path("~/own.key").expanduser()


class TestManifests:
    def test_what_is_known_is_written_and_the_device_s_own_check_agrees(
        self, signer: Signer, model: Path
    ) -> None:
        signed = vouched(artifact(model), [ref(model)], signer)
        manifest = read_manifest(signed.text)
        assert (manifest.files, manifest.workload, manifest.recipe) == ((ref(model),), "net", "fp32")
        assert manifest.quality and manifest.quality.baseline == 0.5
        assert device_verifies(signer.public.raw, signed.text.encode(), bytes.fromhex(signed.signature))
        assert is_signed_by(signer.public, signed)
        assert not is_signed_by(signer.public, replace(signed, text=signed.text + " "))

    def test_the_same_artifact_has_the_same_manifest(self, signer: Signer, model: Path) -> None:
        assert vouched(artifact(model), [ref(model)], signer) == vouched(
            artifact(model), [ref(model)], signer
        )

    def test_without_a_key_it_is_unsigned(self, model: Path) -> None:
        signed = vouched(artifact(model), [ref(model)], None)
        assert (signed.key, signed.signature) == ("", "")
        assert read_manifest(signed.text).files == (ref(model),)

    def test_a_bare_model_has_one_too(self, model: Path) -> None:
        bare = replace(artifact(model), provenance=None, parity=None, quality=None, tolerance=None)
        manifest = manifest_of(bare, [ref(model)])
        assert read_manifest(write_manifest(manifest)) == manifest
        assert manifest.workload == ""

    def test_a_talkative_build_stays_within_bounds(self, model: Path) -> None:
        made = artifact(model)
        assert made.provenance
        for note, kept in (("\N{SNOWMAN}" * 500, 5), ("x" * 500, 32), ("x" * MAX_MANIFEST_BYTES, 0)):
            wordy = replace(made, provenance=replace(made.provenance, notes=(note,) * 500))
            text = write_manifest(manifest_of(wordy, [ref(model)]))
            assert read_manifest(text).notes == (note,) * kept


class TestFolder:
    @pytest.fixture
    def built(self, model: Path, signer: Signer) -> Path:
        write_beside(model, manifest_of(artifact(model), [ref(model)]), signer)
        return model.parent

    def outcomes(self, folder: Path, *keys: Signer) -> list[str]:
        found = verify_folder(folder, [key.public for key in keys])
        return [str(one) if isinstance(one, VerificationError) else "ok" for one in found]

    def test_as_it_was_built(self, built: Path, signer: Signer) -> None:
        assert self.outcomes(built, signer) == self.outcomes(built) == ["ok"]
        names = sorted(path.name for path in built.iterdir())
        assert names == ["net-fp32.manifest.json", "net-fp32.manifest.json.sig", "net-fp32.onnx"]

    def test_an_altered_model(self, built: Path, model: Path, signer: Signer) -> None:
        model.write_bytes(b"a model, or Xo")
        (said,) = self.outcomes(built, signer)
        assert "net-fp32.onnx: not the file of its manifest" in said

    def test_an_altered_manifest(self, built: Path, model: Path, signer: Signer) -> None:
        path = manifest_path(model)
        path.write_text(path.read_text().replace("a note", "b note"))
        for keys in ((signer,), ()):
            (said,) = self.outcomes(built, *keys)
            assert "altered since it was signed" in said

    def test_signed_by_somebody_else(self, built: Path, tmp_path: Path) -> None:
        new_key(tmp_path / "other")
        (said,) = self.outcomes(built, load_signer(tmp_path / "other"))
        assert "signed with SHA256:" in said and "not with SHA256:" in said

    def test_unsigned(self, built: Path, model: Path, signer: Signer) -> None:
        write_beside(model, manifest_of(artifact(model), [ref(model)]), None)
        assert not manifest_path(model).with_name("net-fp32.manifest.json.sig").exists()
        assert self.outcomes(built) == ["ok"]
        assert "not signed" in self.outcomes(built, signer)[0]

    def test_a_model_nobody_vouches_for(self, built: Path, signer: Signer) -> None:
        (built / "more.tflite").write_bytes(b"x")
        assert "more.tflite: no manifest names it" in self.outcomes(built, signer)[1]

    def test_a_missing_model(self, built: Path, model: Path, signer: Signer) -> None:
        model.unlink()
        assert "No such file" in self.outcomes(built, signer)[0]

    def test_a_path_that_leads_out(self, built: Path, model: Path, signer: Signer) -> None:
        outside = ref(model)
        for name in ("../built/net-fp32.onnx", "/etc/passwd", "..", "", "a\nb"):
            text = write_manifest(manifest_of(artifact(model), [replace(outside, name=name)]))
            signed = signer.sign(text)
            manifest_path(model).write_text(text)
            manifest_path(model).with_name("net-fp32.manifest.json.sig").write_text(
                json.dumps({"key": signed.key, "signature": signed.signature})
            )
            assert "not a file name" in self.outcomes(built, signer)[0]

    @pytest.mark.parametrize(
        "content", ["", "[]", '{"key":1}', '{"key":"x","signature":"y"}', "\xff", "[" * 50_000]
    )
    def test_a_signature_that_is_none(self, content: str, built: Path, model: Path, signer: Signer) -> None:
        beside = manifest_path(model).with_name("net-fp32.manifest.json.sig")
        beside.write_bytes(content.encode("latin-1"))
        with pytest.raises(VerificationError):
            verify(manifest_path(model), [signer.public])

    def test_a_folder_with_nothing_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for folder in (tmp_path / "empty", tmp_path / "none"):
            with pytest.raises(ConfigError):
                list(verify_folder(folder, []))

    def test_what_lies_beside_a_model_is_passed_on(self, built: Path, model: Path, signer: Signer) -> None:
        found = signed_beside(model, [model])
        assert found and is_signed_by(signer.public, found)
        assert vouched(replace(artifact(model), signed=found), [ref(model)], None) == found
        model.write_bytes(b"a model, or Xo")
        with pytest.raises(ConfigError, match="not the file of its manifest"):
            signed_beside(model, [model])

    def test_a_manifest_without_a_signature_is_left_alone(self, built: Path, model: Path) -> None:
        manifest_path(model).with_name("net-fp32.manifest.json.sig").unlink()
        assert signed_beside(model, [model]) is None


class TestCommands:
    @pytest.fixture
    def quick(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> QuickCommand:
        monkeypatch.delenv(VARIABLE, raising=False)
        return QuickCommand(tmp_path, monkeypatch, capfd)

    def test_new_and_show(self, quick: QuickCommand) -> None:
        made = quick("keys", "new", "lab/models")
        assert made.code == 0 and "lab/models.pub" in made.out and "PRIVATE" not in made.out
        shown = quick("keys", "show", "lab/models", "lab/models.pub")
        first, second = shown.out.splitlines()
        assert first == second and first.split()[0] in made.out
        assert "is there already" in quick.refusal(2, "keys", "new", "lab/models")

    def test_verify(self, quick: QuickCommand, model: Path, signer: Signer) -> None:
        write_beside(model, manifest_of(artifact(model), [ref(model)]), signer)
        public = "keys/models.pub"
        good = quick("verify", "built", "--key", public)
        assert (good.code, good.err) == (0, "")
        assert good.out == f"net-fp32.onnx: as its manifest says, signed with {signer.public.fingerprint}\n"
        assert "--key says whom to believe" in quick("verify", "built").out
        model.write_bytes(b"altered")
        assert "not the file of its manifest" in quick.refusal(1, "verify", "built", "--key", public)
        assert "cannot be read" in quick.refusal(2, "verify", "nowhere")

    @pytest.mark.parametrize("where", ["farm", "variable"])
    def test_a_key_that_cannot_be_used_stops_before_anything_is_built(
        self, where: str, quick: QuickCommand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if where == "farm":
            (quick.folder / "farm.toml").write_text('[signing]\nkey = "no.key"\n')
        else:
            monkeypatch.setenv(VARIABLE, str(quick.folder / "no.key"))
        words = [
            "net.py:f",
            "--recipe",
            "fp32",
            "--profile",
            "raspberry-pi-5",
            "--format",
            "onnx",
            "-o",
            "out",
        ]
        assert "no.key: the signing key cannot be read" in quick.refusal(2, "build", *words)
        assert not (quick.folder / "out").exists()

    def test_what_signing_takes_is_strict(self, quick: QuickCommand) -> None:
        (quick.folder / "farm.toml").write_text('[signing]\nkey = "x"\nkeys = "x"\n')
        assert "did you mean 'key'" in quick.refusal(2, "device", "list")
