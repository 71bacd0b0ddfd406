"""The engine a tape is played in: its time is the recording's, its heartbeat the wall clock's."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from engine.domain.bots import BotState
from engine.domain.instruments import AccountId
from engine.domain.settings import AccountSettings
from engine.live.accounts import Accounts
from engine.live.engine import Engine
from engine.live.telemetry import Telemetry
from engine.live.venues import Venues
from engine.runtime.bot_runner import BotRunner
from storage.latch import Latch
from storage.live import EngineBeat

ACCOUNT = AccountId("paper")


class TapeSeat(BotRunner):
    """A bot at a tape. As in a replay it goes on wishing while risk says no."""

    def watch(self, now_ns: int) -> None:
        """Move on what a person asked for."""
        if self.bot.state is not BotState.RUNNING:
            super().watch(now_ns)


class TapeEngine(Engine):
    """An engine whose time is the recording's."""

    def take_latch(self, latch: Latch) -> None:
        """Take the KILL latch at the recording's time."""
        super().take_latch(Latch(who=latch.who, at_ns=self.clock.now_ns()))

    def forget_closed(self, now_ns: int) -> None:
        """Do nothing: the player forgets when a replay would."""


class TapeAccounts(Accounts):
    """The one account of a tape."""

    def __init__(self) -> None:
        super().__init__(Venues(openers={}, markets={}), fence=0)

    def refusal(self, settings: AccountSettings) -> str:
        """Return why an account cannot be opened while a tape plays."""
        if settings.name == ACCOUNT:
            return ""
        return f"account {settings.name!r} is new: a tape plays with the account it began with"


class TapeTelemetry(Telemetry):
    """Tells how a tape goes; the heart beats by the wall clock."""

    def __init__(self, engine: Engine, wall_ns: Callable[[], int]) -> None:
        super().__init__(engine)
        self._wall_ns = wall_ns
        self._begun_ns = wall_ns()

    def beat(self, now_ns: int) -> EngineBeat:
        """Return the heartbeat."""
        return msgspec.structs.replace(
            super().beat(now_ns), heartbeat_ns=self._wall_ns(), started_ns=self._begun_ns
        )
