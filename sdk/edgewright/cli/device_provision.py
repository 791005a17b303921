"""``edgewright device provision``: a bare device made ready."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgewright.untrusted import one_line

from .options import farm_option

if TYPE_CHECKING:
    from edgewright.provision import Outcome

_PHASES = {
    "plan": "looking for wheels",
    "fetch": "fetching wheels to this host",
    "push": "sending",
    "waiting": "waiting for the device",
    "reconnect": "the connection broke, trying again",
    "environment": "making the environment",
    "install": "installing",
    "verify": "trying it",
}


@click.command("provision")
@click.argument("name")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME",
    help="A runtime to install, any number of times; otherwise the first of the profile's that can be had.",
)
@click.option("--offline", is_flag=True, help="This host fetches the wheels; the device needs no network.")
@click.option("--upgrade", is_flag=True, help="The newest versions, also where what is there works.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
@farm_option
def provision(
    name: str, runtimes: tuple[str, ...], offline: bool, upgrade: bool, as_json: bool, farm: Path | None
) -> None:
    """Make the device NAME ready: an environment there with numpy and a runtime.

    It needs Python 3.8 or newer there and nothing else. Every command uses the environment from then on, in
    place of the Python that it was made with. Given again, it adds what is missing and leaves what works.
    """
    from edgewright.farm.inventory import load_inventory
    from edgewright.profiles import load_profile
    from edgewright.provision import Wish
    from edgewright.provision import provision as carry_out

    target = load_inventory(farm).get(name)
    with _Steps(name) as steps:
        wish = Wish(runtimes, offline=offline, upgrade=upgrade)
        outcome = carry_out(target, load_profile(target.profile), wish, steps)
    if as_json:
        click.echo(json.dumps({"name": name, **asdict(outcome)}, indent=2))
    else:
        _show(name, target.python, outcome)


def _show(name: str, python: str, outcome: Outcome) -> None:
    click.echo(f"{name}: {one_line(outcome.platform)}")
    for runtime in outcome.runtimes:
        providers = one_line(", ".join(runtime.providers)) or "no providers of its own"
        click.echo(f"{name}: {runtime.name} {one_line(runtime.version, 40)}: {providers}")
    numpy = one_line(outcome.packages.get("numpy", "?"), 40)
    state = "is there and works, nothing was done" if outcome.was_there else "is made and works"
    click.echo(f"{name}: the environment {state}, with numpy {numpy}")
    for note in outcome.notes:
        click.echo(f"{name}: {one_line(note)}")
    click.echo(f"{name}: used from now on in place of {python}: {one_line(outcome.python)}")


class _Steps:
    """What goes on, on standard error: a bar on a terminal, else a line for each phase."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._name = name
        console = Console(stderr=True)
        self._is_terminal = console.is_terminal
        self._text = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), console=console, transient=True,
            disable=not self._is_terminal,
        )  # fmt: skip
        self._bytes = (
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._text.add_task(name, total=None)
        self._phase = ""

    def __enter__(self) -> _Steps:
        self._text.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._text.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """A phase begins, or goes on."""
        if event.get("event") == "phase":
            word = str(event.get("name"))
            if word not in _PHASES or word == self._phase:
                return
            self._phase = word
            self._text.columns = self._text.columns[:2] + (self._bytes if word == "push" else ())
            self._text.reset(self._task, total=None, description=f"{self._name}: {_PHASES[word]}")
            if not self._is_terminal:
                click.echo(f"{self._name}: {_PHASES[word]}", err=True)
        elif event.get("unit") == "bytes":
            self._text.update(self._task, completed=event["done"], total=event["of"])
        elif event.get("what"):
            what = one_line(str(event["what"]), 60)
            self._text.update(self._task, description=f"{self._name}: {_PHASES['install']}: {what}")
