"""Two runs by the raw samples of their launches, as ``edgewright compare`` tells them apart."""

from __future__ import annotations

from edgewright.report.assemble import report_document
from edgewright.report.comparison import CompareDocument, Question, compare_document
from edgewright.report.conditions import specimens
from edgewright.report.matching import match
from edgewright.store import Store
from edgewright.store.nights import Ended

#: Comparing raw samples takes some 50 ms a pair.
MOST_COMPARED = 200


def is_small(a: Ended, b: Ended) -> bool:
    """Whether that takes no longer than somebody waits for a page."""
    return max(a.rows, b.rows) <= MOST_COMPARED


def compared(store: Store, a: Ended, b: Ended, threshold: float) -> CompareDocument:
    """B against A.

    Raises:
        StoreError: the store cannot be read, or a row is damaged.
    """
    sides = (specimens(report_document(store.run(one.run.run_id))) for one in (a, b))
    return compare_document(match(*sides), Question(a.run.run_id, b.run.run_id, threshold))
