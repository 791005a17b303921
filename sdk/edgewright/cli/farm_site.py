"""``edgewright farm scheduler`` and ``edgewright farm worker``: the hosts that a farm measures by."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgewright.errors import ConfigError

from .options import farm_option, signer_of

if TYPE_CHECKING:
    from edgewright.nightly.cluster.dask import Tls

F = TypeVar("F", bound=Callable[..., Any])

_FILES = {
    "tls_ca": "Certificate of who vouches for the farm, its scheduler and its workers.",
    "tls_cert": "This process's own certificate.",
    "tls_key": "The key of that certificate.",
}


def tls_options(function: F) -> F:
    """``--tls-ca``, ``--tls-cert`` and ``--tls-key``, for :func:`tls_of`."""
    for name, words in reversed(_FILES.items()):
        option = f"--{name.replace('_', '-')}"
        kind = click.Path(dir_okay=False, path_type=Path)
        envvar = f"EDGEWRIGHT_{name.upper()}"
        made = click.option(option, name, type=kind, envvar=envvar, metavar="FILE.pem", help=words)
        function = made(function)
    return function


def tls_of(tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None) -> Tls | None:
    """The three files; None without any.

    Raises:
        ConfigError: one or two are given.
    """
    from edgewright.nightly.cluster.dask import Tls

    if tls_ca and tls_cert and tls_key:
        return Tls(tls_ca, tls_cert, tls_key)
    if tls_ca or tls_cert or tls_key:
        raise ConfigError("--tls-ca, --tls-cert and --tls-key go together")
    return None


@click.command()
@click.option(
    "--listen",
    default="tcp://127.0.0.1:8786",
    show_default=True,
    metavar="tls://HOST:PORT",
    help="Where to be.",
)
@tls_options
def scheduler(listen: str, **tls: Path | None) -> None:
    """Be where the farm and its workers meet, until told to end. It holds nothing that would be missed."""
    from edgewright.nightly.cluster.scheduler import serve

    _until_told(serve(listen, tls_of(**tls), _say))


@click.command()
@click.argument("scheduler", metavar="tls://HOST:PORT")
@click.option(
    "--site", "sites", multiple=True, metavar="NAME", help="Whose devices it measures on; may be repeated."
)
@click.option(
    "--host", default="", metavar="ADDRESS", help="Where the farm reaches it, if not by its own way."
)
@tls_options
@farm_option
def worker(scheduler: str, sites: tuple[str, ...], host: str, farm: Path | None, **tls: Path | None) -> None:
    """Build for a farm, and measure on the devices of a site, until told to end.

    It runs in a copy of the project that the farm measures, and reaches the devices by its own farm file. One
    that is ended or dies loses nothing: jobs go on, on the devices, and another takes up their results.
    """
    from edgewright.cache import default_cache
    from edgewright.farm.inventory import load_inventory
    from edgewright.nightly.allocator import give_memory_back
    from edgewright.nightly.cluster.crew import Means
    from edgewright.nightly.cluster.files import Shelf
    from edgewright.nightly.cluster.worker import serve

    inventory, cache = load_inventory(farm), default_cache()
    known = {target.site for target in inventory.targets}
    for site in sites:
        if site not in known:
            where = inventory.path or "and there is no farm.toml"
            raise ConfigError(f"--site {site}: no device is of that site in {where}")
    give_memory_back()
    means = Means(inventory, signer_of(inventory), cache, Shelf(cache / "shipped"), sites)
    _until_told(serve(scheduler, tls_of(**tls), means, host, _say))


def _say(line: str) -> None:
    from edgewright.untrusted import one_line

    click.echo(one_line(line), err=True)


def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Run it until SIGINT or SIGTERM."""

    async def run() -> None:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
