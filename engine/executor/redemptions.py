"""Redemptions: what the account's wallet does with winners, and the payments it hears of.

A winner becomes cash only when a payment of it has been told, whoever asked for that: the account
itself, a person at the venue, the venue. What is asked here is in the journal before it leaves; one
whose outcome is unknown is looked for among the venue's payments and asked for again only when it
has not been found there (law J).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.domain.effects import QueryRedemptions, RedeemTokens, Severity
from engine.domain.events import (
    OperationMoved,
    OperationState,
    RedemptionsListed,
    TokensRedeemed,
)
from engine.domain.instruments import InstrumentId
from engine.executor.halts import Blocks
from engine.executor.orders import EffectOutbox, OrderTable
from engine.executor.proof import AccountQuestion, Questions
from engine.executor.settings import MS, NEVER, ExecutorSettings

BOOKED_MAX = 20_000
"""Payments remembered so that none is booked twice; far more than a listing reaches back."""

WAITING_MAX = 1_000
"""Payments that came before anybody said what their market pays."""

LISTED_WITHIN_NS = 60_000 * MS
"""How much older than its arrival a listing of payments can be."""


class WalletOperation(msgspec.Struct, kw_only=True):
    """A redemption that was asked for and has no end yet."""

    number: int
    instrument: InstrumentId
    moved_ns: int
    """When it was asked for, or got further."""
    state: OperationState | None = None
    """None = nothing was heard of it."""
    transaction: str = ""
    doubt_ns: int | None = None
    """Since when its outcome is unknown; None = its news are still due."""


class RedemptionsState(msgspec.Struct, kw_only=True):
    """What must survive a restart."""

    last: int = 0
    under_way: dict[InstrumentId, WalletOperation] = {}
    booked: dict[str, int] = {}
    """Payments by name, with their times."""
    waiting: dict[InstrumentId, list[TokensRedeemed]] = {}
    """Payments of instruments whose result nobody has told yet."""
    listed_ns: int = -1
    """Payments up to here have been listed; -1 = never."""


class Redemptions:
    """One account's redemptions. The executor is the only one to call."""

    def __init__(
        self,
        table: OrderTable,
        blocks: Blocks,
        outbox: EffectOutbox,
        settings: ExecutorSettings,
        questions: Questions,
    ) -> None:
        self._table = table
        self._blocks = blocks
        self._outbox = outbox
        self._settings = settings
        self._questions = questions
        self.state = RedemptionsState()
        self.due_ns = NEVER
        """When `advance` may have something to do."""
        self._paused: dict[InstrumentId, int] = {}
        """Until when an instrument is not asked for after a failure."""
        self._surplus: dict[InstrumentId, int] = {}
        """Since when more was paid than fills explain; -1 = a person was told."""

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which event."""
        return {
            OperationMoved: self._moved,
            TokensRedeemed: self.redeemed,
            RedemptionsListed: self._listed,
        }

    @property
    def quiet(self) -> bool:
        """False while a payment may be under way: cash and tokens cannot be compared then."""
        return not (self.state.under_way or self.state.waiting)

    def restore(self, asked: RedeemTokens, now_ns: int) -> None:
        """Take a journaled request of an earlier life, in the order of the journal."""
        state = self.state
        if asked.operation > state.last:
            state.last = asked.operation
            state.under_way[asked.instrument] = WalletOperation(
                number=asked.operation, instrument=asked.instrument, moved_ns=now_ns
            )

    def asks_since(self, since_ns: int) -> None:
        """Go on behind lost records: payments are asked for since then."""
        self.state.listed_ns = min(self.state.listed_ns, since_ns)

    # -- asking ------------------------------------------------------------------------------------

    def look(self) -> None:
        """See to it that the next plan looks at what waits; call it every second while it does."""
        self.due_ns = 0

    def start(self, now_ns: int) -> None:
        """Begin a life: what was asked for before is unknown, what was paid meanwhile is asked."""
        for operation in self.state.under_way.values():
            operation.doubt_ns = now_ns
        if self.state.under_way or self._table.ledger.held or self._table.ledger.redeemable:
            self.want(now_ns)
            self.look()

    def want(self, now_ns: int) -> None:
        """Ask what was paid."""
        self._questions.want(AccountQuestion.REDEMPTIONS, now_ns)

    def question(self, now_ns: int, number: int) -> QueryRedemptions:
        """Return the question about payments since the last listing, with an overlap."""
        overlap_ns = self._settings.redemptions_overlap_ms * MS
        since_ns = now_ns if self.state.listed_ns < 0 else self.state.listed_ns
        return QueryRedemptions(
            account=self._table.account, since_ns=max(0, since_ns - overlap_ns), number=number
        )

    def advance(self, now_ns: int) -> None:
        """Ask for what is redeemable, and about what has been silent for too long."""
        self.due_ns = NEVER
        self._doubt(now_ns)
        blocks = self._blocks
        if blocks.recovering or blocks.latched or blocks.state.halted:
            return
        least = self._settings.redeem_above_micro
        for instrument, holding in self._table.ledger.redeemable.items():
            if holding.redeemable_micro < 0:
                self._more_than_held(instrument, -holding.redeemable_micro, now_ns)
            if holding.redeemable_micro <= 0 or instrument in self.state.under_way:
                continue
            if least is None or holding.redeemable_micro < least:
                self._wait_for_others(now_ns)
            elif self._paused.get(instrument, 0) <= now_ns:
                self._ask(instrument, now_ns)

    def _more_than_held(self, instrument: InstrumentId, micro: int, now_ns: int) -> None:
        """Tell of money for tokens no fill has brought, once their fills can be late no more."""
        since_ns = self._surplus.setdefault(instrument, now_ns)
        if since_ns >= 0 and now_ns - since_ns >= self._settings.redemptions_overlap_ms * MS:
            self._surplus[instrument] = -1
            self._outbox.alert(
                Severity.WARNING,
                "redeemed_more",
                f"the venue paid {micro} micro for tokens of {instrument} that no fill brought "
                "here: they came into the wallet by hand",
                instrument=instrument,
            )

    def _ask(self, instrument: InstrumentId, now_ns: int) -> None:
        """Redeem: the effect is the record of it, and stands in the journal before it leaves."""
        self._paused.pop(instrument, None)
        self.state.last += 1
        number = self.state.last
        self.state.under_way[instrument] = WalletOperation(
            number=number, instrument=instrument, moved_ns=now_ns
        )
        self._outbox.effects.append(
            RedeemTokens(account=self._table.account, operation=number, instrument=instrument)
        )

    def _wait_for_others(self, now_ns: int) -> None:
        """Ask now and then whether somebody else has redeemed: the venue, or a person there."""
        fresh_ns = LISTED_WITHIN_NS + self._settings.redemptions_interval_ms * MS
        if self.state.listed_ns < 0 or self.state.listed_ns + fresh_ns <= now_ns:
            self.want(now_ns)

    def _doubt(self, now_ns: int) -> None:
        """Take for unknown what nothing was heard of for too long, and look for it."""
        patience_ns = self._settings.redeem_patience_ms * MS
        for operation in self.state.under_way.values():
            if operation.doubt_ns is None and now_ns - operation.moved_ns >= patience_ns:
                operation.doubt_ns = now_ns
            if operation.doubt_ns is not None:
                grace_ns = self._settings.redeem_grace_ms * MS
                if now_ns - operation.doubt_ns >= grace_ns:
                    self.want(now_ns)

    def unanswered(self, now_ns: int) -> None:
        """Take it that a request to redeem got no answer: nobody says which one."""
        for operation in self.state.under_way.values():
            if operation.state is None and operation.doubt_ns is None:
                operation.doubt_ns = now_ns
        self.look()

    # -- what is told ------------------------------------------------------------------------------

    def _moved(self, event: OperationMoved, now_ns: int) -> None:
        operation = next(
            (one for one in self.state.under_way.values() if one.number == event.operation), None
        )
        if operation is None:
            return  # it came to its end, or was given up after the venue did not know it
        operation.state, operation.moved_ns, operation.doubt_ns = event.state, now_ns, None
        operation.transaction = event.transaction or operation.transaction
        if event.state is OperationState.CONFIRMED:
            self.want(now_ns)  # the payment itself may have been lost on its way
        elif event.state is OperationState.FAILED:
            del self.state.under_way[operation.instrument]
            self._paused[operation.instrument] = now_ns + self._settings.redeem_pause_ms * MS
            self._outbox.alert(
                Severity.WARNING,
                "redeem_failed",
                f"redemption {operation.number} had no effect: {event.reason}; it is tried again",
                instrument=operation.instrument,
            )

    def redeemed(self, event: TokensRedeemed, now_ns: int) -> None:
        """Book a payment once. One that comes before its market's result waits for that."""
        table, state = self._table, self.state
        awaited = (order.instrument for order in table.awaiting_listing.values())
        if event.instrument not in table.instruments and event.instrument not in awaited:
            return  # nothing of it is ours, or all of it was paid and forgotten
        name = f"{event.transaction} {event.instrument}"
        if name in state.booked:
            return
        if table.ledger.holding(event.instrument).payout_yes_micro is None:
            waiting = state.waiting.setdefault(event.instrument, [])
            if event not in waiting and sum(map(len, state.waiting.values())) < WAITING_MAX:
                waiting.append(event)
            return
        state.booked[name] = event.at_ns
        if len(state.booked) > BOOKED_MAX:
            del state.booked[next(iter(state.booked))]
        table.ledger.redeem(event)
        self._surplus.pop(event.instrument, None)
        state.under_way.pop(event.instrument, None)
        table.moved(event.instrument, now_ns)
        self.look()

    def resolved(self, instrument: InstrumentId, now_ns: int) -> None:
        """Book what was paid before the result was heard, and look at what is redeemable."""
        for event in self.state.waiting.pop(instrument, ()):
            self.redeemed(event, now_ns)
        self.look()

    def _listed(self, event: RedemptionsListed, now_ns: int) -> None:
        """Book what was missed; an unknown operation that is not among it is over."""
        for redemption in event.redemptions:
            self.redeemed(redemption, now_ns)
        asked_ns = self._questions.answered(AccountQuestion.REDEMPTIONS, event.answers)
        self.state.listed_ns = max(self.state.listed_ns, now_ns - LISTED_WITHIN_NS, 0)
        if asked_ns is None:
            return
        grace_ns = self._settings.redeem_grace_ms * MS
        for operation in list(self.state.under_way.values()):
            doubtful = operation.doubt_ns is not None and operation.doubt_ns + grace_ns <= asked_ns
            over = operation.state is OperationState.CONFIRMED and operation.moved_ns <= asked_ns
            if over or doubtful:
                del self.state.under_way[operation.instrument]
        self.look()
