"""What became of each series over the runs in a store: changes of level, regressions, and what is missing."""

from .findings import Findings, Missing, Regression, find_regressions
from .series import Judged, judge, judged

__all__ = ["Findings", "Judged", "Missing", "Regression", "find_regressions", "judge", "judged"]
