"""Which devices a plan means.

    devices = ["tag:lab", "profile:raspberry-pi-5", "kitchen-pi"]

A name, every device with a tag, or every device of a profile; each device once, however often it is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.config import did_you_mean
from edgewright.errors import ConfigError
from edgewright.profiles import load_profile

from .inventory import Inventory, Target


def choose_targets(selectors: Sequence[str], inventory: Inventory) -> tuple[Target, ...]:
    """The devices that are meant, in the order of the selectors and, within one, of the farm file.

    Raises:
        ConfigError: one means no device, with the nearest name, tag or profile.
    """
    found: dict[str, Target] = {}
    for selector in selectors:
        for target in _chosen(selector, inventory):
            found.setdefault(target.name, target)
    return tuple(found.values())


def _chosen(selector: str, inventory: Inventory) -> Sequence[Target]:
    kind, colon, value = selector.partition(":")
    if not colon:
        return (inventory.get(selector),)
    if kind not in ("tag", "profile"):
        raise ConfigError(
            f"plan.devices: {selector!r}: expected a name, tag:NAME or profile:NAME",
            mend=did_you_mean(kind, ("tag", "profile")),
        )
    names = {target.name: _names(kind, target) for target in inventory.targets}
    chosen = [target for target in inventory.targets if value in names[target.name]]
    if not chosen:
        where = f"in {inventory.path}" if inventory.path else "and there is no farm.toml"
        known = {name for each in names.values() for name in each}
        raise ConfigError(
            f"plan.devices: no device has the {kind} {value!r} {where}", mend=did_you_mean(value, known)
        )
    return chosen


def _names(kind: str, target: Target) -> tuple[str, ...]:
    return target.tags if kind == "tag" else (load_profile(target.profile).name,)
