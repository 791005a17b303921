"""What was set on the device for a row's launches, in sentences: from what, and whether it was set back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from edgewright_agent.protocol import Cooling, HeldConditions, RunResult

_MOST_PROBLEMS = 3
#: What a launch may tell at most; no board has more.
_MOST_SETTINGS, _MOST_NOTES = 64, 8


def held(launches: Sequence[RunResult]) -> list[str]:
    """The notes of a row; none when nothing was asked for."""
    told = [(n, _bounded(launch.conditions)) for n, launch in enumerate(launches, 1) if launch.conditions]
    return [*_settings([one for _, one in told]), *_problems(told), *_cooling(told), *_others(told)]


def _bounded(told: HeldConditions) -> HeldConditions:
    return replace(told, settings=told.settings[:_MOST_SETTINGS], notes=told.notes[:_MOST_NOTES])


def _settings(told: Sequence[HeldConditions]) -> Iterator[str]:
    """One sentence for all that was set alike, as the governors of the clusters usually are."""
    names: dict[tuple[str, str, str], list[str]] = {}
    for setting in (setting for one in told for setting in one.settings):
        kind, _, place = setting.what.partition(" of ")
        places = names.setdefault((kind, setting.before, setting.during), [])
        if place and place not in places:
            places.append(place)
    problems = any(setting.problem for one in told for setting in one.settings)
    for (kind, before, during), places in names.items():
        what = f"{kind} of {', '.join(places)}" if places else kind
        if before == during:
            yield f"{what}: was {during} already"
        else:
            back = "set back after it where not said otherwise" if problems else "set back after it"
            yield f"{what}: set from {before} to {during} for each launch, and {back}"


def _problems(told: Sequence[tuple[int, HeldConditions]]) -> Iterator[str]:
    found = [
        f"launch {number}: {setting.what} was NOT set back from {setting.during} to {setting.before}: "
        f"{setting.problem}"
        for number, one in told
        for setting in one.settings
        if setting.problem
    ]
    yield from found[:_MOST_PROBLEMS]
    if len(found) > _MOST_PROBLEMS:
        yield f"and {len(found) - _MOST_PROBLEMS} more were not set back"


def _cooling(told: Sequence[tuple[int, HeldConditions]]) -> Iterator[str]:
    cooled = [(number, one.cooling) for number, one in told if one.cooling]
    if not cooled:
        return
    every = [cooling for _, cooling in cooled]
    reached = [cooling for cooling in every if not cooling.given_up]
    goal = f"{every[0].to_mc / 1000:g} \N{DEGREE SIGN}C"
    waits = sorted(cooling.waited_s for cooling in every)
    zones = ", ".join(sorted({cooling.zone for cooling in every})[:3])
    yield (
        f"cooled to {goal} ({zones}) before {len(reached)} of {len(every)} launches, "
        f"waiting {waits[0]:.0f} to {waits[-1]:.0f} s"
    )
    for number, cooling in cooled:
        if cooling.given_up:
            yield f"launch {number} began at {_celsius(cooling)}: cooling was given up, {cooling.given_up}"


def _celsius(cooling: Cooling) -> str:
    return f"{cooling.last_mc / 1000:.1f} \N{DEGREE SIGN}C"


def _others(told: Sequence[tuple[int, HeldConditions]]) -> Iterator[str]:
    notes = dict.fromkeys(note for _, one in told for note in one.notes)
    yield from list(notes)[:_MOST_NOTES]
