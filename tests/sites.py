"""A store with a fortnight of nights: a step, an improvement, a missing cell, and a hostile device."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from tests.fakes import HOSTILE, PI5_FP32, device, latencies, launch, measured, row

from edgewright.artifact import Quality
from edgewright.report.figures import figures_of
from edgewright.report.text import clean
from edgewright.row import Cell, Failed, Row, Skipped
from edgewright.store import Boards, Store

NIGHTS = 14
BEGIN = datetime(2026, 1, 1, 1, 15, tzinfo=UTC)
INT8 = replace(PI5_FP32, recipe="int8-static")
PRUNED = replace(PI5_FP32, recipe="prune50")
LOST = replace(PI5_FP32, recipe="fp16")
NEVER = replace(PI5_FP32, recipe="never", runtime="ai-edge-litert")
ROGUE = Cell(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)


@dataclass(frozen=True)
class Made:
    """The store's file, and the ids of its runs, the oldest first."""

    path: Path
    run_ids: tuple[str, ...]


def fill(path: Path) -> Made:
    """INT8 is slower and PRUNED faster in the last four nights, LOST fails in the last one."""
    launches = [launch(latencies(4.2, 80, seed=n)) for n in range(2)]
    rogue = device(board=HOSTILE, system=HOSTILE, libc=HOSTILE)
    good = row(measured(*launches))
    shapes: dict[Cell, Row] = {
        PI5_FP32: good,
        INT8: replace(good, cell=INT8, quality=Quality("accuracy", 0.969, 0.975, 360)),
        PRUNED: replace(good, cell=PRUNED, quality=Quality("accuracy", 0.90, 0.975, 360)),
        LOST: replace(good, cell=LOST),
        ROGUE: replace(good, cell=ROGUE, outcome=measured(*launches, board=rogue), notes=(HOSTILE,)),
        NEVER: row(Skipped("never cannot be"), cell=NEVER),
    }
    failed = row(Failed(HOSTILE, "transport", retryable=True), cell=LOST)
    figures = {cell: figures_of(one) for cell, one in shapes.items()}
    levels = {PI5_FP32: 4.2, INT8: 2.1, PRUNED: 2.4, LOST: 4.4, ROGUE: 9.0}
    rng = np.random.default_rng(0)
    run_ids = []
    with Store.open(path) as store:
        for night in range(NIGHTS):
            run_id = store.begin_run("nightly", "", "quick", project_commit=f"{night // 3:040x}")
            for cell, one in shapes.items():
                if cell == LOST and night == NIGHTS - 1:
                    store.add_row(run_id, failed, "", figures_of(failed))
                    continue
                known = figures[cell]
                if cell in levels:
                    step = {INT8: 1.2, PRUNED: 0.8}.get(cell, 1.0) if night >= NIGHTS - 4 else 1.0
                    p50 = 1e6 * levels[cell] * step * math.exp(rng.normal(0, 0.005))
                    low, high = p50 * 0.999, p50 * 1.001
                    known = replace(known, p50_ns=p50, p50_low_ns=low, p50_high_ns=high, verdict="valid")
                store.add_row(run_id, one, "", known)
            store.finish_run(run_id)
            with store._write() as session:
                at = BEGIN + timedelta(days=night)
                record = store._record(session, run_id)
                record.started_at = at.isoformat(timespec="milliseconds")
                record.finished_at = (at + timedelta(hours=2)).isoformat(timespec="milliseconds")
            run_ids.append(run_id)
        boards = Boards(store)
        boards.checked("10.0.0.5:22", "pi5", "the gold standard came out right", is_healthy=True)
        boards.quarantine("10.0.0.6:22", clean(HOSTILE), HOSTILE.replace("\ud800", ""))
    return Made(path, tuple(run_ids))
