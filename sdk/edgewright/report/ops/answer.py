"""Why one model takes longer than another here, in sentences that follow from their profiles.

Each function states one thing or nothing. None guesses: what a sentence says of times is in the profile,
what it says of the processor is a feature the processor has or lacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewright.report.units import milliseconds

from . import document as doc
from .cpu import half_sentence, integer_sentence
from .families import COMPUTE, CONVERSION, is_integer

#: Latencies of one launch nearer to each other than this are not told apart.
SAME = 0.05
#: Node times that miss the plain latency by more than this are good for shares only.
TRUSTED = 0.20
_CPU = ("CPUExecutionProvider", "CPU", "XNNPACK")
#: Their runtimes note when work was handed to the accelerator, not when it was done.
_ASYNCHRONOUS = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "ROCMExecutionProvider")


def explain(
    base: doc.Side,
    other: doc.Side,
    families: Sequence[doc.FamilyPair],
    pairs: Sequence[doc.NodePair],
    device: doc.DeviceFacts,
) -> list[str]:
    """The answer: what differs, by how much, where, and what of it the processor decides."""
    sentences = [_latency(base, other)]
    if base.times_ms and other.times_ms:
        sentences += [
            *_where(other, families),
            *_products(base, other, pairs),
            *_conversion(base, other),
            *_dynamic(other),
        ]
    sentences += [*_number_types(other, device), *_left_in_float(base, other)]
    for side in (base, other):
        sentences += [*_accuracy(side), *_divided(side)]
    return sentences


def _latency(base: doc.Side, other: doc.Side) -> str:
    ours, theirs = milliseconds(other.plain_ms), milliseconds(base.plain_ms)
    stated = f"{other.label} takes {ours} and {base.label} {theirs}"
    doubtful = [side.label for side in (base, other) if side.times_ms and side.times_ms.disturbed]
    if doubtful:
        return f"{stated}, but the device was disturbed while {' and '.join(doubtful)} ran: profile again."
    if not base.plain_ms or abs(other.plain_ms / base.plain_ms - 1.0) < SAME:
        return f"{stated}: within {SAME:.0%}, which one launch of each cannot tell apart."
    if other.plain_ms > base.plain_ms:
        return f"{stated}: {other.plain_ms / base.plain_ms:.2f} times as long."
    return f"{stated}: {base.plain_ms / other.plain_ms:.2f} times as fast."


def _where(other: doc.Side, families: Sequence[doc.FamilyPair]) -> Iterator[str]:
    change = sum(pair.change_ms for pair in families)
    longer = change > 0
    same_way = [pair for pair in families if (pair.change_ms > 0) == longer and pair.change_ms]
    largest = sorted(same_way, key=lambda pair: -abs(pair.change_ms))[:3]
    if not largest:
        return
    parts = [
        f"{pair.family} {signed(pair.change_ms)} ({_ms(pair.candidate_ms)} against {_ms(pair.baseline_ms)})"
        for pair in largest
        if abs(pair.change_ms) >= 0.05 * abs(change)
    ]
    if parts:
        word = "longer" if longer else "shorter"
        total = milliseconds(abs(change))
        yield f"{other.label}'s nodes take {total} {word} in all; by what they do: {'; '.join(parts)}."


def _products(base: doc.Side, other: doc.Side, pairs: Sequence[doc.NodePair]) -> Iterator[str]:
    both = [(p.baseline, p.candidate) for p in pairs if p.baseline and p.candidate]
    timed = [(a, b) for a, b in both if a.ms is not None and b.ms is not None]
    if not timed:
        return
    before, after = sum(a.ms or 0.0 for a, _ in timed), sum(b.ms or 0.0 for _, b in timed)
    a, b = max(timed, key=lambda pair: abs((pair[1].ms or 0.0) - (pair[0].ms or 0.0)))
    take = "take" if len(timed) > 1 else "takes"
    yield (
        f"The {_products_of(len(timed))} that both have {take} {milliseconds(after)} against "
        f"{milliseconds(before)}; the one that changed most is {b.name} ({b.op_type}, {b.numbers}): "
        f"{_ms(b.ms)} against {_ms(a.ms)} ({a.op_type}, {a.numbers})."
    )


def _conversion(base: doc.Side, other: doc.Side) -> Iterator[str]:
    ours, theirs = (
        [total for total in side.families if total.name in CONVERSION and total.ms is not None]
        for side in (other, base)
    )
    if not ours and not theirs:
        return
    spent = sum(total.ms or 0.0 for total in ours)
    share = sum(total.share or 0.0 for total in ours)
    before = sum(total.ms or 0.0 for total in theirs)
    nodes = sum(total.nodes for total in ours)
    baseline = _ms(before) if theirs else "nothing"
    yield (
        f"Converting numbers (quantize, dequantize, rescale: {nodes} nodes) takes {_ms(spent)}, "
        f"{share:.1%} of {other.label}'s node time; {base.label} spends {baseline} on it."
    )


def _dynamic(other: doc.Side) -> Iterator[str]:
    found = [node for node in other.nodes if node.op_type.startswith("DynamicQuantize")]
    if found:
        spent = sum(node.ms or 0.0 for node in found)
        yield (
            "Activations are quantized anew at every inference, their range first being looked for, by "
            f"{len(found)} nodes that take {_ms(spent)} in all; static quantization fixes it beforehand."
        )


def _number_types(other: doc.Side, device: doc.DeviceFacts) -> Iterator[str]:
    computing = [node for node in other.nodes if node.family in COMPUTE and node.provider in _CPU]
    if other.runtime != "onnxruntime":
        return
    formats: dict[str, list[doc.Node]] = {}
    for node in computing:
        formats.setdefault(node.numbers or "?", []).append(node)
    for numbers, nodes in sorted(formats.items(), key=lambda item: -sum(n.ms or 0.0 for n in item[1])):
        spent = f", {_ms(sum(node.ms or 0.0 for node in nodes))}" if other.times_ms else ""
        if is_integer(numbers):
            meaning = integer_sentence(numbers, device.machine, device.features)
            yield f"{_multiply(nodes, numbers)}{spent}. {meaning}".rstrip()
        elif numbers == "float16":
            yield (f"{_multiply(nodes, numbers)}{spent}. {half_sentence(device.machine, device.features)}")


def _left_in_float(base: doc.Side, other: doc.Side) -> Iterator[str]:
    ours = [node for node in other.nodes if node.family in COMPUTE]
    integers = [node for node in ours if is_integer(node.numbers or "")]
    was_integer = any(is_integer(n.numbers or "") for n in base.nodes if n.family in COMPUTE)
    converts = any(total.name in CONVERSION for total in other.families)
    if was_integer or not ours or (not integers and not converts):
        return
    floats = [node for node in ours if node not in integers]
    if not floats:
        yield f"{other.label} does no convolution or product in float."
        return
    longest = sorted(floats, key=lambda node: -(node.ms or 0.0))[:3]
    names = ", ".join(f"{node.name} ({node.op_type})" for node in longest)
    spent = f" and take {_ms(sum(node.ms or 0.0 for node in floats))}" if other.times_ms else ""
    yield (
        f"Of the {_products_of(len(ours))} of {other.label}, {len(floats)} are still done in float"
        f"{spent}: {names}{', ...' if len(floats) > 3 else ''}."
    )


def _accuracy(side: doc.Side) -> Iterator[str]:
    times = side.times_ms
    if times is None:
        yield f"{side.label}: no times by node: {side.times_reason}."
        return
    covered = times.nodes / times.plain if times.plain else 0.0
    doubt = f"; {times.disturbed}" if times.disturbed else ""
    if not doubt and abs(covered - 1.0) > TRUSTED:
        doubt = ": take node times as shares, not as milliseconds"
    yield (
        f"{side.label}: node times add up to {milliseconds(times.nodes)}, {covered:.0%} of an inference; "
        f"with profiling it took {milliseconds(times.profiled)}, {times.profiling_cost:+.0%}{doubt}."
    )


def _divided(side: doc.Side) -> Iterator[str]:
    if len(side.providers) > 1:
        parts = [f"{one.name} {one.nodes} nodes" for one in side.providers]
        yield f"{side.label} is divided among {', '.join(parts)}: tensors pass from one to the other."
    late = [one.name for one in side.providers if one.name in _ASYNCHRONOUS]
    if late and side.times_ms:
        yield f"Times of {', '.join(late)} nodes end when the work is handed over, not when it is done."


def _multiply(nodes: Sequence[doc.Node], numbers: str) -> str:
    return f"{_products_of(len(nodes))} {'multiplies' if len(nodes) == 1 else 'multiply'} {numbers}"


def _products_of(count: int) -> str:
    return "1 convolution or product" if count == 1 else f"{count} convolutions and products"


def signed(value: float) -> str:
    """A change of so many milliseconds."""
    return f"{'+' if value >= 0 else '-'}{milliseconds(abs(value))}"


def _ms(value: float | None) -> str:
    return "nothing" if value is None else milliseconds(value)
