"""``edgewright site`` and ``edgewright serve``."""

from __future__ import annotations

from pathlib import Path

import click

from .options import store_option, threshold_option
from .quantities import parse_share, parse_size


@click.group()
def site() -> None:
    """Write what the store holds as a site, for people to open in the morning."""


@site.command()
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder; a site that is there already is replaced, anything else is refused.",
)
@click.option(
    "--samples",
    "sampled",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="RUNS",
    help="With the raw samples of so many of the newest runs.",
)
@click.option(
    "--samples-size",
    default="200M",
    show_default=True,
    metavar="200M",
    help="What raw samples may take together; a row whose samples do not fit goes without.",
)
@threshold_option
@store_option
def build(output: Path, sampled: int, samples_size: str, threshold: str, store: str | None) -> None:
    """Write a static site: it opens from a disk, needs no network, and asks for nothing.

    Last night and what it changed, every device, every model by recipe and device, every series with its
    changes, and any two runs side by side.
    """
    from edgewright.report.units import size
    from edgewright.site.build import build_site, refuse_other
    from edgewright.store import Store

    share, room_bytes = parse_share(threshold, "--threshold"), parse_size(samples_size, "--samples-size")
    refuse_other(output)
    with Store.open(store, create=False) as opened:
        built = build_site(opened, output, threshold=share, sampled=sampled, samples_bytes=room_bytes)
    told = f"{built.series} series, {built.runs} runs, {built.files} files, {size(built.size_bytes)}"
    click.echo(f"{built.folder / 'index.html'}: {told}")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Name or address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 for any.")
@click.option(
    "--token",
    envvar="EDGEWRIGHT_TOKEN",
    show_envvar=True,
    help="What a reader must know; off loopback one is made when none is given.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="Another name that readers call this server by, such as a proxy's; may be repeated.",
)
@threshold_option
@store_option
def serve(
    host: str, port: int, token: str | None, names: tuple[str, ...], threshold: str, store: str | None
) -> None:
    """Show the site live, from the store as it is.

    On loopback without a token; on any other address a token is asked for. Ctrl-C ends it.
    """
    from edgewright.site.gate import make_gate
    from edgewright.site.live import Live
    from edgewright.site.server import SiteServer
    from edgewright.store import Store

    share = parse_share(threshold, "--threshold")
    make_gate(host, port, token, names)
    with Store.open(store, create=False) as opened, SiteServer(host, port) as server:
        server.gate = make_gate(host, server.port, token, names)
        click.echo(f"reading {opened.location}", err=True)
        server.live = Live(opened, share)
        click.echo(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("ended", err=True)
