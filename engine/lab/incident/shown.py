"""Shown, not lived again: the window as journal, market and decision log have it.

For a moment whose life began before the tape does, and for a life that turned out differently. The
orders are the journal's, folded as a start folds them: one that nobody has answered yet is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from engine.bots.roster import RosterCore
from engine.caches.markets import MarketCache
from engine.domain.effects import KeepBudget, PlaceOrder
from engine.domain.events import Event, InstrumentListed
from engine.domain.inputs import Received
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import AccountSettings
from engine.errors import BrokenInvariant
from engine.lab.incident.moment import SECOND_NS, IncidentWindow
from engine.lab.incident.past import Given, JournaledRecord, Past, Tell, position_at
from engine.lab.incident.picture import Picture
from engine.lab.incident.replay import EVENTS
from engine.runtime.journal import Record, Snapshots, decode, load
from engine.runtime.recovery import HOUSE, executor_of, rebuild
from storage.decisions import StoredDecision
from storage.incidents import seq_before

BOOKS_NS = 3_600 * SECOND_NS
"""How far before the window the market is read: a book needs its last whole picture."""


class ShownWindow:
    """The window of one home. `desks` stand as the journal has them."""

    def __init__(self, journal: Path, accounts: Mapping[str, AccountSettings]) -> None:
        self._journal = journal
        self.desks: dict[AccountId, RosterCore] = {}
        self.modes: dict[AccountId, Mode] = {}
        for name, settings in accounts.items():
            account = AccountId(name)
            executor, _ = executor_of(settings, 0)
            self.desks[account] = RosterCore(
                cache=MarketCache(), executor=executor, bots=(), decide=_unheard
            )
            self.modes[account] = settings.mode
        self._events: tuple[Event, ...] = ()

    def run(
        self,
        tape: Path,
        window: IncidentWindow,
        rows: Iterator[StoredDecision],
        *,
        picture: Picture,
        tell: Tell,
    ) -> None:
        """Show the window. Raises JournalCorrupt, BadInput where the files cannot be read."""
        seq = seq_before(self._journal, window.begin_ns)
        self._fold(seq)
        picture.attach(self)
        position = position_at(tape, window.begin_ns - BOOKS_NS, tell)
        if position is None:
            tell("the tape tells nothing of this time any more: no book is shown")
            position = 1
        row = next(rows, None)
        past = Past(tape, self._journal, position=position, after_seq=seq, tell=tell)
        for one in past:
            at_ns = one.at_ns if isinstance(one, Given) else one.record.at_ns
            if at_ns > window.end_ns:
                break
            while row is not None and row.decision.at_ns <= at_ns:
                picture.row(row.decision)
                row = next(rows, None)
            if isinstance(one, JournaledRecord):
                picture.heard(one.record, self._take(one.record))
            elif isinstance(one.given, Received):
                self._hear(one.given, one.at_ns)
                picture.took(one, [])

    def _fold(self, seq: int) -> None:
        """Bring every account to where it stood after a record."""
        executors = {account: desk.executor for account, desk in self.desks.items()}

        def tail(after_seq: int) -> Iterator[Record]:
            return takewhile(
                lambda record: record.seq <= seq, load(self._journal, after_seq=after_seq)
            )

        rebuild(Snapshots(by_name={}, told=()), tail, executors)
        for desk in self.desks.values():
            for instrument in desk.executor.ledger.state.instruments.values():
                desk.cache.receive(InstrumentListed(instrument=instrument), 0)

    def _take(self, record: Record) -> Any:
        """Fold one record in; give its message."""
        message = decode(record)
        for account, desk in self.desks.items():
            if record.account not in (account, HOUSE):
                continue
            try:
                if isinstance(message, PlaceOrder):
                    desk.executor.adopt(message.order, record.at_ns)
                elif isinstance(message, KeepBudget):
                    desk.executor.restore_budget(message.breakers)
                elif record.kind in EVENTS:
                    desk.executor.receive(message, record.at_ns)
                    if record.account == HOUSE:
                        desk.cache.receive(message, record.at_ns)
            except BrokenInvariant:
                continue  # what the desk itself refused is shown as it was journaled
        return message

    def _hear(self, told: Received, at_ns: int) -> None:
        if told.events is not None:
            self._events = told.events
        desk = self.desks.get(told.account)
        for event in self._events if desk is not None else ():
            desk.cache.receive(event, at_ns)  # type: ignore[union-attr]


def _unheard(made: object) -> None:
    """Hear nothing: nobody decides here."""
    raise BrokenInvariant(f"{type(made).__name__} was decided where nothing is lived again")
