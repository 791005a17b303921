"""``edgewright farm``: a plan over many devices at once, every night, and how those devices are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgewright.errors import ConfigError

from .farm_run import run
from .farm_site import scheduler, worker
from .options import farm_option, store_option

if TYPE_CHECKING:
    from edgewright.farm.inventory import Target
    from edgewright.store import BoardState, Holder


@click.group()
def farm() -> None:
    """Measure on many devices at once, and see how they are."""


for _command in (run, scheduler, worker):
    farm.add_command(_command)


@farm.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@farm_option
@store_option
def status(as_json: bool, farm: Path | None, store: str | None) -> None:
    """List the devices: who has which, which are in quarantine and why, and their last health checks."""
    from edgewright.farm.inventory import load_inventory
    from edgewright.nightly.lane import board_of
    from edgewright.store import Boards, Store, holders

    targets = load_inventory(farm).targets
    with Store.open(store) as opened:
        held = holders(opened)
        boards = Boards(opened)
        states = {target.name: boards.get(board_of(target)) for target in targets}
    devices = [_described(target, states[target.name], held.get(board_of(target))) for target in targets]
    if as_json:
        click.echo(json.dumps(devices, indent=2))
    else:
        _print_status(devices)


@farm.command()
@click.argument("name")
@farm_option
@store_option
def release(name: str, farm: Path | None, store: str | None) -> None:
    """End the quarantine of the device NAME; the next run uses it without a health check."""
    from edgewright.farm.inventory import load_inventory
    from edgewright.nightly.lane import board_of
    from edgewright.store import Boards, Store

    target = load_inventory(farm).get(name)
    with Store.open(store) as opened:
        boards = Boards(opened)
        was = boards.get(board_of(target))
        boards.release(board_of(target), name)
    click.echo(
        f"{name}: released, it was {was.reason}" if was.is_quarantined else f"{name}: in no quarantine"
    )


@farm.command()
@click.argument("run_id", metavar="RUN")
@store_option
def accept(run_id: str, store: str | None) -> None:
    """Take the rows of RUN that were slower for good: --baseline last-good holds later rows against them."""
    from edgewright.store import Baselines, Store

    with Store.open(store, create=False) as opened:
        found = opened.run(run_id).run.run_id
        count = Baselines(opened).accept(found)
    if not count:
        raise ConfigError(f"run {found} has no rows that were marked as slower")
    click.echo(f"{found}: {count} slower {'row is' if count == 1 else 'rows are'} good from now on")


def _described(target: Target, state: BoardState, holder: Holder | None) -> dict[str, Any]:
    lease = None
    if holder is not None and holder.holds:
        lease = {
            "owner": holder.owner,
            "run": holder.run_id,
            "for_s": round(holder.for_s, 1),
            "expires_in_s": round(holder.left_s, 1),
        }
    quarantine = None
    if state.quarantined_at is not None:
        since, cycled = _time(state.quarantined_at), _time(state.cycled_at)
        quarantine = {"since": since, "reason": state.reason, "power_cycled_at": cycled}
    health = None
    if state.checked_at is not None:
        at, is_healthy = _time(state.checked_at), state.is_healthy
        health = {"at": at, "is_healthy": is_healthy, "told": state.health}
    return {
        "name": target.name,
        "profile": target.profile,
        "address": target.address,
        "tags": list(target.tags),
        "lease": lease,
        "quarantine": quarantine,
        "failures_in_a_row": state.failures,
        "health": health,
    }


def _time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC."""
    import datetime

    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _print_status(devices: list[dict[str, Any]]) -> None:
    from edgewright.untrusted import one_line

    from .farm_view import columns

    rows = [("name", "state", "since", "last health check")]
    reasons = []
    for device in devices:
        state, since = "free", ""
        if lease := device["lease"]:
            state, since = f"held by {lease['owner']}", f"{lease['for_s']:.0f} s"
        if quarantine := device["quarantine"]:
            state, since = "quarantined", quarantine["since"]
            reasons.append(f"{device['name']}: {quarantine['reason']}")
        health = device["health"]
        told = f"{'well' if health['is_healthy'] else 'not well'}, {health['at']}" if health else "none"
        rows.append((device["name"], state, since, told))
    click.echo(columns([[one_line(cell) for cell in row] for row in rows]))
    for reason in reasons:
        click.echo(one_line(reason))
