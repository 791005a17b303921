"""Rows made by hand for tests: shaped like real ones, seeded, and measured on nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgewright.artifact import Quality
from edgewright.row import ArtifactInfo, Cell, Failed, Measured, Outcome, Row, Skipped
from edgewright.store import Run, StoredRun
from edgewright_agent.protocol import (
    Device,
    Energy,
    Environment,
    Memory,
    Parity,
    RunResult,
    RuntimeInfo,
    Samples,
    SensorInfo,
    SessionInfo,
    TensorSpec,
    Timing,
)

#: Text that breaks out of HTML, JSON in a script, Plotly's labels, Markdown, spreadsheets and terminals.
HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>"
    "<b>bold</b>&lt;i&gt;\"'`|*_[x](javascript:window.pwned=3)%{x}{{7*7}}\x1b[31mred\x1b]0;title\x07\u202e\u2028\ud800\r\n=1+1"
)
PI5_FP32 = Cell("digits", "fp32", "pi5", "raspberry-pi-5", "onnxruntime")
QUALITY = Quality("accuracy", 0.972, 0.975, 360)
ARTIFACT = ArtifactInfo("ab" * 32, 1_482_313, "onnx")
SENSORLESS = Energy(trace=None, windows=(), reason="no power sensor answered: rapl needs root")


def latencies(
    p50_ms: float, count: int = 1200, *, spread: float = 0.03, tail: float = 0.02, seed: int = 0
) -> Samples:
    """Nanoseconds around a median: a log-normal body and a share ``tail`` of slower samples."""
    rng = np.random.default_rng(seed)
    body = np.exp(rng.normal(0.0, spread, count))
    slow = rng.random(count) < tail
    body[slow] *= 1.0 + rng.gamma(2.0, 0.12, int(slow.sum()))
    return Samples(int(v) for v in body / np.median(body) * p50_ms * 1e6)


def environment(t_s: float = 0.0, **changes: object) -> Environment:
    state = Environment(
        t_ns=int(t_s * 1e9),
        temperature_mc={"cpu-thermal": 48_000},
        frequency_khz={"policy0": 2_400_000},
        governor={"policy0": "performance"},
        throttled={},
        load_average=(0.1, 0.2, 0.1),
    )
    return replace(state, **changes)  # type: ignore[arg-type]


def device(**changes: object) -> Device:
    facts = Device(
        hostname="pi5",
        board="Raspberry Pi 5 Model B Rev 1.0",
        machine="aarch64",
        system="Debian GNU/Linux 12 (bookworm), Linux 6.6.31",
        libc="glibc 2.36",
        python="3.11.2",
        cpu_model="Cortex-A76",
        cpu_features=("asimddp", "fphp"),
        cpu_count=4,
        ram_bytes=8 << 30,
        disk_free_bytes=20 << 30,
        runtimes=(RuntimeInfo("onnxruntime", "1.23.2", ("CPUExecutionProvider",)),),
        sensors=(SensorInfo("rapl", "package", (), "not there"),),
        environment=environment(),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def launch(
    latency_ns: Sequence[int] | None = None,
    *,
    providers: tuple[str, ...] = ("CPUExecutionProvider",),
    states: Sequence[Environment] | None = None,
    energy: Energy = SENSORLESS,
    memory: Memory | None = None,
    duration_ns: int | None = None,
) -> RunResult:
    samples = Samples(latencies(4.2) if latency_ns is None else latency_ns)
    tensor = TensorSpec("input", "float32", (1, 3, 224, 224))
    return RunResult(
        job_id="job",
        session=SessionInfo("onnxruntime", "1.23.2", providers, 1, (tensor,), (tensor,)),
        timing=Timing(
            load_ns=81_000_000,
            first_ns=3 * samples[0],
            warmup_ns=Samples(int(s * 1.1) for s in samples[:10]),
            latency_ns=samples,
            duration_ns=max(sum(samples), 10_500_000_000) if duration_ns is None else duration_ns,
        ),
        memory=memory or Memory(46 << 20, 68 << 20, 83 << 20, "VmHWM since the runtime was imported"),
        energy=energy,
        environment=(environment(0.0), environment(11.0)) if states is None else tuple(states),
        parity=Parity(0.999_98, 1.4e-4, 52.1, 1.0),
    )


def measured(*launches: RunResult, board: Device | None = None) -> Measured:
    return Measured(launches or (launch(),), board or device())


def row(
    outcome: Outcome | None = None,
    *,
    cell: Cell = PI5_FP32,
    quality: Quality | None = QUALITY,
    artifact: ArtifactInfo | None = ARTIFACT,
    notes: tuple[str, ...] = (),
    preset: str = "quick",
) -> Row:
    return Row(
        cell=cell,
        outcome=measured() if outcome is None else outcome,
        preset=preset,
        started_at="2025-01-02T03:04:05.678+00:00",
        artifact=artifact,
        quality=quality,
        notes=notes,
        providers=("CPUExecutionProvider",),
    )


def stored(*rows: Row, name: str = "demo", preset: str = "quick") -> StoredRun:
    run = Run(
        run_id="20250102-030405-beef",
        name=name,
        preset=preset,
        plan_text='[plan]\nname = "demo"\n',
        started_at="2025-01-02T03:04:05.000+00:00",
        finished_at="2025-01-02T03:14:05.000+00:00",
        version="0.1.0",
    )
    return StoredRun(run, rows)


#: recipe -> (latency factor, quality, size in bytes)
_SETTINGS: Mapping[str, tuple[float, float, int]] = {
    "fp32": (1.0, 0.9750, 18_800_000),
    "fp16": (1.15, 0.9750, 9_500_000),
    "int8-dynamic": (0.92, 0.9722, 5_200_000),
    "int8-static": (0.61, 0.9694, 5_100_000),
    "prune50": (0.58, 0.9611, 9_700_000),
    "prune50-int8": (0.37, 0.9556, 2_700_000),
}


def plan_run(launches: int = 3, devices: Sequence[str] = ("pi5", "local")) -> StoredRun:
    """A whole plan: two workloads, six recipes, two runtimes, with failures and skipped cells among them."""
    rows: list[Row] = []
    for place, machine in enumerate(devices):
        board = (
            device()
            if machine == "pi5"
            else device(board="", cpu_model="AMD EPYC", machine="x86_64", hostname=machine)
        )
        for workload, base_ms in (("digits", 0.21), ("efficientnet-lite0", 42.0)):
            for runtime, factor in (("onnxruntime", 1.0), ("ai-edge-litert", 1.2)):
                for recipe, (speed, quality, size) in _SETTINGS.items():
                    cell = Cell(
                        workload,
                        recipe,
                        machine,
                        "raspberry-pi-5" if machine == "pi5" else "x86-64-linux",
                        runtime,
                    )
                    seed = len(rows)
                    p50 = base_ms * speed * factor * (1.0 if machine == "pi5" else 0.4)
                    runs = [
                        launch(latencies(p50 * (1 + 0.004 * k), 1000, seed=10 * seed + k))
                        for k in range(launches)
                    ]
                    outcome: Outcome = measured(*runs, board=board)
                    if runtime == "ai-edge-litert" and recipe == "fp16" and place == 1:
                        outcome = Failed(
                            "the runtime refused the model: FLOAT16 is not supported by op CONV_2D",
                            "model-rejected",
                        )
                    if runtime == "ai-edge-litert" and recipe == "int8-dynamic" and workload == "digits":
                        outcome = Skipped("int8-dynamic has no layer to quantize in this model")
                    rows.append(
                        row(
                            outcome,
                            cell=cell,
                            quality=Quality(
                                "accuracy" if workload == "digits" else "top-1 agreement", quality, 0.975, 360
                            ),
                            artifact=ArtifactInfo(
                                f"{seed:064x}", size, "onnx" if runtime == "onnxruntime" else "tflite"
                            ),
                        )
                    )
    return stored(*rows)
