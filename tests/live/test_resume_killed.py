"""After a KILL and its release one command resumes what the KILL paused, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.domain.bots import BotState
from engine.domain.commands import Kill, PauseBot, ReleaseLatch, ResumeKilled
from engine.domain.instruments import BotId
from engine.live.telemetry import Telemetry
from storage.commands import CommandState, LeftCommand
from tests.live.desk import PATIENCE_S
from tests.live.trading_desk import Exchange, TradingDesk

MAKER = BotId("maker")


async def ticking(desk: TradingDesk, over: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not over():
            desk.engine.tick(desk.engine.clock.now_ns())
            await asyncio.sleep(0.01)


async def ends(desk: TradingDesk, command: Any) -> LeftCommand:
    name = desk.leave(command)
    await ticking(desk, lambda: desk.find(name).answered_ns)
    return desk.find(name)


def killed(desk: TradingDesk) -> tuple[str, ...]:
    return Telemetry(desk.engine).heartbeat(desk.engine.clock.now_ns()).status.killed_bots


async def test_bots_that_kill_paused_are_resumed_together_after_its_release(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        desk.quote()
        bot_runner = desk.engine.bot_runners[MAKER]
        assert (await ends(desk, Kill())).state is CommandState.DONE
        await ticking(desk, lambda: bot_runner.bot.state is BotState.PAUSED)
        assert killed(desk) == (MAKER,)

        refused = await ends(desk, ResumeKilled())
        assert (refused.state, "release it" in refused.answer) == (CommandState.REFUSED, True)
        assert (await ends(desk, ReleaseLatch(reason="looked"))).state is CommandState.DONE
        done = await ends(desk, ResumeKilled())
        assert (done.state, done.answer) == (CommandState.DONE, "1 bot resumed: maker")
        await ticking(desk, lambda: bot_runner.bot.state is BotState.RUNNING)
        assert killed(desk) == ()


async def test_a_bot_that_a_person_paused_stays_paused(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        desk.quote()
        bot_runner = desk.engine.bot_runners[MAKER]
        assert (await ends(desk, PauseBot(bot=MAKER))).state is CommandState.DONE
        assert (await ends(desk, Kill())).state is CommandState.DONE
        assert (await ends(desk, ReleaseLatch(reason="looked"))).state is CommandState.DONE
        assert (killed(desk), bot_runner.snapshot(desk.engine.clock.now_ns()).killed) == ((), False)
        refused = await ends(desk, ResumeKilled())
        assert (refused.state, refused.answer) == (
            CommandState.REFUSED,
            "no bot that KILL paused was resumed",
        )
        assert bot_runner.bot.state is BotState.PAUSED
