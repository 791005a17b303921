"""Is a model what its manifest says, and did somebody this device trusts sign that? Asked before it is used.

The content of each file is compared with its SHA-256 as it is laid out (see layout.py); here it is settled
that this SHA-256, under this name, is what was signed for.
"""

from typing import Optional, Sequence

from .authorized import authorized_keys
from .codec import WireError
from .ed25519 import verify
from .failure import AgentFailure
from .protocol import Job, Model
from .protocol_keys import PublicKey
from .protocol_manifest import Manifest, read_manifest
from .protocol_model import SignedManifest

_HOW_TO_SIGN = "name a key in [signing] of the farm file, or in EDGEWRIGHT_SIGNING_KEY"


def check_manifests(job: Job, root: str) -> None:
    """Refuse a job of which a model is not what its manifest says, or not signed as the device wants it.

    Raises:
        AgentFailure: ``unverified`` with the file and the mend.
    """
    keys = authorized_keys(root)
    for model in (job.model, *(companion.model for companion in job.companions)):
        _check(model, keys)


def _check(model: Model, keys: Optional[Sequence[PublicKey]]) -> None:
    name = model.files[0].name if model.files else "a model without files"
    signed = model.manifest
    if keys is not None:
        _check_signature(name, signed, keys)
    if signed is None:
        return
    try:
        manifest = read_manifest(signed.text)
    except WireError as error:
        raise AgentFailure("unverified", f"{name}: its manifest is none: {error}", "build it again") from None
    difference = _difference(manifest, model)
    if difference:
        raise AgentFailure("unverified", f"{name}: {difference}", "build or sign it again")


def _check_signature(name: str, signed: Optional[SignedManifest], keys: Sequence[PublicKey]) -> None:
    if signed is None or not signed.signature:
        raise AgentFailure(
            "unverified", f"{name} is not signed, and this device runs signed models only", _HOW_TO_SIGN
        )
    try:
        key, signature = bytes.fromhex(signed.key), bytes.fromhex(signed.signature)
    except ValueError:
        raise AgentFailure("unverified", f"{name}: its signature is none", "sign it again") from None
    known = next((one for one in keys if one.raw == key), None)
    if known is None:
        signer = PublicKey(key).fingerprint
        raise AgentFailure(
            "unverified",
            f"{name} is signed with {signer}, which this device does not trust",
            "edgewright device authorize NAME KEY.pub, if it should",
        )
    if not verify(key, signed.text.encode("utf-8", "surrogatepass"), signature):
        raise AgentFailure(
            "unverified",
            f"{name}: its manifest is not the one that was signed with {known.fingerprint}",
            "it was altered since; build or sign it again",
        )


def _difference(manifest: Manifest, model: Model) -> str:
    """What the job wants that the manifest does not say; empty when they agree."""
    if manifest.format != model.format:
        return f"its manifest says {manifest.format}, the job {model.format}"
    for said, asked in zip(manifest.files, model.files):
        if said.name != asked.name:
            return f"its manifest names the file {said.name}, the job {asked.name}"
        if said != asked:
            return (
                f"its manifest says {said.sha256[:16]}... of {said.size_bytes} bytes for {said.name}, "
                f"the job {asked.sha256[:16]}... of {asked.size_bytes}"
            )
    if len(manifest.files) != len(model.files):
        return f"its manifest names {len(manifest.files)} files, the job {len(model.files)}"
    return ""
