"""The executor: the single writer of one account's orders, inventory and reservations (law A).

Takes events, intents and time; gives effects. Sans I/O, no clock, nothing random: the same messages
give the same effects. Call `receive` with every message and journal and do what it returns; then
call `plan` once per turn and do the same. After a restart: `restore` the snapshot, give it what the
journal holds since (`adopt` for each PlaceOrder, `receive` for each event, effects ignored), then
`recover`. An executor that was never recovered does so by itself at its first `plan`: nothing is
placed before the venue has said what is open and what was filled (law N).
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.domain.commands import PlaceManual
from engine.domain.effects import (
    AnyWalletEffect,
    CancelOrders,
    Effect,
    KeepDifferences,
    OrderChanged,
    QueryOperation,
    SetTimer,
    WalletEffect,
)
from engine.domain.events import (
    CashMoved,
    Event,
    HoldingTransferred,
    InstrumentListed,
    LossAccepted,
    ScopeLatched,
    ScopeReleased,
    TimerFired,
    VenueEvent,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.intents import Basket, Intent, Quotes, Target
from engine.domain.order_life import JOURNALED_STATES, Happened
from engine.domain.orders import Identity, Order, OrderId, OrderState
from engine.domain.settings import RiskLimits
from engine.errors import BrokenInvariant
from engine.executor.cash import CashMoves
from engine.executor.halts import Blocks, ExecutorParts, Hold, Markets, TradingHalts
from engine.executor.ledger import Ledger
from engine.executor.manual import ByHand, ManualRefused
from engine.executor.orders import LiveOrder, OrderTable
from engine.executor.outbox import EffectOutbox
from engine.executor.planning import Mailbox, Planning
from engine.executor.proof import AccountQuestion, Scope, ZeroProof, within
from engine.executor.readings import ExecutorReadings
from engine.executor.settings import NEVER, ExecutorSettings
from engine.executor.snapshot import decode, encode
from engine.executor.venue_reports import EventHandler, VenueReports
from engine.risk.gate import RiskGate

__all__ = ["Executor", "ExecutorSettings"]

_UNKNOWN = OrderState.UNKNOWN
_ANEW = "everything is asked anew: whether it still stands is not proven"
_BOUND = frozenset(
    {
        *VenueEvent.__args__,
        CashMoved,
        HoldingTransferred,
        LossAccepted,
        ScopeLatched,
        ScopeReleased,
    }
)
"""Events that belong to one account; those of another are not ours to receive."""


class Executor(ExecutorReadings):
    """One account's executor."""

    def __init__(
        self,
        *,
        account: AccountId,
        mode: Mode,
        currency: str,
        ledger: Ledger,
        gate: RiskGate,
        settings: ExecutorSettings,
    ) -> None:
        if ledger.state.currency != currency:
            raise BrokenInvariant(f"{account}: a ledger in {ledger.state.currency}, not {currency}")
        self.account = account
        self.mode = mode
        self.currency = currency
        self.ledger = ledger
        self._gate = gate
        self._breakers = gate.breakers
        self._settings = settings
        self._outbox = EffectOutbox(account)
        exposure = gate.exposure
        self._table = OrderTable(account, ledger, exposure, settings)
        self._blocks = Blocks(self._breakers, recovering=not settings.starts_reconciled)
        self._started = settings.starts_reconciled
        self._restored_seq = 0
        self._timer = f"executor:{account}"
        self._timer_ns = NEVER
        self._bound: dict[type, EventHandler] = {}
        self._free: dict[type, EventHandler] = {}
        self._wire()

    def _wire(self) -> None:
        """Put the parts together in the order of the flow, and say who takes what."""
        parts = ExecutorParts(self._table, self._blocks, self._outbox, self._settings)
        reports = VenueReports(parts)
        self._reconciler = reports.reconciler
        self.named = reports.named
        self._mailbox = Mailbox(self._table, self._outbox)
        self.wallet = self._reconciler.wallet
        self._markets = Markets(
            self._table, self._blocks,
            contradiction=reports.contradiction, resolved=self.wallet.resolved,
        )  # fmt: skip
        self.cash = CashMoves(
            parts, self._breakers, self._markets, lambda: self._gate.mark_age_ns_max
        )
        self._halts = TradingHalts(
            parts, self._breakers,
            questions=self._reconciler.questions, proofs=self._reconciler.proofs,
            markets=self._markets, doubt=self._reconciler.doubt,
            wallet_goes_on=self.wallet.loss_accepted, cash_marked=self.cash.marked,
        )  # fmt: skip
        proofs = self._reconciler.proofs
        self._planning = Planning(parts, self._gate, proofs)
        self._by_hand = ByHand(parts, self._gate, proofs)
        own: dict[type, EventHandler] = {
            Quotes: self._mailbox.intent,
            Target: self._mailbox.intent,
            Basket: self._mailbox.basket,
            TimerFired: self._timer_fired,
            InstrumentListed: self._listed,
        }
        rooms = (reports, self._reconciler, self._markets, self._halts, self.cash)
        for handlers in (own, *(room.handlers() for room in rooms)):
            for kind, take in handlers.items():
                (self._bound if kind in _BOUND else self._free)[kind] = take

    # -- the turn ----------------------------------------------------------------------------------

    def receive(self, message: Event | Intent, now_ns: int) -> list[Effect]:
        """Take one message. `plan` must follow once per turn.

        Events of other accounts, and kinds that do not concern an executor, are ignored.
        """
        kind = type(message)
        take = self._bound.get(kind)
        if take is None:
            take = self._free.get(kind)
            if take is None:
                return []
        elif message.account != self.account:  # type: ignore[union-attr]
            return []
        take(message, now_ns)
        return self._outbox.take() if self._outbox.effects else []

    def plan(self, now_ns: int) -> list[Effect]:
        """Plan what is dirty, ask what is due, and return what must be journaled and done."""
        if not self._started:
            self._recover(now_ns)
        table, halts, questions = self._table, self._halts, self._reconciler.questions
        if table.wake_ns <= now_ns:
            self._mailbox.wake(now_ns)
        if halts.equity_due or halts.judged != table.moves:
            halts.judge(now_ns, self._gate.mark_age_ns_max)
        if table.dirty:
            self._planning.run(now_ns)
        if self.wallet.due_ns <= now_ns:
            self.wallet.advance(now_ns)
        if table.unknown:
            self._reconciler.watch(now_ns)
        if questions.due_ns <= now_ns:
            self._reconciler.advance(now_ns)
        if table.unjournaled:
            self._outbox.effects += table.take_changes()
        due_ns = questions.due_ns
        if table.wake_ns < due_ns:
            due_ns = table.wake_ns
        if due_ns < self._timer_ns or self._timer_ns <= now_ns:
            self._timer_ns = due_ns
            if due_ns != NEVER:
                self._outbox.effects.append(SetTimer(at_ns=due_ns, name=self._timer))
        return self._outbox.take() if self._outbox.effects else []

    def _timer_fired(self, event: TimerFired, now_ns: int) -> None:
        if event.name == self._timer:
            self._timer_ns = NEVER
        elif event.name == "second":
            self._reconciler.overdue(now_ns)
            wallet = self.wallet
            if wallet.state.operations or self.ledger.redeemable or wallet.merge_above:
                self.wallet.look()
            self._markets.stale(now_ns, self._gate.age_ns_max)
            self._halts.age_mode(now_ns)
            self._halts.equity_due = True

    # -- starting ----------------------------------------------------------------------------------

    def adopt(self, order: Order, now_ns: int, identity: Identity | None = None) -> None:
        """Take a journaled PlaceOrder of an earlier life, before the events that followed it."""
        table = self._table
        if order.account != self.account or order.id in table.orders:
            return
        if order.instrument in table.instruments:
            table.adopt(order, now_ns, identity)
        elif not table.forgotten(order.id):
            table.awaiting_listing[order.id] = (
                order  # it waits for its instrument, and the start for it
            )
            table.numbers.make(order.id)

    def recover(self, orders: Iterable[Order], now_ns: int) -> list[Effect]:
        """Begin a life: what has no end is UNKNOWN, everything is asked, nothing is placed.

        `orders` are the journaled ones, ended or not, that neither snapshot nor `adopt` brought.
        """
        for order in sorted(orders, key=lambda order: order.id):
            self.adopt(order, now_ns)
        self._recover(now_ns)
        return self._outbox.take()

    def _recover(self, now_ns: int) -> None:
        self._started = True
        self._outbox.start(self._settings.fence, self._restored_seq)
        self._blocks.recovering = True
        for known in self._table.live():
            self._table.happen(known, Happened.NO_ANSWER, now_ns, _ANEW)
            if known.state is not _UNKNOWN:
                self._table.happen(known, Happened.NOT_LISTED, now_ns, _ANEW)
            known.ask_ns = now_ns
        self._reconciler.waiting = bool(self._table.awaiting_listing)
        self._reconciler.begin(now_ns)

    def _listed(self, event: InstrumentListed, now_ns: int) -> None:
        """Learn an instrument; orders that waited for it are taken in as UNKNOWN."""
        self._table.listed(event.instrument)
        awaiting_listing = self._table.awaiting_listing
        found = [o for o in awaiting_listing.values() if o.instrument == event.instrument.id]
        for order in sorted(found, key=lambda order: order.id):
            known = self._table.adopt(order, now_ns)
            if known is not None and self._started:
                self._table.happen(known, Happened.NO_ANSWER, now_ns, _ANEW)
                known.ask_ns = now_ns
        if found and not awaiting_listing and self._started:
            self._reconciler.waiting = False
            self._reconciler.begin(now_ns)

    def snapshot(self) -> bytes:
        """Return everything that must survive: ledger, orders, stops, pauses. Intents do not."""
        return encode(self._table, self._blocks, self._breakers, self._markets, self._reconciler)

    def restore(self, state: bytes, seq: int = 0, *, died: bool = True) -> None:
        """Take back what `snapshot` gave behind a record, first of all. Raises BadInput.

        `died` False = the life of the snapshot went on: no order is in doubt for it.
        """
        decode(
            state, self._table, self._blocks, self._breakers,
            markets=self._markets, reconciler=self._reconciler, died=died,
        )  # fmt: skip
        self._restored_seq = seq

    def restore_change(self, change: OrderChanged) -> None:
        """Take a journaled `OrderChanged` of an earlier life, in the order of the journal."""
        self._table.restore_change(change)

    def restore_cancels(self, asked: CancelOrders) -> None:
        """Take a journaled `CancelOrders` of an earlier life: what it told the journal's reader."""
        for known in filter(None, map(self._table.orders.get, asked.orders)):
            state = JOURNALED_STATES.get((known.journaled, Happened.CANCEL_ASKED))
            known.journaled = state or known.journaled

    def restore_wallet(self, asked: WalletEffect | QueryOperation, now_ns: int) -> None:
        """Take what was journaled of the wallet in an earlier life, in the journal's order."""
        if asked.account != self.account:
            return
        if isinstance(asked, QueryOperation):
            self.wallet.restore_question(asked, now_ns)
        else:
            self.wallet.restore(asked, now_ns)  # type: ignore[arg-type]

    def restore_budget(self, breakers: bytes) -> None:
        """Take back a journaled `KeepBudget` of an earlier life, in the order of the journal."""
        self._breakers.restore(breakers)

    def restore_differences(self, kept: KeepDifferences) -> None:
        """Take back a journaled `KeepDifferences` of an earlier life, in the journal's order."""
        self._blocks.state.differences = list(kept.standing)
        self._blocks.state.accepted = list(kept.accepted)

    # -- commands ----------------------------------------------------------------------------------

    def withdraw(self, bot: BotId, instrument: InstrumentId | None, now_ns: int) -> list[Effect]:
        """Forget a bot's intents; `plan` then cancels what rests. All of them: prove zero, too."""
        table = self._table
        chosen = list(table.instruments) if instrument is None else [instrument]
        for key in chosen:
            entry = table.instruments.get(key)
            slot = None if entry is None else entry.slots.get(bot)
            if slot is not None:
                if slot.basket is not None:
                    table.break_up(slot.basket)
                slot.intent = slot.basket = None
                table.dirty[key] = True
        table.refused = {pair: None for pair in table.refused if pair[1] not in chosen}
        if instrument is None:
            self._reconciler.proofs.begin(bot, now_ns)
            self._reconciler.questions.request(AccountQuestion.LISTING, now_ns)
        return []

    def cancel(self, order: OrderId, now_ns: int) -> list[Effect]:
        """Cancel one order by hand; an intent that stands may place it anew."""
        known = self._table.orders.get(order)
        if known is None or known.state.ended:
            return []
        self._table.ask_cancel(known, now_ns)
        return [CancelOrders(account=self.account, orders=(order,))]

    def place(
        self, asked: PlaceManual, now_ns: int
    ) -> tuple[list[Effect], tuple[LiveOrder, int] | ManualRefused]:
        """Place one order by hand; say which and what risk cut off, or why nothing was placed."""
        made = self._by_hand.place(asked, now_ns, self._gate.age_ns_max)
        return self._outbox.take(), made

    def operate(self, asked: AnyWalletEffect, now_ns: int) -> list[Effect]:
        """Do an operation of the wallet by hand; nothing where `wallet.refusal` says why not."""
        self.wallet.by_hand(asked, now_ns)
        return self._outbox.take()

    def stop_all(self, reason: str, now_ns: int) -> list[Effect]:
        """Forget all intents, cancel everything, place nothing until `resume`, prove zero."""
        self._blocks.state.halted = reason
        for key, entry in self._table.instruments.items():
            for slot in entry.slots.values():
                slot.intent = slot.basket = None
            self._table.dirty[key] = True
        self._halts.cancel_all(now_ns)
        return self._outbox.take()

    def apply(self, limits: RiskLimits) -> None:
        """Take new limits; what rests and is over them goes with the next plan."""
        self._gate.apply(limits)
        self._look_at_orders()

    def expire_quotes(self, life_ms: int | None) -> None:
        """Let resting orders end by themselves after so long; None = good till cancelled."""
        self._planning.expire(life_ms)
        self._look_at_orders()

    def _look_at_orders(self) -> None:
        """Have the next plan look at every instrument in which an order works."""
        for key, entry in self._table.instruments.items():
            if entry.working:
                self._table.dirty[key] = True

    def resume(self) -> None:
        """Allow placing again after `stop_all`; the latch and risk's stops stay as they are."""
        self._blocks.state.halted = ""

    def prefer(self, bot: BotId, priority: int) -> None:
        """Say who goes first where two owners' levels would meet: the higher priority."""
        self._table.priorities[bot] = priority

    # -- scoped KILLs ------------------------------------------------------------------------------

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Scoped KILLs that nobody has released yet."""
        return tuple(self._blocks.state.holds)

    def live_in(self, scope: Scope) -> list[LiveOrder]:
        """Return the orders of a bot or an instrument that may still fill (read only)."""
        return [known for known in self._table.live() if within(scope, known.order)]

    def may_rest(self, scope: Scope) -> int:
        """Return how many orders in scope may rest, those that await their listing among them."""
        awaited = sum(within(scope, order) for order in self._table.awaiting_listing.values())
        return len(self.live_in(scope)) + awaited

    def prove(self, scope: Scope, now_ns: int) -> None:
        """Begin to prove that nothing in scope is open; `proven` says when it is."""
        self._reconciler.proofs.begin(scope, now_ns)
        self._reconciler.questions.request(AccountQuestion.LISTING, now_ns)

    def proven(self, scope: Scope) -> ZeroProof | None:
        """Return the proof that nothing in scope is open; None = not yet."""
        return self._reconciler.proofs.proven(scope)

    def forget(self, instrument: InstrumentId) -> bool:
        """Drop an instrument that is over; False while an order or a holding still needs it."""
        forgotten = self._table.forget(instrument)
        if forgotten:
            self._markets.forget(instrument)
        return forgotten
