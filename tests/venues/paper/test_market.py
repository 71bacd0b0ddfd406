from engine.domain.events import TradePrinted
from engine.domain.instruments import Leg
from engine.venues.paper.account import Wallet
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.queue import QueuedOrder, queued
from tests.venues.paper.world import BINARY, BUY, MARKET, NO, SELL, SHARE, SPOT, YES, World

WORLD = World()


def market() -> PaperMarket:
    found = PaperMarket(BINARY, Wallet())
    found.book.replace(bids=((5_000, 100), (4_900, 50)), asks=((5_200, 100), (5_300, 50)))
    found.replaced(50, 0)
    return found


def order(side: object, cents: int, leg: Leg = YES) -> QueuedOrder:
    return queued(WORLD.order(side, cents, 120 / SHARE, leg), BINARY)


def printed(price: int, aggressor: object = None) -> TradePrinted:
    return TradePrinted(instrument=MARKET, price=price, size=1, aggressor=aggressor)


def test_a_market_has_the_legs_of_its_kind() -> None:
    assert list(PaperMarket(BINARY, Wallet()).funds) == [YES, NO]
    assert list(PaperMarket(SPOT, Wallet()).funds) == [Leg.BASE]


def test_a_market_is_ready_once_a_book_was_received() -> None:
    fresh = PaperMarket(BINARY, Wallet())
    assert not fresh.ready
    fresh.replaced(50, 0)
    assert fresh.ready
    fresh.torn = True
    assert not fresh.ready


def test_takers_get_the_best_prices_first_up_to_their_limit() -> None:
    assert market().takeable(order(BUY, 53)) == [(5_200, 100), (5_300, 20)]
    assert market().takeable(order(BUY, 52)) == [(5_200, 100)]
    assert market().takeable(order(SELL, 49)) == [(5_000, 100), (4_900, 20)]
    assert market().takeable(order(BUY, 51, NO)) == [(5_000, 100), (4_900, 20)]


def test_crossing_is_reaching_the_best_opposite_price() -> None:
    found = market()
    assert [found.crosses(order(BUY, cents)) for cents in (51, 52)] == [False, True]
    assert [found.crosses(order(SELL, cents)) for cents in (51, 50)] == [False, True]
    found.clear()
    assert not found.crosses(order(BUY, 99))
    assert not found.crosses(order(SELL, 1))


def test_leaving_the_queue_twice_is_harmless() -> None:
    found, bid = market(), order(BUY, 50)
    found.enqueue(bid)
    assert bid.ahead == 100
    found.dequeue(bid)
    found.dequeue(bid)
    assert found.bids == {}


def test_a_snapshot_moves_our_queues_like_any_change() -> None:
    found, bid = market(), order(BUY, 50)
    found.enqueue(bid)
    found.book.replace(bids=((5_000, 30),), asks=())
    found.replaced(0, 1)
    assert bid.ahead == 30
    found.book.replace(bids=(), asks=())
    found.replaced(0, 2)
    assert bid.ahead == 0


def test_a_known_aggressor_hit_the_other_side() -> None:
    assert market().side_hit(printed(5_000, SELL)) is BUY
    assert market().side_hit(printed(5_000, BUY)) is SELL


def test_an_unknown_aggressor_is_found_by_the_level_that_stood_there() -> None:
    found = market()
    assert found.side_hit(printed(5_000)) is BUY
    assert found.side_hit(printed(5_200)) is SELL
    assert found.side_hit(printed(5_100)) is None


def test_our_own_level_is_evidence_too_unless_the_other_side_stands_there() -> None:
    found = market()
    found.enqueue(order(BUY, 51))
    assert found.side_hit(printed(5_100)) is BUY
    found.enqueue(order(BUY, 52))
    assert found.side_hit(printed(5_200)) is None


def test_printed_volume_is_noted_only_where_a_level_stands() -> None:
    found = market()
    found.printed(SELL, 5_200, 30)
    found.printed(SELL, 5_100, 30)
    assert found.taken_asks == {5_200: 30}
    assert found.takeable(order(BUY, 52)) == [(5_200, 70)]


def test_a_market_is_idle_when_closed_and_empty() -> None:
    found = market()
    assert not found.idle
    found.closed = True
    assert found.idle
    found.funds[YES].holding.pending = 1
    assert not found.idle
