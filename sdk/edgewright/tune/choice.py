"""The answer: one setting to ship on a device, or which bound nothing keeps, each with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgewright.report.units import ratio, score

from .bounds import Bounds, Violation
from .figures import Interval, Objective, shown
from .known import Known, Seen
from .pareto import meet

#: How many are measured again in turn: the best, what cannot be told from it, and the fastest plain one.
MOST_FINALISTS = 4
#: Verdicts of measurements that say nothing about the setting.
_UNUSABLE = frozenset({"emulated", "fell back"})
#: Differences of loss below this are none.
_SAME_LOSS = 1e-6


@dataclass(frozen=True)
class Choice:
    """What to ship on a device.

    Attributes:
        best: None when nothing keeps the bounds; then ``nearest`` breaks them least, ``binding`` worst.
        tied: settings that keep the bounds and whose cost cannot be told from the best one's.
        remarks: what one should know beside the sentence.
    """

    best: Seen | None
    sentence: str
    tied: tuple[Seen, ...] = ()
    nearest: Seen | None = None
    binding: Violation | None = None
    remarks: tuple[str, ...] = field(default=())


def finalists(known: Known, bounds: Bounds) -> list[Seen]:
    """What is worth measuring with more effort; those that decide what is chosen."""
    feasible = _by_file(
        sorted(
            (seen for seen in known.feasible() if _usable(seen)),
            key=lambda s: (known.cost(s.figures).value, s.setting.steps),
        )
    )
    chosen = feasible[:1]
    chosen += [s for s in feasible[1:] if meet(known.cost(s.figures), known.cost(feasible[0].figures))]
    chosen = chosen[: MOST_FINALISTS - 1] or _nearest(known, bounds)[:1]
    chosen += [s for s in feasible[1:] if s not in chosen][: max(0, 2 - len(chosen))]
    plain = _fastest_plain(known)
    if plain is not None and plain not in chosen:
        chosen.append(plain)
    return chosen


def _by_file(ordered: Sequence[Seen]) -> list[Seen]:
    """The first of those whose files come out the same and run alike: no file is measured beside itself."""
    found: dict[tuple[str, str, int], Seen] = {}
    for seen in ordered:
        found.setdefault((seen.built.sha256, seen.setting.runtime, seen.setting.threads), seen)
    return list(found.values())


def choose(known: Known, bounds: Bounds, objective: Objective, place: str) -> Choice:
    """Choose among everything that was measured to the end.

    Args:
        place: the workload and the device, as the sentence names them.
    """
    usable = [seen for seen in known.seen if _usable(seen)]
    if not usable:
        return Choice(None, f"Nothing can be shipped for {place}: no setting was measured to the end.")
    feasible = [s for s in usable if not bounds.of(s.built, s.figures, known.fastest_plain_ms)]
    if not feasible:
        return _none(known, usable, bounds, place)
    pool = _of_like_effort(known, feasible)
    least = min(pool, key=lambda s: known.cost(s.figures).value)
    alike = [s for s in pool if meet(known.cost(s.figures), known.cost(least.figures))]
    best = min(alike, key=lambda s: _preference(known, s))
    tied = tuple(s for s in alike if s is not best)
    return Choice(
        best,
        _sentence(known, best, feasible, objective, place),
        tied,
        remarks=tuple(_remarks(known, best, tied, usable, bounds, objective)),
    )


def _of_like_effort(known: Known, feasible: Sequence[Seen]) -> Sequence[Seen]:
    """The finalists, which were measured beside each other, where one of them keeps the bounds."""
    final = [seen for seen in feasible if seen.tried.final is not None]
    return final or feasible


def _preference(known: Known, seen: Seen) -> tuple[float, int, int, float]:
    """Of settings that cost the same: what loses least, then the smaller file, then the shorter recipe."""
    return _lost(seen), seen.built.size_bytes, seen.setting.steps, known.cost(seen.figures).value


def _lost(seen: Seen) -> int:
    """What it loses, in steps that count."""
    return round((seen.built.loss or 0.0) / _SAME_LOSS)


def _sentence(known: Known, best: Seen, feasible: Sequence[Seen], objective: Objective, place: str) -> str:
    cost = _told(known.cost(best.figures), objective)
    plain = _fastest_plain(known)
    if best.setting.is_plain:
        others = [s for s in feasible if not s.setting.is_plain]
        why = "no compressed setting keeps the bounds"
        if others:
            nearest = min(others, key=lambda s: known.cost(s.figures).value)
            times = known.cost(nearest.figures).value / known.cost(best.figures).value
            why = (
                f"no compressed setting that keeps the bounds is {_better(objective)}: the nearest, "
                f"{nearest.setting.words}, costs {ratio(times)} of it"
            )
            if meet(known.cost(nearest.figures), known.cost(best.figures)):
                why = (
                    f"no compressed setting that keeps the bounds is certainly {_better(objective)}: "
                    f"{nearest.setting.words} cannot be told from it"
                )
        return f"Ship {place} as it is, uncompressed, {_where(best)}: {cost}; {why}."
    parts = [cost]
    if plain is not None and meet(known.cost(plain.figures), known.cost(best.figures)):
        parts.append(f"not told apart from {plain.setting.words}")
    elif plain is not None:
        times = known.cost(plain.figures).value / known.cost(best.figures).value
        parts.append(f"{ratio(times)} {_better(objective)} than {plain.setting.words}")
    if best.built.quality is not None:
        quality = best.built.quality
        parts.append(f"{quality.metric} {score(quality.value)} against {score(quality.baseline)}")
    if objective != "size":
        parts.append(f"a file of {shown(best.built.size_bytes / 1e6, 'size')}")
    return f"Ship {place} as {best.setting.words}: {', '.join(parts)}."


def _remarks(
    known: Known,
    best: Seen,
    tied: Sequence[Seen],
    usable: Sequence[Seen],
    bounds: Bounds,
    objective: Objective,
) -> list[str]:
    found = []
    if tied:
        names = ", ".join(s.setting.words for s in tied)
        found.append(f"Not told apart from it in {objective}: {names}; {_why_best(best, tied)}.")
    if best.built.quality is None:
        found.append("Quality was not judged: the workload has no evaluate, so the choice is by cost alone.")
    if best.figures.status != "valid":
        found.append(f"Its measurement is {best.figures.status}: {best.figures.evidence}.")
    cheaper = [
        s
        for s in usable
        if known.cost(s.figures).high < known.cost(best.figures).low
        and bounds.of(s.built, s.figures, known.fastest_plain_ms)
    ]
    for seen in sorted(cheaper, key=lambda s: known.cost(s.figures).value)[:2]:
        broken = bounds.of(seen.built, seen.figures, known.fastest_plain_ms)[0]
        cost = _told(known.cost(seen.figures), objective)
        found.append(f"{seen.setting.words} costs less, {cost}, but {broken.sentence}.")
    return found


def _why_best(best: Seen, tied: Sequence[Seen]) -> str:
    """What decided among settings that cost the same, in the order of :func:`_preference`."""
    if _lost(best) < min(map(_lost, tied)):
        return "it loses least"
    alike = [seen for seen in tied if _lost(seen) == _lost(best)]
    if best.built.size_bytes < min(seen.built.size_bytes for seen in alike):
        return "its file is the smallest of those that lose no more"
    return "nothing else that costs the same is better"


def _none(known: Known, usable: Sequence[Seen], bounds: Bounds, place: str) -> Choice:
    nearest = _nearest(known, bounds)[0]
    broken = bounds.of(nearest.built, nearest.figures, known.fastest_plain_ms)
    binding = broken[0]
    alone = Counter(
        violations[0].option
        for s in usable
        if len(violations := bounds.of(s.built, s.figures, known.fastest_plain_ms)) == 1
    )
    remarks = [
        f"{count} setting{'s' * (count != 1)} would do without {option}."
        for option, count in alone.most_common()
    ]
    if len(broken) > 1:
        remarks.insert(0, f"It breaks other bounds too: {'; '.join(v.sentence for v in broken[1:])}.")
    return Choice(
        None,
        f"No setting of {place} keeps the bounds: {binding.option} binds. The nearest is "
        f"{nearest.setting.words}: {binding.sentence}.",
        nearest=nearest,
        binding=binding,
        remarks=tuple(remarks),
    )


def _nearest(known: Known, bounds: Bounds) -> list[Seen]:
    """By the bound that each breaks worst; what is near in that comes by its cost."""

    def distance(seen: Seen) -> tuple[float, float]:
        broken = bounds.of(seen.built, seen.figures, known.fastest_plain_ms)
        return (broken[0].excess if broken else 0.0), known.cost(seen.figures).value

    return sorted((s for s in known.seen if _usable(s)), key=distance)


def _fastest_plain(known: Known) -> Seen | None:
    plain = [s for s in known.seen if s.setting.is_plain and _usable(s)]
    return min(plain, key=lambda s: known.cost(s.figures).value, default=None)


def _usable(seen: Seen) -> bool:
    return seen.figures.status not in _UNUSABLE


def _better(objective: Objective) -> str:
    return {"latency": "faster", "energy": "more frugal", "size": "smaller", "memory": "leaner"}[objective]


def _where(seen: Seen) -> str:
    setting = seen.setting
    return f"in {setting.runtime} with {setting.threads} thread{'s' * (setting.threads != 1)}"


def _told(cost: Interval, objective: Objective) -> str:
    value = shown(cost.value, objective)
    if cost.low == cost.high:
        return value
    return f"{value} ({shown(cost.low, objective)} to {shown(cost.high, objective)})"
