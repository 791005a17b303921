"""The job of one launch: what a device is asked to do, and the files it takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgewright.artifact import Artifact, sha256_file
from edgewright.device import Device
from edgewright.errors import ConfigError, UnsupportedError
from edgewright.manifest import vouched
from edgewright.profile import DeviceProfile
from edgewright.signing import Signer
from edgewright.untrusted import one_line
from edgewright_agent import protocol as wire

from .effort import Effort
from .metered import FoundMeter
from .providers import Asked
from .scenario import Driving


@dataclass(frozen=True)
class Settings:
    """What holds for every cell of a run. ``threads`` 0 stands for the device's performance cores.

    ``asked`` names providers; without any, each profile's order is tried. ``effort`` is the preset as
    ``driving`` needs it, see :meth:`~edgewright.farm.scenario.Driving.effort`. ``wait_s`` is how long a
    launch waits for a device that somebody else holds, ``memory_bytes`` what its process may take at most,
    0 for any. ``signer`` vouches for every model that is sent.
    """

    effort: Effort
    threads: int = 0
    evaluate_on_device: bool = True
    timeout_s: float = 1800.0
    wait_s: float = 1800.0
    memory_bytes: int = 0
    asked: Asked = field(default_factory=Asked)
    driving: Driving = field(default_factory=Driving)
    conditions: wire.Conditions = field(default_factory=wire.Conditions)
    signer: Signer | None = None


@dataclass(frozen=True)
class Bench:
    """An open device with what it is and what it said of itself."""

    device: Device
    profile: DeviceProfile
    facts: wire.Device
    meter: FoundMeter | None = None

    def check_times(self) -> None:
        """Refuse what is about nothing but times where they say nothing.

        Raises:
            UnsupportedError: the device's processor is emulated.
        """
        if self.facts.emulation:
            raise UnsupportedError(
                f"{self.device.target.name}: its processor is emulated, its times say nothing about a board: "
                f"{one_line(self.facts.emulation)}",
                mend="use the device itself; run and bench still check what a model computes there",
            )


@dataclass(frozen=True)
class Second:
    """A second model of the same job: another that runs at once, or the same exported for one batch size."""

    artifact: Artifact
    runtime: str
    batch: int = 0


def make_job(
    artifact: Artifact,
    runtime: str,
    bench: Bench,
    settings: Settings,
    *,
    name: str,
    evaluate: bool,
    seconds: Sequence[Second] = (),
) -> tuple[wire.Job, dict[str, Path]]:
    """The job of one launch, and where each file it names is on this host.

    Its id is made from ``name`` and from everything that is asked for, so that a job that differs is another.
    """
    files: dict[str, Path] = {}

    def refer(path: Path, name: str) -> wire.FileRef:
        ref = wire.FileRef(name, sha256_file(path), path.stat().st_size)
        files[ref.sha256] = path
        return ref

    def data(made: Artifact, *, evaluate: bool) -> wire.Data:
        def array(path: Path | None, name: str) -> wire.FileRef | None:
            return refer(path, f"{name}.npz") if path else None

        return wire.Data(
            inputs=array(made.inputs, "inputs"),
            expected=array(made.expected, "expected"),
            evaluation=array(made.evaluation, "evaluation") if evaluate else None,
            tolerance=made.tolerance,
            shapes=dict(made.shapes),
        )

    def model(made: Artifact) -> wire.Model:
        refs = tuple(refer(path, path.name) for path in (made.path, *made.extra_files))
        vouch = vouched(made, refs, settings.signer)
        if made.coded is None:
            return wire.Model(refs, made.format, vouch)
        del files[refs[0].sha256]
        return wire.Model(refs, made.format, vouch, refer(made.coded, made.coded.name))

    def execution(runtime: str) -> wire.Execution:
        return settings.asked.execution(runtime, bench.profile, threads_of(settings, bench))

    driving, effort = settings.driving, settings.effort
    job = wire.Job(
        job_id="",
        model=model(artifact),
        execution=execution(runtime),
        data=data(artifact, evaluate=evaluate),
        scenario=driving.scenario(effort, int(_digest(name), 16)),
        energy=driving.energy(effort.energy(bench.profile.power.sensors)),
        limits=wire.Limits(settings.timeout_s + driving.seconds(effort), settings.memory_bytes),
        companions=tuple(
            wire.Companion(model(s.artifact), execution(s.runtime), data(s.artifact, evaluate=False), s.batch)
            for s in seconds
        ),
        conditions=settings.conditions,
    )
    return replace(job, job_id=_digest(f"{name} {json.dumps(wire.encode(job), sort_keys=True)}")), files


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def threads_of(settings: Settings, bench: Bench) -> int:
    """Performance cores unless asked otherwise, and never more than there are (docs/measuring.md, R11)."""
    cores = bench.facts.cpu_count
    if settings.threads > cores:
        raise ConfigError(
            f"{bench.device.target.name}: {settings.threads} threads asked for, the device has {cores} cores"
        )
    return settings.threads or settings.driving.threads(bench.profile.hardware.threads(cores))


def format_of(runtime: str) -> str:
    """The file format a runtime executes."""
    return next(name for name, runtimes in wire.FORMATS.items() if runtime in runtimes)
