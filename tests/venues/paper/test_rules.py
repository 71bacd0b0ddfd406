import msgspec
import pytest

from engine.domain.instruments import Leg
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
    assert rules.refuse(msgspec.structs.replace(order, price=0), SPOT) is RejectReason.OTHER


def test_the_marketable_minimum_is_for_buys_where_there_is_one() -> None:
    small = WORLD.order(BUY, 10, 9)
    refusal = rules.refuse_small_taker(small, BINARY)
    assert refusal is not None
    assert refusal[1] == "invalid amount for a marketable BUY order ($0.9), min size: $1"
    assert rules.refuse_small_taker(WORLD.order(SELL, 10, 9), BINARY) is None
    free = msgspec.structs.replace(BINARY, notional_min_micro=0)
    assert rules.refuse_small_taker(small, free) is None
