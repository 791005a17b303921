"""The pages of a snapshot: each from what is known of all, and as little of the store as it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgewright.history.series import Judged
from edgewright.store import Run, Store
from edgewright.store.bodies import qualities
from edgewright.store.nights import Ended

from . import device_page
from .exact import compared, is_small
from .matrix import Workload, workloads
from .names import run_slug
from .pages import Notes, Renderer, data_file
from .run_data import run_data, runs_data, series_data
from .series_page import series_page
from .snapshot import DeviceView, SeriesView, Snapshot

#: The page of all runs lists so many; all of them can be compared.
_RUNS_LISTED = 2000


class Book:
    """Pages and data as text, for a folder as for a browser.

    Methods raise :class:`~edgewright.errors.StoreError` where they need the store and it cannot be read.

    Args:
        store: what the snapshot is of.
        snapshot: what is told.
        is_live: whether a server answers with them.
        exact: so many of the newest runs are held against the one before by raw samples, on further pages.
    """

    def __init__(self, store: Store, snapshot: Snapshot, *, is_live: bool = False, exact: int = 0) -> None:
        self._store = store
        self.snapshot = snapshot
        self._renderer = Renderer(Notes(snapshot.taken_at, is_live))
        self.workloads = workloads(snapshot)
        self._before = _before(one.run for one in snapshot.runs)
        #: Path -> the two runs that are compared there, the earlier one first.
        self.compared = dict(self._compared(exact))

    def _compared(self, count: int) -> Iterator[tuple[str, tuple[Ended, Ended]]]:
        ended = {one.run.run_id: one for one in self.snapshot.runs}
        for one in self.snapshot.runs[:count]:
            before = self._before.get(one.run.run_id)
            if before is not None and is_small(ended[before.run_id], one):
                yield f"exact/{run_slug(one.run.run_id)}.html", (ended[before.run_id], one)

    def fixed(self) -> dict[str, str]:
        """The pages and data that every site has, by path."""
        shown = self.snapshot
        newest = [shown.runs[0].run.run_id] * 2 if shown.runs else ["", ""]
        if shown.runs and (before := self._before.get(newest[1])):
            newest[0] = before.run_id
        contexts: Mapping[str, Mapping[str, Any]] = {
            "index": {
                "nights": shown.nights,
                "others": shown.others,
                "devices": shown.devices,
                "runs": shown.runs,
                "threshold": shown.threshold,
            },
            "matrix": {"workloads": self.workloads, "devices": shown.devices},
            "devices": {"devices": shown.devices},
            "series": {"count": len(shown.series)},
            "runs": {"runs": shown.runs[:_RUNS_LISTED], "before": self._before},
            "compare": {
                "threshold": shown.threshold,
                "newest": [run_slug(run_id) for run_id in newest],
                "exact": {
                    " ".join(run_slug(one.run.run_id) for one in pair): path
                    for path, pair in self.compared.items()
                },
            },
        }
        pages = {
            f"{name}.html": self._renderer.page(name, f"{name}.html", **context)
            for name, context in contexts.items()
        }
        return {
            **pages,
            "data/series.js": data_file("series", series_data(shown)),
            "data/runs.js": data_file("runs", runs_data(shown)),
        }

    def workload(self, one: Workload) -> str:
        """Recipes by devices."""
        return self._renderer.page("workload", f"matrix/{one.slug}.html", workload=one)

    def device(self, one: DeviceView) -> str:
        """A device: its health and its trends."""
        return self._renderer.page(
            "device",
            f"devices/{one.slug}.html",
            device=one,
            celsius=device_page.celsius(one),
            pace=device_page.pace(one),
            unmeasured=[cell for cell in one.cells if cell.last.outcome != "measured"],
        )

    def pareto(self, one: DeviceView) -> str:
        """What to ship on a device."""
        found = qualities(self._store, device_page.rows_with_quality(one))
        fronts = device_page.fronts(one, found)
        return self._renderer.page("pareto", f"pareto/{one.slug}.html", device=one, fronts=fronts)

    def series(self, one: Judged, view: SeriesView) -> str:
        """A series with its changes and all its points."""
        return series_text(self._renderer, one, view)

    def run(self, one: Ended, *, samples: Sequence[int] | None) -> str:
        """A run; ``samples`` are the numbers of the rows whose raw samples the site has, None for all."""
        return self._renderer.page(
            "run",
            f"runs/{run_slug(one.run.run_id)}.html",
            one=one,
            before=self._before.get(one.run.run_id),
            samples=True if samples is None else list(samples),
            without=0 if samples is None else _measured(one) - len(samples),
        )

    def run_data(self, one: Ended) -> str:
        """The rows of a run as data."""
        return data_file(f"runs/{run_slug(one.run.run_id)}", run_data(self._store, one))

    def exact(self, path: str, a: Ended, b: Ended) -> str:
        """B against A by the raw samples of their launches."""
        document = compared(self._store, a, b, self.snapshot.threshold)
        return self._renderer.page("exact", path, document=document)


def series_text(renderer: Renderer, one: Judged, view: SeriesView) -> str:
    """The page of a series."""
    return renderer.page("one_series", f"series/{view.slug}.html", view=view, page=series_page(one))


def _measured(one: Ended) -> int:
    """How many of its rows have raw samples."""
    return sum(count for state, count in one.states.items() if state not in ("failed", "skipped"))


def _before(newest_first: Iterable[Run]) -> dict[str, Run]:
    """Run id -> the run of the same name before it."""
    found: dict[str, Run] = {}
    last: dict[str, Run] = {}
    for run in newest_first:
        if run.name in last:
            found[last[run.name].run_id] = run
        last[run.name] = run
    return found
