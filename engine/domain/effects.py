"""Effects: what a core asks the world to do. Returned, never done, by `receive`."""

from __future__ import annotations

import msgspec

from engine.domain.alerts import Severity as Severity  # noqa: PLC0414 who raises one imports it from here
from engine.domain.alerts import described
from engine.domain.instruments import UNASSIGNED, AccountId, BotId, InstrumentId, Leg
from engine.domain.orders import Identity, OperationName, Order, OrderId, OrderState


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Base of everything a core asks for. Like events they are values without circles."""


class AccountEffect(Effect, frozen=True, kw_only=True):
    """Base of what is asked for one account."""

    account: AccountId


class PlaceOrder(Effect, frozen=True, kw_only=True):
    """Journal this order under its name, then send it (law K)."""

    order: Order
    identity: Identity | None = None
    """Its name at the venue, put here by who speaks to it; None = it has none, and cannot leave."""


class CancelOrders(AccountEffect, frozen=True, kw_only=True):
    """Cancel these orders of one account."""

    orders: tuple[OrderId, ...]


class CancelScope(msgspec.Struct, frozen=True, kw_only=True):
    """What a CANCEL_ALL covers. Both None = everything of the account."""

    instrument: InstrumentId | None = None
    bot: BotId | None = None


class CancelAll(AccountEffect, frozen=True, kw_only=True):
    """Cancel everything in scope: goes first, drops queued places, is never rate limited."""

    scope: CancelScope = CancelScope()


class QueryOrder(AccountEffect, frozen=True, kw_only=True):
    """Ask the venue about one order by its identity."""

    order: OrderId
    number: int = 0
    """The question's own number, which its answer carries; 0 = the executor did not ask it."""


class QueryOpenOrders(AccountEffect, frozen=True, kw_only=True):
    """Ask for all open orders of the account."""

    number: int = 0


class QueryFills(AccountEffect, frozen=True, kw_only=True):
    """Ask for the fills since a time."""

    since_ns: int
    number: int = 0


class QueryBalances(AccountEffect, frozen=True, kw_only=True):
    """Ask for cash and holdings."""

    number: int = 0


class QueryRedemptions(AccountEffect, frozen=True, kw_only=True):
    """Ask for what the wallet's tokens of resolved markets paid since a time."""

    since_ns: int
    number: int = 0


class WalletEffect(AccountEffect, frozen=True, kw_only=True):
    """An operation of the account's wallet: the journal has it before anything is sent.

    `operation` is its name for good: the time of asking in ms since 1970, UTC, or one more than the
    last one where that is higher.
    """

    operation: int

    @property
    def number(self) -> int:
        """Return 0: it is no question and has no numbered answer."""
        return 0


class RedeemTokens(WalletEffect, frozen=True, kw_only=True):
    """Turn all tokens of a resolved instrument into cash."""

    instrument: InstrumentId


class MergePairs(WalletEffect, frozen=True, kw_only=True):
    """Turn pairs of YES and NO into cash: `size` of each leg, which bring `amount_micro`."""

    instrument: InstrumentId
    size: int
    amount_micro: int
    owner: BotId = UNASSIGNED
    """Whose pairs they are."""


class SplitCash(WalletEffect, frozen=True, kw_only=True):
    """Turn cash into pairs of YES and NO: `size` of each leg for `amount_micro`."""

    instrument: InstrumentId
    size: int
    amount_micro: int
    owner: BotId = UNASSIGNED
    """Whose pairs they become."""


class ApproveTrading(WalletEffect, frozen=True, kw_only=True):
    """Let the venue's contracts move the wallet's cash and tokens: whatever of it is missing."""


AnyWalletEffect = RedeemTokens | MergePairs | SplitCash | ApproveTrading


class QueryOperation(AccountEffect, frozen=True, kw_only=True):
    """Ask what became of an operation of the wallet, with all that is known of it."""

    asked: AnyWalletEffect
    asked_ns: int
    """When it was asked for."""
    name: OperationName | None
    """None = it never had one: if the venue needs one, nothing has left."""
    transaction: str
    """What carries it to the chain calls it; empty = not known."""
    number: int

    @property
    def operation(self) -> int:
        return self.asked.operation


class SetTimer(Effect, frozen=True, kw_only=True):
    """Deliver `TimerFired(name)` at this time. A later one of the same name replaces it."""

    at_ns: int
    name: str


class KeepBudget(AccountEffect, frozen=True, kw_only=True):
    """Journal the day's anchor, the peak and the stops: a start takes them back from here."""

    breakers: bytes
    """As `engine.risk.gate` gives and takes it."""


class VenueDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger and its venue say differently, seen more than once while nothing moved."""

    instrument: InstrumentId | None
    leg: Leg | None
    """Both None = cash."""
    gap: int
    """The venue's minus ours: micro-units of the account's currency, or increments of size."""
    text: str

    @property
    def about(self) -> tuple[InstrumentId | None, Leg | None]:
        """Return what differs."""
        return self.instrument, self.leg


class KeepDifferences(AccountEffect, frozen=True, kw_only=True):
    """Journal what differs from the venue: no start trades on a ledger known to be wrong."""

    standing: tuple[VenueDifference, ...]
    """They halt what adds risk."""
    accepted: tuple[VenueDifference, ...]
    """A person has answered for these."""


class KeepStart(AccountEffect, frozen=True, kw_only=True):
    """Journal that an account starts over: what has no end is UNKNOWN, everything is asked anew."""

    fence: int
    """Number of the start; the same one again = after a blindness of the same life."""
    snapshot: int
    """Record behind whose snapshot the journal was read; 0 = from its first record."""


class OrderChanged(AccountEffect, frozen=True, kw_only=True):
    """Journal where an order stands, once a turn: the last word on it.

    Said of one that moved otherwise than the records of what happened tell by themselves
    (`order_life.JOURNALED_STATES`), or was filled.
    """

    order: OrderId
    state: OrderState
    filled: int
    """All that its booked fills matched, in its leg's increments; voided ones count, too."""
    reason: str = ""
    """Why it moved there, where more can be said than the state does; for people."""


class RaiseAlert(Effect, frozen=True, kw_only=True):
    """Tell the operator. `kind` groups repeats and says how severe it is, whatever a call says."""

    kind: str
    text: str
    severity: Severity = Severity.WARNING
    """The kind's own (`engine.domain.alerts`)."""
    account: AccountId | None = None
    bot: BotId | None = None
    instrument: InstrumentId | None = None
    numbers: dict[str, str] = {}
    """Figures by their names, as a person reads them: what a message and the page show besides."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "severity", described(self.kind).severity)


def caution(
    kind: str,
    text: str,
    account: AccountId | None = None,
    bot: BotId | None = None,
    instrument: InstrumentId | None = None,
    **numbers: str,
) -> RaiseAlert:
    """Return an alert about the whole engine, or about the place it names, with its figures."""
    return RaiseAlert(
        kind=kind,
        text=text,
        account=account,
        bot=bot,
        instrument=instrument,
        numbers={name.replace("_", " "): figure for name, figure in numbers.items()},
    )


alarm = caution
"""The same, as it reads where the kind is critical."""


AnyQuery = (
    QueryOrder | QueryOpenOrders | QueryFills | QueryBalances | QueryRedemptions | QueryOperation
)

AnyEffect = (
    PlaceOrder
    | CancelOrders
    | CancelAll
    | AnyQuery
    | AnyWalletEffect
    | SetTimer
    | KeepBudget
    | KeepDifferences
    | KeepStart
    | OrderChanged
    | RaiseAlert
)
