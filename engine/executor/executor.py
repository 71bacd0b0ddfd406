"""The executor: the single writer of one account's orders, inventory and reservations (law A).

Takes events, intents and time; gives effects. Sans I/O, no clock, nothing random: the same messages
give the same effects. Call `receive` with every message and journal and do what it returns; then
call `plan` once per turn and do the same. After a restart: `restore` the snapshot, give it what the
journal holds since (`adopt` for each PlaceOrder, `receive` for each event, effects ignored), then
`recover`. An executor that was never recovered does so by itself at its first `plan`: nothing is
placed before the venue has said what is open and what was filled (law N).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.domain.commands import PlaceManual
from engine.domain.effects import (
    AnyWalletEffect,
    CancelOrders,
    Effect,
    KeepDifferences,
    OrderChanged,
    QueryOperation,
    RedeemTokens,
    SetTimer,
    WalletEffect,
)
from engine.domain.events import (
    BookMarked,
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
from engine.executor.manual import ByHand, ManualMade
from engine.executor.orders import (
    InstrumentIntent,
    LiveOrder,
    OrderTable,
    OwnerSlot,
)
from engine.executor.outbox import EffectOutbox
from engine.executor.plan import AwaitedOrder, Residual
from engine.executor.planning import Mailbox, Planning
from engine.executor.proof import AccountQuestion, Scope, ZeroProof, within
from engine.executor.settings import NEVER, ExecutorSettings
from engine.executor.snapshot import decode, encode
from engine.executor.stillness import Stillness
from engine.executor.venue_reports import EventHandler, VenueReports
from engine.executor.wallet import WalletOperation
from engine.risk.gate import Denied, RiskGate
from engine.risk.reasons import DenyReason

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


class Executor:
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
        self._table = OrderTable(account, ledger, gate.exposure, settings)
        gate.exposure.rates.read(currency, self.mark)
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
        self.named, self.take_changes = reports.named, self._table.take_changes
        self._mailbox = Mailbox(self._table, self._outbox)
        self.wallet = self._reconciler.wallet
        self._markets = Markets(
            self._table, self._blocks,
            contradiction=reports.contradiction, resolved=self.wallet.resolved,
        )  # fmt: skip
        self.cash = CashMoves(
            parts,
            self._breakers,
            self._markets,
            lambda: self._gate.mark_age_ns_max,
            self._reconciler.payments_listed,
        )
        self._halts = TradingHalts(
            parts, self._breakers,
            questions=self._reconciler.questions, proofs=self._reconciler.proofs,
            markets=self._markets, doubt=self._reconciler.doubt,
            wallet_goes_on=self.wallet.loss_accepted, cash_marked=self.cash.marked,
        )  # fmt: skip
        self.planning = Planning(parts, self._gate, self._reconciler.proofs)
        self._by_hand = ByHand(parts, self._gate, self._reconciler.proofs)
        self.stillness = Stillness(
            parts,
            self._gate,
            reports,
            self._markets,
            self._halts,
            timer_ns=lambda: self._timer_ns,
            left=self.planning.residuals,
        )
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
            self.planning.run(now_ns)
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
            # It waits for its instrument, and the start for it.
            table.awaiting_listing[order.id] = AwaitedOrder(order, identity)
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
        listed = event.instrument.id
        found = [one for one in awaiting_listing.values() if one.order.instrument == listed]
        for order, identity in sorted(found, key=lambda one: one.order.id):
            known = self._table.adopt(order, now_ns, identity)
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
        """Take a journaled `CancelOrders` of an earlier life: what it gave the journal's reader."""
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

    def place(self, asked: PlaceManual, now_ns: int) -> tuple[list[Effect], ManualMade]:
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
        self.planning.expire(life_ms)
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
        """Scoped KILLs that are not released yet."""
        return tuple(self._blocks.state.holds)

    def live_in(self, scope: Scope) -> list[LiveOrder]:
        """Return the orders of a bot or an instrument that may still fill (read only)."""
        return [known for known in self._table.live() if within(scope, known.order)]

    def may_rest(self, scope: Scope) -> int:
        """Return how many orders in scope may rest, those that await their listing among them."""
        awaiting = self._table.awaiting_listing.values()
        awaited = sum(within(scope, one.order) for one in awaiting)
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

    # -- what everyone may ask; nothing below changes anything -------------------------------------

    def owners(self, instrument: InstrumentId) -> tuple[BotId, ...]:
        """Return who wants something, works orders or holds something in an instrument."""
        entry = self._table.instruments.get(instrument)
        wanting = () if entry is None else entry.slots
        held = [name for name, of in self.ledger.holders(instrument).items() if not of.flat]
        return tuple(dict.fromkeys((*wanting, *held)))

    @property
    def fence(self) -> int:
        """Token of the engine's lease: which start this is."""
        return self._settings.fence

    @property
    def healthy(self) -> bool:
        """True where nothing of the whole account forbids placing."""
        return self._blocks.account_block() is None

    def at_rest(self, now_ns: int) -> bool:
        """Say whether a plan at this time would find nothing to do."""
        return self._started and self.stillness.rests(now_ns)

    @property
    def recovering(self) -> bool:
        """True until the venue's open orders and fills have been believed."""
        return self._blocks.recovering

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason of the account not to place, in words."""
        return self._blocks.reasons

    @property
    def to_release(self) -> tuple[str, ...]:
        """What stands until a person releases the account, in words; a KILL is released first."""
        return self._blocks.to_release

    @property
    def unhealthy(self) -> Mapping[str, str]:
        """What `HealthChanged` said is not well: source → why."""
        return self._blocks.unhealthy

    @property
    def latched(self) -> bool:
        """True while the KILL latch is set."""
        return self._gate.breakers.latched

    @property
    def stopped(self) -> DenyReason | None:
        """The most serious stop of risk in force; None = none."""
        return self._gate.breakers.stopped

    @property
    def anchors_micro(self) -> tuple[int, int]:
        """Equity at the day's start, and the peak."""
        breakers = self._gate.breakers
        return breakers.day_start_equity_micro, breakers.peak_equity_micro

    @property
    def open_and_unknown(self) -> tuple[int, int]:
        """How many orders may still fill, and how many of them are UNKNOWN."""
        return self._table.live_count, len(self._table.unknown)

    def order(self, order: OrderId) -> Order | None:
        """Return an order, live or ended; None where it is unknown or was forgotten."""
        known = self._table.orders.get(order)
        return None if known is None else known.order

    def knows(self, instrument: InstrumentId) -> bool:
        """Say whether anything of an instrument may be here: its terms, an order, a holding.

        True also of one that was forgotten or whose listing an order of an earlier life awaits.
        """
        table = self._table
        awaited = any(one.order.instrument == instrument for one in table.awaiting_listing.values())
        return instrument in table.instruments or instrument in table.over or awaited

    def record(self, order: OrderId) -> LiveOrder | None:
        """Return an order with its state (read only)."""
        return self._table.orders.get(order)

    @property
    def venue_cash(self) -> tuple[int, int] | None:
        """What the venue last said the account has in cash, and when; None = nothing yet."""
        return self._reconciler.audit.venue_cash

    @property
    def redeeming(self) -> Mapping[InstrumentId, WalletOperation]:
        """Redemptions that were asked for and have no end yet (read only)."""
        found = self.wallet.state.operations.values()
        return {one.effect.instrument: one for one in found if isinstance(one.effect, RedeemTokens)}

    def names(self) -> list[tuple[OrderId, Identity]]:
        """Return every order that has a name at the venue, live or ended, as far as remembered."""
        known = self._table.orders.values()
        return [(one.order.id, one.identity) for one in known if one.identity is not None]

    def working(
        self, instrument: InstrumentId, owner: BotId | None = None
    ) -> tuple[LiveOrder, ...]:
        """Return an instrument's orders that may still fill, oldest first (read only).

        Of one owner where it is named.
        """
        entry = self._table.instruments.get(instrument)
        if entry is None:
            return ()
        return tuple((entry.working if owner is None else entry.working_of(owner)).values())

    def working_sizes(self, instrument: InstrumentId, owner: BotId) -> tuple[int, int]:
        """Return what an owner's working orders may still buy and sell, in YES-space."""
        bids = asks = 0
        entry = self._table.instruments.get(instrument)
        for known in entry.working_of(owner).values() if entry is not None else ():
            if known.bid:
                bids += known.remaining
            else:
                asks += known.remaining
        return bids, asks

    @property
    def gate(self) -> RiskGate:
        """The account's gate with its limits, breakers and exposure (read only)."""
        return self._gate

    def slot(self, instrument: InstrumentId, owner: BotId) -> OwnerSlot | None:
        """Return what an owner wants in an instrument and what its plan left (read only)."""
        entry = self._table.instruments.get(instrument)
        return None if entry is None else entry.slots.get(owner)

    def intent(self, instrument: InstrumentId, owner: BotId) -> InstrumentIntent | None:
        """Return an owner's intent that stands in an instrument; None = it wants nothing."""
        slot = self.slot(instrument, owner)
        return None if slot is None else slot.intent

    def mark(self, instrument: InstrumentId) -> BookMarked | None:
        """Return the mark of an instrument the executor knows; None before the first."""
        entry = self._table.instruments.get(instrument)
        return None if entry is None else entry.mark

    def explain(
        self, instrument: InstrumentId, owner: BotId
    ) -> tuple[tuple[Residual, ...], Denied | None]:
        """Return what an owner's last plan left over, and what risk said if it said no."""
        slot = self.slot(instrument, owner)
        return ((), None) if slot is None else (slot.residuals, slot.denied)

    def basket(self, instrument: InstrumentId, owner: BotId) -> Basket | None:
        """Return the basket an owner's intent belongs to; None = it stands alone."""
        slot = self.slot(instrument, owner)
        return None if slot is None else slot.basket

    def concerned(self) -> list[InstrumentId]:
        """Return what needs marks: with an intent, an order or a holding, and pairs of rates."""
        held, rates = self.ledger.held, self._table.exposure.rates.pairs
        return [
            key
            for key, entry in self._table.instruments.items()
            if entry.working or key in held or entry.intended or key in rates
        ]

    def equity_micro(self, now_ns: int) -> int:
        """Return equity at risk marks: the side each holding would leave by."""
        return self.ledger.equity_micro(
            self._markets.marks, now_ns=now_ns, mark_age_ns_max=self._gate.mark_age_ns_max
        )

    def equity_mid_micro(self, now_ns: int) -> int | None:
        """Return equity at the last two-sided mids: for people, labelled so. None = unknown."""
        del now_ns
        return self.ledger.shown_equity_micro(self._markets.marks)

    @property
    def fills(self) -> int:
        """Fills booked since this object was made."""
        return self._table.fills
