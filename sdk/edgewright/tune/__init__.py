"""Choosing the setting for a device: what to compress how much, and how to run it, from measurements there.

``space`` says what there is, ``bounds`` what it may cost; ``search`` is the funnel on one device, with
``known`` and ``predict`` for what need not be measured, ``optimizer`` for Optuna, ``workshop`` for building
and ``rig`` for measuring; ``study`` does it for several devices. ``choice`` is the answer on one, ``answer``
of the whole. Everything is kept as it becomes known (``question``), so that a study goes on after a kill.
"""

from __future__ import annotations

from .answer import Answer, answer_of
from .bounds import Bounds
from .question import Question
from .space import SpaceFile
from .study import Means, begin, is_finished, run_study

__all__ = ["Answer", "Bounds", "Means", "Question", "SpaceFile", "answer_of", "tune"]


def tune(question: Question, means: Means, *, fresh: bool = False) -> Answer:
    """Search every device of the question, or go on where the same was cut short, and answer it.

    Raises:
        ConfigError: the workload or the space is not what it should be.
        DeviceError: no device could be searched; those of several that could not be are missing in the answer
            or have fewer settings, and :func:`tune` goes on with them.
    """
    study_id, is_resumed = begin(question, means, fresh=fresh)
    if not (is_resumed and is_finished(means.store, study_id, question)):
        run_study(study_id, question, means, is_resumed=is_resumed)
    return answer_of(means.store, study_id)
