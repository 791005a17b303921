"""What the agent tells of a device: runtimes, providers, sensors, and the state it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewright.profile import DeviceProfile
from edgewright_agent.protocol import FORMATS, Environment, RuntimeInfo
from edgewright_agent.protocol import Device as Probe
from edgewright_agent.protocol_spool import JobInfo

from .check import Check, listed, size

#: Nearer to its limit than this, in degrees, the device will slow down during a run.
_MARGIN_CELSIUS = 15.0
#: Of each core, taken by something else.
_LOAD = 0.25
#: Providers that are there whatever a runtime lists.
_BUILT_IN = ("CPU", "XNNPACK")


def probed_checks(name: str, profile: DeviceProfile, probe: Probe) -> Iterator[Check]:
    """From what the agent found."""
    yield from _runtimes(name, profile, probe.runtimes)
    yield from _sensors(profile, probe)
    yield from state_checks(profile, probe.environment, probe.cpu_count)


def _runtimes(name: str, profile: DeviceProfile, runtimes: Sequence[RuntimeInfo]) -> Iterator[Check]:
    """A run needs one of them; those for other files are worth a word."""
    there = [runtime for runtime in runtimes if runtime.name in profile.runtimes]
    working = [runtime.name for runtime in there if not runtime.reason]
    for runtime in there:
        instead = [
            one for names in FORMATS.values() if runtime.name in names for one in names if one in working
        ]
        if runtime.reason and instead:
            yield Check(runtime.name, "ok", f"not needed, {instead[0]} runs the same files: {runtime.reason}")
        elif runtime.reason:
            mend = f"edgewright device provision {name} --runtime {runtime.name}"
            yield Check(runtime.name, "warning" if working else "problem", runtime.reason, mend)
        else:
            yield Check(runtime.name, "ok", f"{runtime.version}, imports")
            yield from _providers(profile, runtime)


def _providers(profile: DeviceProfile, runtime: RuntimeInfo) -> Iterator[Check]:
    wanted = profile.runtimes[runtime.name].providers
    if not runtime.providers:
        return  # TFLite's delegates are libraries: whether they load is known when they are loaded
    absent = [one for one in wanted if one not in runtime.providers and one not in _BUILT_IN]
    label = f"{runtime.name} providers"
    if absent:
        notes = profile.runtimes[runtime.name].notes
        mend = notes or "install a build of the runtime that has them"
        yield Check(label, "warning", f"lacks {listed(absent)}: a run falls back", mend)
    else:
        yield Check(label, "ok", listed(runtime.providers))


def _sensors(profile: DeviceProfile, probe: Probe) -> Iterator[Check]:
    """One power sensor is enough."""
    if not profile.power.sensors:
        yield Check("power sensor", "ok", f"none on such a device: {profile.power.reason}")
        return
    found = {sensor.name: sensor for sensor in probe.sensors}
    tried = [found[name] for name in profile.power.sensors if name in found]
    for sensor in tried:
        if not sensor.reason:
            yield Check("power sensor", "ok", f"{sensor.name}: {sensor.scope}")
            return
    reasons = listed(f"{sensor.name}: {sensor.reason}" for sensor in tried) or "the agent knows none of them"
    mend = "energy will be null with this reason; a meter outside can take its place: see docs/energy.md"
    yield Check("power sensor", "warning", reasons, mend)


def state_checks(profile: DeviceProfile, state: Environment, cpu_count: int) -> Iterator[Check]:
    """From the state at one moment."""
    yield _governor(state)
    yield _temperature(profile, state)
    yield from _throttling(state)
    yield _load(state, cpu_count)
    if state.notes:
        mend = "what cannot be watched cannot make a row valid: allow this user to read it"
        yield Check("state", "warning", listed(state.notes, 3), mend)


def _governor(state: Environment) -> Check:
    if not state.governor:
        return Check("governor", "not checked", "the kernel does not tell")
    found = sorted(set(state.governor.values()))
    if found == ["performance"]:
        return Check("governor", "ok", "performance")
    return Check(
        "governor",
        "warning",
        f"{listed(found)}: the clock follows the load, and short runs are slower",
        "let the run set it: --set-governor performance",
    )


def _temperature(profile: DeviceProfile, state: Environment) -> Check:
    if not state.temperature_mc:
        return Check("temperature", "not checked", "no sensor tells")
    zone, highest = max(state.temperature_mc.items(), key=lambda item: item[1])
    celsius, limit = highest / 1000, profile.hardware.thermal.throttle_celsius
    told = f"{celsius:.1f} °C ({zone})"
    if limit is None:
        return Check("temperature", "ok", f"{told}; where it slows down is not known")
    if celsius > limit - _MARGIN_CELSIUS:
        return Check(
            "temperature", "warning", f"{told}, slows down at {limit:g} °C", "let it cool down, or fan it"
        )
    return Check("temperature", "ok", f"{told}, slows down at {limit:g} °C")


def _throttling(state: Environment) -> Iterator[Check]:
    """Flags that say how to read their value: see :class:`~edgewright_agent.protocol.Environment`."""
    if not state.throttled:
        yield Check("throttling", "not checked", "the device does not tell")
        return
    now = [name for name, value in state.throttled.items() if value and name.startswith(("now:", "level:"))]
    before = [name for name, value in state.throttled.items() if value and name not in now]
    power = any("volt" in name for name in (*now, *before))
    mend = "a stronger power supply and a shorter cable" if power else "let it cool down"
    if now:
        yield Check("throttling", "warning", f"now: {listed(_words(now))}", mend)
    elif before:
        yield Check(
            "throttling", "warning", f"has happened since it was started: {listed(_words(before))}", mend
        )
    else:
        yield Check("throttling", "ok", "none, now or since it was started")


def _words(flags: Sequence[str]) -> list[str]:
    return [flag.partition(":")[2] or flag for flag in flags]


def _load(state: Environment, cpu_count: int) -> Check:
    if not state.load_average:
        return Check("load", "not checked", "the kernel does not tell")
    load = state.load_average[0]
    told = f"{load:.2f} of {cpu_count} cores over the last minute"
    if load > _LOAD * cpu_count:
        return Check("load", "warning", told, "something else runs there and will disturb the numbers")
    return Check("load", "ok", told)


def jobs_check(name: str, jobs: Sequence[JobInfo]) -> Check:
    """Results that wait for their host."""
    ended = [job for job in jobs if job.state in ("finished", "failed", "lost")]
    if not ended:
        return Check("results", "ok", "none waits")
    taken = size(sum(job.size_bytes for job in ended))
    told = (
        f"{len(ended)} wait to be taken up, {taken}: {listed((job.label or job.job_id for job in ended), 3)}"
    )
    mend = f"the command that asked for them takes them up; else edgewright device attach {name} --forget"
    return Check("results", "warning", told, mend)
