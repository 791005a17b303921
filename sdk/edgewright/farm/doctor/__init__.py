"""Would a run on this device work? Everything it needs is checked, whatever has failed before.

The first checks need only some Python there; the others an agent, which runs without numpy and runtimes and
says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from edgewright.agent_archive import agent_archive
from edgewright.device import Device, Need
from edgewright.device.connecting import connect_to
from edgewright.device.facts import ask_facts
from edgewright.device.preparing import MIN_PYTHON
from edgewright.errors import DeviceError, EdgewrightError, MissingRuntime
from edgewright.profiles import load_profile

from ..address import SshAddress
from ..inventory import Target
from ..metered import find_meter
from .bare import bare_checks
from .check import Check, Diagnosis
from .probed import jobs_check, probed_checks

__all__ = ["Check", "Diagnosis", "diagnose"]

_UNREACHABLE = 3
#: A device that stops answering meanwhile is not waited for.
_PATIENCE_S = 0.0


def diagnose(target: Target) -> Diagnosis:
    """Check everything a run needs.

    Raises:
        ConfigError: the profile or the SSH configuration is wrong.
    """
    checks: list[Check] = []
    try:
        transport = connect_to(target)
    except DeviceError as error:
        if error.exit_code != _UNREACHABLE:
            raise
        return Diagnosis((Check("connection", "problem", error.message, error.mend),), _UNREACHABLE)
    try:
        with closing(transport):
            answered = ask_facts(target.name, transport, target.python, target.workdir)
    except DeviceError as error:
        checks.append(Check("connection", "ok", _where(target)))
        checks.append(Check("python", "problem", error.message, error.mend))
        checks.append(_not_checked(error))
        return _concluded(checks)
    answer = f"{_where(target)}; it answered within {answered.round_trip_s:.2g} s"
    checks.append(Check("connection", "ok", answer))
    checks += bare_checks(target, answered, agent_archive().sha256)
    if answered.facts.version[:2] >= MIN_PYTHON:
        checks += _with_agent(target)
    return _concluded(checks)


def _where(target: Target) -> str:
    by_key = isinstance(target.link, SshAddress)
    return f"{target.address}, its host key is the recorded one" if by_key else target.address


def _concluded(checks: Iterable[Check]) -> Diagnosis:
    every = tuple(checks)
    return Diagnosis(every, 1 if any(check.status == "problem" for check in every) else 0)


def _not_checked(error: DeviceError) -> Check:
    found = f"runtimes, sensors and state: no agent runs there: {error.message}"
    return Check("the rest", "not checked", found)


def _with_agent(target: Target) -> list[Check]:
    """In the Python that a run would use; below a damaged environment, in the one it was made with."""
    try:
        device = Device.open(target, patience_s=_PATIENCE_S, need=Need.LOOK)
    except MissingRuntime as error:
        damaged = Check("environment", "problem", error.message, error.mend)
        try:
            device = Device.open(target, patience_s=_PATIENCE_S, need=Need.BARE)
        except DeviceError as other:
            return [damaged, _not_checked(other)]
        return [damaged, *_asked(target, device)]
    except DeviceError as error:
        return [Check("agent", "problem", error.message, error.mend), _not_checked(error)]
    return _asked(target, device)


def _asked(target: Target, device: Device) -> list[Check]:
    profile = load_profile(target.profile)
    with device:
        questions: list[tuple[str, Callable[[], Iterable[Check]]]] = [
            ("runtimes, sensors and state", lambda: probed_checks(target.name, profile, device.probe())),
            ("results", lambda: [jobs_check(target.name, device.jobs())]),
        ]
        if target.meter is not None:
            questions.append(("meter", lambda: _meter(target, device)))
        checks: list[Check] = []
        for name, ask in questions:
            try:
                checks += ask()
            except DeviceError as error:
                checks.append(Check(name, "problem", error.message, error.mend))
    return checks


def _meter(target: Target, device: Device) -> list[Check]:
    assert target.meter
    try:
        found = find_meter(device, target.meter)
    except EdgewrightError as error:
        return [Check("meter", "warning", error.message, error.mend)]
    if found.reason:
        return [Check("meter", "warning", found.reason, "energy will be null with this reason")]
    told = f"{found.info.rate_hz:.3g} readings a second, {found.info.power_mw / 1000:.4g} W now"
    return [Check("meter", "ok", told)]
