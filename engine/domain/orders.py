"""Orders: what is asked of a venue, under one id of ours and one identity of the venue's."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

import msgspec
from msgspec import UNSET, UnsetType

from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side

OrderId = NewType("OrderId", int)
"""Our own number of an order, counted per account, never reused."""

Identity = NewType("Identity", str)
"""The name under which a venue knows an order: client id, or the EIP-712 digest."""


class OrderState(StrEnum):
    """Where an order stands. The table of moves is in `engine.domain.order_life`."""

    __hash__ = str.__hash__
    """The enum's own hash runs in Python; this one is looked up with every event."""

    PENDING = "pending"
    """Named and journaled, not yet on its way."""
    SENT = "sent"
    DELAYED = "delayed"
    """Marketable and held by the venue; cannot be cancelled yet."""
    UNKNOWN = "unknown"
    """Sent without an answer: it may be live. Ask, never resend."""
    OPEN = "open"
    PARTIAL = "partial"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def ended(self) -> bool:
        """True where nothing more is expected of the order."""
        return self in ORDER_ENDS


ORDER_ENDS = frozenset(
    {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED}
)


class OrderType(StrEnum):
    """How long an order lives at the venue."""

    GTC = "gtc"
    GTD = "gtd"
    FAK = "fak"
    FOK = "fok"


AT_ONCE = frozenset({OrderType.FAK, OrderType.FOK})
"""What matches when it arrives or not at all: it never rests."""


class RejectReason(StrEnum):
    """Why a venue refused an order, in our words."""

    WOULD_CROSS = "would_cross"
    BELOW_MIN = "below_min"
    OFF_TICK = "off_tick"
    NO_FUNDS = "no_funds"
    DUPLICATE = "duplicate"
    NOT_FILLED = "not_filled"
    """A FOK that could not be filled, or a FAK that met nothing."""
    MARKET_CLOSED = "market_closed"
    EXPIRY = "expiry"
    AUTH = "auth"
    REDUCE_ONLY = "reduce_only"
    """A reduce-only order that would not reduce what the venue has netted of all owners."""
    OTHER = "other"


MISSES = frozenset({RejectReason.WOULD_CROSS, RejectReason.NOT_FILLED, RejectReason.REDUCE_ONLY})
"""Refusals a moving market gives every day: the order shows them, no person is alerted."""


class CancelReason(StrEnum):
    """Why an order ended cancelled, in our words."""

    ASKED = "asked"
    KILLED_REST = "killed_rest"
    """The unfilled rest of a FAK."""
    MARKET_RESOLVED = "market_resolved"
    MARKET_CLOSED = "market_closed"
    NO_FUNDS = "no_funds"
    HEARTBEAT = "heartbeat"
    TICK_CHANGED = "tick_changed"
    SESSION_LOST = "session_lost"
    VENUE = "venue"


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked of a venue; never changes. Price and size in the leg's own increments.

    For a binary's NO leg `price` is the NO token's price, not YES-space.
    """

    account: AccountId
    id: OrderId
    bot: BotId
    instrument: InstrumentId
    leg: Leg
    side: Side
    price: int
    size: int
    type: OrderType = OrderType.GTC
    post_only: bool = True
    expires_ns: int | None = None
    """Only for GTD."""
    created_ns: int
    fence: int = 0
    """Token of the engine's lease; an order of an older fence is not ours any more."""
    decision: int = 0
    """Number of the decision behind the intent that asked for it; 0 = no strategy's."""
    reduce_only: bool | UnsetType = UNSET
    """True = the venue ends it where the account's position would not fall by it. Asked only of a
    signed position and below a minimum, from which a venue exempts such orders (Binance -4164)."""


class OperationName(msgspec.Struct, frozen=True, kw_only=True):
    """By what an operation of the wallet can be found, before its first byte leaves."""

    identity: str
    """What was signed, by its hash."""
    nonce: int
    """The wallet's number for it: one operation at most can ever use it."""
    until_ns: int = 0
    """After this the chain refuses it; 0 = it may take effect for ever."""


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says about one order when asked. Sizes in the leg's increments."""

    identity: Identity
    order: OrderId | None
    """Ours, where the identity is known to us; None = foreign or forgotten."""
    ours: bool
    """True where the venue says the order belongs to our key."""
    instrument: InstrumentId
    leg: Leg
    side: Side
    price: int
    size: int
    filled: int
    state: OrderState
