"""What can be set on a device, how, and how it is set back.

The frequency governor of each CPU cluster and the firmware's platform profile are attributes of the kernel.
Jetson's power modes belong to ``nvpmodel``, whose word is not taken for it: some modes need a restart, and
then it asks, is not answered, and leaves the mode as it was. ``jetson_clocks`` then holds the mode's clocks
at their highest, having stored what they were.
"""

import difflib
import os
import re
from contextlib import suppress
from typing import Dict, Iterable, Iterator, List, Tuple

from ..protocol_conditions import Conditions
from ..sensors import commands
from ..sensors.sysfs import SensorError, find, read_text, text_or_empty
from .privilege import RefusedError, check_privileged, run_privileged, write_attribute
from .record import FOLDER, Change

_POLICIES = "sys/devices/system/cpu/cpufreq/policy*"
_PROFILE = "sys/firmware/acpi/platform_profile"
_MODE_CONF = "etc/nvpmodel.conf"
_MODE = re.compile(r"POWER_MODEL:?\s+ID=(?P<id>\d{1,4})\s+NAME=(?P<name>[^\s>]{1,64})", re.ASCII)
_NOW = re.compile(r"^NV Power Mode:\s*(?P<name>\S.{0,63}?)\s*\n(?P<id>\d{1,4})\s*$", re.MULTILINE | re.ASCII)


def stages(wanted: Conditions, root: str, tree: str = "/") -> Iterator[List[Change]]:
    """What is to be changed, step by step; what is as wanted already is among it.

    A step is worked out when it is asked for, so when those before it have been made: a power mode decides
    which CPUs there are.

    Args:
        root: the agent's folder.
        tree: where ``sys/`` and ``etc/`` are found.

    Raises:
        RefusedError: the device has no such thing, or no such value.
    """
    if wanted.power_mode:
        yield list(_power_mode(wanted.power_mode, root, tree))
    if wanted.governor:
        yield list(_governors(wanted.governor, tree))


def apply(change: Change) -> None:
    """Make the change, and look whether it was made.

    Raises:
        RefusedError: it was not.
    """
    if change.kind == "clocks":
        stored = change.before
        if os.path.lexists(stored):
            os.unlink(stored)  # jetson_clocks asks before it writes over a file, and nobody would answer
        words = [[change.target, "--restore", stored], [change.target, "--store", stored], [change.target]]
        check_privileged(words[0], _allowed(change))
        run_privileged(words[1], _allowed(change))
        run_privileged(words[2], _allowed(change))
        return
    if change.kind == "nvpmodel":
        check_privileged([change.target, "-m", change.before], _allowed(change))
    _set(change, change.during)


def undo(change: Change) -> str:
    """Set it back, unless it is as it was already.

    Returns:
        why it was left alone: somebody else has set it to a third value meanwhile; empty when it was not.

    Raises:
        RefusedError: it cannot be set back now.
    """
    if change.kind == "clocks":
        if os.path.lexists(change.before):
            run_privileged([change.target, "--restore", change.before], _allowed(change))
            os.unlink(change.before)
        return ""
    now = _value(change)
    if now == change.before:
        return ""
    if now != change.during:
        return f"somebody else has set it to {now} meanwhile, and it was left so"
    _set(change, change.before)
    return ""


def _allowed(change: Change) -> List[str]:
    """What sudo must allow for a change and for undoing it."""
    if change.kind == "clocks":
        kept = (f"--store {change.before}", f"--restore {change.before}", '""')
        return [f"{change.target} {words}" for words in kept]
    ids = dict.fromkeys("[0-9]" if len(mode) == 1 else mode for mode in (change.before, change.during))
    return [f"{change.target} -m {mode}" for mode in ids]


def _set(change: Change, value: str) -> None:
    if change.kind == "nvpmodel":
        said = run_privileged([change.target, "-m", value], _allowed(change))
    else:
        write_attribute(change.target, value)
        said = ""
    found = _value(change)
    if found != value:
        wanted = change.told[1] if value == change.during else change.told[0]
        words = f": {said}" if said else ""
        reboot = "such a mode needs a restart: set it by hand and restart" if "reboot" in said.lower() else ""
        raise RefusedError(f"{change.what} stays as it was when it is set to {wanted}{words}", reboot)


def _value(change: Change) -> str:
    if change.kind == "nvpmodel":
        return _mode_now(change.target)[0]
    try:
        return read_text(change.target)
    except SensorError as error:
        raise RefusedError(f"{change.what}: {error}") from error


def _governors(name: str, tree: str) -> Iterable[Change]:
    policies = find(tree, _POLICIES)
    if not policies:
        raise RefusedError(
            "the device has no frequency governor to set: no policy in /sys/devices/system/cpu/cpufreq",
            "leave out --set-governor",
        )
    for policy in policies:
        known = text_or_empty(os.path.join(policy, "scaling_available_governors")).split()
        if known and name not in known:
            raise RefusedError(f"no governor is called {name!r} on the device", _did_you_mean(name, known))
        path = os.path.join(policy, "scaling_governor")
        try:
            before = read_text(path)
        except SensorError as error:
            raise RefusedError(str(error)) from error
        cpu = "cpu" + os.path.basename(policy)[len("policy") :]
        yield Change("attribute", f"governor of {cpu}", path, before, name)


def _power_mode(name: str, root: str, tree: str) -> Iterable[Change]:
    nvpmodel = commands.locate("nvpmodel", tree)
    if nvpmodel:
        return _jetson(name, nvpmodel, root, tree)
    return [_platform_profile(name, tree)]


def _jetson(name: str, nvpmodel: str, root: str, tree: str) -> Iterable[Change]:
    modes = _modes(nvpmodel, tree)
    if name not in modes:
        raise RefusedError(f"no power mode is called {name!r} on the device", _did_you_mean(name, modes))
    now, now_name = _mode_now(nvpmodel)
    yield Change("nvpmodel", "power mode", nvpmodel, now, modes[name], (now_name, name), lasts=True)
    clocks = commands.locate("jetson_clocks", tree)
    if clocks:
        stored = os.path.join(root, FOLDER, "clocks")
        yield Change("clocks", "clocks", clocks, stored, "", ("as they were", "the highest of the mode"))


def _modes(nvpmodel: str, tree: str) -> Dict[str, str]:
    """Name -> number, as nvpmodel tells them, or else its configuration."""
    texts = [text_or_empty(os.path.join(tree, _MODE_CONF))]
    # where it is slow, or will tell the administrator alone, its configuration says the same
    with suppress(SensorError):
        texts.insert(0, commands.run([nvpmodel, "-p", "--verbose"], timeout_s=10.0).text)
    for text in texts:
        found = {match.group("name"): match.group("id") for match in _MODE.finditer(text)}
        if found:
            return found
    raise RefusedError(f"{nvpmodel} does not tell which power modes there are")


def _mode_now(nvpmodel: str) -> Tuple[str, str]:
    """Number and name of the mode that is set."""
    try:
        text = commands.run([nvpmodel, "-q"], timeout_s=10.0).text
    except SensorError as error:
        raise RefusedError(str(error)) from error
    found = _NOW.search(text)
    if found is None:
        raise RefusedError(f"nvpmodel -q: {text.splitlines()[0][:120] if text else 'no answer'}")
    return found.group("id"), found.group("name")


def _platform_profile(name: str, tree: str) -> Change:
    path = os.path.join(tree, _PROFILE)
    before = text_or_empty(path)
    if not before:
        raise RefusedError(
            "the device has no power mode to set: neither nvpmodel nor a platform profile",
            "leave out --power-mode",
        )
    known = text_or_empty(path + "_choices").split()
    if known and name not in known:
        raise RefusedError(f"no power mode is called {name!r} on the device", _did_you_mean(name, known))
    return Change("attribute", "power mode", path, before, name)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    by_lower = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return f"did you mean {by_lower[near[0]]!r}?" if near else f"known: {', '.join(names)}"
