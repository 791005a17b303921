"""Making a bare device ready: an environment there with numpy and a runtime that fit it.

Nothing is sent before it is known what to install and that it fits. Which wheels there are is asked of the
index, so that it stays true as they change.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from edgewright.device import Device, DeviceTarget, Errand, Need, OnEvent
from edgewright.device.answers import ignore
from edgewright.device.connecting import connect_to
from edgewright.device.environment import environment_for, python_in
from edgewright.device.facts import Facts, ask_facts
from edgewright.errors import EdgewrightError, MissingRuntime
from edgewright.profile import DeviceProfile
from edgewright.temporary import work_folder
from edgewright_agent.protocol import RuntimeInfo
from edgewright_agent.protocol_provision import EnvRecord, Provision

from .fetch import Fetched, fetch
from .ground import LEAST_BYTES, check_ground, check_space
from .host_pip import HostPip, NoWheelError
from .plan import Plan, Planner, check_asked
from .platform import Platform

__all__ = ["Outcome", "Wish", "provision"]

#: What files take more on a disk than their bytes, and the byte code that Python writes beside its files.
_ON_DISK = 1.25


@dataclass(frozen=True)
class Wish:
    """What the user asks for.

    Attributes:
        runtimes: empty: what is there already, else the first of the profile's that can be had.
        offline: this host fetches the wheels, not the device.
        upgrade: the newest versions, also where what is there works.
    """

    runtimes: tuple[str, ...] = ()
    offline: bool = False
    upgrade: bool = False


@dataclass(frozen=True)
class Outcome:
    """What holds on the device.

    Attributes:
        platform: the device's, in words.
        python: the environment's interpreter there.
        packages: what is installed in it, by name.
        was_there: nothing had to be done.
        notes: what the user should know.
    """

    platform: str
    python: str
    runtimes: tuple[RuntimeInfo, ...]
    packages: dict[str, str]
    was_there: bool = False
    notes: tuple[str, ...] = ()


def provision(
    target: DeviceTarget,
    profile: DeviceProfile,
    wish: Wish,
    on_event: OnEvent = ignore,
    pip: HostPip | None = None,
) -> Outcome:
    """Make the environment that stands in for the device's Python, unless it is there and works.

    Args:
        on_event: called with ``phase`` and ``progress`` events.

    Raises:
        MissingRuntime: there is no wheel for the device, or it does not work there; what to do is said.
        DiskFull, DeviceBusy, StableDeviceError: nothing can be installed there now.
        ConfigError: a runtime that the profile does not list.
        EdgewrightError: this host cannot fetch.
    """
    check_asked(profile, wish.runtimes)
    pip = pip or HostPip()
    with closing(connect_to(target)) as transport:
        facts = ask_facts(target.name, transport, target.python, target.workdir).facts
    check_ground(target.name, facts)
    holds = environment_for(target.python, facts.record)
    there = [name for name in (holds.runtimes if holds else ()) if name in profile.runtimes]
    asked = tuple(dict.fromkeys((*there, *wish.runtimes)))
    platform = Platform.of(facts)
    if holds and set(asked) == set(holds.runtimes) and not wish.upgrade:
        found = _working(target, holds)
        if found:
            python = python_in(facts.root, holds)
            return Outcome(str(platform), python, found, holds.packages, was_there=True)
    on_event({"event": "phase", "name": "plan"})
    plan = Planner(target.name, profile, platform, pip, facts.system_numpy).plan(asked)
    with _fetched(target.name, plan, platform, wish, pip, facts, on_event) as fetched:
        request = Provision(
            uuid.uuid4().hex,
            target.python,
            plan.runtimes,
            fetched.installer.ref,
            wheels=tuple(wheel.ref for wheel in fetched.wheels),
            requirements=() if wish.offline else plan.requirements,
            uses_system=bool(plan.provided),
            owner=Errand().owner,
        )
        files = {wheel.sha256: wheel.path for wheel in (fetched.installer, *fetched.wheels)}
        with Device.open(target, need=Need.BARE) as device:
            record, runtimes = device.provision(request, files, on_event)
    _check_used(target, record)
    return Outcome(str(platform), python_in(facts.root, record), runtimes, record.packages, notes=plan.notes)


@contextmanager
def _fetched(
    target: str, plan: Plan, platform: Platform, wish: Wish, pip: HostPip, facts: Facts, on_event: OnEvent
) -> Iterator[Fetched]:
    """pip's wheel and, offline, those of the plan, while the block lasts."""
    on_event({"event": "phase", "name": "fetch"})
    with work_folder("wheels") as folder:
        wanted = plan.requirements if wish.offline else ()
        try:
            fetched = fetch(pip, wanted, plan.provided, platform, folder)
        except NoWheelError as error:
            raise MissingRuntime(target, error.message, mend=error.mend) from None
        together = (fetched.installer, *fetched.wheels)
        needed = sum(wheel.size_bytes + round(_ON_DISK * wheel.unpacked_bytes) for wheel in together)
        check_space(target, facts, needed if wish.offline else needed + LEAST_BYTES)
        yield fetched


def _working(target: DeviceTarget, holds: EnvRecord) -> tuple[RuntimeInfo, ...] | None:
    """What the environment's runtimes say of themselves; None when one of them does not work."""
    try:
        with Device.open(target) as device:
            found = {runtime.name: runtime for runtime in device.probe().runtimes}
    except MissingRuntime:
        return None
    runtimes = tuple(found[name] for name in holds.runtimes if name in found)
    return None if any(runtime.reason for runtime in runtimes) else runtimes


def _check_used(target: DeviceTarget, record: EnvRecord) -> None:
    """Open the device as every other command does, and see that it is the environment that answers.

    Raises:
        EdgewrightError: the shell of the device does not find what its Python has made, as with a Python that
            runs inside another root.
    """
    try:
        with closing(connect_to(target)) as transport:
            facts = ask_facts(target.name, transport, target.python, target.workdir).facts
            holds = environment_for(target.python, facts.record)
            if holds is None or holds.name != record.name:
                raise EdgewrightError(
                    f"{target.name}: the environment that was made is not the one that is found"
                )
            ask_facts(target.name, transport, python_in(facts.root, holds), target.workdir)
    except MissingRuntime as error:
        raise EdgewrightError(
            f"{target.name}: made, but not where its shell finds it: {error.message}",
            mend="does its Python run in a root of its own, as with proot? Install there by hand",
        ) from None
