"""A market's compiled twin: what fits, what is told back, what is refused untouched."""

from __future__ import annotations

import numpy as np
import pytest

from engine.domain.books import Level
from engine.domain.events import BookReplaced
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Leg, Side
from engine.domain.orders import Order, OrderId
from engine.venues.paper import kernel
from engine.venues.paper.account import Wallet
from engine.venues.paper.columns import ASK, BID, BOUGHT, SIZE_MAX, SOLD
from engine.venues.paper.compiled import UNHEARD, CompiledMarket
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.queue import QueuedOrder

NOW = 1_000_000_000_000
FAR = 1 << 60
ID = InstrumentId("x:y")


def market_of(*bids: Level, asks: tuple[Level, ...] = (), kind: Kind = Kind.BINARY) -> PaperMarket:
    instrument = Instrument(
        id=ID, kind=kind, currency="USD", price_decimals=2, size_decimals=6, tick=1, lot=1
    )
    market = PaperMarket(instrument, Wallet())
    event = BookReplaced(instrument=ID, bids=bids, asks=asks)
    market.replaced(event, 50, NOW)
    return market


def rest(market: PaperMarket, price: int, size: int) -> QueuedOrder:
    order = Order(
        account=AccountId("a"), id=OrderId(price), bot=BotId("b"), instrument=ID, leg=Leg.YES,
        side=Side.BUY, price=price, size=size, created_ns=NOW,
    )  # fmt: skip
    resting = QueuedOrder(order, market.instrument)
    market.enqueue(resting)
    return resting


def twin_of(market: PaperMarket) -> CompiledMarket:
    twin = CompiledMarket(market, 50)
    assert twin.reload()
    return twin


def hear(twin: CompiledMarket, *rows: tuple[int, int, int, int, int]) -> bool:
    return twin.advance(np.array(rows, np.int64), (None, 0), (0, UNHEARD, FAR), [])


def test_levels_and_queues_are_told_back() -> None:
    market = market_of((40, 100), asks=((60, 100),))
    resting = rest(market, 40, 10)
    twin = twin_of(market)
    assert hear(twin, (NOW, BID, 40, 50, 0), (NOW, ASK, 60, 0, 1), (NOW + 1, SOLD, 40, 20, 1))
    assert twin.changes() == [(Side.BUY, 40, 50), (Side.SELL, 60, 0)]
    assert (market.book.bids, market.book.asks) == ({40: 50}, {})
    assert (resting.ahead, market.taken_bids) == (30, {40: 20})
    assert market.bids[40].printed == 20
    assert twin.facts[kernel.EVENTS] == 2


def test_it_stops_before_a_print_that_might_fill_ours() -> None:
    market = market_of((40, 100))
    resting = rest(market, 40, 10)
    twin = twin_of(market)
    assert hear(twin, (NOW, SOLD, 40, 60, 1), (NOW + 1, SOLD, 40, 60, 1))
    assert twin.facts[kernel.NEXT] == 1
    assert resting.ahead == 40
    assert hear(twin, (NOW, SOLD, 39, 1, 1))
    assert twin.facts[kernel.NEXT] == 0


def test_a_print_on_the_other_side_touches_nothing_of_ours() -> None:
    market = market_of((40, 100), asks=((60, 5),))
    rest(market, 40, 10)
    twin = twin_of(market)
    assert hear(twin, (NOW, BOUGHT, 60, 500, 1))
    twin.changes()
    assert market.taken_asks == {60: 500}


def test_it_stops_before_a_print_beyond_ours_on_the_other_side() -> None:
    market = market_of((40, 100), asks=((60, 100),))
    rest(market, 40, 10)
    twin = twin_of(market)
    assert hear(twin, (NOW, BID, 40, 0, 0), (NOW, ASK, 40, 50, 1), (NOW + 1, BOUGHT, 40, 20, 1))
    assert twin.facts[kernel.NEXT] == 2


def test_it_stops_after_what_wakes_somebody_and_before_what_is_due() -> None:
    market = market_of((40, 100), asks=((60, 5),))
    twin = twin_of(market)
    rows = np.array([(NOW + at, BID, 40 + at, 5, 1) for at in range(9)], np.int64)
    assert twin.advance(rows, (100, 0), (0, UNHEARD, FAR), [(1, 100, 3)])
    assert (twin.facts[kernel.WOKE], twin.facts[kernel.NEXT]) == (3, 4)
    assert twin.advance(rows, (103, NOW + 3), (4, UNHEARD, NOW + 6), [(1, 103, 90)])
    assert (twin.facts[kernel.WOKE], twin.facts[kernel.NEXT]) == (UNHEARD, 6)


def test_somebody_who_was_never_woken_is_woken_by_the_first_mid() -> None:
    twin = twin_of(market_of((40, 100), asks=((60, 5),)))
    rows = np.array([(NOW, BID, 40, 5, 1)], np.int64)
    assert twin.advance(rows, (None, 0), (0, UNHEARD, FAR), [(0, 0, 500)])
    assert twin.facts[kernel.WOKE] == 0


def test_the_best_price_is_found_again_after_it_left() -> None:
    market = market_of((10, 1), (40, 1), asks=((60, 1), (90, 1)))
    twin = twin_of(market)
    rows = ((NOW, BID, 40, 0, 0), (NOW, ASK, 60, 0, 1))
    assert hear(twin, *rows)
    assert twin.facts[kernel.MID2] == 100
    assert hear(twin, (NOW, BID, 10, 0, 1))
    assert twin.facts[kernel.BEST_BID] == -1
    assert twin.facts[kernel.TWO_SIDED_NS] == UNHEARD


def test_an_event_the_plain_path_took_is_followed_in_the_book_alone() -> None:
    market = market_of((40, 100))
    twin = twin_of(market)
    rows = np.array([(NOW, BID, 41, 7, 1), (NOW, BID, 40, 9, 1)], np.int64)
    assert twin.advance(rows, (None, 0), (1, 0, FAR), [])
    assert twin.facts[kernel.BEST_BID] == 41
    assert twin.changes() == [(Side.BUY, 40, 9)]


def test_an_event_off_the_grid_asks_for_a_new_reading() -> None:
    twin = twin_of(market_of((40, 100)))
    rows = np.array([(NOW, BID, 400, 7, 1), (NOW, BID, 40, 9, 1)], np.int64)
    assert not twin.advance(rows, (None, 0), (1, 0, FAR), [])


@pytest.mark.parametrize("level", [(400, 1), (40, SIZE_MAX + 1)])
def test_a_book_that_does_not_fit_is_refused(level: Level) -> None:
    assert not CompiledMarket(market_of(level), 50).reload()


def test_more_orders_than_fit_are_refused_untouched() -> None:
    market = market_of((40, 100))
    twin = twin_of(market)
    for _ in range(kernel.DESK_MAX):
        rest(market, 40, 10)
    assert not hear(twin, (NOW, BID, 40, 50, 1))


def test_a_number_beyond_64_bits_is_refused() -> None:
    market = market_of((40, 100))
    market.taken_bids[40] = 1 << 70
    assert not hear(twin_of(market), (NOW, BID, 40, 50, 1))


def test_only_bounded_prices_suit() -> None:
    assert CompiledMarket.suits(market_of())
    assert not CompiledMarket.suits(market_of(kind=Kind.SPOT))
