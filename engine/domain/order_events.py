"""What happened to our orders, and what a venue answers when asked. Prices in the order's leg."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.domain.event_base import Event
from engine.domain.fills import FillId, FillState, Liquidity, SizeSource
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import CancelReason, Identity, OrderId, OrderState, RejectReason


class OrderNamed(Event, frozen=True, kw_only=True):
    """The order has its identity and stands in the journal; nothing has been sent."""

    account: AccountId
    order: OrderId
    identity: Identity


class OrderSent(Event, frozen=True, kw_only=True):
    """The first byte may have left."""

    account: AccountId
    order: OrderId


class OrderNotSent(Event, frozen=True, kw_only=True):
    """Certain: the request had no effect at the venue (dropped, throttled, latched)."""

    account: AccountId
    order: OrderId
    reason: str


class OrderUnanswered(Event, frozen=True, kw_only=True):
    """Sent, and nothing or something unreadable came back."""

    account: AccountId
    order: OrderId
    reason: str


class OrderAccepted(Event, frozen=True, kw_only=True):
    """The venue took the order; it rests, or its fills follow."""

    account: AccountId
    order: OrderId


class OrderDelayed(Event, frozen=True, kw_only=True):
    """The venue holds a marketable order; it cannot be cancelled yet."""

    account: AccountId
    order: OrderId


class OrderRejected(Event, frozen=True, kw_only=True):
    """The venue refused the order: it never lived."""

    account: AccountId
    order: OrderId
    reason: RejectReason
    venue_text: str = ""


class OrderFilled(Event, frozen=True, kw_only=True):
    """A part or all of an order matched. Price and size in the order's leg."""

    account: AccountId
    order: OrderId
    fill: FillId
    price: int
    size: int
    fee_micro: int
    liquidity: Liquidity
    state: FillState = FillState.MATCHED
    source: SizeSource = SizeSource.TAPED


class FillAdvanced(Event, frozen=True, kw_only=True):
    """Settlement moved on without deciding: MINED or RETRYING."""

    account: AccountId
    fill: FillId
    state: FillState


class FillSettled(Event, frozen=True, kw_only=True):
    """The fill is CONFIRMED: what it brought may be used."""

    account: AccountId
    fill: FillId


class FillVoided(Event, frozen=True, kw_only=True):
    """The fill FAILED: it is reversed, once."""

    account: AccountId
    fill: FillId


class OrderCancelled(Event, frozen=True, kw_only=True):
    """The venue confirms the end of an order that was not wholly filled."""

    account: AccountId
    order: OrderId
    reason: CancelReason = CancelReason.ASKED
    venue_text: str = ""


class CancelRefused(Event, frozen=True, kw_only=True):
    """The venue would not cancel (`not_canceled`): it may have matched. Proves nothing."""

    account: AccountId
    order: OrderId
    venue_text: str = ""


class CancelUnanswered(Event, frozen=True, kw_only=True):
    """A cancel got no answer: the order may be live or gone."""

    account: AccountId
    order: OrderId


class OrderExpired(Event, frozen=True, kw_only=True):
    """A GTD order reached its time."""

    account: AccountId
    order: OrderId


class VenueMode(StrEnum):
    """What a venue takes at the moment."""

    OPEN = "open"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    RESTARTING = "restarting"
    DISABLED = "disabled"


class ModeChanged(Event, frozen=True, kw_only=True):
    """The venue said what it takes."""

    account: AccountId
    mode: VenueMode
    retry_after_ns: int = 0
    """How long the venue asks to wait before it is tried again; 0 = it did not say."""


# -- answers to questions -------------------------------------------------------------------------


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


class OpenOrdersListed(Event, frozen=True, kw_only=True):
    """A complete, successful listing of open orders. A failed one is QueryFailed, never this."""

    account: AccountId
    orders: tuple[OrderReport, ...]
    answers: int = 0
    """Number of the question this answers; 0 = of none that is still waited for."""


class OrderReported(Event, frozen=True, kw_only=True):
    """The answer to a question about one order."""

    account: AccountId
    report: OrderReport


class OrderNotFound(Event, frozen=True, kw_only=True):
    """The venue does not know the order. Believed after a grace period and two confirmations."""

    account: AccountId
    order: OrderId
    answers: int = 0


class FillsListed(Event, frozen=True, kw_only=True):
    """Fills since a time, each as the event it would have been."""

    account: AccountId
    since_ns: int
    fills: tuple[OrderFilled, ...]
    answers: int = 0


class BalancesListed(Event, frozen=True, kw_only=True):
    """Spendable cash per currency in micro-units, as the venue sees it."""

    account: AccountId
    cash_micro: dict[str, int]
    answers: int = 0


class PositionsListed(Event, frozen=True, kw_only=True):
    """Settled holdings as the venue sees them: (instrument, leg, size)."""

    account: AccountId
    holdings: tuple[tuple[InstrumentId, Leg, int], ...]
    answers: int = 0


class QueryFailed(Event, frozen=True, kw_only=True):
    """A question got no usable answer. It is never an empty answer."""

    account: AccountId
    question: str
    order: OrderId | None
    reason: str
    answers: int = 0
