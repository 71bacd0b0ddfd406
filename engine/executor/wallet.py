"""The wallet's operations: redeem, merge, split and approve, and the payments it hears of.

Every operation is one small saga: asked (the effect is its record) → named → submitted → mined →
confirmed | failed. One at a time is under way, as a wallet has one number to sign next. Its name is
in the journal before a byte leaves; one whose outcome is unknown is asked about and never sent
again blindly (law J). Money moves with the fact alone (`TokensRedeemed`, `PairsConverted`), whoever
asked for it: the account itself, a person at the venue, the venue. What a merge or a split takes is
set aside from the moment it is asked for until its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from engine.domain.effects import (
    AnyWalletEffect,
    ApproveTrading,
    MergePairs,
    QueryOperation,
    QueryRedemptions,
    RedeemTokens,
    Severity,
    SplitCash,
)
from engine.domain.events import (
    LossAccepted,
    OperationMoved,
    OperationNamed,
    OperationNotFound,
    OperationState,
    OperationUnanswered,
    PairsConverted,
    RedemptionsListed,
    TokensRedeemed,
)
from engine.domain.instruments import UNASSIGNED, BotId, InstrumentId
from engine.domain.money import money_text
from engine.domain.orders import OperationName
from engine.executor.halts import ExecutorParts
from engine.executor.proof import AccountQuestion, Questions
from engine.executor.settings import MS, NEVER

BOOKED_MAX = 20_000
"""Payments remembered so that none is booked twice; far more than a listing reaches back."""

WAITING_MAX = 1_000
"""Payments that came before anybody said what their market pays."""

LISTED_WITHIN_NS = 60_000 * MS
"""How much older than its arrival a listing of payments can be."""

_RANK = {None: 0, OperationState.SUBMITTED: 1, OperationState.MINED: 2, OperationState.CONFIRMED: 3}
_TITLES = {
    RedeemTokens: "redemption",
    MergePairs: "merge",
    SplitCash: "split",
    ApproveTrading: "approval",
}
Conversion = MergePairs | SplitCash


class WalletOperation(msgspec.Struct, kw_only=True):
    """An operation that was asked for and has no end yet."""

    effect: AnyWalletEffect
    asked_ns: int
    moved_ns: int
    """When it was asked for, or got further."""
    state: OperationState | None = None
    """None = nothing was heard of it."""
    name: OperationName | None = None
    transaction: str = ""
    on_chain: str = ""
    doubt_ns: int | None = None
    """Since when its outcome is unknown; None = its news are still due."""
    question: int = 0
    """Number of the last question about it; 0 = there was none."""
    questioned_ns: int = -1
    reason: str = ""
    """Why it is in doubt, for people."""
    alike: bool = False
    """A conversion of its size was booked before its transaction was named."""

    @property
    def instrument(self) -> InstrumentId | None:
        """Return what it is about; None = the whole wallet."""
        return None if isinstance(self.effect, ApproveTrading) else self.effect.instrument

    def moves(self, fact: PairsConverted) -> bool:
        """Say whether a conversion is of the very kind and size that was asked for."""
        asked = self.effect
        if not isinstance(asked, Conversion) or asked.instrument != fact.instrument:
            return False
        return fact.size == (asked.size if isinstance(asked, SplitCash) else -asked.size)

    @property
    def transactions(self) -> frozenset[str]:
        """Return the names of its transaction, at the venue and on the chain, as far as known."""
        return frozenset({self.transaction, self.on_chain} - {""})

    @property
    def title(self) -> str:
        """Return what it does, for people."""
        about = f" of {self.instrument}" if self.instrument else ""
        return f"{_TITLES[type(self.effect)]}{about}"


class WalletState(msgspec.Struct, kw_only=True):
    """What must survive a restart."""

    last: int = 0
    operations: dict[int, WalletOperation] = {}
    booked: dict[str, int] = {}
    """Payments by name, with their times."""
    waiting: dict[InstrumentId, list[TokensRedeemed]] = {}
    """Payments of instruments whose result is not reported yet."""
    listed_ns: int = -1
    """Payments up to here have been listed; -1 = never."""


class WalletOperations:
    """One account's wallet. The executor is the only one to call."""

    def __init__(self, parts: ExecutorParts, questions: Questions) -> None:
        self._table, self._blocks, self._outbox, settings = parts
        self._settings, self._questions = settings, questions
        self.automate(settings.redeem_above_micro, settings.merge_above_micro)
        self.state = WalletState()
        self.due_ns = NEVER
        """When `advance` may have something to do."""
        self.payments_listed = False
        """True where the venue has listed payments in this life."""
        self._paused: dict[tuple[type, InstrumentId | None], int] = {}
        """Until when something is not asked for after a failure."""
        self._surplus: dict[InstrumentId, int] = {}
        """Since when more was paid than fills explain; -1 = a person was alerted."""

    def automate(self, redeem_above_micro: int | None, merge_above_micro: int | None) -> None:
        """Redeem and merge by itself from these amounts on; None = not."""
        self._redeem_above, self.merge_above = redeem_above_micro, merge_above_micro

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which event."""
        return {
            OperationNamed: self._named,
            OperationUnanswered: self._unanswered,
            OperationNotFound: self._not_found,
            OperationMoved: self._moved,
            TokensRedeemed: self.redeemed,
            PairsConverted: self.converted,
        }

    @property
    def quiet(self) -> bool:
        """False while a payment may be under way: cash and tokens cannot be compared then."""
        return not (self.state.operations or self.state.waiting)

    def restore(self, asked: AnyWalletEffect, now_ns: int) -> None:
        """Take a journaled request of an earlier life, in the order of the journal."""
        if asked.operation > self.state.last:
            self._take(asked, now_ns)

    def restore_question(self, asked: QueryOperation, now_ns: int) -> None:
        """Take a journaled question of an earlier life, in the order of the journal."""
        self._questions.number = asked.number
        operation = self.state.operations.get(asked.operation)
        if operation is not None:
            operation.question, operation.questioned_ns = asked.number, now_ns

    def loss_accepted(self, event: LossAccepted, now_ns: int) -> None:
        """Go on behind lost records: no number is used again, payments are asked for since then."""
        # No file says how many were lost, nor whether a loss before this one was: time goes on.
        self.state.last = max(self.state.last + event.orders_until, now_ns // MS)
        self.state.listed_ns = min(self.state.listed_ns, event.since_ns)
        if event.recount:
            ledger = self._table.ledger.state
            ledger.recount, ledger.funded_ns, self.state.listed_ns = True, 0, event.since_ns

    # -- asking ------------------------------------------------------------------------------------

    def look(self) -> None:
        """See to it that the next plan looks at what waits; call it every second while it does."""
        self.due_ns = 0

    def start(self, now_ns: int) -> None:
        """Begin a life: what was asked for before is unknown, what was paid meanwhile is asked."""
        self.doubt(now_ns)
        self.payments_listed, ledger = False, self._table.ledger
        if self.state.operations or ledger.held or ledger.redeemable or ledger.state.recount:
            self.request_payments(now_ns)
            self.look()

    def doubt(self, now_ns: int) -> None:
        """Begin every grace period anew: what was asked for is unknown from now on."""
        for operation in self.state.operations.values():
            operation.doubt_ns = now_ns

    def request_payments(self, now_ns: int) -> None:
        """Ask what was paid."""
        self._questions.request(AccountQuestion.REDEMPTIONS, now_ns)

    def question(self, now_ns: int, number: int) -> QueryRedemptions:
        """Return the question about payments since the last listing, with an overlap.

        What happened before the account's first cash was booked is in that.
        """
        funded_ns = self._table.ledger.state.funded_ns
        since_ns = self.state.listed_ns if self.state.listed_ns >= 0 else funded_ns or now_ns
        since_ns = max(0, since_ns - self._settings.redemptions_overlap_ms * MS, funded_ns)
        return QueryRedemptions(account=self._table.account, since_ns=since_ns, number=number)

    def advance(self, now_ns: int) -> None:
        """Ask about what is under way; where nothing is, for what the settings have it do."""
        self.due_ns = NEVER
        for operation in list(self.state.operations.values()):
            self._watch(operation, now_ns)
        blocks, redeemable = self._blocks, self._table.ledger.redeemable
        if blocks.recovering or blocks.latched or blocks.state.halted:
            return
        least = self._redeem_above
        for instrument, holding in redeemable.items():
            if holding.redeemable_micro < 0:
                self._more_than_held(instrument, -holding.redeemable_micro, now_ns)
            if holding.redeemable_micro > 0 and (least is None or holding.redeemable_micro < least):
                self._wait_for_others(now_ns)
        if not self.busy(now_ns):
            asked = next(self._intents(now_ns), None)
            if asked is not None:
                self._ask(asked, now_ns)

    def _intents(self, now_ns: int) -> Iterator[AnyWalletEffect]:
        """Give what the settings have the account do by itself, redemptions first."""
        ledger, number = self._table.ledger, self._next_number(now_ns)
        account, least = self._table.account, self._redeem_above
        for instrument, holding in ledger.redeemable.items():
            worth = holding.redeemable_micro
            if least is None or worth <= 0 or worth < least:
                continue
            if self._may(RedeemTokens, instrument, now_ns):
                yield RedeemTokens(account=account, operation=number, instrument=instrument)
        for instrument in ledger.held if self.merge_above is not None else ():
            for owner in ledger.holders(instrument):
                size, amount = self.pairs(instrument, owner)
                if size <= 0 or amount < (self.merge_above or 0):
                    continue
                if self._may(MergePairs, instrument, now_ns):
                    yield MergePairs(
                        account=account,
                        operation=number,
                        instrument=instrument,
                        size=size,
                        amount_micro=amount,
                        owner=owner,
                    )

    def _next_number(self, now_ns: int) -> int:
        """Return a number that no operation had: the time in ms, above every number known.

        A home put back to an earlier copy may lack the last operations, and nothing tells it so.
        """
        return max(self.state.last + 1, now_ns // MS)

    def _may(self, kind: type, instrument: InstrumentId, now_ns: int) -> bool:
        """Say whether the account may do something by itself: not where a KILL holds it."""
        return (
            not self._concerned(instrument)
            and self._paused.get((kind, instrument), 0) <= now_ns
            and self._blocks.held_by(None, instrument) is None
        )

    def _concerned(self, instrument: InstrumentId) -> bool:
        return any(one.instrument == instrument for one in self.state.operations.values())

    def pairs(self, instrument: InstrumentId, owner: BotId) -> tuple[int, int]:
        """Return an owner's free pairs, in whole lots, and what merging them brings."""
        entry = self._table.instruments.get(instrument)
        holding = self._table.ledger.owned(instrument, owner)
        if entry is None or entry.instrument.product.second is None:
            return 0, 0
        terms = entry.instrument
        size = max(0, min(leg.settled - leg.reserved for leg in (holding.yes, holding.no)))
        size -= size % terms.lot
        return size, terms.product.pair_micro(size) or 0

    def busy(self, now_ns: int) -> str:
        """Return what the wallet waits for, in words; empty = it may do something else.

        What has been unknown for long holds nothing up: it is asked about on the side.
        """
        wait_ns = self._settings.wallet_wait_ms * MS
        for one in self.state.operations.values():
            if one.doubt_ns is None or now_ns - one.doubt_ns < wait_ns:
                return f"{one.title} is {one.state or 'asked for'} and not at its end"
        return ""

    def by_hand(self, asked: AnyWalletEffect, now_ns: int) -> None:
        """Do what a person asks for, if it can be; it is given the next number."""
        if not self.refusal(asked, now_ns):
            self._ask(msgspec.structs.replace(asked, operation=self._next_number(now_ns)), now_ns)

    def refusal(self, asked: AnyWalletEffect, now_ns: int) -> str:
        """Return why the wallet cannot do something now, in words; empty = it can."""
        if self._blocks.recovering:
            return "the account is still being reconciled with its venue: ask again in a moment"
        if busy := self.busy(now_ns):
            return f"the wallet does one thing at a time, and {busy}"
        ledger = self._table.ledger
        if isinstance(asked, ApproveTrading):
            return ""
        if asked.instrument not in self._table.instruments:
            return f"nothing of {asked.instrument} is known at this account"
        if self._concerned(asked.instrument):
            return f"an operation on {asked.instrument} has no end yet: it is being asked about"
        if isinstance(asked, RedeemTokens):
            held = ledger.redeemable.get(asked.instrument)
            worth = 0 if held is None else held.redeemable_micro
            return "" if worth > 0 else f"nothing of {asked.instrument} is redeemable"
        if isinstance(asked, MergePairs):
            size, _ = self.pairs(asked.instrument, asked.owner)
            if not 0 < asked.size <= size:
                terms = ledger.state.instruments[asked.instrument]
                return (
                    f"{terms.size_text(size)} pairs of {asked.instrument} are {asked.owner}'s and "
                    f"free, {terms.size_text(asked.size)} were to merge"
                )
            return ""
        if ledger.holding(asked.instrument).payout_yes_micro is not None:
            return f"{asked.instrument} is resolved: there is nothing to split"
        free = ledger.cash_free_micro
        if not 0 < asked.amount_micro <= free:
            return f"{money_text(free)} are free, the split takes {money_text(asked.amount_micro)}"
        return ""

    def _more_than_held(self, instrument: InstrumentId, micro: int, now_ns: int) -> None:
        """Tell of money for tokens no fill has brought, once their fills can be late no more."""
        since_ns = self._surplus.setdefault(instrument, now_ns)
        if since_ns >= 0 and now_ns - since_ns >= self._settings.redemptions_overlap_ms * MS:
            self._surplus[instrument] = -1
            self._outbox.alert(
                Severity.WARNING,
                "redeemed_more",
                f"the venue paid {money_text(micro)} for tokens of {instrument} that no fill "
                "brought here: they came into the wallet by hand",
                instrument=instrument,
                numbers={"paid": money_text(micro)},
            )

    def _ask(self, asked: AnyWalletEffect, now_ns: int) -> None:
        """Ask: the effect is the record of it, and stands in the journal before it leaves."""
        self._paused.pop((type(asked), getattr(asked, "instrument", None)), None)
        self._take(asked, now_ns)
        self._outbox.effects.append(asked)
        self.look()

    def _take(self, asked: AnyWalletEffect, now_ns: int) -> None:
        number = self.state.last = asked.operation
        self.state.operations[number] = WalletOperation(
            effect=asked, asked_ns=now_ns, moved_ns=now_ns
        )
        if isinstance(asked, MergePairs):
            self._table.ledger.set_aside(
                number, asked.instrument, pairs=asked.size, owner=asked.owner
            )
        elif isinstance(asked, SplitCash):
            self._table.ledger.set_aside(
                number, asked.instrument, cash_micro=asked.amount_micro, owner=asked.owner
            )

    def _wait_for_others(self, now_ns: int) -> None:
        """Ask now and then whether somebody else has redeemed: the venue, or a person there."""
        fresh_ns = LISTED_WITHIN_NS + self._settings.redemptions_interval_ms * MS
        if self.state.listed_ns < 0 or self.state.listed_ns + fresh_ns <= now_ns:
            self.request_payments(now_ns)

    def _watch(self, operation: WalletOperation, now_ns: int) -> None:
        """Ask about an operation in growing pauses; take it for unknown after a long silence."""
        settings, silent_ns = self._settings, now_ns - operation.moved_ns
        if operation.state is OperationState.CONFIRMED:
            self._unpaid(operation, now_ns)
            return
        if operation.doubt_ns is None and silent_ns >= settings.wallet_patience_ms * MS:
            self._doubted(operation, now_ns, "nothing was heard of it")
        pause_ns = max(settings.wallet_ask_ms * MS, min(silent_ns // 4, LISTED_WITHIN_NS))
        if now_ns - max(operation.questioned_ns, operation.moved_ns) >= pause_ns:
            operation.question = self._questions.next_number()
            operation.questioned_ns = now_ns
            self._outbox.effects.append(
                QueryOperation(
                    account=self._table.account,
                    asked=operation.effect,
                    asked_ns=operation.asked_ns,
                    name=operation.name,
                    transaction=operation.transaction,
                    number=operation.question,
                )
            )

    def _unpaid(self, operation: WalletOperation, now_ns: int) -> None:
        """Look for what a confirmed operation moved; at last take it that it moved nothing."""
        lag_ns = self._settings.redemptions_overlap_ms * MS
        if now_ns - operation.moved_ns < lag_ns:
            if now_ns - operation.questioned_ns >= self._settings.redemptions_interval_ms * MS:
                operation.questioned_ns = now_ns
                self.request_payments(now_ns)
            return
        self._end(operation, now_ns)
        self._outbox.alert(
            Severity.WARNING,
            "operation_empty",
            f"{operation.title} is confirmed and the venue lists nothing that it moved",
            instrument=operation.instrument,
        )

    def _doubted(self, operation: WalletOperation, now_ns: int, reason: str) -> None:
        operation.doubt_ns, operation.reason = now_ns, reason
        if operation.state is None and operation.name is not None:
            self._outbox.alert(
                Severity.WARNING,
                "operation_unknown",
                f"{operation.title} is UNKNOWN: {reason}; it is asked about and not sent again",
                instrument=operation.instrument,
            )

    # -- what is reported --------------------------------------------------------------------------

    def _named(self, event: OperationNamed, now_ns: int) -> None:
        operation = self.state.operations.get(event.operation)
        if operation is not None:
            operation.name, operation.moved_ns = event.name, now_ns

    def _unanswered(self, event: OperationUnanswered, now_ns: int) -> None:
        operation = self.state.operations.get(event.operation)
        if operation is not None and operation.state is None and operation.doubt_ns is None:
            self._doubted(operation, now_ns, event.reason)
            self.look()

    def _not_found(self, event: OperationNotFound, now_ns: int) -> None:
        """Believe it where it was asked long enough after the operation could have arrived."""
        operation = self.state.operations.get(event.operation)
        if operation is None or event.answers != operation.question or not operation.question:
            return
        could_ns = max(operation.moved_ns, operation.doubt_ns or 0)
        late = operation.questioned_ns - could_ns >= self._settings.wallet_grace_ms * MS
        if operation.state is None and late:
            self._end(operation, now_ns)

    def _moved(self, event: OperationMoved, now_ns: int) -> None:
        operation = self.state.operations.get(event.operation)
        if operation is None:
            return  # it came to its end, or was given up after the venue did not know it
        operation.transaction = event.transaction or operation.transaction
        operation.on_chain = event.on_chain or operation.on_chain
        if event.state is OperationState.FAILED:
            self._failed(operation, event.reason, now_ns)
            return
        done = event.state is OperationState.CONFIRMED and not operation.transactions
        if self._booked(operation) or (
            done and operation.alike
        ):  # the fact came before the name of its transaction
            self._end(operation, now_ns)
            return
        if _RANK[event.state] <= _RANK[operation.state]:
            return
        operation.state, operation.moved_ns, operation.doubt_ns = event.state, now_ns, None
        if event.state is not OperationState.CONFIRMED:
            return
        if isinstance(operation.effect, ApproveTrading):
            self._end(operation, now_ns)
        else:
            self.request_payments(now_ns)  # the fact itself may have been lost on its way
            self.look()

    def _booked(self, operation: WalletOperation) -> bool:
        """Say whether what a conversion moved is booked; a redemption ends with any payment."""
        names = (f"{one} {operation.instrument}" for one in operation.transactions)
        return isinstance(operation.effect, Conversion) and any(
            name in self.state.booked for name in names
        )

    def _failed(self, operation: WalletOperation, reason: str, now_ns: int) -> None:
        self._end(operation, now_ns)
        pause_ns = self._settings.redeem_pause_ms * MS
        self._paused[type(operation.effect), operation.instrument] = now_ns + pause_ns
        self._outbox.alert(
            Severity.WARNING,
            "redeem_failed",
            f"{operation.title} had no effect: {reason}",
            instrument=operation.instrument,
        )

    def _end(self, operation: WalletOperation, now_ns: int) -> None:
        """Let go of an operation and of what was set aside for it."""
        self.look()
        number = operation.effect.operation
        if self.state.operations.pop(number, None) is not None and isinstance(
            operation.effect, Conversion
        ):
            self._table.ledger.give_back(number)
            if operation.effect.instrument in self._table.instruments:
                self._table.moved(operation.effect.instrument, now_ns)

    def _known(self, instrument: InstrumentId) -> bool:
        awaited = (one.order.instrument for one in self._table.awaiting_listing.values())
        return instrument in self._table.instruments or instrument in awaited

    def _book(self, name: str, at_ns: int) -> None:
        self.state.booked[name] = at_ns
        if len(self.state.booked) > BOOKED_MAX:
            del self.state.booked[next(iter(self.state.booked))]

    def redeemed(self, event: TokensRedeemed, now_ns: int) -> None:
        """Book a payment once. One that comes before its market's result waits for that."""
        table, state = self._table, self.state
        if not self._known(event.instrument):
            return  # nothing of it is ours, or all of it was paid and forgotten
        name = f"{event.transaction} {event.instrument}"
        if name in state.booked:
            return
        if table.ledger.holding(event.instrument).payout_yes_micro is None:
            waiting = state.waiting.setdefault(event.instrument, [])
            if event not in waiting and sum(map(len, state.waiting.values())) < WAITING_MAX:
                waiting.append(event)
            return
        self._book(name, event.at_ns)
        table.ledger.redeem(event)
        self._surplus.pop(event.instrument, None)
        for operation in list(state.operations.values()):
            if isinstance(operation.effect, RedeemTokens) and (
                operation.instrument == event.instrument
            ):
                self._end(operation, now_ns)
        table.moved(event.instrument, now_ns)
        self.look()

    def converted(self, event: PairsConverted, now_ns: int) -> None:
        """Book a split or a merge once."""
        table, state = self._table, self.state
        name = f"{event.transaction} {event.instrument}"
        if event.instrument not in table.instruments or name in state.booked:
            return
        self._book(name, event.at_ns)
        owner: BotId | None = None
        for operation in list(state.operations.values()):
            asked = operation.effect
            if event.transaction in operation.transactions:
                owner = _owner_of(asked)
                self._end(operation, now_ns)
            elif operation.moves(event) and not operation.transactions:
                # It may be another's of the same size: ours may still take as much.
                operation.alike = True
                owner = owner or _owner_of(asked)
                if operation.state is OperationState.CONFIRMED:
                    self._end(operation, now_ns)
        table.ledger.convert(event, owner)
        table.moved(event.instrument, now_ns)
        self.look()

    def resolved(self, instrument: InstrumentId, now_ns: int) -> None:
        """Book what was paid before the result was received, and look at what is redeemable."""
        for event in self.state.waiting.pop(instrument, ()):
            self.redeemed(event, now_ns)
        self.look()

    def listed(self, event: RedemptionsListed, now_ns: int) -> None:
        """Book what was missed."""
        for redemption in event.redemptions:
            self.redeemed(redemption, now_ns)
        for conversion in event.conversions:
            self.converted(conversion, now_ns)
        if self._questions.answered(AccountQuestion.REDEMPTIONS, event.answers) is not None:
            self.payments_listed = True
        self.state.listed_ns = max(self.state.listed_ns, now_ns - LISTED_WITHIN_NS, 0)
        self.look()


def _owner_of(asked: AnyWalletEffect) -> BotId | None:
    """Return whose pairs an operation moves; None = it is of none, or of before owners."""
    owner = asked.owner if isinstance(asked, Conversion) else UNASSIGNED
    return None if owner == UNASSIGNED else owner
