"""``edgewright ab``: is B slower than A, the same, or faster?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import farm_option, parse_feeds, provider_options, signer_of, threshold_option
from .quantities import parse_duration, parse_share

if TYPE_CHECKING:
    from edgewright.farm.ab import Contest, Trial
    from edgewright.farm.job import Bench
    from edgewright.farm.profile_ops import Model
    from edgewright.models import Feeds
    from edgewright.report.ab import AbDocument

_MODEL = "{0}.onnx|{0}.tflite|FILE.py:FACTORY"


@click.command()
@click.argument("a", metavar=_MODEL.format("A"))
@click.argument("b", metavar=_MODEL.format("B"))
@click.option(
    "--device", default="local", show_default=True, help="A device of the farm file, or this machine."
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads; otherwise the device's performance cores."
)
@threshold_option
@click.option(
    "--budget", default="60s", show_default=True, metavar="60s|2m", help="How long to measure at most."
)
@click.option("--recipe-a", help="Compression recipe when A is FILE.py:FACTORY.  [default: fp32]")
@click.option("--recipe-b", help="Compression recipe when B is FILE.py:FACTORY.  [default: fp32]")
@click.option("--runtime", help="onnxruntime, ai-edge-litert or tflite-runtime; otherwise the file's own.")
@provider_options
@click.option("--shape", "shapes", multiple=True, metavar="NAME:1x3x224x224", help="Size of a dynamic input.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE|NAME=FILE.npy", help="What to feed an input."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all of it as JSON.")
@farm_option
def ab(
    a: str,
    b: str,
    device: str,
    threads: int | None,
    threshold: str,
    budget: str,
    recipe_a: str | None,
    recipe_b: str | None,
    runtime: str | None,
    required: tuple[str, ...],
    preferred: tuple[str, ...],
    shapes: tuple[str, ...],
    inputs: tuple[str, ...],
    json_file: Path | None,
    farm: Path | None,
) -> int:
    """Measure two models by turns until it is known whether B is slower than A.

    Ends with 0 when B is the same or faster, 1 when it is slower, 4 when that cannot be told within the
    budget or one of them could not be measured.
    """
    from edgewright.errors import EdgewrightError
    from edgewright.farm.ab import Contest, run_contest
    from edgewright.farm.effort import load_effort
    from edgewright.farm.inventory import load_inventory
    from edgewright.farm.job import Settings
    from edgewright.farm.providers import Asked
    from edgewright.farm.session import open_bench

    from .answers import CANNOT_TELL, SLOWER, answer_code, write_json
    from .launch import Output

    share, seconds = parse_share(threshold, "--threshold"), parse_duration(budget, "--budget")
    Output(None, {"json": json_file} if json_file else {}).check()
    inventory = load_inventory(farm)
    target = inventory.get(device)
    feeds = parse_feeds(shapes, inputs)
    models = [_model(text, recipe, runtime, feeds) for text, recipe in ((a, recipe_a), (b, recipe_b))]
    settings = Settings(
        load_effort("rapid"),
        threads or 0,
        evaluate_on_device=False,
        asked=Asked.parse(required, preferred, models[0].runtime),
        signer=signer_of(inventory),
    )
    contest = Contest(models[0], models[1], share, seconds)
    try:
        bench = open_bench(target)
        with bench.device:
            document = _document(contest, bench, run_contest(contest, bench, settings, _say))
    except EdgewrightError as error:
        if error.exit_code != SLOWER:
            raise
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        return CANNOT_TELL
    if json_file:
        write_json(document, json_file)
    _print(document)
    if json_file:
        click.echo(f"comparison: {json_file}")
    return answer_code([document.verdict])


def _model(text: str, recipe: str | None, runtime: str | None, feeds: Feeds) -> Model:
    from edgewright.cache import default_cache
    from edgewright.errors import ConfigError
    from edgewright.farm.execute import check_runtime
    from edgewright.farm.profile_ops import Model
    from edgewright.farm.subject import BareSubject, open_subject
    from edgewright.recipe import load_recipe

    from .progress import waiting

    subject = open_subject(text, default_cache(), feeds)
    chosen = check_runtime(runtime or subject.default_runtime)
    if not isinstance(subject, BareSubject):
        return Model(text, subject, load_recipe(recipe or "fp32"), chosen)
    if recipe is not None:
        raise ConfigError(
            f"{text}: a recipe is for FILE.py:FACTORY", mend="a model file is measured as it is"
        )
    with waiting(f"running {text} once on this host"):
        subject.check(chosen)
    return Model(text, subject, None, chosen)


def _document(contest: Contest, bench: Bench, trial: Trial) -> AbDocument:
    from edgewright.report.ab import Contender, Measured, Terms, ab_document

    sides = [
        Contender(model.label, model.recipe.name if model.recipe else None, model.runtime, artifact)
        for model, artifact in zip((contest.a, contest.b), trial.artifacts, strict=True)
    ]
    seen = Measured(
        trial.launches, trial.ratios, trial.finding, trial.environment, trial.elapsed_s, trial.error
    )
    terms = Terms(contest.threshold, contest.budget_s, bench.device.target.name, bench.facts)
    return ab_document(sides[0], sides[1], seen, terms)


def _say(trial: Trial) -> None:
    """One line a look, on standard error."""
    if not trial.finding:
        return
    bounds = trial.finding.bounds
    where = f", within {bounds.low:.3f} to {bounds.high:.3f}" if bounds else ""
    count, elapsed_s = len(trial.ratios), trial.elapsed_s
    click.echo(
        f"{count} launches in {elapsed_s:.0f} s: B takes {trial.finding.ratio:.3f} of A{where}", err=True
    )


def _print(document: AbDocument) -> None:
    from edgewright.report.units import milliseconds

    words = {"same": "the same as", "slower": "slower than", "faster": "faster than"}
    if document.verdict == "cannot tell":
        click.echo(f"Cannot tell: {document.reason}")
    else:
        click.echo(f"B is {words[document.verdict]} A, at a threshold of {document.threshold:.3g}")
    for name, side in (("A", document.a), ("B", document.b)):
        recipe = f" {side.recipe}" if side.recipe else ""
        where = f"{name}  {side.model}{recipe} in {side.runtime}"
        if side.median_ms is None:
            click.echo(f"{where}: not measured")
        else:
            took = milliseconds(side.median_ms)
            click.echo(f"{where} {side.runtime_version}, {side.threads} threads: median {took}")
    for sentence in document.evidence:
        click.echo(f"- {sentence}")
