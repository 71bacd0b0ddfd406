"""Bots started on a desk: never with more capital at an account than it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from engine import in_time
from engine.code_digest import code_digest
from engine.domain.bots import BotState
from engine.domain.commands import ApplySettings, StartBot
from engine.domain.instruments import BotId, Mode
from engine.errors import BadInput
from engine.live.commands import bots
from engine.live.reopen import attach_bots
from engine.runtime.bot_runner import BotSnapshot
from engine.strategies.market_maker.parameters import MarketMakerParameters
from engine.strategies.market_maker.strategy import MarketMaker
from engine.strategies.registry import STRATEGIES
from storage.commands import CommandState
from storage.database import writing
from storage.evidence import put_evidence
from storage.quarantine import quarantine, quarantined
from storage.users import ENGINE_ID
from tests.domain.test_evidence import EARNS
from tests.live.trading_desk import DEMO, DOCUMENT, Exchange, TradingDesk

MICRO = 1_000_000
SECOND = {**DOCUMENT["bots"]["maker"], "name": "second", "instruments": ["demo:other"]}


def with_second(capital: float) -> dict[str, Any]:
    return {"bots": {"second": {**SECOND, "capital": capital}}}


def ledger_of(desk: TradingDesk) -> Any:
    return desk.engine.runners[DEMO].core.executor.ledger


async def test_a_bot_does_not_start_on_more_than_its_account_is_worth(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        ledger_of(desk).move_cash(999 * MICRO)
        left = await desk.command(StartBot(bot=BotId("maker")))
        assert left.state is CommandState.REFUSED
        assert "(maker) would be 1,000 pUSD, its equity is 999 pUSD" in str(left.answer)
        ledger_of(desk).move_cash(1 * MICRO)
        left = await desk.command(StartBot(bot=BotId("maker")))
        assert left.state is CommandState.DONE, left.answer


async def test_a_version_that_gives_two_bots_more_than_there_is_is_refused(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        ledger_of(desk).move_cash(1_500 * MICRO)
        left = await desk.command(ApplySettings(version=desk.edit(with_second(600.0), base=1)))
        assert left.state is CommandState.REFUSED
        assert "(maker, second) would be 1,600 pUSD, its equity is 1,500 pUSD" in str(left.answer)
        left = await desk.command(ApplySettings(version=desk.edit(with_second(500.0), base=2)))
        assert left.state is CommandState.DONE, left.answer


async def test_settings_that_can_never_fit_are_not_saved(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        with pytest.raises(BadInput, match="101,000 pUSD, its equity is 10,000 pUSD"):
            desk.edit(with_second(100_000.0), base=1)


async def test_a_bot_started_before_the_equity_is_known_is_judged_when_it_is(
    tmp_path: Path,
) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        executor = desk.engine.runners[DEMO].core.executor
        executor._blocks.recovering = True
        left = await desk.command(StartBot(bot=BotId("maker")))
        assert left.state is CommandState.DONE
        assert "the equity of account demo is not known yet" in str(left.answer)
        bot_runner = desk.engine.bot_runners["maker"]
        assert bot_runner.bot.state is BotState.STARTING
        executor._blocks.recovering = False
        for watch in tuple(desk.engine.watchers):
            watch(desk.engine.clock.now_ns())
        assert bot_runner.bot.state in (BotState.PAUSING, BotState.PAUSED)


async def test_real_money_follows_what_loses_only_with_a_reason(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        bot_runner = desk.engine.bot_runners["maker"]
        digest = code_digest(type(bot_runner.bot.strategy))
        loses = replace(
            EARNS, strategy="market_maker", digest=digest, mean=-1.0, low=-2.0, high=-0.5
        )
        with writing(desk.config.state_path) as connection:
            put_evidence(connection, ENGINE_ID, [loses])
        ledger_of(desk).move_cash(1_000 * MICRO)
        desk.engine.runners[DEMO].core.executor.mode = Mode.LIVE
        short = await desk.command(StartBot(bot=BotId("maker"), reason="because"))
        assert short.state is CommandState.REFUSED
        assert "strategy market_maker loses by its evidence" in str(short.answer)
        given = await desk.command(StartBot(bot=BotId("maker"), reason="a study of its fills"))
        assert given.state is CommandState.DONE, given.answer


async def test_what_is_for_paper_alone_follows_no_real_money(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        desk.engine.bot_runners["maker"].bot.strategy.paper_only = True  # type: ignore[attr-defined]
        ledger_of(desk).move_cash(1_000 * MICRO)
        executor = desk.engine.runners[DEMO].core.executor
        executor.mode = Mode.LIVE
        real = await desk.command(StartBot(bot=BotId("maker"), reason="a study of its fills"))
        assert real.state is CommandState.REFUSED
        assert "for paper and demo accounts alone" in str(real.answer)
        executor.mode = Mode.DEMO
        played = await desk.command(StartBot(bot=BotId("maker")))
        assert played.state is CommandState.DONE, played.answer


async def test_a_bot_whose_plug_in_holds_too_much_outside_it_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        ledger_of(desk).move_cash(1_000 * MICRO)
        strategy = desk.engine.bot_runners["maker"].bot.strategy
        monkeypatch.setattr(bots, "BYTES_MAX", 1_000_000)
        strategy.kept = bytes(2_000_000)  # type: ignore[attr-defined]
        monkeypatch.setattr(type(strategy), "__module__", "plugins.leaky.strategies.leaky")
        refused = await desk.command(StartBot(bot=BotId("maker")))
        assert refused.state is CommandState.REFUSED
        assert "hold more than 1 MB by now" in str(refused.answer)
        assert "restart the engine" in str(refused.answer)
        del strategy.kept  # type: ignore[attr-defined]
        done = await desk.command(StartBot(bot=BotId("maker")))
        assert done.state is CommandState.DONE, done.answer


async def test_play_money_follows_whatever_is_started(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        ledger_of(desk).move_cash(1_000 * MICRO)
        digest = code_digest(type(desk.engine.bot_runners["maker"].bot.strategy))
        loses = replace(
            EARNS, strategy="market_maker", digest=digest, mean=-1.0, low=-2.0, high=-0.5
        )
        with writing(desk.config.state_path) as connection:
            put_evidence(connection, ENGINE_ID, [loses])
        left = await desk.command(StartBot(bot=BotId("maker")))
        assert left.state is CommandState.DONE, left.answer


async def test_a_bot_in_quarantine_is_in_error_at_the_next_start_until_a_person_starts_it(
    tmp_path: Path,
) -> None:
    quarantine(tmp_path, "maker", "one call of its strategy took more than 5 s")
    async with TradingDesk(tmp_path, Exchange()) as desk:
        before = desk.engine.bot_runners.pop("maker")
        before.runner.core.remove(before.bot, desk.engine.clock.now_ns())
        attach_bots(desk.engine, {}, first=True)
        bot = desk.engine.bot_runners["maker"].bot
        assert bot.state is BotState.ERROR
        assert "in quarantine" in bot.error
        ledger_of(desk).move_cash(1_000 * MICRO)
        left = await desk.command(StartBot(bot=BotId("maker")))
        assert left.state is CommandState.DONE, left.answer
        assert quarantined(tmp_path) == {}


class Loops(MarketMaker):
    """A plug-in's maker that loops where it is said to."""

    where: ClassVar[str] = ""

    def __init__(self, parameters: MarketMakerParameters, bot: BotId) -> None:
        super().__init__(parameters, bot)
        while self.where == "the making":
            pass

    @property
    def timer_ns(self) -> int:
        """Say what it was given, or loop."""
        while self.where == "what it declares":
            pass
        return self._timer_ns

    @timer_ns.setter
    def timer_ns(self, given: int) -> None:
        self._timer_ns = given

    def restore(self, state: bytes) -> None:
        """Loop, or take back what was learned."""
        while self.where == "the restore":
            pass
        super().restore(state)


@pytest.mark.parametrize("where", ["the making", "the restore", "what it declares"])
async def test_a_bot_whose_strategy_loops_when_it_is_made_is_in_error_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(in_time, "BUDGET_S", 0.2)
    monkeypatch.setattr(Loops, "__module__", "plugins.loops.strategies.loops")
    monkeypatch.setattr(Loops, "where", where)
    async with TradingDesk(tmp_path, Exchange()) as desk:
        ledger_of(desk).move_cash(1_000 * MICRO)
        engine = desk.engine
        before = engine.bot_runners.pop("maker")
        learned = before.bot.strategy.state()
        assert learned
        before.runner.core.remove(before.bot, engine.clock.now_ns())
        monkeypatch.setitem(STRATEGIES, "market_maker", Loops)
        kept = BotSnapshot(state=BotState.RUNNING, strategy=learned)
        attach_bots(engine, {"maker": kept})
        bot = engine.bot_runners["maker"].bot
        assert bot.state is BotState.ERROR
        said = where.replace("it declares", "market_maker declares")
        said = said if said != where else f"{where} of market_maker"
        assert bot.error.startswith(f"{said} took longer than 0.2 s")
        assert quarantined(tmp_path) == {"maker": bot.error}
        refused = await desk.command(StartBot(bot=BotId("maker")))
        if where != "the restore":
            assert refused.state is CommandState.REFUSED
            assert bot.error in str(refused.answer)
            assert bot.state is BotState.ERROR
            assert quarantined(tmp_path), "the next start does not make it"
        monkeypatch.setattr(Loops, "where", "")
        engine.bot_runners["maker"].bot.state = BotState.ERROR
        done = await desk.command(StartBot(bot=BotId("maker")))
        assert done.state is CommandState.DONE, done.answer
        assert type(bot.strategy) is Loops
        assert quarantined(tmp_path) == {}
        if where != "the restore":
            assert bot.strategy.state() == learned
