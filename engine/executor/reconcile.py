"""The reconciler: asks the venue what it knows, and says what may be believed of the answer.

Resolves what silence left behind (law J): an UNKNOWN order is asked about with growing pauses, and
`not found` is believed only after a grace period, confirmed, and after a listing of fills that did
not have it. A complete listing of open orders is compared with the table: an order that should be
there and twice is not becomes UNKNOWN; one that is there and should not be is cancelled; foreign
ones are left alone. Findings reach the table as happenings of the one transition table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    CancelScope,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    QueryRedemptions,
    Severity,
)
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    OpenOrdersListed,
    OrderFilled,
    OrderNotFound,
    OrderReported,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
)
from engine.domain.fills import FillId
from engine.domain.order_life import Happened
from engine.domain.orders import Identity, OrderId, OrderReport, OrderState
from engine.domain.unread import UnreadRow
from engine.executor.audit import Audit, UnreadAnswers
from engine.executor.halts import ExecutorParts
from engine.executor.orders import LiveOrder, OrderTable
from engine.executor.outbox import EffectOutbox
from engine.executor.proof import AccountQuestion, Questions, ZeroProofs
from engine.executor.settings import MS
from engine.executor.wallet import WalletOperations

# -- Listings of open orders: what they contain, what they lack, and when they are believed --------
# A listing is believed when it has everything it should have; an empty one only when it comes
# twice (the venue has been seen to show an empty list over resting orders).

UNRECOGNISED_MAX = 1_000
"""Unknown orders that are remembered as already named."""

MISSING_BELIEVED = 2
"""Listings in a row that must lack an order before it is UNKNOWN."""

LAG_NS = 5_000 * MS
"""How long the venue may still list an order as it was before its last fill, or its cancel."""

_LACKED = f"{MISSING_BELIEVED} listings of open orders in a row lack it"

S = OrderState
_ABSENT_MATTERS = frozenset({S.OPEN, S.PARTIAL, S.CANCELLING, S.DELAYED})


class Listings:
    """Compares listings with the table. `believed` since the last `start`."""

    def __init__(
        self,
        table: OrderTable,
        outbox: EffectOutbox,
        *,
        request_fills: Callable[[int], None],
        behind: Callable[[str, OrderId | None], None],
    ) -> None:
        self._table = table
        self._outbox = outbox
        self._request_fills = request_fills
        self._behind = behind
        self.believed = False
        self._empty = 0
        self._unrecognised: dict[Identity, None] = {}

    def start(self) -> None:
        self.believed, self._empty = False, 0

    def contained(
        self, event: OpenOrdersListed, asked_ns: int | None, now_ns: int
    ) -> tuple[list[OrderReport], list[OrderReport]]:
        """Take what a listing contains; return (ours, foreign)."""
        ours: list[OrderReport] = []
        foreign: list[OrderReport] = []
        for report in event.orders:
            known = None if report.order is None else self._table.orders.get(report.order)
            if known is not None:
                if known.identity is None:  # its name went with a lost end of the journal
                    known.identity = report.identity
                ours.append(report)
                self._found(known, report, asked_ns, now_ns)
            elif report.ours:
                ours.append(report)
                self._unrecognised_order(report, now_ns)
            else:
                foreign.append(report)
        return ours, foreign

    def lacked(
        self, ours: list[OrderReport], asked_ns: int, now_ns: int, unread: Iterable[UnreadRow] = ()
    ) -> bool:
        """Note live orders a listing lacks; False where one is missing for the first time."""
        seen = {report.order for report in ours} | {row.order for row in unread}
        complete = True
        for known in self._table.live():
            absent = known.order.id not in seen and known.state in _ABSENT_MATTERS
            if not absent or known.changed_ns >= asked_ns:
                continue
            known.missing += 1
            if known.missing < MISSING_BELIEVED:
                complete = False
            else:
                self._table.happen(known, Happened.NOT_LISTED, now_ns, _LACKED)
        self._empty = 0 if ours else self._empty + 1
        if complete and (ours or self._empty >= MISSING_BELIEVED):
            self.believed = True
        return complete

    def _found(
        self, known: LiveOrder, report: OrderReport, asked_ns: int | None, now_ns: int
    ) -> None:
        known.missing = 0
        state = known.state
        after_ns = -1 if asked_ns is None else asked_ns - known.changed_ns
        if state.ended:
            rests = after_ns > 0
            if state is S.FILLED:
                lot = self._table.ledger.state.instruments[known.order.instrument].lot
                rests = after_ns > LAG_NS and report.size - report.filled >= lot
            if rests:
                self.revived(known, now_ns)
            return
        known.reported = max(known.reported, report.filled)
        if known.reported > known.filled:
            self._request_fills(now_ns)
        if (state is S.UNKNOWN and after_ns >= 0) or state is S.SENT or state is S.DELAYED:
            self._table.happen(known, Happened.FOUND_OPEN, now_ns)
        elif state is S.CANCELLING and after_ns > LAG_NS:
            # CANCEL_ALL is of our key; by its name an order of the signer's other keys is reached.
            cancel = CancelOrders(account=self._table.account, orders=(known.order.id,))
            self._outbox.effects.append(cancel)

    def revived(self, known: LiveOrder, now_ns: int) -> None:
        """Cancel an order that ended here and is open at the venue; take back what it may fill."""
        number, was = known.order.id, known.state
        if was is not S.FILLED:
            self._table.happen(known, Happened.FOUND_OPEN, now_ns, f"open at the venue after {was}")
        self._outbox.alert(
            Severity.CRITICAL,
            "revived_order",
            f"order {number} was {was} here and is open at the venue; it is being cancelled",
            instrument=known.order.instrument,
            bot=known.order.bot,
            numbers={"order": str(number)},
        )
        known.cancel_asked = True
        self._outbox.effects.append(CancelOrders(account=self._table.account, orders=(number,)))

    def _unrecognised_order(self, report: OrderReport, now_ns: int) -> None:
        """Cancel an order of our key the journal does not have, with its whole instrument.

        It can only be reached by scope (law N). One that was never made here by what the journal
        has means that the journal is behind.
        """
        table, number = self._table, report.order
        if number not in table.awaiting_listing and self._unmade(report):
            self._behind(f"the venue lists order {number or report.identity} as ours", number)
        if report.identity not in self._unrecognised:
            if len(self._unrecognised) >= UNRECOGNISED_MAX:
                self._unrecognised.clear()
            self._unrecognised[report.identity] = None
            terms = table.ledger.state.instruments.get(report.instrument)
            size = terms.size_text(report.size) if terms else report.size
            price = terms.price_words(report.price) if terms else report.price
            self._outbox.alert(
                Severity.CRITICAL,
                "unrecognised_order",
                f"the venue lists {report.identity} as ours, the journal does not have it "
                f"({report.side} {size} {report.leg} at {price}): being cancelled",
                instrument=report.instrument,
                numbers={"size": str(size), "price": str(price)},
            )
        self._outbox.effects.append(
            CancelAll(account=table.account, scope=CancelScope(instrument=report.instrument))
        )
        entry = table.instruments.get(report.instrument)
        for known in list(entry.working.values()) if entry is not None else ():
            table.ask_cancel(known, now_ns, named=False)

    def _unmade(self, report: OrderReport) -> bool:
        """Say whether an order of our key was never made here.

        One whose name the venue cannot number is an earlier home's where nothing was made here yet.
        """
        numbers = self._table.numbers
        return not numbers.has(report.order) if report.order is not None else numbers.last > 0


# -- The reconciler: asks the venue what it knows, and says what may be believed of the answer -----

ASKS_ALERT = 8
"""Questions about one order after which a person is alerted."""

UNLISTED_BELIEVED = 8
"""Answered listings of fills that must lack what the venue said of an order before it is given up.
A listing that stays out says nothing: only answers are counted."""

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
        parts: ExecutorParts,
        *,
        book: Callable[[OrderFilled, int], None],
        contradiction: Callable[[str], None],
        behind: Callable[[str, OrderId | None], None],
    ) -> None:
        table, self._blocks, outbox, settings = parts
        self._table, self._outbox, self._settings = table, outbox, settings
        self._book = book
        self._contradiction = contradiction
        self.questions = Questions(settings)
        self.proofs = ZeroProofs(table.account)
        self.wallet = WalletOperations(parts, self.questions)
        self.audit = Audit(parts, self.wallet, self.questions)
        self.waiting = False
        """True while journaled orders wait for their instruments: nothing can be believed yet."""
        self._listings = Listings(table, outbox, request_fills=self.request_fills, behind=behind)
        self._begun = settings.starts_reconciled
        """False while a journal is read back: which fills were listed then is not known again."""
        self._unlisted: dict[FillId, int] = {}
        """How many listings of fills have lacked each unsettled one."""
        self._unread = UnreadAnswers(table, outbox, contradiction)
        self._unread_fill = False
        """True where the last listing of fills has a row of ours that cannot be read."""

    # -- asking ------------------------------------------------------------------------------------

    def begin(self, now_ns: int) -> None:
        """Start over: everything must be asked before anything is believed (law N)."""
        self._begun = True
        self.doubt(now_ns)
        self._listings.start()
        self.audit.start()
        self.questions.start(now_ns)
        self.wallet.start(now_ns)

    def doubt(self, now_ns: int) -> None:
        """Begin every grace period anew: time has leapt, what is on its way has not moved."""
        self._table.doubt(now_ns, self.questions.number + 1)
        self.wallet.doubt(now_ns)

    def watch(self, now_ns: int) -> None:
        """See that every UNKNOWN order has a next question; call when there are any."""
        questions = self.questions
        for known in self._table.unknown.values():
            if known.ask_ns < known.unknown_ns:  # it is so since the last turn
                known.ask_ns = known.unknown_ns + questions.pause_ns(0)
                known.asked = questions.number + 1
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
                    questions.request(AccountQuestion.FILLS, now_ns)
        due = questions.take(now_ns)
        while questions.silent:
            self._unread.failed(questions.silent.pop(), "no answer comes", now_ns)
        for question in due:
            number = questions.number_of(question)
            if question is AccountQuestion.LISTING:
                effects.append(QueryOpenOrders(account=account, number=number))
            elif question is AccountQuestion.FILLS:
                since_ns = self._fills_since(now_ns)
                questions.fills_since_ns = since_ns
                effects.append(QueryFills(account=account, since_ns=since_ns, number=number))
            elif question is AccountQuestion.REDEMPTIONS:
                effects.append(self.wallet.question(now_ns, number))
            else:
                effects.append(QueryBalances(account=account, number=number))
        questions.settle(min((k.ask_ns for k in self._table.unknown.values()), default=None))

    def _still_unknown(self, known: LiveOrder) -> None:
        self._outbox.alert(
            Severity.CRITICAL,
            "unknown_order",
            f"order {known.order.id} is still unknown after {known.asks} questions",
            instrument=known.order.instrument,
            bot=known.order.bot,
            numbers={"order": str(known.order.id), "questions": str(known.asks)},
        )

    def overdue(self, now_ns: int) -> None:
        """Give up on what has been in flight too long: it is UNKNOWN. Call every second."""
        patience_ns = self._settings.in_flight_ms_max * MS
        for entry in self._table.instruments.values():
            for known in list(entry.working.values()) if entry.working else ():
                happened = SILENCE.get(known.state)
                if happened is not None and now_ns - known.changed_ns > patience_ns:
                    self._table.happen(known, happened, now_ns, "no answer came in time")

    def _fills_since(self, now_ns: int) -> int:
        """Reach back to the last good listing, the oldest unsettled fill and UNKNOWN order."""
        questions = self.questions
        since = max(questions.fills_ok_ns, questions.fills_reach_ns)
        if since < 0:  # never listed: an earlier life ended with its first orders
            since = min((o.order.created_ns for o in self._table.orders.values()), default=now_ns)
        overlap_ns = self._settings.fills_overlap_ms * MS
        # Our clock may be ahead of the venue's: what is asked in vain is asked further back,
        # but not for ever: a venue that keeps none that old would never answer.
        for fill in self._table.ledger.state.fills.unsettled.values():
            asks = min(self._unlisted.get(fill.fill, 0), ASKS_ALERT)
            since = min(since, fill.at_ns - asks * overlap_ns)
        for known in self._table.unknown.values():
            asks = min(known.asks, ASKS_ALERT)
            since = min(since, known.order.created_ns - asks * overlap_ns)
        return max(0, since - overlap_ns)

    def request_fills(self, now_ns: int) -> None:
        """Ask for fills as soon as possible: something says that one is missing."""
        self.questions.request(AccountQuestion.FILLS, now_ns)

    def failed(self, event: QueryFailed, now_ns: int) -> None:
        """Take a question without a usable answer: nothing is learned, it is asked again."""
        self._unread.failed(event.question, event.reason, now_ns)
        if event.order is None:
            self.questions.failed(event.question, event.answers, now_ns)

    # -- one order ---------------------------------------------------------------------------------

    def reported(self, event: OrderReported, now_ns: int) -> None:
        """Take what the venue says about one order."""
        self._unread.answered(QueryOrder.__name__)
        report = event.report
        known = None if report.order is None else self._table.orders.get(report.order)
        if known is None:
            return
        if known.state.ended:  # the answer came after the end had been proven otherwise
            if report.filled > known.filled:
                self.request_fills(now_ns)
            return
        known.reported = max(known.reported, report.filled)
        if report.state in _RESTS:
            if known.state is S.UNKNOWN or known.state is S.SENT or known.state is S.DELAYED:
                self._table.happen(known, Happened.FOUND_OPEN, now_ns)
        elif report.state in _GONE:
            self._found_gone(known, report, now_ns)
        if known.reported > known.filled:
            self.request_fills(now_ns)

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
        elif known.state is S.UNKNOWN and known.unlisted >= UNLISTED_BELIEVED and self._begun:
            self._given_up(known, why, now_ns)
        else:
            self.lacks_fills(known, why, now_ns)

    def lacks_fills(self, known: LiveOrder, why: str, now_ns: int) -> None:
        """Ask about an order that is over, of which less has been booked than was reported."""
        if known.state is S.SENT:
            # An earlier life had asked; that it was UNKNOWN then stands in no journal.
            self._table.happen(known, Happened.NO_ANSWER, now_ns, why)
        elif known.state is not S.UNKNOWN:
            self._table.happen(known, Happened.NOT_LISTED, now_ns, why)
        known.over = known.state is S.UNKNOWN
        self.request_fills(now_ns)

    def not_found(self, event: OrderNotFound, now_ns: int) -> None:
        """Count `not found`; believe it after grace, confirmation and a look at the fills."""
        self._unread.answered(QueryOrder.__name__)
        known = self._table.unknown.get(event.order)
        if known is None or event.answers < known.asked:
            return  # an answer to a question from before it became UNKNOWN proves nothing of it
        settings = self._settings
        enough = settings.not_found_confirmations
        patient = now_ns - known.unknown_ns >= settings.grace_ms * MS
        known.not_found = min(known.not_found + 1, enough if patient else enough - 1)
        if known.not_found < enough:
            return
        why = f"the venue does not know it: {known.not_found} answers"
        listed = self.questions.fills_ok_ns > known.unknown_ns and not self._unread_fill
        if known.reported <= known.filled and listed:
            why += ", and no fill of it is listed"
            self._table.happen(known, Happened.FOUND_GONE, now_ns, why)
        elif known.unlisted >= UNLISTED_BELIEVED and self._begun:
            self._given_up(known, why, now_ns)
        else:
            self.request_fills(now_ns)
            return
        # It may still be on its way to the venue: one last cancel for that case.
        number = known.order.id
        self._outbox.effects.append(CancelOrders(account=self._table.account, orders=(number,)))

    def _given_up(self, known: LiveOrder, why: str, now_ns: int) -> None:
        """End an order that works no more and whose fills the venue does not list, however asked.

        Nothing is booked that it did not list: a person compares, and until then nothing is placed.
        """
        lacking = known.reported - known.filled
        counts = (
            f"it told {known.reported} filled and lists {lacking} of them never"
            if lacking > 0
            else "whether it was filled it does not list"
        )
        why = f"{why}; {counts}, after {known.unlisted} listings of fills"
        self._table.happen(known, Happened.FOUND_GONE, now_ns, why)
        self._contradiction(f"order {known.order.id}: {why}: compare cash and holdings with it")

    def revived(self, known: LiveOrder, now_ns: int) -> None:
        """Take back an order that was believed gone and lives: it is asked about and cancelled."""
        self._listings.revived(known, now_ns)

    # -- the whole account ------------------------------------------------------------------------

    def listed(self, event: OpenOrdersListed, now_ns: int) -> None:
        """Compare a complete listing of open orders with the table.

        One without a question proves what it contains, but not what it lacks.
        """
        asked_ns = self.questions.answered(AccountQuestion.LISTING, event.answers)
        rows = event.unread or ()
        unread = self._unread.rows("open orders", rows, orders=True)
        ours, foreign = self._listings.contained(event, asked_ns, now_ns)
        if asked_ns is None:
            return
        self._unread.answered(QueryOpenOrders.__name__)
        complete = self._listings.lacked(ours, asked_ns, now_ns, rows)
        live = self._table.live()
        self.proofs.listed(asked_ns, now_ns, ours, foreign, live, unread=unread)
        urgent = not complete or not self._listings.believed or self.proofs.pending
        self.questions.repeat(AccountQuestion.LISTING, now_ns, urgent=urgent)
        self._recovered()

    def fills_listed(self, event: FillsListed, now_ns: int) -> None:
        """Book what was missed; news of what is known only moves it on."""
        table, questions = self._table, self.questions
        unread = self._unread.rows("fills", event.unread or (), orders=True)
        known, states = table.orders, table.ledger.state.fills.states
        for fill in event.fills:
            if fill.order in known and states.get(fill.fill) is fill.state:
                continue  # most of a listing is repeated as it stands
            if fill.order in known or not table.numbers.has(fill.order):
                self._book(fill, now_ns)
            # else: an order that was forgotten after all its fills had been decided
        if event.since_ns > questions.fills_since_ns:
            return  # asked before everything was asked anew: the answer that counts is to come
        asked_ns = questions.answered(AccountQuestion.FILLS, event.answers)
        if asked_ns is not None:
            questions.fills_ok_ns = asked_ns
            self._unread_fill = unread
            self._unread.answered(QueryFills.__name__)
            listed = {fill.fill for fill in event.fills}
            self._unlisted = {
                fill: self._unlisted.get(fill, 0) + (fill not in listed)
                for fill in table.ledger.state.fills.unsettled
            }
            for order in table.unknown.values():
                enough = order.not_found >= self._settings.not_found_confirmations
                lacks = order.reported > order.filled
                order.unlisted += (enough or lacks) and asked_ns >= order.unknown_ns
                if enough and not lacks:  # this listing was all that lacked
                    order.ask_ns = now_ns
        questions.repeat(AccountQuestion.FILLS, now_ns, urgent=False)
        self._recovered()

    def balances_listed(self, event: BalancesListed | PositionsListed, now_ns: int) -> None:
        """Compare money or tokens with the ledger."""
        self.questions.answered(AccountQuestion.BALANCES, event.answers)
        asked_ns = self.questions.asked_last_ns(AccountQuestion.BALANCES, event.answers)
        if isinstance(event, BalancesListed):
            self.audit.cash(event, asked_ns, now_ns)
            return
        self._unread.answered(QueryBalances.__name__)
        if not self._unread.rows("holdings", event.unread or ()):
            self.audit.positions(event, asked_ns, now_ns)

    def payments_listed(self, event: RedemptionsListed, now_ns: int) -> None:
        """Book payments that were missed; name those that cannot be read."""
        self._unread.answered(QueryRedemptions.__name__)
        self._unread.rows("payments", event.unread or ())
        self.wallet.listed(event, now_ns)

    def _recovered(self) -> None:
        believed = self._listings.believed and self.questions.fills_ok_ns >= 0 and not self.waiting
        if self._blocks.recovering and believed:
            self._blocks.recovering = False
            for instrument in self._table.instruments:
                self._table.dirty[instrument] = True

    def handlers(self) -> dict[type, Callable[[Any, int], None]]:
        """Return who takes which answer."""
        return {
            OpenOrdersListed: self.listed,
            OrderReported: self.reported,
            OrderNotFound: self.not_found,
            FillsListed: self.fills_listed,
            BalancesListed: self.balances_listed,
            PositionsListed: self.balances_listed,
            QueryFailed: self.failed,
            **self.wallet.handlers(),
            RedemptionsListed: self.payments_listed,
        }
