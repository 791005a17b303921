"""``edgewright tune``: find the setting to ship on a device."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgewright.errors import ConfigError

from .options import (
    conditions_options,
    farm_option,
    fresh_option,
    memory_bytes,
    memory_option,
    option_name,
    signer_of,
    store_option,
    wait_option,
)
from .quantities import parse_drop, parse_duration

if TYPE_CHECKING:
    from edgewright.tune.bounds import Bounds
    from edgewright.tune.question import Question
    from edgewright.tune.study import Means

_OBJECTIVES = ("latency", "energy", "size", "memory")
_POSITIVE = click.FloatRange(min=0, min_open=True)


def study_options(function: Any) -> Any:
    """What ``tune`` and ``transfer`` have in common: how it is measured, and where it goes."""
    for option in (
        click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write it as a page."),
        click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write it as JSON."),
        click.option(
            "-o",
            "--output",
            "folder",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder for recipe.toml and run.toml of the chosen setting, study.html and study.json.",
        ),
        conditions_options,
        wait_option,
        memory_option,
        click.option(
            "--cache",
            type=click.Path(file_okay=False, path_type=Path),
            help="Cache folder [EDGEWRIGHT_CACHE, ~/.cache].",
        ),
        farm_option,
        store_option,
    ):
        function = option(function)
    return function


@click.command()
@click.argument("workload", metavar="FILE.py:FACTORY", required=False)
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="A device of the farm file, or local; several share the builds.  [default: local]",
)
@click.option("--objective", type=click.Choice(_OBJECTIVES), default="latency", show_default=True)
@click.option("--max-latency-ms", type=_POSITIVE, help="Median latency may be at most this.")
@click.option("--max-energy-mj", type=_POSITIVE, help="Gross energy of an inference may be at most this.")
@click.option("--max-size-mb", type=_POSITIVE, help="The stored file may be at most this.")
@click.option("--max-memory-mb", type=_POSITIVE, help="Peak memory of the process may be at most this.")
@click.option(
    "--max-accuracy-drop",
    "max_drop",
    metavar="1%",
    help="How much of the quality may be lost.  [default: one hundredth]",
)
@click.option("--never-slower", is_flag=True, help="Refuse what is slower than the uncompressed model.")
@click.option(
    "--trials", type=click.IntRange(1, 10_000), help="Settings to try on each device.  [default: 40]"
)
@click.option("--time-budget", metavar="2h", help="Begin no more settings after this time.")
@click.option(
    "--space",
    "space_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What to search, as TOML; what it leaves out is chosen for device and workload.",
)
@click.option("--preset", default="rapid", show_default=True, help="Effort of a measurement on the way.")
@click.option("--final-preset", default="publish", show_default=True, help="Effort of the finalists' one.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--resume", metavar="STUDY", help="Go on with a study, or print one that is finished.")
@fresh_option
@study_options
def tune(
    workload: str | None,
    devices: tuple[str, ...],
    space_file: Path | None,
    resume: str | None,
    fresh: bool,
    trials: int | None,
    html_file: Path | None,
    json_file: Path | None,
    folder: Path | None,
    **options: Any,
) -> int:
    """Find the setting to ship: what to compress how much, and how to run it, measured on the device.

    Settings are built here and measured there until the trials are used up; the best are measured again in
    turn. The same command goes on with a study that was cut short.
    """
    from dataclasses import replace

    from edgewright.store import Store
    from edgewright.tune.question import TRIALS
    from edgewright.tune.study import begin, question_of

    from .study import Outputs, finish, progress

    outputs = Outputs(html_file, json_file, folder)
    outputs.check()
    if (workload is None) == (resume is None):
        raise click.UsageError("give FILE.py:FACTORY, or --resume STUDY")
    with Store.open(options["store"]) as store, progress() as shown:
        means = means_of(store, shown, options)
        if resume is not None:
            study_id, question = question_of(store, resume)
            question = replace(question, trials=trials or question.trials)
            is_resumed = True
        else:
            assert workload is not None
            question = _question(workload, devices or ("local",), space_file, trials or TRIALS, options)
            study_id, is_resumed = begin(question, means, fresh=fresh)
        if is_resumed and resume is None:
            shown.say(f"going on with study {study_id}, which was cut short (--fresh begins a new one)")
        return finish(study_id, question, means, outputs, is_resumed=is_resumed)


def means_of(store: Any, shown: Any, options: dict[str, Any]) -> Means:
    """What a study is done with, from the options of :func:`study_options`."""
    from edgewright.cache import default_cache
    from edgewright.farm.conditions import conditions_from
    from edgewright.farm.effort import load_effort
    from edgewright.farm.inventory import load_inventory
    from edgewright.farm.job import Settings
    from edgewright.tune.study import Means

    inventory = load_inventory(options["farm"])
    governor, power_mode, cool_to = (options[name] for name in ("set_governor", "power_mode", "cool_to"))
    settings = Settings(
        load_effort("rapid"),
        wait_s=60 * options["wait_min"],
        memory_bytes=memory_bytes(options["memory_limit"]),
        conditions=conditions_from(governor, power_mode, cool_to, option_name),
        signer=signer_of(inventory),
    )
    cache = options["cache"] or default_cache()
    return Means(store, inventory, cache, settings, shown, shown.say, shown.building)


def _question(
    workload: str, devices: tuple[str, ...], space_file: Path | None, trials: int, options: dict[str, Any]
) -> Question:
    from edgewright.farm.effort import load_effort
    from edgewright.tune.question import Question
    from edgewright.tune.space import SpaceFile, load_space
    from edgewright.workloads import WorkloadSource

    if len(set(devices)) != len(devices):
        raise ConfigError("--device names a device twice")
    budget = options["time_budget"]
    return Question(
        workload=str(WorkloadSource.parse(workload)),
        devices=devices,
        objective=options["objective"],
        bounds=_bounds(options),
        trials=trials,
        time_budget_s=parse_duration(budget, "--time-budget") if budget else None,
        preset=load_effort(options["preset"]).name,
        final_preset=load_effort(options["final_preset"]).name,
        space=load_space(space_file) if space_file else SpaceFile(),
        seed=options["seed"],
    )


def _bounds(options: dict[str, Any]) -> Bounds:
    from edgewright.tune.bounds import Bounds

    drop = options["max_drop"]
    for name in ("max_latency_ms", "max_energy_mj", "max_size_mb", "max_memory_mb"):
        if options[name] is not None and not math.isfinite(options[name]):
            raise click.BadParameter("not a number", param_hint=option_name(name))
    return Bounds(
        max_latency_ms=options["max_latency_ms"],
        max_energy_mj=options["max_energy_mj"],
        max_size_mb=options["max_size_mb"],
        max_memory_mb=options["max_memory_mb"],
        max_accuracy_drop=None if drop is None else parse_drop(drop, "--max-accuracy-drop"),
        never_slower=options["never_slower"],
    )
