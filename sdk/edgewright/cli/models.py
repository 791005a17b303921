"""``edgewright models``: light networks to be students."""

from __future__ import annotations

import json

import click

from edgewright.students import FAMILIES


@click.group()
def models() -> None:
    """List the light networks that a distillation can train in a model's place."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_models(as_json: bool) -> None:
    """List every network by the name that a recipe's ``student`` takes."""
    rows = [
        {"name": name, "description": family.description, "source": family.source}
        for name, family in FAMILIES.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        click.echo(f"{row['name'].ljust(width)}  {row['description']}")
