"""What is quoted in another currency than an account counts in is refused at each door to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.domain.commands import ApplySettings, PlaceManual, ResumeBot, StartBot
from engine.domain.commands.trading import TransferHolding
from engine.domain.commands.wallet import AdoptTokens, Split
from engine.domain.events import InstrumentListed
from engine.domain.instruments import MANUAL, BotId, InstrumentId, Leg, Side
from storage.commands import CommandState, LeftCommand
from tests.live.commands.test_foreign import WalletDesk
from tests.live.commands.test_markets import FIRST, SECOND, FollowDesk
from tests.live.commands.test_orders import HandDesk
from tests.live.trading_desk import DEMO, DOCUMENT, ONE

EURO = replace(ONE, currency="EUR")
WHY = (
    f"{ONE.id} is quoted in EUR and the account counts in pUSD: trade it at an account that counts "
    "in EUR"
)
MAKER = BotId("maker")
BOT = {**DOCUMENT["bots"]["maker"], "name": "second", "instruments": [str(ONE.id)], "capital": 1.0}


def refused(left: LeftCommand) -> None:
    assert (left.state, WHY in str(left.answer)) == (CommandState.REFUSED, True), left.answer


class EuroDesk(HandDesk):
    """A desk that was sent the terms of a market in another currency."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, 0)

    def hears(self, terms: Any = EURO) -> None:
        runner = self.engine.runners[DEMO]
        runner.core.executor.ledger.move_cash(10**10)
        runner.market((InstrumentListed(instrument=terms),), self.engine.clock.now_ns())


@pytest.mark.parametrize(
    "asked",
    [
        PlaceManual(
            account=DEMO, instrument=ONE.id, leg=Leg.YES, side=Side.BUY, price=5_200, size=10**6
        ),
        TransferHolding(
            account=DEMO, instrument=ONE.id, leg=Leg.YES, size=10**6, price=6_000,
            from_owner=MANUAL, to_owner=MAKER,
        ),
        Split(account=DEMO, instrument=ONE.id, size=10**6),
        StartBot(bot=MAKER),
    ],
    ids=["ticket", "transfer", "split", "start"],
)  # fmt: skip
async def test_a_command_in_another_currency_is_refused(asked: Any, tmp_path: Path) -> None:
    async with EuroDesk(tmp_path) as desk:
        desk.hears()
        refused(await desk.asked(asked))


async def test_a_paused_bot_does_not_go_on_in_another_currency(tmp_path: Path) -> None:
    async with EuroDesk(tmp_path) as desk:
        desk.hears(ONE)
        bot = desk.engine.bot_runners["maker"].bot
        bot.state = type(bot.state).PAUSED
        desk.hears()
        refused(await desk.asked(ResumeBot(bot=MAKER)))


async def test_a_bot_is_neither_made_nor_changed_to_trade_in_another_currency(
    tmp_path: Path,
) -> None:
    async with EuroDesk(tmp_path) as desk:
        desk.hears()
        refused(
            await desk.asked(ApplySettings(version=desk.edit({"bots": {"second": BOT}}, base=1)))
        )
        fewer = {"bots": {"maker": {"capital": 5.0}}, "accounts": {DEMO: {"merge_above": 9.0}}}
        refused(await desk.asked(ApplySettings(version=desk.edit(fewer, base=2))))


async def test_a_bot_that_stands_as_it_was_keeps_no_other_setting_back(tmp_path: Path) -> None:
    async with EuroDesk(tmp_path) as desk:
        desk.hears()
        limits = {"accounts": {DEMO: {"limits": {"open_orders_max": 3}}}}
        left = await desk.asked(ApplySettings(version=desk.edit(limits, base=1)))
        assert left.state is CommandState.DONE, left.answer


async def test_tokens_in_another_currency_are_not_taken_in(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.lists(receive=False)
        runner = desk.engine.runners[DEMO]
        runner.market((InstrumentListed(instrument=EURO),), desk.engine.clock.now_ns())
        refused(await desk.asked(AdoptTokens(account=DEMO, instrument=ONE.id, leg=Leg.YES, cost=1)))


async def test_a_filter_leads_no_bot_into_another_currency(tmp_path: Path) -> None:
    async with FollowDesk(tmp_path) as desk:
        runner, now_ns = desk.engine.runners[DEMO], desk.engine.clock.now_ns()
        euro = replace(ONE, id=InstrumentId(FIRST), market="", currency="EUR")
        runner.market((InstrumentListed(instrument=euro),), now_ns)
        desk.lists(first=100.0, second=90.0)
        await desk.follows(SECOND)
