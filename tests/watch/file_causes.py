"""What brings alerts about of files, feeds and a start, by kind.

Each act is done to a home; the alert stands in its state database then.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.config import Config
from engine.domain.events import CashMoved, OpenOrdersListed
from engine.domain.instruments import AccountId, Mode
from engine.domain.jobs import RetainJob
from engine.domain.jobs.markets import MarketsJob
from engine.errors import PitbossError
from engine.jobs.kinds import retain
from engine.jobs.markets import markets
from engine.live.accounts import deciding
from engine.live.lifecycle import RECHECK_NS
from engine.runtime import discovery, market_hub
from engine.runtime.decisions import DecisionLog
from engine.runtime.tape import Tape
from storage.database import writing
from storage.journal import take_lease
from storage.journal_writer import JournalWriter
from storage.projection import project, register_account
from storage.tick_log import segments
from storage.users import ENGINE_ID
from tests.kit.plugins import write
from tests.live import test_checks
from tests.live.desk import LiveDesk
from tests.live.programs import Programs
from tests.ports import free_port
from tests.runtime.test_decisions import decision
from tests.runtime.test_market_hub import Lamps
from tests.runtime.test_ticks import NOON, SECOND, quote
from tests.runtime.test_ticks import keep as keep_ticks
from tests.venues.services import AccountServices
from tests.watch.desk_causes import Act, at
from tests.watch.live_causes import context, kept

ACCOUNT = AccountId("demo")


# -- what an engine keeps beside trading -----------------------------------------------------------


async def full_tape(desk: LiveDesk) -> None:
    """Receive more than may wait for the disk."""
    tape = desk.engine._taper = Tape(desk.config.home / "tape", queue_bytes_max=1)
    desk.engine.tape("frame", b"two", desk.engine.clock.now_ns())
    tape.close()


async def full_decisions(desk: LiveDesk) -> None:
    """Decide more than may wait for the disk."""
    log = DecisionLog(desk.config.home / "decisions.db", engine_id=ENGINE_ID, queue_max=0)
    desk.engine.decisions = log
    deciding(desk.engine)(decision(1))
    log.close()


def torn_ticks(home: Path) -> None:
    """Have ticks moved whose file was cut off."""
    keep_ticks(home, [(NOON + n * 11 * SECOND, quote(10 + n, 50)) for n in range(4)])
    (segment,) = segments(home / "ticks")
    segment.write_bytes(segment.read_bytes()[:-3])
    keep_ticks(home, [(NOON + 60 * SECOND, quote(20, 50))])
    retain(RetainJob(), context(home, "retain"))


# -- journal and ledger ----------------------------------------------------------------------------


def planted_error(home: Path) -> None:
    """Put a micro-unit more into a ledger than its journal has; look twice."""
    desk = test_checks.Desk(home)
    try:
        desk.tell(
            CashMoved(account=ACCOUNT, currency="pUSD", amount_micro=1_000_000_000),
            OpenOrdersListed(account=ACCOUNT, orders=()),
        )
        desk.executor.ledger.state.cash_settled_micro += 1
        desk.check()
        desk.check(RECHECK_NS)
        test_checks.until(lambda: desk.alarms)
    finally:
        desk.close()
    kept(desk.alarms[0], home)


def accepted_loss(home: Path) -> None:
    """Lose the journal's last record, and accept that by hand."""
    config = Config(home=home)
    with writing(config.state_path) as connection:
        register_account(
            connection, engine_id=ENGINE_ID, account=ACCOUNT, mode=Mode.DEMO, venue="demo",
            currency="pUSD",
        )  # fmt: skip
    take_lease(config.journal_path, ENGINE_ID)
    writer = JournalWriter(config.journal_path, engine_id=ENGINE_ID)
    for number in range(3):
        moved = CashMoved(account=ACCOUNT, currency="pUSD", amount_micro=1)
        writer.append(ACCOUNT, moved, number + 1)
        writer.flush()
    writer.close()
    project(config.journal_path, config.state_path)
    with closing(sqlite3.connect(config.journal_path)) as connection:
        connection.execute("DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)")
        connection.commit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PITBOSS_HOME", str(home))
        assert main(["recover", "--accept-loss", "--who", "ann"]) == 0


# -- feeds, listings, programs ---------------------------------------------------------------------


def silent_feed(home: Path) -> None:
    """Let a feed say for longer than a moment that what is wanted does not come."""

    async def whole() -> None:
        services, lamps = AccountServices(home), Lamps()
        (stream,) = lamps.begin(services, [])  # type: ignore[arg-type]
        running = asyncio.ensure_future(stream())
        while not services.alerts:
            await asyncio.sleep(0)
            if hasattr(lamps, "lamp"):
                lamps.lamp.dark = ("lamp 1 is dark",)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        services.recorder.close()
        kept(services.alerts[0], home)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(market_hub, "LOOK_S", 0.0)
        patch.setattr(market_hub, "ALERT_NS", 1)
        asyncio.run(whole())


def garbled_markets(home: Path) -> None:
    """Fetch a listing into a file that is no database; nobody serves it."""
    job = context(home, "markets")
    job.config.markets_path.write_bytes(b"garbage" * 1_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "ATTEMPTS_MAX", 1)
        with suppress(PitbossError):
            markets(MarketsJob(venue="demo"), job)


def broken_plugin(home: Path) -> None:
    """Start an engine beside a plug-in that is no Python."""
    folder = write(home / "plugins", {"broken/alerts/one.py": "no Python"})
    programs = Programs(home, free_port())
    programs.fork = False  # what was imported before would have looked without it
    programs.start(
        "run", "--demo", f"http://127.0.0.1:{programs.port}", PITBOSS_PLUGINS=str(folder)
    )
    told = partial(programs.rows, "SELECT 1 FROM alerts WHERE kind = 'plugin'")
    try:
        programs.until(told, "the plug-in is named")
    finally:
        programs.end()


ACTS: dict[str, Act] = {
    "tape": partial(at, LiveDesk, full_tape, "tape"),
    "decisions": partial(at, LiveDesk, full_decisions, "decisions"),
    "ticks": torn_ticks,
    "equity_differs": planted_error,
    "journal_loss": accepted_loss,
    "feed": silent_feed,
    "markets_file": garbled_markets,
    "plugin": broken_plugin,
}
