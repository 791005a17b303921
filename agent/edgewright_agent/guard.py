"""The last event of whatever was asked for: its answer, or the error that took the answer's place."""

import traceback
from typing import Any, Callable, Dict

from .codec import WireError, encode
from .failure import AgentFailure
from .files import is_full
from .protocol_errors import AgentError


def guarded(call: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
    """What ``call`` returns, or an ``error`` event; a broken pipe is raised, since nobody would read that."""
    try:
        return call()
    except AgentFailure as failure:
        error = failure.error
    except WireError as problem:
        error = AgentError("protocol", f"the host sent something else: {problem}")
    except BrokenPipeError:
        raise
    except OSError as problem:
        full = is_full(problem)
        code = "disk-full" if full else "agent-fault"
        error = AgentError(code, f"{problem}", "free some space" if full else "", traceback.format_exc())
    except Exception as problem:  # noqa: BLE001 - the last line of defence: the host is told, whatever it was
        error = AgentError("agent-fault", f"{type(problem).__name__}: {problem}", "", traceback.format_exc())
    return error_event(error)


def error_event(error: AgentError) -> Dict[str, Any]:
    """The last event of what failed."""
    return {"event": "error", "error": encode(error)}
