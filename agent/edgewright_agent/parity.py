"""Whether the device computes what the host computed, before any latency counts."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional

from . import arrays
from .failure import AgentFailure
from .protocol import Parity, Tolerance


@dataclass(frozen=True)
class Check:
    """How near the outputs are, or why there is no telling; whether a second session was opened for it."""

    parity: Optional[Parity]
    reason: str = ""
    reopened: bool = False


def check(
    outputs: Dict[str, Any],
    expected: Optional[Dict[str, Any]],
    tolerance: Optional[Tolerance],
    again: Callable[[], Dict[str, Any]],
) -> Check:
    """Refuse outputs that are too far from the host's: their latency would be that of another computation.

    Unless a second session, as fresh as the first, disagrees with the first one too: such a model draws
    random numbers, and no figure says whether it was computed rightly.

    Args:
        again: the outputs of a second session on the same inputs; called when the first ones are too far.

    Raises:
        AgentFailure: ``model-rejected`` with the first output that is too far, and by how much.
    """
    if expected is None:
        return Check(None, "the host gave no expected outputs")
    if not expected:
        return Check(None, "no output of the model is a tensor")
    difference = _difference(outputs, expected, tolerance)
    if difference is None:
        return Check(arrays.compare(outputs, expected)[0])
    if _difference(again(), outputs, tolerance) is None:
        raise difference
    return Check(
        None,
        "the outputs differ from one session to the next on the same inputs, as with random numbers",
        True,
    )


def _difference(
    outputs: Dict[str, Any], expected: Dict[str, Any], tolerance: Optional[Tolerance]
) -> Optional[AgentFailure]:
    """The first output that is not near enough, in words; None when all are."""
    try:
        _, each = arrays.compare(outputs, expected)
    except AgentFailure as failure:
        return failure
    if tolerance is None:
        return None
    for name, one in each.items():
        if not arrays.within(one, tolerance):
            return AgentFailure(
                "model-rejected",
                f"output {name!r} differs from the host's: cosine {one.cosine:.4f}, largest error "
                f"{one.max_abs:.4g} (allowed: cosine {tolerance.cosine} or error {tolerance.max_abs:.4g})",
                "this runtime computes this file wrongly; use another runtime version or number format",
            )
    return None
