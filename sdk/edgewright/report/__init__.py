"""What stored samples mean: statistics, verdicts, the report document and its renderers."""

from .assemble import overview_document, report_document
from .document import ReportDocument, load_document
from .render import FORMATS, render, write
from .verdict import Verdict, verdict

__all__ = [
    "FORMATS",
    "ReportDocument",
    "Verdict",
    "load_document",
    "overview_document",
    "render",
    "report_document",
    "verdict",
    "write",
]
