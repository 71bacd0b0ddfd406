from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.commands import PlaceManual
from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import OrderCancelled
from engine.domain.instruments import InstrumentId, Leg, Side
from engine.domain.intents import ResidualReason
from engine.domain.orders import CancelReason
from engine.domain.settings import Limit
from engine.executor.plan import Residual

BIDS = [(4_800, 100)]
"""48 at most."""


def cancelled(effects: list[Any]) -> list[int]:
    return [n for effect in effects if isinstance(effect, CancelOrders) for n in effect.orders]


def placed(effects: list[Any]) -> list[Any]:
    return [effect.order for effect in effects if isinstance(effect, PlaceOrder)]


def lowered(rig: Any, limits: Any, **changes: Any) -> list[Any]:
    rig.executor.apply(limits.model_copy(update=changes))
    found: list[Any] = rig.feed()
    return found


@pytest.mark.parametrize(
    "name",
    [
        "order_value_max",
        "exposure_instrument_max",
        "exposure_market_max",
        "exposure_bot_max",
        "exposure_account_max",
        "exposure_total_max",
    ],
)
def test_what_rests_above_a_lowered_limit_is_cancelled_and_placed_smaller(
    rig: Any, limits: Any, name: str
) -> None:
    (order,) = rig.rest(BIDS)
    assert cancelled(lowered(rig, limits, **{name: Limit(absolute=24)})) == [order.id]
    effects = rig.feed(rig.event(OrderCancelled, order.id, reason=CancelReason.ASKED))
    assert [one.size for one in placed(effects)] == [50 * rig.build.share]


def test_what_rests_above_a_lowered_number_of_orders_is_cancelled(rig: Any, limits: Any) -> None:
    rig.rest([(4_800, 10), (4_700, 10)])
    assert cancelled(lowered(rig, limits, open_orders_max=1)) == [1, 2]


def test_over_its_limit_a_position_is_led_to_zero_and_not_beyond(rig: Any, limits: Any) -> None:
    """The loss if NO wins is over the limit; a loss if YES wins has no claim to as much."""
    (order,) = rig.rest([(4_800, 10)])
    rig.feed(rig.fill(order.id, 10))
    lowered(rig, limits, exposure_instrument_max=Limit(absolute=4))
    out = rig.quote(asks=[(6_000, 8)])
    assert [(one.leg, one.side, one.size) for one in out] == [
        (Leg.NO, Side.BUY, 8 * rig.build.share)
    ]
    more = rig.quote(asks=[(6_000, 8), (6_500, 15)])
    assert not more


@pytest.mark.parametrize(("room", "ordered"), [(487.2, []), (489.6, [20])])
def test_what_a_limit_leaves_beside_a_large_position_is_no_order(
    make_rig: Any, limits: Any, room: float, ordered: list[int]
) -> None:
    """15 shares beside 1,000 would be followed by less than one, and so on; 20 are 2 %."""
    limit = limits.model_copy(update={"exposure_instrument_max": Limit(absolute=room)})
    rig = make_rig(limits=limit)
    (order,) = rig.rest([(4_800, 1_000)])
    share = rig.build.share
    assert [one.size // share for one in placed(rig.feed(rig.fill(order.id, 1_000)))] == ordered
    left, _ = rig.executor.explain(InstrumentId("venue:m1"), rig.build.bot)
    assert left[0] == Residual(ResidualReason.RISK, Side.BUY, 4_800, left[0].size)
    assert [(one.reason, one.size // share) for one in left[1:]] == (
        [] if ordered else [(ResidualReason.DUST, 15)]
    )


def test_what_the_largest_order_value_cuts_is_a_slice_and_no_dust(
    make_rig: Any, limits: Any
) -> None:
    rig = make_rig(limits=limits)
    (order,) = rig.rest([(4_800, 1_000)])
    rig.executor.apply(limits.model_copy(update={"order_value_max": Limit(absolute=4.8)}))
    (slice_,) = placed(rig.feed(rig.fill(order.id, 1_000)))
    assert slice_.size == 10 * rig.build.share


def test_an_order_by_hand_above_a_lowered_limit_is_cancelled(rig: Any, limits: Any) -> None:
    rig.feed(rig.mark())
    asked = PlaceManual(
        account=rig.build.account, instrument=InstrumentId("venue:m1"), leg=Leg.YES,
        side=Side.BUY, price=4_800, size=100 * rig.build.share,
    )  # fmt: skip
    rig.executor.place(asked, rig.now)
    rig.open(1)
    assert cancelled(lowered(rig, limits, exposure_instrument_max=Limit(absolute=24))) == [1]


def test_what_rests_within_the_new_limits_keeps_its_place(rig: Any, limits: Any) -> None:
    rig.rest(BIDS)
    assert lowered(rig, limits, exposure_instrument_max=Limit(absolute=48)) == []
    assert lowered(rig, limits) == []


@pytest.mark.long
@given(
    limit=st.floats(0, 60),
    bids=st.integers(5, 50),
    asks=st.integers(5, 50),
    filled=st.integers(0, 50),
)
def test_after_a_lowered_limit_nothing_but_what_is_held_is_above_it(
    make_rig: Any, limits: Any, limit: float, bids: int, asks: int, filled: int
) -> None:
    rig = make_rig()
    first, _ = rig.rest([(4_800, bids)], [(5_300, asks)])
    if min(filled, bids):
        rig.feed(rig.fill(first.id, min(filled, bids)))
    effects = lowered(rig, limits, exposure_instrument_max=Limit(absolute=limit))
    ends = [rig.event(OrderCancelled, n, reason=CancelReason.ASKED) for n in cancelled(effects)]
    rig.feed(*ends)
    held = rig.executor.ledger.holding("venue:m1").yes.cost_micro
    exposure = rig.gate.exposure.instrument_micro("venue:m1")
    assert exposure <= max(int(limit * 1_000_000), held)
