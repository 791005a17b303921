"""``edgewright explain``: what a recipe will do on a device."""

from __future__ import annotations

import dataclasses
import json

import click


@click.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("--profile", required=True, help="A device profile's name, or its TOML file.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def explain(recipe: str, profile: str, as_json: bool) -> None:
    """Say what each step of RECIPE does, and what it can save on a kind of device.

    Nothing is built or measured: it says what to expect, and a run says what is.
    """
    from edgewright.explain import explain as explained
    from edgewright.profiles import load_profile
    from edgewright.recipe import load_recipe
    from edgewright_agent.protocol import FORMATS

    device, chosen = load_profile(profile), load_recipe(recipe)
    formats = tuple(name for name, runtimes in FORMATS.items() if set(runtimes) & set(device.runtimes))
    steps = explained(chosen, device, formats)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(step) for step in steps], indent=2))
        return
    click.echo(f"{chosen.name} on {device.title}: {chosen.description}")
    if not steps:
        click.echo("no steps: the model is exported as it is")
    for number, step in enumerate(steps, 1):
        click.echo(f"\n{number}. {step.technique}: {step.does}")
        for name, value in step.options.items():
            click.echo(f"   {name} = {json.dumps(value)}")
        click.echo(f"   can save: {', '.join(step.saves) or 'nothing by itself'}")
        for line in step.here:
            click.echo(f"   {line}")
    if chosen.max_accuracy_drop is not None:
        click.echo(f"\nat most {chosen.max_accuracy_drop:g} of the workload's quality may be lost")
