"""Where the workers of all sites and the farm meet."""

from __future__ import annotations

from urllib.parse import urlsplit

from edgewright.cache import default_cache
from edgewright.errors import ConfigError

from . import dask
from .worker import Say


async def serve(address: str, tls: dask.Tls | None, say: Say) -> None:
    """Be the scheduler, for ever.

    Args:
        address: where to listen; port 0 is any that is free.
        tls: of this process.
        say: told of the address, in a line for people.

    Raises:
        ConfigError: it cannot listen there, or the files for encryption cannot be used.
    """
    package, secured = dask.distributed(), dask.security(tls)
    parts = urlsplit(dask.check_address(address, tls))
    scheduler = package.Scheduler(
        host=parts.hostname,
        port=parts.port or 0,
        protocol=parts.scheme,
        security=secured,
        local_directory=str(default_cache() / "dask"),
        dashboard=False,
        extensions={},
    )
    dask.only(scheduler.handlers, dask.OF_SCHEDULER)
    dask.only(scheduler.stream_handlers, dask.FROM_WORKERS)
    try:
        await scheduler
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{address}: cannot listen there: {error.__cause__ or error}") from None
    say(f"scheduler at {scheduler.address}")
    await scheduler.finished()
