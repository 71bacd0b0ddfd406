"""A fall from the peak: what it stops, and how a person lets the account trade again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.domain.bots import BotState
from engine.domain.commands import ReleaseLatch
from engine.domain.events import OrderFilled, OrderRejected, ScopeLatched
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import Mode
from engine.domain.orders import RejectReason
from engine.risk.reasons import DenyReason
from storage.commands import CommandState
from storage.latch import read_latch
from storage.settings import applied
from storage.users import ENGINE_ID
from tests.live.trading_desk import BOOK, DEMO, Exchange, TradingDesk

S = 1_000_000_000
CENT = {"absolute": 0.01, "percent": None}
"""A fall that one bad fill makes."""


@asynccontextmanager
async def fallen(
    home: Path, *, risk_mode: Mode = Mode.DEMO, **limits: Any
) -> AsyncIterator[TradingDesk]:
    """Give a desk whose one account has bought something that is worth next to nothing since.

    `risk_mode` is how its stops take its money.
    """
    made = TradingDesk(home, Exchange(), risk_mode=risk_mode)
    version = made.edit({"accounts": {DEMO: {"limits": limits}}}, base=1)
    applied(made.connection, ENGINE_ID, version, 1)
    async with made as desk:
        engine, now_ns = desk.engine, desk.quote()
        await desk.fill(now_ns + S)
        worthless = replace(BOOK, bids=((100, 10**7),), asks=((300, 10**7),))
        engine.runners[DEMO].market((worthless,), now_ns + 2 * S)
        engine.tick(now_ns + 2 * S)
        yield desk


async def test_the_fall_of_real_money_that_sets_kill_kills_the_desk_at_once(tmp_path: Path) -> None:
    async with fallen(tmp_path, risk_mode=Mode.LIVE, kill_drawdown_max=CENT) as desk:
        engine = desk.engine
        assert engine.killed.is_set()
        assert engine.bot_runners["maker"].bot.state in (BotState.PAUSING, BotState.PAUSED)
        latch = read_latch(desk.config.kill_path)
        assert latch is not None
        assert latch.who == "risk, account demo"
        assert engine.proving is not None
        reason = engine.runners[DEMO].core.executor.gate.breakers.latch_reason
        assert reason.startswith("risk: equity fell ")


async def test_the_deepest_fall_without_real_money_stops_its_account_alone(tmp_path: Path) -> None:
    async with fallen(tmp_path, kill_drawdown_max=CENT) as desk:
        engine, executor = desk.engine, desk.engine.runners[DEMO].core.executor
        assert (engine.killed.is_set(), read_latch(desk.config.kill_path)) == (False, None)
        assert (executor.stopped, executor.latched) == (DenyReason.KILL_DRAWDOWN, False)
        assert not executor.healthy
        (why,) = executor.to_release
        assert why.startswith("The drawdown is over the KILL limit")
        left = await desk.command(ReleaseLatch(account=DEMO, reason="halved its sizes"))
        assert left.state is CommandState.DONE, left.answer
        assert executor.healthy


async def test_an_account_that_fell_is_released_with_a_reason_and_without_a_kill(
    tmp_path: Path,
) -> None:
    async with fallen(tmp_path, drawdown_max=CENT) as desk:
        executor = desk.engine.runners[DEMO].core.executor
        assert not desk.engine.killed.is_set()
        assert executor.stopped is DenyReason.DRAWDOWN
        assert executor.to_release == ("The drawdown is over its limit; a person must release",)
        left = await desk.command(ReleaseLatch(account=DEMO, reason=" "))
        assert (left.state, executor.stopped) == (CommandState.REFUSED, DenyReason.DRAWDOWN)
        left = await desk.command(ReleaseLatch(account=DEMO, reason="halved its sizes"))
        assert left.state is CommandState.DONE, left.answer
        assert left.answer == "account demo places again; a fall is counted from the equity of now"
        assert (executor.stopped, executor.to_release) == (None, ())
        left = await desk.command(ReleaseLatch(account=DEMO, reason="once more"))
        assert "no KILL of account demo is set" in left.answer


async def test_a_contradiction_of_the_venue_is_released_with_a_reason(tmp_path: Path) -> None:
    async with fallen(tmp_path) as desk:
        runner = desk.engine.runners[DEMO]
        odd = OrderFilled(
            account=DEMO, order=10**6, fill=FillId("f2"), price=5_000,
            size=100, fee_micro=0, liquidity=Liquidity.MAKER,
        )  # fmt: skip
        runner.report(odd)
        await asyncio.sleep(0)
        (why,) = runner.core.executor.to_release
        assert why.startswith("the venue tells a fill of order 1000000, and the journal has no")
        assert "python -m engine recover" in why
        left = await desk.command(ReleaseLatch(account=DEMO, reason="compared: it is a test's"))
        assert left.state is CommandState.DONE, left.answer
        assert runner.core.executor.to_release == ()


async def test_a_credential_the_venue_refused_is_tried_again_when_a_person_says_so(
    tmp_path: Path,
) -> None:
    async with fallen(tmp_path) as desk:
        runner = desk.engine.runners[DEMO]
        order = desk.venue.sent[-1].id
        refused = OrderRejected(
            account=DEMO, order=order, reason=RejectReason.AUTH, venue_text="invalid signature"
        )
        runner.report(refused)
        await asyncio.sleep(0)
        assert runner.core.executor.to_release == ("auth of an order: invalid signature",)
        left = await desk.command(ReleaseLatch(account=DEMO, reason="a new key is in the vault"))
        assert left.state is CommandState.DONE, left.answer
        assert runner.core.executor.healthy


async def test_a_released_account_that_still_places_nothing_says_why(tmp_path: Path) -> None:
    async with fallen(tmp_path, drawdown_max=CENT, daily_loss_max=CENT) as desk:
        executor = desk.engine.runners[DEMO].core.executor
        left = await desk.command(ReleaseLatch(account=DEMO, reason="halved its sizes"))
        assert left.state is CommandState.DONE, left.answer
        assert executor.stopped is DenyReason.DAILY_LOSS
        assert left.answer.startswith("account demo is released, and still places nothing: The")


async def test_a_stopped_account_is_not_released_apart_from_a_kill(tmp_path: Path) -> None:
    async with fallen(tmp_path, risk_mode=Mode.LIVE, kill_drawdown_max=CENT) as desk:
        executor = desk.engine.runners[DEMO].core.executor
        assert (executor.latched, executor.to_release) == (True, ())
        left = await desk.command(ReleaseLatch(account=DEMO, reason="halved its sizes"))
        assert (left.state, executor.latched) == (CommandState.REFUSED, True)


async def test_the_kill_of_a_stopped_account_is_released_first(tmp_path: Path) -> None:
    async with fallen(tmp_path, drawdown_max=CENT) as desk:
        runner = desk.engine.runners[DEMO]
        runner.deliver(ScopeLatched(account=DEMO, who="ann", reason="KILL"), 0)
        for stopped, words in ((True, "the latch of account"), (False, "account demo places")):
            left = await desk.command(ReleaseLatch(account=DEMO, reason="halved its sizes"))
            assert left.answer.startswith(words)
            assert bool(runner.core.executor.to_release) is stopped
