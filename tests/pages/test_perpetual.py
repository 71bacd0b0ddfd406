"""Pages of who holds a perpetual: long and short in words, margin, and where a position ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from msgspec.structs import replace
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import MANUAL, PlaceManual
from engine.domain.commands.trading import TransferHolding
from engine.domain.decisions import Unit
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Mode,
    Side,
)
from engine.domain.intents import Urgency
from engine.domain.orders import OrderState, OrderType
from engine.domain.products.funding import RateType
from engine.domain.telemetry import BookTop, Capital, LockedMoney, MarginSeen
from engine.venues.demo.profiles import PERPETUAL, SPOT
from engine.venues.demo.spot import perpetual_instrument, spot_instrument
from pages.shared import owners, perpetuals, ticket
from pages.shared import receipt as receipts
from storage.commands import AccountProof, Receipt
from storage.database import writing
from storage.live import (
    HoldingSeen,
    LimitUse,
    put_account_report,
    put_books,
    put_holdings,
    put_instrument,
    put_limit_use,
)
from storage.projected import PROJECTED
from storage.projected.listings import ListingRow
from storage.projected.orders import OrderRow
from storage.projected.positions import PositionRow
from storage.projected.round_trips import RoundTripRow, TripResult
from storage.signed_trades import FundingShareRow
from storage.views.money import held_by_owner
from tests.pages.seen import bodies, figures
from tests.pages.test_asking import desk, press, texts, words
from tests.pages.test_capital import shown

__all__ = ["desk"]

Opened = Callable[..., AppTest]
PERP = perpetual_instrument(PERPETUAL)
NAME = InstrumentId("demo:BTC-PERP")
BINARY = ("YES", "\N{CENT SIGN}", "utcome", "BASE", "base")
E8 = 10**8
USD = 1_000_000
MARGIN = MarginSeen(
    instrument=NAME, size=-1_234_000, used_micro=80_210_000, mark_e8=65_020 * E8 + 12_345,
    due_micro=4_012_000, liquidation_e8=110_000 * E8 + 99_999_999, buffer_ppm=691_788,
)  # fmt: skip
UNKNOWN = replace(
    MARGIN, mark_e8=None, due_micro=None, liquidation_e8=None, buffer_ppm=None,
    unknown="the venue has said no mark of it yet",
)  # fmt: skip


def tell(home: Config, margin: MarginSeen | None) -> None:
    """Leave a short of 0.01234 BTC opened at 65,000, as an engine does each second."""
    now = time.time_ns()
    held = HoldingSeen(
        account="demo", instrument=NAME, mode=Mode.DEMO, currency="pUSD", bot="manual",
        yes_settled=-1_234_000, yes_pending=0, no_settled=0, no_pending=0,
        yes_cost_micro=-802_100_000, no_cost_micro=0, value_micro=-802_220_000, mid2=13_001_900,
        marked_ns=now, realised_micro=2 * USD, fees_micro=401_000, payout_yes_micro=None,
        margin=None if margin is None else replace(margin, marked_ns=now),
    )  # fmt: skip
    with writing(home.state_path) as connection:
        put_holdings(connection, "pitboss", [held], now)


@pytest.fixture
def short(desk: Config) -> Config:
    """A desk whose person is short 0.01234 BTC, was paid funding once, and receives the book."""
    now = time.time_ns()
    own = PositionRow(
        account="demo", instrument=NAME, leg=Leg.BASE, bot="manual", mode=Mode.DEMO,
        settled=-1_234_000, cost_micro=-802_100_000, received_micro=804_100_000, fee_micro=401_000,
        funding_micro=10_500, updated_ns=now, seq=1,
    )  # fmt: skip
    listed = ListingRow(
        instrument=NAME, value_divisor=PERP.value_divisor, one_token=10**8, signed=True, seq=1
    )
    paid = FundingShareRow(
        account="demo", instrument=NAME, stamp_ns=1, rate_type=RateType.REGULAR, bot="manual",
        mode=Mode.DEMO, amount_micro=10_500, at_ns=1, seq=1,
    )  # fmt: skip
    book = BookTop(
        account=AccountId("demo"), instrument=NAME, trusted=True, proof_ns=now,
        bids=((6_500_900, 500_000),), asks=((6_501_000, 12_345_000),),
    )  # fmt: skip
    with writing(desk.state_path) as connection:
        put_instrument(connection, "pitboss", PERP, now)
        put_books(connection, "pitboss", [book], now)
        for one in (own, listed, paid):
            PROJECTED[type(one)].rows.put(connection, "pitboss", [one], "INSERT OR REPLACE")
    tell(desk, MARGIN)
    return desk


@pytest.mark.parametrize(
    ("percent", "said"),
    [("200", "200.00 %"), ("4067.21", "41.7 times the mark"), ("-3.5", "BEYOND by 3.50 %")],
)
def test_a_liquidation_far_above_a_short_is_a_multiple_of_the_mark(percent: str, said: str) -> None:
    away = Decimal(percent)
    row = {"liquidation": Decimal(9), "distance": away, "distance_percent": away, "unknown": ""}
    assert perpetuals.distance(row, in_price=False) == said


def test_a_short_is_named_with_its_margin_mark_liquidation_and_funding(
    short: Config, opened: Opened
) -> None:
    page = opened("positions")
    row = page.dataframe[0].value.iloc[0]
    assert (row["side_words"], row["held"], row["entry"]) == ("SHORT", 0.01234, 65_000)
    assert (row["mark_price"], row["margin_used"]) == (65_020, 80.21)
    # Towards the mark: a price of 110,000.99999999 on a grid of cents.
    assert row["liquidation_words"] == "110,000.99"
    assert row["distance_words"] == "69.18 % (44,980.99)"
    assert (row["funding"], row["unrealised"]) == (0.0105, -0.12)
    assert row["pnl"] == pytest.approx(2 - 0.401 + 0.0105 - 0.12)
    assert figures(page)["Cost"] == "0.00 pUSD", "nothing was paid for a short"


@pytest.mark.parametrize("margin", [None, UNKNOWN])
def test_what_no_mark_says_is_unknown_and_never_a_number(
    short: Config, opened: Opened, margin: MarginSeen | None
) -> None:
    tell(short, margin)
    page = opened("positions")
    row = page.dataframe[0].value.iloc[0]
    assert (row["liquidation_words"], row["distance_words"]) == ("unknown", "unknown")
    assert row.isna()["mark_price"]
    why = "has not said" if margin is None else "no mark of it yet"
    assert f"liquidation: unknown, the {'engine' if margin is None else 'venue'}" in bodies(page)
    assert why in bodies(page)


def test_what_no_price_liquidates_says_so(short: Config, opened: Opened) -> None:
    tell(short, replace(MARGIN, liquidation_e8=None, buffer_ppm=None))
    page = opened("positions")
    assert "1 position held long or short against margin: nothing was paid for it" in shown(page)
    row = page.dataframe[0].value.iloc[0]
    assert (row["liquidation_words"], row["distance_words"]) == ("none", "\N{EN DASH}")


def test_the_market_and_overview_tell_a_short_in_its_own_words(
    short: Config, opened: Opened
) -> None:
    page = opened("market", instrument=NAME)
    found = figures(page)
    assert (found["Held"], found["Mark"]) == ("SHORT 0.01234 BTC", "65,020")
    assert (found["Liquidation"], found["Margin"]) == ("110,000.99", "80.21 pUSD")
    assert [word for word in BINARY if word in texts(page) + bodies(page)] == []
    overview = shown(opened("overview"))
    assert "SHORT 0.01234 BTC" in overview
    assert "liquidation 110,000.99, 69.18 % (44,980.99) away" in overview


def test_the_owners_pnl_is_that_of_the_position_with_its_funding(
    short: Config, opened: Opened
) -> None:
    position = opened("positions").dataframe[0].value.iloc[0]
    overview = opened("overview")
    assert ">Funding</th>" in bodies(overview)
    assert ">+0.01<" in bodies(overview)
    assert figures(overview)["PnL in total"] == f"+{position['pnl']:.2f} pUSD"


def test_what_an_owner_of_a_perpetual_without_a_price_made_is_unknown(
    short: Config, opened: Opened
) -> None:
    with writing(short.state_path) as connection:
        connection.execute("UPDATE holdings SET mid2 = NULL")
    assert figures(opened("overview"))["PnL in total"] == "unknown"


def test_a_round_trip_stands_with_its_funding_and_how_it_ended(
    short: Config, opened: Opened
) -> None:
    trip = RoundTripRow(
        account="demo", instrument=NAME, bot="manual", number=1, mode=Mode.DEMO, long=False,
        result=TripResult.LIQUIDATED, entered=1_234_000, entry_micro=802_100_000,
        exited=1_234_000, exit_micro=863_800_000, fee_micro=500_000, funding_micro=-200_000,
        fills=1, liquidated=1_234_000, opened_ns=1, closed_ns=61 * 10**9, updated_ns=1, seq=1,
    )  # fmt: skip
    with writing(short.state_path) as connection:
        PROJECTED[RoundTripRow].rows.put(connection, "pitboss", [trip], "INSERT")
    page = opened("positions")
    (row,) = (
        one.value.iloc[0]
        for one in page.dataframe
        if "side_words" in one.value and "net" in one.value
    )
    assert (row["side_words"], row["result"], row["entry"], row["exit"]) == (
        "SHORT", "liquidated", 65_000, 70_000,
    )  # fmt: skip
    assert (row["net"], row["funding"], row["held"]) == (-62.4, -0.2, "61 s")
    assert figures(page)["Net"] == "\N{MINUS SIGN}62.40 pUSD"
    assert [word for word in BINARY if word in texts(page) + bodies(page)] == []


def by_hand(side: Side, size: int, price: int = 6_500_000) -> PlaceManual:
    return PlaceManual(
        account=AccountId("demo"), instrument=NAME, leg=Leg.BASE, side=side, price=price, size=size
    )


@pytest.mark.parametrize(
    ("side", "size", "live", "worst"),
    [
        (Side.SELL, 1_234_000, 0, "1,604.20"),  # as much again
        (Side.SELL, 1_234_000, 10_000_000, "1,614.20"),
        (Side.BUY, 1_234_000, 0, "802.10"),  # it closes
        (Side.BUY, 2_468_000, 0, "802.10"),  # through flat, to the same size
        (Side.BUY, 3_702_000, 0, "1,604.20"),
    ],
)
def test_the_exposure_after_an_order_counts_a_short_and_what_closes_it(
    side: Side, size: int, live: int, worst: str
) -> None:
    use = {
        "name": "exposure_instrument_max", "subject": NAME, "used": 802_100_000 + live,
        "limit_value": 9 * 10**9,
    }  # fmt: skip
    said = ticket.after(by_hand(side, size), PERP, None, [use], (-802_100_000, live))[1]
    assert f"worst-case loss here {worst} pUSD at most" in said


def test_a_sale_of_a_perpetual_is_asked_with_what_a_short_can_lose(
    short: Config, opened: Opened
) -> None:
    use = LimitUse(
        name="exposure_instrument_max", subject=NAME, used=802_100_000, limit_value=2 * 10**9,
        unit=Unit.MICRO,
    )  # fmt: skip
    with writing(short.state_path) as connection:
        put_limit_use(
            connection, "pitboss", account="demo", mode=Mode.DEMO, currency="pUSD", uses=[use],
            now_ns=time.time_ns(),
        )  # fmt: skip
    page = opened("market", instrument=NAME)
    field = {one.label.partition(",")[0]: one for one in page.text_input}
    field["Price"].set_value("65000")
    field["Size"].set_value("0.01")
    next(one for one in page.segmented_control if one.label == "Side").set_value(Side.SELL)
    press(page, "Show what will happen")
    asked = words(page)
    assert "SELL 0.01 BTC at 65,000" in asked
    assert "what it opens takes margin, up to 65.00 pUSD" in asked
    assert "worst-case loss here 1,452.10 pUSD at most, now 802.10, limit 2,000.00." in asked
    assert [word for word in BINARY if word in asked] == []


@pytest.mark.parametrize(
    ("side", "urgency", "said"),
    [
        (Side.SELL, Urgency.CROSS, "more above this price, at this price 65.32 pUSD, taker fee"),
        (Side.SELL, Urgency.REST, "up to 65.00 pUSD. Risk"),
        (Side.BUY, Urgency.CROSS, "up to 65.32 pUSD, taker fee"),
    ],
)
def test_only_an_order_that_fills_no_higher_takes_margin_up_to_its_price(
    side: Side, urgency: Urgency, said: str
) -> None:
    asked = replace(by_hand(side, 1_000_000), urgency=urgency)
    assert f"takes margin, {said}" in ticket.question(asked, PERP, Mode.DEMO).words


def test_a_receipt_says_what_remains_in_each_products_words(short: Config, opened: Opened) -> None:
    pair, binary = spot_instrument(SPOT), InstrumentId("demo:comet-1")
    with writing(short.state_path) as connection:
        put_instrument(connection, "pitboss", pair, 1)
        put_instrument(
            connection, "pitboss",
            Instrument(
                id=binary, kind=Kind.BINARY, currency="pUSD", price_decimals=4, size_decimals=6,
                tick=100, lot=10_000,
            ), 1,
        )  # fmt: skip
    proof = AccountProof(
        account="demo", mode=Mode.DEMO, open_at_latch=0, cancelled=0, not_cancelled=(),
        in_flight_waited_ms=0.0, listings=2, unknown=0, live=0, foreign=(),
        inventory=((NAME, -1_234_000, 0), (pair.id, 500_000, 0), (binary, 3_000_000, 1_500_000)),
        missing=(),
    )  # fmt: skip
    receipt = Receipt(
        id="k", who="ann", reason="x", latched_ns=1, first_cancel_ns=None, reported_ns=2,
        proven=True, accounts=(proof,),
    )  # fmt: skip
    drawn = receipts.html(receipt)
    assert "SHORT 0.01234 BTC" in drawn
    assert "BTC-pUSD: 0.005 BTC" in drawn
    assert "comet-1: 3 YES, 1.50 NO" in drawn


def test_a_short_is_free_to_be_transferred_but_what_an_order_closes(
    short: Config, opened: Opened
) -> None:
    closes = OrderRow(
        account="demo", id=1, bot="manual", mode=Mode.DEMO, instrument=NAME, leg=Leg.BASE,
        side=Side.BUY, price=6_000_000, size=1_000_000, filled=766_000, type=OrderType.GTC,
        post_only=True, expires_ns=None, created_ns=1, state=OrderState.PARTIAL, updated_ns=1,
        seq=1,
    )  # fmt: skip
    with writing(short.state_path) as connection:
        PROJECTED[OrderRow].rows.put(connection, "pitboss", [closes], "INSERT")
        (row,) = held_by_owner(connection, "pitboss", mode=Mode.DEMO)
    assert (row["size"], row["free"]) == (Decimal("-0.01234"), Decimal("0.01"))
    table = next(one.value for one in opened("positions").dataframe if "free" in one.value)
    shown_row = table.iloc[0]
    assert (shown_row["leg"], shown_row["size"]) == ("SHORT BTC", 0.01234)
    assert shown_row.isna()["cost"]
    asked = TransferHolding(
        account=AccountId("demo"), instrument=NAME, leg=Leg.BASE, size=500_000, price=6_400_000,
        from_owner=MANUAL, to_owner=BotId("maker"),
    )  # fmt: skip
    said = owners.question(asked, PERP, Mode.DEMO, short=True).words
    assert "**0.005 BTC short** of" in said
    assert "manual counts a purchase at this price, maker a sale" in said


def test_capital_has_margin_apart_with_the_nearest_liquidation(
    short: Config, opened: Opened
) -> None:
    seen = Capital(
        account=AccountId("demo"), mode=Mode.DEMO, currency="pUSD", at_ns=time.time_ns(),
        settled_micro=1_000 * USD, open_micro=0, open_orders=0, doubtful_micro=0,
        doubtful_orders=0, pending_micro=0, redeemable_micro=0, redeeming_micro=0, pairs_micro=0,
        pairs_worth_micro=0, dust_micro=0, held_micro=0, deposits_micro=1_000 * USD,
        realised_micro=0, fees_micro=0, margin_micro=80_210_000,
        margins=(replace(MARGIN, marked_ns=time.time_ns()),),
        locks=(LockedMoney(instrument=NAME, margin_micro=80_210_000),),
    )  # fmt: skip
    with writing(short.state_path) as connection:
        put_account_report(connection, "pitboss", seen)
    page = opened("capital")
    found, text = figures(page), shown(page)
    assert (found["Free cash"], found["Margin used"]) == ("919.79 pUSD", "80.21 pUSD")
    assert found["Nearest liquidation"] == "69.18 % (44,980.99)"
    assert "must keep 4.012000 pUSD" in text
    assert "margin: until the position is closed" in text
    assert "SHORT 0.01234 BTC" in text
