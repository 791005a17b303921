"""``edgewright keys``: whom devices trust to say what a model is."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def keys() -> None:
    """Make keys that sign models, and show them."""


@keys.command("new")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def new(file: Path) -> None:
    """Make an Ed25519 key: FILE, which is private and stays here, and FILE.pub for devices."""
    from edgewright.signing import VARIABLE, new_key

    public = new_key(file)
    click.echo(f"private key  {file}, for [signing] of the farm file or {VARIABLE}")
    click.echo(f"public key   {file}.pub, for: edgewright device authorize NAME {file}.pub")
    click.echo(f"fingerprint  {public.fingerprint}")


@keys.command("show")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
def show(files: tuple[Path, ...]) -> None:
    """Show the fingerprints of keys, public or private."""
    from edgewright.report.text import clean
    from edgewright.signing import load_public_key

    for file in files:
        key = load_public_key(file)
        click.echo(clean(f"{key.fingerprint}  {key.comment or file.name}"))
