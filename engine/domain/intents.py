"""Intents: what a strategy wants. Prices and sizes in YES-space for binaries."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.domain.instruments import BotId, InstrumentId

Quote = tuple[int, int]
"""(price, size) in the instrument's increments."""


class Urgency(StrEnum):
    """How an intent is worked."""

    REST = "rest"
    """Post-only GTC / GTD."""
    CROSS = "cross"
    """FAK at the worst price of the slippage limit."""
    NOW = "now"
    """FOK."""


class Quotes(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Rest these bids and asks, and nothing else, in one instrument. Best level first."""

    bot: BotId
    instrument: InstrumentId
    bids: tuple[Quote, ...] = ()
    asks: tuple[Quote, ...] = ()
    valid_until_ns: int
    confidence: float = 1.0
    """0 … 1, informational; sizes already reflect it."""
    decision: int = 0
    """Number of the decision record that explains this intent."""


class Target(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Hold this signed position; pay no worse than `limit_price` on the way."""

    bot: BotId
    instrument: InstrumentId
    position: int
    limit_price: int
    """Worst acceptable price: highest when buying, lowest when selling."""
    urgency: Urgency = Urgency.REST
    valid_until_ns: int
    confidence: float = 1.0
    decision: int = 0


class Basket(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Several targets that only make sense together: all are permitted, or none is placed."""

    bot: BotId
    targets: tuple[Target, ...]
    valid_until_ns: int
    confidence: float = 1.0
    decision: int = 0


Intent = Quotes | Target | Basket


class ResidualReason(StrEnum):
    """Why a part of an intent could not be expressed as a legal order."""

    BELOW_MIN = "below_min"
    NETTED = "netted"
    """Below the minimum, and the account's position would not fall: reduce-only is no way out."""
    DUST = "dust"
    NO_CASH = "no_cash"
    NO_INVENTORY = "no_inventory"
    OUT_OF_RANGE = "out_of_range"
    OWN_CROSS = "own_cross"
    WOULD_CROSS = "would_cross"
    NOT_MARKETABLE = "not_marketable"
    """An intent to take at a limit the opposite touch does not meet."""
    WAITING_CANCEL = "waiting_cancel"
    EXPIRED_INTENT = "expired_intent"
    RISK = "risk"
    BLIND = "blind"
    COOLDOWN = "cooldown"
    MARKET_CLOSED = "market_closed"
    OTHER_CURRENCY = "other_currency"
    """The instrument is quoted in another currency than its account counts in."""
