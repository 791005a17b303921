"""The pages' common ground: templates, addresses, words and the policy they are under."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment

from edgewright import __version__
from edgewright.history.words import amount, differences
from edgewright.history.words import name as series_name
from edgewright.report import frame
from edgewright.report.frame import scatter
from edgewright.report.text import clean
from edgewright.report.units import DASH, millijoules, milliseconds, score, size

from . import timeline
from .names import run_slug, series_slug, slug
from .snapshot import latency_ns, state_of

_PACKAGE = "edgewright.site"
#: Every page may be reached from every other.
NAVIGATION = (
    ("index.html", "Overview"),
    ("matrix.html", "Matrix"),
    ("devices.html", "Devices"),
    ("series.html", "Series"),
    ("runs.html", "Runs"),
    ("compare.html", "Compare"),
)
#: What pages fetch from their own folder: name -> the files it is made of.
ASSETS = {
    "assets/site.css": ("frame.css", "site.css"),
    "assets/site.js": ("frame.js", "site.js"),
    "assets/compare.js": ("compare.js",),
    "assets/series.js": ("series.js",),
}
#: Scripts and styles are files beside the page; ``file:`` for browsers that know no 'self' on a disk.
_WRITTEN = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; base-uri 'none'; form-action 'none'"
)
LIVE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
#: How a state looks; all others like a warning. The word itself is always beside it.
_GOOD = ("valid", "good", "well", "faster", "same", "finished")
_BAD = (
    "bad",
    "failed",
    "slower",
    "missing",
    "absent",
    "quarantined",
    "not well",
    "throttled",
    "undervolted",
    "fell back",
)
_IDLE = ("skipped", "emulated", "not checked", "not applicable")
_LOOKS = {**dict.fromkeys(_GOOD, "good"), **dict.fromkeys(_BAD, "bad"), **dict.fromkeys(_IDLE, "idle")}


@dataclass(frozen=True)
class Notes:
    """What all pages of a site say of themselves: when it was read, and whether it is served live."""

    taken_at: str
    is_live: bool = False


class Renderer:
    """Fills templates.

    Args:
        notes: for the foot of every page.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._environment = _environment()

    def page(self, template: str, path: str, **context: Any) -> str:
        """A page as text.

        Args:
            template: its name without the ending.
            path: where it will be, from the site's root.
            context: what the template asks for.
        """
        return self._environment.get_template(f"{template}.html.j2").render(
            root="../" * path.count("/"),
            path=path,
            navigation=NAVIGATION,
            notes=self._notes,
            generator=f"edgewright {__version__}",
            policy=LIVE_POLICY if self._notes.is_live else _WRITTEN,
            **context,
        )


def data_file(name: str, value: Any) -> str:
    """A script that hands data to the page that asked for it by name: a page on a disk cannot fetch any."""
    return f"edgewright.arrived({frame.data(name)},{frame.data(value)});\n"


def asset(path: str) -> str:
    """One of :data:`ASSETS`."""
    parts = (
        frame.asset(frame.__name__ if name.startswith("frame.") else _PACKAGE, name) for name in ASSETS[path]
    )
    return "".join(parts)


def look(state: str) -> str:
    """The class of a state's badge."""
    return _LOOKS.get(state, "warn")


def percent(share: float) -> str:
    """A change with its sign, from a ratio: 1.05 is +5.0 %."""
    return f"{share - 1:+.1%}"


def nanoseconds(value: float | None) -> str:
    """A time as people read it; a dash for none."""
    return DASH if value is None else milliseconds(value / 1e6)


def duration(started: str, finished: str | None) -> str:
    """From one ISO time to another, in hours and minutes."""
    if not finished:
        return "not finished"
    minutes = round((timeline.seconds(finished) - timeline.seconds(started)) / 60)
    if minutes < 1:
        return "under a minute"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def stamp(seconds: float) -> str:
    """Seconds since 1970, as people write a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def counted(count: int, one: str, many: str = "") -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _environment() -> Environment:
    environment = frame.environment(_PACKAGE)
    environment.filters.update(
        amount=amount,
        clean=clean,
        differences=differences,
        look=look,
        moment=frame.moment,
        nanoseconds=nanoseconds,
        percent=percent,
        run_slug=run_slug,
        series_name=series_name,
        series_slug=series_slug,
        slug=slug,
        spark=timeline.spark,
        stamp=stamp,
    )
    environment.globals.update(
        counted=counted,
        dash=DASH,
        duration=duration,
        data=frame.data,
        latency_ns=latency_ns,
        millijoules=millijoules,
        plot_frame=scatter.FRAME,
        score=score,
        size=size,
        state_of=state_of,
    )
    return environment


def columns(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Rows as columns, which are smaller as JSON and quicker to read."""
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}
