"""What is known of a model, in one fixed writing that can be signed: part of the protocol.

A manifest is one line of JSON in ASCII with sorted keys and no blanks. There is exactly one way to write a
given manifest, and whatever is written in another way is refused, so that two readers can never take the same
signed bytes for different things.
"""

import json
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from .codec import WireError, decode, encode
from .protocol_model import FileRef, Tolerance

MANIFEST_SCHEMA = 1
MAX_MANIFEST_BYTES = 1 << 16
_MOST_FILES = 256


@dataclass(frozen=True)
class Nearness:
    """How near the file's outputs are to those of the module it was made from."""

    cosine: float
    max_abs: float


@dataclass(frozen=True)
class Score:
    """How good the file is as executed on the host that built it, beside the module it was made from."""

    metric: str
    value: float
    baseline: float
    samples: int
    higher_is_better: bool = True


@dataclass(frozen=True)
class Manifest:
    """One model: its files and where they come from. What is not known is empty.

    Attributes:
        files: the first is the one to load, the rest is its external data.
        format: ``onnx`` or ``tflite``.
        created_by: what wrote this manifest, with its version.
        recipe, recipe_hash, profile: how it was compressed and for which kind of device.
        notes: what the steps of the build reported.
        versions: the tools that wrote the file.
    """

    files: Tuple[FileRef, ...]
    format: str
    created_by: str
    workload: str = ""
    recipe: str = ""
    recipe_hash: str = ""
    profile: str = ""
    parity: Optional[Nearness] = None
    tolerance: Optional[Tolerance] = None
    quality: Optional[Score] = None
    notes: Tuple[str, ...] = ()
    versions: Dict[str, str] = field(default_factory=dict)
    schema: int = MANIFEST_SCHEMA


def write_manifest(manifest: Manifest) -> str:
    """The one writing of a manifest, its line break included."""
    return json.dumps(encode(manifest), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def read_manifest(text: str) -> Manifest:
    """The manifest that ``text`` is the writing of.

    Raises:
        WireError: it is none, of another schema, too long, or written in another way.
    """
    if len(text) > MAX_MANIFEST_BYTES:
        raise WireError(f"a manifest of more than {MAX_MANIFEST_BYTES} characters")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise WireError("not a manifest: it is not JSON") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if type(schema) is int and schema != MANIFEST_SCHEMA:
        raise WireError(f"a manifest of schema {schema}, this version reads {MANIFEST_SCHEMA}")
    manifest = decode(Manifest, data, "manifest")
    names = [ref.name for ref in manifest.files]
    if not 1 <= len(names) <= _MOST_FILES or len(set(names)) != len(names):
        raise WireError(f"manifest.files: expected 1 to {_MOST_FILES} files of different names")
    if write_manifest(manifest) != text:
        raise WireError(
            "a manifest that is not in its one writing: it was edited, or written by something else"
        )
    return manifest
