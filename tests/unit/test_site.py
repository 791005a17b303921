"""The site as files: what is in it, what it does not do with others' words, and how it comes to be there."""

from __future__ import annotations

import fcntl
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import HOSTILE, latencies, launch, measured, row
from tests.sites import INT8, LOST, NIGHTS, PRUNED, Made, fill

from edgewright.cli.site import site as site_command
from edgewright.errors import ConfigError
from edgewright.report import frame
from edgewright.report.figures import figures_of
from edgewright.row import Failed
from edgewright.site import build as building
from edgewright.site.build import MARKER, Built, build_site
from edgewright.site.gather import gather
from edgewright.site.judging import Known
from edgewright.site.names import SLUG, run_slug, series_slug, slug
from edgewright.site.pages import data_file
from edgewright.site.samples import samples_lines
from edgewright.site.snapshot import Snapshot
from edgewright.store import Store
from edgewright.store.nights import newest_runs

ANY_TEXT = st.text() | st.sampled_from(
    [HOSTILE, "../../etc/passwd", "..", ".", "", "/", "a\0b", "CON", "é/ü", "\ud800"]
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return fill(tmp_path_factory.mktemp("store") / "store.sqlite")


@pytest.fixture(scope="module")
def snapshot(made: Made) -> Snapshot:
    with Store.open(made.path) as store:
        return gather(store, 0.05)


@pytest.fixture(scope="module")
def built(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Built:
    with Store.open(made.path) as store:
        return build_site(store, tmp_path_factory.mktemp("out") / "site", threshold=0.05, sampled=1)


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


class Parsed(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@given(ANY_TEXT)
def test_a_name_of_a_file_is_plain_whatever_it_is_made_from(text: str) -> None:
    for made in (slug(text), run_slug(text), series_slug(text)):
        assert re.fullmatch(SLUG, made) and len(made) <= 60


@given(ANY_TEXT, ANY_TEXT)
def test_two_texts_never_share_a_name(a: str, b: str) -> None:
    assert (slug(a) == slug(b)) == (a == b)
    assert (series_slug(a) == series_slug(b)) == (a == b)


def test_ids_of_ours_stay_readable() -> None:
    assert run_slug("20260101-011500-abcdef01") == "20260101-011500-abcdef01"
    assert run_slug("20260101-011500-abcdef01/..") != "20260101-011500-abcdef01"
    assert series_slug("0123456789abcdef" * 2) == "0123456789abcdef"


@settings(max_examples=60)
@given(
    st.recursive(
        ANY_TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)
    )
)
def test_data_in_a_script_means_the_same_and_ends_nothing(value: object) -> None:
    text = str(frame.data(value))
    assert text.isascii() and not set(text) & set("<>&\u2028\u2029\n\r")
    assert json.loads(text) == value
    script = data_file("name", value)
    assert "</" not in script and "<!--" not in script and script.count("\n") == 1


def test_the_newest_night_is_told_as_it_was(snapshot: Snapshot, made: Made) -> None:
    (night,) = snapshot.nights
    assert night.ended.run.run_id == made.run_ids[-1] and night.verdict == "bad"
    assert [one.series.recipe for one in night.worse] == [INT8.recipe]
    assert [one.series.recipe for one in night.better] == [PRUNED.recipe]
    assert [(one.series.recipe, one.state) for one in night.missing] == [(LOST.recipe, "failed")]
    assert not night.suspects and not night.unknown
    assert (night.red, night.unsure, night.green, night.skipped) == (2, 0, 3, 1)
    assert abs(night.worse[0].change.ratio - 1.2) < 0.02
    assert night.before is not None and night.before.run_id == made.run_ids[-2]


def test_a_cell_that_was_measured_again_is_one_cell(tmp_path: Path, snapshot: Snapshot) -> None:
    made = fill(tmp_path / "store.sqlite")
    with Store.open(made.path) as store:
        again = next(one for one in store.run(made.run_ids[-1]).rows if one.cell == INT8)
        for number in (1, 2):
            store.add_row(made.run_ids[-1], again, f"int8+{number}", figures_of(again))
        (night,) = gather(store, 0.05).nights
    (before,) = snapshot.nights
    assert night.again == 2 and night.ended.rows == before.ended.rows + 2
    assert (night.red, night.unsure, night.green) == (before.red, before.unsure, before.green)


def test_devices_have_their_health_and_their_trend(snapshot: Snapshot) -> None:
    devices = {device.name: device for device in snapshot.devices}
    assert devices["pi5"].status == "well" and len(devices["pi5"].marks) == NIGHTS
    assert all(mark.celsius == 48.0 for mark in devices["pi5"].marks)
    paces = [mark.pace for mark in devices["pi5"].marks if mark.pace is not None]
    assert len(paces) == NIGHTS and all(0.9 < pace < 1.1 for pace in paces)
    rogue = next(device for name, device in devices.items() if name != "pi5")
    assert rogue.status == "quarantined"


def test_a_series_whose_cell_failed_last_says_so(snapshot: Snapshot) -> None:
    lost = next(view for view in snapshot.series if view.document.series.recipe == LOST.recipe)
    assert lost.last.outcome == "failed" and lost.good is not None
    assert lost.document.measurements == NIGHTS - 1


def test_the_overview_s_query_counts_each_run(made: Made) -> None:
    with Store.open(made.path) as store:
        found = newest_runs(store, each=3, names=5)
    assert [one.run.run_id for one in found] == list(made.run_ids[:-4:-1])
    assert found[0].states == {"valid": 4, "failed": 1, "skipped": 1} and found[0].rows == 6
    assert found[1].states == {"valid": 5, "skipped": 1}


def test_processes_find_the_same_changes_as_one(
    made: Made, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.site.judging.FEW", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    known = Known()
    with Store.open(made.path) as store:
        found = gather(store, 0.05, known=known)
        assert len(known.courses) == len(snapshot.series)
        again = gather(store, 0.05, known=known)
    assert found.series == again.series == snapshot.series
    assert found.nights == snapshot.nights


def test_every_file_is_where_it_belongs(built: Built, made: Made) -> None:
    found = files(built.folder)
    assert built.files == len(found) and built.size_bytes == sum(len(t.encode()) for t in found.values())
    allowed = re.compile(rf"({SLUG}/)*{SLUG}\.(html|js|css|csv)|{re.escape(MARKER)}")
    assert [name for name in found if not allowed.fullmatch(name)] == []
    assert {"index.html", "matrix.html", "devices.html", "series.html", "runs.html", "compare.html"} <= set(
        found
    )
    assert len([name for name in found if name.startswith("series/")]) == 5
    assert len([name for name in found if name.startswith("data/runs/")]) == NIGHTS
    assert f"samples/{made.run_ids[-1]}/1.csv" in found and f"samples/{made.run_ids[-2]}/1.csv" not in found
    assert not any(path.is_symlink() for path in built.folder.rglob("*"))


def test_the_newest_run_is_held_against_the_one_before_by_raw_samples(built: Built, made: Made) -> None:
    found = files(built.folder)
    assert [name for name in found if name.startswith("exact/")] == [f"exact/{made.run_ids[-1]}.html"]
    page = found[f"exact/{made.run_ids[-1]}.html"]
    assert made.run_ids[-2] in page and "by the raw samples of their launches" in page
    assert f'"{made.run_ids[-2]} {made.run_ids[-1]}":"exact/{made.run_ids[-1]}.html"' in found["compare.html"]


def test_every_link_leads_to_a_page_that_is_there(built: Built) -> None:
    found = files(built.folder)
    broken = []
    for name, text in found.items():
        if not name.endswith(".html"):
            continue
        for tag, attributes in Parsed(text).tags:
            for target in (attributes.get("href"), attributes.get("src")):
                if target is None:
                    continue
                path, _, part = target.partition("#")
                there = os.path.normpath(Path(name).parent / path) if path else name
                if there not in found or (part == "main" and 'id="main"' not in text):
                    broken.append((name, tag, target))
    assert broken == []


def test_no_word_of_a_device_becomes_markup(built: Built) -> None:
    for name, text in files(built.folder).items():
        assert "\x1b" not in text and "\u202e" not in text and "\u2028" not in text, name
        if name.endswith(".js"):
            assert "<script" not in text and "</script" not in text, name
        if name.endswith(".html"):
            tags = Parsed(text).tags
            assert not [tag for tag, _ in tags if tag in ("img", "iframe", "b-", "object", "base", "form")], (
                name
            )
            assert not [a for _, attrs in tags for a in attrs if a.startswith("on") or a == "style"], name
            scripts = [attrs for tag, attrs in tags if tag == "script"]
            assert all("src" in one or one.get("type") == "application/json" for one in scripts), name
            policy = next(attrs["content"] for tag, attrs in tags if attrs.get("http-equiv"))
            assert policy is not None and "unsafe" not in policy and policy.startswith("default-src 'none'")
    everything = "".join(files(built.folder).values())
    assert "&lt;script&gt;window.pwned=1" in everything  # it is there to be read


def test_pages_are_made_to_be_read_aloud(built: Built) -> None:
    for name, text in files(built.folder).items():
        if not name.endswith(".html"):
            continue
        tags = Parsed(text).tags
        names = [tag for tag, _ in tags]
        assert names.count("h1") == 1 and names.count("table") == names.count("caption"), name
        assert all("scope" in attrs for tag, attrs in tags if tag == "th"), name
        ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
        assert len(ids) == len(set(ids)), name
        labelled = [attrs["aria-labelledby"] for _, attrs in tags if "aria-labelledby" in attrs]
        assert set(labelled) <= set(ids), name
        drawings = [attrs for tag, attrs in tags if tag == "svg" and attrs.get("aria-hidden") != "true"]
        assert all(attrs.get("aria-label") and attrs.get("role") for attrs in drawings), name


def test_raw_samples_are_numbers_and_nothing_else() -> None:
    one = row(measured(launch(latencies(4.2, 30)), launch(latencies(4.2, 20, seed=1))))
    head, *lines = "".join(samples_lines(one) or ()).splitlines()
    assert head == "attempt,launch,phase,number,latency_ns"
    assert all(re.fullmatch(r"1,[12],(first|warmup|steady),\d+,\d+", line) for line in lines)
    assert sum(",steady," in line for line in lines) == 50 and sum(",first," in line for line in lines) == 2
    assert samples_lines(row(Failed("no", "timeout"))) is None


def test_raw_samples_take_no_more_room_than_they_may(made: Made, tmp_path: Path) -> None:
    with Store.open(made.path) as store:
        whole = build_site(store, tmp_path / "whole", threshold=0.05, sampled=1)
        files = sorted((tmp_path / "whole/samples").rglob("*.csv"))
        room = sum(path.stat().st_size for path in files[:2]) + 100
        less = build_site(store, tmp_path / "less", threshold=0.05, sampled=1, samples_bytes=room)
    written = sorted((tmp_path / "less/samples").rglob("*.csv"))
    assert [path.name for path in written] == [path.name for path in files[:2]] and len(files) > 2
    assert less.files == whole.files - len(files) + 2 and less.size_bytes < whole.size_bytes
    page = (tmp_path / "less/runs" / f"{run_slug(made.run_ids[-1])}.html").read_text()
    assert f"for {len(files) - 2} of them there was no room here" in page
    assert f'"samples":{[int(path.stem) for path in written]}'.replace(" ", "") in page
    assert "no room" not in (tmp_path / "whole/runs" / f"{run_slug(made.run_ids[-1])}.html").read_text()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_new_site_takes_the_place_of_the_old_one_whole(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(building, "_exchange", lambda a, b: False)
    folder = tmp_path / "site"
    with Store.open(made.path) as store:
        build_site(store, folder, threshold=0.05, sampled=0)
        (folder / "index.html").write_text("of the old site")
        left = tmp_path / f".{folder.name}.building-dead"
        left.mkdir()
        held = tmp_path / f".{folder.name}.building-alive"
        held.mkdir()
        handle = os.open(held, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        build_site(store, folder, threshold=0.05, sampled=0)
        os.close(handle)
    assert (folder / "index.html").read_text() != "of the old site"
    assert sorted(path.name for path in tmp_path.iterdir()) == [held.name, "site"]


@pytest.mark.parametrize("what", ["file", "folder", "marker of another", "link to a marker"])
def test_nothing_but_a_site_is_replaced(what: str, made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    if what == "file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "thesis.txt").write_text("mine")
    if what == "marker of another":
        (folder / MARKER).write_text("something else")
    if what == "link to a marker":
        (tmp_path / "elsewhere").write_text("edgewright site")
        (folder / MARKER).symlink_to(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = CliRunner().invoke(site_command, ["build", "-o", str(folder), "--store", str(made.path)])
    assert isinstance(done.exception, ConfigError) and done.exception.exit_code == 2
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["CNAME", ".git/HEAD", "devices/mine.txt"])
def test_what_somebody_put_into_a_site_is_kept(name: str, made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    words = ["build", "-o", str(folder), "--samples", "0", "--store", str(made.path)]
    assert CliRunner().invoke(site_command, words).exit_code == 0
    assert CliRunner().invoke(site_command, words).exit_code == 0
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = files(folder)
    done = CliRunner().invoke(site_command, words)
    assert isinstance(done.exception, ConfigError) and Path(name).name in str(done.exception)
    assert files(folder) == before


def test_a_site_of_a_version_that_listed_no_files_is_replaced(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / MARKER).write_text("edgewright site, 0.0.1, 2026-01-01T00:00:00+00:00\n")
    (folder / "old.html").write_text("old")
    with Store.open(made.path) as store:
        build_site(store, folder, threshold=0.05, sampled=0)
    assert not (folder / "old.html").exists() and (folder / "index.html").exists()


@pytest.mark.parametrize("name", ["loop", "~nobody-of-that-name/site", "a\0b"])
def test_a_place_where_no_folder_can_be_is_one_line(name: str, made: Made, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    place = name if name.startswith("~") else f"{tmp_path}/{name}"
    with Store.open(made.path) as store, pytest.raises(ConfigError) as told:
        build_site(store, Path(place), threshold=0.05, sampled=0)
    assert "\n" not in str(told.value)


def test_a_build_that_fails_leaves_the_old_site(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    with Store.open(made.path) as store:
        build_site(store, folder, threshold=0.05, sampled=0)
        before = files(folder)

        def full(self: object, path: str, text: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(building._Writer, "text", full)
        with pytest.raises(ConfigError, match="No space left on device"):
            build_site(store, folder, threshold=0.05, sampled=0)
    assert files(folder) == before and [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_store_that_is_not_there_takes_no_site_away(made: Made, tmp_path: Path) -> None:
    words = ["build", "-o", str(tmp_path / "site"), "--samples", "0", "--store"]
    assert CliRunner().invoke(site_command, [*words, str(made.path)]).exit_code == 0
    before = files(tmp_path / "site")
    done = CliRunner().invoke(site_command, [*words, str(tmp_path / "mistyped.sqlite")])
    assert isinstance(done.exception, ConfigError) and "no such store" in str(done.exception)
    assert files(tmp_path / "site") == before and not (tmp_path / "mistyped.sqlite").exists()


def test_an_empty_store_has_a_site_too(tmp_path: Path) -> None:
    Store.open(tmp_path / "s.sqlite").close()
    done = CliRunner().invoke(
        site_command, ["build", "-o", str(tmp_path / "site"), "--store", str(tmp_path / "s.sqlite")]
    )
    assert done.exit_code == 0, done.output
    assert "No run is stored yet" in (tmp_path / "site/index.html").read_text()
    assert done.output.endswith("\n") and "0 series, 0 runs" in done.output
