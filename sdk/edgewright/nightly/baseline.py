"""A night held against an earlier one: which rows are slower than they were."""

from __future__ import annotations

from collections.abc import Mapping

from edgewright.report import document as doc
from edgewright.report import report_document
from edgewright.report.comparison import Question, compare_document
from edgewright.report.conditions import UNFIT, Specimen, specimens
from edgewright.report.matching import Matched, label, match
from edgewright.row import Measured, Row
from edgewright.store import Baselines, Slower, Store, StoredRun

from .again import first_key
from .results import Against, Comparisons

LAST_GOOD = "last-good"


def hold_against(
    baseline: str, run: StoredRun, rows: Mapping[str, Row], store: Store, threshold: float
) -> Comparisons:
    """Compare each measured row with its counterpart, and mark what is slower in the store.

    Of a cell that was measured again, the measurement in the middle counts.

    Args:
        baseline: ``last-good``, each cell's latest row that neither was slower itself nor has a verdict that
            forbids it; or the id of a run.
        run: the night.
        rows: its rows by their keys, in its order.
        store: where earlier rows are.
        threshold: the relative difference that must be told.

    Raises:
        ConfigError: there is no such run.
    """
    tonight = dict(zip(rows, specimens(report_document(run)), strict=True))
    if baseline == LAST_GOOD:
        found = _last_good(run.run.run_id, rows, tonight, store)
        gone: tuple[str, ...] = ()
    else:
        earlier = store.run(baseline)
        matched = match(specimens(report_document(earlier)), list(tonight.values()))
        keys = {id(specimen.row): key for key, specimen in tonight.items()}
        found = {keys[id(b.row)]: (earlier.run.run_id, a, b) for a, b in matched.pairs}
        for key in tonight:
            if key not in found and (first := found.get(first_key(key))):
                found[key] = (*first[:2], tonight[key])
        gone = tuple(label(one.row) for one in matched.only_a if one.row.outcome == "measured")
    document = compare_document(
        Matched(tuple((a, b) for _, a, b in found.values())),
        Question(baseline, run.run.run_id, threshold),
    )
    by_key = {
        key: Against(run_id, pair)
        for (key, (run_id, _, _)), pair in zip(found.items(), document.pairs, strict=True)
    }
    settled = _settled(by_key)
    slower = {
        key: Slower(one.run_id, one.pair.ratio)
        for key, one in by_key.items()
        if _is_slower(one) and _is_slower(settled[first_key(key)]) and one.pair.ratio is not None
    }
    Baselines(store).mark_slower(run.run.run_id, slower)
    return Comparisons(settled, gone)


def newly_slower(
    baseline: str, run: StoredRun, rows: Mapping[str, Row], store: Store, threshold: float
) -> tuple[str, ...]:
    """The keys of the cells that are slower, and were not so the last time: to be measured again first.

    Raises:
        ConfigError: there is no such run to hold them against.
        StoreError: the store cannot be used.
    """
    compared = hold_against(baseline, run, rows, store, threshold)
    baselines = Baselines(store)
    return tuple(
        key
        for key, one in compared.by_key.items()
        if _is_slower(one) and not baselines.was_slower(run.run.run_id, rows[key])
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


def _last_good(
    run_id: str, rows: Mapping[str, Row], tonight: Mapping[str, Specimen], store: Store
) -> dict[str, tuple[str, Specimen, Specimen]]:
    baselines = Baselines(store)
    found = {}
    for key, row in rows.items():
        if not isinstance(row.outcome, Measured):
            continue
        for earlier in baselines.earlier(run_id, row):
            (specimen,) = specimens(report_document(earlier))
            if _is_good(specimen.row):
                found[key] = (earlier.run.run_id, specimen, tonight[key])
                break
    return found


def _is_good(row: doc.Row) -> bool:
    return row.verdict is not None and row.verdict.status not in UNFIT
