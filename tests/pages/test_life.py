"""The words of an order's life: every record a journal may hold of it says something."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain import effects, events
from engine.domain.decisions import LeftOver, Planned, Resting
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.intents import ResidualReason
from engine.domain.orders import CancelReason, Identity, OrderId
from pages.shared.order import describe, history
from pages.shared.why import number_of
from storage.views.journal import OrderEvent

ACCOUNT, ORDER = AccountId("demo"), OrderId(7)
ROW: dict[str, Any] = {
    "id": 7,
    "price_decimals": 4,
    "size_decimals": 6,
    "listed_kind": "binary",
}


def plan(*places: Resting, left: tuple[LeftOver, ...] = ()) -> Planned:
    return Planned(
        decision=3 << 32 | 9,
        account=ACCOUNT,
        bot=BotId("maker"),
        instrument=InstrumentId("m1"),
        at_ns=5,
        places=places,
        cancels=(ORDER,),
        rests=(),
        left=left,
        rules=(),
    )


def words(message: Any, *plans: Planned) -> str:
    moment = OrderEvent(seq=1, at_ns=5, kind=type(message).__name__, message=message)
    return describe(moment, ROW, lambda _: plans)[0]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            events.OrderNamed(account=ACCOUNT, order=ORDER, identity=Identity("0xfeed")),
            "named 0xfeed",
        ),
        (events.OrderNotSent(account=ACCOUNT, order=ORDER, reason="latched"), "latched"),
        (
            events.OrderFilled(
                account=ACCOUNT,
                order=ORDER,
                fill=FillId("f1"),
                price=6_500,
                size=5_000_000,
                fee_micro=0,
                liquidity=Liquidity.MAKER,
            ),
            "filled 5 at 65¢, maker, fee 0.00, matched: f1",
        ),
        (
            events.FillAdvanced(account=ACCOUNT, fill=FillId("f1"), state=FillState.RETRYING),
            "fill f1 is retrying",
        ),
        (
            events.FillVoided(account=ACCOUNT, fill=FillId("f1")),
            "f1 is VOID: it did not settle",
        ),
        (
            events.OrderCancelled(
                account=ACCOUNT, order=ORDER, reason=CancelReason.HEARTBEAT, venue_text="no beat"
            ),
            'the venue missed our heartbeat, in the venue\'s words "no beat"',
        ),
        (effects.CancelAll(account=ACCOUNT), "the engine cancels everything"),
        (effects.QueryOrder(account=ACCOUNT, order=ORDER), "the venue is asked about order 7"),
    ],
)
def test_every_record_says_what_happened(message: Any, said: str) -> None:
    assert said in words(message)


def test_a_cancel_names_the_decision_and_what_came_instead() -> None:
    asked = effects.CancelOrders(account=ACCOUNT, orders=(ORDER,))
    instead = Resting(OrderId(8), Leg.NO, Side.BUY, 3_600, 25_000_000)
    assert words(asked, plan(instead)) == (
        "cancel requested by the plan of decision 3.9, which placed #8 BUY NO 25 at 36¢"
    )
    waiting = LeftOver(ResidualReason.WAITING_CANCEL, Side.SELL, 6_400, 25_000_000)
    assert words(asked, plan(left=(waiting,))).endswith(
        "(waiting until the order it replaces is proven gone)"
    )
    assert "by hand or by the engine" in words(asked)


def test_times_have_their_exact_utc_and_the_time_since_the_record_before() -> None:
    sent = events.OrderSent(account=ACCOUNT, order=ORDER)
    moments = [
        OrderEvent(seq=n, at_ns=10**18 + at, kind="OrderSent", message=sent)
        for n, at in enumerate((0, 2_500_000, 3_002_500_000), start=1)
    ]
    text = history(moments, ROW, lambda _: ())
    assert "2001-09-09T01:46:40.002500000Z · record 2" in text
    assert "+2.5 ms" in text
    assert "+3.0 s" in text


def test_a_decision_is_counted_from_its_engine_start_with_one_separator() -> None:
    assert number_of((3 << 32) + 55_980) == "3.55980"
    assert number_of(55_980) == "55,980"
