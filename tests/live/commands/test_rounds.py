"""The engine's rounds: what each looks at, kept as rows, once after a sleep, and on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.domain.bots import BotState
from engine.domain.commands.rounds import RunRound
from engine.domain.events import BalancesListed
from engine.domain.orders import OrderState
from engine.live.commands import rounds as told
from engine.live.commands.rounds import ROUNDS, SECOND_NS, Rounds
from storage.commands import CommandState
from storage.phases import RUNNING
from storage.rounds import rounds
from storage.users import ENGINE_ID
from tests.live.trading_desk import DEMO, Exchange, TradingDesk

Step = Callable[[TradingDesk], Awaitable[None]]


def play(home: Path, test: Step) -> None:
    async def whole() -> None:
        async with TradingDesk(home, Exchange()) as desk:
            desk.engine.phase = RUNNING
            await test(desk)

    asyncio.run(whole())


def found(desk: TradingDesk, name: str) -> tuple[bool, str]:
    looked = ROUNDS[name].look(desk.engine, desk.engine.clock.now_ns())
    return not looked.wrong, "; ".join(looked.wrong or [looked.looked])


def test_each_round_is_made_at_its_time_and_kept(tmp_path: Path) -> None:
    async def test(desk: TradingDesk) -> None:
        watch, now_ns = desk.engine.part(Rounds).watch, desk.engine.clock.now_ns()
        for _ in range(10):
            watch(now_ns)
        await desk.until(lambda: len(rounds(desk.connection, ENGINE_ID)) == 4, "all are kept")
        kept = {one.name: one for one in rounds(desk.connection, ENGINE_ID)}
        assert {name: one.every_s for name, one in kept.items()} == {
            "health": 30, "reconciliation": 60, "stale-orders": 120, "rebalance": 900,
        }  # fmt: skip
        assert all(one.next_ns == now_ns + one.every_s * SECOND_NS for one in kept.values())
        # A machine that slept for an hour makes each once; a clock that was set back, too.
        for later_ns in (now_ns + 3_600 * SECOND_NS, now_ns):
            for _ in range(10):
                watch(later_ns)
            seen = desk.engine.part(Rounds)._seen.values()
            assert {one.last_ns for one in seen} == {later_ns}

    play(tmp_path, test)


def test_a_round_is_made_on_demand_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    async def test(desk: TradingDesk) -> None:
        done = await desk.command(RunRound(round="stale-orders"))
        assert (done.state, done.answer) == (
            CommandState.DONE, "0 orders at work; none is stale",
        )  # fmt: skip
        refused = await desk.command(RunRound(round="tea"))
        assert refused.state is CommandState.REFUSED
        assert "there are: health, reconciliation" in refused.answer

    play(tmp_path, test)


def test_orders_that_are_unknown_or_of_a_bot_that_does_not_run_are_stale(tmp_path: Path) -> None:
    async def test(desk: TradingDesk) -> None:
        await desk.fill(desk.quote())
        executor: Any = desk.engine.runners[DEMO].core.executor
        # The exchange of this desk lists none of its orders: they are looked at as if it did.
        orders = [
            msgspec.structs.replace(one, state=OrderState.OPEN) for one in executor.live_in(None)
        ]
        assert orders
        executor.live_in = lambda _: orders
        well, text = found(desk, "stale-orders")
        assert well, text
        assert f"{len(orders)} order" in text
        desk.engine.bot_runners["maker"].bot.state = BotState.STOPPED
        assert found(desk, "stale-orders") == (
            False, "DEMO demo: orders of maker rest, which does not run",
        )  # fmt: skip
        orders[0].state = OrderState.UNKNOWN
        assert "1 order unknown" in found(desk, "stale-orders")[1]

    play(tmp_path, test)


def test_reconciliation_says_how_old_the_venues_word_is(tmp_path: Path) -> None:
    async def test(desk: TradingDesk) -> None:
        runner = desk.engine.runners[DEMO]
        assert found(desk, "reconciliation") == (
            False, "DEMO demo: the venue told its balance last: never",
        )  # fmt: skip
        runner.report(BalancesListed(account=DEMO, cash_micro={"pUSD": 7_000_000}))
        well, text = found(desk, "reconciliation")
        assert well
        assert text == ("DEMO demo: the venue has 7 pUSD, 0 s ago, 0 markets held: no difference")
        later_ns = desk.engine.clock.now_ns() + 200 * SECOND_NS
        late = ROUNDS["reconciliation"].look(desk.engine, later_ns)
        assert "200 s ago" in late.wrong[0]

    play(tmp_path, test)


def test_rebalance_names_bots_that_were_given_more_than_the_account_has(tmp_path: Path) -> None:
    async def test(desk: TradingDesk) -> None:
        desk.engine.bot_runners["maker"].bot.state = BotState.RUNNING
        well, text = found(desk, "rebalance")
        assert not well
        assert "would be 1,000 pUSD, its equity is 0 pUSD" in text
        desk.quote()
        assert found(desk, "rebalance")[0]

    play(tmp_path, test)


def test_health_names_files_feeds_and_bots_that_are_not_well(tmp_path: Path) -> None:
    async def test(desk: TradingDesk) -> None:
        engine: Any = desk.engine
        text = found(desk, "health")[1]
        assert text.startswith("DEMO demo places nothing: ")
        del engine.runners[DEMO]
        assert found(desk, "health") == (
            True, "0 accounts, 0 feeds, 1 bot and 3 files are well",
        )  # fmt: skip
        engine.feeds["venue"] = lambda _: SimpleNamespace(trouble="no socket")
        engine.projector.failure = "disk full"
        runner = engine.bot_runners["maker"]
        runner.bot.state, runner.bot.error = BotState.ERROR, "ZeroDivisionError"
        text = found(desk, "health")[1]
        assert text == "projection: disk full; feed venue: no socket; bot maker: ZeroDivisionError"

    play(tmp_path, test)


def test_a_round_that_fails_says_so_and_trading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setitem(told.ROUNDS, "health", told.Round(30, broken))  # type: ignore[arg-type]

    async def test(desk: TradingDesk) -> None:
        done = await desk.command(RunRound(round="health"))
        assert done.answer == "it could not look: ZeroDivisionError('by hand')"
        assert desk.ended is None

    play(tmp_path, test)
