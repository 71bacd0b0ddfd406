"""One incident from question to answer: which lives, lived again or shown, what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path
from threading import get_ident
from typing import Any

import msgspec

from engine.bots.bot import Bot, InputBatch
from engine.bots.core import AccountCore
from engine.bots.failing import interrupted
from engine.bots.signals import learned_of
from engine.caches.markets import MarketCache
from engine.clock import WallClock
from engine.config import Config
from engine.domain import inputs as given
from engine.domain.bots import BotState
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import (
    AnyEffect,
    Effect,
    KeepBudget,
    KeepDifferences,
    PlaceOrder,
    QueryOperation,
    WalletEffect,
)
from engine.domain.events import AnyEvent, Event, InstrumentListed
from engine.domain.inputs import Received
from engine.domain.instruments import AccountId, BotId, Mode
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings, BotSettings
from engine.errors import BadInput, BrokenInvariant
from engine.executor.executor import Executor
from engine.lab.incident.moment import SECOND_NS, IncidentWindow, window
from engine.lab.incident.past import (
    Decisions,
    Difference,
    Differs,
    Effects,
    JournaledRecord,
    Past,
    Plans,
    RecordedRun,
    StepListener,
    TapeInput,
    position_at,
    reaching,
    recorded_runs,
    recovered,
    with_failures,
)
from engine.lab.incident.picture import Picture
from engine.log import iso
from engine.risk.exposure import ExposureBook, share_total
from engine.runtime.bot_runner import bot_again, renew
from engine.runtime.kept_sources import kind_then
from engine.runtime.recovery import ENGINE_WIDE, code_digest, executor_of, rebuild
from engine.runtime.tape import LINGER_S
from engine.runtime.turn_watch import TurnWatch
from storage.database import connect_reader
from storage.decisions import StoredDecision
from storage.incidents import (
    Span,
    decision_rows,
    journal_span,
    journaled_accounts,
    log_end_ns,
    plan_bodies,
    seq_before,
)
from storage.journal import Record, Snapshots, decode, load
from storage.settings import in_force
from storage.users import ENGINE_ID

# -- Living again: fresh desks are given what the desks of a life were given, in the same order ----
# Nothing is asked of a venue: what it said stands in the journal, and is received again where it
# was received. Every effect, decision and plan goes to the verdict before anything else happens.

EFFECTS = frozenset(kind.__name__ for kind in AnyEffect.__args__)
PROGRESS_EVERY = 2_000
"""Inputs and records between two words about how far it is."""

EVENTS = frozenset(kind.__name__ for kind in AnyEvent.__args__)


class IncidentReplay:
    """One life, lived again up to a time. `desks` stand as they stood then."""

    def __init__(
        self,
        run: RecordedRun,
        journal: Path,
        sources: Path,
        *,
        journal_end_ns: int,
        decisions: Decisions,
        plans: Plans,
        listener: StepListener,
    ) -> None:
        self.recorded = run
        self.journal, self._sources = journal, sources
        self.effects = Effects(journal_end_ns)
        self.decisions = decisions
        self.plans = plans
        self.desks: dict[AccountId, AccountCore] = {}
        self.modes: dict[AccountId, Mode] = {}
        self.uncaused = 0
        """Records the tape lacks the cause of: a crash took it, or it is not written yet."""
        self.at_ns = run.at_ns
        """How far it came."""
        self.difference: Difference | None = None
        self.lacks: set[str] = set()
        """Sources that are not kept: what is there today is played in their place."""
        self._listener = listener
        self._books: dict[Mode, list[ExposureBook]] = {}
        self._bots: dict[BotId, Bot] = {}
        self._batch = InputBatch()
        self._made: list[Decision | Planned] = []
        self._take: dict[type, Callable[[Any, int], object]] = {
            given.EngineStarted: self.on_start,
            given.Opened: self.on_opened,
            given.BotAdded: self.on_bot_added,
        }

    def run(self, past: Past, until_ns: int, progress: Callable[[int], None]) -> None:
        """Live it again up to a time, the end of the life, or the first difference.

        `progress` receives now and then how far in time it is. Raises BadInput, StorageError where
        tape or journal cannot be read.
        """
        for number, (one, failed) in enumerate(with_failures(past)):
            at_ns = one.at_ns if isinstance(one, TapeInput) else one.record.at_ns
            if at_ns > until_ns or self._ends(one):
                break
            if not number % PROGRESS_EVERY:
                progress(at_ns)
            for failure in failed:
                self._interrupt(failure)
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

    def _interrupt(self, failure: given.BotFailed) -> None:
        """Have the call end that was ended from outside, as soon as it is made again."""
        bot = self._bots.get(failure.bot)
        if bot is not None:
            bot.strategy = interrupted(bot.strategy, failure)

    def _ends(self, one: TapeInput | JournaledRecord) -> bool:
        if not isinstance(one, TapeInput) or not isinstance(one.given, given.EngineStarted):
            return False
        return one.position != self.recorded.position

    def _one(self, one: TapeInput | JournaledRecord) -> None:
        if isinstance(one, JournaledRecord):
            if one.led:
                self._receive_record(one.record)
            else:
                self.uncaused += 1
            return
        if not one.whole:
            raise BadInput(
                f"the tape lacks the entries {one.before + 1:,} to {one.position - 1:,}: a segment "
                "was deleted or damaged; what follows cannot be replayed"
            )
        if one.given is None:
            return
        if self.effects.ahead or type(one.given) is given.Turned:
            self.effects.nothing_waits(one.given.account)
        if self.effects.ahead:
            return  # the tape goes further than the journal, which is not written yet
        self._made = []
        self._take.get(type(one.given), self.on_given)(one.given, one.at_ns)
        self._listener.on_input(one, self._made)

    def _receive_record(self, record: Record) -> None:
        """Receive a report again; find an effect decided again."""
        core = self.desks.get(AccountId(record.account))
        if core is not None and record.kind in EFFECTS:
            message: Any = self.effects.match(record)
        else:
            message = decode(record)
            if core is not None and record.kind in EVENTS:
                core.receive(message, record.at_ns)
        self._listener.on_record(record, message)

    def _decide(self, made: Decision | Planned) -> None:
        self._made.append(made)
        if isinstance(made, Planned):
            self.plans.take(made)
        else:
            self.decisions.take(made)

    # -- accounts and bots -------------------------------------------------------------------------

    def on_start(self, start: given.EngineStarted, now_ns: int) -> None:
        """Recover the accounts as that start did: from its snapshots and the tail behind them."""
        del now_ns
        made = [AccountSettings.model_validate_json(text) for text in start.accounts]
        executors = {AccountId(one.name): executor_of(one, start.fence)[0] for one in made}
        recovered(self.journal, start, executors, start.seq)
        for settings in made:
            self._wire(settings, executors[AccountId(settings.name)])

    def on_opened(self, one: given.Opened, now_ns: int) -> None:
        """Open an account that was new, or recover one that had been closed at the start."""
        del now_ns
        settings, start = AccountSettings.model_validate_json(one.settings), self.recorded.began
        executor = executor_of(settings, start.fence)[0]
        if one.seq:
            recovered(self.journal, start, {one.account: executor}, one.seq)
        self._wire(settings, executor)

    def _wire(self, settings: AccountSettings, executor: Executor) -> None:
        executor.resume()
        account = AccountId(settings.name)
        self.desks[account] = AccountCore(
            sliced=True,
            cache=MarketCache(),
            executor=executor,
            bots=(),
            decide=self._decide,
            explain=self._decide,
            batch=self._batch,
        )
        self.modes[account] = settings.mode
        books = self._books.setdefault(settings.mode, [])
        books.append(executor.gate.exposure)
        share_total(books)

    def on_bot_added(self, one: given.BotAdded, now_ns: int) -> None:
        settings = BotSettings.model_validate_json(one.settings)
        kind = self._kind(settings.strategy, one.code)
        bot = self._bots[BotId(settings.name)] = bot_again(settings, one.account, kind, one.learned)
        bot.everything = one.everything
        bot.state = BotState(one.state)
        bot.learned = learned_of(one.signals)
        self.desks[one.account].add(bot, now_ns)

    def _kind(self, name: str, code: str) -> type[object] | None:
        """Return a strategy's class as it ran; None = as it is today."""
        try:
            return kind_then(self._sources, name, code)
        except BadInput as error:
            self.lacks.add(str(error))
            return None

    def on_given(self, one: Any, now_ns: int) -> None:
        """Give a core what it was given then; the journal has the effects it asked for."""
        if type(one) is given.BotReattached:
            self._bots[one.bot].cells.clear()
            if one.learned is not None:
                bot = self._bots[one.bot]
                name = BotSettings.model_validate_json(bot.given).strategy
                renew(bot, one.learned, self._kind(name, one.code))
        self._asks(one.account, self.desks[one.account].receive(one, now_ns), now_ns)

    def _asks(self, account: AccountId, effects: list[Effect], now_ns: int) -> None:
        if effects:
            self.effects.decided(account, effects, now_ns)


def _what(one: TapeInput | JournaledRecord) -> str:
    if isinstance(one, TapeInput):
        return f"entry {one.position} of the tape"
    return f"record {one.record.seq} of the journal"


# -- Shown, not lived again: the window as journal, market and decision log have it ----------------
# For a moment whose life began before the tape does, and for a life that turned out differently.
# The orders are the journal's, folded as a start folds them: one without an answer yet is
# UNKNOWN.

BOOKS_NS = 3_600 * SECOND_NS
"""How far before the window the market is read: a book needs its last whole picture."""


class ShownWindow:
    """The window of one home. `desks` stand as the journal has them."""

    def __init__(self, journal: Path, accounts: Mapping[str, AccountSettings]) -> None:
        self._journal = journal
        self.desks: dict[AccountId, AccountCore] = {}
        self.modes: dict[AccountId, Mode] = {}
        for name, settings in accounts.items():
            account = AccountId(name)
            executor, _ = executor_of(settings, 0)
            self.desks[account] = AccountCore(
                sliced=True, cache=MarketCache(), executor=executor, bots=(), decide=_ignored
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
        warn: Callable[[str], None],
    ) -> None:
        """Show the window. Raises JournalCorrupt, BadInput where the files cannot be read."""
        seq = seq_before(self._journal, window.begin_ns)
        self._restore(seq)
        picture.attach(self)
        position = position_at(tape, window.begin_ns - BOOKS_NS, warn)
        if position is None:
            warn("the tape no longer has this time: no book is shown")
            position = 1
        row = next(rows, None)
        past = Past(tape, self._journal, position=position, after_seq=seq, warn=warn)
        for one in past:
            at_ns = one.at_ns if isinstance(one, TapeInput) else one.record.at_ns
            if at_ns > window.end_ns:
                break
            while row is not None and row.decision.at_ns <= at_ns:
                picture.row(row.decision)
                row = next(rows, None)
            if isinstance(one, JournaledRecord):
                picture.on_record(one.record, self._take(one.record))
            elif isinstance(one.given, Received):
                self._receive(one.given, one.at_ns)
                picture.on_input(one, [])

    def _restore(self, seq: int) -> None:
        """Bring every account to where it stood after a record."""
        executors = {account: core.executor for account, core in self.desks.items()}

        def tail(after_seq: int) -> Iterator[Record]:
            return takewhile(
                lambda record: record.seq <= seq, load(self._journal, after_seq=after_seq)
            )

        rebuild(Snapshots(by_name={}, problems=()), tail, executors)
        for core in self.desks.values():
            for instrument in core.executor.ledger.state.instruments.values():
                core.cache.receive(InstrumentListed(instrument=instrument), 0)

    def _take(self, record: Record) -> Any:
        message = decode(record)
        for account, core in self.desks.items():
            if record.account not in (account, ENGINE_WIDE):
                continue
            try:
                if isinstance(message, PlaceOrder):
                    core.executor.adopt(message.order, record.at_ns, message.identity)
                elif isinstance(message, KeepBudget):
                    core.executor.restore_budget(message.breakers)
                elif isinstance(message, KeepDifferences):
                    core.executor.restore_differences(message)
                elif isinstance(message, WalletEffect | QueryOperation):
                    core.executor.restore_wallet(message, record.at_ns)
                elif record.kind in EVENTS:
                    core.executor.receive(message, record.at_ns)
                    if record.account == ENGINE_WIDE:
                        core.cache.receive(message, record.at_ns)
            except BrokenInvariant:
                continue  # what the desk itself refused is shown as it was journaled
        return message

    def _receive(self, one: Received, at_ns: int) -> None:
        if one.events is not None:
            self._events = one.events
        core = self.desks.get(one.account)
        for event in self._events if core is not None else ():
            core.cache.receive(event, at_ns)  # type: ignore[union-attr]


def _ignored(made: object) -> None:
    raise BrokenInvariant(f"{type(made).__name__} was decided where nothing is replayed")


# -- One incident from question to answer: which lives, lived again or shown, what differs ---------

TAPE_ENDS = "the tape, which keeps a day at most, has no earlier engine run from its start"
NOT_REPLAYED = (
    "not replayed: the engine run of this moment began before the tape does, which keeps a day at "
    "most; shown is what journal, market data and decision log have"
)


class ComparedRuns(msgspec.Struct, kw_only=True):
    """What living it again gave. `again` False = it was not lived again, `notes` say why."""

    again: bool = False
    lives: int = 0
    from_ns: int = 0
    until_ns: int = 0
    effects: int = 0
    decisions: int = 0
    """Rows of the log whose bytes were compared."""
    evaluations: int = 0
    plans: int = 0
    difference: Difference | None = None
    notes: list[str] = []

    def sentence(self) -> str:
        if self.difference is not None:
            return f"IT DIFFERS: {self.difference.sentence()}"
        if not self.again:
            return self.notes[0][:1].upper() + self.notes[0][1:] if self.notes else "Not replayed"
        return (
            f"Replayed from {iso(self.from_ns)}: {self.effects:,} effects, {self.evaluations:,} "
            f"decisions in {self.decisions:,} rows and {self.plans:,} plans are identical byte for "
            "byte"
        )


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What the report of a moment holds."""

    window: IncidentWindow
    account: str
    accounts: dict[str, str]
    """Name → mode, as shown."""
    compared: ComparedRuns
    steps: list[PlainDict]
    left_out: int


def incident(
    config: Config,
    *,
    at_ns: int,
    around_ns: int,
    account: str = "",
    show: Callable[[int, int], None],
) -> Incident:
    """Live a moment again and compare it. `show` receives how far it is: seconds of how many.

    Raises BadInput for a moment or an account nothing is known of, StorageError, JournalCorrupt.
    """
    span = journal_span(config.journal_path)
    period = window(at_ns, around_ns, span)
    known = journaled_accounts(config.journal_path)
    if account and account not in known:
        raise BadInput(
            f"the journal knows no account {account!r}; it knows: {', '.join(known) or 'none'}"
        )
    compared = ComparedRuns(notes=[])
    chosen = None if not account else AccountId(account)
    picture = Picture(period, chosen)
    found = reaching(recorded_runs(config.tape_folder), period)
    if found:
        _replay_runs(config, found, period, compared, picture, span=span, show=show)
    else:
        compared.notes.append(NOT_REPLAYED)
    if not found or compared.difference is not None:
        picture = Picture(period, chosen)
        notes = compared.notes
        rows = decision_rows(config.decisions_path, period.begin_ns, period.end_ns + 1)
        with closing(rows):
            ShownWindow(config.journal_path, _accounts(config, found, known)).run(
                config.tape_folder, period, rows, picture=picture, warn=notes.append
            )
    if picture.left_out:
        compared.notes.append(f"{picture.left_out:,} later steps are left out: ask for less time")
    return Incident(
        window=period,
        account=account,
        accounts=picture.accounts,
        compared=compared,
        steps=picture.steps,
        left_out=picture.left_out,
    )


def _replay_runs(
    config: Config,
    chosen: list[tuple[RecordedRun, int]],
    period: IncidentWindow,
    compared: ComparedRuns,
    picture: Picture,
    *,
    span: Span,
    show: Callable[[int, int], None],
) -> None:
    """Live every life again that reaches into the window, until one differs."""
    first = chosen[0][0]
    if first.began.seq and first.at_ns > period.begin_ns:
        compared.notes.append(f"before {iso(first.at_ns)} nothing is replayed: {TAPE_ENDS}")
    compared.again = True
    compared.from_ns = from_ns = first.at_ns or span.first_ns
    total_s = (min(period.end_ns, span.last_ns) - from_ns) // SECOND_NS
    for run, end_ns in chosen:
        past = Past(
            config.tape_folder,
            config.journal_path,
            position=run.position,
            after_seq=run.began.seq,
            warn=compared.notes.append,
        )
        with _replay_of(config, run, end_ns, span=span, picture=picture) as one:
            watch = TurnWatch(one.desks.values, None, clock=WallClock(), thread=get_ident())
            with watch:  # of a call that was never ended then, as of an engine that hung in it
                one.run(
                    past,
                    period.end_ns,
                    lambda now_ns: show(max(0, (now_ns - from_ns) // SECOND_NS), total_s),
                )
        _add_counts(compared, one)
        compared.notes += _code(run)
        compared.until_ns = one.at_ns
        if one.difference is not None:
            compared.difference = one.difference
            break


@contextmanager
def _replay_of(
    config: Config, run: RecordedRun, end_ns: int, *, span: Span, picture: Picture
) -> Iterator[IncidentReplay]:
    """Give a life that is about to be lived again, with the log's rows of its time.

    The log is closed behind it: a life that differs leaves rows unread.
    """
    log = config.decisions_path
    reported_ns = log_end_ns(log, end_ns)
    rows, plans = decision_rows(log, run.at_ns, end_ns), plan_bodies(log, run.at_ns, end_ns)
    with closing(rows), closing(plans):
        made = IncidentReplay(
            run,
            config.journal_path,
            config.sources_folder,
            journal_end_ns=span.last_ns,
            decisions=Decisions(rows, reported_ns),
            plans=Plans(plans, reported_ns),
            listener=picture,
        )
        picture.attach(made)
        yield made


def _code(run: RecordedRun) -> list[str]:
    """Return a note where another version of the code lived a life than lives it again."""
    then, now = run.began.code, code_digest()
    if then in ("", now):
        return []
    return [
        f"start {run.began.fence} ran other code than this (then {then}, now {now}): a difference "
        "may come from the code; replay it with the version that ran"
    ]


def _add_counts(compared: ComparedRuns, one: IncidentReplay) -> None:
    compared.lives += 1
    compared.effects += one.effects.compared
    compared.decisions += one.decisions.compared
    compared.evaluations += one.decisions.evaluations
    compared.plans += one.plans.compared
    lacks = (
        (
            one.uncaused,
            f"records of the journal were not compared: the tape's last {LINGER_S:g} s "
            "before a crash, or before now, are not written",
        ),
        (
            one.decisions.rotated + one.plans.rotated,
            "decisions and plans were not compared: the decision log no longer has them",
        ),
        (
            one.decisions.late + one.plans.late,
            "decisions and plans were not compared: the "
            "decision log's last moments before a crash, or before now, are not written",
        ),
    )
    compared.notes += [f"{count:,} {what}" for count, what in lacks if count]
    compared.notes += [f"{why}: today's is played" for why in sorted(one.lacks)]


def _accounts(
    config: Config, chosen: list[tuple[RecordedRun, int]], known: list[str]
) -> Mapping[str, AccountSettings]:
    if chosen:
        made = [AccountSettings.model_validate_json(t) for t in chosen[0][0].began.accounts]
        return {one.name: one for one in made}
    with closing(connect_reader(config.state_path)) as connection:
        document = in_force(connection, ENGINE_ID).document
    return {name: one for name, one in document.accounts.items() if name in known}
