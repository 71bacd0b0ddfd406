"""Orders by hand pass the same gates, and the planner leaves them alone."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.commands import MANUAL, PlaceManual
from engine.domain.effects import CancelOrders, PlaceOrder
from engine.domain.events import HealthChanged, LatchSet, OrderCancelled, ScopeLatched
from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.intents import ResidualReason, Urgency
from engine.domain.orders import OrderState, OrderType
from engine.domain.settings import Limit
from engine.executor.manual import ManualRefused, ManualWaits
from engine.risk.reasons import DenyReason
from tests.executor.conftest import BOT

M1 = InstrumentId("venue:m1")
SHARE = 1_000_000
OTHER = BotId("other")


def asked(**changes: Any) -> PlaceManual:
    fields: dict[str, Any] = {
        "account": AccountId("demo:one"),
        "instrument": M1,
        "leg": Leg.YES,
        "side": Side.BUY,
        "price": 4_800,
        "size": 100 * SHARE,
    }
    return PlaceManual(**(fields | changes))


def place(rig: Any, **changes: Any) -> Any:
    """Mark the book and place by hand; the order, or the refusal."""
    rig.feed(rig.mark())
    effects, made = rig.executor.place(asked(**changes), rig.now)
    if isinstance(made, ManualRefused):
        assert effects == []
        return made
    assert [type(effect) for effect in effects] == [PlaceOrder]
    known, cut = made
    assert known.order.size + cut == changes.get("size", 100 * SHARE)
    rig.open(known.order.id)
    return known.order


def test_order_by_hand_is_placed_as_asked_and_left_alone(rig: Any) -> None:
    order = place(rig)
    assert (order.bot, order.type, order.post_only) == (MANUAL, OrderType.GTC, True)
    assert rig.executor.owners(M1) == (MANUAL,)
    for _ in range(5):
        assert not [e for e in rig.wait(5.0) if isinstance(e, CancelOrders)]
    assert rig.state(order.id) is OrderState.OPEN


def test_order_by_hand_may_take(rig: Any) -> None:
    order = place(rig, price=5_200, urgency=Urgency.CROSS)
    assert (order.type, order.post_only) == (OrderType.FAK, False)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"price": 4_801}, "price 48.01¢ is not legal at venue:m1: a multiple of 1¢"),
        ({"price": 10_000}, "up to 99¢"),
        ({"size": 4 * SHARE}, "size 4 is not legal at venue:m1"),
        ({"size": 100 * SHARE + 1}, "a multiple of 0.01, at least 5"),
        ({"leg": Leg.BASE}, "has the legs yes and no, not base"),
        ({"side": Side.SELL}, "only 0 yes of manual are settled and free to sell"),
        ({"size": 10_000 * SHARE}, "it may cost 4800 USD, and 1000 are free"),
        ({"instrument": "venue:m2"}, "is not listed"),
    ],
)
def test_what_is_not_legal_is_told_in_a_sentence(rig: Any, wrong: dict[str, Any], why: str) -> None:
    refused = place(rig, **wrong)
    assert isinstance(refused, ManualRefused)
    assert why in refused.why


def test_risk_denies_with_every_number(make_rig: Any, limits: Any) -> None:
    tight = limits.model_copy(update={"exposure_bot_max": Limit(absolute=1.0)})
    refused = place(make_rig(limits=tight))
    assert refused.denied.reason is DenyReason.EXPOSURE_BOT
    assert "order_value_micro 48000000" in refused.why
    assert "exposure_bot_max_micro 1000000" in refused.why


def test_risk_shrinks_and_says_by_how_much(make_rig: Any, limits: Any) -> None:
    tight = limits.model_copy(update={"exposure_bot_max": Limit(absolute=24.0)})
    assert place(make_rig(limits=tight)).size == 50 * SHARE


def test_latched_blind_and_stopped_accounts_refuse(rig: Any) -> None:
    assert "not proven" in rig.executor.place(asked(), rig.now)[1].why  # no book yet
    rig.feed(HealthChanged(account=None, source="feed", healthy=False, reason="it is away"))
    assert "feed: it is away" in place(rig).why
    rig.feed(HealthChanged(account=None, source="feed", healthy=True))
    rig.executor.stop_all("the engine stops", rig.now)
    assert "stopped: the engine stops" in place(rig).why
    rig.executor.resume()
    rig.feed(LatchSet(who="me", reason="stop"))
    assert "KILL latch: me: stop" in place(rig).why


def test_blindness_and_the_latch_cancel_it_like_any_order(rig: Any) -> None:
    order = place(rig)
    rig.feed(HealthChanged(account=None, source="feed", healthy=False, reason="it is away"))
    assert rig.state(order.id) is OrderState.CANCELLING


def test_order_by_hand_never_meets_one_of_ours(rig: Any) -> None:
    place(rig, price=4_800)
    assert "it would trade with our own order 1" in place(rig, leg=Leg.NO, price=5_200).why
    assert place(rig, leg=Leg.NO, price=5_100).leg is Leg.NO


def test_held_instrument_refuses_an_order_by_hand(rig: Any) -> None:
    rig.feed(ScopeLatched(account=asked().account, instrument=M1, who="me", reason="odd book"))
    assert "KILL of instrument venue:m1 by me is set" in place(rig).why


def test_order_by_hand_may_be_placed_where_the_bot_is_killed_alone(rig: Any) -> None:
    (order,) = rig.rest([(4_800, 100)])
    rig.executor.withdraw(BOT, None, rig.now)
    rig.feed(ScopeLatched(account=asked().account, bot=BOT, who="me", reason="odd quotes"))
    rig.feed(rig.event(OrderCancelled, order.id))
    assert place(rig).bot == MANUAL


def test_bot_above_its_exposure_limit_may_reduce_with_pending_tokens(
    make_rig: Any, limits: Any
) -> None:
    rig = make_rig()
    (order,) = rig.rest([(4_800, 100)])
    rig.feed(rig.fill(order.id, 100, state=FillState.MATCHED))  # pending: it cannot be sold
    rig.executor.apply(limits.model_copy(update={"exposure_bot_max": Limit(absolute=1.0)}))
    assert rig.executor.ledger.holding(M1).position == 100 * SHARE
    (out,) = rig.quote((), [(5_200, 100)])
    assert (out.leg, out.side, out.size) == (Leg.NO, Side.BUY, 100 * SHARE)
    assert rig.quote([(4_700, 100)], [(5_200, 100)]) == []  # and does not open more


def test_settled_tokens_above_the_exposure_limit_may_be_sold(make_rig: Any, limits: Any) -> None:
    rig = make_rig()
    (order,) = rig.rest([(4_800, 100)])
    rig.feed(rig.fill(order.id, 100, state=FillState.CONFIRMED))
    rig.executor.apply(limits.model_copy(update={"exposure_bot_max": Limit(absolute=1.0)}))
    (out,) = rig.quote((), [(5_200, 100)])
    assert (out.leg, out.side, out.size) == (Leg.YES, Side.SELL, 100 * SHARE)


def test_who_left_a_market_flat_does_not_share_what_comes_after(rig: Any) -> None:
    (order,) = rig.rest([(4_800, 100)])
    rig.executor.withdraw(BOT, M1, rig.now)
    rig.feed()
    rig.feed(rig.event(OrderCancelled, order.id))
    assert place(rig).bot == MANUAL
    assert rig.gate.exposure.bot_micro(BOT) == 0


def placed(effect: Any) -> bool:
    return isinstance(effect, PlaceOrder)


def test_bots_levels_make_room_for_an_order_by_hand_that_takes(rig: Any) -> None:
    """Their levels in its way go first and stay away until it came; others' resting is kept."""
    rig.rest([(4_800, 100)], [(5_200, 100), (5_400, 100)])
    asks = [(5_200, 100), (5_400, 100)]
    waits = rig.executor.place(asked(price=5_200, urgency=Urgency.CROSS), rig.now)[1]
    assert waits == ManualWaits((2,))
    assert [one.orders for one in rig.feed() if isinstance(one, CancelOrders)] == [(2,)]
    assert rig.quote([(4_800, 100)], asks) == []
    rig.feed(rig.event(OrderCancelled, 2))
    assert rig.quote([(4_800, 100)], asks) == []
    assert rig.executor.slot(M1, BOT).residuals[0].reason is ResidualReason.OWN_CROSS
    order = place(rig, price=5_200, urgency=Urgency.CROSS)
    assert (order.bot, order.type, rig.state(1)) == (MANUAL, OrderType.FAK, OrderState.OPEN)
    made = [one.order for one in rig.feed(rig.event(OrderCancelled, order.id)) if placed(one)]
    assert [(one.bot, one.leg, one.price) for one in made] == [(BOT, Leg.NO, 4_800)]


def test_bots_get_their_levels_back_when_the_order_by_hand_does_not_come(rig: Any) -> None:
    rig.rest((), [(5_200, 100)])
    rig.executor.place(asked(price=5_300, urgency=Urgency.NOW), rig.now)
    rig.feed(rig.event(OrderCancelled, 1))
    assert rig.quote((), [(5_200, 100)]) == []
    made = [one for one in rig.wait(5.0) if placed(one)]
    assert [one.order.bot for one in made] == [BOT]
    assert rig.executor.owners(M1) == (BOT,)


def test_nothing_makes_room_for_an_order_by_hand_that_rests_or_meets_a_persons(rig: Any) -> None:
    rig.rest((), [(5_200, 100)])
    assert "our own order 1 of maker: cancel that first" in place(rig, price=5_200).why
    rig.executor.withdraw(BOT, M1, rig.now)
    rig.feed(rig.event(OrderCancelled, 1))
    place(rig, leg=Leg.NO, price=4_800)
    assert "of manual: cancel that first" in place(rig, price=5_200, urgency=Urgency.CROSS).why
