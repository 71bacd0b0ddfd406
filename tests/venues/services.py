"""What one account needs of an engine, and nothing more: rows and alerts are kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engine import log
from engine.clock import WallClock
from engine.config import Config
from engine.domain.effects import RaiseAlert
from engine.domain.events import Event
from engine.domain.instruments import AccountId
from engine.runtime.account_runner import Meter
from engine.runtime.ticks import TickKeeper
from storage.journal_writer import JournalWriter


class AccountServices:
    """The services of one account under test."""

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        self.config = config or Config()
        self.clock = WallClock()
        self.recorder = JournalWriter(folder / "journal.db", engine_id="e")
        self.meter = Meter()
        self.ticks = TickKeeper(folder / "ticks", self.clock)
        self.engine_id = "e"
        self.log = log.get("test")
        self.killed = threading.Event()
        self.rows: dict[str, Any] = {}
        self.alerts: list[RaiseAlert] = []
        self.kept: list[Event] = []
        self.venues: dict[AccountId, Any] = {}
        self.runners: dict[AccountId, Any] = {}
        self.bot_runners: dict[str, Any] = {}
        self.watchers: list[Callable[[int], None]] = []
        self.feeds: dict[str, Any] = {}
        self.crashes: list[BaseException] = []
        self.catalogued: list[Any] = []
        self.state = SimpleNamespace(
            write=lambda _: None, put=lambda *_: None,
            write_row=lambda *_, **__: None, put_row=lambda *_, **__: None,
        )  # fmt: skip

    def heartbeat(self, seen: Any) -> None:
        self.rows[f"venue heartbeat {seen.account}"] = seen

    def approvals(self, found: Any) -> None:
        self.rows[f"approvals {found.account}"] = found

    def alert(self, alert: RaiseAlert, _at_ns: int) -> None:
        self.alerts.append(alert)

    def tape(self, kind: str, payload: bytes, at_ns: int) -> None:
        """This tape ends here."""

    def journal(self, event: Event, _at_ns: int) -> None:
        self.kept.append(event)

    def name(self, instrument: str, title: str, slug: str) -> None:
        self.rows[f"title {instrument}"] = title, slug

    async def catalogue(self, listed: Any) -> int:
        await asyncio.sleep(0)
        self.catalogued += listed
        return len(listed)
