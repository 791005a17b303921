"""Time by node: what a profile says, two profiles side by side, and why one takes longer."""

from .assemble import Profiled, ops_document
from .document import OpsDocument

__all__ = ["OpsDocument", "Profiled", "ops_document"]
