"""From what a device answered to the profile document: every figure is derived here."""

from __future__ import annotations

import datetime
import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from edgewright import __version__
from edgewright.report.text import clean
from edgewright_agent.protocol import Device, OpTime, RunResult

from . import document as doc
from .answer import explain
from .cpu import deciding
from .disturbance import disturbance
from .families import COMPUTE, ORDER, family, leaves_unscaled, numbers, sizes


@dataclass(frozen=True)
class Profiled:
    """One model's answer, with what the host knows of its file."""

    label: str
    sha256: str
    size_bytes: int
    format: str
    result: RunResult


@dataclass(frozen=True)
class Place:
    """Where it was profiled."""

    name: str
    profile: str
    facts: Device


def ops_document(profiled: Sequence[Profiled], place: Place) -> doc.OpsDocument:
    """All models, and each one after the first compared with it."""
    facts = place.facts
    device = doc.DeviceFacts(
        name=clean(place.name),
        profile=clean(place.profile),
        board=clean(facts.board),
        cpu_model=clean(facts.cpu_model),
        machine=clean(facts.machine),
        cpu_count=facts.cpu_count,
        features=deciding(facts.cpu_features),
    )
    sides = [_side(one) for one in profiled]
    return doc.OpsDocument(
        schema=doc.SCHEMA,
        generator=f"edgewright {__version__}",
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device=device,
        sides=sides,
        comparisons=[_comparison(sides[0], side, device) for side in sides[1:]],
    )


def _side(one: Profiled) -> doc.Side:
    session, timing, ops = one.result.session, one.result.timing, one.result.ops
    assert timing is not None and ops is not None
    plain_ms = statistics.median(timing.latency_ns) / 1e6
    nodes = _nodes(ops.ops)
    times = None
    if not ops.reason and ops.sum_ns and ops.run_ns:
        profiled_ms = statistics.median(ops.run_ns) / 1e6
        nodes_ms = statistics.median(ops.sum_ns) / 1e6
        times = doc.Times(
            plain=_ms(plain_ms),
            plain_count=len(timing.latency_ns),
            profiled=_ms(profiled_ms),
            nodes=_ms(nodes_ms),
            disturbed=disturbance(plain_ms, profiled_ms, nodes_ms, [node.ms or 0.0 for node in nodes]),
            runs=len(ops.sum_ns),
            profiling_cost=round(profiled_ms / plain_ms - 1.0, 4) if plain_ms else 0.0,
        )
    return doc.Side(
        label=clean(one.label),
        sha256=one.sha256,
        size_bytes=one.size_bytes,
        format=one.format,
        runtime=clean(session.runtime),
        runtime_version=clean(session.version),
        threads=session.threads,
        plain_ms=_ms(plain_ms),
        times_ms=times,
        times_reason=None if times else clean(ops.reason) or "the device sent no times",
        providers_asked=[clean(name) for name in session.asked],
        providers=_providers(one.result, nodes),
        providers_method=clean(session.placement.method),
        families=_by_family(nodes),
        op_types=_by_operator(nodes),
        nodes=nodes,
        unlisted_nodes=max(0, ops.unlisted),
        notes=[clean(note) for note in (*session.notes, *ops.notes)],
    )


def _nodes(ops: Sequence[OpTime]) -> list[doc.Node]:
    is_unscaled = leaves_unscaled([op.op_type for op in ops])
    total = sum(op.median_ns or 0 for op in ops)
    nodes = []
    for op in ops:
        kind = family(op.op_type, op.name, op.inputs, is_unscaled=is_unscaled)
        ms = None if op.median_ns is None else op.median_ns / 1e6
        nodes.append(
            doc.Node(
                name=clean(op.name, 300),
                op_type=clean(op.op_type, 100),
                family=kind,
                provider=clean(op.provider, 100),
                calls=op.count,
                ms=None if ms is None else _ms(ms),
                share=None if op.median_ns is None or not total else round(op.median_ns / total, 4),
                numbers=clean(numbers(op.op_type, op.inputs), 60) if kind in COMPUTE else None,
                inputs=[clean(text, 200) for text in op.inputs[:32]],
                outputs=[clean(text, 200) for text in op.outputs[:32]],
            )
        )
    return nodes


def _providers(result: RunResult, nodes: Sequence[doc.Node]) -> list[doc.Provider]:
    shares = [share for share in result.session.placement.nodes if share.nodes > 0]
    total = sum(share.nodes for share in shares)
    return [
        doc.Provider(
            name=clean(share.provider, 100),
            nodes=share.nodes,
            share=round(share.nodes / total, 4),
            ms=_sum(node.ms for node in nodes if node.provider == share.provider),
        )
        for share in shares
    ]


def _by_family(nodes: Sequence[doc.Node]) -> list[doc.Total]:
    totals = [_total(name, None, [n for n in nodes if n.family == name]) for name in ORDER]
    return [total for total in totals if total.nodes]


def _by_operator(nodes: Sequence[doc.Node]) -> list[doc.Total]:
    def key(node: doc.Node) -> tuple[str, str]:
        return node.op_type, node.provider

    grouped = itertools.groupby(sorted(nodes, key=key), key)
    totals = [_total(op_type, provider, list(group)) for (op_type, provider), group in grouped]
    return sorted(totals, key=lambda total: (-(total.ms or 0.0), -total.nodes, total.name))


def _total(name: str, provider: str | None, nodes: Sequence[doc.Node]) -> doc.Total:
    shares = [node.share for node in nodes if node.share is not None]
    return doc.Total(
        name=name,
        provider=provider,
        nodes=len(nodes),
        calls=sum(node.calls for node in nodes),
        ms=_sum(node.ms for node in nodes),
        share=round(sum(shares), 4) if shares else None,
    )


def _comparison(base: doc.Side, other: doc.Side, device: doc.DeviceFacts) -> doc.Comparison:
    families = []
    ours, theirs = ({total.name: total.ms for total in side.families} for side in (other, base))
    for name in ORDER:
        if name in ours or name in theirs:
            change = (ours.get(name) or 0.0) - (theirs.get(name) or 0.0)
            families.append(
                doc.FamilyPair(
                    family=name,
                    baseline_ms=theirs.get(name),
                    candidate_ms=ours.get(name),
                    change_ms=_ms(change),
                )
            )
    pairs = _pairs(base.nodes, other.nodes)
    return doc.Comparison(
        baseline=base.label,
        candidate=other.label,
        ratio=round(other.plain_ms / base.plain_ms, 4) if base.plain_ms else 0.0,
        answer=explain(base, other, families, pairs, device),
        families=families,
        pairs=pairs,
    )


def _pairs(base: Sequence[doc.Node], other: Sequence[doc.Node]) -> list[doc.NodePair]:
    """Convolutions and products of both in their order, matched where family and output sizes agree."""
    left = [node for node in base if node.family in COMPUTE]
    right = [node for node in other if node.family in COMPUTE]
    matcher = SequenceMatcher(None, _keys(left), _keys(right), autojunk=False)
    pairs: list[doc.NodePair] = []
    for tag, a, a_end, b, b_end in matcher.get_opcodes():
        if tag == "equal":
            pairs += [_pair(x.family, x, y) for x, y in zip(left[a:a_end], right[b:b_end], strict=True)]
        else:
            pairs += [_pair(x.family, x, None) for x in left[a:a_end]]
            pairs += [_pair(y.family, None, y) for y in right[b:b_end]]
    return pairs


def _keys(nodes: Sequence[doc.Node]) -> list[tuple[str, tuple[int, ...]]]:
    return [(node.family, sizes(node.outputs[0]) if node.outputs else ()) for node in nodes]


def _pair(name: str, base: doc.Node | None, other: doc.Node | None) -> doc.NodePair:
    ratio = None
    if base and other and base.ms and other.ms is not None:
        ratio = round(other.ms / base.ms, 3)
    return doc.NodePair(family=name, baseline=base, candidate=other, ratio=ratio)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _ms(sum(known)) if known else None


def _ms(milliseconds: float) -> float:
    """To the nanosecond."""
    return round(milliseconds, 6)
