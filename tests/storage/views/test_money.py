from __future__ import annotations

from decimal import Decimal
from sqlite3 import Connection
from typing import Any

import pytest

from engine.domain.decisions import Unit
from engine.domain.instruments import Instrument, InstrumentId, Kind, Leg, Mode
from storage.live import HoldingSeen, LimitUse, add_pnl, put_holdings, put_instrument, put_limit_use
from storage.projected import PROJECTED
from storage.projected.listings import ListingRow
from storage.projected.positions import PositionRow
from storage.views import money
from storage.views.money import held, limit_use, pnl_by_bot

M1 = InstrumentId("demo:m1")
SHARE = 1_000_000


def seen(instrument: str = M1, **changes: Any) -> HoldingSeen:
    fields: dict[str, Any] = {
        "account": "demo",
        "instrument": instrument,
        "mode": Mode.DEMO,
        "currency": "pUSD",
        "bot": "maker",
        "yes_settled": 10 * SHARE,
        "yes_pending": 2 * SHARE,
        "no_settled": 0,
        "no_pending": 0,
        "yes_cost_micro": 4_000_000,
        "no_cost_micro": 0,
        "value_micro": 5_000_000,
        "mid2": 9_001,
        "marked_ns": 5,
        "realised_micro": 700_000,
        "fees_micro": 100_000,
        "payout_yes_micro": None,
    }
    return HoldingSeen(**(fields | changes))


@pytest.fixture(autouse=True)
def _listed(connection: Connection) -> None:
    instrument = Instrument(
        id=M1,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
    )
    put_instrument(connection, "e1", instrument, 1)


def test_a_position_has_cost_mark_and_what_it_made(connection: Connection) -> None:
    put_holdings(connection, "e1", [seen()], 100)
    (row,) = held(connection, "e1", mode=Mode.DEMO)
    assert (row["yes_settled"], row["yes_pending"]) == (Decimal(10), Decimal(2))
    assert (row["cost"], row["value"], row["mark"]) == (4, 5, Decimal("0.45005"))
    assert (row["unrealised"], row["pnl"]) == (1, Decimal("1.6"))
    assert row["opened_ns"] == 100
    assert held(connection, "e1", mode=Mode.PAPER) == []


def test_what_was_never_marked_has_no_pnl_and_what_is_flat_is_no_position(
    connection: Connection,
) -> None:
    flat = seen("demo:m2", yes_settled=0, yes_pending=0)
    put_holdings(connection, "e1", [seen(mid2=None, value_micro=0), flat], 100)
    (row,) = held(connection, "e1", mode=Mode.DEMO)
    assert (row["mark"], row["unrealised"], row["pnl"]) == (None, None, None)


def test_positions_beyond_a_page_are_behind_its_key_found_by_name_and_in_the_sums(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.views.ROWS_MAX", 2)
    costs = {"demo:m1": 4, "demo:m2": 9, "demo:m3": 4, "demo:m4": 1, "demo:m5": 4}
    held_ = [seen(name, yes_cost_micro=cost * SHARE, mid2=None if cost == 1 else 9_001)
             for name, cost in costs.items()]  # fmt: skip
    put_holdings(connection, "e1", held_, 100)
    pages, before = [], None
    while page := held(connection, "e1", mode=Mode.DEMO, before=before):
        pages.append([row["instrument"] for row in page])
        before = tuple(page[-1][name] for name in money.HELD_KEY)
    assert pages == [["demo:m2", "demo:m5"], ["demo:m3", "demo:m1"], ["demo:m4"]]
    (least,) = held(connection, "e1", mode=Mode.DEMO, account="demo", instrument="demo:m4")
    assert least["cost"] == 1
    (sums,) = money.held_sums(connection, "e1", mode=Mode.DEMO)
    assert (sums["positions"], sums["unmarked"], sums["cost"], sums["value"]) == (5, 1, 22, 25)
    assert sums["unrealised"] == 20 - 21


def test_a_position_of_an_unlisted_market_has_no_sizes(connection: Connection) -> None:
    put_holdings(connection, "e1", [seen("demo:unlisted")], 100)
    (row,) = held(connection, "e1", mode=Mode.DEMO)
    assert (row["yes_settled"], row["mark"], row["cost"]) == (None, None, 4)


def owned(connection: Connection, name: str = "demo:m1", bot: str = "maker", **made: int) -> None:
    """Write what an owner's fills made in a market: 12 YES for 4, and what sales of others did."""
    values = {
        "settled": 10 * SHARE, "pending": 2 * SHARE, "cost_micro": 4_000_000,
        "received_micro": 700_000, "spent_micro": 4_000_000, "fee_micro": 100_000,
    } | made  # fmt: skip
    row = PositionRow(
        account="demo", instrument=name, leg=Leg.YES, bot=bot, mode=Mode.DEMO, updated_ns=1, seq=1,
        **values,
    )  # fmt: skip
    PROJECTED[PositionRow].rows.put(connection, "e1", [row], "INSERT OR REPLACE")
    listing = ListingRow(instrument=name, value_divisor=10_000, one_token=SHARE, seq=1)
    PROJECTED[ListingRow].rows.put(connection, "e1", [listing], "INSERT OR REPLACE")


def test_pnl_of_a_period_is_what_came_since_its_start(connection: Connection) -> None:
    put_holdings(connection, "e1", [seen(), seen("demo:m3")], 100)
    owned(connection)
    add_pnl(connection, "e1", 100)
    owned(connection, received_micro=2_700_000)
    owned(connection, "demo:m3")
    (row,) = pnl_by_bot(
        connection, "e1", mode=Mode.DEMO, since={"before": 50, "at": 100, "after": 250}
    )
    assert (row["bot"], row["currency"], row["markets"]) == ("maker", "pUSD", 2)
    assert (row["realised"], row["fees"], row["unrealised"]) == (
        Decimal("3.4"),
        Decimal("0.2"),
        Decimal("2.8012"),
    )
    assert row["total"] == row["before"] == Decimal("6.0012")
    assert row["at"] == row["after"] == Decimal("4.0006")


def test_what_is_made_by_hand_in_a_bots_market_stands_apart(connection: Connection) -> None:
    put_holdings(connection, "e1", [seen()], 100)
    owned(connection)
    owned(connection, bot="manual", cost_micro=2_000_000, spent_micro=2_000_000, settled=SHARE)
    maker, manual = pnl_by_bot(connection, "e1", mode=Mode.DEMO, since={})
    assert (maker["bot"], manual["bot"]) == ("maker", "manual")
    assert maker["unrealised"] == Decimal("1.4006")
    assert manual["unrealised"] == Decimal("-0.64985")


def test_what_a_resolved_market_pays_its_owner_is_realised(connection: Connection) -> None:
    owned(connection)
    connection.execute("UPDATE listings SET payout_yes_micro = 1000000")
    (row,) = pnl_by_bot(connection, "e1", mode=Mode.DEMO, since={})
    assert (row["realised"], row["unrealised"], row["markets"]) == (Decimal("8.7"), 0, 0)


def test_use_of_limits_comes_by_name_and_the_most_used_first(connection: Connection) -> None:
    uses = [
        LimitUse(name="b", subject="small", used=1, limit_value=9, unit=Unit.MICRO),
        LimitUse(name="b", subject="large", used=5, limit_value=9, unit=Unit.MICRO),
        LimitUse(name="a", used=2, limit_value=9, unit=Unit.COUNT),
    ]
    put_limit_use(
        connection,
        "e1",
        account="demo",
        mode=Mode.DEMO,
        currency="pUSD",
        uses=uses,
        now_ns=7,
    )
    found = limit_use(connection, "e1", account="demo")
    assert [(row["name"], row["subject"], row["used"]) for row in found] == [
        ("a", "", 2),
        ("b", "large", 5),
        ("b", "small", 1),
    ]
