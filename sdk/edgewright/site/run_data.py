"""The rows of a run, all series and all runs as data: what pages' scripts read."""

from __future__ import annotations

from typing import Any

from edgewright.report.text import clean
from edgewright.store import Store
from edgewright.store.nights import Ended
from edgewright.store.points import FIELDS, run_points

from .names import run_slug, series_slug
from .pages import columns
from .series_page import point_columns
from .snapshot import VALID, SeriesView, Snapshot, state_of

#: What pages say of a row of a run, besides its state; the rest is on its series' page.
_TEXTS = ("runtime_version", "reason")


def run_data(store: Store, run: Ended) -> dict[str, Any]:
    """Every row of a run, each with the name of its series in :func:`series_data`.

    Raises:
        StoreError: the store cannot be read.
    """
    found = run_points(store, run.run.run_id)
    points = point_columns([point for _, point in found], _TEXTS)
    del points["run"], points["started"]
    return {**_facts(run), "series": [series_slug(series_id) for series_id, _ in found], **points}


def series_data(snapshot: Snapshot) -> dict[str, Any]:
    """What every series is, and how those stand that were ever measured."""
    views = {view.slug: view for view in snapshot.series}
    texts: dict[str, int] = {}
    rows = []
    for slug, key in snapshot.keys.items():
        named = [texts.setdefault(clean(getattr(key, name), 300), len(texts)) for name in FIELDS]
        rows.append([slug, *named, *_standing(views.get(slug), texts)])
    names = (
        "slug",
        *FIELDS,
        "state",
        "level",
        "noise",
        "measurements",
        "changes",
        "change",
        "certain",
        "last",
    )
    return {**columns(rows, names), "texts": list(texts)}


def runs_data(snapshot: Snapshot) -> dict[str, Any]:
    """Every run, the newest first."""
    return {"runs": [_facts(run) for run in snapshot.runs]}


def _standing(view: SeriesView | None, texts: dict[str, int]) -> list[Any]:
    if view is None:
        return [None, None, None, 0, 0, None, None, None]
    document = view.document
    change = document.changes[-1] if document.changes else None
    return [
        texts.setdefault(state_of(view.last), len(texts)),
        None if document.level is None else float(f"{document.level:.6g}"),
        document.noise,
        document.measurements,
        len(document.changes),
        None if change is None else change.ratio,
        None if change is None else change.is_certain,
        texts.setdefault(clean(view.last.run_started_at, 40), len(texts)),
    ]


def _facts(one: Ended) -> dict[str, Any]:
    run = one.run
    return {
        "slug": run_slug(run.run_id),
        "id": clean(run.run_id, 60),
        "name": clean(run.name, 100),
        "started": clean(run.started_at, 40),
        "finished": run.finished_at is not None,
        "preset": clean(run.preset, 40),
        "commit": clean(run.project_commit, 80),
        "version": clean(run.version, 40),
        "rows": one.rows,
        "valid": one.states.get(VALID, 0),
    }
