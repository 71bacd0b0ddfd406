from hypothesis import given
from hypothesis import strategies as st

from engine.venues.paper.queue import (
    PRINT_NS_MAX,
    OwnLevel,
    QueuedOrder,
    ahead_after,
    all_reached,
    allot,
    overtaken,
    queued,
)
from tests.venues.paper.world import BINARY, BUY, NO, SELL, World

PESSIMISTIC, REALISTIC, OPTIMISTIC = 0, 50, 100
PERCENTS = st.integers(0, 100)
SIZES = st.integers(0, 10_000)


def resting(cents: int, size: int, ahead: int = 0) -> QueuedOrder:
    order = queued(World().order(BUY, cents, 1), BINARY)
    order.remaining = size
    order.ahead = ahead
    return order


def level(*orders: QueuedOrder, displayed: int = 0) -> OwnLevel:
    own = OwnLevel(displayed=displayed)
    own.orders.extend(orders)
    return own


def test_a_cancel_of_a_third_moves_each_model_by_its_own_share() -> None:
    # 60 of 90 stand ahead of us; 30 go away.
    assert ahead_after(PESSIMISTIC, 60, 90, 60) == 60
    assert ahead_after(REALISTIC, 60, 90, 60) == 40
    assert ahead_after(OPTIMISTIC, 60, 90, 60) == 30


def test_the_pessimist_moves_only_by_what_cannot_have_stood_behind() -> None:
    assert ahead_after(PESSIMISTIC, 60, 90, 45) == 45


def test_a_weight_above_a_half_takes_more_from_ahead_than_its_share() -> None:
    # 60 ahead, 30 behind, 30 go away: 60·75 to 30·25 is 6 to 1.
    assert ahead_after(75, 60, 90, 60) == 60 - 30 * 6 // 7
    assert ahead_after(25, 60, 90, 60) == 60 - 30 * 2 // 5


@given(SIZES, SIZES, SIZES)
def test_a_half_is_in_proportion(ahead: int, standing: int, fall: int) -> None:
    after = max(0, standing - fall)
    ahead = min(ahead, standing)
    gone = (standing - after) * ahead // standing if standing else 0
    assert ahead_after(REALISTIC, ahead, standing, after) == ahead - gone


@given(SIZES, SIZES, SIZES, PERCENTS, PERCENTS)
def test_models_keep_their_order_and_never_leave_the_level(
    ahead: int, standing: int, fall: int, one: int, other: int
) -> None:
    after = max(0, standing - fall)
    percents = sorted((PESSIMISTIC, one, other, OPTIMISTIC))
    slow, slower, faster, fast = (ahead_after(w, ahead, standing, after) for w in percents)
    assert 0 <= fast <= faster <= slower <= slow <= min(ahead, after, standing)


@given(SIZES, SIZES, SIZES, SIZES, PERCENTS)
def test_who_was_ahead_stays_ahead(
    first: int, second: int, standing: int, fall: int, percent: int
) -> None:
    after = max(0, standing - fall)
    low, high = sorted((first, second))
    assert ahead_after(percent, low, standing, after) <= ahead_after(percent, high, standing, after)


def test_the_fall_a_print_caused_is_not_also_a_cancel() -> None:
    order = resting(50, 10, ahead=100)
    own = level(order, displayed=150)
    assert allot({5000: own}, 5000, 40, 1, bids=True) == []
    assert order.ahead == 60
    own.shown(110, OPTIMISTIC, 2)
    assert order.ahead == 60
    own.shown(100, OPTIMISTIC, 3)
    assert order.ahead == 50


def test_a_print_whose_fall_comes_in_two_parts_explains_both() -> None:
    order = resting(50, 10, ahead=100)
    own = level(order, displayed=100)
    allot({5000: own}, 5000, 40, 1, bids=True)
    own.shown(90, OPTIMISTIC, 2)
    own.shown(60, OPTIMISTIC, 3)
    assert order.ahead == 60


def test_a_print_explains_nothing_after_its_time() -> None:
    order = resting(50, 10, ahead=100)
    own = level(order, displayed=100)
    allot({5000: own}, 5000, 40, 0, bids=True)
    own.shown(70, OPTIMISTIC, PRINT_NS_MAX + 1)
    assert order.ahead == 30


def test_increases_join_behind() -> None:
    order = resting(50, 10, ahead=100)
    level(order, displayed=100).shown(500, REALISTIC, 1)
    assert order.ahead == 100


def test_own_orders_at_a_level_trade_by_age_and_share_one_print() -> None:
    first, second = resting(50, 10, ahead=5), resting(50, 10, ahead=7)
    fills = allot({5000: level(first, second)}, 5000, 20, 1, bids=True)
    # 5 ahead, 10 for the first, 2 more ahead of the second, 3 for the second.
    assert fills == [(first, 10), (second, 3)]


def test_volume_our_first_order_took_does_not_move_the_second() -> None:
    first, second = resting(50, 10, ahead=0), resting(50, 10, ahead=8)
    assert allot({5000: level(first, second)}, 5000, 12, 1, bids=True) == [(first, 10)]
    assert second.ahead == 6


def test_a_print_through_our_price_skips_the_queue() -> None:
    better, at = resting(51, 10, ahead=500), resting(50, 10, ahead=0)
    levels = {5000: level(at), 5100: level(better)}
    assert allot(levels, 5000, 15, 1, bids=True) == [(better, 10), (at, 5)]


def test_a_print_beyond_our_price_reaches_nothing() -> None:
    order = resting(50, 10)
    assert allot({5000: level(order)}, 5100, 15, 1, bids=True) == []
    assert allot({5000: level(order)}, 4900, 15, 1, bids=False) == []


@given(
    st.lists(st.tuples(st.integers(1, 99), SIZES.filter(bool), SIZES), max_size=6),
    st.integers(1, 99),
    SIZES,
    st.booleans(),
)
def test_no_print_fills_more_than_its_size(
    orders: list[tuple[int, int, int]],
    cents: int,
    size: int,
    bids: bool,
) -> None:
    levels: dict[int, OwnLevel] = {}
    for at, remaining, ahead in orders:
        levels.setdefault(at, OwnLevel()).orders.append(resting(at, remaining, ahead))
    fills = allot(levels, cents, size, 1, bids=bids)
    assert sum(part for _, part in fills) <= size
    assert all(0 < part <= order.remaining for order, part in fills)


def test_an_unknown_size_reaches_everything_at_or_better() -> None:
    at, better, worse = resting(50, 1), resting(51, 2), resting(49, 3)
    levels = {5000: level(at), 5100: level(better), 4900: level(worse)}
    assert all_reached(levels, 5000, bids=True) == [(better, 2), (at, 1)]
    assert all_reached(levels, 5000, bids=False) == [(worse, 3), (at, 1)]


def test_a_no_order_stands_on_the_other_side_of_the_yes_book() -> None:
    world = World()
    ask = queued(world.order(BUY, 40, 1, NO), BINARY)
    bid = queued(world.order(SELL, 40, 1, NO), BINARY)
    assert (ask.bid, ask.price) == (False, 6000)
    assert (bid.bid, bid.price) == (True, 6000)


@given(st.lists(st.tuples(st.integers(40, 60), st.integers(1, 50))), st.integers(1, 200))
def test_what_was_overtaken_fills_best_first_and_never_beyond_the_print(
    given_: list[tuple[int, int]], size: int
) -> None:
    levels: dict[int, OwnLevel] = {}
    for cents, shares in given_:
        levels.setdefault(cents, OwnLevel()).orders.append(resting(cents, shares, ahead=7))
    fills = overtaken(levels, 50, size, bids=True)
    reached = sum(shares for cents, shares in given_ if cents >= 50)
    assert sum(part for _, part in fills) == min(size, reached)
    prices = [order.price for order, _ in fills]
    assert prices == sorted(prices, reverse=True)
    assert all(0 < part <= order.remaining and not order.ahead for order, part in fills)
