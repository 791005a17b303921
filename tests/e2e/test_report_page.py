"""The page as a person sees it: opened in a headless browser, offline, in its light and its dark look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route
from tests.browsers import Opened, chromium, watched
from tests.fakes import HOSTILE, environment, latencies, launch, measured, plan_run, row, stored

from edgewright.artifact import Quality
from edgewright.report import report_document, write
from edgewright.row import Cell, Failed, Row, Skipped
from edgewright.store import StoredRun

#: What a chart of each kind draws for its rows.
MARKS = {
    "quality": ".scatterlayer .points path",
    "memory": ".barlayer .point path",
    "latency": ".scatterlayer .js-fill",
}


def hostile_row(recipe: str, p50_ms: float) -> Row:
    board = replace(measured().device, board=HOSTILE, cpu_model=HOSTILE, system=HOSTILE, python=HOSTILE)
    return row(
        measured(
            launch(latencies(p50_ms, 800), providers=(HOSTILE,)),
            launch(latencies(p50_ms, 800, seed=1)),
            board=board,
        ),
        cell=Cell(HOSTILE, f"{recipe} {HOSTILE}", HOSTILE, HOSTILE, f"runtime {HOSTILE}"),
        quality=Quality(f"accuracy {HOSTILE}", 0.97, 0.975, 360),
        notes=(HOSTILE,),
    )


def whole_run() -> StoredRun:
    """A plan, a throttled row, one without quality, and rows of a device that is out to break the page."""
    hot = [environment(0, throttled={"now:throttled": 0}), environment(9, throttled={"now:throttled": 1})]
    extra = (
        row(measured(launch(latencies(3.0, 80), states=hot))),
        row(measured(launch(latencies(3.5, 5))), quality=None, artifact=None),
        hostile_row("a", 2.0),
        hostile_row("b", 5.0),
        row(Failed(HOSTILE, "agent-fault", retryable=True), cell=Cell(HOSTILE, HOSTILE, HOSTILE, "p", "r")),
        row(Skipped(HOSTILE), cell=Cell(HOSTILE, HOSTILE, HOSTILE, "p", "r")),
    )
    plan = plan_run(launches=2, devices=("pi5",))
    return replace(stored(*plan.rows, *extra), run=replace(plan.run, name=HOSTILE, plan_text=HOSTILE))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(report_document(whole_run()), path, "html")
    return path


@pytest.fixture(scope="module", params=["light", "dark"])
def opened(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1280, "height": 900})
    found = watched(context)

    def only_the_file(route: Route) -> None:
        found.requests.append(route.request.url)
        if route.request.url == file.as_uri():
            route.continue_()
        else:
            route.abort()

    context.route("**/*", only_the_file)
    found.page.goto(file.as_uri())
    for chart in found.page.locator(".plot").all():
        chart.locator(".main-svg").first.wait_for()
    yield found
    context.close()


def texts(page: Page, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def test_it_asks_for_nothing_and_nothing_goes_wrong(opened: Opened, file: Path) -> None:
    assert opened.requests == [file.as_uri()]
    assert opened.errors == []


def test_no_word_of_a_device_is_obeyed(opened: Opened) -> None:
    page = opened.page
    assert page.evaluate("window.pwned") is None
    assert opened.dialogs == []
    assert page.locator("main script, main img, main iframe").count() == 0
    # In labels and in cells the words are there as text, their markup unread.
    labels = " ".join(page.locator(".plot svg text").all_text_contents())
    assert "<script>window" in labels or "</script>" in labels
    assert page.locator(".plot svg a, .plot svg tspan[style*=bold]").count() == 0
    assert "<img src=x onerror=window.pwned=2>" in page.locator("#rows").text_content()  # type: ignore[operator]
    assert "\x1b" not in page.content() and "\u202e" not in page.content()


def test_an_injected_script_does_not_run(opened: Opened) -> None:
    opened.page.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = 'window.injected = 1';
          document.body.append(script) }"""
    )
    assert opened.page.evaluate("window.injected") is None
    assert "Content Security Policy" in opened.errors.pop()


def test_every_row_is_in_the_table(opened: Opened) -> None:
    run = whole_run()
    assert opened.page.locator("#rows tbody tr.row").count() == len(run.rows)
    outcomes = [type(one.outcome).__name__.lower() for one in run.rows]
    shown = opened.page.locator("#rows tbody").evaluate_all("bodies => bodies.map(b => b.className)")
    assert shown == outcomes
    badges = texts(opened.page, "#rows tr.row .badge")
    assert badges.count("valid") == 23 + 2 - badges.count("fell back")
    assert {"valid", "throttled", "too short", "fell back", "failed", "skipped"} == set(badges)


def test_failed_and_skipped_rows_have_their_reason(opened: Opened) -> None:
    reasons = texts(opened.page, ".reasons li")
    assert len(reasons) == 3
    assert any("int8-dynamic has no layer to quantize" in reason for reason in reasons)
    assert any("Another try may help." in reason for reason in reasons)


def test_the_charts_are_really_drawn(opened: Opened) -> None:
    page = opened.page
    charts = page.locator(".plot")
    assert charts.count() == 3 * 3
    for index in range(charts.count()):
        chart = charts.nth(index)
        box = chart.locator(".main-svg").first.bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 200
        kind = (chart.get_attribute("id") or "").split("-")[1]
        titles = " ".join(chart.locator(".xtitle, .ytitle").all_text_contents())
        assert ("MB" if kind == "memory" else "ms") in titles
        marks = {
            "quality": ".scatterlayer .points path",
            "memory": ".barlayer .point path",
            "latency": ".scatterlayer .js-fill",
        }
        shapes = chart.locator(marks[kind])
        assert shapes.count() >= 2, kind
        sizes = shapes.evaluate_all(
            "marks => marks.map(m => m.getBBox()).map(b => Math.max(b.width, b.height))"
        )
        assert min(sizes) > 1, (kind, sizes)


def test_the_first_chart_has_a_mark_for_every_row_with_both_figures(opened: Opened) -> None:
    document = report_document(whole_run())
    place = document.headlines[0]
    here = [r for r in document.rows if (r.workload, r.device) == (place.workload, place.device)]
    both = [r for r in here if r.quality and r.latency_ms and r.latency_ms.p50 is not None]
    runtimes = {r.runtime for r in both}
    drawn = opened.page.locator("#s0-quality .scatterlayer .points path").count()
    assert drawn - len(runtimes) in (len(both), len(both) - len(runtimes))
    assert opened.page.locator("#s0-latency .ytick text").count() == len([r for r in here if r.latency_ms])


def test_marks_lie_where_their_figures_say(opened: Opened) -> None:
    """The fastest row's marker is left of the slowest one's, and their axis starts at zero."""
    points: list[dict[str, Any]] = opened.page.evaluate(
        """() => document.getElementById('s0-quality').data.filter(t => t.hovertext).map((t, i) => ({
             x: t.x[0],
             at: document.querySelectorAll('#s0-quality .scatterlayer .trace')[i]
                   .querySelector('.points path').getBoundingClientRect().x}))"""
    )
    assert len(points) > 5
    ordered = sorted(points, key=lambda point: float(point["x"]))
    places = [point["at"] for point in ordered]
    assert places == sorted(places)
    assert opened.page.evaluate("document.getElementById('s0-quality').layout.xaxis.range[0]") == 0


def test_text_stands_out_from_its_ground(opened: Opened) -> None:
    """WCAG AA: 4.5 to 1, of the text in its various colours as the browser computes them."""
    ratios: dict[str, float] = opened.page.evaluate(
        """() => {
          const channel = c => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4 };
          const parse = text => text.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
          const ground = e => { for (; e; e = e.parentElement) {
            const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > .5) return c } };
          const found = {};
          for (const selector of ['.lead', '.meta', 'figcaption', '.answer ul', '.kicker', '.badge.valid',
                                  '.badge.failed', '.badge.skipped', '.badge.throttled', '.badge.too-short',
                                  'a', 'thead th', '.none', 'td small']) {
            const e = document.querySelector(selector);
            const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
            found[selector] = (a + .05) / (b + .05) }
          return found }"""
    )
    assert {name: round(value, 2) for name, value in ratios.items() if value < 4.5} == {}


def test_nothing_hangs_over_the_edge(opened: Opened) -> None:
    for width in (1280, 900, 390):
        opened.page.set_viewport_size({"width": width, "height": 900})
        # Charts follow the new width within a moment; the page's policy forbids Playwright's own polling.
        excess = opened.page.evaluate(
            """async () => {
              const excess = () => document.documentElement.scrollWidth - innerWidth;
              const end = Date.now() + 5000;
              while (excess() > 0 && Date.now() < end) await new Promise(done => setTimeout(done, 20));
              return excess() }"""
        )
        assert excess <= 0, width
    opened.page.set_viewport_size({"width": 1280, "height": 900})


def test_the_table_sorts_and_keeps_rows_without_the_figure_last(opened: Opened) -> None:
    page = opened.page
    head = page.locator("#rows thead button", has_text="p50")
    column = (
        "bodies => bodies.map(b => b.rows[0].cells[6].dataset.sort).map(s => s === '' ? null : Number(s))"
    )
    for direction in ("ascending", "descending"):
        head.focus()
        page.keyboard.press("Enter")
        assert head.locator("xpath=..").get_attribute("aria-sort") == direction
        figures = page.locator("#rows tbody").evaluate_all(column)
        present = [f for f in figures if f is not None]
        assert present == sorted(present, reverse=direction == "descending")
        assert figures[len(present) :] == [None] * (len(figures) - len(present))
        assert len(present) < len(figures)


def test_a_row_opens_to_its_evidence_by_keyboard(opened: Opened) -> None:
    page = opened.page
    button = page.locator("#rows .open").first
    details = page.locator(f"#{button.get_attribute('aria-controls')}")
    assert not details.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert details.is_visible() and button.get_attribute("aria-expanded") == "true"
    assert "first inference" in details.inner_text()
    page.keyboard.press("Enter")
    assert not details.is_visible()


def test_a_dash_tells_its_reason_on_focus_and_on_hover(opened: Opened) -> None:
    page = opened.page
    dash = page.locator("#rows .none", has_text="needs 662 samples").first
    tip = page.locator("#tip")
    dash.focus()
    assert tip.is_visible() and tip.inner_text().startswith("needs 662 samples for 99%")
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    dash.hover()
    assert tip.is_visible()
    page.mouse.move(0, 0)


def test_find_narrows_the_table(opened: Opened) -> None:
    page = opened.page
    page.fill("#find", "int8-static onnx")
    shown = page.locator("#rows tbody:visible")
    assert shown.count() == 2
    assert page.locator("#found").inner_text() == f"2 of {len(whole_run().rows)} rows"
    page.fill("#find", "")
    assert page.locator("#rows tbody:visible").count() == len(whole_run().rows)


def test_the_look_changes_and_the_charts_with_it(opened: Opened) -> None:
    page = opened.page

    def colours() -> tuple[str, str]:
        return (
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            page.evaluate("getComputedStyle(document.querySelector('#s0-memory .xtitle')).fill"),
        )

    before = colours()
    page.click("#theme")
    changed = colours()
    assert before[0] != changed[0] and before[1] != changed[1]
    page.click("#theme")
    assert colours() == before


def test_the_page_reads_without_scripts(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#rows tr.row").count() == len(whole_run().rows)
    assert page.locator("h1").count() == 1
    context.close()


def test_headings_and_captions_are_in_order(opened: Opened) -> None:
    levels = opened.page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 or later == 4 for earlier, later in pairwise(levels))
    assert opened.page.locator("table").count() == opened.page.locator("table > caption").count()
    assert opened.page.locator("figure").count() == opened.page.locator("figure > figcaption").count()
