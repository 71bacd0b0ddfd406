"""The life of a market."""

from __future__ import annotations

import pytest

from engine.domain.events import (
    BookReplaced,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    StrikeProven,
)
from engine.domain.instruments import FeeSchedule, Kind, Leg
from engine.domain.orders import CancelReason, RejectReason
from engine.errors import BadInput, BrokenInvariant
from engine.venues.demo.exchange import MARKET_KEPT_NS
from engine.venues.demo.orders import Ended
from tests.venues.demo.builders import (
    ANN,
    BOB,
    COIN,
    SHARE,
    USD,
    S,
    buy_no,
    buy_yes,
    exchange,
    instrument,
    put,
    run,
    sound,
)


def test_a_new_market_is_listed_with_an_empty_book() -> None:
    made = exchange()
    events = [event for _, event in made.take_public()]
    assert events[0] == InstrumentListed(instrument=instrument())
    assert isinstance(events[1], BookReplaced)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.PERPETUAL},
        {"lot": 1},
        {"tick": 300},
        {"fees": FeeSchedule(maker_rate_ppm=1)},
        {"fees": FeeSchedule(taker_rate_ppm=600_000, exponent=1)},
    ],
)
def test_a_market_that_cannot_be_kept_exact_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        exchange(**changes)


def test_a_market_is_listed_once() -> None:
    made = exchange()
    with pytest.raises(BadInput, match="already"):
        made.listing.add(instrument())


def test_closing_cancels_everything_and_takes_no_more() -> None:
    made = exchange()
    put(made, ANN, buy_yes("a", 50, 5))
    made.take(ANN)
    made.take_public()
    made.listing.close(COIN)
    made.listing.close(COIN)
    (_, ended), *_ = made.take(ANN)
    assert isinstance(ended, Ended)
    assert ended.reason is CancelReason.MARKET_CLOSED
    events = [event for _, event in made.take_public()]
    assert events[-1] == InstrumentClosed(instrument=COIN)
    assert len(events) == 2
    refused = made.submit(ANN, buy_yes("b", 50, 5), made.now_ns)
    assert refused.reason is RejectReason.MARKET_CLOSED
    sound(made)


def test_a_resolution_is_told_and_pays_nothing_by_itself() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    run(made, 10)
    before = made.wallet(ANN).cash
    made.listing.resolve(COIN, USD, "referee")
    assert made.take_public()[-1][1] == InstrumentResolved(
        instrument=COIN, payout_yes_micro=USD, source="referee"
    )
    run(made, 3_600)
    assert made.wallet(ANN).cash == before
    assert made.positions(ANN) == [(COIN, Leg.YES, 10 * SHARE)]
    assert not made.convert(ANN, COIN, SHARE, made.now_ns)
    sound(made)


def test_a_resolution_is_one_of_three_and_happens_once() -> None:
    made = exchange()
    with pytest.raises(BadInput):
        made.listing.resolve(COIN, 300_000, "referee")
    made.listing.resolve(COIN, 0, "referee")
    with pytest.raises(BadInput):
        made.listing.resolve(COIN, 0, "referee")


def test_a_resolved_market_is_forgotten_after_its_last_settlement_and_redemption() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    made.listing.resolve(COIN, 0, "referee")
    stuck = made.settlement.pending[1]
    run(made, 10)
    made.settlement.pending[1] = stuck
    run(made, MARKET_KEPT_NS / S)
    assert COIN in made.order_entry.markets
    del made.settlement.pending[1]
    run(made, MARKET_KEPT_NS / S)
    assert COIN in made.order_entry.markets  # a winner is still held
    made.operate(BOB, 1, COIN, 0, made.now_ns)
    run(made, MARKET_KEPT_NS / S - 60)
    made.open_orders(ANN)  # who holds the losers is here
    run(made, 60)
    assert COIN not in made.order_entry.markets
    assert made.invariants().sets == {}
    assert len(made.fills(ANN, 0)) == 1
    with pytest.raises(BadInput, match="not listed"):
        made.listing.close(COIN)
    sound(made)


def test_a_market_whose_losers_an_absent_customer_holds_is_told_when_it_comes_back() -> None:
    made = exchange()
    put(made, BOB, buy_no("b", 40, 10))
    put(made, ANN, buy_yes("a", 60, 10))
    run(made, 10)
    made.open_orders(ANN)  # she was here before the result, which is too early
    made.listing.resolve(COIN, 0, "referee")
    made.operate(BOB, 1, COIN, 0, made.now_ns)
    for _ in range(26):  # a machine asleep from one day to the next
        run(made, MARKET_KEPT_NS / S)
        made.open_orders(BOB)
    assert InstrumentResolved(instrument=COIN, payout_yes_micro=0, source="demo") in made.opening()
    made.open_orders(ANN)
    run(made, MARKET_KEPT_NS / S)
    assert COIN in made.order_entry.markets  # she left again at once
    for _ in range(13):
        made.open_orders(ANN)
        run(made, 300)
    assert COIN not in made.order_entry.markets
    sound(made)


def test_a_strike_is_proven_once_and_told_to_newcomers() -> None:
    made = exchange()
    made.listing.prove_strike(COIN, 65_000, "oracle")
    proven = StrikeProven(instrument=COIN, strike_e8=65_000, provenance="oracle")
    assert made.take_public()[-1][1] == proven
    with pytest.raises(BrokenInvariant):
        made.listing.prove_strike(COIN, 65_001, "oracle")
    put(made, ANN, buy_yes("a", 50, 5))
    listed, strike, book = made.opening()
    assert isinstance(listed, InstrumentListed)
    assert listed.instrument.strike_e8 == 65_000
    assert strike == proven
    assert isinstance(book, BookReplaced)
    assert book.bids == ((5_000, 5 * SHARE),)
    made.listing.resolve(COIN, 0, "oracle")
    assert [type(event) for event in made.opening()] == [
        InstrumentListed,
        StrikeProven,
        InstrumentClosed,
        InstrumentResolved,
    ]


def test_a_coarser_tick_cancels_what_is_off_it() -> None:
    made = exchange(tick=10)
    put(made, ANN, buy_yes("a", 50, 5))
    put(made, ANN, buy_yes("b", 50.1, 5))
    put(made, BOB, buy_no("c", 49.7, 5))
    made.listing.change_tick(COIN, 100)
    assert [order.identity for order in made.open_orders(ANN)] == ["a"]
    assert made.open_orders(BOB) == []
    ended = made.take(BOB)[-1][1]
    assert isinstance(ended, Ended)
    assert ended.reason is CancelReason.TICK_CHANGED
    last = made.take_public()[-1][1]
    assert isinstance(last, BookReplaced)
    assert last.bids == ((5_000, 5 * SHARE),)
    with pytest.raises(BadInput):
        made.listing.change_tick(COIN, 300)
    sound(made)
