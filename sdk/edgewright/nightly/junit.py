"""A night as JUnit XML: a suite a device, a test case a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from xml.etree import ElementTree

from edgewright.report.text import clean
from edgewright.report.units import milliseconds

from .results import CellResult, NightResult

#: What XML 1.0 cannot hold even escaped, besides the controls that cleaning takes out.
_NEVER = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: kind of a cell -> the element that says so; a cell that was measured has none.
_ELEMENTS = {"slower": "failure", "failed": "failure", "not reached": "error", "skipped": "skipped"}


def render_junit(result: NightResult) -> bytes:
    """UTF-8; what a device or a model said is text in it, whatever it holds."""
    root = ElementTree.Element("testsuites", name=_text(result.name))
    for device, cells in groupby(result.cells, key=lambda cell: cell.cell.device):
        _suite(root, result, device, list(cells))
    if result.gone:
        suite = ElementTree.SubElement(root, "testsuite", _counts("gone", errors=len(result.gone)))
        for name in result.gone:
            case = ElementTree.SubElement(suite, "testcase", classname=_text(result.name), name=_text(name))
            ElementTree.SubElement(case, "error", type="gone", message="measured then, and in no plan now")
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counts(
    name: str, failures: int = 0, errors: int = 0, skipped: int = 0, tests: int = 0
) -> dict[str, str]:
    return {
        "name": _text(name),
        "tests": str(tests or errors),
        "failures": str(failures),
        "errors": str(errors),
        "skipped": str(skipped),
    }


def _suite(root: ElementTree.Element, result: NightResult, device: str, cells: list[CellResult]) -> None:
    kinds = [_ELEMENTS.get(cell.kind, "") for cell in cells]
    counts = _counts(device, kinds.count("failure"), kinds.count("error"), kinds.count("skipped"), len(cells))
    suite = ElementTree.SubElement(root, "testsuite", counts)
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    suite.set("time", f"{sum(known):.3f}")
    for cell in cells:
        case = ElementTree.SubElement(suite, "testcase", name=_text(cell.name))
        case.set("classname", _text(f"{result.name}.{device}"))
        if cell.seconds is not None:
            case.set("time", f"{cell.seconds:.3f}")
        if element := _ELEMENTS.get(cell.kind):
            told = ElementTree.SubElement(case, element, message=_text(cell.reason))
            if element != "skipped":
                told.set("type", cell.kind)
        if lines := [_text(line) for line in _said(cell)]:
            ElementTree.SubElement(case, "system-out").text = "\n".join(lines)


def _said(cell: CellResult) -> Iterable[str]:
    """What was measured, and how it compares."""
    if cell.row and cell.row.verdict:
        told = "" if cell.median_ms is None else f"median {milliseconds(cell.median_ms)}, "
        yield f"{told}{cell.row.verdict.status}"
    if cell.against:
        yield f"against run {cell.against.run_id}: {cell.against.pair.answer}"
        yield from cell.against.pair.evidence


def _text(text: str) -> str:
    return _NEVER.sub("\ufffd", clean(text))
