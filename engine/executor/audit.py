"""The audit: compares what the venue answers with the ledger, and names what it leaves unsaid.

It corrects nothing: a difference is a fact for a person, and no booking may be invented for it. It
compares only while nothing is in motion, and speaks when the same difference is seen twice. From
then on nothing that adds risk is placed, until an answer of the venue agrees or a person has
answered for the difference. A fill that has not been listed explains any difference: while the
listing of fills stays out, a difference is doubted, reduces what may be placed, and contradicts
nothing. The first look after a start is taken seriously at once: a home that
was put back has not seen what its venue knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.domain.alerts import AlertKind
from engine.domain.alerts.listings import (
    QUESTION_ANSWERED,
    QUESTION_FAILS,
    QUESTION_WAITS,
    UNREAD_ROW,
)
from engine.domain.effects import (
    KeepDifferences,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOperation,
    QueryOrder,
    QueryRedemptions,
    Severity,
    VenueDifference,
)
from engine.domain.events import BalancesListed, PositionsListed
from engine.domain.failing import FailingQuestions
from engine.domain.instruments import InstrumentId, Leg
from engine.domain.money import money_text
from engine.domain.unread import UnreadRow
from engine.executor.halts import ExecutorParts
from engine.executor.orders import OrderTable
from engine.executor.outbox import EffectOutbox
from engine.executor.proof import AccountQuestion, Questions
from engine.executor.settings import MS
from engine.executor.wallet import WalletOperations

LAG_NS = 5_000 * MS
"""How long a venue's listing may lag behind its fills before the first look counts."""

GAP_ASKS_MAX = 3
"""How often payments are asked for where cash differs within its tolerance, and by the same."""

About = tuple[InstrumentId | None, Leg | None]
"""Instrument and leg; both None = cash."""

CASH: About = (None, None)


class Audit:
    """One account's differences from its venue."""

    def __init__(
        self, parts: ExecutorParts, wallet: WalletOperations, questions: Questions
    ) -> None:
        self._table, self._blocks, self._outbox, self._settings = parts
        self._wallet = wallet
        self._questions = questions
        self.venue_cash: tuple[int, int] | None = None
        """What the venue said last, and when it was received; None = nothing yet."""
        self._seen: dict[About, tuple[int, int, int]] = {}
        """What differed in the last answer: (ours, the venue's, since when in ns UTC)."""
        self._surplus_told: tuple[int, int] | None = None
        self._doubts: dict[bool, str] = {}
        """What differed at the first look, or before fills were listed, by its kind."""
        self._first: set[bool] = set()
        """Kinds of answers not compared since the start: cash (True), positions (False)."""
        self._paid_gap = (0, 0)
        """By how much the venue's cash differed last, and how often payments were asked for it."""

    def start(self) -> None:
        """Begin a life: the first answer that can be compared counts at once."""
        self._first = {True, False}
        self._seen.clear()
        self._doubts.clear()

    def _quiet_since(self, asked_ns: int | None) -> bool:
        """Say whether nothing has moved since the question and nothing is undecided."""
        table = self._table
        return (
            asked_ns is not None
            and table.moved_ns < asked_ns
            and not table.unknown
            and not table.ledger.state.fills.unsettled
            and self._wallet.quiet
        )

    def cash(self, event: BalancesListed, asked_ns: int | None, now_ns: int) -> None:
        """Compare cash; the venue may or may not count what working orders reserve as spendable.

        What is redeemable may have been paid by somebody else and not been reported: that is asked.
        More than the ledger has is a deposit, mostly: it is reported and halts nothing.
        """
        state = self._table.ledger.state
        theirs = event.cash_micro.get(state.currency)
        if theirs is not None:
            self.venue_cash = theirs, now_ns
        if theirs is None or state.recount or not self._quiet_since(asked_ns):
            return
        ours = state.cash_settled_micro
        tolerance = self._settings.cash_tolerance_micro
        if state.netted:
            self._look_for_fundings(theirs - ours, tolerance, now_ns)
        lowest = min(ours, ours - state.cash_reserved_micro) - tolerance
        highest = ours + max(0, state.redeemable_micro) + tolerance
        if ours + tolerance < theirs <= highest:
            self._wallet.request_payments(now_ns)
        text = f"the ledger has {money_text(ours)} {state.currency}, the venue {money_text(theirs)}"
        if theirs > highest:
            self._surplus(ours, theirs, text, now_ns)
            return
        found = {} if theirs >= lowest else {CASH: (ours, theirs, text)}
        self._compared(found, lambda about: about == CASH, tolerance, now_ns)

    def _look_for_fundings(self, gap: int, tolerance: int, now_ns: int) -> None:
        """Ask what was paid where cash differs: a funding may have been missed, however small.

        A small gap that stays is a venue's rounding: it is asked about a few times.
        """
        gone, asks = self._paid_gap
        asks = asks if gap == gone else 0
        if gap and (abs(gap) > tolerance or asks < GAP_ASKS_MAX):
            self._wallet.request_payments(now_ns)
            asks += 1
        self._paid_gap = gap, asks

    def _surplus(self, ours: int, theirs: int, text: str, now_ns: int) -> None:
        """Report money that is not booked, and let go of a lack of it."""
        before, pair = self._seen.get(CASH, (0, 0, 0)), (ours, theirs)
        self._compared({}, lambda about: about == CASH, 0, now_ns)
        if before[:2] == pair != self._surplus_told:
            numbers = self._both(None, ours, theirs)
            self._outbox.alert(Severity.WARNING, "cash_surplus", text, numbers=numbers)
            self._surplus_told = pair
        self._seen[CASH] = (*pair, now_ns)

    def positions(self, event: PositionsListed, asked_ns: int | None, now_ns: int) -> None:
        """Compare settled and redeemable tokens, leg by leg; less than a lot is dust.

        Losers are worth nothing: whether the venue still lists them does not matter.
        """
        if not self._quiet_since(asked_ns):
            return
        table = self._table
        theirs = {(instrument, leg): size for instrument, leg, size in event.holdings}
        for key, holding in (*table.ledger.held.items(), *table.ledger.redeemable.items()):
            first, *others = table.ledger.state.instruments[key].product.legs
            theirs.setdefault((key, first), 0)
            for other in others:
                if holding.leg(other).settled or holding.leg(other).redeemable:
                    theirs.setdefault((key, other), 0)
        found: dict[About, tuple[int, int, str]] = {}
        for (instrument, leg), size in theirs.items():
            entry = table.instruments.get(instrument)
            if entry is None:
                continue  # nothing we trade
            holding = table.ledger.holding(instrument)
            if not holding.pays(leg):
                continue
            ours = holding.leg(leg).settled + holding.leg(leg).redeemable
            terms = entry.instrument
            if abs(ours - size) < terms.lot:
                continue
            self._wallet.request_payments(now_ns)  # somebody may have redeemed, split or merged
            found[instrument, leg] = (
                ours,
                size,
                f"the ledger has {terms.size_text(ours)} {leg} of {instrument}, "
                f"the venue {terms.size_text(size)}",
            )
        self._compared(found, lambda about: about != CASH, 0, now_ns)

    def _compared(
        self,
        found: dict[About, tuple[int, int, str]],
        decided: Callable[[About], bool],
        tolerance: int,
        now_ns: int,
    ) -> None:
        """Take one answer: what stands now, and what the venue's own answer has settled.

        `decided` says what the answer is about; gaps alike within `tolerance` are the same one.
        """
        state, cash = self._blocks.state, decided(CASH)
        standing = {one.about: one for one in state.differences}
        accepted = {one.about: one for one in state.accepted}
        for known in (standing, accepted):
            for about in [one for one in known if decided(one) and one not in found]:
                del known[about]
        doubted, since = "", dict[About, int]()
        for about, (ours, theirs, text) in found.items():
            gap = theirs - ours
            before = (accepted.get(about), standing.get(about))
            if any(one is not None and abs(one.gap - gap) <= tolerance for one in before):
                continue
            seen = self._seen.get(about, (0, 0, 0))
            same = seen[:2] == (ours, theirs)
            since[about] = seen[2] if same else now_ns
            listed = self._questions.fills_ok_ns >= since[about]
            if not listed:
                self._questions.request(AccountQuestion.FILLS, now_ns)
            patient = cash not in self._first or now_ns - since[about] >= LAG_NS
            if same and listed and patient:
                accepted.pop(about, None)
                standing[about] = VenueDifference(
                    instrument=about[0], leg=about[1], gap=gap, text=text
                )
                self._alert(about, text, ours, theirs)
            elif cash in self._first or (same and not listed):
                doubted = text
        self._seen = {about: pair for about, pair in self._seen.items() if not decided(about)}
        for about, (ours, theirs, _) in found.items():
            self._seen[about] = (ours, theirs, since.get(about, now_ns))
        self._doubt(doubted, now_ns, cash=cash)
        self._keep(standing.values(), accepted.values())

    def _doubt(self, text: str, now_ns: int, *, cash: bool) -> None:
        """Ask again soon where a difference is doubted: after a start, before fills are listed."""
        if text:
            self._doubts[cash] = text
            self._questions.repeat(AccountQuestion.BALANCES, now_ns, urgent=True)
        else:
            self._doubts.pop(cash, None)
            self._first.discard(cash)

    def _alert(self, about: About, text: str, ours: int, theirs: int) -> None:
        self._outbox.alert(
            Severity.CRITICAL,
            "cash_differs" if about == CASH else "position_differs",
            text,
            instrument=about[0],
            numbers=self._both(about[0], ours, theirs),
        )

    def _both(self, instrument: InstrumentId | None, ours: int, theirs: int) -> dict[str, str]:
        """Return what ledger and venue say of cash (None), or of a market's leg."""
        entry = None if instrument is None else self._table.instruments.get(instrument)
        words = money_text if entry is None else entry.instrument.size_text
        return {"ledger": words(ours), "venue": words(theirs)}

    def _keep(
        self, standing: Iterable[VenueDifference], accepted: Iterable[VenueDifference]
    ) -> None:
        """Put what was found into force, and have the journal keep it where it changed."""
        blocks, state = self._blocks, self._blocks.state
        before = blocks.reduces_only, state.differences, state.accepted
        state.differences, state.accepted = list(standing), list(accepted)
        blocks.doubted = next(iter(self._doubts.values()), "")
        if before[1:] != (state.differences, state.accepted):
            self._outbox.effects.append(
                KeepDifferences(
                    account=self._table.account,
                    standing=tuple(state.differences),
                    accepted=tuple(state.accepted),
                )
            )
        if before[:2] != (blocks.reduces_only, state.differences):
            for instrument in self._table.instruments:
                self._table.dirty[instrument] = True


# -- rows that cannot be read, questions that keep failing -----------------------------------------
#
# A row of a stranger is named once and has no power. A row of ours stops the account until a person
# has compared: something happened to its orders, tokens or money, and what cannot be said.

NAMED_MAX = 1_000
"""Rows remembered as named; one that is forgotten is named once more."""

QUESTIONS = {
    QueryOpenOrders.__name__: "its open orders",
    QueryFills.__name__: "its fills",
    QueryBalances.__name__: "cash and holdings",
    QueryRedemptions.__name__: "payments",
    QueryOrder.__name__: "what became of an order",
    QueryOperation.__name__: "what became of an operation of the wallet",
}
"""Question → what it asks for, in words."""

_VITAL = frozenset({QueryOpenOrders.__name__, QueryFills.__name__, QueryOrder.__name__})


class UnreadAnswers:
    """Names what cannot be read or is not answered, for one account."""

    def __init__(
        self, table: OrderTable, outbox: EffectOutbox, contradiction: Callable[[str], None]
    ) -> None:
        self._table, self._outbox = table, outbox
        self._contradiction = contradiction
        self._told: dict[tuple[str, str], None] = {}
        self._failing = FailingQuestions()

    def rows(self, listing: str, rows: Iterable[UnreadRow], *, orders: bool = False) -> bool:
        """Name each row once, by its id. Return whether one of them is ours.

        `orders` = a listing of orders or fills, whose rows are ours by their names; of tokens and
        money those are that concern what is held or worked here.
        """
        ours = False
        for row in rows:
            matters = row.ours and (orders or self._concerns(row.instrument))
            ours = ours or matters
            key = (listing, row.row)
            if key in self._told:
                continue
            if len(self._told) >= NAMED_MAX:
                del self._told[next(iter(self._told))]
            self._told[key] = None
            text = f"row {row.row} of the venue's {listing} cannot be read: {row.reason}"
            if matters:
                self._contradiction(f"{text}; it is ours: compare orders, cash and holdings")
            else:
                text = f"{text}; it is not ours, and no other row waits for it"
                self._alert(UNREAD_ROW, text, row.instrument)
        return ours

    def _concerns(self, instrument: InstrumentId | None) -> bool:
        """Say whether something is held or worked in an instrument; an unnamed one may be any."""
        if instrument is None:
            return True
        entry, holding = (
            self._table.instruments.get(instrument),
            self._table.ledger.holding(instrument),
        )
        working = entry is not None and bool(entry.working)
        return working or not holding.flat or holding.redeems

    def failed(self, question: str, reason: str, now_ns: int) -> None:
        """Take a question without a usable answer; after a minute of them a person hears why."""
        text = self._failing.failed(QUESTIONS.get(question, question), reason, now_ns)
        if text:
            self._alert(QUESTION_FAILS if question in _VITAL else QUESTION_WAITS, text)

    def answered(self, question: str) -> None:
        """Take an answer to a question."""
        text = self._failing.answered(QUESTIONS.get(question, question))
        if text:
            self._alert(QUESTION_ANSWERED, text)

    def _alert(self, kind: AlertKind, text: str, instrument: InstrumentId | None = None) -> None:
        self._outbox.alert(kind.severity, kind.name, text, instrument=instrument)
