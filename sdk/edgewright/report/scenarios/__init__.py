"""What the scenarios showed, derived from raw samples when a row is read; one module each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgewright.report.scenario_document import Scenario
from edgewright_agent.protocol import RunResult

from . import multi_stream, offline, paced, sustained

_SHOWN: Mapping[str, Callable[[Sequence[RunResult]], Scenario]] = {
    "paced": paced.scenario,
    "sustained": sustained.scenario,
    "offline": offline.scenario,
    "multi-stream": multi_stream.scenario,
}

#: Scenarios in which energy is not measured, since one inference of one model is not what runs.
WITHOUT_ENERGY = frozenset({"offline", "multi-stream"})


def scenario_of(kind: str, launches: Sequence[RunResult]) -> tuple[Scenario | None, str | None]:
    """The scenario's part of a row; None for a single stream, whose latencies say all.

    Returns:
        The part, or None and the reason when the device's samples cannot be made sense of.
    """
    if kind not in _SHOWN or not launches:
        return None, None
    try:
        return _SHOWN[kind](launches), None
    except ValueError as error:
        return None, f"the scenario {kind} gave no figures: {error}"
