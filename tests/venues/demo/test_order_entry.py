"""Tickets and cancels at the desk: forms of settlement, the venue's texts, order types, delays."""

from __future__ import annotations

import pytest

from engine.domain.events import BookChanged, TradePrinted
from engine.domain.fills import FillState, Liquidity
from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.orders import CancelReason, Identity, OrderState, OrderType, RejectReason
from engine.errors import AuthRefused
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import Ended, Filled, FillMoved, Placed, StandingOrder, Ticket
from tests.venues.demo.builders import (
    ANN,
    BOB,
    CAT,
    CENT,
    COIN,
    SHARE,
    START,
    USD,
    S,
    buy_no,
    buy_yes,
    exchange,
    levels,
    put,
    run,
    sell_no,
    sell_yes,
    sound,
    ticket,
)

DELAY = 250_000_000


def rejected(made: DemoExchange, intent: Ticket) -> tuple[RejectReason | None, str]:
    receipt = made.submit(ANN, intent, made.now_ns)
    assert receipt.standing is StandingOrder.REJECTED
    assert made.open_orders(ANN) == []
    sound(made)
    return receipt.reason, receipt.text


# -- forms of settlement ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leg", "side", "bid"),
    [
        (Leg.YES, Side.BUY, True),
        (Leg.YES, Side.SELL, False),
        (Leg.NO, Side.BUY, False),
        (Leg.NO, Side.SELL, True),
    ],
)
def test_a_no_order_is_the_mirror_of_a_yes_order(leg: Leg, side: Side, bid: bool) -> None:
    made = exchange()
    made.convert(ANN, COIN, 10 * SHARE, made.now_ns)
    put(made, ANN, ticket("a", leg, side, 30, 10))
    resting = {30.0 if leg is Leg.YES else 70.0: 10.0}
    assert levels(made) == ((resting, {}) if bid else ({}, resting))


def test_two_purchases_of_both_legs_mint_pairs() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    assert levels(made) == ({}, {60.0: 10.0})
    receipt = put(made, ANN, buy_yes("a", 62, 10))
    assert receipt.standing is StandingOrder.MATCHED
    run(made, 10)
    sums = made.invariants()
    assert sums.collateral == 10 * USD
    assert sums.sets[COIN] == (10 * SHARE, 10 * SHARE)
    assert made.positions(ANN) == [(COIN, Leg.YES, 10 * SHARE)]
    assert made.positions(BOB) == [(COIN, Leg.NO, 10 * SHARE)]
    sound(made)


def test_an_improvement_is_the_takers_in_either_leg() -> None:
    made = exchange()
    put(made, BOB, buy_yes("b", 60, 10))
    put(made, ANN, buy_no("a", 45, 10))
    (fill,) = made.fills(ANN, 0)
    assert fill.price == 40 * CENT
    assert fill.liquidity is Liquidity.TAKER
    assert made.fills(BOB, 0)[0].price == 60 * CENT


def test_sales_of_both_legs_merge_pairs_and_a_sale_transfers() -> None:
    made = exchange()
    assert made.convert(ANN, COIN, 20 * SHARE, made.now_ns)
    assert made.convert(BOB, COIN, 20 * SHARE, made.now_ns)
    put(made, BOB, sell_no("b", 30, 10))
    assert levels(made) == ({70.0: 10.0}, {})
    put(made, ANN, sell_yes("a", 70, 10))
    assert made.invariants().collateral == 30 * USD
    put(made, CAT, buy_yes("c", 71, 5))
    put(made, ANN, sell_yes("a2", 71, 5))
    assert made.invariants().collateral == 30 * USD
    run(made, 10)
    sound(made)


def test_what_was_bought_cannot_be_sold_before_it_is_confirmed() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    reason, text = rejected(made, sell_yes("a2", 60, 10))
    assert reason is RejectReason.NO_FUNDS
    assert text.startswith(
        "not enough balance / allowance: the balance is not enough -> balance: 0"
    )
    run(made, 10)
    assert put(made, ANN, sell_yes("a3", 60, 10)).standing is StandingOrder.LIVE


def test_a_taker_pays_the_venues_fee_and_a_maker_none() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 50, 10))
    put(made, ANN, buy_yes("a", 50, 10))
    (ours,), (theirs,) = made.fills(ANN, 0), made.fills(BOB, 0)
    assert (ours.fee_micro, theirs.fee_micro) == (175_000, 0)
    assert made.wallet(ANN).cash == 1_000 * USD - 5 * USD - 175_000
    assert made.invariants().fees == 175_000


def test_a_customer_may_meet_itself_and_it_is_counted() -> None:
    made = exchange()
    put(made, ANN, buy_no("a", 40, 10))
    put(made, ANN, buy_yes("b", 60, 10))
    run(made, 10)
    assert made.clearing.self_trades == 1
    assert made.convert(ANN, COIN, -10 * SHARE, made.now_ns)
    sound(made)


# -- refusals, in the venue's words ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "reason", "text"),
    [
        (
            buy_yes("x", 50.5, 10),
            RejectReason.OFF_TICK,
            "order x is invalid. Price (0.505) breaks minimum tick size rule: 0.01",
        ),
        (
            buy_yes("x", 100, 10),
            RejectReason.OFF_TICK,
            "order x is invalid. Price (1) breaks minimum tick size rule: 0.01",
        ),
        (
            buy_yes("x", 0, 10),
            RejectReason.OFF_TICK,
            "order x is invalid. Price (0) breaks minimum tick size rule: 0.01",
        ),
        (
            buy_yes("x", 50, 4.99),
            RejectReason.BELOW_MIN,
            "order x is invalid. Size (4.99) lower than the minimum: 5",
        ),
        (
            buy_yes("x", 50, 5.005),
            RejectReason.OTHER,
            "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, "
            "taker amount a max of 2 decimals",
        ),
        (
            buy_yes("x", 50, 5, type=OrderType.FAK, post_only=True),
            RejectReason.OTHER,
            "Invalid order payload",
        ),
        (ticket("x", Leg.BASE, Side.BUY, 50, 5), RejectReason.OTHER, "Invalid order payload"),
        (buy_yes("x", 50, 5, type=OrderType.GTD), RejectReason.EXPIRY, "invalid expiration"),
        (buy_yes("x", 50, 5, expires_ns=START + S), RejectReason.EXPIRY, "invalid expiration"),
        (
            buy_yes("x", 50, 5, type=OrderType.GTD, expires_ns=START - 1),
            RejectReason.EXPIRY,
            "invalid expiration",
        ),
        (
            buy_yes("x", 50, 5, instrument=InstrumentId("demo:other")),
            RejectReason.MARKET_CLOSED,
            "No orderbook exists for the requested token id",
        ),
        (
            buy_yes("x", 50, 2_001),
            RejectReason.NO_FUNDS,
            "not enough balance / allowance: the balance is not enough -> "
            "balance: 1000000000, sum of matched orders: 0, order amount: 1000500000",
        ),
        (
            buy_yes("x", 50, 10, type=OrderType.FAK),
            RejectReason.NOT_FILLED,
            "no orders found to match with FAK order. "
            "FAK orders are partially filled or killed if no match is found.",
        ),
        (
            buy_yes("x", 50, 10, type=OrderType.FOK),
            RejectReason.NOT_FILLED,
            "order couldn't be fully filled. FOK orders are fully filled or killed.",
        ),
    ],
)
def test_a_refusal_has_the_venues_words(intent: Ticket, reason: RejectReason, text: str) -> None:
    assert rejected(exchange(), intent) == (reason, text)


def test_a_name_is_taken_once_even_after_its_order_ended() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5))
    again = made.submit(ANN, buy_yes("a", 51, 5), made.now_ns)
    assert (again.reason, again.text) == (
        RejectReason.DUPLICATE,
        "order a is invalid. Duplicated.",
    )
    made.cancel(ANN, Identity("a"), made.now_ns)
    assert rejected(made, buy_yes("a", 52, 5))[0] is RejectReason.DUPLICATE
    assert put(made, BOB, buy_yes("a", 50, 5)).standing is StandingOrder.LIVE


def test_post_only_is_refused_where_it_would_take() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    assert rejected(made, buy_yes("a", 60, 10, post_only=True)) == (
        RejectReason.WOULD_CROSS,
        "invalid post-only order: order crosses book",
    )
    assert put(made, ANN, buy_yes("a2", 59, 10, post_only=True)).standing is StandingOrder.LIVE


def test_a_marketable_purchase_must_be_worth_a_dollar() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 90, 100))
    assert rejected(made, buy_yes("a", 10, 9)) == (
        RejectReason.BELOW_MIN,
        "invalid amount for a marketable BUY order ($0.9), min size: $1",
    )
    assert put(made, ANN, buy_yes("a2", 10, 10)).standing is StandingOrder.MATCHED


def test_a_stranger_is_refused() -> None:
    made = exchange()
    with pytest.raises(AuthRefused, match="Unauthorized/Invalid api key"):
        made.submit(InstrumentId("nobody"), buy_yes("a", 50, 5), made.now_ns)


# -- order types -----------------------------------------------------------------------------------


def test_a_fok_fills_wholly_or_not_at_all() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    put(made, BOB, buy_no("b2", 38, 10))
    assert rejected(made, buy_yes("a", 61, 11, type=OrderType.FOK))[0] is RejectReason.NOT_FILLED
    assert levels(made) == ({}, {60.0: 10.0, 62.0: 10.0})
    receipt = put(made, ANN, buy_yes("a2", 62, 15, type=OrderType.FOK))
    assert receipt.filled == 15 * SHARE
    assert [fill.price for fill in made.fills(ANN, 0)] == [60 * CENT, 62 * CENT]


def test_a_fak_takes_what_there_is_and_its_rest_is_killed() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    receipt = put(made, ANN, buy_yes("a", 61, 30, type=OrderType.FAK))
    assert (receipt.standing, receipt.filled) == (StandingOrder.MATCHED, 10 * SHARE)
    order = made.order(ANN, Identity("a"))
    assert order is not None
    assert order.state is OrderState.CANCELLED
    ended = [report for _, report in made.take(ANN) if isinstance(report, Ended)]
    assert ended == [
        Ended(identity=Identity("a"), key="", reason=CancelReason.KILLED_REST, filled=10 * SHARE)
    ]
    assert made.wallet(ANN).reserved == 0


def test_the_rest_of_a_crossing_order_rests_and_reserves() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    receipt = put(made, ANN, buy_yes("a", 61, 30))
    assert (receipt.standing, receipt.filled) == (StandingOrder.LIVE, 10 * SHARE)
    assert levels(made) == ({61.0: 20.0}, {})
    assert made.wallet(ANN).reserved == 1_220 * USD // 100
    assert [type(report) for _, report in made.take(ANN)] == [Filled, Placed]


def test_a_gtd_order_expires_at_its_time() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5, type=OrderType.GTD, expires_ns=made.now_ns + 10 * S))
    run(made, 9.999)
    assert len(made.open_orders(ANN)) == 1
    run(made, 0.001)
    order = made.order(ANN, Identity("a"))
    assert order is not None
    assert order.state is OrderState.EXPIRED
    assert made.take(ANN)[-1][1] == Ended(identity=Identity("a"), key="", reason=None, filled=0)
    assert made.wallet(ANN).reserved == 0
    assert levels(made) == ({}, {})


# -- money at the edge -----------------------------------------------------------------------------


def test_the_last_micro_is_enough_and_one_less_is_not() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 50, 10))
    made.deposit(CAT, 5 * USD + 175_000 - made.wallet(CAT).cash - 1)
    receipt = made.submit(CAT, buy_yes("c", 50, 10), made.now_ns)
    assert receipt.reason is RejectReason.NO_FUNDS
    made.deposit(CAT, 1)
    assert put(made, CAT, buy_yes("c2", 50, 10)).standing is StandingOrder.MATCHED
    assert made.wallet(CAT).cash == 0
    sound(made)


def test_fees_rounded_up_per_match_are_counted_before_the_order_is_taken() -> None:
    made = exchange()
    for number in range(40):
        put(made, BOB, buy_no(f"b{number}", 43, 5.03))
    intent = buy_yes("c", 57, 40 * 5.03)
    fills = 40 * (made.order_entry.markets[COIN].instrument.taker_fee_micro(5_700, 5_030_000))
    whole = made.order_entry.markets[COIN].instrument.taker_fee_micro(5_700, intent.size)
    cost = 5_700 * intent.size // 10_000
    assert fills > whole
    made.deposit(CAT, cost + fills - 1 - made.wallet(CAT).cash)
    assert made.submit(CAT, intent, made.now_ns).reason is RejectReason.NO_FUNDS
    made.deposit(CAT, 1)
    assert put(made, CAT, buy_yes("c2", 57, 40 * 5.03)).standing is StandingOrder.MATCHED
    assert made.wallet(CAT).cash == 0
    sound(made)


# -- the taker delay -------------------------------------------------------------------------------


def test_a_marketable_order_is_held_and_then_matches() -> None:
    made = exchange(taker_delay_ns=DELAY)
    put(made, BOB, buy_no("b", 40, 10))
    assert put(made, ANN, buy_yes("a", 60, 10)).standing is StandingOrder.DELAYED
    assert made.wallet(ANN).reserved == 6 * USD + 168_000
    run(made, 0.249)
    assert made.fills(ANN, 0) == []
    run(made, 0.001)
    assert [fill.price for fill in made.fills(ANN, 0)] == [60 * CENT]
    assert made.wallet(ANN).reserved == 0
    sound(made)


def test_a_held_order_cannot_be_cancelled() -> None:
    made = exchange(taker_delay_ns=DELAY)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    assert not made.cancel(ANN, Identity("a"), made.now_ns).cancelled
    assert [answer.cancelled for answer in made.cancel_all(ANN, made.now_ns)] == [False]


def test_a_held_order_that_no_longer_crosses_rests() -> None:
    made = exchange(taker_delay_ns=DELAY)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    made.cancel(BOB, Identity("b"), made.now_ns)
    run(made, 0.25)
    assert levels(made) == ({60.0: 10.0}, {})
    assert made.take(ANN)[-1][1] == Placed(identity=Identity("a"), key="", held=True)


def test_a_held_fok_is_killed_where_its_match_went_away() -> None:
    made = exchange(taker_delay_ns=DELAY)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10, type=OrderType.FOK))
    made.cancel(BOB, Identity("b"), made.now_ns)
    run(made, 0.25)
    ended = made.take(ANN)[-1][1]
    assert isinstance(ended, Ended)
    assert ended.reason is CancelReason.KILLED_REST
    assert ended.text.startswith("order couldn't be fully filled")
    assert made.wallet(ANN).reserved == 0


def test_a_held_sale_keeps_its_tokens_reserved() -> None:
    made = exchange(taker_delay_ns=DELAY)
    made.convert(ANN, COIN, 10 * SHARE, made.now_ns)
    put(made, BOB, buy_yes("b", 40, 10))
    put(made, ANN, sell_yes("a", 40, 10))
    assert made.wallet(ANN).free_tokens(COIN, Leg.YES) == 0
    run(made, 10)
    assert made.positions(ANN) == [(COIN, Leg.NO, 10 * SHARE)]
    sound(made)


def test_a_held_order_ends_with_its_market() -> None:
    made = exchange(taker_delay_ns=DELAY)
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    made.listing.close(COIN)
    run(made, 1)
    assert made.open_orders(ANN) == []
    assert made.wallet(ANN).reserved == 0
    sound(made)


# -- cancels and what is published -----------------------------------------------------------------


def test_a_cancel_frees_the_reservation_and_says_why_when_it_cannot() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 10))
    assert made.cancel(ANN, Identity("a"), made.now_ns).cancelled
    assert made.wallet(ANN).reserved == 0
    assert made.cancel(ANN, Identity("a"), made.now_ns).text == (
        "Order not found or already canceled"
    )
    put(made, ANN, buy_yes("b", 50, 10))
    put(made, BOB, buy_no("c", 50, 10))
    assert made.cancel(ANN, Identity("b"), made.now_ns).text == "Order already matched"


def test_cancel_all_respects_key_market_and_tag() -> None:
    made = exchange()
    for name, key, tag in (("a", "one", "x"), ("b", "one", "y"), ("c", "two", "x")):
        put(made, ANN, buy_yes(name, 50, 5, key=key, tag=tag))
    assert [
        answer.identity for answer in made.cancel_all(ANN, made.now_ns, key="one", tag="x")
    ] == ["a"]
    assert made.cancel_all(ANN, made.now_ns, instrument=InstrumentId("demo:other")) == []
    assert [order.identity for order in made.open_orders(ANN)] == ["b", "c"]


def test_a_print_comes_before_the_change_it_caused_one_per_level() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    put(made, CAT, buy_no("c", 40, 10))
    put(made, CAT, buy_no("d", 39, 10))
    made.take_public()
    put(made, ANN, buy_yes("a", 61, 25))
    now_ns = made.now_ns
    assert [event for _, event in made.take_public()] == [
        TradePrinted(
            instrument=COIN,
            price=60 * CENT,
            size=20 * SHARE,
            aggressor=Side.BUY,
            exchange_ns=now_ns,
        ),
        TradePrinted(
            instrument=COIN,
            price=61 * CENT,
            size=5 * SHARE,
            aggressor=Side.BUY,
            exchange_ns=now_ns,
        ),
        BookChanged(
            instrument=COIN,
            changes=((Side.SELL, 60 * CENT, 0), (Side.SELL, 61 * CENT, 5 * SHARE)),
            exchange_ns=now_ns,
        ),
    ]


def test_fills_are_reported_with_their_settlement() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    run(made, 10)
    reports = [report for _, report in made.take(ANN)]
    assert [type(report) for report in reports] == [Filled, FillMoved, FillMoved]
    states = [report.state for report in reports if isinstance(report, FillMoved)]
    assert states == [FillState.MINED, FillState.CONFIRMED]
    assert [fill.state for fill in made.fills(ANN, 0)] == [FillState.CONFIRMED]
