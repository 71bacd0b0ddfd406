"""What customers hand in and what the exchange keeps and says about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from engine.domain.events import OperationState, VenueMode
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import (
    CancelReason,
    Identity,
    Order,
    OrderId,
    OrderState,
    OrderType,
    RejectReason,
)
from engine.gateway.door import Prepared


class Ticket(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order as a customer hands it in. Price and size in the leg's increments."""

    identity: Identity
    """The customer's name for the order; never accepted twice."""
    instrument: InstrumentId
    leg: Leg
    side: Side
    price: int
    size: int
    type: OrderType = OrderType.GTC
    post_only: bool = False
    expires_ns: int | None = None
    """Only for GTD."""
    reduce_only: bool = False
    """Only for perpetuals: it may close a position, and never opens one."""
    key: str = ""
    """Which of the customer's API keys asks; heartbeats and cancel-all work per key."""
    tag: str = ""
    """Free text of the customer, by which it may cancel."""


class RestingOrder(msgspec.Struct, kw_only=True, gc=False):
    """An order as the exchange keeps it. Mutable; only the desk and the book change it."""

    number: int
    customer: AccountId
    identity: Identity
    key: str
    tag: str
    instrument: InstrumentId
    leg: Leg
    side: Side
    price: int
    size: int
    remaining: int
    type: OrderType
    post_only: bool
    expires_ns: int | None
    placed_ns: int
    bid: bool
    """True where the order buys in YES-space."""
    level: int
    """Its price in YES-space."""
    priority: int = 0
    """Its turn among orders of one level: lower trades first; 0 = never rested."""
    held_micro: int = 0
    """Cash reserved while the venue holds the order back, fee included."""
    reduce_only: bool = False
    state: OrderState = OrderState.OPEN

    @property
    def signed_remaining(self) -> int:
        """What it may still fill: above 0 a bid, below 0 an ask."""
        return self.remaining if self.bid else -self.remaining

    @property
    def filled(self) -> int:
        """How much has matched, void or not."""
        return self.size - self.remaining


class Fill(msgspec.Struct, kw_only=True, gc=False):
    """One side of one match. Only its `state` moves, with the settlement."""

    id: FillId
    trade: int
    customer: AccountId
    identity: Identity
    key: str
    instrument: InstrumentId
    leg: Leg
    side: Side
    price: int
    size: int
    amount_micro: int
    """Price times size, exact."""
    fee_micro: int
    liquidity: Liquidity
    at_ns: int
    state: FillState = FillState.MATCHED


class StandingOrder(StrEnum):
    """How a ticket stands after it was handed in, in the venue's words."""

    LIVE = "live"
    """It rests, wholly or in part."""
    MATCHED = "matched"
    """It is over: filled, or filled in part and its rest killed."""
    DELAYED = "delayed"
    """Marketable and held back; the result follows as reports."""
    REJECTED = "rejected"


class OrderReceipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a ticket. `reason` and `text` only where it was rejected."""

    identity: Identity
    standing: StandingOrder
    filled: int = 0
    fills: tuple[FillId, ...] = ()
    reason: RejectReason | None = None
    text: str = ""


class CancelAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a cancel. `text` says why it was refused."""

    identity: Identity
    cancelled: bool
    text: str = ""


class HeartbeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a heartbeat: the token the next one must carry."""

    token: str
    valid: bool


# -- reports: what a customer gets without asking --------------------------------------------------


class Report(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Base of everything a customer receives."""


class Placed(Report, frozen=True, kw_only=True, gc=False):
    """The order rests in the book. `held` = it had been delayed before."""

    identity: Identity
    key: str
    held: bool


class Filled(Report, frozen=True, kw_only=True, gc=False):
    """An order matched. Settlement follows, but of a fill that is CONFIRMED at once."""

    id: FillId
    trade: int
    identity: Identity
    key: str
    instrument: InstrumentId
    leg: Leg
    side: Side
    price: int
    size: int
    fee_micro: int
    liquidity: Liquidity
    state: FillState = FillState.MATCHED
    at_ns: int = 0


class FillMoved(Report, frozen=True, kw_only=True, gc=False):
    """Settlement of a fill moved on; CONFIRMED and FAILED are its ends."""

    id: FillId
    key: str
    state: FillState


class Ended(Report, frozen=True, kw_only=True, gc=False):
    """An order ended other than by filling. `reason` None = it expired."""

    identity: Identity
    key: str
    reason: CancelReason | None
    filled: int
    text: str = ""


class ModeSwitched(Report, frozen=True, kw_only=True, gc=False):
    """The exchange changed what it takes."""

    mode: VenueMode


class Redeemed(Report, frozen=True, kw_only=True, gc=False):
    """Tokens of a resolved instrument became cash."""

    instrument: InstrumentId
    yes: int
    no: int
    amount_micro: int
    transaction: str = ""
    at_ns: int = 0


class Converted(Report, frozen=True, kw_only=True, gc=False):
    """Cash became pairs (`size` > 0), or pairs became cash."""

    instrument: InstrumentId
    size: int
    amount_micro: int
    transaction: str
    at_ns: int


class OperationReport(Report, frozen=True, kw_only=True, gc=False):
    """An operation that the customer's wallet was asked for got further."""

    operation: int
    state: OperationState
    transaction: str
    reason: str = ""


class Funded(Report, frozen=True, kw_only=True, gc=False):
    """Funding of a perpetual came (+) or was paid (−) at a stamp."""

    instrument: InstrumentId
    amount_micro: int
    stamp_ns: int
    rate_e18: int
    mark_e8: int
    size: int
    """What was held, below 0 short."""


class Liquidated(Report, frozen=True, kw_only=True, gc=False):
    """The exchange took a position over: the account was below its maintenance margin.

    Its orders end before this, each with a report of its own.
    """

    number: int
    instrument: InstrumentId
    size: int
    """What was held, below 0 short."""
    mark_e8: int
    realised_micro: int
    value_micro: int
    """What it was closed for, of the sign of the size."""
    fee_micro: int
    at_ns: int


AnyReport = (
    Placed
    | Filled
    | FillMoved
    | Ended
    | ModeSwitched
    | Redeemed
    | Converted
    | OperationReport
    | Funded
    | Liquidated
)

# -- Names: an account's order ↔ the exchange's identity, without any memory -----------------------
# The identity is `demo-<account>-<order>`, the same for the same order, so that no memory is needed
# to tell an own order from one placed with another key of the account.

KEY = "engine"
"""The API key under which the engine trades."""

_encode = msgspec.json.Encoder().encode


class Names:
    """Names and tickets of one key of one account."""

    __slots__ = ("_prefix", "account", "key")

    def __init__(self, account: AccountId, key: str) -> None:
        self.account = account
        self.key = key
        self._prefix = f"demo-{account}-"

    def identity(self, order: OrderId) -> Identity:
        return Identity(f"{self._prefix}{order}")

    def known(self, identity: Identity) -> OrderId | None:
        """Return our number of an order; None = the name is not one of ours."""
        number = identity.removeprefix(self._prefix)
        return OrderId(int(number)) if number != identity and number.isdecimal() else None

    def prepare(self, order: Order) -> Prepared:
        ticket = self.ticket(order)
        return Prepared(order=order, identity=ticket.identity, payload=_encode(ticket))

    def ticket(self, order: Order) -> Ticket:
        """Return an order as the exchange takes it."""
        return Ticket(
            identity=self.identity(order.id),
            instrument=order.instrument,
            leg=order.leg,
            side=order.side,
            price=order.price,
            size=order.size,
            type=order.type,
            post_only=order.post_only,
            expires_ns=order.expires_ns,
            reduce_only=order.reduce_only is True,
            key=self.key,
            tag=order.bot,
        )
