"""Builders shared by the demo exchange's tests."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from engine.domain.instruments import (
    AccountId,
    FeeSchedule,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Side,
)
from engine.domain.orders import Identity
from engine.venues.demo.accounts import Rules
from engine.venues.demo.clearing import SettlementRules
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import OrderReceipt, RestingOrder, StandingOrder, Ticket

S = 1_000_000_000
START = 1_760_000_100 * S
USD = 1_000_000
SHARE = 1_000_000
CENT = 100
COIN = InstrumentId("demo:coin")
ANN, BOB, CAT = AccountId("ann"), AccountId("bob"), AccountId("cat")
QUICK = Rules(gtd_min_ns=0, gtd_early_ns=0)


def instrument(**changes: Any) -> Instrument:
    plain = Instrument(
        id=COIN,
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=4,
        size_decimals=6,
        tick=CENT,
        lot=10_000,
        size_min=5 * SHARE,
        notional_min_micro=USD,
        fees=FeeSchedule(taker_rate_ppm=70_000, exponent=1),
    )
    return msgspec.structs.replace(plain, **changes)


def exchange(
    *, rules: Rules = QUICK, settlement: SettlementRules | None = None, **changes: Any
) -> DemoExchange:
    """An exchange with one market and three rich customers."""
    made = DemoExchange(rng=Random(7), now_ns=START, rules=rules, settlement=settlement)
    made.listing.add(instrument(**changes))
    for customer in (ANN, BOB, CAT):
        made.open_account(customer, 1_000 * USD)
    return made


def ticket(name: str, leg: Leg, side: Side, cents: float, shares: float, **changes: Any) -> Ticket:
    return Ticket(
        identity=Identity(name),
        instrument=changes.pop("instrument", COIN),
        leg=leg,
        side=side,
        price=round(cents * CENT),
        size=round(shares * SHARE),
        **changes,
    )


def buy_yes(name: str, cents: float, shares: float, **changes: Any) -> Ticket:
    return ticket(name, Leg.YES, Side.BUY, cents, shares, **changes)


def sell_yes(name: str, cents: float, shares: float, **changes: Any) -> Ticket:
    return ticket(name, Leg.YES, Side.SELL, cents, shares, **changes)


def buy_no(name: str, cents: float, shares: float, **changes: Any) -> Ticket:
    return ticket(name, Leg.NO, Side.BUY, cents, shares, **changes)


def sell_no(name: str, cents: float, shares: float, **changes: Any) -> Ticket:
    return ticket(name, Leg.NO, Side.SELL, cents, shares, **changes)


def put(made: DemoExchange, customer: AccountId, intent: Ticket) -> OrderReceipt:
    """Hand in a ticket that must not be rejected."""
    receipt = made.submit(customer, intent, made.now_ns)
    assert receipt.standing is not StandingOrder.REJECTED, receipt.text
    return receipt


def live(number: int, bid: bool, level: int, size: int) -> RestingOrder:
    """A bare order for the book's own tests."""
    intent = buy_yes(f"o{number}", level / CENT, size / SHARE)
    return RestingOrder(
        number=number,
        customer=ANN,
        identity=intent.identity,
        key="",
        tag="",
        instrument=COIN,
        leg=Leg.YES if bid else Leg.NO,
        side=Side.BUY,
        price=level if bid else 10_000 - level,
        size=size,
        remaining=size,
        type=intent.type,
        post_only=False,
        expires_ns=None,
        placed_ns=0,
        bid=bid,
        level=level,
    )


def levels(made: DemoExchange) -> tuple[dict[float, float], dict[float, float]]:
    """The book in cents and shares: (bids, asks)."""
    book = made.order_entry.markets[COIN].book
    bids, asks = book.depth()
    return (
        {price / CENT: size / SHARE for price, size in bids},
        {price / CENT: size / SHARE for price, size in asks},
    )


def run(made: DemoExchange, seconds: float) -> None:
    made.advance(made.now_ns + round(seconds * S))


def sound(made: DemoExchange) -> None:
    assert made.invariants().problems == ()
