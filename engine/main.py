"""`python -m engine run`: the engine. Live wiring in the order of the flow; reads as the diagram.

The lock first, so that there is never a second engine; then recovery, which is the only start; then
feeds → caches → bots → risk → executor → journal → gateway → venue, once per account.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TextIO

import uvloop

from engine.bots.bot import BotState
from engine.bots.roster import RosterDesk
from engine.caches.markets import MarketCache
from engine.clock import WallClock
from engine.config import Config
from engine.decision_log import DecisionLog
from engine.demo import PORT, locked
from engine.domain.commands import StartBot
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import CashMoved, HealthChanged
from engine.domain.instruments import AccountId, BotId, Mode
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.errors import BrokenInvariant, PitbossError, StorageError
from engine.executor.executor import Executor
from engine.gateway.core import GatewayCore
from engine.journal import JournalWriter
from engine.live_bots import Kept, Seat, restored
from engine.live_commands import Commands
from engine.live_feed import HEARTBEAT, USER_FEED, MarketStream, UserStream
from engine.live_first import first_settings
from engine.live_house import House
from engine.live_kill import KillWatch, block_signal
from engine.live_life import Streams, close, trade
from engine.live_start import HOUSE, Recovered, currency_of, executor_of, recover
from engine.live_state import Projector, StateKeeper
from engine.loop import Shell
from engine.risk.gate import RiskGate
from engine.tape import Tape
from engine.venues.demo.client import DemoVenue
from storage.commands import CommandState, answer, unanswered
from storage.database import connect_writer
from storage.journal import last_seq, record_at
from storage.latch import read_latch, set_latch
from storage.lease import take_lease
from storage.live import keep_found
from storage.projection import register_account
from storage.schema import check_schema
from storage.settings import SettingsVersion
from storage.users import ENGINE_ID

NAME = "run"
HELP = "trade: the engine, until it is told to stop"

LOCK_WAIT_S = 5.0
SWITCH_S = 0.001
"""How long a thread may hold the interpreter while the loop waits for it."""

CUT = "the engine ended before it was answered; the journal says what was done"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the demo exchange is."""
    parser.add_argument(
        "--demo", default=f"http://127.0.0.1:{PORT}", help="address of the demo exchange"
    )


def run(args: argparse.Namespace, config: Config) -> int:
    """Trade until SIGTERM, SIGINT or the end of the parent."""
    block_signal()
    return start(config, args.demo, kill_only=False)


def start(config: Config, url: str, *, kill_only: bool) -> int:
    """Take the lock, then live. Raises what must not be survived; it stands in last_error."""
    with engine_lock(config):
        last_error = config.run_folder / "last_error"
        last_error.unlink(missing_ok=True)
        try:
            check_schema(config.state_path)
            sys.setswitchinterval(SWITCH_S)
            uvloop.run(live(config, url, kill_only=kill_only))
        except PitbossError as error:
            last_error.write_text(f"{error}\n", encoding="utf-8")
            raise
    return 0


def engine_lock(config: Config, wait_s: float = LOCK_WAIT_S) -> TextIO:
    """Hold the engine's lock; one that is just ending is waited for. Raises StorageError."""
    until = time.monotonic() + wait_s
    while True:
        try:
            return locked(config.run_folder / "engine.lock", "engine")
        except StorageError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.1)


async def live(config: Config, url: str, *, kill_only: bool) -> None:
    """Wire, recover, trade, stop."""
    clock = WallClock()
    fence = take_lease(config.journal_path, ENGINE_ID)
    with closing(connect_writer(config.state_path)) as connection:
        settings, first = first_settings(connection, ENGINE_ID, clock.now_ns())
        accounts = [one for one in settings.document.accounts.values() if one.mode is Mode.DEMO]
        for one in accounts:
            register_account(
                connection, engine_id=ENGINE_ID, account=one.name, mode=one.mode,
                venue=one.venue, currency=currency_of(one),
            )  # fmt: skip
    made = {AccountId(one.name): executor_of(one, fence) for one in accounts}
    executors = {account: executor for account, (executor, _) in made.items()}
    found = recover(config.journal_path, executors)
    house = open_house(config, clock, settings)
    try:
        wire(house, accounts, made, url)
        seat_bots(house, found, first=first and not kill_only)
        streams = begin(house, found, kill_only=kill_only)
        gc.collect()
        gc.freeze()
        await trade(house, streams, kill_only=kill_only)
    finally:
        await close(house)


def open_house(config: Config, clock: WallClock, settings: SettingsVersion) -> House:
    """Open journal, tape, decisions and the state's threads."""
    last = last_seq(config.journal_path)
    record = record_at(config.journal_path, last) if last else None
    recorder = JournalWriter(config.journal_path, engine_id=ENGINE_ID)
    house = House(
        config,
        engine_id=ENGINE_ID,
        clock=clock,
        recorder=recorder,
        taper=Tape(config.tape_folder, after=record.tape if record else 0),
        decisions=DecisionLog(config.decisions_path, engine_id=ENGINE_ID),
        settings=settings,
    )
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: house.end(_error(context)))
    commands = Commands(house)
    house.state = StateKeeper(
        config.state_path,
        engine_id=ENGINE_ID,
        clock=clock,
        heard=lambda left: loop.call_soon_threadsafe(commands.hear, left),
        crash=house.crash,
    )
    house.projector = Projector(
        recorder,
        journal_path=config.journal_path,
        state_path=config.state_path,
        crash=house.crash,
    )
    house.watch = KillWatch(
        config.kill_path,
        clock=clock,
        take=lambda latch: loop.call_soon_threadsafe(house.take_latch, latch),
        orphaned=lambda: loop.call_soon_threadsafe(house.end),
        hung=lambda text: (config.run_folder / "last_error").write_text(text + "\n"),
    )
    return house


def _error(context: dict[str, Any]) -> BaseException:
    error = context.get("exception")
    return error if isinstance(error, BaseException) else BrokenInvariant(context["message"])


def wire(
    house: House,
    accounts: list[AccountSettings],
    made: dict[AccountId, tuple[Executor, RiskGate]],
    url: str,
) -> None:
    """Put every account together, in the order of the flow."""
    for settings in accounts:
        account = AccountId(settings.name)
        executor, gate = made[account]
        executor.resume()  # a stop of the engine is over with its start
        desk = RosterDesk(cache=MarketCache(), executor=executor, bots=(), decide=_deciding(house))
        venue = DemoVenue(url, account)
        house.gates[account] = gate
        house.venues[account] = venue
        house.shells[account] = Shell(
            desk=desk,
            core=GatewayCore(account=account, settings=GatewaySettings(), latched=executor.latched),
            venue=venue,
            recorder=house.recorder,
            clock=house.clock,
            meter=house.meter,
            alert=house.alert,
            crash=house.end,
        )


def _deciding(house: House) -> Callable[[Decision | Planned], None]:
    def decide(decision: Decision | Planned) -> None:
        try:
            house.decisions.append(decision)
        except StorageError as error:
            text = str(error)
            alert = RaiseAlert(severity=Severity.WARNING, kind="decisions", text=text)
            house.alert(alert, decision.at_ns)

    return decide


def seat_bots(house: House, found: Recovered, *, first: bool) -> None:
    """Seat every bot in force as it was; the first start's bots start."""
    now_ns = house.clock.now_ns()
    for name, settings in house.settings.document.bots.items():
        shell = house.shells.get(AccountId(settings.account))
        if shell is None:
            text = f"bot {name} trades at {settings.account}, which is no demo account: not started"
            house.alert(RaiseAlert(severity=Severity.WARNING, kind="mode", text=text), now_ns)
            continue
        seat = house.seats[name] = Seat(settings, shell)
        told = restored(seat, found.bots.get(name, Kept(state=BotState.IDLE)))
        if told:
            house.alert(RaiseAlert(severity=Severity.WARNING, kind="learning", text=told), now_ns)
        shell.desk.admit(seat.bot, now_ns)
        if seat.bot.state in (BotState.PAUSING, BotState.STOPPING):
            shell.desk.withdraw(seat.bot, now_ns)
        if first:
            house.recorder.append(HOUSE, StartBot(bot=BotId(name)), now_ns)
            seat.start(now_ns)


def begin(house: House, found: Recovered, *, kill_only: bool) -> Streams:
    """Start blind: nothing is placed before every stream speaks and the venue was asked."""
    now_ns = house.clock.now_ns()
    shown = found.shown({key: shell.desk.executor for key, shell in house.shells.items()})
    house.state.write(lambda c: keep_found(c, house.engine_id, now_ns, shown))
    house.state.do(lambda c: _answer_cut(c, house.engine_id, now_ns))
    house.log.info("start.found", **shown)
    house.phase = "RECONCILING"
    market = MarketStream(house, lambda: list(house.shells.values()))
    streams: Streams = []
    for account, shell in house.shells.items():
        shell.desk.begin(now_ns)
        user = UserStream(house, shell, house.venues[account])
        for source in (USER_FEED, HEARTBEAT):
            shell.deliver(user.lost(source, "not connected yet"), now_ns)
        settings = house.settings.document.accounts[account]
        funded = account in found.funded
        streams.append(lambda u=user, s=settings, f=funded: _account(house, u, s, funded=f))  # type: ignore[misc]
    if house.venues:
        venue = next(iter(house.venues.values()))
        streams.append(lambda: market.run(venue))
    latched = kill_only or any(s.desk.executor.latched for s in house.shells.values())
    if latched:
        set_latch(house.config.kill_path, "engine kill" if kill_only else "journal", now_ns)
    latch = read_latch(house.config.kill_path)
    if latch is not None:
        house.take_latch(latch)
    house.state.listen()
    return streams


def _answer_cut(connection: Any, engine_id: str, now_ns: int) -> None:
    for left in unanswered(connection, engine_id):
        answer(connection, engine_id, left.id, state=CommandState.FAILED, text=CUT, now_ns=now_ns)


async def _account(
    house: House, user: UserStream, settings: AccountSettings, *, funded: bool
) -> None:
    """Open the account at the venue, book its first cash once, then listen and beat."""
    account = AccountId(settings.name)
    venue, shell = house.venues[account], house.shells[account]
    while True:
        try:
            await venue.open(round(settings.starting_cash * 1_000_000))
            if not funded:
                cash = (await venue.balances()).cash_micro
                currency = currency_of(settings)
                shell.report(
                    CashMoved(account=account, currency=currency, amount_micro=cash[currency])
                )
            break
        except PitbossError as error:
            house.log.info("account.waits", account=account, reason=str(error))
            await asyncio.sleep(0.25)
    shell.report(HealthChanged(account=account, source="auth", healthy=True))
    await asyncio.gather(user.run(), user.beat())
