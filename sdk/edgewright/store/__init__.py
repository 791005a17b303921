"""Results in a database: SQLite by default, anything SQLAlchemy speaks by URL."""

from .database import Store
from .location import default_location
from .records import Run, RunSummary, StoredRun

__all__ = ["Run", "RunSummary", "Store", "StoredRun", "default_location"]
