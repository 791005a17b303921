"""How long overviews, a site and its pages take on a store of many rows, and what memory that needs.

    python benchmarks/big_site.py --rows 100000 --rows 1000000

Rows are shaped like real ones: a farm of devices, models and recipes, night after night, with noise, steps,
failures and throttled nights; their bodies hold raw samples: five launches in the last night, one in others.
They are made by formula, and measured on nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil

DEVICES, MODELS, RECIPES = 24, 24, 5
_RECIPES = (("fp32", 1.0), ("fp16", 1.1), ("int8-dynamic", 0.9), ("int8-static", 0.6), ("prune50", 0.58))
_NOISE = 0.008
_BATCH = 20_000


@dataclass(frozen=True)
class Shape:
    """So many cells a night, for so many nights."""

    devices: int
    models: int
    recipes: int
    nights: int

    @classmethod
    def of(cls, rows: int) -> Shape:
        """A farm of 24 devices, 24 models and 5 recipes for a year, or as much of it as gives the rows."""
        models = max(1, min(MODELS, rows // (DEVICES * RECIPES * 60)))
        nights = math.ceil(rows / (DEVICES * models * RECIPES))
        return cls(DEVICES, models, RECIPES, nights)


def fill(path: Path, rows: int) -> Shape:
    """Make a store with so many rows, or a few more."""
    from edgewright.store import Store

    with Store.open(path):
        pass
    shape = Shape.of(rows)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = OFF",
            "foreign_keys = OFF",
            "cache_size = -65536",
        ):
            database.execute(f"PRAGMA {pragma}")
        _Filling(database, shape).run()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return shape


class _Filling:
    """Rows by formula, written straight into the tables."""

    def __init__(self, database: sqlite3.Connection, shape: Shape) -> None:
        self._database = database
        self._shape = shape
        self._rng = np.random.default_rng(7)
        self._short, self._long = _body(1, 16), _body(5, 64)

    def run(self) -> None:
        """Series, then night after night."""
        from edgewright.store.figures import RULES, SeriesKey

        cells = list(self._cells())
        keys = [SeriesKey(**facts) for facts, _ in cells]
        self._insert("series", [{"series_id": key.series_id, **asdict(key)} for key in keys])
        unmeasured = [replace(key, unit="", provider="", threads="", conditions="") for key in keys]
        self._insert("series", [{"series_id": key.series_id, **asdict(key)} for key in unmeasured])
        levels = np.array([level for _, level in cells])
        steps = self._steps(len(cells))
        begin = datetime(2025, 1, 1, 1, 15, tzinfo=UTC)
        number = 0
        for night in range(self._shape.nights):
            at = begin + timedelta(days=night)
            run_id = f"{at:%Y%m%d-%H%M%S}-{night:08x}"
            self._insert("runs", [_run(run_id, at, night)])
            p50 = levels * steps(night) * np.exp(self._rng.normal(0, _NOISE, len(cells)))
            fate = self._rng.random(len(cells))
            heat = 45 + 8 * self._rng.random(len(cells)) + 4 * math.sin(night / 58)
            rows = []
            for position, time_ns in enumerate(p50):
                number += 1
                state = _state(float(fate[position]))
                key = unmeasured[position] if state == "failed" else keys[position]
                place = _Place(number, run_id, position, at, night)
                rows.append((place, key, state, float(time_ns), float(heat[position])))
            body = self._long if night == self._shape.nights - 1 else self._short
            self._insert("rows", [_row(place, key, state, body) for place, key, state, _, _ in rows])
            self._insert("figures", [_figures(*one, RULES) for one in rows])

    def _cells(self) -> Iterator[tuple[dict[str, str], float]]:
        for device in range(self._shape.devices):
            speed = 0.6 + 0.1 * (device % 8)
            for model in range(self._shape.models):
                for recipe, factor in _RECIPES[: self._shape.recipes]:
                    facts = {
                        "workload": f"models/model-{model:02d}.py:make",
                        "recipe": recipe,
                        "device": f"board-{device:02d}",
                        "profile": "raspberry-pi-5" if device % 2 else "jetson-orin-nano",
                        "unit": f"Board {device % 4}, 4 processors, serial-{device:04d}",
                        "runtime": "onnxruntime",
                        "provider": "CPUExecutionProvider",
                        "threads": "4",
                        "scenario": "single-stream",
                        "preset": "quick",
                        "conditions": "performance",
                    }
                    yield facts, 1e6 * speed * factor * (1.5 + model) ** 1.5

    def _steps(self, cells: int) -> Any:
        """One in ten series changes its level once, by 3 to 12 % either way; one in a hundred at the end."""
        when = self._rng.integers(5, max(6, self._shape.nights), cells)
        by = np.exp(self._rng.choice([-1, 1], cells) * self._rng.uniform(0.03, 0.12, cells))
        has = self._rng.random(cells) < 0.1
        late = self._rng.random(cells) < 0.01
        when = np.where(late, self._shape.nights - 3, when)
        by = np.where(has | late, by, 1.0)
        return lambda night: np.where(night >= when, by, 1.0)

    def _insert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        names = list(rows[0])
        sql = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        self._database.execute("BEGIN")
        self._database.executemany(sql, (tuple(row.values()) for row in rows))
        self._database.execute("COMMIT")


@dataclass(frozen=True)
class _Place:
    """Where a row is."""

    number: int
    run_id: str
    position: int
    at: datetime
    night: int


def _state(fate: float) -> str:
    shares = (("failed", 0.004), ("throttled", 0.012), ("noisy", 0.03))
    return next((state for state, until in shares if fate < until), "valid")


def _body(launches: int, samples: int) -> str:
    """The body of a measured row with raw samples, as the store keeps it."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.fakes import latencies, launch, measured, row

    from edgewright.store.rowcodec import row_to_json

    return row_to_json(row(measured(*(launch(latencies(4.2, samples, seed=n)) for n in range(launches)))))


def _run(run_id: str, at: datetime, night: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "name": "nightly",
        "preset": "quick",
        "plan_text": "[plan]",
        "started_at": at.isoformat(timespec="milliseconds"),
        "finished_at": (at + timedelta(hours=4)).isoformat(timespec="milliseconds"),
        "version": "0.1.0",
        "project_commit": hashlib.sha1(str(night // 2).encode()).hexdigest(),
    }


def _row(place: _Place, key: Any, state: str, body: str) -> dict[str, Any]:
    return {
        "number": place.number,
        "run_id": place.run_id,
        "position": place.position,
        **{name: getattr(key, name) for name in ("workload", "recipe", "device", "profile", "runtime")},
        "outcome": "failed" if state == "failed" else "measured",
        "started_at": place.at.isoformat(timespec="milliseconds"),
        "body": body,
    }


def _figures(place: _Place, key: Any, state: str, p50: float, celsius: float, rules: int) -> dict[str, Any]:
    failed = state == "failed"
    measured = {
        "verdict": state,
        "p50_ns": p50,
        "p50_low_ns": p50 * 0.996,
        "p50_high_ns": p50 * 1.004,
        "p90_ns": p50 * 1.05,
        "peak_bytes": 90_000_000,
        "quality": 0.97,
        "start_celsius": celsius,
    }
    return {
        "row_number": place.number,
        "run_id": place.run_id,
        "position": place.position,
        "series_id": key.series_id,
        "rules": rules,
        "outcome": "failed" if failed else "measured",
        **{name: None if failed else value for name, value in measured.items()},
        "size_bytes": 4_100_000,
        "energy_mj": None,
        "sha256": "ab" * 32,
        "runtime_version": "" if failed else f"1.{20 + place.night // 120}.0",
        "system": "" if failed else "Debian GNU/Linux 12 (bookworm), Linux 6.6.31, glibc 2.36",
        "code": "transport" if failed else "",
        "reason": "the connection broke" if failed else "",
    }


@dataclass(frozen=True)
class Measured:
    """What one size took; times in seconds, memory as the largest sum over all processes of a build."""

    rows: int
    series: int
    store_bytes: int
    overview_s: float
    build_s: float
    build_rss_bytes: int
    site_bytes: int
    site_files: int
    interactive_s: dict[str, float]


def measure(rows: int, folder: Path) -> Measured:
    """Fill a store, and take the times."""
    store = folder / "store.sqlite"
    shape = fill(store, rows)
    overview_s = statistics.median(_overview(store) for _ in range(5))
    site = folder / "site"
    begun = time.perf_counter()
    program = Path(sys.executable).with_name("edgewright")
    command = [str(word) for word in (program, "site", "build", "-o", site, "--store", store)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    rss = _Rss(process.pid)
    if process.wait() != 0:
        raise SystemExit("the site was not built")
    build_s = time.perf_counter() - begun
    files = [path for path in site.rglob("*") if path.is_file()]
    return Measured(
        rows=shape.devices * shape.models * shape.recipes * shape.nights,
        series=shape.devices * shape.models * shape.recipes,
        store_bytes=store.stat().st_size,
        overview_s=overview_s,
        build_s=build_s,
        build_rss_bytes=rss.stop(),
        site_bytes=sum(path.stat().st_size for path in files),
        site_files=len(files),
        interactive_s=_interactive(site),
    )


def _overview(path: Path) -> float:
    """The newest 14 runs of each name with how their rows ended, in a process that opens the store anew."""
    code = (
        "import sys, time\n"
        "from edgewright.store import Store\n"
        "from edgewright.store.nights import newest_runs\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    begun = time.perf_counter()\n"
        "    found = newest_runs(store, each=14, names=20)\n"
        "    print(time.perf_counter() - begun)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    return float(done.stdout)


class _Rss:
    """The largest sum of the resident sets of a process and its children, looked at 10 times a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._largest = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """In bytes."""
        self._ended.set()
        self._thread.join()
        return self._largest

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            total = 0
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue  # it ended while it was looked at
            self._largest = max(self._largest, total)


def _interactive(site: Path) -> dict[str, float]:
    """From the address to a page that answers: loaded, its table filled, and a heading's press obeyed."""
    from playwright.sync_api import sync_playwright

    series = max(site.glob("series/*.html"), key=lambda path: path.stat().st_size)
    run = max(site.glob("runs/*.html"))
    pages = {
        "overview": ("index.html", ""),
        "series list": ("series.html", "all-series"),
        "one series": (f"series/{series.name}", "points"),
        "run": (f"runs/{run.name}", "rows"),
        "compare": ("compare.html", "pairs"),
        "matrix": ("matrix.html", ""),
    }
    found = {}
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        flags = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        for name, (address, table) in pages.items():
            page = browser.new_page()
            begun = time.perf_counter()
            page.goto((site / address).as_uri())
            if table:
                page.locator(f"#{table} tbody tr").first.wait_for()
                page.locator(f"#{table} thead button").nth(1).click()
                page.locator(f"#{table} th[aria-sort=ascending]").first.wait_for()
            found[name] = time.perf_counter() - begun
            page.close()
        browser.close()
    return found


def main() -> None:
    """Print a line of JSON for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, action="append", help="100000 and 1000000 otherwise")
    parser.add_argument("--keep", type=Path, help="leave the stores and sites in this folder")
    options = parser.parse_args()
    for rows in options.rows or [100_000, 1_000_000]:
        folder = (options.keep or Path(tempfile.mkdtemp())) / str(rows)
        folder.mkdir(parents=True)
        print(json.dumps(asdict(measure(rows, folder))), flush=True)
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
