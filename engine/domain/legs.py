"""Kinds, legs and sides: the words every other noun of a trade is made of."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What an instrument is."""

    BINARY = "binary"
    SPOT = "spot"
    PERPETUAL = "perpetual"


class Leg(StrEnum):
    """What an order trades: one of a binary's two tokens, or the thing itself."""

    YES = "yes"
    NO = "no"
    BASE = "base"


class Side(StrEnum):
    """Direction of an order or a trade's aggressor."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


def traded(leg: Leg | str) -> str:
    """Return a leg with a blank before it, for a sentence; empty for a thing that has but one."""
    return "" if leg == Leg.BASE else f" {leg}"


def is_bid(side: Side, leg: Leg) -> bool:
    """Say whether an order bids in YES-space: BUY YES and SELL NO do."""
    return (side == Side.BUY) is not (leg == Leg.NO)
