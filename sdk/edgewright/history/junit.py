"""JUnit XML, as continuous builds read it: a test case for each series that was judged and each finding.

There is no schema but what the readers agree on; the elements are those of Jenkins' and GitLab's.
"""

from __future__ import annotations

from xml.etree import ElementTree

from .document import RegressionsDocument, Series
from .words import missing_sentence, name, sentence


def render_junit(document: RegressionsDocument) -> str:
    """Regressions and missing cells are failures, suspects and what is not valid is skipped."""
    suite = ElementTree.Element("testsuite", name=f"edgewright {document.run_name}", id=document.run)
    for worse in document.regressions:
        _case(suite, worse.series, worse.quantity, "failure", sentence(worse), "regression")
    for missing in document.missing:
        _case(suite, missing.series, "measured", "failure", missing_sentence(missing), "missing")
    for suspect in document.suspects:
        _case(suite, suspect.worse.series, suspect.worse.quantity, "skipped", sentence(suspect.worse))
    for unknown in document.unknown:
        _case(suite, unknown.series, "measured", "skipped", missing_sentence(unknown))
    failures, skipped = len(suite.findall("*/failure")), len(suite.findall("*/skipped"))
    bad = len([one for one in suite.findall("testcase") if one.find("failure") is not None])
    fine = max(0, document.series_judged - len(document.regressions) - len(document.suspects))
    if fine:
        ElementTree.SubElement(
            suite, "testcase", classname="edgewright.history", name=f"{fine} series that did not get worse"
        )
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(bad))
    suite.set("errors", "0")
    suite.set("skipped", str(skipped))
    assert failures == bad
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(
    suite: ElementTree.Element, series: Series, what: str, tag: str, message: str, kind: str = ""
) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"{series.device}.{series.workload}", name=f"{name(series)}, {what}"
    )
    found = ElementTree.SubElement(case, tag, message=message)
    if kind:
        found.set("type", kind)
