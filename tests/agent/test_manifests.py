"""What a manifest may be, whose signature counts, and that a device refuses everything else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_agent.authorized import FILE, authorize, authorized_keys
from edgewright_agent.failure import AgentFailure
from edgewright_agent.manifest import check_manifests
from edgewright_agent.protocol import (
    Companion,
    Execution,
    FileRef,
    Job,
    Model,
    SignedManifest,
    Tolerance,
    WireError,
)
from edgewright_agent.protocol_keys import PublicKey, parse_public_key
from edgewright_agent.protocol_manifest import Manifest, Nearness, Score, read_manifest, write_manifest

FILES = (FileRef("net.onnx", "a" * 64, 1000), FileRef("net.data", "b" * 64, 5))
MANIFEST = Manifest(
    FILES,
    "onnx",
    "edgewright 1.0",
    workload="digits",
    recipe="int8-static",
    parity=Nearness(0.9999, 1e-7),
    tolerance=Tolerance(0.99, 0.1),
    quality=Score("accuracy", 0.97, 0.975, 360),
    notes=("a note", "größer \u2028 \ud800"),
    versions={"onnx": "1.20", "a": "b"},
)

texts = st.text(max_size=30)
floats = st.floats(allow_nan=False, allow_infinity=False)
sizes = st.integers(-(2**63), 2**63 - 1)
manifests = st.builds(
    Manifest,
    files=st.lists(
        st.builds(FileRef, texts, texts, sizes), min_size=1, max_size=4, unique_by=lambda ref: ref.name
    ).map(tuple),
    format=texts,
    created_by=texts,
    workload=texts,
    parity=st.none() | st.builds(Nearness, floats, floats),
    quality=st.none() | st.builds(Score, texts, floats, floats, sizes, st.booleans()),
    notes=st.lists(texts, max_size=3).map(tuple),
    versions=st.dictionaries(texts, texts, max_size=3),
)


class TestWriting:
    def test_what_is_written_is_read(self) -> None:
        text = write_manifest(MANIFEST)
        assert text.isascii() and text.endswith("}\n") and text.count("\n") == 1
        assert read_manifest(text) == MANIFEST

    @given(manifests)
    def test_any_manifest_comes_back_as_it_was(self, manifest: Manifest) -> None:
        assert read_manifest(write_manifest(manifest)) == manifest

    @given(st.text(max_size=300))
    def test_any_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(WireError):
            read_manifest(text)

    @settings(max_examples=300)
    @given(st.data())
    def test_one_changed_character_is_refused_or_another_manifest(self, data: st.DataObject) -> None:
        text = write_manifest(MANIFEST)
        at = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.characters(max_codepoint=0x2FFF))
        altered = text[:at] + other + text[at + 1 :]
        try:
            found = read_manifest(altered)
        except WireError:
            return
        assert (found == MANIFEST) == (altered == text)
        assert write_manifest(found) == altered

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | texts,
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        )
    )
    def test_any_other_json_is_refused(self, value: Any) -> None:
        with pytest.raises(WireError):
            read_manifest(json.dumps(value))

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text[:-1],
            lambda text: text + "\n",
            lambda text: " " + text,
            lambda text: text.replace(",", ", ", 1),
            lambda text: text.replace('"schema":1', '"schema":1.0'),
            lambda text: text.replace('"schema":1', '"schema":2'),
            lambda text: text.replace('"format":', '"format":"tflite","format":'),
            lambda text: text.replace('"format":"onnx"', '"format":"\\u006fnnx"'),
            lambda text: text.replace('{"created_by"', '{"a":1,"created_by"'),
            lambda text: text.replace('"files":[', '"files":[],"x":['),
            lambda text: text.replace("1e-07", "0.0000001"),
            lambda text: text.replace("net.data", "net.onnx"),
            lambda text: "[" * 100_000,
            lambda text: text.replace("a note", "a" * 70_000),
        ],
    )
    def test_there_is_one_writing_and_bounds(self, change: Any) -> None:
        text = write_manifest(MANIFEST)
        assert change(text) != text
        with pytest.raises(WireError):
            read_manifest(change(text))


class TestKeys:
    def test_a_line_of_openssh_is_read_and_written(self) -> None:
        key = PublicKey(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), "me at home")
        assert parse_public_key(key.line) == key
        assert key.fingerprint.startswith("SHA256:") and len(key.fingerprint) == 7 + 43

    @given(st.text(max_size=200))
    def test_anything_else_is_refused(self, line: str) -> None:
        with pytest.raises(WireError):
            parse_public_key(line)

    @settings(max_examples=200)
    @given(st.integers(0, 79), st.characters(max_codepoint=0x7F))
    def test_a_changed_character_is_refused_or_another_key(self, at: int, other: str) -> None:
        line = PublicKey(bytes(range(32))).line
        altered = line[:at] + other + line[at + 1 :]
        try:
            found = parse_public_key(altered)
        except WireError:
            return
        assert found.line.split()[:2] == altered.split()[:2]


def signed(manifest: Manifest, private: Ed25519PrivateKey) -> SignedManifest:
    text = write_manifest(manifest)
    return SignedManifest(text, raw(private).hex(), private.sign(text.encode()).hex())


def raw(private: Ed25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def job(manifest: SignedManifest | None, files: tuple[FileRef, ...] = FILES, **changes: Any) -> Job:
    return Job("job1", Model(files, "onnx", manifest), Execution("onnxruntime"), **changes)


def refusal(job: Job, root: Path) -> str:
    with pytest.raises(AgentFailure) as caught:
        check_manifests(job, str(root))
    error = caught.value.error
    assert error.code == "unverified"
    assert error.mend
    return error.message


KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A device that trusts KEY."""
    authorize(str(tmp_path), [PublicKey(raw(KEY), "lab").line])
    return tmp_path


class TestRefusals:
    def test_signed_by_a_trusted_key_it_runs(self, root: Path) -> None:
        check_manifests(job(signed(MANIFEST, KEY)), str(root))

    def test_without_keys_anything_runs_that_is_what_it_says(self, tmp_path: Path) -> None:
        check_manifests(job(None), str(tmp_path))
        check_manifests(job(SignedManifest(write_manifest(MANIFEST))), str(tmp_path))
        check_manifests(job(signed(MANIFEST, OTHER)), str(tmp_path))
        other = replace(FILES[0], sha256="c" * 64)
        assert "net.onnx" in refusal(
            job(SignedManifest(write_manifest(MANIFEST)), (other, FILES[1])), tmp_path
        )

    @pytest.mark.parametrize("manifest", [None, SignedManifest(write_manifest(MANIFEST))])
    def test_unsigned(self, manifest: SignedManifest | None, root: Path) -> None:
        assert refusal(job(manifest), root).startswith("net.onnx is not signed")

    def test_signed_by_somebody_else(self, root: Path) -> None:
        assert PublicKey(raw(OTHER)).fingerprint in refusal(job(signed(MANIFEST, OTHER)), root)

    def test_the_name_of_a_trusted_key_is_not_enough(self, root: Path) -> None:
        forged = replace(signed(MANIFEST, OTHER), key=raw(KEY).hex())
        assert "not the one that was signed" in refusal(job(forged), root)

    def test_a_manifest_that_was_altered(self, root: Path) -> None:
        text = write_manifest(replace(MANIFEST, recipe="fp32"))
        assert "not the one that was signed" in refusal(job(replace(signed(MANIFEST, KEY), text=text)), root)

    @pytest.mark.parametrize("key, signature", [("xy", "00"), ("", "00"), ("00" * 31, "00" * 64), ("é", "é")])
    def test_a_signature_that_is_none(self, key: str, signature: str, root: Path) -> None:
        refusal(job(SignedManifest(write_manifest(MANIFEST), key, signature)), root)

    def test_something_else_than_a_manifest_that_is_signed(self, root: Path) -> None:
        text = "{}\n"
        manifest = SignedManifest(text, raw(KEY).hex(), KEY.sign(text.encode()).hex())
        assert "its manifest is none" in refusal(job(manifest), root)

    @pytest.mark.parametrize(
        "files, said",
        [
            ((replace(FILES[0], sha256="c" * 64), FILES[1]), "net.onnx"),
            ((FILES[0], replace(FILES[1], size_bytes=6)), "net.data"),
            ((replace(FILES[0], name="other.onnx"), FILES[1]), "other.onnx"),
            ((FILES[1], FILES[0]), "net.onnx"),
            (FILES[:1], "2 files, the job 1"),
            ((*FILES, FileRef("more", "d" * 64, 1)), "2 files, the job 3"),
        ],
    )
    def test_files_other_than_those_signed_for(
        self, files: tuple[FileRef, ...], said: str, root: Path
    ) -> None:
        assert said in refusal(job(signed(MANIFEST, KEY), files), root)

    def test_another_format(self, root: Path) -> None:
        asked = job(signed(MANIFEST, KEY))
        asked = replace(asked, model=replace(asked.model, format="tflite"))
        assert "says onnx, the job tflite" in refusal(asked, root)

    def test_companions_are_asked_too(self, root: Path) -> None:
        beside = Companion(Model((FileRef("b.onnx", "e" * 64, 1),), "onnx"), Execution("onnxruntime"))
        asked = job(signed(MANIFEST, KEY), companions=(beside,))
        assert refusal(asked, root).startswith("b.onnx is not signed")


class TestAuthorizedKeys:
    def test_they_are_kept_for_their_owner_alone(self, root: Path) -> None:
        path = root / FILE
        assert path.stat().st_mode & 0o777 == 0o600
        assert [key.raw for key in authorized_keys(str(root)) or ()] == [raw(KEY)]
        assert authorize(str(root), [PublicKey(raw(OTHER)).line] * 2) == (PublicKey(raw(OTHER)),)
        authorize(str(root), [])
        assert authorized_keys(str(root)) is None
        assert list(root.iterdir()) == []

    def test_a_line_that_is_no_key_changes_nothing(self, root: Path) -> None:
        for line in ("", "ssh-rsa AAAA", PublicKey(bytes([1]) + bytes(31)).line, "x" * 2000):
            with pytest.raises(WireError):
                authorize(str(root), [line])
        assert len(authorized_keys(str(root)) or ()) == 1

    @pytest.mark.parametrize(
        "content", ["", "# none\n", "ssh-ed25519 AAAA\n", "\xff\n", "x\n" * 100, "y" * 200_000]
    )
    def test_a_file_that_cannot_be_believed_lets_nothing_through(self, content: str, root: Path) -> None:
        (root / FILE).write_bytes(content.encode("latin-1"))
        assert FILE in refusal(job(signed(MANIFEST, KEY)), root)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
    def test_nor_one_that_others_may_use(self, mode: int, root: Path) -> None:
        (root / FILE).chmod(mode)
        assert "others" in refusal(job(signed(MANIFEST, KEY)), root)

    def test_nor_a_link_a_folder_or_a_pipe(self, root: Path) -> None:
        kept = (root / FILE).rename(root / "elsewhere")
        (root / FILE).symlink_to(kept)
        refusal(job(signed(MANIFEST, KEY)), root)
        (root / FILE).unlink()
        (root / FILE).mkdir()
        refusal(job(signed(MANIFEST, KEY)), root)
        (root / FILE).rmdir()
        os.mkfifo(root / FILE, 0o600)
        refusal(job(signed(MANIFEST, KEY)), root)
