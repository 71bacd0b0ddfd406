"""What columns show: no size that seems zero, and what matters of a working order."""

from __future__ import annotations

from decimal import Decimal
from math import copysign
from typing import Any

import pytest
from msgspec.structs import replace

from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.telemetry import BookTop
from pages.kit import names, tables
from pages.kit.words import NOTHING
from pages.orders import page
from pages.shared.order import away


@pytest.mark.parametrize(
    ("value", "text"), [("0.000001", "0.000001"), ("0.004", "0.004"), ("0", "0"), ("12.5", "12.50")]
)
def test_a_size_that_is_not_zero_never_seems_it(value: str, text: str) -> None:
    assert names.size(Decimal(value)) == text
    assert names.size(None) == NOTHING


@pytest.mark.parametrize(
    ("smallest", "shown"),
    [
        ("0.004", "%,.3f"),
        ("0.003000", "%,.3f"),
        ("0.01", "%,.2f"),
        ("0.00000012", "%,.8f"),
    ],
)
def test_a_column_with_a_tiny_size_shows_all_its_digits(
    smallest: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(tables.st, "dataframe", lambda **kept: drawn.update(kept))
    rows = [{"size": Decimal(12)}, {"size": Decimal(smallest)}, {"size": None}]
    tables.table(rows, {"size": ("Size", "size")}, key="one")
    assert drawn["column_config"]["size"]["type_config"]["format"] == shown


@pytest.mark.parametrize(
    ("kind", "smallest", "shown"),
    [
        ("gain", "-0.01", "%+,.2f"),
        ("gain", "0", "%+,.2f"),
        ("gain", "-0.0031", "%+,.4f"),
        ("gain", "-0.000004", "%+,.6f"),
        ("money", "0.004", "%,.4f"),
        ("fee", "0.01", "%,.4f"),
        ("fee", "0.00004", "%,.6f"),
    ],
)
def test_no_amount_of_a_column_seems_a_zero_and_a_zero_has_no_minus(
    kind: str, smallest: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(tables.st, "dataframe", lambda **kept: drawn.update(kept))
    amounts = (Decimal(12), Decimal(smallest), Decimal("-0.0"), None)
    tables.table([{"pnl": one} for one in amounts], {"pnl": ("PnL", kind)}, key="one")
    assert drawn["column_config"]["pnl"]["type_config"]["format"] == shown
    frame = getattr(drawn["data"], "data", drawn["data"])
    assert copysign(1, frame["pnl"][2]) == 1


def test_a_working_order_names_its_account_and_has_no_empty_columns() -> None:
    assert "account" in page.WORKING
    assert {"fee", "why"}.isdisjoint(page.WORKING)
    assert {"fee", "why"} <= set(page.ORDERS)


BOOK = BookTop(
    account=AccountId("a"),
    instrument=InstrumentId("m"),
    trusted=True,
    bids=((4_400, 9_000_000),),
    asks=((4_600, 7_000_000),),
)


@pytest.mark.parametrize(
    ("side", "leg", "price", "behind"),
    [
        ("buy", "yes", 4_100, "0.03"),
        ("buy", "yes", 4_400, "0"),
        ("sell", "yes", 4_650, "0.005"),
        ("sell", "yes", 4_500, "-0.01"),
        ("buy", "no", 5_300, "0.01"),
        ("sell", "no", 5_600, "0"),
        ("sell", "no", 5_800, "0.02"),
    ],
)
def test_an_order_is_so_far_behind_the_touch_of_its_side(
    side: str, leg: str, price: int, behind: str
) -> None:
    order = {"side": side, "leg": leg, "price_raw": price, "price_decimals": 4}
    order |= {"account": "a", "instrument": "m"}
    (row,) = page.with_touch([order], {("a", "m"): BOOK})
    assert row["away"] == Decimal(behind)


@pytest.mark.parametrize("book", [None, replace(BOOK, trusted=False), replace(BOOK, bids=())])
def test_without_a_touch_there_is_no_distance(book: BookTop | None) -> None:
    order = {"side": "buy", "leg": "yes", "price_raw": 4_100, "price_decimals": 4}
    assert away(book, order) is None
    assert away(BOOK, order | {"price_decimals": None}) is None
