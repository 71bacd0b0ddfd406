"""Builders for the tests of risk: instruments, orders and holdings with few words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Side,
)
from engine.domain.orders import Order, OrderId

SHARE = 1_000_000
BOT = BotId("maker")


@dataclass
class Held:
    """A leg as the executor has it."""

    settled: int = 0
    pending: int = 0
    leaving: int = 0
    cost_settled_micro: int = 0
    cost_pending_micro: int = 0
    cost_leaving_micro: int = 0


class Build:
    """Makes the nouns; everything has a default a test need not name."""

    share = SHARE
    bot = BOT

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
        }
        return Instrument(**(fields | changes))

    def order(self, number: int = 1, **changes: Any) -> Order:
        fields: dict[str, Any] = {
            "account": AccountId("demo:one"),
            "id": OrderId(number),
            "bot": BOT,
            "instrument": InstrumentId("venue:m1"),
            "leg": Leg.YES,
            "side": Side.BUY,
            "price": 4_000,
            "size": 100 * SHARE,
            "created_ns": 0,
        }
        return Order(**(fields | changes))

    def holding(self, **changes: int) -> dict[str, Held]:
        """Return both legs; what has no leg in its name is of YES, linear holdings too."""
        legs: dict[str, dict[str, int]] = {"yes": {}, "no": {}}
        for name, value in changes.items():
            leg, _, field = name.partition("_")
            known = leg in legs
            legs[leg if known else "yes"][field if known else name] = value
        return {leg: Held(**fields) for leg, fields in legs.items()}


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()
