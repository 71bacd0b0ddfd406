"""Living again: fresh desks are given what the desks of a life were given, in the same order.

Nothing is asked of a venue: what it said stands in the journal, and is heard again where it was
heard. Every effect, decision and plan goes to the verdict before anything else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from engine.bots.bot import Bot
from engine.bots.core import AccountCore, InputBatch
from engine.caches.markets import MarketCache
from engine.domain import inputs as given
from engine.domain.bots import BotState
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import AnyEffect, Effect
from engine.domain.events import AnyEvent
from engine.domain.instruments import AccountId, BotId, Mode
from engine.domain.settings import AccountSettings, BotSettings
from engine.errors import BadInput, BrokenInvariant
from engine.executor.executor import Executor
from engine.lab.incident.past import Given, JournaledRecord, Past, RecordedRun, recovered
from engine.lab.incident.verdict import Decisions, Difference, Differs, Effects, Plans
from engine.risk.exposure import ExposureBook, share_total
from engine.runtime.bot_runner import bot_of
from engine.runtime.recovery import executor_of
from storage.journal import Record, decode

EFFECTS = frozenset(kind.__name__ for kind in AnyEffect.__args__)
TELL_EVERY = 2_000
"""Inputs and records between two words about how far it is."""

EVENTS = frozenset(kind.__name__ for kind in AnyEvent.__args__)


class StepListener(Protocol):
    """Sees every step after it was taken."""

    def took(self, one: Given, made: list[Decision | Planned]) -> None:
        """See an input, and what was decided because of it."""
        ...

    def heard(self, record: Record, message: Any) -> None:
        """See a record of the journal: a report, an effect, a command."""
        ...


class IncidentReplay:
    """One life, lived again up to a time. `desks` stand as they stood then."""

    def __init__(
        self,
        life: RecordedRun,
        journal: Path,
        *,
        journal_end_ns: int,
        decisions: Decisions,
        plans: Plans,
        listener: StepListener,
    ) -> None:
        self.life = life
        self.journal = journal
        self.effects = Effects(journal_end_ns)
        self.decisions = decisions
        self.plans = plans
        self.desks: dict[AccountId, AccountCore] = {}
        self.modes: dict[AccountId, Mode] = {}
        self.unled = 0
        """Records the tape lacks the cause of: a crash took it, or it is not written yet."""
        self.at_ns = life.at_ns
        """How far it came."""
        self.difference: Difference | None = None
        self._listener = listener
        self._kin: dict[tuple[Mode, str], list[ExposureBook]] = {}
        self._bots: dict[BotId, Bot] = {}
        self._batch = InputBatch()
        self._made: list[Decision | Planned] = []
        self._take: dict[type, Callable[[Any, int], object]] = {
            given.LifeBegan: self.began, given.Opened: self.opened, given.Admitted: self.admitted,
        }  # fmt: skip

    def run(self, past: Past, until_ns: int, tell: Callable[[int], None]) -> None:
        """Live it again up to a time, the end of the life, or the first difference.

        `tell` hears now and then how far in time it is. Raises BadInput, StorageError where tape
        or journal cannot be read.
        """
        for number, one in enumerate(past):
            at_ns = one.at_ns if isinstance(one, Given) else one.record.at_ns
            if at_ns > until_ns or self._ends(one):
                break
            if not number % TELL_EVERY:
                tell(at_ns)
            try:
                self._one(one)
            except Differs as differs:
                self.difference = differs.difference
                return
            except (BrokenInvariant, KeyError) as error:
                broke = f"{type(error).__name__}: {error}"
                self.difference = Difference(what=_what(one), at_ns=at_ns, kept="", again=broke)
                return
            self.at_ns = max(self.at_ns, at_ns)
        try:
            self.decisions.end(self.at_ns)
        except Differs as differs:
            self.difference = differs.difference

    def _ends(self, one: Given | JournaledRecord) -> bool:
        """Say whether this is where the next life begins."""
        if not isinstance(one, Given) or not isinstance(one.given, given.LifeBegan):
            return False
        return one.position != self.life.position

    def _one(self, one: Given | JournaledRecord) -> None:
        if isinstance(one, JournaledRecord):
            if one.led:
                self._kept(one.record)
            else:
                self.unled += 1
            return
        if not one.whole:
            raise BadInput(
                f"the tape lacks the entries {one.before + 1:,} to {one.position - 1:,}: a segment "
                "was deleted or damaged; what follows cannot be lived again"
            )
        if one.given is None:
            return
        if self.effects.ahead or type(one.given) is given.Turned:
            self.effects.nothing_waits(one.given.account)
        if self.effects.ahead:
            return  # the tape goes further than the journal, which is not written yet
        self._made = []
        self._take.get(type(one.given), self.given)(one.given, one.at_ns)
        self._listener.took(one, self._made)

    def _kept(self, record: Record) -> None:
        """Hear a report again; find an effect decided again."""
        desk = self.desks.get(AccountId(record.account))
        if desk is not None and record.kind in EFFECTS:
            message: Any = self.effects.kept(record)
        else:
            message = decode(record)
            if desk is not None and record.kind in EVENTS:
                desk.receive(message, record.at_ns)
        self._listener.heard(record, message)

    def _decide(self, made: Decision | Planned) -> None:
        self._made.append(made)
        if isinstance(made, Planned):
            self.plans.take(made)
        else:
            self.decisions.take(made)

    # -- accounts and bots -------------------------------------------------------------------------

    def began(self, life: given.LifeBegan, now_ns: int) -> None:
        """Recover the accounts as that start did: from its snapshots and the tail behind them."""
        del now_ns
        made = [AccountSettings.model_validate_json(text) for text in life.accounts]
        executors = {AccountId(one.name): executor_of(one, life.fence)[0] for one in made}
        recovered(self.journal, life, executors, life.seq)
        for settings in made:
            self._wire(settings, executors[AccountId(settings.name)])

    def opened(self, one: given.Opened, now_ns: int) -> None:
        """Open an account that was new, or recover one that had been closed at the start."""
        del now_ns
        settings, life = AccountSettings.model_validate_json(one.settings), self.life.began
        executor = executor_of(settings, life.fence)[0]
        if one.seq:
            recovered(self.journal, life, {one.account: executor}, one.seq)
        self._wire(settings, executor)

    def _wire(self, settings: AccountSettings, executor: Executor) -> None:
        executor.resume()
        account = AccountId(settings.name)
        self.desks[account] = AccountCore(
            cache=MarketCache(),
            executor=executor,
            bots=(),
            decide=self._decide,
            explain=self._decide,
            batch=self._batch,
        )
        self.modes[account] = settings.mode
        kin = self._kin.setdefault((settings.mode, settings.currency), [])
        kin.append(executor.gate.exposure)
        share_total(kin)

    def admitted(self, one: given.Admitted, now_ns: int) -> None:
        """Make the bot that was admitted, with what it knew."""
        settings = BotSettings.model_validate_json(one.settings)
        bot = self._bots[BotId(settings.name)] = bot_of(settings, one.account)
        bot.everything = one.everything
        bot.state = BotState(one.state)
        bot.strategy.restore(one.learned)
        self.desks[one.account].add(bot, now_ns)

    def given(self, one: Any, now_ns: int) -> None:
        """Give a core what it was given then; the journal has the effects it asked for."""
        if type(one) is given.Seated:
            self._bots[one.bot].cells.clear()
        self._asks(one.account, self.desks[one.account].receive(one, now_ns), now_ns)

    def _asks(self, account: AccountId, effects: list[Effect], now_ns: int) -> None:
        if effects:
            self.effects.decided(account, effects, now_ns)


def _what(one: Given | JournaledRecord) -> str:
    if isinstance(one, Given):
        return f"entry {one.position} of the tape"
    return f"record {one.record.seq} of the journal"
