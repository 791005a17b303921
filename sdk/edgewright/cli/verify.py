"""``edgewright verify``: are the files of a folder what their manifests say, and who signed that?"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--key",
    "key_files",
    multiple=True,
    metavar="FILE.pub",
    type=click.Path(path_type=Path),
    help="Whom to believe, any number of times; otherwise a signature is checked against its own key alone.",
)
def verify(folder: Path, key_files: tuple[Path, ...]) -> int:
    """Check a folder that edgewright build wrote: every model, its manifest and its signature.

    Ends with 0 when all is as it should be and 1 otherwise.
    """
    from edgewright.errors import VerificationError
    from edgewright.manifest import verify_folder
    from edgewright.report.text import clean
    from edgewright.signing import load_public_key

    keys = [load_public_key(path) for path in key_files]
    failed = False
    for found in verify_folder(folder, keys):
        if isinstance(found, VerificationError):
            failed = True
            click.echo(clean(f"error: {found}"), err=True)
            continue
        names = ", ".join(ref.name for ref in found.manifest.files)
        if found.signer is None:
            click.echo(clean(f"{names}: as its manifest says; not signed"))
        elif keys:
            click.echo(clean(f"{names}: as its manifest says, signed with {found.signer.fingerprint}"))
        else:
            signer = found.signer.fingerprint
            click.echo(
                clean(f"{names}: as its manifest says, signed with {signer}; --key says whom to believe")
            )
    return 1 if failed else 0
