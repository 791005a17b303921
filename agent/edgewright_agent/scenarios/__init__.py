"""Ways to drive a loaded model, one module each, under the names in ``protocol_scenarios``."""

from typing import Dict

from ..failure import AgentFailure
from . import multi_stream, offline, single_stream, sustained
from . import paced as at_a_rate
from .dated import paced
from .stage import MONOTONIC, Play, Played, Stage

__all__ = ["MONOTONIC", "Played", "Stage", "paced", "play"]

_PLAYS: Dict[str, Play] = {
    "single-stream": single_stream.play,
    "paced": at_a_rate.play,
    "sustained": sustained.play,
    "offline": offline.play,
    "multi-stream": multi_stream.play,
}


def play(stage: Stage) -> Played:
    """Drive the model as the job's scenario says.

    Raises:
        AgentFailure: the scenario is unknown or lacks what it needs, or an inference failed.
    """
    kind = stage.scenario.kind
    if kind not in _PLAYS:
        raise AgentFailure("protocol", f"no scenario is called {kind!r}", f"known: {', '.join(_PLAYS)}")
    return _PLAYS[kind](stage)
