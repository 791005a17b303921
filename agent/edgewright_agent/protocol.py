"""What host and agent say to each other.

The host sends one :class:`Job` as a line of JSON; the agent answers with event lines
``{"event": NAME, ...}`` and ends with ``result`` or ``error``. Events:

    hello     {protocol, agent}                     first line of every command
    phase     {name}                                the worker entered a phase
    progress  {done, of, unit}                      at most a few a second
    result    {result: RunResult}                   last line of a job that was measured
    error     {error: AgentError}                   last line of a job that was not

Only raw values travel: nanoseconds, bytes, milliwatts, microjoules. Statistics are derived by the
host when they are read. Times are of the device's monotonic clock, so they compare among
themselves and with nothing else.

Version history:
    1  first version

Standard library only, Python 3.8 or newer.
"""

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from .codec import MAX_SAMPLES, Samples, WireError, decode, encode
from .protocol_conditions import Conditions, Cooling, HeldConditions, Setting
from .protocol_energy import (
    Alignment,
    Energy,
    EnergyPlan,
    Meter,
    MeterFormat,
    MeterInfo,
    MeterRecording,
    PowerTrace,
    Window,
)
from .protocol_errors import ERROR_CODES, PROTOCOL_VERSION, AgentError
from .protocol_model import (
    Companion,
    Data,
    Execution,
    FileRef,
    Model,
    SessionInfo,
    SignedManifest,
    TensorSpec,
    Tolerance,
)
from .protocol_ops import NodeShare, OpsPlan, OpsProfile, OpTime, Placement
from .protocol_scenarios import (
    SCENARIOS,
    BatchRun,
    Pace,
    PacedRun,
    Scenario,
    ScenarioRun,
    Starts,
    StreamRun,
    SustainedRun,
    Watching,
)

__all__ = [
    "ERROR_CODES",
    "FORMATS",
    "MAX_SAMPLES",
    "PROTOCOL_VERSION",
    "RUNTIMES",
    "SCENARIOS",
    "AgentError",
    "Alignment",
    "BatchRun",
    "Companion",
    "Conditions",
    "Cooling",
    "Data",
    "Device",
    "Energy",
    "EnergyPlan",
    "Environment",
    "Execution",
    "FileRef",
    "HeldConditions",
    "Job",
    "KernelRun",
    "Limits",
    "Memory",
    "Meter",
    "MeterFormat",
    "MeterInfo",
    "MeterRecording",
    "Model",
    "NodeShare",
    "OpTime",
    "OpsPlan",
    "OpsProfile",
    "Pace",
    "PacedRun",
    "Parity",
    "Placement",
    "PowerTrace",
    "RunResult",
    "RuntimeInfo",
    "Samples",
    "Scenario",
    "ScenarioRun",
    "SensorInfo",
    "SessionInfo",
    "Setting",
    "SignedManifest",
    "Starts",
    "StreamRun",
    "SustainedRun",
    "TensorSpec",
    "Timing",
    "Tolerance",
    "Watching",
    "Window",
    "WireError",
    "decode",
    "encode",
]

#: Which runtimes execute which file format, in order of preference.
FORMATS: Dict[str, Tuple[str, ...]] = {
    "onnx": ("onnxruntime",),
    "tflite": ("ai-edge-litert", "tflite-runtime"),
}
RUNTIMES: Tuple[str, ...] = ("onnxruntime", "ai-edge-litert", "tflite-runtime")


# --- what the host asks for -------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """Bounds on the worker: exceeded, it is ended and the job fails with the cause."""

    timeout_s: float = 900.0
    memory_bytes: int = 0
    output_bytes: int = 1 << 28


@dataclass(frozen=True)
class Job:
    """One model, run one way. Without a scenario it is run once for its outputs and not timed.

    ``companions`` are for the scenarios that need more than one model; ``conditions`` are set for the job and
    set back after it.
    """

    job_id: str
    model: Model
    execution: Execution
    data: Data = field(default_factory=Data)
    scenario: Optional[Scenario] = None
    energy: Optional[EnergyPlan] = None
    limits: Limits = field(default_factory=Limits)
    profile_ops: Optional[OpsPlan] = None
    companions: Tuple[Companion, ...] = ()
    conditions: Conditions = field(default_factory=Conditions)


# --- what the agent answers -------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Four phases, never mixed. ``capped`` says that ``max_count`` ended the loop.

    ``build_ns`` is what loading and one inference took in a process before this one that filled an empty
    engine cache; None where no engine was built, so that ``load_ns`` is always the load of a built one.
    """

    load_ns: int
    first_ns: int
    warmup_ns: Samples
    latency_ns: Samples
    duration_ns: int
    capped: bool = False
    build_ns: Optional[int] = None


@dataclass(frozen=True)
class Memory:
    """Resident set of the worker: runtime imported, model loaded, highest seen.

    ``peak_method`` says whether the high-water mark covers the model alone or the process's life.
    ``pss_bytes`` is the proportional share after the steady state, ``arena_bytes`` what the runtime's own
    allocator holds, ``device_bytes`` what an accelerator's driver counts. ``notes`` says of each of the three
    (``pss``, ``arena``, ``device``) how it was taken or why it was not.
    """

    baseline_bytes: int
    loaded_bytes: int
    peak_bytes: Optional[int]
    peak_method: str
    pss_bytes: Optional[int] = None
    arena_bytes: Optional[int] = None
    device_bytes: Optional[int] = None
    notes: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Environment:
    """The device's state at one moment.

    A map lacks what the device does not tell; ``notes`` say what it refuses to tell. The first word of a
    ``throttled`` key says how to read its value: ``now:`` and ``level:`` hold while it is not 0,
    ``since-boot:`` once 1 stays 1, ``count:`` counts events.
    """

    t_ns: int
    temperature_mc: Dict[str, int] = field(default_factory=dict)
    frequency_khz: Dict[str, int] = field(default_factory=dict)
    governor: Dict[str, str] = field(default_factory=dict)
    throttled: Dict[str, int] = field(default_factory=dict)
    power_mode: str = ""
    load_average: Tuple[float, ...] = ()
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Parity:
    """How near the outputs are to the expected ones: the worst tensor's figures."""

    cosine: float
    max_abs: float
    sqnr_db: Optional[float]
    top1_agreement: Optional[float]


@dataclass(frozen=True)
class KernelRun:
    """Some steps of a fixed piece of work: wall time and processor time of each, see reference_kernel.py."""

    wall_ns: Samples
    cpu_ns: Samples


@dataclass(frozen=True)
class RunResult:
    """All that was observed. ``files`` are ``.npz`` files left in the job's folder for the host.

    The first and the last of ``environment`` are from before and after the worker; those between were read
    while it was timed, and ``watching`` says at what cost. The reference kernel ran in the worker before the
    model was loaded and after it was timed; it did not where nothing was timed.
    """

    job_id: str
    session: SessionInfo
    timing: Optional[Timing]
    memory: Memory
    energy: Energy
    environment: Tuple[Environment, ...]
    parity: Optional[Parity]
    parity_reason: str = ""
    files: Tuple[FileRef, ...] = ()
    ops: Optional[OpsProfile] = None
    scenario: Optional[ScenarioRun] = None
    watching: Optional[Watching] = None
    kernel_before: Optional[KernelRun] = None
    kernel_after: Optional[KernelRun] = None
    conditions: Optional[HeldConditions] = None


# --- what a device is -------------------------------------------------------------------------


@dataclass(frozen=True)
class RuntimeInfo:
    """A runtime found on the device, or why importing it failed."""

    name: str
    version: str
    providers: Tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class SensorInfo:
    """A power sensor that answered, or why it did not."""

    name: str
    scope: str
    rails: Tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Device:
    """What the device says of itself; every text is its own word and so untrusted.

    ``emulation`` is what shows that its processor is emulated, empty where nothing does; ``serial`` tells it
    from its siblings, empty where it cannot be read.
    """

    hostname: str
    board: str
    machine: str
    system: str
    libc: str
    python: str
    cpu_model: str
    cpu_features: Tuple[str, ...]
    cpu_count: int
    ram_bytes: int
    disk_free_bytes: int
    runtimes: Tuple[RuntimeInfo, ...]
    sensors: Tuple[SensorInfo, ...]
    environment: Environment
    soc: str = ""
    emulation: str = ""
    serial: str = ""
