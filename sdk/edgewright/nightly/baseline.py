"""A night held against an earlier one: which rows are slower than they were.

Two rows at a time are in memory with their raw samples, however many the night has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgewright.report import document as doc
from edgewright.report import overview_document
from edgewright.report.assemble import device_facts, row_document
from edgewright.report.comparison import Question, compare_pair
from edgewright.report.conditions import UNFIT, Specimen, specimens
from edgewright.report.matching import label, match
from edgewright.row import Measured, Row
from edgewright.store import Baselines, Slower, Store
from edgewright.store.bodies import each_row, find_row
from edgewright.store.points import find_run

from .again import first_key
from .results import Against, Comparisons

LAST_GOOD = "last-good"


def hold_against(baseline: str, run_id: str, store: Store, threshold: float) -> Comparisons:
    """Compare each measured row of a night with its counterpart, and mark what is slower in the store.

    Of a cell that was measured again, the measurement in the middle counts.

    Args:
        baseline: ``last-good``, each cell's latest row that neither was slower itself nor has a verdict that
            forbids it; or the id of a run.
        run_id: the night.
        store: where its rows and earlier ones are.
        threshold: the relative difference that must be told.

    Raises:
        ConfigError: there is no such run.
        StoreError: the store cannot be used, or a row is damaged.
    """
    question = Question(baseline, run_id, threshold)
    gone: tuple[str, ...] = ()
    if baseline == LAST_GOOD:
        by_key = dict(_with_last_good(question, store))
    else:
        counterparts = _counterparts(question, store)
        by_key = dict(_with_run(counterparts, question, store))
        gone = counterparts.gone
    settled = _settled(by_key)
    slower = {
        key: Slower(one.run_id, one.pair.ratio)
        for key, one in by_key.items()
        if _is_slower(one) and _is_slower(settled[first_key(key)]) and one.pair.ratio is not None
    }
    Baselines(store).mark_slower(run_id, slower)
    return Comparisons(settled, gone)


def newly_slower(baseline: str, run_id: str, store: Store, threshold: float) -> tuple[str, ...]:
    """The keys of the cells that are slower, and were not so the last time: to be measured again first.

    Raises:
        ConfigError: there is no such run to hold them against.
        StoreError: the store cannot be used.
    """
    compared = hold_against(baseline, run_id, store, threshold)
    slower = {key for key, one in compared.by_key.items() if _is_slower(one)}
    baselines = Baselines(store)
    return tuple(
        key for key, row in each_row(store, run_id) if key in slower and not baselines.was_slower(run_id, row)
    )


def _is_slower(one: Against) -> bool:
    return one.pair.answer == "slower"


def _settled(by_key: Mapping[str, Against]) -> dict[str, Against]:
    """Of all measurements of a cell that one whose ratio is in the middle, by the key of the cell."""
    cells: dict[str, list[Against]] = {}
    for key, one in by_key.items():
        cells.setdefault(first_key(key), []).append(one)
    settled = {}
    for key, found in cells.items():
        told = sorted(
            (one for one in found if one.pair.ratio is not None), key=lambda one: one.pair.ratio or 0
        )
        settled[key] = told[(len(told) - 1) // 2] if told else found[0]
    return settled


def _with_last_good(question: Question, store: Store) -> Iterator[tuple[str, Against]]:
    """Each row held against the latest good one of its cell."""
    baselines = Baselines(store)
    for key, row in each_row(store, question.b):
        if not isinstance(row.outcome, Measured):
            continue
        for run, earlier in baselines.earlier(question.b, row):
            good = _specimen(earlier)
            if _is_good(good.row):
                yield key, Against(run.run_id, compare_pair(good, _specimen(row), question))
                break


@dataclass(frozen=True)
class _Counterparts:
    """Where in a run the counterparts of a night's rows are, by these rows' keys; and what is gone since."""

    run_id: str
    positions: Mapping[str, int]
    gone: tuple[str, ...]


def _counterparts(question: Question, store: Store) -> _Counterparts:
    run = find_run(store, question.a)
    theirs, ours = (_overview(store, run_id) for run_id in (run.run_id, question.b))
    matched = match(list(theirs.values()), list(ours.values()))
    positions = {id(one.row): position for position, one in theirs.items()}
    keys = store.keys(question.b)
    key_of = {id(one.row): keys[position] for position, one in ours.items()}
    found = {key_of[id(b.row)]: positions[id(a.row)] for a, b in matched.pairs}
    again = {key: found[first_key(key)] for key in keys.values() if first_key(key) in found}
    gone = tuple(label(one.row) for one in matched.only_a if one.row.outcome == "measured")
    return _Counterparts(run.run_id, {**again, **found}, gone)


def _overview(store: Store, run_id: str) -> dict[int, Specimen]:
    """The rows of a run by their positions, without their launches."""
    rows = (row for _, row in each_row(store, run_id))
    shown = specimens(overview_document(find_run(store, run_id), rows))
    return dict(zip(store.keys(run_id), shown, strict=True))


def _with_run(found: _Counterparts, question: Question, store: Store) -> Iterator[tuple[str, Against]]:
    """Each row held against its counterpart."""
    for key, row in each_row(store, question.b):
        if key in found.positions:
            earlier = find_row(store, found.run_id, found.positions[key])
            if earlier is not None:
                yield key, Against(found.run_id, compare_pair(_specimen(earlier), _specimen(row), question))


def _specimen(row: Row) -> Specimen:
    device = device_facts(row, row.outcome.device) if isinstance(row.outcome, Measured) else None
    return Specimen(row_document(row), device)


def _is_good(row: doc.Row) -> bool:
    return row.verdict is not None and row.verdict.status not in UNFIT
