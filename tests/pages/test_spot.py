"""Pages beside a spot pair: its own words and decimals, and no leg, cent or outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import PlaceManual
from engine.domain.instruments import AccountId, InstrumentId, Leg, Mode, Side
from engine.domain.intents import Urgency
from engine.domain.telemetry import BookTop
from engine.venues.demo.profiles import SPOT
from engine.venues.demo.spot import spot_instrument
from pages.kit import names
from pages.shared import listing, pnl, ticket
from storage.database import reading, writing
from storage.live import HoldingSeen, put_books, put_holdings, put_instrument
from storage.projected import PROJECTED
from storage.projected.listings import ListingRow
from storage.projected.positions import PositionRow
from storage.views import money as money_views
from tests.pages.seen import bodies, figures
from tests.pages.test_asking import desk, left, press, texts, words

__all__ = ["desk"]

Opened = Callable[..., AppTest]
PAIR = spot_instrument(SPOT)
NAME = InstrumentId("demo:BTC-pUSD")
BINARY = ("YES", "\N{CENT SIGN}", "utcome", "resol", "BASE", "base")


@pytest.fixture
def held(desk: Config) -> Config:
    """A desk whose person holds 0.01234 BTC and receives the pair's book."""
    now = time.time_ns()
    held = HoldingSeen(
        account="demo", instrument=NAME, mode=Mode.DEMO, currency="pUSD", bot="manual",
        yes_settled=1_234_000, yes_pending=0, no_settled=0, no_pending=0,
        yes_cost_micro=802_000_000, no_cost_micro=0, value_micro=802_220_000, mid2=13_001_900,
        marked_ns=now, realised_micro=0, fees_micro=401_000, payout_yes_micro=None,
    )  # fmt: skip
    own = PositionRow(
        account="demo", instrument=NAME, leg=Leg.BASE, bot="manual", mode=Mode.DEMO,
        settled=1_234_000, cost_micro=802_000_000, updated_ns=now, seq=1,
    )  # fmt: skip
    listed = ListingRow(instrument=NAME, value_divisor=PAIR.value_divisor, one_token=10**8, seq=1)
    book = BookTop(
        account=AccountId("demo"), instrument=NAME, trusted=True, proof_ns=now,
        bids=((6_500_900, 500_000),), asks=((6_501_000, 12_345_000),),
    )  # fmt: skip
    with writing(desk.state_path) as connection:
        put_instrument(connection, "pitboss", PAIR, now)
        put_holdings(connection, "pitboss", [held], now)
        put_books(connection, "pitboss", [book], now)
        PROJECTED[PositionRow].rows.put(connection, "pitboss", [own], "INSERT OR REPLACE")
        PROJECTED[ListingRow].rows.put(connection, "pitboss", [listed], "INSERT OR REPLACE")
    return desk


def test_positions_say_what_is_held_in_the_pairs_own_words(held: Config, opened: Opened) -> None:
    page = opened("positions")
    row = page.dataframe[0].value.iloc[0]
    assert (row["held_words"], row["mark_words"]) == ("0.01234 BTC", "65,009.5")
    assert {"yes", "no", "mark", "dust_words"}.isdisjoint(row.index)
    owner = page.dataframe[1].value.iloc[0]
    assert (owner["leg"], owner["size"]) == ("BTC", 0.01234)


@pytest.mark.parametrize(
    ("size", "value", "says"),
    [
        (1_234_000, 802_220_000, ""),
        (9_000, 5_850_000, "the least order is 0.0001 BTC"),
        (10_000, 500_000, "the least order is worth 1.00 pUSD"),
        (0, 0, ""),
    ],
)
def test_a_holding_too_small_to_be_sold_says_so_beside_its_row(
    held: Config, size: int, value: int, says: str
) -> None:
    with writing(held.state_path) as connection:
        connection.execute("UPDATE holdings SET yes_settled = ?, value_micro = ?", (size, value))
    with reading(held.state_path) as connection:
        (row,) = money_views.held(connection, "pitboss", mode=Mode.DEMO)
    found = pnl.dust_words(row)
    assert says in found if says else not found


def test_positions_have_a_column_for_dust_where_there_is_some(held: Config, opened: Opened) -> None:
    with writing(held.state_path) as connection:
        connection.execute("UPDATE holdings SET yes_settled = 9000, value_micro = 5850000")
    row = opened("positions").dataframe[0].value.iloc[0]
    assert row["dust_words"] == (
        "dust: the least order is 0.0001 BTC, it cannot be sold until it grows"
    )


def test_the_market_page_names_no_leg_no_cent_and_no_outcome(held: Config, opened: Opened) -> None:
    page = opened("market", instrument=NAME)
    found = figures(page)
    assert (found["Best bid"], found["Spread"], found["Held"]) == ("65,009", "1", "0.01234 BTC")
    shown = texts(page) + bodies(page)
    assert "ACTIVE: it has no end" in shown
    assert "0.005" in shown
    assert "0.12345" in shown
    assert {label for one in page.text_input if (label := one.label)} >= {
        "Price, pUSD",
        "Size, BTC",
    }
    assert "Leg" not in {one.label for one in page.button_group}
    assert [word for word in BINARY if word in shown] == []


def test_an_order_by_hand_is_asked_and_sent_in_bitcoins(held: Config, opened: Opened) -> None:
    page = opened("market", instrument=NAME)
    by = {one.label: one for one in page.text_input}
    by["Price, pUSD"].set_value("65000.5")
    by["Size, BTC"].set_value("0.00123")
    press(page, "Show what will happen")
    assert "BUY 0.00123 BTC at 65,000.5" in words(page)
    assert [word for word in BINARY if word in words(page)] == []
    press(page, "Place the order")
    ((kind, body),) = left(held)
    assert (kind, body["leg"]) == ("PlaceManual", "base")
    assert (body["price"], body["size"]) == (6_500_050, 123_000)


def test_the_question_of_a_sale_and_the_terms_of_the_pair() -> None:
    asked = PlaceManual(
        account=AccountId("demo"), instrument=NAME, leg=Leg.BASE, side=Side.SELL, price=6_500_000,
        size=500_000, urgency=Urgency.CROSS,
    )  # fmt: skip
    # 0.005 BTC at 65,000 = 325, less 0.05 % = 0.1625.
    assert "brings at least 324.84 pUSD" in ticket.question(asked, PAIR, Mode.DEMO).words
    terms = listing.confirmed_terms(PAIR)
    assert (terms["Taker fee"], terms["Maker fee"]) == (
        "0.05 % of the order's value",
        "0.02 % of the order's value",
    )
    assert "Exactly one outcome wins" not in terms


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.00000012", "0.00000012"), ("1.23456789", "1.23456789"), ("0.00500000", "0.005"),
     ("99.5", "99.50"), ("12345.678", "12,345.68"), ("-0.015", "-0.015")],
)  # fmt: skip
def test_a_size_has_all_its_decimals_below_a_hundred(value: str, text: str) -> None:
    assert names.size(Decimal(value)) == text


@pytest.mark.parametrize("name", ["demo:BTC-pUSD", "okx:BTC/USDT:USDT", "x:BTC"])
def test_a_pair_is_called_by_its_base(name: str) -> None:
    assert names.leg(Leg.BASE, name) == names.base(name) == "BTC"
    assert names.leg(Leg.NO, name) == "NO"
