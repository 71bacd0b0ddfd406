"""Dense tables: numbers stay numbers so that they sort, with their format, zone and tone beside."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from pages.frame import look
from pages.kit import names
from pages.kit.words import NOTHING, decimals_of, exact, zone, zone_short
from storage.views import ROWS_MAX

ROW_HEIGHT, HEAD_HEIGHT = 27, 36
ROWS_AUTO, ROWS_SEEN = 9, 22
RECEIVED_MAX = 8
"""Of so many tables before this one it is known what the browser said of them."""


class ColKind(StrEnum):
    """How a column shows its values."""

    TEXT = "text"
    LONG = "long"
    """A text in a wide column."""
    WORDS = "words"
    """A text of some words, in a column that shows them whole."""
    ID = "id"
    MARKET = "market"
    TIME = "time"
    """ns UTC."""
    AGE = "age"
    COUNT = "count"
    NUMBER = "number"
    RATE = "rate"
    MONEY = "money"
    FEE = "fee"
    """Money with four decimals."""
    GAIN = "gain"
    """Money with its sign, coloured."""
    SIZE = "size"
    PRICE = "price"
    """In cents where all rows are binaries."""
    COARSE_PRICE = "coarse_price"
    FINE_PRICE = "fine_price"
    CENTS = "cents"
    FINE_CENTS = "fine_cents"


class Col(NamedTuple):
    """One column of a table. What is not given is usual for the name, or follows from it."""

    name: str
    label: str = ""
    kind: ColKind | None = None


_FORMATS = {
    "count": "localized",
    "number": "plain",
    "rate": "%,.0f",
    "price": "%,.4f",
    "coarse_price": "%,.2f",
    "fine_price": "%,.8f",
    "cents": "%.1f¢",
    "fine_cents": "%.2f¢",
}
CENTS = ("cents", "fine_cents")
LEAST = {"size": 2, "money": 2, "fee": 4, "gain": 2}
"""Decimals of amounts, where none of a column needs more."""
SIZE_DECIMALS_MAX = 8
TEN_THOUSANDTH = Decimal("0.0001")
TENTH_OF_A_CENT = Decimal("0.001")
MONEY = ("money", "fee", "gain")
_WIDTHS: dict[str, Any] = {"words": "medium", "id": "medium", "market": "medium", "long": "large"}
GREEN = ("#1a7f37", "#3fb950")
RED = ("#b42318", "#ff7b72")

TableRow = Mapping[str, Any]

_COMMON = {
    "at_ns": ("At", ColKind.TIME),
    "fee": ("Fee", ColKind.FEE),
    "fills": ("Fills", ColKind.COUNT),
    "instrument": ("Market", ColKind.MARKET),
    "moments": ("Moments", ColKind.COUNT),
    "order_id": ("Order", ColKind.COUNT),
    "orders": ("Orders", ColKind.COUNT),
    "pnl": ("PnL", ColKind.GAIN),
    "price": ("Price", ColKind.PRICE),
    "realised": ("Realised", ColKind.GAIN),
    "size": ("Size", ColKind.SIZE),
    "transaction_id": ("Transaction", ColKind.ID),
    "value": ("Value", ColKind.MONEY),
    "way": ("Side", ColKind.TEXT),
}
"""Columns of many tables, as they are called and shown where a table says nothing else."""

Columns = Mapping[str, tuple[str, str]]
"""Name of a column → its label and its kind, one of `ColKind`."""


def columns_of(*columns: Col) -> dict[str, tuple[str, str]]:
    """Return the columns of `table`.

    What many tables have, and what a name says by itself, is left out: `updated_ns` is a time
    called Updated.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, label, kind in columns:
        words = name.removesuffix("_ns").replace("_", " ").capitalize()
        plain = ColKind.TIME if name.endswith("_ns") else ColKind.TEXT
        usual = _COMMON.get(name, (words, plain))
        found[name] = label or usual[0], kind or usual[1]
    return found


def table(rows: Sequence[TableRow], columns: Columns, *, key: str) -> None:
    """Draw rows; where all have one `currency`, it stands in the labels of money."""
    st.dataframe(**_drawn(rows, columns), key=key)


def choice(
    rows: Sequence[TableRow],
    columns: Columns,
    *,
    key: str,
    ids: Sequence[Hashable],
) -> Hashable | None:
    """Draw rows as `table` does; gives the id of the row the operator selected.

    The choice is kept by id, never by place: rows move while the page refreshes, and a button
    below must not come to mean another row. An id that left the rows stays chosen until another
    one is, or `unchoose`.
    """
    slot, turn = f"chosen:{key}", st.session_state.get(f"turn:{key}", 0)
    drawn = f"{key}:{hash((turn, *ids))}"
    received: dict[str, list[int]] = st.session_state.setdefault(f"received:{key}", {})
    if st.session_state.get(f"drawn:{key}") != drawn:
        st.session_state[f"drawn:{key}"] = drawn
        received.pop(drawn, None)
    kept = st.session_state.get(slot)
    places = [ids.index(kept)] if kept in ids else []
    st.dataframe(
        **_drawn(rows, columns),
        # Another key for another order of rows: places always belong to these ids.
        key=drawn,
        # A callback receives the click on rows that have moved on in the meantime.
        on_select=partial(_took, key, turn, drawn, tuple(ids)),
        selection_mode="single-row",
        selection_default={"selection": {"rows": places}},
    )
    return st.session_state.get(slot)


def _took(key: str, turn: int, drawn: str, ids: tuple[Hashable, ...]) -> None:
    """Take a click; what a browser says once more of a table that is gone is none."""
    places: list[int] = list(st.session_state[drawn].selection.rows)
    received: dict[str, list[int]] = st.session_state.setdefault(f"received:{key}", {})
    closed = turn != st.session_state.get(f"turn:{key}", 0)
    if closed or received.get(drawn) == places:
        return
    received[drawn] = places
    while len(received) > RECEIVED_MAX:
        del received[next(iter(received))]
    if places:
        st.session_state[f"chosen:{key}"] = ids[places[0]]
    else:
        st.session_state.pop(f"chosen:{key}", None)


def chosen_in(key: str) -> Hashable | None:
    """Return the id of what is chosen in a table, also while it has no rows."""
    return st.session_state.get(f"chosen:{key}")


def choose(key: str, identity: Hashable) -> None:
    st.session_state[f"chosen:{key}"] = identity
    _drawn_anew(key)


def unchoose(key: str) -> None:
    st.session_state.pop(f"chosen:{key}", None)
    _drawn_anew(key)


# -- Tables of more rows than are drawn at once, turned by the key of the last row ---------------


def page_behind(key: str, about: Hashable) -> Any:
    """Return the key behind which the page of a table begins, None for its first page.

    `about` = what it was asked for: with another question it begins with the first page.
    """
    pages: list[Any] = st.session_state.setdefault(f"pages:{key}", [None])
    if st.session_state.get(f"about:{key}") != about:
        st.session_state[f"about:{key}"] = about
        pages[:] = [None]
    return pages[-1]


def turn(
    key: str,
    rows: Sequence[TableRow],
    by: Sequence[str],
    *,
    rows_max: int = ROWS_MAX,
    labels: tuple[str, str] = ("Older", "Newer"),
) -> None:
    """Draw what turns a table's page; `rows` came sorted `by` these, at most so many.

    `labels` name the next rows and those before. A table that is whole gets nothing.
    """
    pages: list[Any] = st.session_state[f"pages:{key}"]
    more = len(rows) >= rows_max
    if not more and len(pages) == 1:
        return
    on, back, hint = st.columns([1, 1, 6], vertical_alignment="center")
    if more:
        last = tuple(rows[-1][name] for name in by)
        on.button(labels[0], key=f"older_{key}", on_click=pages.append, args=(last,))
    if len(pages) > 1:
        back.button(labels[1], key=f"newer_{key}", on_click=pages.pop)
    hint.caption(f"Page {len(pages):,}, {rows_max:,} rows a page" + ", the last page" * (not more))


def say_cut(rows: Sequence[TableRow]) -> None:
    """Say that a list of fills without pages of its own is not whole."""
    if len(rows) >= ROWS_MAX:
        st.caption(
            f"Only the newest {ROWS_MAX:,} fills; the link to these fills shows all, page by page."
        )


def _drawn_anew(key: str) -> None:
    """Have the browser take a table for another one: it keeps what was clicked in the old one.

    Without this the next click on a row that was closed by a button would end its selection there,
    and nothing would open.
    """
    st.session_state[f"turn:{key}"] = st.session_state.get(f"turn:{key}", 0) + 1


def _drawn(rows: Sequence[TableRow], columns: Columns) -> dict[str, Any]:
    in_cents = bool(rows) and all(names.cents(row) for row in rows)
    columns = {
        name: (label, _finer(rows, name, kind, in_cents=in_cents))
        for name, (label, kind) in columns.items()
    }
    frame = pd.DataFrame(
        [{name: _plain(row[name], kind) for name, (_, kind) in columns.items()} for row in rows]
    )
    for name, (_, kind) in columns.items():
        if kind == "time":
            frame[name] = pd.to_datetime(frame[name], unit="ns", utc=True)
    currencies = {row.get("currency") for row in rows} - {None}
    unit = f", {currencies.pop()}" if len(currencies) == 1 else ""
    forms = {name: _form(rows, name, kind) for name, (_, kind) in columns.items()}
    gains = [name for name, (_, kind) in columns.items() if kind == "gain"]
    return {
        # Named, because pandas would name it anew each time and no table were ever the same.
        "data": Styler(frame, uuid="pb").map(_tone, subset=gains) if gains else frame,
        "hide_index": True,
        "row_height": ROW_HEIGHT,
        # By itself a table is ten rows high, whatever room the page has.
        "height": _height(len(rows)),
        "placeholder": NOTHING,
        "column_config": {
            name: _column(f"{label}{unit}" if kind in MONEY else label, kind, forms[name])
            for name, (label, kind) in columns.items()
        },
    }


def _height(rows: int) -> Any:
    """Return how high so many rows are, to the last one; of more, half a row says that there are.

    Heights are in pixels.
    """
    if rows <= ROWS_AUTO:
        return "auto"
    return round(min(rows, ROWS_SEEN + 0.5) * ROW_HEIGHT) + HEAD_HEIGHT


def _finer(rows: Sequence[TableRow], name: str, kind: str, *, in_cents: bool) -> str:
    """Return the kind that shows each price of a column whole."""
    if kind != "price":
        return kind
    return _cents(rows, name) if in_cents else _price(rows, name)


def _decimals(rows: Sequence[TableRow], name: str, kind: str) -> int:
    """Return how many decimals a column of amounts has: none may seem a zero, or a round one.

    A size has what its instrument counts in, as far as one of the column needs it.
    """
    found = [row[name] for row in rows if row[name] is not None]
    if kind != "size":
        return decimals_of(found, LEAST[kind])
    fine = [Decimal(str(one)).normalize().as_tuple().exponent for one in found if names.fine(one)]
    return min(SIZE_DECIMALS_MAX, max([LEAST[kind], *(-int(one) for one in fine)]))


def _price(rows: Sequence[TableRow], name: str) -> str:
    """Return the kind that shows each price of a column whole, and no zeros behind all of them."""
    prices = [Decimal(str(row[name])) for row in rows if row[name] is not None]
    if any(price % TEN_THOUSANDTH for price in prices):
        return "fine_price"
    return "price" if any(price % names.HUNDREDTH for price in prices) else "coarse_price"


def _cents(rows: Sequence[TableRow], name: str) -> str:
    """Return the kind that shows each price of a column whole: ticks go down to 0.01 cents."""
    prices = (row[name] for row in rows if row[name] is not None)
    return CENTS[any(Decimal(str(price)) % TENTH_OF_A_CENT for price in prices)]


def _plain(value: Any, kind: str) -> Any:
    """Return what a data frame holds: an amount becomes a float only here, on the screen."""
    if kind == "market" and value is not None:
        return names.market(value)
    if kind in CENTS and value is not None:
        return float(value) * 100
    if isinstance(value, Decimal):
        return float(value) + 0.0  # a zero has no minus
    return value


def _tone(value: Any) -> str:
    if not isinstance(value, int | float) or value == 0 or pd.isna(value):
        return ""
    return f"color: {(GREEN if value > 0 else RED)[look.dark()]}"


def _form(rows: Sequence[TableRow], name: str, kind: str) -> str:
    """Return how the browser writes a column's numbers; empty = it has none."""
    if kind not in LEAST:
        return _FORMATS.get(kind, "")
    return f"%{'+' if kind == 'gain' else ''},.{_decimals(rows, name, kind)}f"


def _column(label: str, kind: str, form: str) -> Any:
    if kind == "time" and exact():
        return st.column_config.DatetimeColumn(
            f"{label}, UTC", format="YYYY-MM-DD HH:mm:ss.SSS", timezone="UTC"
        )
    if kind == "time":
        return st.column_config.DatetimeColumn(
            f"{label}, {zone_short()}", format="MMM D, HH:mm:ss", timezone=zone()
        )
    if form:
        return st.column_config.NumberColumn(label, format=form)
    return st.column_config.TextColumn(label, width=_WIDTHS.get(kind))
