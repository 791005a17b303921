"""The nightly farm: the cells of a plan over many devices at once, whatever fails, each ending in one row."""

from .night import Night
from .orders import Executor
from .policy import Policy
from .work import NightWork

__all__ = ["Executor", "Night", "NightWork", "Policy"]
