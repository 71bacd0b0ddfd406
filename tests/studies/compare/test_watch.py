"""What is counted of a maker's day, and against which mid."""

from __future__ import annotations

import pytest

from engine.caches.markets import MarketCache
from engine.domain.effects import PlaceOrder
from engine.domain.events import (
    BookReplaced,
    InstrumentClosed,
    InstrumentListed,
    OrderAccepted,
    OrderFilled,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import BotId, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType
from studies.compare.watch import HORIZONS_S, JUDGED_S, MakerWatch, S
from tests.venues.demo.builders import ANN, CENT, COIN, SHARE, instrument


def cache_at(bid: int | None, ask: int | None) -> MarketCache:
    cache = MarketCache()
    cache.receive(InstrumentListed(instrument=instrument()), 0)
    bids = () if bid is None else ((bid * CENT, SHARE),)
    asks = () if ask is None else ((ask * CENT, SHARE),)
    cache.receive(BookReplaced(instrument=COIN, bids=bids, asks=asks), 0)
    return cache


def watched(cache: MarketCache, leg: Leg = Leg.YES, cents: int = 50) -> MakerWatch:
    """A watch that saw one order of ten shares accepted at 1 s and half of it filled at 3 s."""
    watch = MakerWatch(cache.views)
    order = Order(
        id=OrderId(1), account=ANN, bot=BotId("bot"), instrument=COIN, leg=leg, side=Side.BUY,
        price=cents * CENT, size=10 * SHARE, type=OrderType.GTC, post_only=True, created_ns=0,
    )  # fmt: skip
    watch.append(ANN, PlaceOrder(order=order), 0)
    watch.append(ANN, OrderAccepted(account=ANN, order=order.id), S)
    for number, at_ns in enumerate((3 * S, 4 * S)):
        fill = OrderFilled(
            account=ANN, order=order.id, fill=FillId(f"f{number}"), price=cents * CENT,
            size=2 * SHARE, fee_micro=0, liquidity=Liquidity.MAKER, state=FillState.MATCHED,
        )  # fmt: skip
        watch.append(ANN, fill, at_ns)
    return watch


def test_sizes_and_the_wait_for_the_first_fill_are_counted() -> None:
    figures = watched(cache_at(50, 52)).figures
    assert (figures.orders, figures.filled_orders, figures.fills) == (1, 1, 2)
    assert (figures.placed, figures.filled) == (10 * SHARE, 4 * SHARE)
    assert figures.wait_s == 2.0


@pytest.mark.parametrize(("leg", "cents", "gain"), [(Leg.YES, 50, 1.0), (Leg.NO, 50, -1.0)])
def test_a_fill_is_marked_at_the_mid_five_seconds_later(leg: Leg, cents: int, gain: float) -> None:
    watch = watched(cache_at(50, 52), leg, cents)
    watch.look(3 * S + JUDGED_S * S)
    assert watch.figures.marked == 2 * SHARE
    assert watch.figures.marked_gain == pytest.approx(gain * 2 * SHARE)
    assert watch.marks[JUDGED_S][COIN] == (pytest.approx(gain), 1)


def test_each_horizon_marks_for_itself() -> None:
    watch = watched(cache_at(50, 52))
    watch.look(4 * S + JUDGED_S * S)
    assert [watch.marks[s][COIN][1] for s in HORIZONS_S] == [2, 2, 0]


def test_a_closed_or_one_sided_market_marks_nothing() -> None:
    one_sided, closed = cache_at(50, None), cache_at(50, 52)
    closed.receive(InstrumentClosed(instrument=COIN), 0)
    for cache in (one_sided, closed):
        watch = watched(cache)
        watch.look(9 * S + JUDGED_S * S)
        assert watch.figures.marked == 0
