"""The life of an engine once it is wired: trade, prove that nothing is left, close."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from engine.domain.effects import alarm
from engine.domain.instruments import AccountId, Leg
from engine.errors import LeaseLost, StorageError
from engine.executor.executor import Executor
from engine.executor.fills import mid_value_micro
from engine.live.engine import Engine
from engine.live.telemetry import Telemetry
from engine.live.venue_sweep import RETRY_S, VenueSweep
from engine.runtime.services import Stream
from engine.runtime.turn_watch import TurnWatch
from storage.commands import STOP_PROOF
from storage.database import reading
from storage.equity_identity import EquityCheck, LedgerSide, judge, put_check
from storage.files import said_bytes
from storage.live import put_engine
from storage.phases import RECOVERY, STOPPED, STOPPING
from storage.supervisor import socket_in
from storage.watch import LOCK

TICK_S = 0.02
STOP_S = 25.0
"""How long a stop waits for its proof; the supervisor waits longer. Where no venue can be asked
before a person acts, it does not wait."""

CRASH_S = 10.0
"""How long an end by a fault cancels and lists at a venue. The next start asks whatever is left."""

CUT_S = 1.0
"""How long it waits before that for requests that are cut."""

Streams = list[Stream]
REASON_LENGTH_MAX = 500
"""Of an error so much is kept with the phase it began."""


async def trade(
    engine: Engine,
    streams: Streams,
    *,
    kill_only: bool,
    telemetry: Telemetry | None = None,
    tick_s: float = TICK_S,
    looks_at_turns: bool = True,
) -> None:
    """Run everything until it ends; then prove that nothing is left. Raises what ended it.

    `looks_at_turns` False = no thread looks how long strategies take: the clock is not the wall's.
    """
    loop = asyncio.get_running_loop()
    stops = (signal.SIGTERM, signal.SIGINT)
    for number in stops:
        loop.add_signal_handler(number, engine.end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)  # one that came during the start ends it now
    reporter = telemetry or Telemetry(engine)
    reporter.follow(engine.clock.now_ns())
    turns = TurnWatch(
        lambda: [runner.core for runner in engine.runners.values()],
        engine.config.home,
        clock=engine.clock,
        on_loop=loop.call_soon_threadsafe,
    )
    with turns if looks_at_turns else nullcontext():
        await _trade(engine, streams, reporter, kill_only=kill_only, tick_s=tick_s)


async def _trade(
    engine: Engine, streams: Streams, reporter: Telemetry, *, kill_only: bool, tick_s: float
) -> None:
    for stream in (*streams, lambda: _heartbeat(engine, reporter, tick_s)):
        engine.spawn(stream)
    if kill_only:
        engine.on_proven(lambda _: engine.end())
        engine.watchers.append(lambda _: _all_there_is(engine))
    error = await engine.ended
    try:
        if error is not None:
            if not isinstance(error, LeaseLost):  # then what rests there is the new one's
                await _crash(engine, error)
            raise error
        if not kill_only:
            await _stop(engine)
    finally:
        for task in engine.tasks:
            task.cancel()
        await asyncio.gather(*engine.tasks, *engine.cut_beside(), return_exceptions=True)


def _all_there_is(engine: Engine) -> None:
    """End a KILL that has proven every account it opened, where no other can be asked here."""
    receipt = engine.receipt
    if engine.needs_operator and receipt:
        lacking = {AccountId(one.account) for one in receipt.accounts if one.missing}
        if not lacking & engine.runners.keys():
            engine.end()


async def _heartbeat(engine: Engine, telemetry: Telemetry, tick_s: float) -> None:
    """Let the engine look at the clock, and tell each second of the wall how it is."""
    loop = asyncio.get_running_loop()
    second_s = 0
    try:
        while True:
            due = loop.time() + tick_s
            await asyncio.sleep(tick_s)
            await _sliced(engine, engine.moments())
            telemetry.tick(engine.clock.now_ns())
            if due >= second_s:
                second_s = int(due) + 1
                engine.second(engine.clock.now_ns())
                await _sliced(engine, telemetry.seconds(engine.clock.now_ns()))
    finally:
        if engine.watch is not None:
            engine.watch.ends()


async def _sliced(engine: Engine, work: Iterator[None]) -> None:
    """Do work a slice at a time; between two slices whatever waits has its turn, a KILL first."""
    for _ in work:
        if engine.watch is not None:
            engine.watch.loop_turns()
        if len(engine.runners) > 1:  # one account has no other to wait for
            await asyncio.sleep(0)


async def _stop(engine: Engine) -> None:
    """Cancel everything, wait for the proof as long as there can be one, keep what is proven."""
    now_ns = engine.clock.now_ns()
    engine.enter(STOPPING, "a stop was asked for")
    engine.begin_proof(
        f"stop-{now_ns}", who="engine", reason="engine stops", at_ns=now_ns, what=STOP_PROOF
    )
    for runner in engine.runners.values():
        runner.halt("the engine stops", now_ns)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(_: int) -> None:
        if not over.done() and (engine.proving is None or engine.needs_operator):
            over.set_result(None)

    engine.watchers.append(look)
    await asyncio.wait({over}, timeout=STOP_S)
    engine.log.info("stopped", proven=engine.proving is None)
    if engine.proving is not None:
        said = _unproven(engine)
        text = f"the engine ends, and orders of ours may be open at a venue: {said}"
        engine.alert(alarm("stop_unproven", text), engine.clock.now_ns())


def _unproven(engine: Engine) -> str:
    return engine.receipt.sentence() if engine.receipt else "NOT PROVEN in the time a stop may take"


def fail_start(engine: Engine, error: Exception) -> None:
    """End an engine whose start was refused: `close` must not keep that as a stop."""
    _enter_recovery(engine, error)
    engine.end(error)


def _enter_recovery(engine: Engine, error: BaseException) -> None:
    engine.enter(RECOVERY, f"{type(error).__name__}: {error}"[:REASON_LENGTH_MAX])


async def _crash(engine: Engine, error: BaseException) -> None:
    """Cancel and list at every venue until it shows nothing, without a turn of any core.

    Our code may be wrong, so nothing is placed any more. Where a venue shows orders or is silent
    for `CRASH_S`, an alert says so: its next start asks again.
    """
    _enter_recovery(engine, error)
    engine.cut_beside()
    executors = {account: runner.core.executor for account, runner in engine.runners.items()}
    sweeps = {account: VenueSweep(executors.get(account)) for account in engine.venues}
    await asyncio.gather(*(_swept(engine, account, sweep) for account, sweep in sweeps.items()))
    missing = []
    for account, sweep in sweeps.items():
        lacks = "; ".join(sweep.missing())
        cancelled = len(sweep.cancelled)
        engine.log.warning("crash.cancel_all", account=account, cancelled=cancelled, lacks=lacks)
        missing += [f"{account}: {lacks}"] if lacks else []
    if missing:
        text = f"the engine ends by a fault, and orders of ours may be open: {', '.join(missing)}"
        engine.alert(alarm("stop_unproven", text), engine.clock.now_ns())


async def _swept(engine: Engine, account: AccountId, sweep: VenueSweep) -> None:
    """Sweep an account whose requests are cut first: one that left later would outlive the cancel.

    A venue that fails is asked again; nothing here is raised.
    """
    if (runner := engine.runners.get(account)) is not None:
        closing = asyncio.ensure_future(_closed(engine, account, runner.close(), []))
        await asyncio.wait({closing}, timeout=CUT_S)
    try:
        async with asyncio.timeout(CRASH_S):
            while not sweep.clean:
                try:
                    await sweep.run(engine.venues[account])
                except Exception as error:  # noqa: BLE001 whatever it is: it is asked again
                    sweep.failed(error)
                    await asyncio.sleep(RETRY_S)
    except TimeoutError as late:
        sweep.failed(late)


async def close(engine: Engine, telemetry: Telemetry | None = None) -> None:
    """Close everything in the order of the flow, each whatever became of those before.

    A disk that refuses is reported. Raises the first other error when all is closed.
    """
    errors: list[BaseException] = []

    def tried(part: str, do: Callable[[], object]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 the journal must be closed after it
            _refused(engine, part, error, errors)

    for account, runner in engine.runners.items():
        await _closed(engine, account, runner.close(), errors)
    for account, venue in engine.venues.items():
        await _closed(engine, account, venue.close(), errors)
    crashed = engine.ended.done() and engine.ended.result() is not None
    if not crashed:
        tried("snapshot", engine.snapshot)
        proof = engine.receipt
        engine.enter(STOPPED, proof.sentence() if proof else f"NOT PROVEN within {STOP_S:g} s")
        tried("beat", lambda: _last_heartbeat(engine, telemetry or Telemetry(engine)))
    tried("journal", engine.recorder.close)
    tried("projector", engine.projector.close)
    tried("state", engine.state.close)
    ends = list(errors)  # what was kept beside trading makes no crash of an end in order
    tried("decisions", engine.decisions.close)
    if engine.ticks is not None:
        tried("ticks", engine.ticks.close)
    tried("tape", engine.closed)
    if ends and not crashed:  # what ended the engine is the first of all, and is raised already
        raise ends[0]


async def _closed(
    engine: Engine, account: str, closing: Coroutine[None, None, None], errors: list[BaseException]
) -> None:
    try:
        await closing
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 the same
        _refused(engine, account, error, errors)


def _refused(engine: Engine, part: str, error: BaseException, errors: list[BaseException]) -> None:
    if isinstance(error, StorageError):
        engine.log.warning("close", part=part, refused=str(error))
        return
    engine.log.error("close", part=part, refused=repr(error), exc_info=error)
    errors.append(error)


def _last_heartbeat(engine: Engine, telemetry: Telemetry) -> None:
    heartbeat = telemetry.heartbeat(engine.clock.now_ns())
    engine.state.put_row("engine", put_engine, heartbeat)


# -- What is watched while the desk trades: equity's identity, accounts that rest, free space ------

S = 1_000_000_000
CHECK_EVERY_NS = 60 * S
RECHECK_NS = 2 * S
"""When a difference is looked at again: what two threads receive at different moments passes by."""

DIFFERS = "equity_differs"


def ledger_side(executor: Executor, *, at_ns: int, seq: int) -> LedgerSide | None:
    """Return what an account's ledger says now, after the journal's record `seq`.

    None = its equity is unknown: something held has no price yet.
    """
    state, equity_micro = executor.ledger.state, executor.equity_mid_micro(at_ns)
    if equity_micro is None:
        return None
    marks = {key: one for key in executor.ledger.held if (one := executor.mark(key)) is not None}
    inventory = -sum(netted.cost for netted in state.netted.values())  # none of it was paid
    tokens: dict[tuple[str, Leg], int] = {}
    for key, held in executor.ledger.held.items():
        terms = state.instruments[key]
        mark = marks.get(key)
        inventory += sum(mid_value_micro(own, terms, mark) for own in state.owned[key].values())
        for leg in terms.product.legs:
            if size := held.leg(leg).total:
                tokens[key, leg] = size
    return LedgerSide(
        account=executor.account,
        mode=executor.mode,
        currency=executor.currency,
        at_ns=at_ns,
        seq=seq,
        cash_micro=state.cash_settled_micro,
        pending_micro=state.cash_pending_micro,
        redeemable_micro=state.redeemable_micro,
        redeemed_micro=state.redeemed_micro,
        inventory_micro=inventory,
        equity_micro=equity_micro,
        tokens=tokens,
        assets=executor.ledger.in_assets(),
        marks={str(key): mark.mid2 for key, mark in marks.items() if mark.mid2 is not None},
    )


class TruthWatch:
    """Compares every account's ledger with its journal each minute; nothing is ever repaired.

    The loop reads the ledger and the number of the journal's last record in one go; the projector's
    thread sums the journal's side when the projections stand at exactly that record. A difference
    seen twice is alarmed with both sides.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due_ns = 0
        self._suspect: set[str] = set()
        """Accounts whose last check found a difference."""

    def watch(self, _: int) -> None:
        """Ask for a check where one is due, on the loop's thread."""
        engine, now_ns = self._engine, self._engine.wall_ns()
        if now_ns < self._due_ns:
            return
        seq = engine.recorder.seq
        executors = [runner.core.executor for runner in engine.runners.values()]
        made = [ledger_side(one, at_ns=now_ns, seq=seq) for one in executors if not one.recovering]
        sides = [side for side in made if side is not None]
        if sides and engine.projector.at(seq, lambda: self._check(sides)):
            self._due_ns = now_ns + CHECK_EVERY_NS

    def _check(self, sides: Sequence[LedgerSide]) -> None:
        """Judge every account; the projections stand at the sides' record."""
        engine = self._engine
        with reading(engine.config.state_path) as connection:
            checks = [judge(connection, engine.engine_id, side) for side in sides]
        for check in checks:
            engine.state.write_row(put_check, check)
            self._received(check)

    def _received(self, check: EquityCheck) -> None:
        """Take what was found, on the projector's thread; twice the same is alarmed."""
        engine = self._engine
        account = check.ledger.account
        if not check.differs:
            self._suspect.discard(account)
        elif account in self._suspect:
            text = f"the identity of equity is broken: {check.text}. Nothing was repaired"
            alert = alarm(DIFFERS, text, AccountId(account))
            soon = engine.ended.get_loop().call_soon_threadsafe
            soon(engine.alert, alert, engine.wall_ns())
        else:
            self._suspect.add(account)
            self._due_ns = check.ledger.at_ns + RECHECK_NS


STANDSTILL = "standstill"
STANDSTILL_NS = 120 * S
"""How long an account may place nothing before a person hears of it: longer than a venue's restart
and the start of an account."""


class StandstillWatch:
    """Tells once of an account that places nothing for long, unless another alert has said why."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._since_ns: dict[AccountId, int] = {}
        """Since when an account places nothing; 0 = a person was alerted."""

    def watch(self, now_ns: int) -> None:
        for account, runner in self._engine.runners.items():
            executor = runner.core.executor
            reported = executor.latched or executor.stopped or executor.to_release
            killed = any(not any(hold.place) for hold in executor.holds)
            if executor.healthy or reported or killed or runner.unaskable():
                self._since_ns.pop(account, None)
                continue
            since_ns = self._since_ns.setdefault(account, now_ns)
            if since_ns and now_ns - since_ns >= STANDSTILL_NS:
                self._since_ns[account] = 0
                why = "; ".join(executor.reasons)
                text = f"nothing could be placed for {STANDSTILL_NS // S} s: {why}"
                self._engine.alert(alarm(STANDSTILL, text, account=account), now_ns)


ABSENT = "watch_absent"
ABSENT_NS = 60 * S
"""How long a desk may be without a look of its watch: supervisor starts it again in seconds."""


class AbsenceWatch:
    """Tells once that no watch looks at this desk: until one is back nothing is sent away.

    The watch tells of a killed engine, the engine of a watch that never came, or came no more. An
    engine that runs without a supervisor has none.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._folder = engine.config.run_folder
        self._told = False

    def watch(self, now_ns: int) -> None:
        """Look at the time of the file that the watch touches at each of its turns."""
        engine = self._engine
        if not socket_in(self._folder).exists():
            return
        wall_ns, looked_ns = engine.wall_ns(), 0
        with suppress(OSError):
            looked_ns = (self._folder / LOCK).stat().st_mtime_ns
        absent_ns = wall_ns - max(looked_ns, engine.started_ns)
        if absent_ns < ABSENT_NS:
            self._told = False
        elif not self._told:
            self._told = True
            text = f"no watch has looked at this desk for {ABSENT_NS // S} s: nothing is sent away"
            engine.alert(alarm(ABSENT, text), now_ns)


# -- free space: an early alert, and nothing new is asked for before the disk is full --------------

DISK = "disk"
"""Health source and kind of alert."""

LOOK_EVERY_NS = 10 * S
FREE_LOW = 0.05
FREE_LEVELS = (FREE_LOW, 0.20)
"""Shares of free space below which a person hears of it, the worst first."""

FREE_MIN = 0.02
"""Below it no new order is placed; cancels and KILL go on, and what is open is looked after."""

FREE_HYSTERESIS = 0.01
"""By how much more must be free before a level counts as left: no alert at every file."""

StatVfs = Callable[[Path], os.statvfs_result]


class DiskWatch:
    """Looks at the disks the desk writes to. `statvfs` is the system's question."""

    def __init__(self, engine: Engine, folders: Sequence[Path], statvfs: StatVfs = os.statvfs):
        self._engine = engine
        self._folders = folders
        self._statvfs = statvfs
        self._reported = 1.0
        """The level reported last; 1 = none."""
        self._full = False

    def watch(self, now_ns: int) -> None:
        """Tell a level that was passed, and forbid or allow placing."""
        try:
            share, folder, free = min(self._free(folder) for folder in self._folders)
        except OSError as error:
            self._engine.health(DISK, f"free disk space cannot be read: {error}")
            return
        left = f"{said_bytes(free)} ({100 * share:.1f} %) are free at {folder}"
        self._full = share < FREE_MIN + FREE_HYSTERESIS * self._full
        self._engine.health(DISK, f"{left}: make room; cancels and KILL go on" * self._full)
        if share >= self._reported + FREE_HYSTERESIS:
            self._reported = 1.0
        for level in FREE_LEVELS:
            if share < level < self._reported:
                self._reported = level
                text = f"{left}: make room; below {100 * FREE_MIN:.0f} % no new order is placed"
                kept, part = said_bytes(free), f"{100 * share:.1f} %"
                low = level == FREE_LOW
                alert = alarm("disk_low" if low else "disk", text, free=kept, share=part)
                self._engine.alert(alert, now_ns)
                break

    def _free(self, folder: Path) -> tuple[float, Path, int]:
        """Return the share that is free where a folder lies, the folder, and bytes. OSError."""
        found = self._statvfs(folder)
        return found.f_bavail / max(1, found.f_blocks), folder, found.f_bavail * found.f_frsize
