"""The public trades of a wallet as the venue's index lists them, against the fake."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.domain.instruments import InstrumentId
from engine.domain.legs import Leg, Side
from engine.domain.observed_events import Observed
from engine.errors import OutcomeUnknown
from engine.live.commands.observations import PLACES, WalletFeeds
from engine.runtime.venue_plugin import url_key
from engine.runtime.wallets import WalletPlace, look, read_places
from engine.venues.polymarket.market.wallets import PolymarketWallets
from storage.phases import RUNNING
from tests.fakes.polymarket.server import Served
from tests.live.commands.test_observations import Runner, listen
from tests.live.desk import LiveDesk
from tests.venues.polymarket.adapter import urls_of
from tests.venues.polymarket.kit import RAIN, Trader, by_slug

INDEXED_S = 20.0


async def trade(served: Served, *, size: str = "10", number: int = 1) -> str:
    """Have a wallet take so many shares of YES at 45 cents; return its address."""
    market = by_slug(served, RAIN)
    async with Trader(served, 2) as maker, Trader(served, number) as taker:
        await maker.place(market, "BUY", "0.55", size, outcome=1)
        await taker.place(market, "BUY", "0.45", size)
        return taker.wallet


async def indexed(served: Served, tapes: PolymarketWallets, wallet: str, count: int) -> list[Any]:
    """Return a wallet's trades once the index has so many."""
    async with asyncio.timeout(INDEXED_S):
        while len(found := (await tapes.trades(wallet, ""))[0]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def test_a_trade_has_its_market_its_leg_its_price_and_its_time(served: Served) -> None:
    wallet = await trade(served)
    tapes = PolymarketWallets(urls_of(served))
    (one,) = await indexed(served, tapes, wallet, 1)
    market = by_slug(served, RAIN)
    assert one.instrument == InstrumentId(f"polymarket:{market.condition}")
    assert (one.leg, one.side, one.price, one.size) == (Leg.YES, Side.BUY, 0.45, 10.0)
    assert abs(one.at_ns - served.venue.exchange.now_ns) < INDEXED_S * 1e9
    maker = await indexed(served, tapes, Trader(served, 2).wallet, 1)
    assert (maker[0].leg, maker[0].price, maker[0].number != one.number) == (Leg.NO, 0.55, True)
    await tapes.close()


async def test_rows_that_cannot_be_read_are_counted_and_left_out(served: Served) -> None:
    wallet = await trade(served)
    tapes = PolymarketWallets(urls_of(served))
    await indexed(served, tapes, wallet, 1)
    row = (
        '{"condition_id":"0x1","token_id":"1","side":"BUY","size":1,"price":0.5,'
        '"timestamp":1790000000,"transaction_hash":"0x2","outcome_index":%s}'
    )
    rows = ",".join([row % 1, row % 999, '{"side":"BUY"}', "7"])
    body = f'{{"data":[{rows}],"pagination":{{"has_more":false,"next_cursor":null}}}}'
    await served.control("faults", kind="garble", path="/v2/trades", args={"body": body})
    found, following = await tapes.trades(wallet, "")
    assert ([one.leg for one in found], following) == ([Leg.NO], "")
    assert sum(tapes.counts.anomalies.values()) == 3
    served.venue.faults.clear("")
    await served.control("faults", kind="garble", path="/v2/trades", args={"body": "[]"})
    with pytest.raises(OutcomeUnknown, match="without trades"):
        await tapes.trades(wallet, "")
    await tapes.close()


async def test_pages_are_followed_to_the_last(served: Served) -> None:
    for _ in range(3):
        wallet = await trade(served, size="5")
    tapes = PolymarketWallets(urls_of(served))
    await indexed(served, tapes, wallet, 3)
    found, more = await look(tapes, wallet, WalletPlace(newest_ns=0))
    assert (len(found), more) == (3, False)
    assert len({one.number for one in found}) == 3
    await tapes.close()


def addressed(config: Config, served: Served) -> Config:
    """Return a configuration with every address of the venue at the fake."""
    urls = {url_key("polymarket", name): url for name, url in urls_of(served).items()}
    return config.model_copy(update={"venue_urls": urls})


async def test_a_bot_is_handed_each_trade_of_its_wallet_once_over_a_restart(
    served: Served, tmp_path: Path
) -> None:
    wallet = (await trade(served)).lower()
    tapes = PolymarketWallets(urls_of(served))
    await indexed(served, tapes, wallet, 1)
    await tapes.close()
    got: list[list[str]] = []
    for life in range(2):
        async with LiveDesk(tmp_path / "home") as desk:
            engine, runner = desk.engine, Runner("one")
            engine.config = addressed(engine.config, served)
            engine.phase = RUNNING
            listen(engine, "copier", runner, f"wallet:polymarket/{wallet}", "signal:one")
            feeds = engine.part(WalletFeeds)
            feeds.watch(engine.clock.now_ns())
            feeds._read()
            if not life:
                await feeds._look(f"polymarket/{wallet}")
                assert runner.got == [], "what it traded before is old"
            await trade(served, size=f"{11 + life}")
            tapes = PolymarketWallets(urls_of(served))
            await indexed(served, tapes, wallet, 2 + life)
            for _ in range(3):
                await feeds._look(f"polymarket/{wallet}")
            seen = [one for one in runner.got if isinstance(one, Observed)]
            got.append([f"{one.number('size'):g}" for one in seen])
            await tapes.close()
            for tape in feeds._tapes.values():
                await tape.close()
            places = read_places((engine.config.observed_folder / PLACES).read_bytes())
            assert set(places) == {f"polymarket/{wallet}"}
    assert got == [["11"], ["12"]]


async def test_a_venue_that_fails_or_lists_no_wallets_is_noted_and_nothing_is_handed_on(
    served: Served, tmp_path: Path
) -> None:
    async with LiveDesk(tmp_path / "home") as desk:
        engine, runner = desk.engine, Runner("one")
        engine.config = addressed(engine.config, served)
        listen(engine, "copier", runner, "wallet:demo/0xabcd")
        feeds = engine.part(WalletFeeds)
        await feeds._look("demo/0xabcd")
        await feeds._look("polymarket/0xnothex")
        await feeds._look("nowhere/0xabcd")
        notes = " ".join(one.text for one in engine.notes("observed").take(1))
        assert "'demo' lists no trades of wallets" in notes
        for tape in feeds._tapes.values():
            await tape.close()
    assert runner.got == []
