"""``edgewright device attach``: jobs that a device runs, or keeps the results of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgewright.untrusted import one_line

from .options import farm_option
from .phases import notice, phase_text

if TYPE_CHECKING:
    from edgewright_agent.protocol_spool import JobInfo


@click.command("attach")
@click.argument("name")
@click.option("--forget", is_flag=True, help="Let the device forget the jobs once their results are shown.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the raw results to a file.")
@farm_option
def attach(name: str, forget: bool, json_file: Path | None, farm: Path | None) -> int:
    """Take up the jobs of the device NAME that were left to themselves, and follow the one that runs.

    The command that submitted them takes them up by itself when it is given again; this is for when it will
    not be. With --forget the device lets go of them, after the file of --json is written.
    """
    from edgewright.device import Device
    from edgewright.errors import DeviceError
    from edgewright.farm.inventory import load_inventory
    from edgewright.files import write_atomic
    from edgewright_agent.protocol import encode

    results: list[dict[str, Any]] = []
    with Device.open(load_inventory(farm).get(name)) as device:
        jobs = device.jobs()
        if not jobs:
            click.echo(f"{name}: no job runs, and no result waits")
        for job in jobs:
            click.echo(f"{job.job_id[:12]}  {one_line(job.label)}, for {one_line(job.owner)}: {job.state}")
            told = {"job_id": job.job_id, "label": job.label, "owner": job.owner}
            try:
                found = device.follow(job.job_id, _Phases(job))
            except DeviceError as error:
                click.echo(f"  {error}")
                results.append({**told, "error": str(error)})
            else:
                click.echo("  finished, its result is here")
                results.append({**told, "result": encode(found)})
        if json_file:
            write_atomic(json_file, json.dumps(results, indent=2).encode())
        if forget:
            device.acknowledge(*(job.job_id for job in jobs))
    return 1 if any("error" in result for result in results) else 0


class _Phases:
    """Says each phase of a job as it begins."""

    def __init__(self, job: JobInfo) -> None:
        self._has_ended = job.state in ("finished", "failed", "lost")
        self._last = ""

    def __call__(self, event: Mapping[str, Any]) -> None:
        said = notice(event) or phase_text(event)
        if said and said != self._last and not self._has_ended:
            click.echo(f"  {said}", err=True)
            self._last = said
