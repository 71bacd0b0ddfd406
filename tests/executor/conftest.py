"""Builders for the executor's tests: instruments, orders and fills with few words."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.events import OrderFilled
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import (
    AccountId,
    BotId,
    FeeSchedule,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Side,
)
from engine.domain.orders import Order, OrderId

ACCOUNT = AccountId("demo:one")
BOT = BotId("maker")
SHARE = 1_000_000
"""Size increments per share."""


class Build:
    """Makes the nouns; everything has a default a test need not name."""

    account = ACCOUNT
    bot = BOT
    share = SHARE

    def binary(self, name: str = "venue:m1", **changes: Any) -> Instrument:
        fields: dict[str, Any] = {
            "id": InstrumentId(name),
            "kind": Kind.BINARY,
            "currency": "USD",
            "price_decimals": 4,
            "size_decimals": 6,
            "tick": 100,
            "lot": 10_000,
            "size_min": 5 * SHARE,
            "fees": FeeSchedule(taker_rate_ppm=70_000, exponent=1),
            "tokens": ("yes", "no"),
        }
        return Instrument(**(fields | changes))

    def spot(self, name: str = "venue:BTC/USD", **changes: Any) -> Instrument:
        fields: dict[str, Any] = {
            "id": InstrumentId(name),
            "kind": Kind.SPOT,
            "currency": "USD",
            "price_decimals": 2,
            "size_decimals": 6,
            "tick": 1,
            "lot": 10,
            "size_min": 100,
            "fees": FeeSchedule(taker_rate_ppm=1_000),
        }
        return Instrument(**(fields | changes))

    def order(self, number: int = 1, **changes: Any) -> Order:
        fields: dict[str, Any] = {
            "account": ACCOUNT,
            "id": OrderId(number),
            "bot": BOT,
            "instrument": InstrumentId("venue:m1"),
            "leg": Leg.YES,
            "side": Side.BUY,
            "price": 4_800,
            "size": 100 * SHARE,
            "created_ns": 0,
        }
        return Order(**(fields | changes))

    def filled(self, order: int = 1, fill: str = "f1", **changes: Any) -> OrderFilled:
        fields: dict[str, Any] = {
            "account": ACCOUNT,
            "order": OrderId(order),
            "fill": FillId(fill),
            "price": 4_800,
            "size": 100 * SHARE,
            "fee_micro": 0,
            "liquidity": Liquidity.MAKER,
            "state": FillState.MATCHED,
        }
        return OrderFilled(**(fields | changes))


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()
