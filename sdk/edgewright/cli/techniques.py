"""``edgewright techniques``: what a recipe's steps can be, and what each takes."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from typing import Any

import click

from edgewright.recipe import find_technique, technique_names


@click.group()
def techniques() -> None:
    """List and show the compression techniques that recipes are made of."""


@techniques.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_techniques(as_json: bool) -> None:
    """List every technique: what it edits and what it saves."""
    rows = [_summary(name) for name in technique_names()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    table.add_column("edits", no_wrap=True)
    table.add_column("saves", no_wrap=True)
    table.add_column("what it does", overflow="fold")
    for row in rows:
        cells = (row["name"], row["stage"], ", ".join(row["saves"]) or "-", row["summary"])
        table.add_row(*map(Text, cells))
    Console().print(table)


@techniques.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def show_technique(name: str, as_json: bool) -> None:
    """Show the technique NAME: what it does, its sources, its options and their defaults."""
    found: Any = find_technique(name)
    options = [(field.name, _shown(getattr(found.options(), field.name))) for field in _fields(found)]
    about = inspect.getdoc(sys.modules[type(found).__module__]) or ""
    taken = inspect.getdoc(found.options) or ""
    if as_json:
        click.echo(json.dumps({**_summary(name), "about": about, "options": dict(options)}, indent=2))
        return
    click.echo(f"{name}: {about}\n")
    click.echo(f"{taken}\n")
    width = max((len(option) for option, _ in options), default=0)
    for option, default in options:
        click.echo(f"{option.ljust(width)}  {default}")


def _summary(name: str) -> dict[str, Any]:
    found: Any = find_technique(name)
    about = inspect.getdoc(sys.modules[type(found).__module__]) or ""
    return {
        "name": name,
        "stage": found.stage,
        "saves": list(found.saves),
        "summary": about.split("\n", 1)[0],
    }


def _fields(technique: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(technique.options)


def _shown(value: Any) -> Any:
    """A default as JSON has it: nested options as a table of their own."""
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
