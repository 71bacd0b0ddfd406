"""A KILL beside fifty accounts of twenty markets each, while books go on coming.

What is bounded is the time that this process spends, not the clock on the wall: a busy machine
shows nothing about the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from msgspec.structs import replace

from engine.domain.bots import BotState
from engine.domain.commands import Kill
from engine.domain.effects import CancelScope
from engine.domain.events import InstrumentListed, OpenOrdersListed, OrderCancelled, VenueEvent
from engine.domain.instruments import AccountId, BotId
from engine.domain.orders import Identity, Order, OrderReport, OrderState
from engine.gateway.door import Named, Prepared
from engine.runtime.bot_runner import BotRunner
from storage.commands import KILL_PROOF, CommandState, latest_receipt
from storage.settings import applied
from storage.users import ENGINE_ID
from tests.fakes.polymarket.listing import Listed, identify, instrument_of
from tests.lab.conftest import QUOTING
from tests.live.trading_desk import BOOK, DEMO, Exchange, TradingDesk

ACCOUNTS, MARKETS = 50, 20
PROVEN_S = 10.0
"""CPU seconds of this process from the command to the receipt."""

TERMS = [instrument_of(identify(Listed(slug=f"m{n}"), n, n)) for n in range(1, MARKETS + 1)]
NAMES = [DEMO, *(AccountId(f"demo-{number}") for number in range(2, ACCOUNTS + 1))]


class Resting(Exchange):
    """A venue at which orders rest until they are cancelled."""

    def __init__(self, account: AccountId) -> None:
        super().__init__(account)
        self.open: dict[Identity, Order] = {}

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        self.open[prepared.identity] = prepared.order
        return await super().send(prepared)

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        return [
            OrderCancelled(account=self.account, order=one.order)
            for one in orders
            if self.open.pop(one.identity, None) is not None
        ]

    async def cancel_all(self, _: CancelScope) -> Sequence[VenueEvent]:
        gone = list(self.open.values())
        self.open.clear()
        return [OrderCancelled(account=self.account, order=order.id) for order in gone]

    async def open_orders(self) -> OpenOrdersListed:
        reports = tuple(
            OrderReport(
                identity=name, order=one.id, ours=True, instrument=one.instrument, leg=one.leg,
                side=one.side, price=one.price, size=one.size, filled=0, state=OrderState.OPEN,
            )
            for name, one in self.open.items()
        )  # fmt: skip
        return OpenOrdersListed(account=self.account, orders=reports)


async def opened(desk: TradingDesk) -> list[Resting]:
    """Open all accounts, each with a bot in every market, and money."""
    engine, now_ns = desk.engine, desk.engine.clock.now_ns()
    venues = [desk.venue]
    for name in NAMES[1:]:
        venues.append(Resting(name))
        desk.open(name, venues[-1])
        made = BotRunner(engine.settings.document.bots[f"maker-{name}"], engine.runners[name])
        engine.bot_runners[BotId(f"maker-{name}")] = made
        engine.runners[name].core.add(made.bot, now_ns)
    for made in engine.bot_runners.values():
        made.bot.state = BotState.RUNNING
    for runner in engine.runners.values():
        runner.core.executor.ledger.move_cash(10**10)
    return venues


async def books(desk: TradingDesk) -> None:
    """Give every account's every market another book, over and over."""
    listed = tuple(InstrumentListed(instrument=one) for one in TERMS)
    for turn in count():
        bids = ((4_700 + 100 * (turn % 2), 10**7),)
        told = tuple(replace(BOOK, instrument=one.id, bids=bids) for one in TERMS)
        for runner in desk.engine.runners.values():
            runner.market(listed + told if not turn else told, desk.engine.clock.now_ns())
            await asyncio.sleep(0)


async def test_a_kill_beside_fifty_accounts_of_twenty_markets_is_proven_in_time(
    tmp_path: Path,
) -> None:
    desk = TradingDesk(tmp_path, Resting(DEMO))
    keys = [one.id for one in TERMS]
    accounts = {name: {"name": name, "venue": "demo", "mode": "demo"} for name in NAMES[1:]}
    bots = {
        f"maker-{name}": {
            "name": f"maker-{name}", "strategy": "market_maker", "account": name,
            "capital": 500.0, "instruments": keys, "parameters": QUOTING,
        }
        for name in NAMES[1:]
    }  # fmt: skip
    mine = {"maker": {"instruments": keys}}
    version = desk.edit({"accounts": accounts, "bots": {**bots, **mine}}, base=1)
    applied(desk.connection, ENGINE_ID, version, 1)
    async with desk:
        venues = await opened(desk)
        task = asyncio.create_task(books(desk))
        await desk.until(
            lambda: sum(map(bool, (one.open for one in venues))) >= ACCOUNTS, "all quote"
        )
        began_s = time.process_time()
        name = desk.leave(Kill())
        while (found := latest_receipt(desk.connection, ENGINE_ID, KILL_PROOF)) is None or (
            not found.proven
        ):
            desk.engine.tick(desk.engine.clock.now_ns())
            desk.engine.prove(desk.engine.clock.now_ns())
            await asyncio.sleep(0.002)
            assert time.process_time() - began_s < PROVEN_S, found
        took_s = time.process_time() - began_s
        task.cancel()
        await desk.until(lambda: desk.find(name).state is CommandState.DONE, "it is answered")
        assert not any(one.open for one in venues)
        assert len(found.accounts) == ACCOUNTS
        print(f"proven in {took_s:.2f} CPU s")
