"""Dense tables: numbers stay numbers so that they sort, with their format, zone and tone beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

from pages.parts import look
from pages.parts.zone import zone

ROW_HEIGHT = 27
_FORMATS = {
    "money": "%.4f",
    "gain": "%+.4f",
    "count": "localized",
    "rate": "%.0f",
    "size": "%.2f",
    "price": "%.4f",
}
GREEN = ("#1a7f37", "#3fb950")
RED = ("#b42318", "#ff7b72")

Row = Mapping[str, Any]


def table(
    rows: Sequence[Row],
    columns: Mapping[str, tuple[str, str]],
    *,
    key: str,
    select: bool = False,
    height: int | None = None,
) -> Row | None:
    """Draw rows; `columns` says name → (label, kind). Gives the row the operator selected.

    Kinds: text, id, time, count, money, gain (signed, coloured), rate, size, price.
    """
    frame = pd.DataFrame([{name: _plain(row[name]) for name in columns} for row in rows])
    times = [name for name, (_, kind) in columns.items() if kind == "time"]
    for name in times:
        frame[name] = pd.to_datetime(frame[name], unit="ns", utc=True)
    gains = [name for name, (_, kind) in columns.items() if kind == "gain"]
    event = st.dataframe(
        frame.style.map(_tone, subset=gains) if gains else frame,
        hide_index=True,
        row_height=ROW_HEIGHT,
        height=height or "auto",
        column_config={name: _column(*spec) for name, spec in columns.items()},
        key=key,
        on_select="rerun" if select else "ignore",
        selection_mode="single-row",
    )
    chosen = event.selection.rows if select else []
    return rows[chosen[0]] if chosen else None


def _plain(value: Any) -> Any:
    """Return what a data frame holds: an amount becomes a float only here, on the screen."""
    return float(value) if isinstance(value, Decimal) else value


def _tone(value: Any) -> str:
    """Colour a gain; its sign says the same without colour."""
    if not isinstance(value, int | float) or value == 0 or pd.isna(value):
        return ""
    return f"color: {(GREEN if value > 0 else RED)[look.dark()]}"


def _column(label: str, kind: str) -> Any:
    if kind == "time":
        name = zone()
        return st.column_config.DatetimeColumn(
            f"{label} ({name})", format="YYYY-MM-DD HH:mm:ss", timezone=name
        )
    if kind in _FORMATS:
        return st.column_config.NumberColumn(label, format=_FORMATS[kind])
    return st.column_config.TextColumn(label, width="medium" if kind == "id" else None)
