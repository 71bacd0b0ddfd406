"""A table keeps what was chosen by id: rows move, are closed by a button, and clicks come late."""

from __future__ import annotations

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.domain.instruments import Kind
from pages.kit import tables


def drawing() -> None:
    """Draw one table of the ids the session names."""
    import streamlit as st

    from pages.kit import tables as drawn

    ids = st.session_state["ids"]
    if st.session_state.get("close"):
        drawn.unchoose("t")
    rows = [{"name": name} for name in ids]
    st.session_state["got"] = drawn.choice(rows, {"name": ("Name", "text")}, key="t", ids=ids)


def drawn_as(page: AppTest) -> str:
    return str(page.dataframe[0].proto.id)


def test_a_table_is_another_one_where_its_rows_or_its_choice_were_changed_from_outside() -> None:
    page = AppTest.from_function(drawing)
    page.session_state["ids"] = ["a", "b"]
    page.session_state["chosen:t"] = "b"
    page.run()
    first = drawn_as(page)
    assert page.session_state["got"] == "b"
    assert '"rows": [1]' in page.dataframe[0].proto.selection_default
    page.run()
    assert drawn_as(page) == first, "the same rows are the same table"
    page.session_state["ids"] = ["new", "a", "b"]
    page.run()
    assert drawn_as(page) != first
    assert '"rows": [2]' in page.dataframe[0].proto.selection_default
    moved = drawn_as(page)
    page.session_state["close"] = True
    page.run()
    assert page.session_state["got"] is None
    assert drawn_as(page) != moved, "the browser must forget its selection, too"


def test_a_click_counts_once_and_not_after_its_table_was_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session: dict[str, Any] = {}
    monkeypatch.setattr(tables.st, "session_state", session)

    def click(drawn: str, *places: int, turn: int = 0) -> Any:
        session[drawn] = SimpleNamespace(selection=SimpleNamespace(rows=list(places)))
        tables._took("t", turn, drawn, ("a", "b"))
        return tables.chosen_in("t")

    assert click("old", 0) == "a"
    assert click("new", 1) == "b"
    assert click("old", 0) == "b", "told again of a table that is gone"
    assert click("new") is None, "ended by a click on the row"
    assert click("new", 1) == "b"
    tables.unchoose("t")
    assert click("new", 0) is None, "the table was closed in the meantime"
    assert click("newest", 0, turn=1) == "a"


def pricing() -> None:
    """Draw prices and amounts the session names."""
    import streamlit as st

    from pages.kit import tables as drawn

    drawn.table(
        st.session_state["rows"],
        {"price": ("Price", "price"), "cash": ("Cash", "money"), "pnl": ("PnL", "gain")},
        key="t",
    )


@pytest.mark.parametrize(
    ("prices", "shown"),
    [
        (("0.62", "0.085"), "%.1f\N{CENT SIGN}"),
        (("0.62", "0.9625"), "%.2f\N{CENT SIGN}"),
        (("0.001", None), "%.1f\N{CENT SIGN}"),
    ],
)
def test_a_price_on_a_fine_tick_is_not_rounded(prices: tuple[str | None, ...], shown: str) -> None:
    page = AppTest.from_function(pricing)
    page.session_state["rows"] = [
        {"kind": Kind.BINARY, "price": price and Decimal(price), "cash": 10_000.0, "pnl": -1_234.5}
        for price in prices
    ]
    page.run()
    assert not page.exception
    drawn = json.loads(page.dataframe[0].proto.columns)
    assert drawn["price"]["type_config"]["format"] == shown
    assert drawn["cash"]["type_config"]["format"] == "%,.2f"
    assert drawn["pnl"]["type_config"]["format"] == "%+,.2f"
