"""Readings: what everyone may ask an executor. Nothing here changes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from engine.domain.events import BookMarked
from engine.domain.instruments import InstrumentId
from engine.domain.intents import Basket, ResidualReason
from engine.domain.orders import Identity, Order, OrderId
from engine.domain.settings import RiskLimits
from engine.executor.halts import Markets, Sight, TradingHalts
from engine.executor.ledger import Ledger
from engine.executor.levels import Residual
from engine.executor.orders import LiveOrder, OrderTable, Wish
from engine.executor.planning import Planning
from engine.executor.reconcile import Reconciler
from engine.executor.settings import MS, ExecutorSettings
from engine.risk.gate import Denied, RiskGate
from engine.risk.reasons import DenyReason


class Readings:
    """The read-only side of an executor."""

    ledger: Ledger
    _gate: RiskGate
    _table: OrderTable
    _sight: Sight
    _markets: Markets
    _planning: Planning
    _reconciler: Reconciler
    _settings: ExecutorSettings
    _halts: TradingHalts
    _started: bool
    _timer_ns: int
    _limits_seen: RiskLimits | None = None
    _ages_ns: tuple[int, int] = (0, 0)

    # -- limits ------------------------------------------------------------------------------------

    def _ages_ns_max(self) -> tuple[int, int]:
        """Return the oldest accepted proof of a book and mark of a holding.

        They are the gate's, so that new limits reach everybody at the same moment.
        """
        limits = self._gate.limits
        if limits is not self._limits_seen:
            self._limits_seen = limits
            self._ages_ns = (limits.data_age_ms_max * MS, limits.mark_age_ms_max * MS)
        return self._ages_ns

    # -- what everyone may ask ---------------------------------------------------------------------

    @property
    def fence(self) -> int:
        """Token of the engine's lease: which start this is."""
        return self._settings.fence

    @property
    def healthy(self) -> bool:
        """True where nothing of the whole account forbids placing."""
        return self._sight.account_block() is None

    def at_rest(self, now_ns: int) -> bool:
        """Say whether a plan at this time would find nothing to do."""
        table, halts = self._table, self._halts
        due_ns = min(table.wake_ns, self._reconciler.questions.due_ns)
        return (
            self._started
            and now_ns < due_ns
            and now_ns < self._timer_ns <= due_ns
            and halts.judged == table.moves
            and not (halts.equity_due or table.dirty or table.unknown or table.untold)
        )

    @property
    def recovering(self) -> bool:
        """True until the venue's open orders and fills have been believed."""
        return self._sight.recovering

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason of the account not to place, in words."""
        return self._sight.reasons

    @property
    def unhealthy(self) -> Mapping[str, str]:
        """What `HealthChanged` said is not well: source → why."""
        return self._sight.unhealthy

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
        awaited = any(order.instrument == instrument for order in table.homeless.values())
        return instrument in table.posts or instrument in table.over or awaited

    def record(self, order: OrderId) -> LiveOrder | None:
        """Return an order with its state (read only)."""
        return self._table.orders.get(order)

    def names(self) -> list[tuple[OrderId, Identity]]:
        """Return every order that has a name at the venue, live or ended, as far as remembered."""
        known = self._table.orders.values()
        return [(one.order.id, one.identity) for one in known if one.identity is not None]

    def working(self, instrument: InstrumentId) -> tuple[LiveOrder, ...]:
        """Return an instrument's orders that may still fill, oldest first (read only)."""
        post = self._table.posts.get(instrument)
        return () if post is None else tuple(post.working.values())

    def working_sizes(self, instrument: InstrumentId) -> tuple[int, int]:
        """Return what working orders may still buy and sell, in YES-space."""
        bids = asks = 0
        post = self._table.posts.get(instrument)
        for known in post.working.values() if post is not None else ():
            if known.bid:
                bids += known.remaining
            else:
                asks += known.remaining
        return bids, asks

    @property
    def gate(self) -> RiskGate:
        """The account's gate with its limits, breakers and exposure (read only)."""
        return self._gate

    def wish(self, instrument: InstrumentId) -> Wish | None:
        """Return the wish that stands in an instrument; None = nobody wishes anything."""
        post = self._table.posts.get(instrument)
        return None if post is None else post.wish

    def mark(self, instrument: InstrumentId) -> BookMarked | None:
        """Return the mark of an instrument the executor knows; None before the first."""
        post = self._table.posts.get(instrument)
        return None if post is None else post.mark

    def explain(self, instrument: InstrumentId) -> tuple[tuple[Residual, ...], Denied | None]:
        """Return what the last plan left over, and what risk said if it said no."""
        post = self._table.posts.get(instrument)
        return ((), None) if post is None else (post.residuals, post.denied)

    def basket(self, instrument: InstrumentId) -> Basket | None:
        """Return the basket an instrument's wish belongs to; None = it stands alone."""
        post = self._table.posts.get(instrument)
        return None if post is None else post.basket

    @property
    def planned_in_order(self) -> tuple[InstrumentId, ...]:
        """What the last planning looked at, in its order: who comes first has the cash."""
        return self._planning.order

    def concerned(self) -> list[InstrumentId]:
        """Return the instruments with a wish, an order or a holding: those that need marks."""
        held = self.ledger.held
        return [
            key
            for key, post in self._table.posts.items()
            if post.wish is not None or post.working or key in held
        ]

    def equity_micro(self, now_ns: int) -> int:
        """Return equity at risk marks: the side each holding would leave by."""
        return self.ledger.equity_micro(
            self._markets.marks, now_ns=now_ns, mark_age_ns_max=self._ages_ns_max()[1]
        )

    def equity_mid_micro(self, now_ns: int) -> int:
        """Return equity at the last two-sided mids: for people, labelled so."""
        del now_ns
        return self.ledger.shown_equity_micro(self._markets.marks)

    @property
    def residuals(self) -> Counter[ResidualReason]:
        """How often each reason left a part of a wish over."""
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
