"""A perpetual over a served exchange and a running engine: to the unit, at every step.

Exchange, ledger, tables and the second witness are asked after each step; the engine is ended and
started again in the middle, and misses a stamp meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from sqlite3 import Connection

import msgspec
import pytest

from engine.cli.kill import run
from engine.clock import WallClock
from engine.config import Config, load
from engine.domain.bots import BotState
from engine.domain.commands import MANUAL, AnyCommand, Kill, PlaceManual, StartBot, StopBot
from engine.domain.commands.signals import Observe
from engine.domain.commands.trading import Flatten, FollowMarket
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.intents import Urgency
from engine.domain.orders import Order, OrderId
from engine.domain.products.funding import HOUR_NS, rate_e18
from engine.executor.ledger import Ledger
from engine.live.accounts import Accounts
from engine.live.engine import Engine
from engine.live.lifecycle import close, ledger_side, trade
from engine.live.main import chosen, open_engine, opened
from engine.live.venues import venues_of
from engine.runtime import state_writer
from engine.runtime.recovery import recover
from engine.venues.demo.margin_desk import MarginDesk
from engine.venues.demo.profiles import PERPETUAL, SPOT, THIN
from storage.commands import ENDS, CommandState, LeftCommand, find, leave
from storage.database import connect_writer, reading
from storage.equity_identity import EquityCheck, LedgerSide, judge
from storage.journal import latest_snapshots, take_lease
from storage.schema import migrate
from storage.settings import Saved, applied, save
from storage.users import ENGINE_ID
from tests.live.homes import Exchange, exchange

ACCOUNT, BOT, PERP = AccountId("demo"), BotId("follower"), InstrumentId("demo:BTC-PERP")
PAIR = InstrumentId("demo:BTC-pUSD")
WORLD = msgspec.structs.replace(THIN, series=(), events=(), spots=(SPOT,), perpetuals=(PERPETUAL,))
DOCUMENT = {
    "accounts": {
        "demo": {"name": "demo", "venue": "demo", "mode": "demo", "starting_cash": 10_000.0}
    },
    "bots": {
        BOT: {
            "name": BOT, "strategy": "signal", "account": "demo", "capital": 400.0,
            "instruments": [PERP], "parameters": {"key": "signal:btc"},
        },
        "hedger": {
            "name": "hedger", "strategy": "funding_arbitrage", "account": "demo", "capital": 500.0,
            "instruments": [PAIR, PERP], "parameters": {"warm_s": 0.0, "slippage_bps_max": 20.0},
        },
    },
}  # fmt: skip
PATIENCE_S = 60.0
RATE = rate_e18("0.0001")


class Desk:
    """One home over an exchange; an engine lives in it where `running` says so."""

    def __init__(self, home: Path, venue: Exchange) -> None:
        home.mkdir(exist_ok=True)
        self.config: Config = load({"PITBOSS_HOME": str(home)})
        migrate(self.config.state_path)
        self.venue = venue
        self.state: Connection = connect_writer(self.config.state_path)
        saved = save(
            self.state, engine_id=ENGINE_ID, who="ann", diff=DOCUMENT, base_version=0, now_ns=1
        )
        assert isinstance(saved, Saved)
        applied(self.state, ENGINE_ID, saved.version, 1)
        self._asked = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Engine]:
        """Recover and trade, as the program does; end it in order behind."""
        config, clock = self.config, WallClock()
        fence = take_lease(config.journal_path, ENGINE_ID)
        accounts = Accounts(venues_of(config, self.venue.url, killed=False), fence=fence)
        start = chosen(self.state, accounts, clock.now_ns())
        found = recover(config.journal_path, start.executors)
        past = latest_snapshots(config.journal_path)
        self.engine = engine = open_engine(config, clock, start)
        streams = opened(engine, start, found, past)
        living = asyncio.create_task(trade(engine, streams, kill_only=False))
        try:
            await self.until(lambda: not engine.recovering, "the venue was asked")
            yield engine
        finally:
            engine.end()
            await living
            await close(engine)

    async def until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
            await asyncio.sleep(0.02)

    async def command(self, command: AnyCommand) -> LeftCommand:
        """Leave a command as a page does, and wait for its answer."""
        self._asked += 1
        left = leave(
            self.state, engine_id=ENGINE_ID, id=f"t-{self._asked}", command=command, who="ann",
            now_ns=time.time_ns(),
        )  # fmt: skip

        def answered() -> bool:
            nonlocal left
            left = find(self.state, ENGINE_ID, left.id) or left
            return left.state in ENDS

        await self.until(answered, f"{type(command).__name__} is answered")
        return left

    # -- what stands where -------------------------------------------------------------------------

    @property
    def margins(self) -> MarginDesk:
        return self.venue.host.exchange.order_entry.margins

    @property
    def ledger(self) -> Ledger:
        return self.engine.runners[ACCOUNT].core.executor.ledger

    def at_venue(self) -> tuple[int, int, int]:
        """Cash, size and cost as the exchange has them."""
        position = self.margins.ledger.accounts[ACCOUNT].positions.get(PERP)
        cash = self.venue.host.exchange.wallet(ACCOUNT).cash
        return (cash, position.size, position.cost) if position is not None else (cash, 0, 0)

    def in_ledger(self) -> tuple[int, int, int]:
        net = self.ledger.state.netted.get(PERP)
        cash = self.ledger.state.cash_settled_micro
        return (cash, net.size, net.cost) if net is not None else (cash, 0, 0)

    def in_tables(self) -> dict[str, tuple[int, int]]:
        """Size and cost of each owner, as the positions of the state have them."""
        sql = "SELECT bot, settled, cost_micro FROM positions WHERE instrument = ?"
        found = {bot: (size, cost) for bot, size, cost in self.state.execute(sql, (PERP,))}
        return {bot: one for bot, one in found.items() if any(one)}

    def owned(self) -> dict[str, tuple[int, int]]:
        held = self.ledger.holders(PERP).items()
        return {
            bot: (one.position, one.yes.cost_settled_micro) for bot, one in held if one.position
        }

    async def agree(self, size: int) -> None:
        """Wait until all have this size; whatever differs then is shown."""
        await self.until(lambda: self.at_venue()[1] == size, f"the exchange has {size}")
        with suppress(AssertionError):
            await self.until(lambda: self.in_ledger() == self.at_venue(), "the ledger follows")
        assert self.in_ledger() == self.at_venue()
        with suppress(AssertionError):
            await self.until(lambda: self.in_tables() == self.owned(), "the tables follow")
        assert self.in_tables() == self.owned()
        assert sum(one for one, _ in self.owned().values()) == size
        self.ledger.check()
        assert not (await self.witnessed()).text

    async def witnessed(self) -> EquityCheck:
        """Judge equity where the projections stand at the journal's last record."""
        engine, found = self.engine, list[EquityCheck]()

        def asked() -> object:
            now_ns, seq = engine.wall_ns(), engine.recorder.seq
            side = ledger_side(engine.runners[ACCOUNT].core.executor, at_ns=now_ns, seq=seq)
            engine.projector.at(seq, lambda: found.append(self._judged(side)))
            return found

        await self.until(asked, "equity is judged")
        return found[-1]

    def _judged(self, side: LedgerSide) -> EquityCheck:
        with reading(self.config.state_path) as connection:
            return judge(connection, ENGINE_ID, side)

    # -- what happens ------------------------------------------------------------------------------

    async def by_hand(
        self, side: Side, size: int, urgency: Urgency = Urgency.CROSS, **changes: bool
    ) -> LeftCommand:
        """Take within 10, or rest as far from the other side."""
        book = self.venue.host.exchange.listing.market(PERP).book
        touch = book.best_ask if side is Side.BUY else book.best_bid
        assert touch is not None
        away = 1_000 if urgency is Urgency.CROSS else -10_000
        price = touch + away if side is Side.BUY else touch - away
        return await self.command(
            PlaceManual(
                account=ACCOUNT,
                instrument=PERP,
                leg=Leg.BASE,
                side=side,
                price=price,
                size=size,
                urgency=urgency,
                **changes,
            )
        )

    async def fund(self, stamp_ns: int) -> None:
        await self.venue.do(lambda: self.margins.fund(PERP, stamp_ns, RATE))

    def alerts(self) -> list[str]:
        return [kind for (kind,) in self.state.execute("SELECT kind FROM alerts ORDER BY rowid")]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # an engine sets its own
    monkeypatch.setattr(state_writer, "PROJECT_EVERY_S", 0.05)  # it is waited for at each step
    with exchange(tmp_path / "venue", WORLD) as venue:
        made = Desk(tmp_path / "home", venue)
        yield made
        made.state.close()


@pytest.mark.long
async def test_a_short_by_hand_and_by_a_bot_through_funding_restart_flip_and_liquidation(
    desk: Desk,
) -> None:
    stamp_ns = (WallClock().now_ns() // HOUR_NS + 30) * HOUR_NS  # none that comes by itself
    async with desk.running():
        await desk.command(FollowMarket(account=ACCOUNT, instrument=PERP, on=True))
        await desk.until(
            lambda: desk.venue.host.exchange.listing.market(PERP).book.best_bid, "it is quoted"
        )
        assert (await desk.command(StartBot(bot=BOT))).state is CommandState.DONE
        await desk.command(Observe(key="signal:btc", value="sell"))
        await desk.until(lambda: desk.owned().get(BOT, (0, 0))[0] < -500_000, "the bot is short")
        of_bot = desk.owned()[BOT][0]
        assert (await desk.by_hand(Side.SELL, 600_000)).state is CommandState.DONE
        await desk.agree(of_bot - 600_000)
        await desk.fund(stamp_ns)
        await desk.until(lambda: desk.ledger.state.income_micro, "funding came")
        await desk.agree(of_bot - 600_000)
        before = desk.in_ledger(), desk.owned()
    assert (desk.at_venue(), desk.in_tables()) == before
    for missed in (1, 2):
        await desk.fund(stamp_ns + missed * HOUR_NS)
    async with desk.running():
        await desk.agree(of_bot - 600_000)
        assert desk.owned() == before[1]
        assert desk.in_ledger()[0] > before[0][0], "what was missed came with the listing"
        await desk.by_hand(Side.BUY, 200_000)
        await desk.agree(of_bot - 400_000)
        await desk.by_hand(Side.BUY, 700_000)
        await desk.agree(of_bot + 300_000)
        assert desk.owned()[MANUAL][0] == 300_000
        closed = await desk.command(Flatten(account=ACCOUNT, instrument=PERP, slippage_max=2_000))
        assert closed.state is CommandState.DONE, closed.answer
        await desk.agree(of_bot)
        mark_e8 = desk.margins.ledger.perpetuals[PERP].mark_e8
        await desk.venue.do(lambda: desk.margins.mark(PERP, 40 * mark_e8))
        await desk.agree(0)
        assert desk.ledger.state.cash_settled_micro == 0
        await desk.until(lambda: "position_liquidated" in desk.alerts(), "it is said")
    assert "differs" not in " ".join(desk.alerts()), desk.alerts()


@pytest.mark.long
def test_a_kill_cancels_both_sides_beside_a_short_and_leaves_the_short(desk: Desk) -> None:
    async def killed() -> None:
        async with desk.running() as engine:
            await desk.command(FollowMarket(account=ACCOUNT, instrument=PERP, on=True))
            await desk.until(
                lambda: desk.venue.host.exchange.listing.market(PERP).book.best_bid, "it is quoted"
            )
            await desk.by_hand(Side.SELL, 600_000)
            for side in Side:
                rests = await desk.by_hand(side, 400_000, Urgency.REST)
                assert rests.state is CommandState.DONE, rests.answer
            refused = await desk.by_hand(Side.BUY, 700_000, reduce_only=True)
            assert "manual has 0.002 here that this order can close" in refused.answer
            await desk.command(Kill())
            await desk.until(lambda: engine.receipt is not None, "the KILL is proven")
            assert engine.receipt is not None
            assert engine.receipt.proven, engine.receipt
            assert await asyncio.to_thread(desk.venue.open_at, ACCOUNT) == 0
            await desk.agree(-600_000)
            reducing = await desk.by_hand(Side.BUY, 600_000, reduce_only=True)
            assert "KILL" in reducing.answer

    asyncio.run(killed())
    desk.venue.place([_resting(number, side) for number, side in enumerate(Side, 90)])
    assert desk.venue.open_at(ACCOUNT) == 2
    assert run(argparse.Namespace(demo=desk.venue.url, wait=1.0), desk.config) == 0
    assert desk.venue.open_at(ACCOUNT) == 0
    assert desk.at_venue()[1] == -600_000


@pytest.mark.long
async def test_a_bot_buys_spot_and_shorts_as_much_of_the_perpetual(desk: Desk) -> None:
    hedger = BotId("hedger")
    async with desk.running():
        await desk.command(StartBot(bot=hedger))
        owned = desk.ledger.owned
        await desk.until(lambda: owned(PERP, hedger).position < 0, "the short is open")
        await desk.until(
            lambda: owned(PAIR, hedger).position == -owned(PERP, hedger).position, "both legs are"
        )
        short = owned(PERP, hedger).position
        assert -short * 6_500_000 // 10**10 in range(220, 250)
        await desk.agree(short)
        await desk.command(StopBot(bot=hedger))
        rests = desk.engine.bot_runners[hedger].bot
        await desk.until(lambda: rests.state is BotState.STOPPED, "the bot rests")
        flat = Flatten(account=ACCOUNT, instrument=PERP, slippage_max=2_000, owner=hedger)
        assert "is flat" in (await desk.command(flat)).answer
        await desk.agree(0)
        assert owned(PAIR, hedger).position == -short
        assert desk.alerts() == []


def _resting(number: int, side: Side) -> Order:
    """An order of ours that no journal has: an engine of before placed it."""
    return Order(
        account=ACCOUNT, id=OrderId(number), bot=BOT, instrument=PERP, leg=Leg.BASE, side=side,
        price=6_250_000 if side is Side.BUY else 6_750_000, size=100_000, created_ns=1,
    )  # fmt: skip
