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

from .results import Against, Comparisons

LAST_GOOD = "last-good"


def hold_against(
    baseline: str, run: StoredRun, rows: Mapping[str, Row], store: Store, threshold: float
) -> Comparisons:
    """Compare each measured row with its counterpart, and mark what is slower in the store.

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
        gone = tuple(label(one.row) for one in matched.only_a if one.row.outcome == "measured")
    document = compare_document(
        Matched(tuple((a, b) for _, a, b in found.values())),
        Question(baseline, run.run.run_id, threshold),
    )
    by_key = {
        key: Against(run_id, pair)
        for (key, (run_id, _, _)), pair in zip(found.items(), document.pairs, strict=True)
    }
    slower = {
        key: Slower(one.run_id, one.pair.ratio)
        for key, one in by_key.items()
        if one.pair.answer == "slower" and one.pair.ratio is not None
    }
    Baselines(store).mark_slower(run.run.run_id, slower)
    return Comparisons(by_key, gone)


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
