"""Dense tables: numbers stay numbers so that they sort, with their format, zone and tone beside."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from functools import partial
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


def table(rows: Sequence[Row], columns: Mapping[str, tuple[str, str]], *, key: str) -> None:
    """Draw rows; `columns` says name → (label, kind).

    Kinds: text, id, time, count, money, gain (signed, coloured), rate, size, price.
    """
    st.dataframe(**_drawn(rows, columns), key=key)


def choice(
    rows: Sequence[Row],
    columns: Mapping[str, tuple[str, str]],
    *,
    key: str,
    ids: Sequence[Hashable],
) -> Hashable | None:
    """Draw rows as `table` does; gives the id of the row the operator selected.

    The choice is kept by id, never by place: rows move while the page refreshes, and a button
    below must not come to mean another row. An id that left the rows stays chosen until another
    one is, or `unchoose`.
    """
    slot, drawn = f"chosen:{key}", f"{key}:{hash(tuple(ids))}"
    kept = st.session_state.get(slot)
    places = [ids.index(kept)] if kept in ids else []
    st.dataframe(
        **_drawn(rows, columns),
        # Another key for another order of rows: places always belong to these ids.
        key=drawn,
        # A callback hears the click on rows that have moved on in the meantime.
        on_select=partial(_took, slot, drawn, tuple(ids)),
        selection_mode="single-row",
        selection_default={"selection": {"rows": places}},
    )
    return st.session_state.get(slot)


def _took(slot: str, drawn: str, ids: tuple[Hashable, ...]) -> None:
    places = st.session_state[drawn].selection.rows
    if places:
        st.session_state[slot] = ids[places[0]]
    else:
        st.session_state.pop(slot, None)


def unchoose(key: str) -> None:
    """Forget what was chosen in a table."""
    st.session_state.pop(f"chosen:{key}", None)


def _drawn(rows: Sequence[Row], columns: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    frame = pd.DataFrame([{name: _plain(row[name]) for name in columns} for row in rows])
    for name, (_, kind) in columns.items():
        if kind == "time":
            frame[name] = pd.to_datetime(frame[name], unit="ns", utc=True)
    gains = [name for name, (_, kind) in columns.items() if kind == "gain"]
    return {
        "data": frame.style.map(_tone, subset=gains) if gains else frame,
        "hide_index": True,
        "row_height": ROW_HEIGHT,
        "column_config": {name: _column(*spec) for name, spec in columns.items()},
    }


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
