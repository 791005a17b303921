"""What a person is told of the phases of a job; a device may be anybody, so its words are cleaned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgewright.untrusted import one_line

_PHASES = {
    "push": "sending files",
    "push-again": "sending files again",
    "waiting": "waiting for the device",
    "cooling": "cooling down",
    "reconnect": "trying to connect again",
    "reconnected": "connected again",
    "import": "importing the runtime",
    "load": "loading",
    "first": "first inference",
    "measure": "measuring",
    "idle-before": "idle power",
    "active": "power under load",
    "idle-after": "idle power",
    "placement": "counting nodes",
    "profile": "profiling nodes",
    "evaluate": "evaluating",
}


def phase_text(event: Mapping[str, Any]) -> str:
    """What a person is told of a phase that begins, or of files on their way; empty when that is nothing."""
    if event.get("unit") == "bytes":
        return _sending(event)
    now, wanted = event.get("celsius"), event.get("to_celsius")
    if isinstance(now, float) and isinstance(wanted, float):
        return f"cooling down: {now:.1f} \N{DEGREE SIGN}C, {wanted:g} \N{DEGREE SIGN}C is wanted"
    return _PHASES.get(str(event.get("name", "")), "") if event.get("event") == "phase" else ""


def _sending(event: Mapping[str, Any]) -> str:
    """How much has arrived, how fast, and how long it will take; nothing of what is not a number."""
    from edgewright.report.units import size

    done, total, rate, left_s = (event.get(key) for key in ("done", "of", "rate_bytes_per_s", "left_s"))
    if not isinstance(done, int) or not isinstance(total, int):
        return ""
    text = f"{_PHASES['push']}: {size(done)} of {size(total)}"
    if isinstance(rate, float) and isinstance(left_s, float):
        text += f", {size(round(rate))}/s, {_minutes(left_s)} left"
    return text


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"


def notice(event: Mapping[str, Any]) -> str:
    """What a person is told also where there is no terminal: why nothing goes on, or what is left behind."""
    why = one_line(str(event.get("why", "")))
    match event.get("name") if event.get("event") == "phase" else "":
        case "waiting":
            return f"waiting, the device is held by {one_line(str(event.get('for', '')))}"
        case "reconnect":
            minutes = event.get("for_s", 0) / 60
            return f"{why}; trying to connect again for {minutes:.3g} minutes"
        case "reconnected":
            return f"connected again after {event.get('after_s', 0):.3g} s"
        case "push-again":
            return f"{why}; sending it again as a whole"
        case "left":
            return f"a job stays on the device, edgewright device attach takes it up: {why}"
        case _:
            return ""
