"""Which order the steps of a recipe may have.

A step may undo what one before it did, or need what one before it took away. Nothing would fail, and the
file would not be what the recipe says, so that such an order is refused before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from .recipe import Step

_QAT = "qat"
#: Steps on a file that need it in 32-bit floats, and those after which it is not.
_NEED_FLOATS = ("fp16", "quantize", "quantize-weights", "share")
_END_FLOATS = ("fp16", "quantize", "quantize-weights")
#: The step that sets weights to zero, and the one whose factors have none of these zeros.
_SPARSIFY, _FACTORIZE = "sparsify", "factorize"
#: The step after which no other may move weights, and a step on a file that does.
_ADAROUND, _SHARE = "adaround", "share"
#: Steps that only prepare the weights for integers, and those that make integers of them.
_PREPARE, _MAKE_INTEGERS = (_ADAROUND, "equalize", "smooth"), (_QAT, "quantize", "quantize-weights")
_DISTILL = "distill"
_IN_WORDS = {"qat": " (quantization-aware training)", "quantize": " (post-training quantization)"}


def check_order(
    steps: Sequence[Step], stage_of: Callable[[str], str], known: Container[str], where: str
) -> None:
    """Refuse an order in which a step undoes, wants or waits for what another does not leave.

    Args:
        stage_of: gives a technique's stage, ``model`` or ``file``.
        known: the techniques of which it is said here what they do; of others nothing is assumed.
        where: the file, for messages.

    Raises:
        ConfigError: says which step is where it cannot be, and where it can.
    """
    last_file = previous = ""
    is_trained = is_sparse = False
    for number, step in enumerate(steps, 1):
        if previous == _ADAROUND and (stage_of(step.technique) == "model" or step.technique == _SHARE):
            raise ConfigError(
                f"{where}: step {number}: {step.technique!r} moves weights that {previous!r} before it has"
                " rounded",
                mend=f"put {step.technique!r} before {previous!r}",
            )
        previous = step.technique
        if is_trained:
            _check_after_qat(step.technique, stage_of, f"{where}: step {number}")
        _check_student(steps[: number - 1], step, f"{where}: step {number}")
        is_sparse = is_sparse or step.technique == _SPARSIFY
        if is_sparse and step.technique == _FACTORIZE:
            raise ConfigError(
                f"{where}: step {number}: the factors that {_FACTORIZE!r} makes have none of the zeros that"
                f" {_SPARSIFY!r} before it has set",
                mend=f"put {_FACTORIZE!r} before {_SPARSIFY!r}",
            )
        if last_file in _END_FLOATS and step.technique in _NEED_FLOATS:
            raise ConfigError(
                f"{where}: step {number}: {_named(step.technique)} needs a file in 32-bit floats, but"
                f" {_named(last_file)} before it ends them",
                mend=f"{step.technique} once"
                if step.technique == last_file
                else f"leave out {step.technique!r} or {last_file!r}"
                if step.technique in _END_FLOATS
                else f"put {step.technique!r} before {last_file!r}",
            )
        is_trained = is_trained or step.technique == _QAT
        if stage_of(step.technique) == "file":
            last_file = step.technique
        elif last_file:
            raise ConfigError(
                f"{where}: step {number}: {_named(step.technique)} edits the model, but {_named(last_file)}"
                " before it edits the exported file",
                mend=f"put {step.technique!r} before {last_file!r}",
            )
    _check_prepared(steps, known, where)


def _check_student(before: Sequence[Step], step: Step, where: str) -> None:
    """A student is a network of its own, taught by the model that the workload gives."""
    if step.technique != _DISTILL or not step.options.student or not before:
        return
    first = before[0].technique
    raise ConfigError(
        f"{where}: {_DISTILL!r} puts the student {step.options.student!r} in the model's place, and with the"
        f" model goes what {first!r} before it did",
        mend=f"leave out one {_DISTILL!r}, or put the student's first"
        if first == _DISTILL
        else f"put {_DISTILL!r} first",
    )


def _check_prepared(steps: Sequence[Step], known: Container[str], where: str) -> None:
    """A step of another's may make integers too, so that with one nothing is refused."""
    for number, step in enumerate(steps, 1):
        later = [one.technique for one in steps[number:]]
        if step.technique in _PREPARE and not any(
            name in _MAKE_INTEGERS or name not in known for name in later
        ):
            raise ConfigError(
                f"{where}: step {number}: {step.technique!r} prepares the weights for integers, and no step"
                " after it makes integers of them",
                mend="end with a step 'quantize'",
            )


def _check_after_qat(technique: str, stage_of: Callable[[str], str], where: str) -> None:
    if stage_of(technique) == "model":
        raise ConfigError(
            f"{where}: {technique!r} edits the model, but {_named(_QAT)} before it has fitted the model to"
            " its integers",
            mend=f"put {technique!r} before {_QAT!r}" if technique != _QAT else "train once",
        )
    if technique in _NEED_FLOATS:
        raise ConfigError(
            f"{where}: {_named(technique)} needs a file in floats, but {_named(_QAT)} before it has"
            " quantized the file already",
            mend=f"leave out {technique!r} or {_QAT!r}",
        )


def _named(technique: str) -> str:
    return f"{technique!r}{_IN_WORDS.get(technique, '')}"
