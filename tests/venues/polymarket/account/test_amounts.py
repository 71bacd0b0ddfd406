"""Offered and asked amounts are exact, or a budget of whole cents."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polymarket._internal.actions.orders.limit import _compute_limit_order_amounts

from engine.domain.instruments import Side
from engine.domain.orders import AT_ONCE, Order, OrderType
from engine.errors import BadInput
from engine.venues.polymarket.account.orders import amounts
from tests.fakes.polymarket.listing import Listed, identify, instrument_of
from tests.venues.polymarket.adapter import order

INSTRUMENT = instrument_of(identify(Listed(slug="amounts"), 7, 1))
TICKS = ("0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001")

ticks = st.sampled_from([int(Decimal(text) * 10_000) for text in TICKS])


@st.composite
def orders(draw: st.DrawFn, kinds: frozenset[OrderType]) -> tuple[Order, int]:
    tick = draw(ticks)
    price = tick * draw(st.integers(1, 10_000 // tick - 1))
    size = draw(st.integers(1, 100_000_000)) * 10_000
    side = draw(st.sampled_from(Side))
    kind = draw(st.sampled_from(sorted(kinds)))
    return order(INSTRUMENT, price=price, size=size, side=side, type=kind), tick


@given(orders(frozenset({OrderType.GTC, OrderType.GTD})))
def test_resting_amounts_are_exact_and_the_sdk_s(drawn: tuple[Order, int]) -> None:
    asked, tick = drawn
    offered, wanted = amounts(asked, INSTRUMENT)
    assert {offered, wanted} == {asked.size, asked.price * asked.size // 10_000}
    sdk = _compute_limit_order_amounts(
        price=Decimal(asked.price).scaleb(-4),
        size=Decimal(asked.size).scaleb(-6),
        side="BUY" if asked.side is Side.BUY else "SELL",
        tick_size=Decimal(tick).scaleb(-4),
    )
    assert (offered, wanted) == sdk


@given(orders(AT_ONCE))
def test_amounts_that_match_at_once_keep_the_venue_s_decimals(drawn: tuple[Order, int]) -> None:
    asked, _ = drawn
    offered, wanted = amounts(asked, INSTRUMENT)
    assert offered % 10_000 == 0
    if asked.side is Side.SELL:
        assert (offered, wanted) == (asked.size, asked.price * asked.size // 10_000)
        return
    assert wanted % 100 == 0
    assert wanted <= asked.size
    assert offered * 10_000 <= asked.price * asked.size
    # Never worse than the limit, but for the shares cut to four decimals.
    assert offered * 10_000 - wanted * asked.price < 100 * asked.price


def test_price_times_size_finer_than_a_millionth_is_refused() -> None:
    with pytest.raises(BadInput, match="finer"):
        amounts(order(INSTRUMENT, price=4_001, size=1), INSTRUMENT)
