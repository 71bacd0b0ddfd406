"""What everyone may ask of an account's executor; nothing here changes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from engine.domain.effects import RedeemTokens
from engine.domain.events import BookMarked
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import Basket, ResidualReason
from engine.domain.orders import Identity, Order, OrderId
from engine.executor.halts import Blocks, Markets, TradingHalts
from engine.executor.ledger import Ledger
from engine.executor.orders import InstrumentIntent, LiveOrder, OrderTable, OwnerSlot
from engine.executor.plan import Residual
from engine.executor.planning import Planning
from engine.executor.reconcile import Reconciler
from engine.executor.settings import ExecutorSettings
from engine.executor.wallet import WalletOperation, WalletOperations
from engine.risk.gate import Denied, RiskGate
from engine.risk.reasons import DenyReason


class ExecutorReadings:
    """The questions an executor answers out of its parts."""

    ledger: Ledger
    wallet: WalletOperations
    _started: bool
    _timer_ns: int
    _gate: RiskGate
    _settings: ExecutorSettings
    _table: OrderTable
    _blocks: Blocks
    _markets: Markets
    _halts: TradingHalts
    _planning: Planning
    _reconciler: Reconciler

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
        table, halts = self._table, self._halts
        due_ns = min(table.wake_ns, self._reconciler.questions.due_ns)
        return (
            self._started
            and now_ns < due_ns
            and now_ns < self.wallet.due_ns
            and now_ns < self._timer_ns <= due_ns
            and halts.judged == table.moves
            and not (halts.equity_due or table.dirty or table.unknown or table.unjournaled)
        )

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
        awaited = any(order.instrument == instrument for order in table.awaiting_listing.values())
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

    @property
    def planned_in_order(self) -> tuple[InstrumentId, ...]:
        """What the last planning looked at, in its order: who comes first has the cash."""
        return self._planning.order

    def concerned(self) -> list[InstrumentId]:
        """Return the instruments with an intent, an order or a holding: those that need marks."""
        held = self.ledger.held
        return [
            key
            for key, entry in self._table.instruments.items()
            if entry.working or key in held or entry.intended
        ]

    def equity_micro(self, now_ns: int) -> int:
        """Return equity at risk marks: the side each holding would leave by."""
        return self.ledger.equity_micro(
            self._markets.marks, now_ns=now_ns, mark_age_ns_max=self._gate.mark_age_ns_max
        )

    def equity_mid_micro(self, now_ns: int) -> int:
        """Return equity at the last two-sided mids: for people, labelled so."""
        del now_ns
        return self.ledger.shown_equity_micro(self._markets.marks)

    @property
    def residuals(self) -> Counter[ResidualReason]:
        """How often each reason left a part of an intent over."""
        return self._planning.residuals

    @property
    def denials(self) -> Counter[DenyReason]:
        """How often risk denied, by reason."""
        return self._planning.denials

    @property
    def orders_placed(self) -> int:
        """Orders asked for since this object was made."""
        return self._planning.orders_placed

    @property
    def cancels_asked(self) -> int:
        """Cancels asked for by plans since this object was made."""
        return self._planning.cancels_asked

    @property
    def fills(self) -> int:
        """Fills booked since this object was made."""
        return self._table.fills
