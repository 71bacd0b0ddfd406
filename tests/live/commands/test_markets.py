"""Whose listing can be asked for; and bots kept at the markets their saved filters lead to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.domain.bots import BotState
from engine.domain.commands import SyncMarkets
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, InstrumentId, Side
from engine.domain.intents import Target, Urgency
from engine.domain.listings import ListingPage
from engine.errors import BadInput
from engine.live.commands.markets import FilterFollower, sync
from engine.runtime.market_hub import wants_of
from storage.markets import MarketStore
from storage.settings import applied
from storage.users import ENGINE_ID
from tests.live.commands.test_orders import SHARE, Takes
from tests.storage.listed import made
from tests.test_distance import DEMO, ONE, TradingDesk


def test_other_venues_are_refused_in_words() -> None:
    engine: Any = SimpleNamespace(settings=SimpleNamespace(document=SimpleNamespace(accounts={})))
    with pytest.raises(BadInput, match="cannot be fetched; available are demo, polymarket"):
        sync(engine, SyncMarkets(venue="okx"), "ann")
    with pytest.raises(BadInput, match="no account at Demo exchange"):
        sync(engine, SyncMarkets(venue="demo"), "ann")


# -- saved filters ---------------------------------------------------------------------------------

FIRST, SECOND, THIRD = (InstrumentId(f"demo:{name}") for name in ("first", "second", "third"))
MAKER = BotId("maker")


class FollowDesk(TradingDesk):
    """A desk whose one bot follows the markets with a volume of 50 or more, two at most."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, Takes(50))
        self.edit(
            {
                "filters": {"busy": {"volume_24h_min": 50.0}},
                "bots": {MAKER: {"follows": "busy", "instruments": [], "instruments_max": 2}},
            },
            base=1,
        )
        applied(self.connection, ENGINE_ID, 2, 1)

    def lists(self, **volumes: float) -> None:
        """Write a listing: name → volume."""
        rows = [
            made(n, id=InstrumentId(f"demo:{name}"), venue="demo", volume_24h=volume)
            for n, (name, volume) in enumerate(volumes.items())
        ]
        with closing(MarketStore(self.config.markets_path)) as store:
            store.put("demo", ListingPage(tuple(rows), {}, ""), 1)

    @property
    def bot(self) -> Any:
        return self.engine.bot_runners[MAKER].bot

    async def follows(self, *names: InstrumentId) -> None:
        """Wait until the bot follows exactly these."""

        def look() -> bool:
            self.engine.part(FilterFollower)._due_ns = 0
            self.engine.tick(self.engine.clock.now_ns())
            return self.bot.followed == frozenset(names)

        await self.until(look, f"it follows {names}")

    def receive(self, *names: InstrumentId) -> None:
        for name in names:
            book = BookReplaced(
                instrument=name, bids=((4_800, 90 * SHARE),), asks=((5_200, 90 * SHARE),),
                exchange_ns=None,
            )  # fmt: skip
            instrument = msgspec.structs.replace(ONE, id=name, market="")
            self.engine.runners[DEMO].market(
                (InstrumentListed(instrument=instrument), book), self.engine.clock.now_ns()
            )


async def test_a_bot_trades_what_its_filter_finds_and_no_more_than_its_maximum(
    tmp_path: Path,
) -> None:
    async with FollowDesk(tmp_path) as desk:
        assert not desk.engine.bot_runners[MAKER].leaving()
        desk.lists(first=100.0, second=90.0, third=80.0)
        await desk.follows(FIRST, SECOND)
        assert {FIRST, SECOND} == set(wants_of(desk.engine, "demo", desk.engine.runners[DEMO])[0])
        desk.receive(FIRST, SECOND, THIRD)
        assert set(desk.bot.cells) == {FIRST, SECOND}
        desk.lists(third=1_000.0)  # it ranks first now: those that are followed are not left
        await desk.follows(FIRST, SECOND)
        desk.lists(first=10.0)
        await desk.follows(SECOND, THIRD)
        assert set(desk.bot.cells) == {SECOND, THIRD}


async def test_what_left_the_filter_is_only_reduced(tmp_path: Path) -> None:
    async with FollowDesk(tmp_path) as desk:
        desk.engine.runners[DEMO].core.executor.ledger.move_cash(10**10)
        desk.lists(first=100.0, second=90.0)
        await desk.follows(FIRST, SECOND)
        desk.receive(FIRST, SECOND)
        engine, runner = desk.engine, desk.engine.runners[DEMO]
        ledger, now_ns = runner.core.executor.ledger, engine.clock.now_ns()
        bought = Target(
            bot=MAKER, instrument=SECOND, position=20 * SHARE, limit_price=5_200,
            urgency=Urgency.CROSS, valid_until_ns=now_ns + 10**9,
        )  # fmt: skip
        runner.core.set_target(bought, now_ns)
        runner.settle(now_ns)
        await desk.until(lambda: ledger.holding(SECOND).position == 20 * SHARE, "it is bought")
        desk.bot.state = BotState.RUNNING
        before = len(desk.venue.sent)
        desk.lists(second=10.0)
        await desk.follows(FIRST)
        assert engine.bot_runners[MAKER].leaving() == [SECOND]

        def resting() -> list[Any]:
            engine.tick(engine.clock.now_ns())
            runner.settle(engine.clock.now_ns())
            return [one for one in desk.venue.sent[before:] if one.instrument == SECOND]

        await desk.until(resting, "its position is worked out")
        (order,) = resting()
        assert (order.side, order.leg, order.post_only) == (Side.SELL, "yes", True)
        assert (order.price, order.size) == (5_200, 20 * SHARE)
        desk.lists(second=90.0)
        await desk.follows(FIRST, SECOND)
        assert not engine.bot_runners[MAKER].leaving()


async def test_a_listing_that_cannot_be_read_changes_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FollowDesk(tmp_path) as desk:
        told: list[str] = []
        monkeypatch.setattr(desk.engine, "alert", lambda alert, _: told.append(alert.text))
        desk.lists(first=100.0)
        await desk.follows(FIRST)
        desk.config.markets_path.write_bytes(b"no database" * 100)
        part = desk.engine.part(FilterFollower)
        for _ in range(2):
            part._due_ns = 0
            desk.engine.tick(desk.engine.clock.now_ns())
            await desk.until(lambda: part._look is None, "it has looked")
        assert desk.bot.followed == {FIRST}
        (text,) = told
        assert "could not be evaluated, nothing changes" in text


async def test_what_another_bot_of_the_account_trades_is_not_followed(tmp_path: Path) -> None:
    async with FollowDesk(tmp_path) as desk:
        other = SimpleNamespace(
            bot=SimpleNamespace(account=DEMO, instruments=frozenset({FIRST}), followed=frozenset()),
            settings=SimpleNamespace(follows=""),
            watch=lambda _: None,
        )
        desk.engine.bot_runners["other"] = other  # type: ignore[assignment]
        desk.lists(first=100.0, second=90.0)
        await desk.follows(SECOND)
