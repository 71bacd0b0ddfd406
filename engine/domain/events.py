"""Events: what happened, in the past tense. Feeds, venues and timers make them; nobody edits them.

Every event is delivered as `receive(event, now_ns)`: `now_ns` is when the engine learned of it,
`exchange_ns` is the venue's own stamp where it has one (None = it gave none). Events of the market
and of orders have files of their own; everybody imports them from here.
"""

from __future__ import annotations

from engine.domain.event_base import Event
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.market_events import (
    BookChanged,
    BookDistrusted,
    BookMarked,
    BookProven,
    BookReplaced,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    ReferencePriced,
    StrikeProven,
    TradePrinted,
)
from engine.domain.order_events import (
    BalancesListed,
    CancelRefused,
    CancelUnanswered,
    FillAdvanced,
    FillSettled,
    FillsListed,
    FillVoided,
    ModeChanged,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderFilled,
    OrderNamed,
    OrderNotFound,
    OrderNotSent,
    OrderRejected,
    OrderReport,
    OrderReported,
    OrderSent,
    OrderUnanswered,
    PositionsListed,
    QueryFailed,
    VenueMode,
)
from engine.domain.orders import OrderId

__all__ = [
    "AnyEvent",
    "BalancesListed",
    "BookChanged",
    "BookDistrusted",
    "BookMarked",
    "BookProven",
    "BookReplaced",
    "CancelRefused",
    "CancelUnanswered",
    "CashMoved",
    "Event",
    "FeedLost",
    "FeedRestored",
    "FillAdvanced",
    "FillSettled",
    "FillVoided",
    "FillsListed",
    "HealthChanged",
    "HouseEvent",
    "InstrumentClosed",
    "InstrumentListed",
    "InstrumentResolved",
    "LatchReleased",
    "LatchSet",
    "LossAccepted",
    "MarketEvent",
    "ModeChanged",
    "OpenOrdersListed",
    "OrderAccepted",
    "OrderCancelled",
    "OrderDelayed",
    "OrderExpired",
    "OrderFilled",
    "OrderNamed",
    "OrderNotFound",
    "OrderNotSent",
    "OrderRejected",
    "OrderReport",
    "OrderReported",
    "OrderSent",
    "OrderUnanswered",
    "PositionsListed",
    "QueryFailed",
    "ReferencePriced",
    "ScopeLatched",
    "ScopeReleased",
    "StrikeProven",
    "TimerFired",
    "TradePrinted",
    "VenueEvent",
    "VenueMode",
]


class TimerFired(Event, frozen=True, kw_only=True):
    """A timer somebody asked for."""

    name: str


class HealthChanged(Event, frozen=True, kw_only=True):
    """A reason not to trade appeared or went away (law M). `source` names it, e.g. `user_feed`."""

    account: AccountId | None
    source: str
    healthy: bool
    reason: str = ""


class LatchSet(Event, frozen=True, kw_only=True):
    """KILL: nothing is placed until the latch is released with a typed reason."""

    who: str
    reason: str


class LatchReleased(Event, frozen=True, kw_only=True):
    """The operator released the latch."""

    who: str
    reason: str


class ScopeLatched(Event, frozen=True, kw_only=True):
    """KILL of a part of one account: nothing of it is placed until that is released by hand.

    `bot` or `instrument` names the part; neither = the whole account.
    """

    account: AccountId
    bot: BotId | None = None
    instrument: InstrumentId | None = None
    who: str
    reason: str


class ScopeReleased(Event, frozen=True, kw_only=True):
    """The operator released the latch of a part of one account."""

    account: AccountId
    bot: BotId | None = None
    instrument: InstrumentId | None = None
    who: str
    reason: str


class CashMoved(Event, frozen=True, kw_only=True):
    """A deposit (+) or withdrawal (−): shifts the day's anchor and the peak, is never PnL."""

    account: AccountId
    currency: str
    amount_micro: int


class LossAccepted(Event, frozen=True, kw_only=True):
    """A person accepts that the journal lost records; here its account goes on.

    What the state and the venue still knew of them stands in the records before this one.
    """

    account: AccountId
    orders_until: OrderId
    """Every new order has a higher number: above all that a file or the venue knows."""
    since_ns: int
    """The venue is asked for its fills from here on."""
    journal_seq: int
    """The last record that was left."""
    projected_seq: int
    """The last record that the state had read."""
    projected_crc: int
    who: str


MarketEvent = (
    InstrumentListed
    | InstrumentClosed
    | InstrumentResolved
    | BookReplaced
    | BookChanged
    | BookDistrusted
    | BookProven
    | TradePrinted
    | ReferencePriced
    | StrikeProven
    | FeedLost
    | FeedRestored
    | BookMarked
)

VenueEvent = (
    OrderNamed
    | OrderSent
    | OrderNotSent
    | OrderUnanswered
    | OrderAccepted
    | OrderDelayed
    | OrderRejected
    | OrderFilled
    | FillAdvanced
    | FillSettled
    | FillVoided
    | OrderCancelled
    | CancelRefused
    | CancelUnanswered
    | OrderExpired
    | ModeChanged
    | OpenOrdersListed
    | OrderReported
    | OrderNotFound
    | FillsListed
    | BalancesListed
    | PositionsListed
    | QueryFailed
)

HouseEvent = (
    HealthChanged
    | LatchSet
    | LatchReleased
    | ScopeLatched
    | ScopeReleased
    | CashMoved
    | LossAccepted
    | TimerFired
)

AnyEvent = MarketEvent | VenueEvent | HouseEvent
