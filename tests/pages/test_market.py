"""The Market page: book with our orders, ticket and flatten, life and terms; what is unknown."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import PlaceManual
from engine.domain.decisions import Unit
from engine.domain.instruments import AccountId, FeeSchedule, InstrumentId, Leg, Mode, Side
from engine.domain.intents import Urgency
from engine.domain.listings import ListingState
from engine.domain.telemetry import BookTop
from pages import market
from pages.shared import listing, ticket
from storage.database import writing
from storage.live import (
    SUBJECTS_MAX,
    HoldingSeen,
    LimitUse,
    put_books,
    put_holdings,
    put_limit_use,
    put_payout,
)
from storage.projected import PROJECTED
from storage.projected.positions import PositionRow
from tests.pages.seen import figures
from tests.pages.test_asking import M1, beat, desk, left, press, texts, words
from tests.pages.test_markets import listed
from tests.storage.listed import made

__all__ = ["desk"]

Opened = Callable[..., AppTest]
NAME = M1.id


def hold(config: Config, shares: int) -> None:
    """Write what the engine holds of the market."""
    held = HoldingSeen(
        account="demo", instrument=NAME, mode=Mode.DEMO, currency="pUSD", bot="", no_settled=0,
        yes_settled=shares * 10**6, yes_pending=0, no_pending=0, yes_cost_micro=4_000_000,
        no_cost_micro=0, value_micro=4_500_000, mid2=9_000, marked_ns=1, realised_micro=0,
        fees_micro=0, payout_yes_micro=None,
    )  # fmt: skip
    with writing(config.state_path) as connection:
        put_holdings(connection, "pitboss", [held], time.time_ns())
        own = PositionRow(
            account="demo", instrument=NAME, leg=Leg.YES, bot="manual", mode=Mode.DEMO,
            settled=shares * 10**6, cost_micro=4_000_000, updated_ns=1, seq=1,
        )  # fmt: skip
        PROJECTED[PositionRow].rows.put(connection, "pitboss", [own], "INSERT OR REPLACE")


def test_a_market_nobody_knows_is_a_sentence(opened: Opened, desk: Config) -> None:
    assert "Unknown market" in texts(opened("market", instrument="demo:nothing"))


def test_without_a_market_one_is_chosen_and_the_address_names_it(
    opened: Opened, desk: Config
) -> None:
    page = opened("market")
    assert "No market is chosen" in texts(page)
    page.selectbox[0].set_value(NAME).run()
    assert page.query_params["instrument"] == NAME
    assert figures(page)["Best bid"] == "44¢"


def test_touch_ladder_and_state_of_a_market_that_is_received(opened: Opened, desk: Config) -> None:
    page = opened("market", instrument=NAME)
    found = figures(page)
    assert (found["Best bid"], found["Best ask"], found["Spread"]) == ("44¢", "46¢", "2¢")
    assert (found["Last"], found["Held"], found["Open orders"]) == ("\N{EN DASH}", "nothing", "0")
    shown = texts(page)
    assert "ACTIVE → ended → proposed → disputed → resolved → redeemed" in shown
    assert "No trade was received in the last hour" in shown
    assert "No price is stored for this period" in shown
    assert "there is no position here to close" in shown


def test_a_market_that_is_not_received_shows_no_number_and_is_followed_on_request(
    opened: Opened, desk: Config
) -> None:
    with writing(desk.state_path) as connection:
        put_books(connection, "pitboss", [], time.time_ns())
    page = opened("market", instrument=NAME)
    found = figures(page)
    assert {found[one] for one in ("Best bid", "Best ask", "Spread", "Last")} == {"\N{EN DASH}"}
    assert "demo does not receive this market" in texts(page)
    press(page, "Follow it at demo")
    ((kind, body),) = left(desk)
    assert (kind, body["instrument"], body["on"]) == ("FollowMarket", NAME, True)


def test_a_market_that_is_resolved_is_neither_followed_nor_traded(
    opened: Opened, desk: Config
) -> None:
    with writing(desk.state_path) as connection:
        put_books(connection, "pitboss", [], time.time_ns())
        put_payout(connection, "pitboss", NAME, 1_000_000, 5)
    page = opened("market", instrument=NAME)
    assert "This market is resolved." in texts(page)
    assert "No order can be placed" in texts(page)
    assert not [one for one in page.button if one.label.startswith(("Follow", "Show what will"))]


def test_without_an_engine_neither_book_nor_ticket_is_shown(opened: Opened, desk: Config) -> None:
    beat(desk, age_ns=3_600 * 10**9)
    page = opened("market", instrument=NAME)
    assert figures(page)["Best bid"] == "\N{EN DASH}"
    assert "NO ENGINE IS RUNNING" in texts(page)
    assert not [one for one in page.button if one.label in ("Show what will happen", "Flatten…")]


def test_a_position_is_flattened_after_a_dialog_with_a_cap_in_cents(
    opened: Opened, desk: Config
) -> None:
    hold(desk, 10)
    page = opened("market", instrument=NAME)
    assert figures(page)["Held"] == "10 YES, 0 NO"
    page.number_input[0].set_value(3.5)
    press(page, "Flatten…")
    assert "at most **3.5¢** worse than the best price" in words(page)
    assert left(desk) == []
    press(page, "Flatten the position")
    ((kind, body),) = left(desk)
    assert (kind, body["account"], body["slippage_max"]) == ("Flatten", "demo", 350)


def test_the_venue_s_own_listing_gives_name_rules_and_state(opened: Opened, desk: Config) -> None:
    row = msgspec.structs.replace(
        made(1, question="Comet?", description="By sight.", state=ListingState.PROPOSED), id=NAME
    )
    listed(desk, row)
    page = opened("market", instrument=NAME)
    assert page.title[0].value == "Comet?"
    shown = texts(page)
    assert "ended → PROPOSED → disputed" in shown
    assert "As the venue lists it" in shown
    page.segmented_control(key="market_about").set_value("Rules").run()
    assert "By sight." in texts(page)


def test_an_outcome_comes_from_the_engine_and_never_from_a_price(
    opened: Opened, desk: Config
) -> None:
    listed(desk, msgspec.structs.replace(made(1, bid=0.998, ask=0.999), id=NAME))
    assert "ACTIVE → ended" in texts(opened("market", instrument=NAME))
    with writing(desk.state_path) as connection:
        put_payout(connection, "pitboss", NAME, 500_000, 1)
    st.cache_data.clear()
    shown = texts(opened("market", instrument=NAME))
    assert "RESOLVED → redeemed · one YES pays 0.5, one NO 0.5" in shown


def test_life_ends_with_what_an_account_was_paid() -> None:
    assert listing.lifecycle(ListingState.ACTIVE, 0, paid=True).endswith(
        "REDEEMED · one YES pays 0, one NO 1"
    )
    assert "has not reported how it ended" in listing.lifecycle(
        ListingState.UNLISTED, None, paid=False
    )
    assert "not known" in listing.lifecycle(None, None, paid=False)


def test_the_cockpit_tells_only_what_an_evaluation_stated() -> None:
    tiles = {one.name: one.value for one in market.oracle_tiles({"fair": 0.52})}
    assert tiles.pop("Fair value") == "52¢"
    assert set(tiles.values()) == {"\N{EN DASH}"}
    values = {"oracle": 100_100.0, "strike": 100_000.0, "to_close_s": 90.0}
    tiles = {one.name: one.value for one in market.oracle_tiles(values)}
    assert tiles["Oracle minus strike"] == "+100.00 (+10.0 bp)"
    assert tiles["Time to close"] == "90 s"


# -- what a ticket says before it is sent ----------------------------------------------------------

BOOK = BookTop(
    account=AccountId("demo"), instrument=InstrumentId(NAME), trusted=True,
    bids=((4_400, 9_000_000), (4_300, 5_000_000)), asks=((4_600, 7_000_000),),
)  # fmt: skip


def asked(**changes: Any) -> PlaceManual:
    fields: dict[str, Any] = {
        "account": AccountId("demo"), "instrument": NAME, "leg": Leg.YES, "side": Side.BUY,
        "price": 4_600, "size": 10_000_000, "urgency": Urgency.CROSS,
    }  # fmt: skip
    return PlaceManual(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 7_000_000),
        ({"price": 4_500}, 0),
        ({"side": Side.SELL, "price": 4_300}, 14_000_000),
        ({"side": Side.SELL, "price": 4_400}, 9_000_000),
        ({"leg": Leg.NO, "price": 5_600}, 9_000_000),
        ({"leg": Leg.NO, "side": Side.SELL, "price": 5_400}, 7_000_000),
    ],
)
def test_what_is_there_is_counted_in_the_space_of_the_leg(
    changes: dict[str, Any], size: int
) -> None:
    assert ticket.there(asked(**changes), M1, BOOK) == size


@pytest.mark.parametrize(
    ("changes", "fee"),
    [
        ({"price": 9_900}, 175_000),
        ({"price": 2_000}, 112_000),
        ({"side": Side.SELL, "price": 2_000}, 175_000),
        ({"side": Side.SELL, "price": 8_000}, 112_000),
    ],
)
def test_the_fee_of_a_better_price_is_said_where_it_is_larger(
    changes: dict[str, Any], fee: int
) -> None:
    fees = FeeSchedule(taker_rate_ppm=70_000, exponent=1)
    charged = msgspec.structs.replace(M1, fees=fees)
    assert ticket.fee_max_micro(asked(**changes), charged) == fee


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "3 are dropped, 7 are available"),
        ({"size": 5_000_000}, "none, by the latest book"),
        ({"urgency": Urgency.NOW}, "only 7 are available by the latest book: nothing fills"),
        ({"urgency": Urgency.REST}, "the venue rejects it"),
        ({"urgency": Urgency.REST, "price": 4_500}, "all 10 rest"),
    ],
)
def test_the_residual_is_said_by_the_book(changes: dict[str, Any], said: str) -> None:
    assert said in ticket.after(asked(**changes), M1, BOOK, [])[0]
    torn = msgspec.structs.replace(BOOK, trusted=False)
    assert "unknown" in ticket.after(asked(**changes), M1, torn, [])[0]


def test_the_exposure_after_is_what_risk_told_and_what_the_order_may_cost(
    opened: Opened, desk: Config
) -> None:
    use = LimitUse(
        name="exposure_instrument_max", subject=NAME, used=2_000_000, limit_value=9_000_000,
        unit=Unit.MICRO,
    )  # fmt: skip
    with writing(desk.state_path) as connection:
        put_limit_use(
            connection, "pitboss", account="demo", mode=Mode.DEMO, currency="pUSD", uses=[use],
            now_ns=time.time_ns(),
        )  # fmt: skip
    page = opened("market", instrument=NAME)
    field = {one.label.partition(",")[0]: one for one in page.text_input}
    field["Price"].set_value("45")
    field["Size"].set_value("10")
    press(page, "Show what will happen")
    assert "worst-case loss here 6.50 pUSD at most, now 2.00, limit 9.00." in words(page)


def test_a_market_risk_does_not_tell_of_has_no_exposure_made_up() -> None:
    row = {"name": "exposure_instrument_max", "used": 1, "limit_value": 9}
    others = [row | {"subject": f"demo:{number}"} for number in range(SUBJECTS_MAX)]
    assert "risk reports only its largest markets" in ticket.after(asked(), M1, None, others)[1]
    assert "now 0" in ticket.after(asked(), M1, None, others[:1])[1]
