import msgspec
import pytest

from engine.domain.instruments import Leg, Side
from engine.domain.orders import RejectReason
from engine.venues.paper import market as rules
from tests.venues.paper.world import BINARY, BUY, LINEAR, SELL, SPOT, World

WORLD = World()


@pytest.mark.parametrize("cents", [1, 50, 99])
def test_a_binary_trades_from_one_tick_to_one_less_a_tick(cents: int) -> None:
    assert rules.refuse(WORLD.order(BUY, cents, 10), BINARY) is None


@pytest.mark.parametrize("cents", [100, 101])
def test_certainty_is_no_price(cents: int) -> None:
    assert rules.refuse(WORLD.order(BUY, cents, 10), BINARY) is RejectReason.OFF_TICK


def test_a_linear_price_has_no_upper_end() -> None:
    order = WORLD.order(BUY, 10**6, 10, Leg.BASE, instrument=LINEAR)
    assert rules.refuse(order, SPOT) is None
    assert rules.refuse(msgspec.structs.replace(order, price=0), SPOT) is RejectReason.OFF_TICK


def test_the_marketable_minimum_is_for_buys_where_there_is_one() -> None:
    small = WORLD.order(BUY, 10, 9)
    refusal = rules.refuse_small(small, BINARY, takes=True)
    assert refusal is not None
    assert refusal[1] == "invalid amount for a marketable BUY order ($0.9), min size: $1"
    assert rules.refuse_small(small, BINARY, takes=False) is None
    assert rules.refuse_small(WORLD.order(SELL, 10, 9), BINARY, takes=True) is None
    free = msgspec.structs.replace(BINARY, notional_min_micro=0)
    assert rules.refuse_small(small, free, takes=True) is None


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("takes", [True, False])
def test_the_smallest_value_of_a_linear_thing_is_for_every_order(side: Side, takes: bool) -> None:
    pair = msgspec.structs.replace(SPOT, notional_min_micro=5_000_000)
    order = WORLD.order(side, 10, 10, Leg.BASE, instrument=LINEAR)
    enough = msgspec.structs.replace(order, size=5_000_000 * 10**2 // order.price)
    less = msgspec.structs.replace(enough, size=enough.size - 1)
    refusal = rules.refuse_small(less, pair, takes=takes)
    assert refusal is not None
    assert refusal[0] is RejectReason.BELOW_MIN
    assert "lower than the minimum: 5" in refusal[1]
    assert rules.refuse_small(enough, pair, takes=takes) is None
