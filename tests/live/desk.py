"""A desk without accounts in this very process: house, commands, journal, the state's thread."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import msgspec

from engine.clock import WallClock
from engine.config import load
from engine.domain.commands import AnyCommand
from engine.errors import StorageError
from engine.live.accounts import Accounts
from engine.live.commands.registry import Commands
from engine.live.engine import Engine
from engine.runtime.decisions import NoDecisions
from engine.runtime.state_writer import StateKeeper
from engine.runtime.tape import NoTape
from storage.commands import ENDS, LeftCommand, find, leave
from storage.database import connect_writer
from storage.journal_writer import JournalWriter
from storage.live import START_FOUND
from storage.schema import migrate
from storage.settings import in_force
from storage.users import ENGINE_ID
from storage.views import audit

PATIENCE_S = 150.0


def found_at_start(connection: sqlite3.Connection) -> dict[str, Any]:
    """What the latest start found, as the audit has it."""
    rows = audit(connection, ENGINE_ID)
    return next(json.loads(row["detail"]) for row in rows if row["what"] == START_FOUND)


class Recorder:
    """A journal whose disk is told what to do; `kept` is what it has taken."""

    tape = 0
    durable_seq = 0
    failure: StorageError | None = None

    def __init__(self) -> None:
        self.kept: list[msgspec.Struct] = []
        self.full: StorageError | None = None
        self.waits: list[Future[int]] | None = None
        """Commits that nobody has answered yet; None = each is done at once."""

    @property
    def seq(self) -> int:
        return len(self.kept)

    def append(self, _account: str, message: msgspec.Struct, _at_ns: int) -> int:
        if self.full is not None:
            raise self.full
        self.kept.append(message)
        return self.seq

    def snapshot(self, *_: object) -> None:
        pass

    def commit(self) -> Future[int]:
        future: Future[int] = Future()
        if self.waits is None:
            future.set_result(self.seq)
        else:
            self.waits.append(future)
        return future

    def close(self) -> None:
        pass


class LiveDesk:
    """Use it as `async with`. `ended` is what ended the engine, if anything did."""

    def __init__(self, home: Path, recorder: Recorder | JournalWriter | None = None) -> None:
        home.mkdir(exist_ok=True)
        self.config = load({"PITBOSS_HOME": str(home)})
        migrate(self.config.state_path)
        self.path = self.config.state_path
        self.recorder: Any = recorder or Recorder()
        self.connection = connect_writer(self.path)
        self._count = 0
        self.accounts: Any = SimpleNamespace(register=lambda *_: None)

    async def __aenter__(self) -> Self:
        clock = WallClock()
        settings = in_force(self.connection, ENGINE_ID)
        decisions: Any = NoDecisions()
        taper: Any = NoTape(0)
        self.engine = engine = Engine(
            self.config,
            engine_id=ENGINE_ID,
            clock=clock,
            recorder=self.recorder,
            taper=taper,
            decisions=decisions,
            settings=settings,
            parts={Accounts: self.accounts},
        )
        loop = asyncio.get_running_loop()
        self.commands = Commands(engine)
        engine.spawn = lambda _: None
        engine.watch = SimpleNamespace(taken=threading.Event())  # type: ignore[assignment]
        engine.projector = SimpleNamespace(failure=None, seq=0)  # type: ignore[assignment]
        engine.state = StateKeeper(
            self.path,
            engine_id=ENGINE_ID,
            clock=clock,
            received=lambda left: loop.call_soon_threadsafe(self.commands.receive, left),
            crash=engine.crash,
        )
        engine.state.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.engine.state.close()
        self.recorder.close()
        self.connection.close()

    @property
    def ended(self) -> BaseException | None:
        return self.engine.ended.result() if self.engine.ended.done() else None

    def leave(self, command: AnyCommand, *, name: str = "") -> str:
        """Leave a command as a page does; give its id."""
        self._count += 1
        left = leave(
            self.connection,
            engine_id=ENGINE_ID,
            id=name or f"desk-{self._count}",
            command=command,
            who="test",
            now_ns=time.time_ns(),
        )
        return left.id

    def find(self, name: str) -> LeftCommand:
        found = find(self.connection, ENGINE_ID, name)
        assert found is not None
        return found

    async def answered(self, name: str) -> LeftCommand:
        await self.until(lambda: self.find(name).state in ENDS, f"{name} is answered")
        return self.find(name)

    async def command(self, command: AnyCommand) -> LeftCommand:
        """Leave a command and wait for its answer."""
        return await self.answered(self.leave(command))

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Wait until something is so, while the house looks at its clock."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}; {self.ended!r}"
            self.engine.prove(self.engine.clock.now_ns())
            await asyncio.sleep(0.002)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        return self.connection.execute(sql, values)
