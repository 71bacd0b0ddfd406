"""What is quoted in another currency than its account counts in is never traded there."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.commands import PlaceManual
from engine.domain.events import InstrumentListed
from engine.domain.instruments import Instrument, Kind, Leg, Side
from engine.domain.intents import Quotes, ResidualReason, Target, Urgency
from engine.executor.manual import ManualRefused
from tests.executor.conftest import ACCOUNT, BOT, SECOND, Build, Rig, orders

BUILD = Build()
EURO = BUILD.spot("venue:BTC/EUR", currency="EUR")
WHY = (
    "venue:BTC/EUR is quoted in EUR and the account counts in USD: trade it at an account that "
    "counts in EUR"
)


def rig_of(terms: Instrument) -> Rig:
    made = Rig(instruments=(terms,), cash=100_000)
    made.feed(made.mark(terms.id, best_bid=4_700, best_ask=4_900, mid2=9_600))
    return made


def wants(rig: Rig, terms: Instrument, *, target: bool) -> Any:
    until = rig.now + 60 * SECOND
    if not target:
        bids = ((4_700, terms.size_min),)
        return Quotes(bot=BOT, instrument=terms.id, valid_until_ns=until, bids=bids)
    return Target(
        bot=BOT,
        instrument=terms.id,
        valid_until_ns=until,
        position=terms.size_min,
        limit_price=4_900,
        urgency=Urgency.CROSS,
    )


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize(
    "terms",
    [
        EURO,
        BUILD.spot("venue:BTC/EUR:EUR", currency="EUR", kind=Kind.PERPETUAL),
        BUILD.binary(currency="EUR"),
    ],
)
def test_an_intent_in_another_currency_is_left_over_with_its_reason(
    terms: Instrument, *, target: bool
) -> None:
    rig = rig_of(terms)
    assert orders(rig.feed(wants(rig, terms, target=target))) == []
    left, _ = rig.executor.explain(terms.id, BOT)
    assert [one.reason for one in left] == [ResidualReason.OTHER_CURRENCY]


def test_terms_that_are_listed_again_in_another_currency_end_what_rests() -> None:
    rig = rig_of(BUILD.binary())
    (order,) = orders(rig.feed(wants(rig, BUILD.binary(), target=False)))
    rig.open(order.id)
    asked = rig.feed(InstrumentListed(instrument=BUILD.binary(currency="EUR")))
    assert [one.orders for one in asked if hasattr(one, "orders")] == [(order.id,)]


def test_an_order_by_hand_in_another_currency_is_refused_with_both_named() -> None:
    rig = rig_of(EURO)
    asked = PlaceManual(
        account=ACCOUNT, instrument=EURO.id, leg=Leg.YES, side=Side.BUY, price=4_700, size=1_000
    )
    effects, made = rig.executor.place(asked, rig.now)
    assert (effects, made) == ([], ManualRefused(WHY))
