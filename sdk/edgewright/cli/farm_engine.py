"""Who does what a farm decides: threads of this process, or workers on other hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from edgewright.cache import default_cache
from edgewright.errors import ConfigError, TransportError
from edgewright.nightly import Executor, NightWork
from edgewright.nightly.cluster.dask import Tls, check_address

from .farm_view import FarmView
from .planned import Planned

if TYPE_CHECKING:
    from edgewright.nightly.cluster.calls import Calls

#: Makes an executor for a night, and says how many files it builds at a time.
Engine = Callable[[NightWork, FarmView], AbstractContextManager[tuple[Executor, int]]]


def engine_of(dask: str | None, tls: Tls | None, planned: Planned) -> Engine:
    """What ``--dask`` asks for, looked at before anything begins.

    Raises:
        ConfigError: it cannot be used for this plan.
        TransportError: the scheduler is not there, or a site has no worker.
    """
    if dask is None:
        return _local
    from edgewright.nightly.cluster.calls import Calls

    check_address(dask, tls)
    for target in planned.work.targets:
        if target.link is None:
            raise ConfigError(
                f"device {target.name!r} is this machine", mend="leave it out, or leave --dask out"
            )
        if not target.site:
            raise ConfigError(
                f"device {target.name!r} has no site", mend='write site = "NAME" in the farm file'
            )
    calls = Calls(dask, tls)
    try:
        members = asyncio.run(calls.members())
    except OSError as error:
        raise TransportError(dask, f"the scheduler cannot be reached: {error}") from None
    sites = {site for member in members for site in member.sites}
    for target in planned.work.targets:
        if target.site not in sites:
            raise TransportError(
                target.name,
                f"no worker of site {target.site!r} is with {dask}",
                mend="edgewright farm worker",
            )
    return partial(_workers, calls, planned, len(members))


@contextmanager
def _local(job: NightWork, view: FarmView) -> Iterator[tuple[Executor, int]]:
    from edgewright.nightly.local import LocalExecutor

    yield LocalExecutor(job.work.targets, job.settings, job.run, view.tell), 1


@contextmanager
def _workers(
    calls: Calls, planned: Planned, builders: int, night: NightWork, view: FarmView
) -> Iterator[tuple[Executor, int]]:
    from edgewright.nightly.cluster.documents import Job, Place
    from edgewright.nightly.cluster.executor import DaskExecutor
    from edgewright.nightly.cluster.files import Shelf

    run = night.run
    places = tuple(Place(target.name, target.profile, target.site) for target in night.work.targets)
    job = Job(run.run_id, planned.plan, planned.asked, places, run.is_resumed, run.given_up)
    shelf = Shelf(default_cache() / "shipped")
    with DaskExecutor(calls, job, shelf, view.tell, view.note) as executor:
        yield executor, builders
