"""The site as a person sees it: from a disk and live, in a headless browser, light and dark, by keyboard."""

from __future__ import annotations

import csv
import io
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route
from tests.browsers import Opened, chromium, watched
from tests.sites import INT8, NIGHTS, Made, fill

from edgewright.report.decision import Bounds, decide
from edgewright.site.build import build_site
from edgewright.site.gate import make_gate
from edgewright.site.live import Live
from edgewright.site.names import slug
from edgewright.site.server import SiteServer
from edgewright.store import Store

PAGES = ("index.html", "matrix.html", "devices.html", "series.html", "runs.html", "compare.html")


@dataclass(frozen=True)
class Site:
    """A built site, and what it was built from."""

    folder: Path
    made: Made

    def url(self, path: str) -> str:
        file, mark, part = path.partition("#")
        return (self.folder / file).as_uri() + mark + part

    def one_of(self, folder: str, text: str) -> str:
        """The page of a folder that has this text in it."""
        found = [path for path in (self.folder / folder).glob("*.html") if text in path.read_text()]
        return f"{folder}/{found[0].name}"

    @property
    def every(self) -> list[str]:
        """Each page, of runs only the last."""
        found = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.html"))
        return [path for path in found if not path.startswith("runs/") or self.made.run_ids[-1] in path]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    made = fill(folder / "store.sqlite")
    with Store.open(made.path) as store:
        build_site(store, folder / "out", threshold=0.05, sampled=1)
    return Site(folder / "out", made)


@pytest.fixture(scope="module")
def opened(browser: Browser, site: Site) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = watched(context)

    def only_the_site(route: Route) -> None:
        if route.request.url.startswith(site.folder.as_uri()):
            route.continue_()
        else:
            found.requests.append(route.request.url)
            route.abort()

    context.route("**/*", only_the_site)
    yield found
    context.close()


def filled(page: Page, table: str) -> None:
    page.locator(f"#{table} tbody tr").first.wait_for()


def test_no_page_asks_for_anything_or_obeys_a_device(opened: Opened, site: Site) -> None:
    for path in site.every:
        opened.page.goto(site.url(path))
        assert opened.page.evaluate("window.pwned") is None, path
        assert opened.page.locator("main img, main iframe, main script").count() == 0
    assert (opened.requests, opened.errors, opened.dialogs) == ([], [], [])


def test_the_overview_tells_what_changed(opened: Opened, site: Site) -> None:
    page = opened.page
    page.goto(site.url("index.html"))
    assert page.locator(".night dd").all_inner_texts() == ["2", "0", "3"]
    changed = page.locator("section[aria-labelledby=changed] tbody tr").all_inner_texts()
    assert [text.split()[0] for text in changed] == ["slower", "missing", "faster"]
    assert "int8-static" in changed[0] and "+2" in changed[0]
    assert "quarantined" in page.locator("section[aria-labelledby=devices]").inner_text()
    page.get_by_role("link", name="Compare with the run before").click()
    filled(page, "pairs")
    assert page.locator("#a").input_value() == site.made.run_ids[-2]
    assert page.locator("#b").input_value() == site.made.run_ids[-1]


def test_a_series_shows_its_changes(opened: Opened, site: Site) -> None:
    page = opened.page
    page.goto(site.url(site.one_of("series", "<h1>digits <small>int8-static")))
    assert page.locator("#changes ~ .scroll tbody tr, section[aria-labelledby=changes] tbody tr").count() == 1
    assert "slower" in page.locator("section[aria-labelledby=changes]").inner_text()
    assert page.locator("line.turn.worse").count() == 1
    filled(page, "points")
    assert page.locator("#points tbody tr").count() == NIGHTS
    # By keyboard, from measurement to measurement.
    page.locator("#chart").focus()
    page.keyboard.press("End")
    assert site.made.run_ids[-1] in page.locator("#reading").inner_text()
    page.keyboard.press("ArrowLeft")
    assert site.made.run_ids[-2] in page.locator("#reading").inner_text()
    assert "2.5" in page.locator("#reading").inner_text()
    with page.expect_download() as saved:
        page.locator("#csv").click()
    lines = list(csv.reader(io.StringIO(Path(saved.value.path()).read_text(encoding="utf-8"))))
    assert len(lines) == NIGHTS + 1 and lines[1][0] == site.made.run_ids[0]


def test_csv_holds_no_formula(opened: Opened, site: Site) -> None:
    opened.page.goto(site.url("series.html"))
    filled(opened.page, "all-series")
    text = opened.page.evaluate(
        """edgewright.csv([["=1+1", "+1", "-1", "@x", "\\tx", "a,b", 'a"b', "a\\nb", -5, null, "plain"]])"""
    )
    (line,) = csv.reader(io.StringIO(text))
    assert line == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "a,b", 'a"b', "a\nb", "-5", "", "plain"]


def test_tables_sort_and_narrow_by_keyboard(opened: Opened, site: Site) -> None:
    page = opened.page
    page.goto(site.url("series.html"))
    filled(page, "all-series")
    head = page.locator("#all-series thead button", has_text="Level")
    for direction in ("ascending", "descending"):
        head.focus()
        page.keyboard.press("Enter")
        assert head.locator("xpath=..").get_attribute("aria-sort") == direction
        levels = [
            float(t.split()[0])
            for t in page.locator("#all-series tbody tr td:nth-child(6)").all_inner_texts()
        ]
        assert levels == sorted(levels, reverse=direction == "descending") and len(levels) == 5
    page.fill("#all-series-find", "int8 pi5")
    assert page.locator("#all-series tbody tr").count() == 1
    assert page.locator("#all-series-found").inner_text() == "1 of 5"
    page.locator("#all-series tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/series/*.html")


def test_the_matrix_leads_to_the_series(opened: Opened, site: Site) -> None:
    page = opened.page
    page.goto(site.url("matrix.html"))
    row = page.locator("tbody tr", has_text="digits")
    assert "prune50" in row.inner_text() and "3 of 5 valid" in row.inner_text()
    row.locator("a").first.click()
    cells = {r.split("\t")[0].split()[0]: r for r in page.locator("tbody tr").all_inner_texts()}
    assert "failed" in cells["fp16"] and "was 4." in cells["fp16"] and "skipped" in cells["never"]
    page.locator("tbody tr", has_text=INT8.recipe).locator("a").click()
    page.wait_for_url("**/series/*.html")


def test_a_device_shows_its_health_trend_and_choice(opened: Opened, site: Site) -> None:
    page = opened.page
    page.goto(site.url(f"devices/{slug('pi5')}.html"))
    assert "the gold standard came out right" in page.locator("section[aria-labelledby=health]").inner_text()
    assert page.locator("svg.line").count() == 2 and page.locator("svg.spark").count() == 4
    page.get_by_role("link", name="Quality against latency").click()
    assert page.locator("svg.scatter .dot").count() == 4
    text = page.locator("tbody").inner_text()
    assert "by none" in text and "loses more than is accepted" in text


def test_a_run_leads_to_raw_samples(opened: Opened, site: Site) -> None:
    page = opened.page
    page.goto(site.url(f"runs/{site.made.run_ids[-1]}.html"))
    filled(page, "rows")
    assert page.locator("#rows tbody tr").count() == 6
    with page.expect_download() as saved:
        page.get_by_role("link", name="samples (CSV)").first.click()
    assert Path(saved.value.path()).read_text().startswith("attempt,launch,phase,number,latency_ns\n")


def test_two_runs_side_by_side(opened: Opened, site: Site) -> None:
    page = opened.page
    before, after = site.made.run_ids[2], site.made.run_ids[-2]
    page.goto(site.url("runs.html"))
    page.goto(site.url(f"compare.html#a={before}&b={after}"))
    filled(page, "pairs")
    assert (
        page.locator("#summary").inner_text() == "B against A: 1 slower, 1 faster, 3 same, 1 not applicable."
    )
    assert page.locator("#exact").is_hidden()
    first = page.locator("#pairs tbody tr").first
    assert "slower" in first.inner_text() and "int8-static" in first.inner_text()
    page.locator("#swap").click()
    page.locator("#pairs tbody tr", has_text="slower").locator("text=prune50").wait_for()
    page.locator("#b").select_option(site.made.run_ids[-1])
    page.locator("#pairs tbody tr", has_text="not compared").wait_for()
    page.locator("#a").select_option(site.made.run_ids[-2])
    page.locator("#exact").click()
    assert "by the raw samples of their launches" in page.locator("p.lead").inner_text()


def test_what_was_measured_again_in_one_run_is_missing_in_none(
    opened: Opened, site: Site, tmp_path: Path
) -> None:
    """Measured again in the last night alone, the series is compared once."""
    shutil.copy(site.made.path, tmp_path / "store.sqlite")
    a, b = site.made.run_ids[0], site.made.run_ids[1]
    with Store.open(tmp_path / "store.sqlite") as store:
        (again,) = [row for row in store.run(b).rows if row.cell == INT8]
        store.add_row(b, again, "again")
        build_site(store, tmp_path / "out", threshold=0.05, sampled=0)
    page = opened.page.context.browser.new_page()  # type: ignore[union-attr]
    for runs in ((a, b), (b, a)):
        page.goto(f"{(tmp_path / 'out' / 'compare.html').as_uri()}#a={runs[0]}&b={runs[1]}")
        page.reload()
        filled(page, "pairs")
        told = page.locator("#summary").inner_text()
        assert "missing" not in told and " new" not in told, told
    page.close()


def test_the_browser_decides_as_python_does(opened: Opened, site: Site) -> None:
    opened.page.goto(site.url("compare.html"))
    rng = np.random.default_rng(0)
    lows = rng.uniform(0.85, 1.15, 400)
    pairs = [
        [float(low), float(low + width)] for low, width in zip(lows, rng.exponential(0.02, 400), strict=True)
    ]
    told = opened.page.evaluate(
        "pairs => pairs.map(([low, high]) => compared.decide(low, high, 0.05))", pairs
    )
    assert told == [decide(Bounds(low, high), 0.05) for low, high in pairs]
    assert set(told) == {"slower", "faster", "same", "cannot tell"}


def test_headings_are_in_order_and_focus_shows(opened: Opened, site: Site) -> None:
    page = opened.page
    for path in PAGES:
        page.goto(site.url(path))
        levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
        assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels)), path
        assert page.locator("nav a[aria-current=page]").count() == 1
    page.goto(site.url("index.html"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert page.evaluate("document.activeElement.textContent") == "Overview" and outline == "solid"


@pytest.mark.parametrize("look", ["light", "dark"])
def test_text_is_readable_in_either_look(
    browser: Browser, site: Site, look: Literal["light", "dark"]
) -> None:
    page = browser.new_page(color_scheme=look)
    page.goto(site.url("index.html"))
    ratios = page.evaluate(
        """() => {
          const parse = c => { const m = c.match(/[\\d.]+/g).map(Number);
            return m.length < 4 ? [...m, 1] : m };
          const ground = e => {
            for (; e; e = e.parentElement) {
              const c = parse(getComputedStyle(e).backgroundColor);
              if (c[3] === 1) return c }
            return [255, 255, 255, 1] };
          const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
          const light = c => {
            const [r, g, b] = c.map(v => linear(v / 255));
            return .2126 * r + .7152 * g + .0722 * b };
          const found = {};
          const texts = 'h1, .meta, .badge, a, thead th, td small, dt, .counts dd';
          for (const e of document.querySelectorAll(texts)) {
            const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
            found[`${e.tagName} ${e.className}`] = (a + .05) / (b + .05) }
          return found }"""
    )
    assert len(ratios) > 8
    assert {name: round(value, 2) for name, value in ratios.items() if value < 4.5} == {}
    page.close()


def test_nothing_hangs_over_the_edge(opened: Opened, site: Site) -> None:
    for width in (1280, 390):
        opened.page.set_viewport_size({"width": width, "height": 900})
        for path in (*PAGES, site.one_of("series", "<h1>digits <small>int8"), f"devices/{slug('pi5')}.html"):
            opened.page.goto(site.url(path))
            excess = opened.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert excess <= 0, (path, width)
    opened.page.set_viewport_size({"width": 1280, "height": 900})


def test_the_look_is_kept_from_page_to_page(browser: Browser, site: Site) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(site.url("index.html"))
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(site.url("matrix.html"))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark != light
    context.close()


def test_what_matters_reads_without_scripts(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url("index.html"))
    assert "int8-static" in page.locator("section[aria-labelledby=changed]").inner_text()
    page.goto(site.url(site.one_of("series", "<h1>digits <small>int8-static")))
    assert page.locator("line.turn").count() == 1 and "needs JavaScript" in page.content()
    context.close()


def test_live_pages_work_and_let_no_other_site_in(browser: Browser, site: Site) -> None:
    with Store.open(site.made.path) as store, SiteServer("127.0.0.1", 0) as server:
        server.gate = make_gate("127.0.0.1", server.port, "a-token-of-some-length", ())
        server.live = Live(store, 0.05)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            context = browser.new_context()
            found = watched(context)
            page = found.page
            page.goto(server.address)
            assert "token" not in page.url and page.locator("h1").inner_text() == "Last night"
            page.locator("#newer", has_text="up to date").wait_for()
            page.get_by_role("link", name="Compare with the run before").click()
            filled(page, "pairs")
            page.locator("#exact").click()
            page.wait_for_url("**/exact.html?*")
            assert "by the raw samples of their launches" in page.inner_text("header")
            assert found.errors == []
            # Another site, here a page of another origin, gets neither a script's words nor a frame.
            other = context.new_page()
            other.goto(site.url("runs.html"))
            status = other.evaluate(
                "url => fetch(url, {mode: 'no-cors'}).then(() => 'read', () => 'refused')",
                f"http://127.0.0.1:{server.port}/data/series.js",
            )
            assert status == "refused"
            context.close()
        finally:
            server.shutdown()
            thread.join()
