"""``edgewright profile-ops``: where the time of a model goes, and why another takes longer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import farm_option, parse_feeds, provider_options, signer_of

if TYPE_CHECKING:
    from edgewright.farm.profile_ops import Model
    from edgewright.models import Feeds

_MODEL = "MODEL.onnx|MODEL.tflite|FILE.py:FACTORY"


@click.command(name="profile-ops")
@click.argument("model", metavar=_MODEL)
@click.option(
    "--device", default="local", show_default=True, help="A device of the farm file, or this machine."
)
@click.option("--against", metavar=_MODEL, help="The model to compare with.")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    help="For FILE.py:FACTORY, any number of times; all are compared with the first.  [default: fp32]",
)
@click.option(
    "--runtime", help="onnxruntime, ai-edge-litert, tflite-runtime, or tflite for the device's first."
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads; otherwise the device's performance cores."
)
@provider_options
@click.option("--shape", "shapes", multiple=True, metavar="NAME:1x3x224x224", help="Size of a dynamic input.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE|NAME=FILE.npy", help="What to feed an input."
)
@click.option(
    "--runs", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Inferences to profile."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the profile as JSON.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the profile as a page.")
@farm_option
def profile_ops(
    model: str,
    device: str,
    against: str | None,
    recipes: tuple[str, ...],
    runtime: str | None,
    threads: int | None,
    required: tuple[str, ...],
    preferred: tuple[str, ...],
    shapes: tuple[str, ...],
    inputs: tuple[str, ...],
    runs: int,
    json_file: Path | None,
    html_file: Path | None,
    farm: Path | None,
) -> int:
    """Time every node of a model on a device.

    With --against or several recipes, the profiles stand side by side and the difference is explained:
    where the time goes, and what of it the processor decides.
    """
    import sys

    from edgewright.farm.effort import load_effort
    from edgewright.farm.inventory import load_inventory
    from edgewright.farm.job import Settings
    from edgewright.farm.profile_ops import profile_models
    from edgewright.farm.providers import Asked
    from edgewright.farm.session import open_bench
    from edgewright.report.ops.render import print_profile, write_html, write_json
    from edgewright_agent.protocol import OpsPlan

    from .launch import Output

    Output(None, {name: path for name, path in (("json", json_file), ("html", html_file)) if path}).check()
    models = _models(model, against, recipes, runtime, parse_feeds(shapes, inputs))
    inventory = load_inventory(farm)
    settings = Settings(
        load_effort("rapid"),
        threads or 0,
        evaluate_on_device=False,
        asked=Asked.parse(required, preferred, models[0].runtime),
        signer=signer_of(inventory),
    )
    bench = open_bench(inventory.get(device))
    with bench.device:
        document = profile_models(models, bench, settings, OpsPlan(runs=runs), _say)
    if json_file:
        write_json(document, json_file)
    if html_file:
        write_html(document, html_file)
    print_profile(document, sys.stdout)
    for path in filter(None, (json_file, html_file)):
        click.echo(f"profile: {path}")
    untimed = [side for side in document.sides if side.times_reason]
    for side in untimed:
        click.echo(f"error: {side.label}: {side.times_reason}", err=True)
    return 1 if untimed else 0


def _models(
    model: str, against: str | None, recipes: tuple[str, ...], runtime: str | None, feeds: Feeds
) -> list[Model]:
    """What to profile, the one to compare with first."""
    from edgewright.errors import ConfigError

    if against is None:
        return _of_one(model, recipes or ("fp32",), runtime, feeds)
    if len(recipes) > 1:
        raise ConfigError("--against compares two models", mend="give one --recipe at most, or no --against")
    first, second = (
        _of_one(against, ("fp32",), runtime, feeds)[0],
        _of_one(model, recipes or ("fp32",), runtime, feeds)[0],
    )
    if first.label != second.label:
        return [first, second]
    return [replace(first, label=against), replace(second, label=model)]


def _of_one(text: str, recipes: tuple[str, ...], runtime: str | None, feeds: Feeds) -> list[Model]:
    from edgewright.cache import default_cache
    from edgewright.errors import ConfigError
    from edgewright.farm.execute import check_runtime
    from edgewright.farm.profile_ops import Model
    from edgewright.farm.subject import BareSubject, open_subject
    from edgewright.recipe import load_recipe

    subject = open_subject(text, default_cache(), feeds)
    chosen = check_runtime(runtime or subject.default_runtime)
    if isinstance(subject, BareSubject):
        if recipes != ("fp32",):
            raise ConfigError("--recipe is for FILE.py:FACTORY", mend="a model file is profiled as it is")
        subject.check(chosen)
        return [Model(subject.name, subject, None, chosen)]
    loaded = [load_recipe(name) for name in recipes]
    return [Model(recipe.name, subject, recipe, chosen) for recipe in loaded]


def _say(what: str) -> None:
    from edgewright.report.text import clean

    click.echo(clean(what), err=True)
