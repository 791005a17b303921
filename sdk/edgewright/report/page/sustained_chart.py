"""The curve of a sustained run: latency in windows, with the device's heat and clock beside it."""

from __future__ import annotations

from itertools import groupby

from edgewright.report.scenario_document import Sustained
from edgewright.report.units import milliseconds
from edgewright.report.view import RowView

from .figure import FAINT, GRID, INK, LEGEND, Figure, Palette, base_layout

_HEAT, _CLOCK = "var(--c5)", "var(--c2)"


def curve(view: RowView, palette: Palette) -> Figure | None:
    """The median of each window, a band up to p90, temperature and clock on axes of their own.

    None for a row that was not sustained.
    """
    shown = view.row.scenario.sustained if view.row.scenario else None
    if shown is None or len(shown.windows) < 2:
        return None
    colour = palette.colours[view.row.recipe]
    traces = [*_band(shown, colour), _median(shown, colour), *_state(shown)]
    layout = base_layout("minutes since the run began", "latency of one inference, ms")
    highest = max(window.p90_ms or window.p50_ms for window in shown.windows)
    layout["yaxis"] |= {"range": [0, highest * 1.08], "zeroline": False}
    layout["xaxis"] |= {"range": [0, shown.minutes], "zeroline": False}
    layout["legend"] = LEGEND
    layout["hovermode"] = "x unified"
    layout["margin"] |= {"t": 44, "r": 64}
    layout["height"] = 380
    layout |= _axes(shown)
    layout["shapes"] = _marks(shown)
    return {"data": traces, "layout": layout}


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 5)


def _band(shown: Sustained, colour: str) -> list[Figure]:
    """From the median to p90; interrupted where a window has too few samples for one."""
    traces: list[Figure] = []
    middle = shown.window_s / 2
    for has_band, group in groupby(shown.windows, key=lambda window: window.p90_ms is not None):
        held = [(w, w.p90_ms) for w in group if w.p90_ms is not None]
        if not has_band or len(held) < 2:
            continue
        common = {
            "type": "scatter",
            "mode": "lines",
            "x": [_minutes(w.t_s + middle) for w, _ in held],
            "line": {"width": 0},
            "legendgroup": "band",
        }
        traces += [
            {**common, "y": [w.p50_ms for w, _ in held], "showlegend": False, "hoverinfo": "skip"},
            {
                **common,
                "y": [p90 for _, p90 in held],
                "fill": "tonexty",
                "fillcolor": f"{colour}/0.25",
                "name": "up to p90",
                "showlegend": not traces,
                "hoverinfo": "text",
                "hovertext": [f"p90 {milliseconds(p90)}" for _, p90 in held],
            },
        ]
    return traces


def _median(shown: Sustained, colour: str) -> Figure:
    middle = shown.window_s / 2
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"median of {shown.window_s:g} s",
        "x": [_minutes(w.t_s + middle) for w in shown.windows],
        "y": [w.p50_ms for w in shown.windows],
        "line": {"color": colour, "width": 1.8},
        "hoverinfo": "text",
        "hovertext": [f"median {milliseconds(w.p50_ms)} of {w.count:,}" for w in shown.windows],
    }


def _state(shown: Sustained) -> list[Figure]:
    """Temperature and clock as they were read; the first and last reading are from outside the run."""
    traces = []
    for name, unit, colour, axis, readings in (
        ("temperature", "°C", _HEAT, "y2", [(m.t_s, m.temperature_celsius) for m in shown.environment]),
        ("fastest clock", "MHz", _CLOCK, "y3", [(m.t_s, m.frequency_mhz) for m in shown.environment]),
    ):
        told = [(t, value) for t, value in readings if value is not None and 0 <= t <= 60 * shown.minutes]
        if len(told) < 2:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{name}, {unit}",
                "x": [_minutes(t) for t, _ in told],
                "y": [round(value, 2) for _, value in told],
                "yaxis": axis,
                "line": {"color": colour, "width": 1.2, "dash": "dot", "shape": "hv"},
                "hoverinfo": "text",
                "hovertext": [f"{name} {value:,.4g} {unit}" for _, value in told],
            }
        )
    return traces


def _axes(shown: Sustained) -> Figure:
    """A right-hand axis for the temperature, and a further one for the clock."""
    inside = [m for m in shown.environment if 0 <= m.t_s <= 60 * shown.minutes]
    has_heat = sum(m.temperature_celsius is not None for m in inside) > 1
    has_clock = sum(m.frequency_mhz is not None for m in inside) > 1
    common = {
        "overlaying": "y",
        "side": "right",
        "tickmode": "auto",
        "nticks": 6,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }
    axes: Figure = {}
    if has_heat:
        axes["yaxis2"] = {**common, "title": {"text": "°C"}, "color": _HEAT, "linecolor": GRID}
    if has_clock:
        axes["yaxis3"] = {
            **common,
            "title": {"text": "MHz"},
            "color": _CLOCK,
            "linecolor": GRID,
            "rangemode": "tozero",
        }
    if has_heat and has_clock:
        axes["xaxis"] = {
            **base_layout("minutes since the run began", "")["xaxis"],
            "domain": [0, 0.93],
            "range": [0, shown.minutes],
            "zeroline": False,
        }
        axes["yaxis3"] |= {"anchor": "free", "position": 1.0}
    return axes


def _marks(shown: Sustained) -> list[Figure]:
    """Where throttling began, and where the steady state does."""
    marks = []
    for at_s, colour, dash in ((shown.throttled_after_s, INK, "solid"), (shown.steady_from_s, FAINT, "dash")):
        if at_s is not None:
            marks.append(
                {
                    "type": "line",
                    "xref": "x",
                    "yref": "paper",
                    "x0": _minutes(at_s),
                    "x1": _minutes(at_s),
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": colour, "width": 1, "dash": dash},
                }
            )
    return marks


def title(view: RowView) -> str:
    """Which run it is."""
    return f"Over time: {view.row.recipe} in {view.row.runtime}"


def caption(view: RowView) -> str:
    """What the curve shows, in words."""
    shown = view.row.scenario.sustained if view.row.scenario else None
    assert shown
    marks = "The dashed line is where the steady state begins"
    if shown.throttled_after_s is not None:
        marks += ", the full one where throttling did"
    return f"{view.scenario[:1].upper()}{view.scenario[1:]}. {marks}."
