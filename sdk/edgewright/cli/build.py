"""``edgewright build``: one workload, compressed one way, for one kind of device."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from edgewright.artifact import Artifact
from edgewright.build import build as build_artifact
from edgewright.cache import default_cache
from edgewright.export import formats
from edgewright.farm.inventory import load_inventory
from edgewright.files import replacing, write_atomic
from edgewright.manifest import manifest_of, write_beside
from edgewright.profiles import load_profile
from edgewright.recipe import load_recipe
from edgewright.signing import Signer
from edgewright.workloads import WorkloadSource
from edgewright_agent.protocol import FileRef

from .options import drop_option, farm_option, signer_of, within
from .stages import steps


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
@drop_option
@farm_option
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
    max_drop: str | None,
    farm: Path | None,
    cache: Path | None,
) -> None:
    """Compress and export a model for a device profile.

    Writes the model and a manifest of the same name ending in .manifest.json into the output folder, and the
    manifest's signature when a key is configured.
    """
    signer = signer_of(load_inventory(farm))
    source, device = WorkloadSource.parse(workload), load_profile(profile)
    chosen = within(load_recipe(recipe), max_drop)
    with steps() as show:
        artifact = build_artifact(
            source, chosen, device.name, device, format_name, cache=cache or default_cache(), progress=show
        )
    path = _publish(artifact, output)
    ref = FileRef(path.name, artifact.sha256, path.stat().st_size)
    text = write_beside(path, manifest_of(artifact, [ref]), signer)
    if json_path is not None:
        write_atomic(json_path, text.encode())
    for line in (*_lines(artifact, path), _signature(signer)):
        click.echo(line)


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


def _signature(signer: Signer | None) -> str:
    return f"signed   with {signer.public.fingerprint}" if signer else "signed   no: no key is configured"
