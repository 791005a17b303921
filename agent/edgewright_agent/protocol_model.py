"""A model, how to run it, and what ran: part of :mod:`edgewright_agent.protocol`."""

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple, Union

from .protocol_ops import Placement


@dataclass(frozen=True)
class FileRef:
    """A file in the device's store. ``name`` is a bare file name, never a path."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class SignedManifest:
    """The text of a :class:`~edgewright_agent.protocol_manifest.Manifest`, and who vouches for it.

    Attributes:
        text: its one writing; what is signed is this in UTF-8, nothing before it and nothing after.
        key: the public key, 32 bytes in hexadecimal; empty when nobody signed.
        signature: Ed25519, 64 bytes in hexadecimal; empty when nobody signed.
    """

    text: str
    key: str = ""
    signature: str = ""


@dataclass(frozen=True)
class Model:
    """The files of one model; the first is the one to load, the rest is its external data.

    With ``coded`` the device holds the first one entropy coded, as this file, and decodes it for the job.
    """

    files: Tuple[FileRef, ...]
    format: str
    manifest: Optional[SignedManifest] = None
    coded: Optional[FileRef] = None


@dataclass(frozen=True)
class Execution:
    """How to run it. ``threads`` and ``affinity`` are set before the runtime is imported.

    ``providers`` are tried in their order; those in ``required`` must execute, and then nothing that is not
    among ``providers`` may. The others are preferred: what became of them is in :class:`SessionInfo`.

    ``exact`` asks for integer products that do not saturate, as other processors compute them, where the
    fastest here would: x86 without VNNI. It costs speed, so it is for references and not for measuring.
    """

    runtime: str
    providers: Tuple[str, ...] = ()
    threads: int = 1
    affinity: Tuple[int, ...] = ()
    provider_options: Dict[str, Dict[str, str]] = field(default_factory=dict)
    required: Tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True)
class Tolerance:
    """How far outputs may be from the expected ones: cosine at least, or absolute error at most.

    A tensor passes when either holds, since the cosine of a nearly constant or zero tensor says nothing.
    """

    cosine: float
    max_abs: float


@dataclass(frozen=True)
class Data:
    """What goes in and what should come out.

    ``inputs`` and ``expected`` are ``.npz`` files keyed by tensor name (inputs also by ``#N``, their
    position). Inputs not given are made from the model's own signature, ``shapes`` and ``seed``.
    ``evaluation`` is an ``.npz`` whose arrays have the samples as their first axis; the outputs are kept
    for the host.
    """

    shapes: Dict[str, Tuple[int, ...]] = field(default_factory=dict)
    inputs: Optional[FileRef] = None
    expected: Optional[FileRef] = None
    evaluation: Optional[FileRef] = None
    tolerance: Optional[Tolerance] = None
    keep_outputs: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Companion:
    """A second model of a job: another to run at the same time, or the job's own exported for ``batch``."""

    model: Model
    execution: Execution
    data: Data = field(default_factory=Data)
    batch: int = 0


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model. A dynamic dimension is its symbol, or ``?``."""

    name: str
    dtype: str
    shape: Tuple[Union[int, str], ...]


@dataclass(frozen=True)
class SessionInfo:
    """What really ran: the providers the runtime reports, not those asked for.

    ``asked`` holds the latter in their order, and ``placement`` which nodes each of the former executes.
    """

    runtime: str
    version: str
    providers: Tuple[str, ...]
    threads: int
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    notes: Tuple[str, ...] = ()
    asked: Tuple[str, ...] = ()
    placement: Placement = field(default_factory=Placement)
