"""``edgewright run``: a whole plan."""

from __future__ import annotations

from pathlib import Path

import click

from .options import (
    conditions_options,
    drop_option,
    farm_option,
    fresh_option,
    memory_bytes,
    memory_option,
    option_name,
    preset_option,
    signer_of,
    store_option,
    wait_option,
    within,
)


@click.command()
@click.argument("plan_file", metavar="PLAN.toml", type=click.Path(path_type=Path))
@preset_option
@conditions_options
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the report as a page.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write the report as CSV.")
@click.option(
    "--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write the report as Markdown."
)
@drop_option
@fresh_option
@wait_option
@memory_option
@farm_option
@store_option
def run(
    plan_file: Path,
    preset: str | None,
    set_governor: str | None,
    power_mode: str | None,
    cool_to: str | None,
    html_file: Path | None,
    json_file: Path | None,
    csv_file: Path | None,
    markdown_file: Path | None,
    max_drop: str | None,
    fresh: bool,
    wait_min: float,
    memory_limit: str | None,
    farm: Path | None,
    store: str | None,
) -> int:
    """Measure a plan: workloads x recipes x runtimes x devices."""
    from edgewright.cache import default_cache
    from edgewright.farm.conditions import conditions_from, either
    from edgewright.farm.effort import load_effort
    from edgewright.farm.execute import check_runtime
    from edgewright.farm.inventory import load_inventory
    from edgewright.farm.job import Settings
    from edgewright.farm.plan import conditions_of, driving_of, load_plan
    from edgewright.farm.session import Work
    from edgewright.farm.subject import open_subject
    from edgewright.recipe import load_recipe

    from .launch import Output, launch

    chosen = {"html": html_file, "json": json_file, "csv": csv_file, "markdown": markdown_file}
    limit_bytes = memory_bytes(memory_limit)
    output = Output(store, {name: path for name, path in chosen.items() if path})
    output.check()
    plan = load_plan(plan_file)
    wanted = conditions_from(set_governor, power_mode, cool_to, option_name)
    inventory = load_inventory(farm)
    work = Work(
        subjects=[open_subject(text, default_cache()) for text in plan.workloads],
        recipes=[within(load_recipe(name), max_drop) for name in plan.recipes],
        runtimes=[check_runtime(name) for name in plan.runtimes],
        targets=[inventory.get(name) for name in plan.devices],
    )
    effort, driving = load_effort(preset or plan.preset), driving_of(plan, default_cache())
    settings = Settings(
        driving.effort(effort),
        plan.threads,
        evaluate_on_device=plan.evaluate == "device",
        wait_s=60 * wait_min,
        memory_bytes=limit_bytes,
        driving=driving,
        conditions=either(wanted, conditions_of(plan)),
        signer=signer_of(inventory),
    )
    text = plan_file.read_text(encoding="utf-8")
    return launch(work, settings, output, name=plan.name, plan_text=text, fresh=fresh)
