"""The reconciler: asks the venue what it knows, and says what may be believed of the answer.

Resolves what silence left behind (law J): an UNKNOWN order is asked about with growing pauses, and
`not found` is believed only after a grace period, confirmed, and after a listing of fills that did
not have it. A complete listing of open orders is compared with the table: an order that should be
there and twice is not becomes UNKNOWN; one that is there and should not be is cancelled; foreign
ones are left alone. Findings reach the table as happenings of the one transition table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain.effects import (
    CancelOrders,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    Severity,
)
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    OpenOrdersListed,
    OrderFilled,
    OrderNotFound,
    OrderReport,
    OrderReported,
    PositionsListed,
    QueryFailed,
)
from engine.domain.order_life import Happened
from engine.domain.orders import OrderState
from engine.executor.audit import Audit
from engine.executor.blindness import Sight
from engine.executor.listings import Listings
from engine.executor.outbox import EffectOutbox
from engine.executor.proof import ZeroProofs
from engine.executor.questions import Question, Questions
from engine.executor.records import LiveOrder
from engine.executor.settings import MS, ExecutorSettings
from engine.executor.table import OrderTable

ASKS_ALERT = 8
"""Questions about one order after which a person is told."""

S = OrderState
_RESTS = frozenset({S.OPEN, S.PARTIAL})
_GONE = frozenset({S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED})
SILENCE = {
    S.SENT: Happened.NO_ANSWER,
    S.DELAYED: Happened.NO_ANSWER,
    S.CANCELLING: Happened.CANCEL_UNANSWERED,
}
"""What it means for an order that nothing was heard of it for too long."""


class Reconciler:
    """Compares the venue's answers with one account's table."""

    def __init__(
        self,
        table: OrderTable,
        sight: Sight,
        outbox: EffectOutbox,
        settings: ExecutorSettings,
        *,
        book: Callable[[OrderFilled, int], None],
    ) -> None:
        self._table = table
        self._sight = sight
        self._outbox = outbox
        self._settings = settings
        self._book = book
        self.questions = Questions(settings)
        self.proofs = ZeroProofs(table.account)
        self.audit = Audit(table, outbox, settings)
        self.waiting = False
        """True while journaled orders wait for their instruments: nothing can be believed yet."""
        self._listings = Listings(table, outbox, want_fills=self.want_fills)

    # -- asking ------------------------------------------------------------------------------------

    def begin(self, now_ns: int) -> None:
        """Start over: everything must be asked before anything is believed (law N)."""
        self.doubt(now_ns)
        self._listings.start()
        self.questions.start(now_ns)

    def watch(self, now_ns: int) -> None:
        """See that every UNKNOWN order has a next question; call when there are any."""
        questions = self.questions
        for known in self._table.unknown.values():
            if known.ask_ns < known.unknown_ns:
                known.ask_ns = known.unknown_ns + questions.pause_ns(0)
            questions.soon(known.ask_ns)
        if questions.due_ns <= now_ns:
            self.advance(now_ns)

    def advance(self, now_ns: int) -> None:
        """Ask what is due."""
        account, effects = self._table.account, self._outbox.effects
        questions = self.questions
        for known in self._table.unknown.values():
            if known.ask_ns <= now_ns:
                number = questions.next_number()
                effects.append(QueryOrder(account=account, order=known.order.id, number=number))
                known.was_asked(number)
                known.ask_ns = now_ns + questions.pause_ns(known.asks)
                if known.asks == ASKS_ALERT:
                    self._still_unknown(known)
                if now_ns - known.unknown_ns >= self._settings.grace_ms * MS:
                    questions.want(Question.FILLS, now_ns)
        for question in questions.take(now_ns):
            number = questions.number_of(question)
            if question is Question.LISTING:
                effects.append(QueryOpenOrders(account=account, number=number))
            elif question is Question.FILLS:
                since_ns = self._fills_since(now_ns)
                questions.fills_since_ns = since_ns
                effects.append(QueryFills(account=account, since_ns=since_ns, number=number))
            else:
                effects.append(QueryBalances(account=account, number=number))
        questions.settle(min((k.ask_ns for k in self._table.unknown.values()), default=None))

    def _still_unknown(self, known: LiveOrder) -> None:
        self._outbox.alert(
            Severity.CRITICAL,
            "unknown_order",
            f"order {known.order.id} is still unknown after {known.asks} questions",
            instrument=known.order.instrument,
        )

    def overdue(self, now_ns: int) -> None:
        """Give up on what has been in flight too long: it is UNKNOWN. Call every second."""
        patience_ns = self._settings.in_flight_ms_max * MS
        for post in self._table.posts.values():
            for known in list(post.working.values()) if post.working else ():
                happened = SILENCE.get(known.state)
                if happened is not None and now_ns - known.changed_ns > patience_ns:
                    self._table.happen(known, happened, now_ns, "no answer came in time")

    def doubt(self, now_ns: int) -> None:
        """Begin every grace period anew: time has leapt, what is on its way has not moved."""
        for known in self._table.unknown.values():
            known.unknown_ns = now_ns
            known.not_found = 0
            known.asked = self.questions.number + 1

    def _fills_since(self, now_ns: int) -> int:
        """Reach back to the last good listing, the oldest unsettled fill and UNKNOWN order."""
        questions = self.questions
        since = max(questions.fills_ok_ns, questions.fills_reach_ns)
        since = now_ns if since < 0 else since
        unsettled = self._table.ledger.state.fills.unsettled
        if unsettled:
            since = min(since, next(iter(unsettled.values())).at_ns)
        overlap_ns = self._settings.fills_overlap_ms * MS
        for known in self._table.unknown.values():
            # Our clock may be ahead of the venue's: what is asked in vain is asked further back.
            since = min(since, known.order.created_ns - known.asks * overlap_ns)
        return max(0, since - overlap_ns)

    def want_fills(self, now_ns: int) -> None:
        """Ask for fills as soon as possible: something says that one is missing."""
        self.questions.want(Question.FILLS, now_ns)

    def failed(self, event: QueryFailed, now_ns: int) -> None:
        """Take a question without a usable answer: nothing is learned, it is asked again."""
        if event.order is None:
            self.questions.failed(event.question, event.answers, now_ns)

    # -- one order ---------------------------------------------------------------------------------

    def reported(self, event: OrderReported, now_ns: int) -> None:
        """Take what the venue says about one order."""
        report = event.report
        known = None if report.order is None else self._table.orders.get(report.order)
        if known is None or known.state.ended:
            return  # the answer came after the end had been proven otherwise
        known.reported = max(known.reported, report.filled)
        if report.state in _RESTS:
            if known.state is S.UNKNOWN or known.state is S.SENT or known.state is S.DELAYED:
                self._table.happen(known, Happened.FOUND_OPEN, now_ns)
        elif report.state in _GONE:
            self._found_gone(known, report, now_ns)
        if known.reported > known.filled:
            self.want_fills(now_ns)

    def _found_gone(self, known: LiveOrder, report: OrderReport, now_ns: int) -> None:
        """End an order the venue says is over, once all it says was filled has been booked.

        Until then it may still cost money, so its reservation stays (law G).
        """
        filled = report.filled
        if report.state is S.FILLED:
            # Whole is what the venue was offered: a budget of whole cents asks for a bit less.
            filled = min(known.order.size, max(report.size, filled) or known.order.size)
        known.reported = max(known.reported, filled)
        why = f"the venue reports it {report.state}"
        if known.reported <= known.filled:
            self._table.happen(known, Happened.FOUND_GONE, now_ns, why)
        elif known.state is S.SENT:
            # An earlier life had asked; that it was UNKNOWN then stands in no journal.
            self._table.happen(known, Happened.NO_ANSWER, now_ns, why)
        elif known.state is not S.UNKNOWN:
            self._table.happen(known, Happened.NOT_LISTED, now_ns, why)

    def not_found(self, event: OrderNotFound, now_ns: int) -> None:
        """Count `not found`; believe it after grace, confirmation and a look at the fills."""
        known = self._table.unknown.get(event.order)
        if known is None or event.answers < known.asked:
            return  # an answer to a question from before it became UNKNOWN proves nothing of it
        settings = self._settings
        enough = settings.not_found_confirmations
        patient = now_ns - known.unknown_ns >= settings.grace_ms * MS
        known.not_found = min(known.not_found + 1, enough if patient else enough - 1)
        if known.not_found < enough:
            return
        if known.reported > known.filled or self.questions.fills_ok_ns <= known.unknown_ns:
            self.want_fills(now_ns)
            return
        why = f"the venue does not know it: {known.not_found} answers, and no fill of it is listed"
        self._table.happen(known, Happened.FOUND_GONE, now_ns, why)
        # It may still be on its way to the venue: one last cancel for that case.
        number = known.order.id
        self._outbox.effects.append(CancelOrders(account=self._table.account, orders=(number,)))

    def zombie(self, known: LiveOrder, now_ns: int) -> None:
        """Take back an order that was believed gone and lives: it is asked about and cancelled."""
        self._listings.zombie(known, now_ns)

    # -- the whole account ------------------------------------------------------------------------

    def listed(self, event: OpenOrdersListed, now_ns: int) -> None:
        """Compare a complete listing of open orders with the table.

        One that nobody asked for proves what it contains, but not what it lacks.
        """
        asked_ns = self.questions.answered(Question.LISTING, event.answers)
        ours, foreign = self._listings.contained(event, asked_ns, now_ns)
        if asked_ns is None:
            return
        complete = self._listings.lacked(ours, asked_ns, now_ns)
        self.proofs.listed(asked_ns, now_ns, ours, foreign, self._table.live())
        urgent = not complete or not self._listings.believed or self.proofs.pending
        self.questions.again(Question.LISTING, now_ns, urgent=urgent)
        self._recovered()

    def fills_listed(self, event: FillsListed, now_ns: int) -> None:
        """Book what was missed; news of what is known only moves it on."""
        table, questions = self._table, self.questions
        known, states = table.orders, table.ledger.state.fills.states
        for fill in event.fills:
            if fill.order in known and states.get(fill.fill) is fill.state:
                continue  # most of a listing is told again as it stands
            if fill.order in known or fill.order > table.last_id:
                self._book(fill, now_ns)
            # else: an order that was forgotten after all its fills had been decided
        if event.since_ns > questions.fills_since_ns:
            return  # asked before everything was asked anew: the answer that counts is to come
        asked_ns = questions.answered(Question.FILLS, event.answers)
        if asked_ns is not None:
            questions.fills_ok_ns = asked_ns
        questions.again(Question.FILLS, now_ns, urgent=False)
        self._recovered()

    def balances_listed(self, event: BalancesListed | PositionsListed) -> None:
        """Compare money or tokens with the ledger."""
        self.questions.answered(Question.BALANCES, event.answers)
        asked_ns = self.questions.asked_last_ns(Question.BALANCES, event.answers)
        if isinstance(event, BalancesListed):
            self.audit.cash(event, asked_ns)
        else:
            self.audit.positions(event, asked_ns)

    def _recovered(self) -> None:
        believed = self._listings.believed and self.questions.fills_ok_ns >= 0 and not self.waiting
        if self._sight.recovering and believed:
            self._sight.recovering = False
            for instrument in self._table.posts:
                self._table.dirty[instrument] = True

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which answer."""
        return {
            OpenOrdersListed: self.listed,
            OrderReported: self.reported,
            OrderNotFound: self.not_found,
            FillsListed: self.fills_listed,
            BalancesListed: lambda event, _: self.balances_listed(event),
            PositionsListed: lambda event, _: self.balances_listed(event),
            QueryFailed: self.failed,
        }
