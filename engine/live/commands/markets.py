"""The instrument catalog on request, and bots kept at the markets their saved filters lead to."""

from __future__ import annotations

import asyncio

import msgspec

from engine.bots.bot import Bot
from engine.domain.commands import SyncMarkets
from engine.domain.effects import caution
from engine.domain.instruments import InstrumentId
from engine.domain.settings import MarketFilter
from engine.errors import BadInput, PitbossError
from engine.live.accounts import Accounts
from engine.live.capitals import uncounted
from engine.live.commands.registry import (
    Answer,
    Done,
    Failed,
    Pending,
    answered_beside,
    command,
    part,
)
from engine.live.engine import Engine
from engine.runtime.aids import Tolerates
from engine.runtime.bot_runner import BotRunner
from engine.runtime.market_hub import KEYS_MAX
from engine.venues.registry import plugins
from storage.database import reading
from storage.markets import followed

LOOK_NS = 10 * 1_000_000_000
"""How often the stored listing is asked what a filter leads to."""


@command(SyncMarkets)
def sync(engine: Engine, command: SyncMarkets, _who: str) -> Pending:
    """Compare the catalog with the venue's listing; answered with the counts."""
    venue, plugin = command.venue, plugins().get(command.venue)
    if plugin is None or plugin.market is None:
        received = ", ".join(one.id for one in plugins().values() if one.market is not None)
        raise BadInput(f"the listing of {venue!r} cannot be fetched; available are {received}")
    if not any(one.venue == venue for one in engine.settings.document.accounts.values()):
        raise BadInput(f"there is no account at {plugin.title} here: nothing is asked there")
    return answered_beside(engine, _synced(engine, venue, plugin.title))


async def _synced(engine: Engine, venue: str, title: str) -> Answer:
    try:
        return Done(await engine.part(Accounts).venues.markets[venue].sync(engine))
    except (PitbossError, msgspec.DecodeError) as error:
        return Failed(f"{title} sent no listing: {error}")


# -- Saved filters that bots follow ----------------------------------------------------------------


@part
class FilterFollower:
    """Asks the stored listing what each filter leads to, and has its bots trade that.

    Where it cannot be asked everything stays as it is, and a person is alerted once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due_ns = 0
        self._look: asyncio.Task[None] | None = None
        self._trouble = ""
        engine.watchers.append(self.watch)

    def watch(self, now_ns: int) -> None:
        """Look again where it is time, and some bot follows a filter."""
        if self._look is not None or now_ns < self._due_ns:
            return
        runners = [one for one in self._engine.bot_runners.values() if one.settings.follows]
        if runners:
            self._due_ns = now_ns + LOOK_NS
            self._look = asyncio.get_running_loop().create_task(self._all(runners))

    async def _all(self, runners: list[BotRunner]) -> None:
        # A listing that is damaged ends no engine.
        tolerates = Tolerates(self._warn, self._said)
        with tolerates:
            for runner in runners:
                await self._one(runner)
        if not tolerates.lost:
            self._trouble = ""
        self._look = None

    @staticmethod
    def _said(error: Exception) -> str:
        text = str(error) if isinstance(error, PitbossError) else repr(error)
        return f"a filter could not be evaluated, nothing changes: {text}"

    def _warn(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._engine.alert(caution("filter", text), self._engine.clock.now_ns())

    async def _one(self, runner: BotRunner) -> None:
        engine, bot, settings = self._engine, runner.bot, runner.settings
        saved = engine.settings.document.filters.get(settings.follows)
        if saved is None:
            return  # it is being taken away with the bot's settings
        others = [one.bot for one in engine.bot_runners.values() if one is not runner]
        taken = {
            name
            for other in others
            if other.account == bot.account
            for name in other.instruments | other.followed
        }
        received = {name for one in others for name in one.instruments | one.followed}
        room = KEYS_MAX - len(received | bot.instruments)
        most = max(0, min(bot.instruments_max - len(bot.instruments), room))
        account = engine.settings.document.accounts[settings.account]
        venue = account.venue
        found = await asyncio.to_thread(
            self._found, saved, bot, venue, taken | bot.instruments, most
        )
        if engine.bot_runners.get(settings.name) is runner:
            counted = [name for name in found if not uncounted(engine, account, name)]
            runner.follow(counted, engine.clock.now_ns())

    def _found(
        self, saved: MarketFilter, bot: Bot, venue: str, without: set[InstrumentId], most: int
    ) -> list[InstrumentId]:
        with reading(self._engine.config.markets_path) as connection:
            names = followed(
                connection, saved, bot.followed, venue=venue, without=without, most=most
            )
        return [InstrumentId(name) for name in names]
