"""Charts: one template for both themes, zoom kept, exact UTC on hover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go
import streamlit as st

from engine.domain.instruments import is_bid
from engine.domain.products.binary import mirrored
from pages.frame import look
from pages.kit.words import clock, decimals_of, utc, zone
from storage.views import Row

if TYPE_CHECKING:
    from storage.ticks import Candle

HOUR_NS = 3_600 * 10**9
CONFIG = {"displayModeBar": False, "scrollZoom": False}
RANGES_S = {"1 h": 3_600, "1 d": 86_400, "1 w": 604_800, "1 m": 2_592_000, "all": None}
FILLED = {True: ("#3fb950", "#ff7b72"), False: ("#1a7f37", "#b42318")}
"""Colours of what bought and what sold, by whether the theme is dark."""
LINES = {
    True: (
        "#2dd4bf",
        "#79c0ff",
        "#e3b341",
        "#ff7b72",
        "#d2a8ff",
        "#7ee787",
        "#ffa657",
        "#f0f6fc",
    ),
    False: (
        "#0f766e",
        "#0550ae",
        "#8a5a00",
        "#b42318",
        "#6639ba",
        "#1a7f37",
        "#bc4c00",
        "#24292f",
    ),
}
"""Colours of curves in one chart, by whether the theme is dark; so many can be distinguished."""
DASHES = ("solid", "dot", "dash", "dashdot")
_INK = {True: ("#93a1b1", "#1f2a37", "#2dd4bf"), False: ("#51606f", "#d5dde6", "#0f766e")}


class OrderLine(NamedTuple):
    """An order in a chart: its whole price, whether it buys, and when it stood, ns UTC."""

    price: float
    buys: bool
    placed_ns: int
    ended_ns: int


def equity(points: Sequence[tuple[int, Decimal]], currency: str, key: str) -> None:
    """Draw an equity curve; the dotted line is where it began."""
    figure = figure_of(points, currency, key)
    st.plotly_chart(figure, theme=None, config=CONFIG, key=key, height=300)


def figure_of(points: Sequence[tuple[int, Decimal]], currency: str, key: str) -> go.Figure:
    """Return the figure of an equity curve. `points` is not empty."""
    _, _, accent = _INK[look.dark()]
    figure = go.Figure(
        go.Scatter(
            x=_wall([at_ns for at_ns, _ in points]),
            y=[float(value) for _, value in points],
            mode="lines" if len(points) > 1 else "markers",
            line={"color": accent, "width": 1.6, "shape": "hv"},
            customdata=[utc(at_ns) for at_ns, _ in points],
            hovertemplate=f"%{{y:,.4f}} {currency}<br>%{{customdata}}<extra></extra>",
        )
    )
    ink = _INK[look.dark()][0]
    figure.add_hline(y=float(points[0][1]), line={"color": ink, "width": 1, "dash": "dot"})
    return _laid_out(figure, currency, key, ",.2f")


def compared(
    curves: Mapping[str, Sequence[tuple[int, Decimal]]], currency: str | None, key: str
) -> None:
    """Draw what each curve gained since its first point, by its name; none of them is empty.

    In `currency`; None = the curves are in several, so in per cent of their beginning. Curves of
    different times are laid over each other from their beginnings.
    """
    together = max(c[0][0] for c in curves.values()) <= min(c[-1][0] for c in curves.values())
    unit, figure = "%" if currency is None else currency, go.Figure()
    colours, far = LINES[look.dark()], Decimal(0)
    for place, (name, points) in enumerate(curves.items()):
        start_ns, first = points[0]
        times = [at_ns for at_ns, _ in points]
        moved = [
            value - first if currency is not None else 100 * (value / first - 1)
            for _, value in points
        ]
        far = max([far, *map(abs, moved)])
        figure.add_scatter(
            x=_wall(times) if together else [(at_ns - start_ns) / HOUR_NS for at_ns in times],
            y=[float(value) for value in moved],
            name=name,
            mode="lines" if len(points) > 1 else "markers",
            line={
                "color": colours[place % len(colours)],
                "dash": DASHES[place % len(DASHES)],
                "width": 1.6,
                "shape": "hv",
            },
            customdata=[utc(at_ns) for at_ns in times],
            hovertemplate=f"%{{y:+,.4f}} {unit}<br>%{{customdata}}<extra>{escape(name)}</extra>",
        )
    figure.update_layout(
        uirevision=key,
        yaxis={"tickformat": f"+,.{decimals_of([far / 10])}f"},
        legend={"orientation": "h", "y": -0.2},
    )
    across = zone() if together else "hours since the start"
    st.plotly_chart(
        dressed(figure, across, unit, height=380, legend=True),
        theme=None,
        config=CONFIG,
        key=key,
        height=380,
    )


def series(
    closes: Sequence[Sequence[float | None]],
    numbers: Mapping[str, Sequence[Sequence[float | None]]],
    trades: Sequence[Sequence[object]],
    key: str,
) -> None:
    """Draw closes with trades on them, and below them every series on an axis of its own scale.

    A point is (ns UTC, number or None); a trade (ns UTC, `buy` or `sell`, price).
    """
    figure = go.Figure()
    colours, ups = LINES[look.dark()], FILLED[look.dark()]
    for place, (name, points) in enumerate({"close": closes, **numbers}.items()):
        times = [int(point[0] or 0) for point in points]
        figure.add_scatter(
            x=_wall(times),
            y=[point[1] for point in points],
            name=escape(name),
            yaxis="y" if not place else "y2",
            line={"color": colours[place % len(colours)], "width": 1.4},
            customdata=[utc(at_ns) for at_ns in times],
            hovertemplate=f"%{{y:,.6g}}<br>%{{customdata}}<extra>{escape(name)}</extra>",
        )
    for side, symbol, colour in (("buy", "triangle-up", ups[0]), ("sell", "triangle-down", ups[1])):
        mine = [trade for trade in trades if trade[1] == side]
        figure.add_scatter(
            x=_wall([int(str(trade[0])) for trade in mine]),
            y=[trade[2] for trade in mine],
            mode="markers",
            name=side,
            marker={"symbol": symbol, "size": 9, "color": colour},
        )
    height = 460 if numbers else 300
    figure = dressed(figure, zone(), height=height, legend=True)
    figure.update_layout(uirevision=key, legend={"orientation": "h", "y": -0.15})
    if numbers:
        _two_axes(figure)
    st.plotly_chart(figure, theme=None, config=CONFIG, key=key, height=height)


def _two_axes(figure: go.Figure) -> None:
    """Give the series an axis of their own below the closes."""
    figure.update_layout(
        yaxis={"domain": [0.45, 1.0]},
        xaxis={"anchor": "y2"},
        yaxis2={**figure.layout.yaxis.to_plotly_json(), "domain": [0.0, 0.38], "anchor": "x"},
    )


def prices(
    stored: Sequence[Candle],
    fills: Sequence[Row],
    one: int,
    key: str,
    *,
    in_cents: bool,
    resting: Sequence[tuple[float, bool]] = (),
    lives: Sequence[OrderLine] = (),
) -> None:
    """Draw candles of a mid, and our fills on it: up bought, down sold, in YES-space.

    `one` = increments of a whole price; every candle has both sides at its end. `resting` are
    orders that stand: the whole price of each and whether it buys. `lives` are orders drawn from
    when they were placed to when they ended.
    """
    rise, fall = FILLED[look.dark()]
    scale = 100 if in_cents else 1
    figure = go.Figure()
    if stored:
        values = {
            name: [scale * (getattr(row, f"{name}2") or 0) / 2 / one for row in stored]
            for name in ("open", "high", "low", "close")
        }
        figure.add_candlestick(
            x=_wall([row.start_ns for row in stored]),
            **values,
            increasing_line_color=rise,
            decreasing_line_color=fall,
            line_width=1,
            hovertext=[f"{utc(row.start_ns)}<br>{row.trades:,} trades" for row in stored],
        )
    _draw_lives(figure, lives, scale)
    _mark_fills(figure, fills, scale, "¢" * in_cents)
    for level, buys in resting:
        line = {"color": rise if buys else fall, "width": 1, "dash": "dot"}
        figure.add_hline(y=scale * level, line=line)
    st.plotly_chart(
        _laid_out(figure, "price, ¢" if in_cents else "price", key, ".3~f"),
        theme=None,
        config=CONFIG,
        key=key,
        height=300,
    )


def _draw_lives(figure: go.Figure, lives: Sequence[OrderLine], scale: int) -> None:
    """Draw each order as a line at its price; all that buy are one trace, all that sell another."""
    colours = FILLED[look.dark()]
    for buys, colour in ((True, 0), (False, 1)):
        some = [one for one in lives if one.buys is buys]
        if not some:
            continue
        walls = _wall([at_ns for one in some for at_ns in (one.placed_ns, one.ended_ns)])
        across: list[datetime | None] = []
        up: list[float | None] = []
        for place, one in enumerate(some):
            across += [*walls[2 * place : 2 * place + 2], None]  # None = the pen is lifted
            up += [scale * one.price, scale * one.price, None]
        figure.add_scatter(
            x=across,
            y=up,
            mode="lines",
            line={"color": colours[colour], "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )


def _mark_fills(figure: go.Figure, fills: Sequence[Row], scale: int, unit: str) -> None:
    """Draw fills on a chart of prices: up bought, down sold, in YES-space."""
    colours = FILLED[look.dark()]
    for up, colour in ((True, 0), (False, 1)):
        some = [
            row
            for row in fills
            if row["price"] is not None and is_bid(row["side"], row["leg"]) is up
        ]
        figure.add_scatter(
            x=_wall([row["at_ns"] for row in some]),
            y=[scale * float(mirrored(row["leg"], row["price"], 1)) for row in some],
            mode="markers",
            marker={
                "symbol": "triangle-up" if up else "triangle-down",
                "size": 10,
                "color": colours[colour],
                "line": {"width": 1, "color": _INK[look.dark()][0]},
            },
            customdata=[f"{row['side']} {row['leg']} {row['size']}" for row in some],
            hovertemplate=f"%{{customdata}} at %{{y:.4~f}}{unit}<extra></extra>",
        )


def _wall(times: Sequence[int]) -> list[datetime]:
    """Return times as plotly draws them: the zone's wall clock, without the zone."""
    where = clock()
    return [
        datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone(where).replace(tzinfo=None)
        for at_ns in times
    ]


def _laid_out(figure: go.Figure, unit: str, key: str, form: str) -> go.Figure:
    figure.update_layout(
        uirevision=key, xaxis={"rangeslider": {"visible": False}}, yaxis={"tickformat": form}
    )
    return dressed(figure, zone(), unit)


def dressed(
    figure: go.Figure, across: str, up: str = "", *, height: int = 300, legend: bool = False
) -> go.Figure:
    """Give a figure the desk's look in the browser's theme; `across` and `up` name its axes."""
    ink, line, _ = _INK[look.dark()]
    axis = {
        "automargin": True,
        "gridcolor": line,
        "linecolor": line,
        "zeroline": False,
        "tickfont": {"color": ink},
    }
    return figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, system-ui, sans-serif", "size": 12, "color": ink},
        showlegend=legend,
        xaxis={**axis, "title": {"text": across, "font": {"size": 11}}},
        yaxis={**axis, "title": {"text": up, "font": {"size": 11}}},
    )


def drawdown(points: Sequence[tuple[int, Decimal]]) -> Decimal:
    """Return the deepest fall from an earlier high, ≥ 0. Exact on curves thinned to extremes."""
    peak, deepest = points[0][1] if points else Decimal(0), Decimal(0)
    for _, value in points:
        peak = max(peak, value)
        deepest = max(deepest, peak - value)
    return deepest
