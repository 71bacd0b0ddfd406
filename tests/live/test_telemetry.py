"""What an engine says of itself: every book, and nothing that stays as it was at the start."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.caches.views import BookView
from engine.domain.bots import BotState
from engine.domain.decisions import Rest
from engine.domain.events import HealthChanged, InstrumentListed
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode, Side
from engine.domain.intents import Quotes, Target, Urgency
from engine.domain.orders import OrderId, OrderState
from engine.domain.telemetry import EngineStatus, StreamLost, WatchedMarket
from engine.live import telemetry
from engine.live.telemetry import LEVELS, Telemetry, books_of
from engine.runtime.services import USER_FEED
from tests.executor.conftest import SHARE, Rig
from tests.live.trading_desk import Exchange, TradingDesk


def view_of(name: str) -> BookView:
    instrument = Instrument(
        id=InstrumentId(name), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
        size_decimals=6, tick=100, lot=10_000,
    )  # fmt: skip
    view = BookView(instrument)
    view.book.replace([(4_000 - level, 1 + level) for level in range(LEVELS + 3)], [])
    return view


MINE = InstrumentId("demo:1")
RIGGED = InstrumentId("venue:m1")


def resting(number: int, level: int, remaining: int, *, bid: bool = True) -> Any:
    return SimpleNamespace(
        order=SimpleNamespace(id=OrderId(number)),
        bid=bid,
        level=level,
        remaining=remaining,
        state=OrderState.OPEN,
    )


def receiving(*orders: Any, mode: Mode = Mode.DEMO) -> Any:
    """Return a runner that receives one market and has these orders in it."""
    executor = SimpleNamespace(mode=mode, working=lambda _: orders)
    cache = SimpleNamespace(views={MINE: view_of(MINE)})
    desk = SimpleNamespace(cache=cache, executor=executor)
    return SimpleNamespace(account=AccountId("a"), core=desk)


def test_a_book_is_told_by_its_best_levels_and_what_is_not_received_is_left_out() -> None:
    runner = receiving()
    (top,) = books_of(runner, {MINE: True, InstrumentId("demo:2"): False}, {})
    assert top.bids == tuple((4_000 - level, 1 + level) for level in range(LEVELS))
    assert (top.asks, top.last, top.ahead, top.followed) == ((), None, {}, True)
    runner.core.cache.views[MINE].closed = True
    assert books_of(runner, {MINE: False}, {}) == []


@pytest.mark.parametrize(("mode", "first"), [(Mode.DEMO, 60), (Mode.PAPER, 100)])
def test_what_is_ahead_of_an_order_never_grows(mode: Mode, first: int) -> None:
    runner, queues = receiving(resting(7, 3_900, 40), mode=mode), dict[OrderId, int]()
    view = runner.core.cache.views[MINE]
    view.trusted = True
    told = []
    for shown in (100, 500, 70, 200):  # a paper account's order is in nobody's book
        view.book.apply(((Side.BUY, 3_900, shown),))
        (top,) = books_of(runner, {MINE: False}, queues)
        told.append(top.ahead[OrderId(7)])
    assert told == [first, first, first - 30, first - 30]
    view.trusted = False
    view.book.apply(((Side.BUY, 3_900, 1),))
    (top,) = books_of(runner, {MINE: False}, queues)
    assert top.ahead == {7: first - 30}  # what cannot be trusted is no news
    runner.core.executor.working = lambda _: ()
    books_of(runner, {MINE: False}, queues)
    assert queues == {}


def test_what_is_told_each_second_holds_no_schema() -> None:
    assert len(msgspec.json.encode(EngineStatus())) < 1_000
    assert {"strategies", "books", "watching"}.isdisjoint(EngineStatus.__struct_fields__)


async def test_an_engine_whose_clock_was_set_back_is_seen_alive(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path) as desk:
        clock = desk.engine.clock
        said_ns = clock.now_ns() - 3_600 * 10**9
        clock._wall_ns = lambda: said_ns
        heartbeat = Telemetry(desk.engine).heartbeat(clock.now_ns())
        assert heartbeat.heartbeat_ns == said_ns


async def test_a_bot_whose_market_its_venue_never_listed_says_so(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        maker = desk.engine.bot_runners["maker"].bot
        maker.instruments = frozenset({InstrumentId("demo:typo")})

        async def unlisted() -> str:
            Telemetry(desk.engine).second(1)
            await desk.written()
            return str(desk.connection.execute("SELECT unlisted FROM bots").fetchone()[0])

        maker.state = BotState.IDLE
        assert await unlisted() == ""
        maker.state = BotState.RUNNING
        assert await unlisted() == "no such market listed by demo so far: demo:typo"
        core = desk.engine.bot_runners["maker"].runner.core
        core.cache.views[InstrumentId("demo:typo")] = view_of("demo:typo")
        assert await unlisted() == ""


async def test_a_bot_that_pauses_is_told_at_once_and_once(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        telemetry, maker = Telemetry(desk.engine), desk.engine.bot_runners["maker"]

        async def told() -> Any:
            telemetry.tick(1)
            await desk.written()
            return desk.connection.execute("SELECT state, updated_ns FROM bots").fetchone()

        maker.bot.state = BotState.RUNNING
        assert (await told())[0] == "running"
        maker.pause(desk.engine.clock.now_ns())
        assert (await told())[0] == "pausing"
        telemetry.tick(2)
        assert not desk.engine.state.waiting, "nothing has moved"


async def test_a_bot_says_where_it_rests_whoever_else_trades_there(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        maker = desk.engine.bot_runners["maker"].bot
        listed = view_of("demo:1").instrument
        maker.followed = frozenset({MINE})
        cell = maker.take(listed)
        assert cell is not None
        cell.rest = Rest(until_ns=5, why="its fills lost")
        executor = desk.engine.bot_runners["maker"].runner.core.executor
        executor.receive(InstrumentListed(instrument=listed), 1)
        other = Quotes(
            bot=BotId("other"), instrument=MINE, bids=(), asks=(), valid_until_ns=9, decision=1
        )
        executor.receive(other, 1)
        reporter = Telemetry(desk.engine)
        reporter.second(1)
        assert reporter._quoting == set(), "another owner's quotes are not its own"
        await desk.written()
        row = desk.connection.execute("SELECT watching FROM bots").fetchone()
        (seen,) = (
            one
            for one in msgspec.json.decode(row[0], type=tuple[WatchedMarket, ...])
            if one.instrument == MINE
        )
        assert seen.rest == cell.rest
        executor.receive(msgspec.structs.replace(other, bot=BotId("maker")), 1)
        reporter = Telemetry(desk.engine)
        reporter.second(2)
        assert reporter._quoting == {"maker"}


def test_a_position_is_reached_where_nothing_is_left_to_do_and_no_maker_holds_it() -> None:
    rig = Rig()
    cell: Any = SimpleNamespace(
        instrument=RIGGED, bot=SimpleNamespace(name=rig.build.bot), rest=None
    )

    def reached(*messages: object, takes: bool = True) -> bool:
        rig.feed(*messages)
        return telemetry._watched(rig.executor, cell, takes=takes).reached

    wanted = Target(
        bot=rig.build.bot, instrument=RIGGED, position=100 * SHARE, limit_price=5_200,
        urgency=Urgency.CROSS, valid_until_ns=rig.now + 10**12,
    )  # fmt: skip
    assert not reached(rig.mark()), "it holds nothing"
    assert not reached(wanted), "its order is on its way"
    rig.send(1)
    assert reached(rig.fill(1, 100, price=5_100))
    assert not reached(takes=False)


async def test_an_account_whose_private_stream_is_cut_is_named_with_its_mode(
    tmp_path: Path,
) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        (runner,) = desk.engine.runners.values()

        def lost() -> dict[str, StreamLost]:
            status = Telemetry(desk.engine).heartbeat(desk.engine.clock.now_ns()).status
            return status.private_lost

        assert lost() == {}
        health = partial(HealthChanged, account=runner.account, source=USER_FEED)
        runner.report(health(healthy=False, reason="the socket is cut"))
        assert lost() == {"demo": StreamLost(mode=Mode.DEMO, why="the socket is cut")}
        runner.unaskable = lambda: "its vault is locked"
        assert lost() == {}, "a person knows that already: `vault_locked` says it"


async def test_answers_to_new_orders_are_told_with_the_heartbeat(tmp_path: Path) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        (runner,), clock = desk.engine.runners.values(), desk.engine.clock
        runner.sender._answered(2_000_000, clock.now_ns())
        status = Telemetry(desk.engine).heartbeat(clock.now_ns()).status
        assert (status.answers, status.answer_ms_median) == (1, 2.0)
