"""Charts of paper against truth: each figure with its interval, and the days side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.kit import look
from pages.kit.charts import CONFIG
from pages.runs.compare_words import SIDES

MICRO = 1_000_000
_COLOURS = {
    True: {
        "truth": "#2dd4bf", "pessimistic": "#ff7b72", "realistic": "#79c0ff",
        "optimistic": "#e3b341", "ink": "#93a1b1", "line": "#1f2a37",
        "band": "rgba(45,212,191,.14)",
    },
    False: {
        "truth": "#0f766e", "pessimistic": "#b42318", "realistic": "#0550ae",
        "optimistic": "#8a5a00", "ink": "#51606f", "line": "#d5dde6",
        "band": "rgba(15,118,110,.12)",
    },
}  # fmt: skip


def interval(line: Mapping[str, Any], key: str) -> None:
    """Draw one measure: a point and its interval for each side, the tolerance as a band."""
    st.plotly_chart(interval_figure(line), theme=None, config=CONFIG, key=key, height=210)


def interval_figure(line: Mapping[str, Any]) -> go.Figure:
    """Return the figure of one measure."""
    colours = _COLOURS[look.dark()]
    figure = go.Figure()
    found = {"truth": line["truth"], **{k: v["value"] for k, v in line["models"].items()}}
    for name, estimate in reversed(found.items()):
        value = estimate["value"]
        if value is None:
            continue
        low, high = (value if estimate[end] is None else estimate[end] for end in ("low", "high"))
        figure.add_scatter(
            x=[value],
            y=[name],
            mode="markers",
            marker={"color": colours[name], "size": 10},
            error_x={
                "array": [high - value],
                "arrayminus": [value - low],
                "color": colours[name],
                "thickness": 1.6,
            },
            hovertemplate=f"{SIDES[name]}: %{{x:,.2f}}, {low:,.2f} to {high:,.2f}<extra></extra>",
        )
    truth, slack = line["truth"]["value"], line["slack"]
    if truth is not None and slack is not None:
        figure.add_vrect(truth - slack, truth + slack, fillcolor=colours["band"], line_width=0)
    return _dressed(figure, colours, line["unit"], height=210)


def days(daily: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> None:
    """Draw the PnL of every day, a line for each side."""
    st.plotly_chart(days_figure(daily), theme=None, config=CONFIG, key=key, height=300)


def days_figure(daily: Mapping[str, Sequence[Mapping[str, Any]]]) -> go.Figure:
    """Return the figure of the days."""
    colours = _COLOURS[look.dark()]
    figure = go.Figure()
    for name, found in daily.items():
        figure.add_scatter(
            x=list(range(1, len(found) + 1)),
            y=[day["pnl_micro"] / MICRO for day in found],
            name=SIDES[name],
            mode="lines+markers",
            line={"color": colours[name], "width": 2.4 if name == "truth" else 1.2},
            hovertemplate=f"{SIDES[name]}, day %{{x}}: %{{y:,.2f}} pUSD<extra></extra>",
        )
    figure.update_layout(legend={"orientation": "h", "y": -0.25})
    return _dressed(figure, colours, "demo day", height=300, legend=True, below="pUSD")


def _dressed(
    figure: go.Figure,
    colours: Mapping[str, str],
    title: str,
    *,
    height: int,
    legend: bool = False,
    below: str = "",
) -> go.Figure:
    axis = {
        "automargin": True,
        "gridcolor": colours["line"],
        "linecolor": colours["line"],
        "zeroline": False,
        "tickfont": {"color": colours["ink"]},
    }
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Inter, system-ui, sans-serif", "size": 12, "color": colours["ink"]},
        showlegend=legend,
        xaxis={**axis, "title": {"text": title, "font": {"size": 11}}},
        yaxis={**axis, "title": {"text": below, "font": {"size": 11}}},
    )
    return figure
