"""House: health, latch, venue mode, cash and equity: what stops and starts the whole account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain.effects import CancelAll, CancelScope, KeepBudget, Severity
from engine.domain.events import (
    CashMoved,
    HealthChanged,
    LatchReleased,
    LatchSet,
    LossAccepted,
    ModeChanged,
    ScopeLatched,
    ScopeReleased,
)
from engine.executor.blindness import Hold, Sight
from engine.executor.markets import Markets
from engine.executor.outbox import EffectOutbox
from engine.executor.questions import Question
from engine.executor.reconcile import Reconciler
from engine.executor.settings import MS, ExecutorSettings
from engine.executor.table import OrderTable
from engine.risk.breakers import DAY_NS, Breakers
from engine.risk.reasons import DenyReason

CLOCK = "clock"
"""Health source: wall and monotonic time have parted, so time may have leapt."""

EQUITY = "equity"
"""Health source: equity has not been judged since the start."""

KEEP_PEAK_NS = 1_000 * MS
KEEP_EQUITY_NS = 60_000 * MS
"""How old the journal's peak and equity may be. In the last minute of a UTC day the latter is kept
as often as the former: after a death there it is the next day's anchor."""


class TradingHalts:
    """The account's switches. Every stop cancels all and begins the proof of zero (law O)."""

    def __init__(
        self,
        table: OrderTable,
        sight: Sight,
        outbox: EffectOutbox,
        breakers: Breakers,
        *,
        settings: ExecutorSettings,
        reconciler: Reconciler,
        markets: Markets,
    ) -> None:
        self._table = table
        self._sight = sight
        self._outbox = outbox
        self._breakers = breakers
        self._reconciler = reconciler
        self._markets = markets
        self._marks_wait_ns = settings.marks_wait_ms_max * MS
        self._waiting_since_ns: int | None = None
        self.judged = -1
        """The table's `moves` when equity was judged last."""
        self.equity_due = True
        self._kept: tuple[object, ...] = ()
        self._kept_peak = 0
        self._kept_ns = 0
        sight.unhealthy[EQUITY] = "not judged since the start"

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which event."""
        return {
            HealthChanged: self._health,
            LatchSet: self._latch_set,
            LatchReleased: self._latch_released,
            ScopeLatched: self._scope_latched,
            ScopeReleased: self._scope_released,
            ModeChanged: self._mode,
            CashMoved: self._cash_moved,
            LossAccepted: self._loss_accepted,
        }

    def _everything_dirty(self) -> None:
        for instrument in self._table.posts:
            self._table.dirty[instrument] = True

    # -- stops -------------------------------------------------------------------------------------

    def cancel_all(self, now_ns: int) -> None:
        """Cancel everything, known to us or not, and begin to prove that nothing is left."""
        table = self._table
        self._outbox.effects.append(CancelAll(account=table.account))
        for known in table.live():
            table.ask_cancel(known, now_ns)
        self._reconciler.proofs.begin(None, now_ns)
        self._reconciler.questions.want(Question.LISTING, now_ns)
        self._everything_dirty()

    def _latch_set(self, event: LatchSet, now_ns: int) -> None:
        self._breakers.set_latch(event.who, event.reason)
        self.cancel_all(now_ns)

    def _latch_released(self, event: LatchReleased, now_ns: int) -> None:
        del now_ns
        self._breakers.release_latch(event.reason)
        self._sight.state.contradictions.clear()
        self._everything_dirty()

    def _scope_latched(self, event: ScopeLatched, now_ns: int) -> None:
        """Hold placing in a part of the account, cancel what is there, begin to prove it empty."""
        table, bot, instrument = self._table, event.bot, event.instrument
        made = Hold(
            bot=bot, instrument=instrument, who=event.who, reason=event.reason, at_ns=now_ns
        )
        holds = self._sight.state.holds
        if all(hold.place != made.place for hold in holds):
            holds.append(made)
        scope = CancelScope(bot=bot, instrument=instrument)
        self._outbox.effects.append(CancelAll(account=table.account, scope=scope))
        for known in table.live():
            order = known.order
            if bot in (None, order.bot) and instrument in (None, order.instrument):
                table.ask_cancel(known, now_ns)
        self._reconciler.proofs.begin(bot or instrument, now_ns)
        self._reconciler.questions.want(Question.LISTING, now_ns)
        self._everything_dirty()

    def _scope_released(self, event: ScopeReleased, now_ns: int) -> None:
        del now_ns
        state, place = self._sight.state, (event.bot, event.instrument)
        state.holds = [hold for hold in state.holds if hold.place != place]
        self._everything_dirty()

    def _health(self, event: HealthChanged, now_ns: int) -> None:
        if event.account is not None and event.account != self._table.account:
            return
        if event.healthy:
            self._sight.unhealthy.pop(event.source, None)
        else:
            self._sight.unhealthy[event.source] = event.reason
            if event.source == CLOCK:
                self._reconciler.doubt(now_ns)
        self._everything_dirty()

    def _mode(self, event: ModeChanged, now_ns: int) -> None:
        self._sight.take_mode(event, now_ns)
        self._everything_dirty()

    def age_mode(self, now_ns: int) -> None:
        """Try more of the venue where its last word is old: nobody must say that it opened."""
        if self._sight.age_mode(now_ns):
            self._everything_dirty()

    def _loss_accepted(self, event: LossAccepted, now_ns: int) -> None:
        """Go on behind lost records: no number is used again, fills are asked for since then."""
        del now_ns
        table, questions = self._table, self._reconciler.questions
        table.last_id = max(table.last_id, event.orders_until)
        reach_ns = questions.fills_reach_ns
        questions.fills_reach_ns = event.since_ns if reach_ns < 0 else min(reach_ns, event.since_ns)

    # -- money -------------------------------------------------------------------------------------

    def _cash_moved(self, event: CashMoved, now_ns: int) -> None:
        """Book a deposit or withdrawal: it shifts anchor and peak and is never profit."""
        table = self._table
        if event.currency != table.ledger.state.currency:
            self._outbox.alert(
                Severity.WARNING,
                "foreign_currency",
                f"{event.amount_micro} micro {event.currency} moved on an account that counts in "
                f"{table.ledger.state.currency}; it is not booked",
            )
            return
        self._breakers.cash_moved(event.amount_micro)
        booked = table.ledger.move_cash(event.amount_micro)
        table.moved(None, now_ns)
        for anomaly in booked.anomalies:
            self._outbox.alert(Severity.CRITICAL, anomaly, "cash is below zero after a withdrawal")
        self._everything_dirty()

    def judge(self, now_ns: int, mark_age_ns_max: int) -> None:
        """Mark equity and let the breakers judge it, once everything held can be marked.

        Before the first mark of a holding it would look worthless and trip every stop; until then
        nothing is placed, for a limited time.
        """
        if self._sight.recovering or not self._marked(now_ns):
            return
        self.equity_due = False
        self.judged = self._table.moves
        if self._sight.unhealthy.pop(EQUITY, None) is not None:
            self._everything_dirty()
        equity = self._table.ledger.equity_micro(
            self._markets.marks, now_ns=now_ns, mark_age_ns_max=mark_age_ns_max
        )
        stopped = self._breakers.stopped
        for trip in self._breakers.equity(equity, now_ns):
            kill = trip.kind is DenyReason.KILL_DRAWDOWN
            if kill and not self._breakers.latched:
                self._breakers.set_latch("risk", "the KILL drawdown was reached")
            numbers = ", ".join(f"{name} {value}" for name, value in trip.numbers)
            self._outbox.alert(
                Severity.CRITICAL, "kill_latch" if kill else f"stop_{trip.kind}", numbers
            )
        if self._breakers.stopped is not stopped:
            if self._breakers.stopped is not None:
                self.cancel_all(now_ns)
            self._everything_dirty()
        self._keep_budget(now_ns)

    def _keep_budget(self, now_ns: int) -> None:
        """Have the journal keep what no restart may move: stops at once, the peak each second."""
        breakers, age_ns = self._breakers, now_ns - self._kept_ns
        kept, peak = breakers.kept, breakers.peak_equity_micro
        same = kept == self._kept and (peak == self._kept_peak or age_ns < KEEP_PEAK_NS)
        ends = now_ns % DAY_NS >= DAY_NS - KEEP_EQUITY_NS
        if same and age_ns < (KEEP_PEAK_NS if ends else KEEP_EQUITY_NS):
            return
        self._kept, self._kept_peak, self._kept_ns = kept, peak, now_ns
        keep = KeepBudget(account=self._table.account, breakers=breakers.state())
        self._outbox.effects.append(keep)

    def _marked(self, now_ns: int) -> bool:
        if EQUITY not in self._sight.unhealthy:
            return True
        if self._waiting_since_ns is None:
            self._waiting_since_ns = now_ns
        if now_ns - self._waiting_since_ns >= self._marks_wait_ns:
            return True
        marks = self._markets.marks
        return all(key in marks for key in self._table.ledger.held)
