"""Results in a database: SQLite by default, anything SQLAlchemy speaks by URL."""

from .baselines import Baselines, Slower
from .boards import Boards, BoardState, CellTimes
from .database import Store
from .leases import Holder, Leases, holders
from .location import default_location
from .records import Run, RunSummary, StoredRun
from .studies import StoredStudy, StoredTrial, Studies

__all__ = [
    "Baselines",
    "BoardState",
    "Boards",
    "CellTimes",
    "Holder",
    "Leases",
    "Run",
    "RunSummary",
    "Slower",
    "Store",
    "StoredRun",
    "StoredStudy",
    "StoredTrial",
    "Studies",
    "default_location",
    "holders",
]
