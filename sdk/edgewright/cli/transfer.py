"""``edgewright transfer``: how one device's best settings do on another, and a study for that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .tune import means_of, study_options


@click.command()
@click.argument("study", metavar="STUDY")
@click.option("--device", required=True, help="The device to try them on.")
@click.option(
    "--trials",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="Settings to try there beyond those of the study.",
)
@study_options
def transfer(
    study: str,
    device: str,
    trials: int,
    html_file: Path | None,
    json_file: Path | None,
    folder: Path | None,
    **options: Any,
) -> int:
    """Measure what nothing beat in STUDY on another device, and tell what it costs to ship it there.

    The files are the very same where both devices have one profile; else they are built for the other. With
    --trials the search goes on from there, as a study of its own that tune --resume takes up.
    """
    from edgewright.store import Store
    from edgewright.tune.study import begin, carried_over

    from .study import Outputs, finish, progress

    outputs = Outputs(html_file, json_file, folder)
    outputs.check()
    with Store.open(options["store"]) as store, progress() as shown:
        means = means_of(store, shown, options)
        parent, question = carried_over(store, study, device, trials)
        study_id, is_resumed = begin(question, means)
        return finish(study_id, question, means, outputs, is_resumed=is_resumed, beside=parent)
