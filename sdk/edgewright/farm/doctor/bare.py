"""What any Python can tell of a device: no agent is needed for these checks."""

from __future__ import annotations

from collections.abc import Iterator

from edgewright.device.environment import environment_for, python_in
from edgewright.device.facts import Answered, Facts
from edgewright.device.preparing import MIN_PYTHON

from ..inventory import Target
from .check import Check, listed, size

#: What a run needs at least beside the model, and below what it gets tight.
_LEAST_DISK, _LITTLE_DISK = 16 << 20, 256 << 20
_LEAST_FILES = 1000
_LITTLE_MEMORY = 200 << 20
#: A clock further off than this makes the times of rows wrong, and certificates invalid.
_SKEW_S = 5.0


def bare_checks(target: Target, answered: Answered, agent_sha256: str) -> Iterator[Check]:
    """From the facts, in the order a run needs them."""
    facts = answered.facts
    yield _python(target, facts)
    yield _workdir(target, facts)
    yield _disk(target, facts)
    yield _memory(facts)
    yield _clock(answered)
    yield _agents(target, facts, agent_sha256)
    yield _holder(target, facts)


def _python(target: Target, facts: Facts) -> Check:
    told = f"{target.python} is {facts.implementation} {facts.python}, {facts.arch}, "
    told += facts.libc or "an unknown C library"
    needed = ".".join(map(str, MIN_PYTHON))
    if facts.version[:2] < MIN_PYTHON:
        mend = f"install {needed} or newer, and set python for {target.name} in the farm file"
        return Check("python", "problem", told, mend)
    holds = environment_for(target.python, facts.record)
    if holds is not None:
        return Check("python", "ok", f"{told}; used is {python_in(facts.root, holds)}")
    if not facts.numpy:
        mend = f"edgewright device provision {target.name}"
        return Check("python", "problem", f"{told}; it has no numpy: {facts.numpy_reason}", mend)
    return Check("python", "ok", f"{told}; numpy {facts.numpy}")


def _workdir(target: Target, facts: Facts) -> Check:
    mend = f"set workdir for {target.name} in the farm file"
    if not facts.is_writable:
        return Check("workdir", "problem", f"{facts.root} cannot be written", mend)
    if facts.is_noexec:
        # The runtime may be installed elsewhere, so a run can work all the same.
        return Check("workdir", "warning", f"{facts.root} is mounted noexec: provision cannot use it", mend)
    return Check("workdir", "ok", facts.root)


def _disk(target: Target, facts: Facts) -> Check:
    told = f"{size(facts.disk_free_bytes)} free"
    mend = f"free some space, or: edgewright device clean {target.name}"
    if facts.disk_free_bytes < _LEAST_DISK:
        return Check("disk", "problem", told, mend)
    if facts.files_free is not None and facts.files_free < _LEAST_FILES:
        return Check("disk", "problem", f"{told}, but only {facts.files_free} more files", mend)
    return (
        Check("disk", "warning", told, mend)
        if facts.disk_free_bytes < _LITTLE_DISK
        else Check("disk", "ok", told)
    )


def _memory(facts: Facts) -> Check:
    available = facts.memory_available_bytes
    if available is None:
        return Check("memory", "not checked", "the kernel does not tell what is available")
    told = f"{size(available)} available"
    if available < _LITTLE_MEMORY:
        return Check("memory", "warning", told, "end what else runs there; large models will not load")
    return Check("memory", "ok", told)


def _clock(answered: Answered) -> Check:
    """The difference is known within the time the question took."""
    ahead_s, half_s = -answered.clock.middle_ns / 1e9, answered.clock.half_ns / 1e9
    if abs(ahead_s) <= half_s:
        return Check("clock", "ok", f"the same as this host's within {half_s:.2g} s")
    word = "ahead of" if ahead_s > 0 else "behind"
    told = f"{_duration(abs(ahead_s))} {word} this host's, within {half_s:.2g} s"
    if abs(ahead_s) - half_s > _SKEW_S:
        return Check("clock", "warning", told, "set it: sudo timedatectl set-ntp true")
    return Check("clock", "ok", told)


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.2g} s"


def _agents(target: Target, facts: Facts, agent_sha256: str) -> Check:
    older = {sha256: taken for sha256, taken in facts.agents.items() if sha256 != agent_sha256}
    told = "in place" if agent_sha256 in facts.agents else "not there yet, it is sent with the first command"
    if older:
        told += f"; {len(older)} of other versions: {size(sum(older.values()))}"
        return Check("agent", "ok", told, f"edgewright device clean {target.name} removes them")
    return Check("agent", "ok", told)


def _holder(target: Target, facts: Facts) -> Check:
    if not facts.holder:
        return Check("turn", "ok", "nobody holds the device")
    mend = f"a run waits for it; edgewright device attach {target.name} shows it"
    return Check("turn", "warning", f"held by {listed([facts.holder])}", mend)
