"""What columns show: no size that seems zero, and what matters of a working order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pages.parts import names, order_rows, tables
from pages.parts.words import NOTHING


@pytest.mark.parametrize(
    ("value", "text"), [("0.000001", "0.000001"), ("0.004", "0.004"), ("0", "0"), ("12.5", "12.50")]
)
def test_a_size_that_is_not_zero_never_seems_it(value: str, text: str) -> None:
    assert names.size(Decimal(value)) == text
    assert names.size(None) == NOTHING


@pytest.mark.parametrize(("smallest", "shown"), [("0.004", "%,.6f"), ("0.01", "%,.2f")])
def test_a_column_with_a_tiny_size_shows_all_its_digits(
    smallest: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(tables.st, "dataframe", lambda **kept: drawn.update(kept))
    rows = [{"size": Decimal(12)}, {"size": Decimal(smallest)}, {"size": None}]
    tables.table(rows, {"size": ("Size", "size")}, key="one")
    assert drawn["column_config"]["size"]["type_config"]["format"] == shown


def test_a_working_order_names_its_account_and_has_no_empty_columns() -> None:
    assert "account" in order_rows.WORKING
    assert {"fee", "why"}.isdisjoint(order_rows.WORKING)
    assert {"fee", "why"} <= set(order_rows.ORDERS)
