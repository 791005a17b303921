"""The report as data: what ``--json`` writes and every renderer reads.

These field names are a contract, described in ``docs/report.md`` and as a JSON Schema in
``docs/report.schema.json``. Fields may be added under the same schema version; none is renamed,
removed or given another meaning without a new one. What was not measured is null, with its reason
in the field beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from edgewright.errors import ConfigError

from .contract import Contract as _Model
from .finding import Status
from .scenario_document import Scenario

SCHEMA: Literal["edgewright.report/1"] = "edgewright.report/1"


class Artifact(_Model):
    """The file that ran."""

    sha256: str
    size_bytes: int
    format: str


class Judgement(_Model):
    """Whether the row can be believed: the worst finding, and every finding in a sentence."""

    status: Status
    evidence: list[str]


class MedianInterval(_Model):
    """Where the median lies, in milliseconds, and what was resampled to know it."""

    low: float
    high: float
    confidence: float
    method: str


class Latency(_Model):
    """Steady-state latency of one inference, in milliseconds, over all launches.

    A percentile without enough samples is null; ``reasons`` says why under its name. ``upper`` holds,
    under a percentile's name, what it is at most with 99 % confidence.
    """

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    mean: float
    min: float
    max: float
    count: int
    reasons: dict[str, str]
    upper: dict[str, float]
    interval: MedianInterval
    remarks: list[str]


class Phases(_Model):
    """Milliseconds, medians over launches: loading the file, the first inference, one of the warm-up.

    ``build`` is what the accelerator's compiler took before, with its cache empty; null where no engine
    was built in this run.
    """

    load: float
    first: float
    warmup: float | None
    build: float | None = None


class ProviderNodes(_Model):
    """How many nodes of the graph a provider executed, and which share of them all."""

    provider: str
    nodes: int
    share: float


class Memory(_Model):
    """Resident bytes of the process, medians over launches: runtime imported, model loaded, peak.

    ``model_loaded`` and ``model_peak`` are what is above the baseline: the model's own cost. ``pss`` is the
    proportional share after the steady state, ``arena`` what the runtime's allocator holds, ``device`` what
    an accelerator's driver counts; ``notes`` says under each of these three names how it was taken, or why
    it is null.
    """

    baseline: int
    loaded: int
    peak: int | None
    peak_method: str
    model_loaded: int | None = None
    model_peak: int | None = None
    pss: int | None = None
    arena: int | None = None
    device: int | None = None
    notes: dict[str, str] = Field(default={})


class Alignment(_Model):
    """How an external meter's readings were put on the device's clock, how late they were, what is left."""

    method: str
    offset_ns: int
    uncertainty_ns: int


class Energy(_Model):
    """Millijoules per inference, the mean over launches.

    ``net`` is above the idle device and null with ``net_reason`` where idling is unknown. Uncertainties
    are half-widths at about 95 %. ``alignment`` is that of the launch whose clock was known least; null for
    a sensor of the device itself.
    """

    gross: float
    net: float | None
    sensor: str
    scope: str
    gross_uncertainty: float
    net_uncertainty: float | None
    net_reason: str | None
    rails: list[str]
    rule: str
    rate_hz: float
    alignment: Alignment | None = None


class Parity(_Model):
    """How near the device's outputs are to the host's, worst tensor and launch."""

    cosine: float
    max_abs: float
    sqnr_db: float | None
    top1_agreement: float | None


class Quality(_Model):
    """The exported file's score, beside that of the model it was made from."""

    metric: str
    value: float
    baseline: float
    samples: int
    higher_is_better: bool


class State(_Model):
    """The device at one moment; a map lacks what the device does not tell."""

    t_ns: int
    temperature_celsius: dict[str, float]
    frequency_mhz: dict[str, float]
    governor: dict[str, str]
    throttled: dict[str, int]
    power_mode: str
    load_average: list[float]


class Launch(_Model):
    """One fresh process, with its raw samples in the order they were taken.

    ``latency_ns`` holds every ``latency_stride``-th of ``latency_count`` samples; all of them when the
    stride is 1. The statistics above are always of all samples. ``start_ns`` says when each of the samples
    listed began, after the run did; null in scenarios that do not keep it. Of many ``states`` the first, the
    last and evenly chosen ones between are listed. ``kernel_before_ns`` and ``kernel_after_ns`` are the
    reference kernel's best step around the launch, ``kernel_waited`` the share of its time in which it had
    no processor.
    """

    providers: list[str]
    threads: int
    load_ns: int | None
    first_ns: int | None
    duration_ns: int | None
    build_ns: int | None = None
    warmup_ns: list[int]
    latency_ns: list[int]
    latency_count: int
    latency_stride: int
    states: list[State]
    start_ns: list[int] | None = None
    kernel_before_ns: int | None = None
    kernel_after_ns: int | None = None
    kernel_waited: float | None = None


class Row(_Model):
    """One cell of the plan and what became of it.

    ``provider`` executed the most nodes of the first launch, ``provider_nodes`` all of them;
    ``provider_nodes_method`` says how they were counted, or why they were not. ``emulated`` says
    whether it ran under emulation, so that its times are nobody's; null when it did not run.
    """

    workload: str
    recipe: str
    device: str
    profile: str
    runtime: str
    runtime_version: str | None
    provider: str | None
    providers_asked: list[str] = Field(default=[])
    provider_nodes: list[ProviderNodes] | None = None
    provider_nodes_method: str | None = None
    threads: int | None
    preset: str
    started_at: str
    artifact: Artifact | None
    outcome: Literal["measured", "failed", "skipped"]
    reason: str | None
    error_code: str | None
    retryable: bool | None
    verdict: Judgement | None
    emulated: bool | None = None
    latency_ms: Latency | None
    latency_reason: str | None
    phases_ms: Phases | None
    scenario: Scenario | None = None
    memory_bytes: Memory | None
    energy_mj: Energy | None
    energy_reason: str | None
    parity: Parity | None
    parity_reason: str | None
    quality: Quality | None
    quality_reason: str | None
    notes: list[str]
    launches: list[Launch]


class DeviceFacts(_Model):
    """What a device said of itself when it was measured."""

    name: str
    profile: str
    board: str
    cpu_model: str
    cpu_count: int
    machine: str
    system: str
    libc: str
    python: str
    ram_bytes: int
    runtimes: list[str]
    sensors: list[str]


class Headline(_Model):
    """What to ship for one workload on one device, and why; ``recipe`` is null when nothing qualifies."""

    device: str
    workload: str
    recipe: str | None
    runtime: str | None
    sentence: str
    remarks: list[str]


class RunInfo(_Model):
    """The run the rows belong to. ``finished_at`` is null when it was cut short or still goes on."""

    id: str
    name: str
    preset: str
    started_at: str
    finished_at: str | None
    version: str
    plan: str


class ReportDocument(_Model):
    """A whole report."""

    schema_: Literal["edgewright.report/1"] = Field(alias="schema")
    generator: str
    run: RunInfo
    headlines: list[Headline]
    devices: list[DeviceFacts]
    rows: list[Row]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a report file."""
    schema = ReportDocument.model_json_schema(by_alias=True, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        **schema,
    }


def load_document(path: Path) -> ReportDocument:
    """Read a report that ``--json`` wrote.

    Raises:
        ConfigError: no such file, or not a report of this schema version; the message says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ConfigError(f"{path}: not a report of schema {SCHEMA!r}")
        return ReportDocument.model_validate_json(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))  # noqa: T201 - how docs/report.schema.json is made
