"""Charts: one template for both themes, zoom kept, exact UTC on hover."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import plotly.graph_objects as go
import streamlit as st

from pages.frame import look
from pages.kit.words import clock, utc, zone

CONFIG = {"displayModeBar": False, "scrollZoom": False}
RANGES_S = {"1 h": 3_600, "1 d": 86_400, "1 w": 604_800, "1 m": 2_592_000, "all": None}
_INK = {True: ("#93a1b1", "#1f2a37", "#2dd4bf"), False: ("#51606f", "#d5dde6", "#0f766e")}


def equity(points: Sequence[tuple[int, Decimal]], currency: str, key: str) -> None:
    """Draw an equity curve; the dotted line is where it began."""
    figure = figure_of(points, currency, key)
    st.plotly_chart(figure, theme=None, config=CONFIG, key=key, height=300)


def figure_of(points: Sequence[tuple[int, Decimal]], currency: str, key: str) -> go.Figure:
    """Return the figure of an equity curve. `points` is not empty."""
    ink, line, accent = _INK[look.dark()]
    where = clock()
    # Plotly draws a time as it is written: the zone's wall clock, without the zone.
    times = [
        datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone(where).replace(tzinfo=None)
        for at_ns, _ in points
    ]
    figure = go.Figure(
        go.Scatter(
            x=times,
            y=[float(value) for _, value in points],
            mode="lines" if len(points) > 1 else "markers",
            line={"color": accent, "width": 1.6, "shape": "hv"},
            customdata=[utc(at_ns) for at_ns, _ in points],
            hovertemplate=f"%{{y:,.4f}} {currency}<br>%{{customdata}}<extra></extra>",
        )
    )
    figure.add_hline(y=float(points[0][1]), line={"color": ink, "width": 1, "dash": "dot"})
    axis = {
        "automargin": True,
        "gridcolor": line,
        "linecolor": line,
        "zeroline": False,
        "tickfont": {"color": ink},
    }
    figure.update_layout(
        height=300,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, system-ui, sans-serif", "size": 12, "color": ink},
        showlegend=False,
        uirevision=key,
        xaxis={**axis, "title": {"text": zone(), "font": {"size": 11}}},
        yaxis={**axis, "tickformat": ",.2f", "title": {"text": currency, "font": {"size": 11}}},
    )
    return figure


def drawdown(points: Sequence[tuple[int, Decimal]]) -> Decimal:
    """Return the deepest fall from an earlier high, ≥ 0. Exact on curves thinned to extremes."""
    peak, deepest = points[0][1] if points else Decimal(0), Decimal(0)
    for _, value in points:
        peak = max(peak, value)
        deepest = max(deepest, peak - value)
    return deepest
