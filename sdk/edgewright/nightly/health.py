"""Whether a device is well: it has to compute the gold standard."""

from __future__ import annotations

from dataclasses import replace

from edgewright.device import Device, Errand
from edgewright.errors import (
    AccessDenied,
    ConfigError,
    DeviceError,
    EdgewrightError,
    MissingRuntime,
    UntrustedHost,
    Unverified,
)
from edgewright.farm.effort import Effort
from edgewright.farm.inventory import Target
from edgewright.farm.job import Bench, Settings, format_of, make_job
from edgewright.profiles import load_profile
from edgewright.signing import Signer
from edgewright_agent.protocol import RunResult

from .gold import MAX_ABS, gold_standard
from .orders import Health

_EFFORT = Effort("health", 1, min_count=8, min_duration_s=0.05, max_duration_s=5, idle_s=0, energy_s=0)
#: An accelerator may have to compile it first.
_LIMIT_S = 300.0
#: For a job of somebody else to end.
_WAIT_S = 30.0
#: What somebody has to mend.
_LASTING = (AccessDenied, ConfigError, MissingRuntime, UntrustedHost, Unverified)


def check_health(target: Target, signer: Signer | None, name: str) -> Health:
    """Connect, and let the device compute the gold standard with the providers that cells use.

    Args:
        target: which device.
        signer: who vouches for models that are sent.
        name: of this check among all; the job's id is made from it, and it can be called off by it.
    """
    try:
        with Device.open(target, patience_s=0) as device:
            bench = Bench(device, load_profile(target.profile), device.probe())
            return _computed(bench, signer, name)
    except EdgewrightError as error:
        code = error.code if isinstance(error, DeviceError) else type(error).__name__
        return Health(False, str(error), code, may_pass=not isinstance(error, _LASTING))


def _computed(bench: Bench, signer: Signer | None, name: str) -> Health:
    there = {runtime.name for runtime in bench.facts.runtimes if not runtime.reason}
    usable = [runtime for runtime in bench.profile.runtimes if runtime in there]
    if not usable:
        raise MissingRuntime(bench.device.target.name, "no runtime of its profile is on the device")
    settings = Settings(_EFFORT, threads=1, timeout_s=_LIMIT_S, signer=signer)
    with gold_standard(format_of(usable[0])) as artifact:
        job, files = make_job(artifact, usable[0], bench, settings, name=name, evaluate=False)
        errand = Errand("health check", name, wait_s=_WAIT_S)
        result = bench.device.run(replace(job, energy=None), files, errand=errand)
        bench.device.acknowledge(job.job_id)
    return _judged(result)


def _judged(result: RunResult) -> Health:
    if result.parity is None:
        return Health(False, f"the gold standard was not checked: {result.parity_reason}")
    if result.parity.max_abs > MAX_ABS:
        return Health(False, f"the gold standard came out wrong by {result.parity.max_abs:.4g}")
    session, providers = result.session, ", ".join(result.session.providers)
    return Health(
        True, f"the gold standard came out right ({session.runtime} {session.version}, {providers})"
    )
