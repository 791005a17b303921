"""``edgewright device doctor``: would a run on the device work?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgewright.untrusted import one_line

from .options import farm_option

if TYPE_CHECKING:
    from edgewright.farm.doctor import Check

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "not checked": "dim"}

#: Where there is no terminal that says how wide it is.
_WIDTH = 160


@click.command("doctor")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="A list of objects instead of a table.")
@farm_option
def doctor(name: str, as_json: bool, farm: Path | None) -> int:
    """Check everything a run on the device NAME needs, and say what to do about what is missing.

    The exit code is 0 when a run would work, 1 when there is a problem, 3 when the device cannot be reached.
    """
    from edgewright.farm.doctor import diagnose
    from edgewright.farm.inventory import load_inventory

    from .progress import waiting

    target = load_inventory(farm).get(name)
    with waiting(f"looking at {name}"):
        diagnosis = diagnose(target)
    checks = [_cleaned(check) for check in diagnosis.checks]
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _show(checks)
    return diagnosis.exit_code


def _cleaned(check: Check) -> Check:
    """Whatever the device said in it is one harmless line."""
    from edgewright.farm.doctor import Check

    return Check(check.name, check.status, one_line(check.found), one_line(check.mend))


def _show(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("check", "status", "found", "mend"):
        table.add_column(title, overflow="fold", no_wrap=title in ("check", "status"))
    for check in checks:
        table.add_row(
            Text(check.name),
            Text(check.status, style=_STYLES[check.status]),
            Text(check.found),
            Text(check.mend),
        )
    console.print(table)
