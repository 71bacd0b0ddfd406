"""A KILL of a part holds it at every account: a bot that is moved, a market another one lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from engine.domain.bots import BotState
from engine.domain.commands import ApplySettings, Kill, PlaceManual, ReleaseLatch, StartBot
from engine.domain.events import InstrumentListed
from engine.domain.instruments import AccountId, BotId, Leg, Side
from engine.live.commands.kill import ScopedKills
from engine.live.reopen import restore
from storage.commands import CommandState, LeftCommand
from storage.settings import applied
from storage.users import ENGINE_ID
from tests.live.desk import PATIENCE_S
from tests.live.trading_desk import BOOK, DEMO, ONE, Exchange, TradingDesk

TWIN = AccountId("twin")
MAKER = BotId("maker")


@asynccontextmanager
async def two_accounts(home: Path) -> AsyncIterator[TradingDesk]:
    made = TradingDesk(home, Exchange())
    account = {"name": TWIN, "venue": "demo", "mode": "demo", "starting_cash": 1e4}
    version = made.edit({"accounts": {TWIN: account}}, base=1)
    applied(made.connection, ENGINE_ID, version, 1)
    async with made as desk:
        desk.accounts.known = frozenset({TWIN})
        desk.open(TWIN, Exchange(TWIN)).core.executor.ledger.move_cash(10**10)
        yield desk


async def ticking(desk: TradingDesk, over: Callable[[], Any]) -> Any:
    """Let the engine's time pass until something is so; give it."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := over()):
            desk.engine.tick(desk.engine.clock.now_ns())
            await asyncio.sleep(0.01)
    return found


async def ends(desk: TradingDesk, command: Any) -> LeftCommand:
    name = desk.leave(command)
    await ticking(desk, lambda: desk.find(name).answered_ns)
    return desk.find(name)


async def test_a_killed_bot_stays_held_where_its_settings_move_it(tmp_path: Path) -> None:
    async with two_accounts(tmp_path) as desk:
        left = await ends(desk, Kill(bot=MAKER))
        assert left.state is CommandState.DONE, left.answer
        await ticking(desk, lambda: desk.engine.bot_runners[MAKER].bot.state is BotState.STOPPED)
        version = desk.edit({"bots": {MAKER: {"account": TWIN}}}, base=2)
        left = await ends(desk, ApplySettings(version=version))
        assert left.state is CommandState.DONE, left.answer
        left = await ends(desk, StartBot(bot=MAKER))
        assert (left.state, "release it" in left.answer) == (CommandState.REFUSED, True)
        kills = desk.engine.part(ScopedKills)
        await ticking(desk, lambda: not kills.under_way)
        left = await ends(desk, ReleaseLatch(bot=MAKER, reason="looked at it"))
        assert left.state is CommandState.DONE, left.answer
        assert not any(one.core.executor.holds for one in desk.engine.runners.values())
        assert (await ends(desk, StartBot(bot=MAKER))).state is CommandState.DONE


async def test_a_killed_market_is_held_at_an_account_that_lists_it_later(tmp_path: Path) -> None:
    async with two_accounts(tmp_path) as desk:
        demo, twin = desk.engine.runners[DEMO], desk.engine.runners[TWIN]
        demo.market((InstrumentListed(instrument=ONE),), desk.engine.clock.now_ns())
        left = await ends(desk, Kill(instrument=ONE.id))
        assert left.state is CommandState.DONE, left.answer
        twin.core.executor.ledger.move_cash(10**10)
        twin.market((InstrumentListed(instrument=ONE), BOOK), desk.engine.clock.now_ns())
        await ticking(desk, lambda: twin.core.executor.holds)
        asked = PlaceManual(
            account=TWIN, instrument=ONE.id, leg=Leg.YES, side=Side.BUY, price=4_700, size=10**7
        )
        left = await ends(desk, asked)
        assert left.state is CommandState.REFUSED, left.answer
        assert "KILL" in left.answer


async def test_an_account_that_was_closed_learns_at_its_opening_what_was_released_meanwhile(
    tmp_path: Path,
) -> None:
    async with two_accounts(tmp_path) as desk:
        engine, now_ns = desk.engine, desk.engine.clock.now_ns()
        twin = engine.runners[TWIN]
        for runner in (engine.runners[DEMO], twin):
            runner.market((InstrumentListed(instrument=ONE),), now_ns)
        for kill in (Kill(instrument=ONE.id), Kill(bot=MAKER), Kill()):
            left = await ends(desk, kill)
            assert left.state is CommandState.DONE, left.answer
        await ticking(desk, lambda: not engine.part(ScopedKills).under_way)
        settings = engine.settings.document.accounts[TWIN]
        before = (await restore(engine, settings, 2)).executor
        assert (before.latched, len(before.holds)) == (True, 1)

        del engine.runners[TWIN]
        for release in ({}, {"instrument": ONE.id}, {"bot": MAKER}):
            left = await ends(desk, ReleaseLatch(reason="looked at it", **release))
            assert left.state is CommandState.DONE, left.answer
        opened = (await restore(engine, settings, 2)).executor
        assert (opened.latched, opened.holds) == (False, ())
