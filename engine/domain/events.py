"""Events: what happened, in the past tense. Feeds, venues and timers make them; none is edited.

Every event is delivered as `receive(event, now_ns)`: `now_ns` is when the engine learned of it,
`exchange_ns` is the venue's own stamp where it has one (None = it gave none).
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import UNSET, UnsetType

from engine.domain.assets import Money
from engine.domain.bars import Bar
from engine.domain.books import Level
from engine.domain.event_bases import (
    AccountEvent,
    FillEvent,
    OperationEvent,
    OrderUpdate,
    ScopeEvent,
)
from engine.domain.event_bases import Event as Event  # noqa: PLC0414 asked for here by its readers
from engine.domain.fills import FillId, FillState, Liquidity, SizeSource
from engine.domain.instruments import MANUAL, AccountId, BotId, Instrument, InstrumentId, Leg, Side
from engine.domain.money import MICRO_DECIMALS
from engine.domain.observed_events import Observed
from engine.domain.orders import (
    CancelReason,
    Identity,
    OperationName,
    OrderId,
    OrderReport,
    RejectReason,
)
from engine.domain.perpetual_events import (
    FundingPaid,
    FundingSettled,
    MarkPriced,
    PositionLiquidated,
)
from engine.domain.unread import UnreadRow

# -- What happened in the market. All prices are in YES-space for binaries -------------------------


class InstrumentListed(Event, frozen=True, kw_only=True):
    """An instrument became known, or its metadata (tick, fees, strike) changed."""

    instrument: Instrument


class InstrumentClosed(Event, frozen=True, kw_only=True):
    """Trading in the instrument ended; its outcome may still be open."""

    instrument: InstrumentId


class InstrumentResolved(Event, frozen=True, kw_only=True):
    """The venue or its oracle said what the instrument pays. Never inferred from a price."""

    instrument: InstrumentId
    payout_yes_micro: int
    """What one YES pays in micro-units: 1_000_000, 0, or 500_000 for fifty-fifty."""
    source: str


class BookReplaced(Event, frozen=True, kw_only=True, gc=False):
    """A full snapshot of a book."""

    instrument: InstrumentId
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    exchange_ns: int | None = None


class BookChanged(Event, frozen=True, kw_only=True, gc=False):
    """One venue batch of level changes; sizes are the new aggregate, 0 = gone."""

    instrument: InstrumentId
    changes: tuple[tuple[Side, int, int], ...]
    exchange_ns: int | None = None


class BookDistrusted(Event, frozen=True, kw_only=True):
    """The book of the instrument is torn (hash, crossing, gap) until the next BookReplaced."""

    instrument: InstrumentId
    reason: str


class TradePrinted(Event, frozen=True, kw_only=True, gc=False):
    """The venue printed a trade. It precedes the book change it caused."""

    instrument: InstrumentId
    price: int
    size: int | None
    """None = the recording does not know."""
    aggressor: Side | None
    """Side of the taker in YES-space; None = ambiguous."""
    source: SizeSource = SizeSource.TAPED
    exchange_ns: int | None = None


class ReferencePriced(Event, frozen=True, kw_only=True, gc=False):
    """A reference price, for example `chainlink:btc/usd` or `binance:btcusdt`, in 1e-8 units."""

    key: str
    price_e8: int
    exchange_ns: int | None = None


class BarClosed(Event, frozen=True, kw_only=True, gc=False):
    """A bar closed: made here from trades or mids, or read from a file of bars.

    `bars` names its series as `engine.domain.bars.bar_spec` reads it. A closed bar never changes.
    """

    instrument: InstrumentId
    bars: str
    bar: Bar


class StrikeProven(Event, frozen=True, kw_only=True):
    """The strike of an up/down market is known, and from where."""

    instrument: InstrumentId
    strike_e8: int
    provenance: str


class FeedLost(Event, frozen=True, kw_only=True):
    """A feed stopped proving its view. `instrument` None = all of the feed's."""

    feed: str
    instrument: InstrumentId | None
    reason: str


class FeedRestored(Event, frozen=True, kw_only=True):
    """The feed proves its view again."""

    feed: str
    instrument: InstrumentId | None


class BookProven(Event, frozen=True, kw_only=True):
    """Proof without a change: PONG plus a hash-equal REST book. A quiet market is not blind."""

    instrument: InstrumentId


class BookMarked(Event, frozen=True, kw_only=True, gc=False):
    """What executor and risk need to know of a book; the bots' room sends it with every intent.

    Sent before each intent and on the second's tick, for instruments with orders or holdings.
    """

    instrument: InstrumentId
    best_bid: int | None
    best_ask: int | None
    mid2: int | None
    """Twice the last two-sided mid; None = never two-sided."""
    two_sided_ns: int | None
    proof_ns: int | None
    """When the book was last proven (law M); None = never."""
    trusted: bool
    closed: bool = False


# -- What happened to our orders, and what a venue answers. Prices in the order's leg --------------


class OrderNamed(OrderUpdate, frozen=True, kw_only=True):
    """The order has its identity, and leaves once the journal has it on the disk (law K).

    The journal has it with the `PlaceOrder`; on its own only in older ones.
    """

    identity: Identity


class OrderSent(OrderUpdate, frozen=True, kw_only=True):
    """The first byte may have left. Only in older journals: its name says it."""


class OrderNotSent(OrderUpdate, frozen=True, kw_only=True):
    """Certain: the request had no effect at the venue (dropped, throttled, latched)."""

    reason: str


class OrderUnanswered(OrderUpdate, frozen=True, kw_only=True):
    """Sent, and nothing or something unreadable came back."""

    reason: str


class OrderAccepted(OrderUpdate, frozen=True, kw_only=True):
    """The venue took the order; it rests, or its fills follow."""


class OrderDelayed(OrderUpdate, frozen=True, kw_only=True):
    """The venue holds a marketable order; it cannot be cancelled yet."""


class OrderRejected(OrderUpdate, frozen=True, kw_only=True):
    """The venue refused the order: it never lived."""

    reason: RejectReason
    venue_text: str = ""


class OrderFilled(OrderUpdate, frozen=True, kw_only=True):
    """A part or all of an order matched. Price and size in the order's leg."""

    fill: FillId
    price: int
    size: int
    fee_micro: int
    liquidity: Liquidity
    state: FillState = FillState.MATCHED
    source: SizeSource = SizeSource.TAPED
    transaction: str | UnsetType = UNSET
    """Hash on the chain, as far as the venue has given one; where it gives none, none is kept."""
    value_micro: int | UnsetType = UNSET
    """What it moved without its fee, in micro-units; unset = price · size.

    Set where the match met several prices: `price` is then their average, rounded.
    """
    fee: Money | UnsetType = UNSET
    """What the venue took in an asset of its own name, beside `fee_micro` (of the currency)."""
    matched_ns: int | UnsetType = UNSET
    """When, by the venue, where what is held may be liquidated: a fill may be reported after it."""

    def moved_micro(self, instrument: Instrument, side: Side) -> int:
        """Return what the fill moved without its fee: paid up, received down, in micro-units."""
        if self.value_micro is not UNSET:
            return self.value_micro
        if side is Side.BUY:
            return instrument.cost_micro(self.price, self.size)
        return instrument.proceeds_micro(self.price, self.size)

    def fees_in(self, currency: str | None) -> tuple[int, Money | None]:
        """Return the fee in micro-units of the currency, and what was paid in another asset.

        None = the currency is not known: the fee stands as the venue gave it.
        """
        if self.fee is UNSET:
            return self.fee_micro, None
        if self.fee.asset.id == currency:
            return self.fee_micro + self.fee.paid_in(MICRO_DECIMALS), None
        return self.fee_micro, self.fee


class FillAdvanced(FillEvent, frozen=True, kw_only=True):
    """Settlement moved on without deciding: MINED or RETRYING."""

    state: FillState
    transaction: str | UnsetType = UNSET


class FillSettled(FillEvent, frozen=True, kw_only=True):
    """The fill is CONFIRMED: what it brought may be used."""

    transaction: str | UnsetType = UNSET


class FillVoided(FillEvent, frozen=True, kw_only=True):
    """The fill FAILED: it is reversed, once."""


class OrderCancelled(OrderUpdate, frozen=True, kw_only=True):
    """The venue confirms the end of an order that was not wholly filled."""

    reason: CancelReason = CancelReason.ASKED
    venue_text: str = ""

    @property
    def why(self) -> str:
        """What is kept beside the order's state, for people."""
        return f"{self.reason}: {self.venue_text}" if self.venue_text else self.reason


class CancelRefused(OrderUpdate, frozen=True, kw_only=True):
    """The venue would not cancel (`not_canceled`): it may have matched. Proves nothing."""

    venue_text: str = ""


class CancelUnanswered(OrderUpdate, frozen=True, kw_only=True):
    """A cancel got no answer: the order may be live or gone."""


class OrderExpired(OrderUpdate, frozen=True, kw_only=True):
    """A GTD order reached its time."""


class VenueMode(StrEnum):
    """What a venue takes at the moment."""

    OPEN = "open"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    RESTARTING = "restarting"
    DISABLED = "disabled"


class ModeChanged(AccountEvent, frozen=True, kw_only=True):
    """The venue said what it takes."""

    mode: VenueMode
    retry_after_ns: int = 0
    """How long the venue asks to wait before it is tried again; 0 = it did not say."""
    reason: str | UnsetType = UNSET
    """Its own words, where it gave any."""


# -- answers to questions -------------------------------------------------------------------------


class OpenOrdersListed(AccountEvent, frozen=True, kw_only=True):
    """A complete, successful listing of open orders. A failed one is QueryFailed, never this."""

    orders: tuple[OrderReport, ...]
    unread: tuple[UnreadRow, ...] | UnsetType = UNSET
    """Rows of it that cannot be read: what they are is not known, that they are there is."""
    answers: int = 0
    """Number of the question this answers; 0 = of none that is still waited for."""


class OrderReported(AccountEvent, frozen=True, kw_only=True):
    """The answer to a question about one order."""

    report: OrderReport


class OrderNotFound(OrderUpdate, frozen=True, kw_only=True):
    """The venue does not know the order. Believed after a grace period and two confirmations."""

    answers: int = 0


class FillsListed(AccountEvent, frozen=True, kw_only=True):
    """Fills since a time, each as the event it would have been."""

    since_ns: int
    fills: tuple[OrderFilled, ...]
    unread: tuple[UnreadRow, ...] | UnsetType = UNSET
    answers: int = 0


class BalancesListed(AccountEvent, frozen=True, kw_only=True):
    """Spendable cash per currency in micro-units, as the venue sees it."""

    cash_micro: dict[str, int]
    answers: int = 0


class PositionsListed(AccountEvent, frozen=True, kw_only=True):
    """Settled holdings as the venue sees them: (instrument, leg, size)."""

    holdings: tuple[tuple[InstrumentId, Leg, int], ...]
    unread: tuple[UnreadRow, ...] | UnsetType = UNSET
    answers: int = 0


class OperationState(StrEnum):
    """How far an operation of the wallet is: reported by whoever carries it to the chain."""

    SUBMITTED = "submitted"
    """It has an id, `transaction`; asking for it a second time could do it a second time."""
    MINED = "mined"
    CONFIRMED = "confirmed"
    """It is done. What it moved is its own fact, for example `TokensRedeemed`."""
    FAILED = "failed"
    """It had no effect and never will."""


class OperationMoved(OperationEvent, frozen=True, kw_only=True):
    """An operation of the wallet got further or ended; `on_chain` is how its fact is named."""

    state: OperationState
    transaction: str = ""
    on_chain: str = ""
    reason: str = ""


class OperationNamed(OperationEvent, frozen=True, kw_only=True):
    """An operation is signed and may leave: it can be found by its name."""

    name: OperationName


class OperationUnanswered(OperationEvent, frozen=True, kw_only=True):
    """An operation was sent and not answered: it may take effect or not."""

    reason: str


class OperationNotFound(OperationEvent, frozen=True, kw_only=True):
    """The venue does not know the operation. Believed only if it was asked late enough."""

    answers: int = 0


class PairsConverted(AccountEvent, frozen=True, kw_only=True):
    """Cash became pairs (`size` > 0), or pairs became cash, whoever asked for it: the fact."""

    transaction: str
    instrument: InstrumentId
    size: int
    amount_micro: int
    at_ns: int


class TokensRedeemed(AccountEvent, frozen=True, kw_only=True):
    """Tokens of a resolved instrument became cash, whoever asked for it: this is the payment.

    `transaction` and `instrument` together name it: reported again it is the same one.
    """

    transaction: str
    instrument: InstrumentId
    yes: int | None = None
    no: int | None = None
    """Tokens that are gone, in increments, losers too; None = the venue tells the money alone."""
    amount_micro: int
    at_ns: int


class RedemptionsListed(AccountEvent, frozen=True, kw_only=True):
    """All redemptions, splits and merges since a time, as their events. Never a part of them.

    A venue of perpetuals lists what it paid and closed by itself, too.
    """

    since_ns: int
    redemptions: tuple[TokensRedeemed, ...]
    conversions: tuple[PairsConverted, ...] = ()
    fundings: tuple[FundingPaid, ...] = ()
    liquidations: tuple[PositionLiquidated, ...] = ()
    unread: tuple[UnreadRow, ...] | UnsetType = UNSET
    answers: int = 0


class QueryFailed(AccountEvent, frozen=True, kw_only=True):
    """A question got no usable answer. It is never an empty answer."""

    question: str
    order: OrderId | None
    reason: str
    answers: int = 0


# -- What happened besides, and unions of all of it ------------------------------------------------


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
    kill_only: bool = False
    """True for accounts that were closed then: what else stops them is not known."""
    whole: bool = False
    """True = it was the latch of everything: a journal that is behind still stops its account."""


class ScopeLatched(ScopeEvent, frozen=True, kw_only=True):
    """KILL of an account's `bot` or `instrument`, or of all of it: held until released by hand."""


class ScopeReleased(ScopeEvent, frozen=True, kw_only=True):
    """The operator released the latch of a part of one account."""


class CashKind(StrEnum):
    """Why cash came or left without a trade."""

    DEPOSIT = "deposit"
    """Or a withdrawal, below zero."""
    REWARD = "reward"
    """For orders that rested, or tokens that were held."""
    REBATE = "rebate"
    """A part of fees; paid for days of trading, never for one fill."""
    FUNDING = "funding"
    """What longs and shorts of a perpetual pay each other."""


class CashMoved(AccountEvent, frozen=True, kw_only=True):
    """Cash came (+) or left (−). A deposit shifts the day's anchor and the peak, is never PnL.

    Rewards and rebates are PnL of the account, of no fill. Of `tokens` it is what they cost.
    """

    currency: str
    amount_micro: int
    kind: CashKind = CashKind.DEPOSIT
    payment: str = ""
    """The venue's name of a reward or rebate; a deposit has none."""
    paid_ns: int = 0
    """When it was paid; of the first cash, when it was asked for: later payments are not in it."""
    instrument: InstrumentId | None = None
    leg: Leg | None = None
    tokens: int = 0
    """Settled tokens that came in place of cash, and whose; a reward may name its market alone."""
    worth_micro: int | UnsetType | None = UNSET
    """What leaving the tokens would have brought when they came, by the mark of risk; None = no
    book said it. Anchor and peak move by it, so it stands in the record of what came."""
    owner: BotId = MANUAL
    """Who tokens that came are given to."""


class HoldingTransferred(AccountEvent, frozen=True, kw_only=True):
    """A person or a rule gave what one owner held to another: both count it at this price."""

    instrument: InstrumentId
    leg: Leg
    size: int
    price: int
    """Of the leg, in its own increments."""
    from_owner: BotId
    to_owner: BotId
    who: str


class LossAccepted(AccountEvent, frozen=True, kw_only=True):
    """A person accepts that the journal lost records; here its account goes on.

    What the state and the venue still knew of them stands in the records before this one.
    """

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
    recount: bool = False
    """True where the account's first cash, if any, was taken after orders that no file here has
    made: it is counted anew, so that no fill of them is in it and booked as well."""


KeyedEvent = ReferencePriced | Observed
"""What comes by a key instead of an instrument."""

MarketEvent = (
    InstrumentListed | InstrumentClosed | InstrumentResolved | BookReplaced | BookChanged |
    BookDistrusted | BookProven | TradePrinted | ReferencePriced | StrikeProven | FeedLost |
    FeedRestored | BookMarked | BarClosed | MarkPriced | FundingSettled | Observed
)  # fmt: skip

VenueEvent = (
    OrderNamed | OrderSent | OrderNotSent | OrderUnanswered | OrderAccepted | OrderDelayed |
    OrderRejected | OrderFilled | FillAdvanced | FillSettled | FillVoided | OrderCancelled |
    CancelRefused | CancelUnanswered | OrderExpired | ModeChanged | OpenOrdersListed |
    OrderReported | OrderNotFound | FillsListed | BalancesListed | PositionsListed | QueryFailed |
    OperationMoved | OperationNamed | OperationUnanswered | OperationNotFound | PairsConverted |
    TokensRedeemed | RedemptionsListed | FundingPaid | PositionLiquidated
)  # fmt: skip

EngineEvent = (
    HealthChanged | LatchSet | LatchReleased | ScopeLatched | ScopeReleased | CashMoved |
    HoldingTransferred | LossAccepted | TimerFired
)  # fmt: skip

AnyEvent = MarketEvent | VenueEvent | EngineEvent
