"""``edgewright profiles``: what kinds of device are known, and whether a new one's file is right."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from edgewright.profile import DeviceProfile
from edgewright.profiles import load_profile, load_profiles, profile_paths, profile_problems

#: Below this many columns the table leaves the devices' titles out.
_ROOMY_WIDTH = 72


@click.group()
def profiles() -> None:
    """List, show and check device profiles."""


@profiles.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_profiles(as_json: bool) -> None:
    """List the device profiles that are found."""
    paths = profile_paths()
    rows = [_summary(profile, paths[name]) for name, profile in load_profiles().items()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    roomy = console.width >= _ROOMY_WIDTH
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    if roomy:
        table.add_column("device", overflow="fold")
    table.add_column("arch", no_wrap=True)
    table.add_column("cores", justify="right")
    table.add_column("RAM", justify="right", no_wrap=True)
    for row in rows:
        device = [row["title"]] if roomy else []
        cells = [row["name"], *device, row["arch"], row["cores"] or "-", _gib(row["ram_bytes"])]
        table.add_row(*(Text(str(cell)) for cell in cells))
    console.print(table)


@profiles.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, key for key as in the file.")
def show_profile(name: str, as_json: bool) -> None:
    """Show the profile NAME, or the one in a .toml file."""
    profile = load_profile(name)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(profile), indent=2))
        return
    for key, value in _facts(profile):
        click.echo(f"{key:<14}  {value}")
    click.echo(f"{'file':<14}  {profile_paths().get(name, Path(name)).resolve()}")


@profiles.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def check_profiles(ctx: click.Context, files: tuple[Path, ...]) -> None:
    """Check profile FILES: one line for everything that is wrong."""
    wrong = False
    for path in files:
        found = profile_problems(path)
        for problem in found:
            click.echo(str(problem), err=True)
        if not found:
            click.echo(f"{path}: right")
        wrong = wrong or bool(found)
    ctx.exit(2 if wrong else 0)


def _summary(profile: DeviceProfile, path: Path) -> dict[str, Any]:
    hardware = profile.hardware
    return {
        "name": profile.name,
        "title": profile.title,
        "arch": hardware.arch,
        "soc": hardware.soc,
        "cores": hardware.cores,
        "ram_bytes": hardware.ram_bytes,
        "runtimes": {name: list(support.providers) for name, support in profile.runtimes.items()},
        "native": list(profile.numeric.native),
        "power_sensors": list(profile.power.sensors),
        "path": str(path.resolve()),
    }


def _facts(profile: DeviceProfile) -> list[tuple[str, str]]:
    hardware, int8 = profile.hardware, profile.numeric.int8
    facts = [
        ("name", profile.name),
        ("device", profile.title),
        ("processor", f"{hardware.soc}, {hardware.arch}"),
    ]
    for cluster in hardware.clusters:
        clock = f" at {cluster.max_mhz} MHz" if cluster.max_mhz else ""
        use = "" if cluster.performance else ", not used by benchmarks"
        facts.append(("cores", f"{cluster.count} x {cluster.core}{clock}{use}"))
    if not hardware.clusters:
        facts.append(("cores", "differ from machine to machine"))
    facts += [
        (
            "RAM",
            "differs from machine to machine" if hardware.ram_bytes is None else _gib(hardware.ram_bytes),
        ),
        ("CPU features", ", ".join(hardware.features) or "none required"),
    ]
    for name, support in profile.runtimes.items():
        facts.append((name, " > ".join(support.providers) + (f". {support.notes}" if support.notes else "")))
    channel = "per channel" if int8.per_channel else "per tensor"
    seven = ", weights in 7 bits" if int8.reduce_range else ""
    limit = hardware.thermal.throttle_celsius
    return [
        *facts,
        ("native", ", ".join(profile.numeric.native)),
        ("int8", f"{int8.activation} activations, {int8.weight} weights, {channel}{seven}"),
        ("power", "; ".join(filter(None, (", ".join(profile.power.sensors), profile.power.reason)))),
        ("slows down", "not known" if limit is None else f"from {limit:g} \N{DEGREE SIGN}C"),
        *(("source", source) for source in profile.sources),
    ]


def _gib(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / 2**30:g} GiB"
