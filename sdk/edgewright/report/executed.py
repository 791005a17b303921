"""Who executed the nodes, against who was asked to (docs/measuring.md, R10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgewright.row import Row
from edgewright_agent.protocol import RunResult, SessionInfo

from .finding import Finding


def executed(row: Row, launches: Sequence[RunResult]) -> Iterator[Finding]:
    """A row fell back when a provider that comes before one that executes nodes executes none itself.

    Of providers further down the order this holds only for those that did not start: that the first one
    leaves them nothing to do is no fault of theirs.
    """
    sessions = {_clause(launch.session): launch.session for launch in launches}
    if len(sessions) > 1:
        yield Finding("fell back", f"launches ran on different providers: {' and '.join(sessions)}")
    if not row.providers:
        yield Finding(None, f"{' or '.join(sessions)}; what was asked for is not recorded")
        return
    for clause, session in sessions.items():
        blamed = _did_not_execute(row.providers, session)
        for provider in blamed:
            order = "first" if provider == row.providers[0] else "earlier"
            reason = next((f" ({n})" for n in session.notes if n.startswith(f"{provider} did not")), "")
            yield Finding("fell back", f"{provider} was asked for {order}, {clause}{reason}")
        if not blamed:
            yield Finding(None, f"{row.providers[0]} was asked for first; {clause}")


def _did_not_execute(asked: Sequence[str], session: SessionInfo) -> list[str]:
    shares = {share.provider: share.nodes for share in session.placement.nodes}
    executing = [name for name in asked if (shares.get(name) if shares else name in session.providers)]
    if not executing:
        return list(asked[:1])
    before = asked[: max(asked.index(name) for name in executing)]
    return [
        name
        for place, name in enumerate(before)
        if name not in executing and (place == 0 or name not in session.providers)
    ]


def _clause(session: SessionInfo) -> str:
    """``XNNPACK executed 9 of 12 nodes, CPU 3``, or the bare names where nodes were not counted."""
    shares = [share for share in session.placement.nodes if share.nodes > 0]
    total = sum(share.nodes for share in shares)
    if not total:
        return f"{', '.join(session.providers) or 'none'} executed"
    first, *rest = shares
    others = [f"{share.provider} {share.nodes}" for share in rest]
    return ", ".join([f"{first.provider} executed {first.nodes} of {total} nodes", *others])
