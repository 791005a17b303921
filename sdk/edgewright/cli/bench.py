"""``edgewright bench``: one model, one device, one row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .options import (
    conditions_options,
    measuring_options,
    memory_bytes,
    meter_option,
    metered,
    option_name,
    parse_feeds,
    preset_option,
    provider_options,
    signer_of,
    within,
)
from .scenario import driving_from, scenario_options


@click.command()
@click.argument("model", metavar="MODEL.onnx|MODEL.tflite|FILE.py:FACTORY")
@click.option(
    "--device", default="local", show_default=True, help="A device of the farm file, or this machine."
)
@click.option(
    "--recipe", help="Compression recipe for FILE.py:FACTORY: a preset or a .toml file.  [default: fp32]"
)
@click.option(
    "--runtime", help="onnxruntime, ai-edge-litert, tflite-runtime, or tflite for the device's first."
)
@preset_option
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads; otherwise the device's performance cores."
)
@provider_options
@meter_option
@click.option("--shape", "shapes", multiple=True, metavar="NAME:1x3x224x224", help="Size of a dynamic input.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE|NAME=FILE.npy", help="What to feed an input."
)
@click.option(
    "--evaluate", type=click.Choice(["device", "host"]), default="device", help="Where quality is judged."
)
@scenario_options
@conditions_options
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the report as a page.")
@measuring_options
def bench(
    model: str,
    device: str,
    recipe: str | None,
    runtime: str | None,
    preset: str | None,
    threads: int | None,
    required: tuple[str, ...],
    preferred: tuple[str, ...],
    meter: str | None,
    shapes: tuple[str, ...],
    inputs: tuple[str, ...],
    evaluate: str,
    driving: Mapping[str, Any],
    set_governor: str | None,
    power_mode: str | None,
    cool_to: str | None,
    json_file: Path | None,
    html_file: Path | None,
    max_drop: str | None,
    fresh: bool,
    wait_min: float,
    memory_limit: str | None,
    farm: Path | None,
    store: str | None,
) -> int:
    """Measure one model on one device.

    A model file is measured as it is; FILE.py:FACTORY is compressed by the recipe first.
    """
    from edgewright.cache import default_cache
    from edgewright.errors import ConfigError
    from edgewright.farm.conditions import conditions_from
    from edgewright.farm.effort import load_effort
    from edgewright.farm.execute import check_runtime
    from edgewright.farm.inventory import load_inventory
    from edgewright.farm.job import Settings
    from edgewright.farm.providers import Asked
    from edgewright.farm.session import Work
    from edgewright.farm.subject import BareSubject, open_subject
    from edgewright.recipe import load_recipe

    from .launch import Output, launch
    from .progress import waiting

    files = {name: path for name, path in (("json", json_file), ("html", html_file)) if path}
    output = Output(store, files)
    output.check()
    subject = open_subject(model, default_cache(), parse_feeds(shapes, inputs))
    if isinstance(subject, BareSubject) and recipe is not None:
        raise ConfigError("--recipe is for FILE.py:FACTORY", mend="a model file is measured as it is")
    chosen = check_runtime(runtime or subject.default_runtime)
    limit_bytes = memory_bytes(memory_limit)
    inventory = load_inventory(farm)
    target = metered(inventory.get(device), meter)
    conditions = conditions_from(set_governor, power_mode, cool_to, option_name)
    signer = signer_of(inventory)
    work = Work([subject], [within(load_recipe(recipe or "fp32"), max_drop)], [chosen], [target])
    effort = load_effort(preset or "quick")
    asked = Asked.parse(required, preferred, chosen)
    with waiting("looking at the models"):
        driven = driving_from(driving)
    settings = Settings(
        driven.effort(effort),
        threads or 0,
        evaluate_on_device=evaluate == "device",
        wait_s=60 * wait_min,
        memory_bytes=limit_bytes,
        asked=asked,
        driving=driven,
        conditions=conditions,
        signer=signer,
    )
    if isinstance(subject, BareSubject):
        with waiting("running the model once on this host"):
            subject.check(chosen)
    return launch(work, settings, output, name=subject.name, plan_text="", fresh=fresh)
