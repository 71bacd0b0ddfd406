"""What a venue's answers do not tell: rows that cannot be read, questions that keep failing.

A row of a stranger is named once and has no power. A row of ours stops the account until a person
has compared: something happened to its orders, tokens or money, and what cannot be said.
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
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOperation,
    QueryOrder,
    QueryRedemptions,
)
from engine.domain.failing import FailingQuestions
from engine.domain.instruments import InstrumentId
from engine.domain.unread import UnreadRow
from engine.executor.orders import OrderTable
from engine.executor.outbox import EffectOutbox

TOLD_MAX = 1_000
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
            if len(self._told) >= TOLD_MAX:
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
