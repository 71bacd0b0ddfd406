"""The engine. Live wiring in the order of the flow; reads as the diagram.

The lock first, so that there is never a second engine; then recovery, which is the only start; then
feeds → caches → bots → risk → executor → journal → gateway → venue, once per account.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from types import MappingProxyType
from typing import Any, NamedTuple, TextIO

from engine.clock import TapeClock, WallClock
from engine.config import Config
from engine.domain.effects import RaiseAlert, alarm, caution
from engine.domain.instruments import AccountId, InstrumentId
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings
from engine.errors import BrokenInvariant, PitbossError, StorageError, os_sentence
from engine.executor.executor import Executor
from engine.live.accounts import Accounts
from engine.live.commands.registry import Commands
from engine.live.engine import Engine
from engine.live.handover import make_private
from engine.live.kill import KillWatch, latch_after_death, loop_closes, loop_ends, refuse_restored
from engine.live.kill_bare import Everything, end_bare, error_text, everything, kill_requested
from engine.live.lifecycle import (
    LOOK_EVERY_NS,
    AbsenceWatch,
    DiskWatch,
    StandstillWatch,
    Streams,
    TruthWatch,
    close,
    fail_start,
    trade,
)
from engine.live.reopen import attach_bots, pause_all
from engine.live.venues import Venues, venues_of
from engine.locks import locked
from engine.plugins import problems
from engine.risk.gate import RiskGate
from engine.runtime.aids import opened_or_anew
from engine.runtime.decisions import DecisionKeeper, DecisionLog, NoDecisions
from engine.runtime.first_settings import first_settings
from engine.runtime.loop import run as run_loop
from engine.runtime.recovery import Recovered, check_accounts, engine_started, recover, unstopped
from engine.runtime.state_writer import Projector, StateKeeper
from engine.runtime.tape import LIVES_APART, SEGMENT_BYTES, Entries, NoTape, Tape
from engine.runtime.ticks import TickKeeper
from storage import supervisor
from storage.alerts import raise_alert
from storage.commands import MarkKind, cut, forget_resolved, many, marks
from storage.database import connect_writer, prepare_kinds, storage_errors
from storage.decisions import FILE_BYTES_MAX, FILES_KEPT
from storage.journal import Snapshots, last_seq, latest_snapshots, record_at, take_lease
from storage.journal_writer import JournalWriter
from storage.latch import Latch, read_latch
from storage.live import keep_found, last_engine_status
from storage.phases import RECONCILING
from storage.projection import check_new, check_past
from storage.schema import check_schema
from storage.settings import SettingsVersion, last_in_force
from storage.users import ENGINE_ID

LOCK_WAIT_S = 5.0
SWITCH_S = 0.001
"""How long a thread may hold the interpreter while the loop waits for it."""

COLLECTED_AFTER = (1_000, 4, 250)
"""Objects more than before at which the collector looks at the young ones, and how many such looks
come before one at the older ones and at all. A frame makes thousands that its own end frees; a look
at all stops the loop for 60 ms on a desk of fifty accounts."""

CUT = "the engine ended before it was answered; the journal shows what was done"


def start(config: Config, url: str, *, kill_only: bool) -> int:
    """Take the lock, then live. Raises what must not be survived; it stands in last_error.

    `kill_only` waits for no engine that is just ending, and raises AlreadyRuns at once.
    """
    try:
        if not kill_only and config.home.is_dir():
            make_private(config.home)
        lock = engine_lock(config, 0.0 if kill_only else LOCK_WAIT_S)
    except OSError as error:
        why = f"the lock of the engine cannot be held: {os_sentence(error)}"
        if kill_only or kill_requested(config):
            asyncio.run(end_bare(config, url, why))
        raise StorageError(why) from error
    run_held(config, lock, lambda: live(config, url, kill_only=kill_only))
    return 0


def engine_lock(config: Config, wait_s: float) -> TextIO:
    """Hold the engine's lock; one just ending is waited for. Raises AlreadyRuns, OSError."""
    return locked(config.run_folder / "engine.lock", "engine", wait_s)


def run_held(config: Config, lock: TextIO, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the engine under its lock; why it failed stands in last_error, too."""
    with lock:
        last_error = config.run_folder / "last_error"
        with contextlib.suppress(OSError):  # a folder that cannot be written must not stop a KILL
            last_error.unlink(missing_ok=True)
        try:
            faulthandler.enable(file=2)  # a library that aborts says where, on standard error
            sys.setswitchinterval(SWITCH_S)
            run_loop(_run_and_close(run))
        except PitbossError as error:
            with contextlib.suppress(OSError):  # a full disk must not hide what ended us
                last_error.write_text(f"{error}\n", encoding="utf-8")
            raise
        finally:
            loop_ends()


async def _run_and_close(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        await run()
    finally:
        loop_closes()


async def live(config: Config, url: str, *, kill_only: bool) -> None:
    """Take the lease and live. Where anything refuses that, a KILL cancels all the same.

    `kill_only` = until everything is proven, for a KILL of which no engine takes care. A KILL that
    is set, or signalled, is carried out by a start that fails, too. Raises what refused.
    """
    if not kill_only:
        left = latch_after_death(config.run_folder, config.kill_path, WallClock().now_ns())
        sys.stderr.write(left)
    venues: Venues | None = None
    try:
        check_new(config.journal_path, config.state_path)
        check_schema(config.state_path)
        check_past(config.journal_path, config.state_path, ENGINE_ID)
        refuse_restored(config.journal_path, config.kill_path, WallClock().now_ns())
        fence = take_lease(config.journal_path, ENGINE_ID)
        killed = kill_only or kill_requested(config)
        # Once and here: they take the secrets out of the environment.
        venues = venues_of(config, url, killed=killed)
        await _live(config, venues, fence, everything(config, venues) if kill_only else None)
    except Exception as error:
        if not kill_only and not kill_requested(config):
            raise
        refused = error_text(error)
        await end_bare(config, url, refused, venues)
        if not kill_only:
            raise
        text = f"nothing is proven, recovery was refused: {refused}"
        raise StorageError(text) from error


async def _live(config: Config, venues: Venues, fence: int, to_prove: Everything | None) -> None:
    """Wire, recover, trade, stop. `to_prove` is what a KILL has to prove alone; None = no KILL."""
    clock, state = WallClock(), config.state_path
    accounts = Accounts(venues, fence=fence)
    with closing(connect_writer(state)) as connection, storage_errors(state):
        start = chosen(connection, accounts, clock.now_ns())
    found = recover(config.journal_path, start.executors)
    past = latest_snapshots(config.journal_path)
    engine = open_engine(config, clock, start, to_prove=to_prove)
    disk = DiskWatch(engine, (config.home, config.state_path.parent))
    engine.watch_every(LOOK_EVERY_NS, disk.watch, from_start=True)
    engine.watchers.append(StandstillWatch(engine).watch)
    engine.watch_every(LOOK_EVERY_NS, AbsenceWatch(engine).watch, from_start=True)
    try:
        streams = opened(engine, start, found, past, to_prove=to_prove)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTED_AFTER)
        await trade(engine, streams, kill_only=to_prove is not None)
    except Exception as error:
        if not engine.ended.done():
            fail_start(engine, error)
        raise
    finally:
        if engine.watch is not None:
            engine.watch.end()  # whoever comes after it, a KILL from beside, takes its time
        await close(engine)


class Start(NamedTuple):
    """What a start begins with, as the state has it."""

    accounts: Accounts
    settings: SettingsVersion
    made: dict[AccountId, tuple[AccountSettings, Executor, RiskGate]]
    """What is opened."""
    aside: tuple[str, ...] = ()
    """Why a version that was in force is not worked by any more."""
    first: bool = False
    """There were no settings before: their bots shall start."""
    outside: Mapping[AccountId, Executor] = MappingProxyType({})
    """What has a past and is not."""
    followed: Mapping[AccountId, dict[InstrumentId, None]] = MappingProxyType({})
    """Markets that a person looks at."""

    @property
    def executors(self) -> dict[AccountId, Executor]:
        return {key: one[1] for key, one in self.made.items()} | dict(self.outside)


def chosen(connection: Connection, accounts: Accounts, now_ns: int) -> Start:
    """Choose what a start opens, and note it in the state before its first record.

    Raises ConfigError where an account's mode would change.
    """
    first = first_settings(connection, ENGINE_ID, now_ns)
    settings, aside = last_in_force(connection, ENGINE_ID, partial(accounts.check, connection))
    accounts.register(connection, settings.document)
    made = accounts.made(settings.document)
    outside = accounts.know(connection, settings.document)
    followed: dict[AccountId, dict[InstrumentId, None]] = {}
    forget_resolved(connection, ENGINE_ID)
    for one in marks(connection, ENGINE_ID, MarkKind.FOLLOWED):
        followed.setdefault(AccountId(one.account), {})[InstrumentId(one.subject)] = None
    return Start(accounts, settings, made, aside, first, outside, followed)


def opened(
    engine: Engine,
    start: Start,
    found: Recovered,
    past: Snapshots,
    *,
    to_prove: Everything | None = None,
) -> Streams:
    """Wire what was chosen and recovered, and start blind; return what must be listened to.

    `past` are the snapshots it was recovered from. Raises StorageError where the journal has
    accounts that the state has never heard of.
    """
    accounts, now_ns, document = start.accounts, engine.clock.now_ns(), start.settings.document
    check_accounts(found, accounts.known)
    for why in start.aside:
        text = f"{why}: it was in force and is set aside; the desk runs on version "
        text += str(start.settings.version)
        engine.alert(alarm("settings", text), now_ns)
    for problem in problems():
        engine.alert(caution("plugin", problem.sentence), now_ns)
    settings = (one[0] for one in start.made.values())
    started = engine_started(past, settings, fence=accounts.fence, seq=engine.recorder.seq)
    engine.record(started, now_ns)
    for one in start.made.values():
        accounts.wire(engine, *one)
    for name, account in document.accounts.items():
        if why := accounts.refusal(account):
            engine.alert(caution("mode", why, account=AccountId(name)), now_ns)
    paused = to_prove is None and engine.config.start_paused_path.exists()
    if paused:
        pause_all(engine, found.bots)
    attach_bots(engine, found.bots, first=start.first and to_prove is None and not paused)
    return begin(engine, found, kill_only=to_prove is not None)


def open_engine(
    config: Config,
    wall: WallClock,
    start: Start,
    *,
    to_prove: Everything | None = None,
    tape: TapeClock | None = None,
    decisions: DecisionLog | None = None,
) -> Engine:
    """Open everything. `tape` = the clock of a recording: it is played, and can wait for a disk.

    `to_prove` is what a KILL has to prove alone; None = no KILL.
    """
    prepare_kinds()
    accounts = start.accounts
    recorder = JournalWriter(
        config.journal_path, engine_id=ENGINE_ID, waits_when_full=tape is not None
    )
    engine = Engine(
        config,
        engine_id=ENGINE_ID,
        clock=tape or wall,
        wall=wall,
        recorder=recorder,
        taper=_tape(config, accounts.fence),
        decisions=decisions or _decision_log(config),
        settings=start.settings,
        followed=start.followed,
        parts={Accounts: accounts},
        outside=partial(accounts.outside, to_prove.accounts if to_prove else ()),
        unread=to_prove.unread if to_prove else (),
        ticks=TickKeeper(config.ticks_folder, wall) if tape is None else None,
    )
    recorder.on_lease_lost(engine.crash)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: engine.end(error_of(context)))
    # A thread that dies of anything ends the engine: no other would do its work.
    threading.excepthook = lambda thread: engine.crash(thread.exc_value or SystemExit())
    commands = Commands(engine)
    state = StateKeeper(
        config.state_path,
        engine_id=ENGINE_ID,
        clock=wall,
        crash=engine.crash,
        received=lambda left: loop.call_soon_threadsafe(commands.receive, left),
        has_room=lambda: commands.has_room,
    )
    engine.wire(state, _projector(config, recorder, engine.crash), _kill_watch(engine, wall))
    engine.watchers.append(TruthWatch(engine).watch)
    return engine


def _projector(
    config: Config, recorder: JournalWriter, crash: Callable[[BaseException], None]
) -> Projector:
    return Projector(
        recorder, journal_path=config.journal_path, state_path=config.state_path, crash=crash
    )


def _kill_watch(engine: Engine, wall: WallClock) -> KillWatch:
    config, loop = engine.config, asyncio.get_running_loop()
    return KillWatch(
        config.kill_path,
        marks=config.run_folder,
        clock=wall,
        taken=engine.killed,
        take=lambda latch: loop.call_soon_threadsafe(engine.take_latch, latch),
        orphaned=lambda: loop.call_soon_threadsafe(engine.end),
        hung=lambda text: (config.run_folder / "last_error").write_text(text + "\n"),
    )


def _tape(config: Config, fence: int) -> Entries:
    """Open the tape; one that cannot be opened is set aside. Raises StorageError of the journal."""
    apart = LIVES_APART if fence > 1 else 0  # before a home's first start there was no life
    last = last_seq(config.journal_path)
    record = record_at(config.journal_path, last) if last else None
    most, after = config.share("tape"), record.tape if record else 0

    def opened() -> Entries:
        return Tape(
            config.tape_folder,
            after=after,
            apart=apart,
            keep_bytes=most,
            segment_bytes=min(SEGMENT_BYTES, most // 8),
        )

    return opened_or_anew(opened, config.tape_folder, partial(NoTape, after + apart))


def _decision_log(config: Config) -> DecisionKeeper:
    most = min(FILE_BYTES_MAX, config.share("decisions") // (FILES_KEPT + 1))

    def opened() -> DecisionKeeper:
        path = config.decisions_path
        return DecisionLog(path, engine_id=ENGINE_ID, file_bytes_max=most, mends=True)

    return opened_or_anew(opened, config.decisions_path, NoDecisions)


def error_of(context: PlainDict) -> BaseException:
    """Return what no task on a loop has caught."""
    error = context.get("exception")
    return error if isinstance(error, BaseException) else BrokenInvariant(context["message"])


def begin(engine: Engine, found: Recovered, *, kill_only: bool) -> Streams:
    """Start blind: nothing is placed before every stream speaks and the venue was asked."""
    now_ns = engine.clock.now_ns()
    shown = found.shown({key: runner.core.executor for key, runner in engine.runners.items()})
    engine.state.write_row(keep_found, now_ns, shown)
    live = sum(shown["orders_without_end"].values())
    logs, made = engine.config.home / "log", partial(unstopped, found=found, live=live)
    engine.state.write_row(_alert_unstopped, made, logs, now_ns)
    engine.state.do(lambda c: cut(c, engine.engine_id, CUT, now_ns))
    engine.log.info("start.found", **shown)
    engine.enter(RECONCILING, f"{many(live, 'order')} without an end in the journal")
    streams = engine.part(Accounts).begin(engine, found.funded)
    latched = kill_only or any(s.core.executor.latched for s in engine.runners.values())
    who = "engine kill" if kill_only else "journal"
    if latched:
        engine.keep_latch(who, now_ns)
    latch = read_latch(engine.config.kill_path) or (
        Latch(who=who, at_ns=now_ns) if latched else None
    )
    if latch is not None:
        engine.take_latch(latch)
    engine.state.listen()
    return streams


def _alert_unstopped(
    connection: Connection,
    engine_id: str,
    made: Callable[..., RaiseAlert | None],
    logs: Path,
    now_ns: int,
) -> None:
    last = last_engine_status(connection, engine_id)
    ended = supervisor.last_end(logs, "engine", last[1]) if last else ""
    alert = made(last, ended=ended)
    if alert is not None:
        raise_alert(connection, engine_id, alert, None, now_ns)
