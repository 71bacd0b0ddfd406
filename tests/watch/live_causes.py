"""What brings alerts about that the engine, its bots and its jobs raise, by kind.

Each act is done to a home; the alert stands in its state database then.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from engine.bots.failing import fail
from engine.config import Config
from engine.domain.catalog import Finding, Grade
from engine.domain.commands import Kill
from engine.domain.effects import RaiseAlert
from engine.domain.jobs import BackupJob
from engine.domain.jobs.canary import CanaryJob
from engine.domain.jobs.report import ReportJob
from engine.errors import StorageError
from engine.jobs import canary as canary_job
from engine.jobs.kinds import backup
from engine.jobs.report import report
from engine.jobs.run import JobContext
from engine.live import lifecycle
from engine.live.engine import REFUSING_NS
from engine.live.lifecycle import DiskWatch
from storage.alerts import raise_alert
from storage.database import connect_writer, transaction, writing
from storage.jobs import claim, queue
from storage.journal import take_lease
from storage.users import ENGINE_ID
from tests.bots.conftest import bot
from tests.live.desk import LiveDesk

Act = Callable[[Path], None]


def in_the_engine(act: Callable[[LiveDesk], Awaitable[None]], home: Path) -> None:
    """Do something to a live engine of a home, in this process; it ends in order."""

    async def whole() -> None:
        async with LiveDesk(home) as desk:
            await act(desk)

    asyncio.run(whole())


async def killed(desk: LiveDesk) -> None:
    await desk.command(Kill())


async def refusing(desk: LiveDesk) -> None:
    """Have the journal refuse for longer than is no news, and then take records again."""
    engine, now_ns = desk.engine, desk.engine.clock.now_ns()
    desk.recorder.failure = StorageError("disk I/O error")
    engine.second(now_ns)
    engine.second(now_ns + REFUSING_NS)
    desk.recorder.failure = None
    engine.second(now_ns + REFUSING_NS + 1)


async def unproven_stop(desk: LiveDesk) -> None:
    """Stop an engine that proves nothing in the time a stop may take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "STOP_S", 0.0)
        await lifecycle._stop(desk.engine)


async def disk_left(desk: LiveDesk, *, percent: int) -> None:
    def statvfs(folder: Path) -> os.statvfs_result:
        del folder
        return os.statvfs_result((1, 1, 100, percent, percent, 0, 0, 0, 0, 255))

    engine = desk.engine
    DiskWatch(engine, [desk.config.home], statvfs).watch(engine.clock.now_ns())


async def impossible_row(desk: LiveDesk) -> None:
    """Have a row written that no database can hold."""
    desk.engine.state.do(lambda c: c.execute("SELECT ?", (1 << 70,)))
    await desk.until(lambda: desk.rows("SELECT 1 FROM alerts"), "the row is left out")


def kept(alert: RaiseAlert, home: Path) -> None:
    state = Config(home=home).state_path
    with writing(state) as connection, transaction(connection):
        raise_alert(connection, ENGINE_ID, alert, None, 1)


def failed_bot(home: Path) -> None:
    """Let a strategy fail: its bot stops with the error."""
    made = bot()
    try:
        made.capital_micro // 0
    except ZeroDivisionError as error:
        kept(fail(made, error, None, None, 1), home)


def resting_bot(home: Path) -> None:
    kept(bot().warn("the recent fills lost 1.2 % of their value within a minute"), home)


def context(home: Path, kind: str) -> JobContext:
    """Return the context of a job that has just been claimed."""
    config = Config(home=home)
    with closing(connect_writer(config.state_path)) as connection:
        queue(connection, engine_id=ENGINE_ID, kind=kind, arguments="{}", who="t", now_ns=1)
        found = claim(connection, ENGINE_ID, 1)
    assert found is not None
    return JobContext(config, found)


def reported(home: Path) -> None:
    report(ReportJob(), context(home, "report"))


def incomplete_backup(home: Path) -> None:
    """Have a backup made of a home whose decisions cannot be read."""
    config = Config(home=home)
    config.decisions_path.write_bytes(b"garbage" * 999)
    take_lease(config.journal_path, ENGINE_ID)
    backup(BackupJob(), context(home, "backup"))


def asked(finding: Finding, home: Path) -> None:
    """Have the canary find something else than is recorded; no venue is asked."""

    async def drifted(config: Config) -> dict[str, list[Finding]]:
        del config
        return {"polymarket": [finding]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canary_job, "drifted", drifted)
        canary_job.canary(CanaryJob(), context(home, "canary"))


FAILS = Finding("book", Grade.FAIL, "a book has no field 'asks'")
DIFFERS = Finding("book", Grade.WARN, "a book has a new field 'venue'")
UNASKED = Finding("book", Grade.WARN, "no answer came within 10 s", asked=False)

ACTS: dict[str, Act] = {
    "kill": partial(in_the_engine, killed),
    "stop_unproven": partial(in_the_engine, unproven_stop),
    "storage": partial(in_the_engine, refusing),
    "storage_again": partial(in_the_engine, refusing),
    "disk": partial(in_the_engine, partial(disk_left, percent=15)),
    "disk_low": partial(in_the_engine, partial(disk_left, percent=3)),
    "row": partial(in_the_engine, impossible_row),
    "bot_error": failed_bot,
    "bot_rests": resting_bot,
    "report": reported,
    "backup": incomplete_backup,
    "venue_drift": partial(asked, FAILS),
    "venue_news": partial(asked, DIFFERS),
    "venue_unasked": partial(asked, UNASKED),
}
