"""What brings alerts about that a whole desk raises, by kind.

Each act is done to a home whose engine runs in this process; the alert stands in its state database
then.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pytest

from engine.domain.bots import BotState
from engine.domain.commands import StartBot
from engine.domain.events import LatchSet
from engine.domain.instruments import BotId
from engine.live.commands.foreign import ForeignThings
from engine.live.commands.markets import FilterFollower
from engine.live.commands.observations import ALERT
from engine.live.lifecycle import ABSENT_NS, STANDSTILL_NS, AbsenceWatch, StandstillWatch
from engine.live.reopen import attach_bots
from engine.runtime.bot_runner import BotSnapshot
from engine.runtime.state_writer import JOBS_MAX
from storage import latch
from storage.jobs import begin_recording
from storage.phases import RUNNING
from storage.settings import Saved, applied, save
from storage.supervisor import socket_in
from storage.users import ENGINE_ID
from tests.live.commands.test_foreign import WalletDesk
from tests.live.commands.test_markets import FIRST, FollowDesk
from tests.live.desk import LiveDesk
from tests.live.trading_desk import DEMO, Exchange, TradingDesk

Act = Callable[[Path], None]
AnyDesk = TypeVar("AnyDesk", bound=LiveDesk)
MAKER = BotId("maker")


def at(
    made: Callable[[Path], AnyDesk],
    act: Callable[[AnyDesk], Awaitable[None]],
    kind: str,
    home: Path,
) -> None:
    """Do something to a desk in this process and wait for its alert; the desk ends in order."""

    async def whole() -> None:
        async with made(home) as desk:
            await act(desk)

            def stands() -> object:
                desk.engine.tick(desk.engine.clock.now_ns())
                return desk.connection.execute(
                    "SELECT 1 FROM alerts WHERE kind = ?", (kind,)
                ).fetchall()

            await desk.until(stands, f"{kind} is raised")
            desk.engine.end()
            await asyncio.sleep(0)  # what waits for the end is called

    asyncio.run(whole())


def trading(home: Path) -> TradingDesk:
    return TradingDesk(home, Exchange())


# -- bots and accounts -----------------------------------------------------------------------------


async def closed_account(desk: TradingDesk) -> None:
    """Start bots whose account is not open."""
    desk.engine.bot_runners.clear()
    del desk.engine.runners[DEMO]
    attach_bots(desk.engine, {})


async def forgotten(desk: TradingDesk) -> None:
    """Start a bot whose learning cannot be read."""
    before = desk.engine.bot_runners.pop(MAKER)
    before.runner.core.remove(before.bot, desk.engine.clock.now_ns())
    attach_bots(desk.engine, {MAKER: BotSnapshot(state=BotState.RUNNING, strategy=b"garbage")})


async def too_large(desk: TradingDesk) -> None:
    """Start a bot before the equity is known of an account that then cannot pay for it."""
    blocks = desk.engine.runners[DEMO].core.executor._blocks
    blocks.recovering = True
    await desk.command(StartBot(bot=MAKER))
    blocks.recovering = False


async def unanswered(desk: TradingDesk) -> None:
    """Leave an account without an answer of its venue for longer than a start takes."""
    desk.engine.runners[DEMO].core.executor._blocks.recovering = True
    watch, now_ns = StandstillWatch(desk.engine), desk.engine.clock.now_ns()
    for later_ns in (0, STANDSTILL_NS):
        watch.watch(now_ns + later_ns)


async def unwatched(desk: LiveDesk) -> None:
    """Leave a desk that has a supervisor without a look of its watch for a minute."""
    socket = socket_in(desk.config.run_folder)
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.touch()
    desk.engine.started_ns -= ABSENT_NS
    AbsenceWatch(desk.engine).watch(desk.engine.clock.now_ns())


async def latch_unwritten(desk: TradingDesk) -> None:
    """Have risk set the KILL latch on a disk that takes nothing."""

    def full(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))

    executor, now_ns = desk.engine.runners[DEMO].core.executor, desk.engine.clock.now_ns()
    executor.receive(LatchSet(who="risk", reason="drawdown"), now_ns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latch, "_write", full)
        desk.engine.tick(now_ns)


async def strangers(desk: WalletDesk) -> None:
    """List orders and tokens of others in a live wallet."""
    await desk.lists()
    del desk.engine.alert  # as the engine has it, not as that desk keeps it
    desk.engine.part(ForeignThings)._due_ns = 0


# -- files, settings, what comes from outside ------------------------------------------------------


async def locked(desk: TradingDesk) -> None:
    """Hold the state database while more rows wait than an engine trades with."""
    holder = sqlite3.connect(desk.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for _ in range(JOBS_MAX + 1):
        desk.engine.state.write(lambda _: None)
    desk.engine.second(desk.engine.clock.now_ns())
    holder.close()


async def garbled_listing(desk: FollowDesk) -> None:
    desk.lists(first=100.0)
    await desk.follows(FIRST)
    desk.config.markets_path.write_bytes(b"no database" * 100)
    desk.engine.part(FilterFollower)._due_ns = 0


async def nonsense_outside(desk: LiveDesk) -> None:
    """Write lines that say nothing into the file of outside information."""
    engine = desk.engine
    engine.phase = RUNNING
    engine.spawn = lambda stream: engine.beside(stream())
    engine.tick(engine.clock.now_ns())
    inbox = engine.config.observed_folder / "inbox.jsonl"
    await desk.until(inbox.parent.is_dir, "the folder is there")

    def refused() -> object:
        with inbox.open("a", encoding="utf-8") as file:
            file.write("nonsense\n")
        return engine.notes(ALERT)._texts

    await desk.until(refused, "a line is refused")


def misscheduled(home: Path) -> LiveDesk:
    """A desk whose schedule asks for a job at no hour there is."""
    desk = LiveDesk(home)
    diff = {"schedule": {"nightly": {"cron": "0 25 * * *", "job": "backup"}}}
    saved = save(desk.connection, engine_id=ENGINE_ID, who="t", diff=diff, base_version=0, now_ns=1)
    assert isinstance(saved, Saved)
    applied(desk.connection, ENGINE_ID, saved.version, 1)
    return desk


def recording_elsewhere(home: Path) -> LiveDesk:
    """A desk that recorded a venue whose plug-in is gone."""
    desk = LiveDesk(home)
    desk.accounts.venues = SimpleNamespace(markets={})
    begin_recording(
        desk.connection, engine_id=ENGINE_ID, name="day", instruments=("gone:m1",), who="t",
        now_ns=1,
    )  # fmt: skip
    return desk


async def running(desk: LiveDesk) -> None:
    desk.engine.phase = RUNNING


ACTS: dict[str, Act] = {
    "mode": partial(at, trading, closed_account, "mode"),
    "learning": partial(at, trading, forgotten, "learning"),
    "settings": partial(at, trading, too_large, "settings"),
    "standstill": partial(at, trading, unanswered, "standstill"),
    "latch_file": partial(at, trading, latch_unwritten, "latch_file"),
    "watch_absent": partial(at, LiveDesk, unwatched, "watch_absent"),
    "foreign": partial(at, WalletDesk, strangers, "foreign"),
    "state": partial(at, trading, locked, "state"),
    "filter": partial(at, FollowDesk, garbled_listing, "filter"),
    "observed": partial(at, LiveDesk, nonsense_outside, "observed"),
    "schedule": partial(at, misscheduled, running, "schedule"),
    "recording": partial(at, recording_elsewhere, running, "recording"),
}
