"""Providers asked for against providers that execute: the one place that says what is a failure.

A runtime lists a provider whose library is not installed, loads the model, and runs it on the processor
without a word. So what counts is who executes the nodes.
"""

from typing import Dict, List, Sequence, Tuple

from ..failure import AgentFailure
from ..protocol import Execution, NodeShare, Placement, SessionInfo


def usable(execution: Execution, available: Sequence[str], runtime: str) -> Tuple[List[str], List[str]]:
    """The providers asked for that this build has, in their order, and a note about each it lacks.

    Raises:
        AgentFailure: ``provider-missing`` when it lacks a required one.
    """
    here = ", ".join(available)
    for provider in execution.required:
        if provider not in available:
            raise AgentFailure(
                "provider-missing", f"{runtime} has no {provider}", f"this installation has {here}"
            )
    found = [provider for provider in execution.providers if provider in available]
    notes = [
        f"{provider} was asked for; {runtime} here has only {here}"
        for provider in execution.providers
        if provider not in available
    ]
    return found, notes


def count(taken: Sequence[Tuple[str, int]], method: str) -> Placement:
    """Shares summed up by provider, the largest first."""
    totals: Dict[str, int] = {}
    for provider, nodes in taken:
        totals[provider] = totals.get(provider, 0) + nodes
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    return Placement(tuple(NodeShare(provider, nodes) for provider, nodes in ordered), method)


def in_words(placement: Placement) -> str:
    """``CPUExecutionProvider 3 of 12, XExecutionProvider 9 of 12``."""
    total = sum(share.nodes for share in placement.nodes)
    return ", ".join(f"{share.provider} {share.nodes} of {total}" for share in placement.nodes)


def check(execution: Execution, info: SessionInfo, placement: Placement) -> None:
    """Refuse a session in which a required provider does not execute, or one that nobody named does.

    Args:
        execution: what was asked for.
        info: the session's own words, with its notes on providers that did not start.
        placement: where the nodes are; empty while that is not known.

    Raises:
        AgentFailure: ``provider-missing`` with the share of nodes each provider took.
    """
    took = {share.provider: share.nodes for share in placement.nodes}
    total = sum(took.values())
    for provider in execution.required:
        if provider in info.providers and (took.get(provider) or not total):
            continue
        reason = next((f"; {note}" for note in info.notes if note.startswith(f"{provider} did not")), "")
        counted = f"executes 0 of {total} nodes ({in_words(placement)})" if total else "does not execute"
        raise AgentFailure(
            "provider-missing",
            f"{provider} is required and {counted}{reason}",
            "check its libraries on the device, and that it supports this model's operators and types",
        )
    others = [name for name in took if name not in execution.providers]
    if execution.required and others:
        raise AgentFailure(
            "provider-missing",
            f"only {', '.join(execution.providers)} may execute, and the nodes are divided thus: "
            f"{in_words(placement)}",
            f"allow the rest with --prefer {others[0]}",
        )
