"""``edgewright prune``: prune a workload down to a latency that is measured on a device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import farm_option, provider_options, signer_of
from .quantities import parse_latency, parse_share
from .stages import steps

if TYPE_CHECKING:
    from edgewright.farm.pruned import Found
    from edgewright.latency.target import Target
    from edgewright.latency.ways import Way

_MEASURES = ("l1", "l2", "bn-scale", "taylor", "hessian", "random")
_WAYS = ("importance", "tempered", "even")


@click.command()
@click.argument("workload", metavar="FILE.py:FACTORY")
@click.option(
    "--to-latency",
    "to_latency",
    required=True,
    metavar="4ms|60%",
    help="The latency to reach on the device, or the share of the unpruned model's.",
)
@click.option(
    "--device", default="local", show_default=True, help="A device of the farm file, or this machine."
)
@click.option(
    "--runtime",
    default="onnxruntime",
    show_default=True,
    help="onnxruntime, ai-edge-litert, tflite-runtime, or tflite for the device's first.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads; otherwise the device's performance cores."
)
@provider_options
@click.option(
    "--importance",
    type=click.Choice(_MEASURES),
    help="What channels are worth.  [default: taylor where the workload can train, else l2]",
)
@click.option(
    "--round-to",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Channels are kept to multiples of this.",
)
@click.option(
    "--way",
    "ways",
    type=click.Choice(_WAYS),
    multiple=True,
    help="How the time is shared out among layers; of several the network that recovers best is taken."
    "  [default: all]",
)
@click.option("--no-fine-tune", is_flag=True, help="Leave the pruned model untrained.")
@click.option(
    "--launches",
    type=click.IntRange(2, 40),
    default=6,
    show_default=True,
    help="Fresh processes in which each pruned model is measured beside the unpruned one.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the recipe to FILE.toml."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all of it as JSON.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Cache folder [EDGEWRIGHT_CACHE, ~/.cache].",
)
@farm_option
def prune(
    workload: str,
    to_latency: str,
    device: str,
    runtime: str,
    threads: int | None,
    required: tuple[str, ...],
    preferred: tuple[str, ...],
    importance: str | None,
    round_to: int,
    ways: tuple[Way, ...],
    no_fine_tune: bool,
    launches: int,
    output: Path | None,
    json_file: Path | None,
    cache: Path | None,
    farm: Path | None,
) -> int:
    """Prune a workload's channels until the model takes as long on a device as it may.

    The device times layers alone and whole models by turns with the unpruned one; nothing is estimated from
    multiplications. What is left is trained, measured again, and written as a recipe for build, bench and
    run.
    """
    from edgewright.cache import default_cache
    from edgewright.farm.effort import load_effort
    from edgewright.farm.execute import check_runtime
    from edgewright.farm.inventory import load_inventory
    from edgewright.farm.job import Settings
    from edgewright.farm.providers import Asked
    from edgewright.farm.pruned import Request
    from edgewright.farm.session import open_bench
    from edgewright.farm.to_latency import TOLERANCE, prune_to_latency
    from edgewright.files import write_atomic
    from edgewright.latency.ways import WAYS
    from edgewright.workloads import WorkloadSource

    from .launch import Output

    target = _target(to_latency)
    if output is not None and output.suffix != ".toml":
        raise click.BadParameter(f"{output}: a recipe is a .toml file", param_hint="-o")
    written = {name: path for name, path in (("json", json_file), ("recipe", output)) if path}
    Output(None, written).check()
    request = Request(
        source=WorkloadSource.parse(workload),
        target=target,
        runtime=check_runtime(runtime),
        cache=cache or default_cache(),
        importance=importance,  # type: ignore[arg-type]
        round_to=round_to,
        fine_tune=not no_fine_tune,
        launches=launches,
        ways=tuple(dict.fromkeys(ways)) or tuple(WAYS),
        name=output.stem if output else "to-latency",
    )
    inventory = load_inventory(farm)
    settings = Settings(
        load_effort("rapid"),
        threads or 0,
        evaluate_on_device=False,
        asked=Asked.parse(required, preferred, runtime),
        signer=signer_of(inventory),
    )
    bench = open_bench(inventory.get(device))
    with bench.device, steps() as show:
        found = prune_to_latency(request, bench, settings, show)
    _print(found, device)
    if output is not None:
        write_atomic(output, found.recipe.to_toml().encode())
        click.echo(f"recipe: {output}")
    if json_file is not None:
        write_atomic(json_file, json.dumps(_document(found, device), indent=2).encode())
        click.echo(f"json: {json_file}")
    if abs(found.error) > TOLERANCE:
        click.echo(f"error: the latency is {found.error:+.1%} from the target after training", err=True)
        return 1
    return 0


def _target(text: str) -> Target:
    from edgewright.latency.target import Target

    if text.strip().endswith("%"):
        return Target(share=parse_share(text, "--to-latency"))
    return Target(latency_ns=parse_latency(text, "--to-latency"))


def _print(found: Found, device: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from edgewright.report.units import milliseconds

    def shown(latency_ns: float | None) -> str:
        return "" if latency_ns is None else milliseconds(latency_ns / 1e6)

    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("layer", overflow="fold")
    for name in ("channels", "left", "predicted", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in found.layers:
        before, after = ("x".join(map(str, sizes)) for sizes in (layer.before, layer.after))
        table.add_row(*map(Text, (layer.name, before, after, shown(layer.before_ns), shown(layer.after_ns))))
    if found.rest_ns is not None:
        rest = "everything else" if found.rest_ns >= 0 else "less, for fused layers"
        table.add_row(*map(Text, (rest, "", "", shown(found.rest_ns), shown(found.rest_ns))))
    console.print(table)
    for name, reason in (*found.network.kept, *found.network.untimed):
        console.print(Text(f"- {name}: {reason}"))
    for line in _lines(found, device):
        console.print(Text(line), soft_wrap=True)


def _lines(found: Found, device: str) -> list[str]:
    from edgewright.farm.race import CONFIDENCE
    from edgewright.report.units import milliseconds

    race = found.race

    def measured(name: str) -> str:
        side = getattr(race, name)
        low, high = (milliseconds(value / 1e6) for value in (side.interval.low_ns, side.interval.high_ns))
        return f"{milliseconds(side.median_ns / 1e6)} ({low} to {high})"

    ratio = f"{race.ratio:.3f}"
    if race.bounds:
        ratio += f" ({race.bounds[0]:.3f} to {race.bounds[1]:.3f}, {CONFIDENCE:.0%})"
    taken, known = found.timed
    lines = [
        f"before   {measured('full')} on {device} in {found.runtime}",
        f"after    {measured('pruned')}, {ratio} of it, {race.launches} launches by turns",
        f"target   {milliseconds(found.target_ns / 1e6)}: {found.error:+.1%}",
        f"layers   {taken} timed now, {known} known; {len(found.rounds)} models measured on the way;"
        f" importance {found.importance}",
    ]
    if len(found.candidates) > 1:
        told = (f"{one.way} {one.held_back_loss:.4g}" for one in found.candidates)
        lines.append(f"way      {', '.join(told)}: losses on samples held back, after a short training")
    made, quality = found.artifact.provenance, found.artifact.quality
    if quality is not None:
        judged = f"{quality.metric} {quality.value:.4f} on this host"
        lines.append(f"quality  {judged}, {quality.baseline:.4f} before ({quality.samples} samples)")
    lines += [f"note     {note}" for note in (made.notes if made else ())]
    return lines


def _document(found: Found, device: str) -> dict[str, Any]:
    """Described in ``docs/prune-to-latency.md``."""
    race, quality = found.race, found.artifact.quality

    def side(name: str) -> dict[str, Any]:
        one = getattr(race, name)
        interval = [one.interval.low_ns / 1e6, one.interval.high_ns / 1e6]
        return {"median_ms": one.median_ns / 1e6, "interval_ms": interval}

    def ms(latency_ns: float | None) -> float | None:
        return None if latency_ns is None else latency_ns / 1e6

    sizes = {group.name: group.size for group in found.network.groups}
    return {
        "schema": "edgewright.prune-to-latency/1",
        "device": device,
        "runtime": found.runtime,
        "importance": found.importance,
        "target_ms": found.target_ns / 1e6,
        "error": found.error,
        "before": side("full"),
        "after": side("pruned"),
        "ratio": race.ratio,
        "ratio_interval": list(race.bounds) if race.bounds else None,
        "launches": race.launches,
        "groups": [{"layer": n, "channels": size, "left": found.counts[n]} for n, size in sizes.items()],
        "layers": [
            {
                "layer": layer.name,
                "channels": list(layer.before),
                "left": list(layer.after),
                "predicted_ms": ms(layer.before_ns),
                "predicted_left_ms": ms(layer.after_ns),
            }
            for layer in found.layers
        ],
        "rest_ms": ms(found.rest_ns),
        "kept": [{"layer": name, "reason": reason} for name, reason in found.network.kept],
        "untimed": [{"layer": name, "reason": reason} for name, reason in found.network.untimed],
        "rounds": [
            {
                "channels": dict(one.counts),
                "predicted_ms": ms(one.predicted_ns),
                "measured_ms": one.measured_ns / 1e6,
                "error": one.error,
            }
            for one in found.rounds
        ],
        "candidates": [
            {
                "way": one.way,
                "channels": dict(one.counts),
                "error": one.error,
                "held_back_loss": one.held_back_loss,
            }
            for one in found.candidates
        ],
        "layers_timed": found.timed[0],
        "layers_known": found.timed[1],
        "quality": None
        if quality is None
        else {"metric": quality.metric, "value": quality.value, "baseline": quality.baseline},
        "notes": list(found.artifact.provenance.notes) if found.artifact.provenance else [],
    }
