"""``edgewright build``: one workload, compressed one way, for one kind of device."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from edgewright.artifact import Artifact
from edgewright.build import build as build_artifact
from edgewright.cache import default_cache
from edgewright.export import formats
from edgewright.files import replacing, write_atomic
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.workloads import WorkloadSource


@click.command()
@click.argument("workload", metavar="FILE.py:FACTORY")
@click.option("--recipe", required=True, help="A preset's name, or a recipe's TOML file.")
@click.option("--profile", required=True, help="A device profile's name, or its TOML file.")
@click.option(
    "--format", "format_name", required=True, type=click.Choice(formats()), help="What to export to."
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the file.",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the manifest to FILE.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Cache folder [EDGEWRIGHT_CACHE, ~/.cache].",
)
def build(
    workload: str,
    recipe: str,
    profile: str,
    format_name: str,
    output: Path,
    json_path: Path | None,
    cache: Path | None,
) -> None:
    """Compress and export a model for a device profile.

    Writes the model and a manifest of the same name ending in .json into the output folder.
    """
    source, chosen, device = WorkloadSource.parse(workload), load_recipe(recipe), load_profile(profile)
    with _progress() as show:
        artifact = build_artifact(
            source, chosen, device.name, device, format_name, cache=cache or default_cache(), progress=show
        )
    path = _publish(artifact, output)
    manifest = json.dumps(manifest_of(artifact, path.name), indent=2) + "\n"
    write_atomic(path.with_suffix(".json"), manifest.encode())
    if json_path is not None:
        write_atomic(json_path, manifest.encode())
    for line in _lines(artifact, path):
        click.echo(line)


def manifest_of(artifact: Artifact, file: str) -> dict[str, Any]:
    """What is known of the artifact, JSON-able; ``file`` is its name beside the manifest."""
    made, parity, quality = artifact.provenance, artifact.parity, artifact.quality
    assert made is not None and parity is not None and artifact.tolerance is not None
    return {
        "schema": 1,
        "file": file,
        "format": artifact.format,
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
        "workload": made.workload,
        "recipe": {"name": made.recipe, "hash": made.recipe_hash},
        "profile": made.profile,
        "parity": {"cosine": parity.cosine, "max_abs": parity.max_abs},
        "tolerance": {"cosine": artifact.tolerance.cosine, "max_abs": artifact.tolerance.max_abs},
        "quality": None
        if quality is None
        else {
            "metric": quality.metric,
            "value": quality.value,
            "baseline": quality.baseline,
            "samples": quality.samples,
            "higher_is_better": quality.higher_is_better,
        },
        "notes": list(made.notes),
        "versions": dict(made.versions),
    }


def _publish(artifact: Artifact, output: Path) -> Path:
    made = artifact.provenance
    assert made is not None
    name = re.sub(r"[^\w.+-]", "-", f"{made.workload}-{made.recipe}-{made.profile}")
    path = output / f"{name}.{artifact.format}"
    with replacing(path) as temporary:
        shutil.copyfile(artifact.path, temporary)
    return path


def _lines(artifact: Artifact, path: Path) -> Iterator[str]:
    made, parity, quality = artifact.provenance, artifact.parity, artifact.quality
    assert made is not None and parity is not None
    yield f"file     {path}"
    yield f"sha256   {artifact.sha256}"
    yield f"size     {artifact.size_bytes / 1e6:.3f} MB ({artifact.size_bytes} bytes)"
    yield f"parity   cosine {parity.cosine:.6f}, largest difference {parity.max_abs:.4g} from torch"
    if quality is None:
        yield "quality  not judged: the workload has no evaluate"
    else:
        judged = f"{quality.metric} {quality.value:.4f} on this host"
        yield f"quality  {judged}, {quality.baseline:.4f} in torch ({quality.samples} samples)"
    for note in made.notes:
        yield f"note     {note}"


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A spinner on standard error that names the stage; a cached build has none and shows none."""
    with contextlib.ExitStack() as stack:
        status: list[Any] = []

        def show(stage: str) -> None:
            if not status:
                from rich.console import Console

                from edgewright.boundary import progress_stream

                stream = stack.enter_context(progress_stream())
                status.append(stack.enter_context(Console(file=stream).status(stage)))
            status[0].update(stage)

        yield show
