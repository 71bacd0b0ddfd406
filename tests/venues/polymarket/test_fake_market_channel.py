"""The market channel: a plain client stays in step by hash, and every quirk can be seen."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engine.domain.instruments import FeeSchedule
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.core import MarketFeedCore
from engine.venues.polymarket.market.metadata import binary
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.crowd import Crowd
from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.follower import Follower
from tests.venues.polymarket.kit import CUP, FINE, RAIN, Trader, by_slug, quick

NOW_NS = 1_795_132_800_000_000_000


async def next_of(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next frame of a kind, out of arrays too."""
    async with asyncio.timeout(3):
        while True:
            message = json.loads(await socket.recv())
            for frame in message if isinstance(message, list) else [message]:
                if frame["event_type"] == kind:
                    return frame


async def quiet(socket: ClientConnection, for_s: float = 0.1) -> bool:
    """Say whether nothing comes for a while."""
    try:
        async with asyncio.timeout(for_s):
            await socket.recv()
    except TimeoutError:
        return True
    return False


async def follow(socket: ClientConnection, *tokens: str, **more: Any) -> None:
    await socket.send(json.dumps({"type": "market", "assets_ids": list(tokens)} | more))


async def crowded(served: Served, seconds: int, per_s: float) -> Follower:
    """Let a crowd trade for some of the venue's time while a plain client follows."""
    follower = Follower(list(served.venue.by_condition.values()))
    follower.keep = True
    Crowd(served.venue, per_s=per_s).start()
    async with connect(f"{served.ws}/ws/market", max_size=None) as socket:
        await follower.subscribe(socket)
        await served.listening(market=1)
        for _ in range(seconds):
            served.venue.clock.skip(1_000_000_000)
            served.venue.pump()
            await asyncio.sleep(0)
        await follower.drain(socket)
    return follower


@pytest.mark.long
async def test_plain_client_stays_in_step_by_hash_under_mixed_load() -> None:
    async with serving(quick(), clock=Clock(NOW_NS)) as served:
        follower = await crowded(served, 10, 150)
        sums = follower.sums()
        assert sums.pop("proofs") > 2_000
        assert sums == {"torn": 0, "books_wrong": 0, "tops_wrong": 0}
        assert follower.kinds["last_trade_price"] > 100
        for token, book in follower.books.items():
            market, leg = served.venue.token(token)
            rest = served.venue.books[market.instrument].rest(leg)
            assert rest["hash"] == book.hash(rest["timestamp"])
        assert served.venue.invariants()["problems"] == []


async def test_our_own_feed_proves_every_batch_too() -> None:
    markets = [RAIN, FINE]
    async with serving(quick(), clock=Clock(NOW_NS)) as served:
        follower = await crowded(served, 6, 150)
        core, counts = _core(served, markets)
        for text in follower.raw:
            core.receive(text.encode(), NOW_NS)
        core.finish()
        assert counts.hash_checked > 100
        assert counts.hash_mismatched == 0
        assert set(counts.anomalies) == {"token not watched"}


def _core(served: Served, slugs: list[str]) -> tuple[MarketFeedCore, FeedCounts]:
    counts = FeedCounts()
    core = MarketFeedCore(counts)
    for slug in slugs:
        market = by_slug(served, slug)
        fees = FeeSchedule(taker_rate_ppm=70_000, exponent=1)
        core.watch(
            binary(market.condition, market.tokens, tick=market.tick, fees=fees), market.tick
        )
    return core, counts


async def test_subscription_dumps_an_array_of_books(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await trader.place(market, "BUY", "0.40", "10")
        await trader.place(market, "BUY", "0.30", "10")
        await follow(socket, *market.tokens)
        yes, no = json.loads(await socket.recv())
    assert [level["price"] for level in yes["bids"]] == ["0.3", "0.4"]
    assert [level["price"] for level in no["asks"]] == ["0.7", "0.6"]
    assert list(yes)[-3:] == ["tick_size", "event_type", "last_trade_price"]
    assert yes["last_trade_price"] == ""


async def test_ping_is_answered_and_unknown_text_is_ignored(served: Served) -> None:
    async with connect(f"{served.ws}/ws/market") as socket:
        await socket.send("hello")
        await socket.send('{"operation":"dance"}')
        await socket.send("PING")
        assert await socket.recv() == "PONG"


async def test_silent_socket_is_closed(served: Served) -> None:
    served.venue.settings.idle_close_s = 0.05
    for channel in ("market", "user"):
        async with connect(f"{served.ws}/ws/{channel}") as socket:
            with pytest.raises(ConnectionClosed):
                await socket.recv()


async def test_both_mirror_entries_come_in_one_frame_with_absolute_sizes(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await follow(socket, market.tokens[0])
        await served.listening(market=1)
        await trader.place(market, "BUY", "0.40", "10")
        await trader.place(market, "BUY", "0.40", "5")
        first, second = await next_of(socket, "price_change"), await next_of(socket, "price_change")
    assert [entry["size"] for entry in second["price_changes"]] == ["15", "15"]
    yes, no = first["price_changes"]
    assert (yes["side"], yes["price"], yes["best_bid"], yes["best_ask"]) == (
        "BUY",
        "0.4",
        "0.4",
        "1",
    )
    assert (no["side"], no["price"], no["best_bid"], no["best_ask"]) == ("SELL", "0.6", "0", "0.6")


async def test_frames_of_one_batch_share_timestamp_and_hash(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        for price in ("0.40", "0.39", "0.38"):
            await trader.place(market, "BUY", price, "10")
        await follow(socket, market.tokens[0], initial_dump=False)
        await served.listening(market=1)
        # A purchase of NO that walks three levels is one matching event.
        await trader.rich(market)
        await trader.place(market, "SELL", "0.38", "30")
        frames = [await next_of(socket, "price_change") for _ in range(3)]
    assert len({frame["timestamp"] for frame in frames}) == 1
    assert len({frame["price_changes"][0]["hash"] for frame in frames}) == 1
    assert {frame["price_changes"][0]["best_bid"] for frame in frames} == {"0"}


async def test_trade_is_printed_in_the_resting_orders_token_then_books_come(
    served: Served,
) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as maker, Trader(served, 2) as taker:
        await maker.place(market, "BUY", "0.60", "10", outcome=1)
        async with connect(f"{served.ws}/ws/market") as socket:
            await follow(socket, market.tokens[0], initial_dump=False)
            await served.listening(market=1)
            await taker.place(market, "BUY", "0.40", "6")
            printed, book = await next_of(socket, "last_trade_price"), await next_of(socket, "book")
        assert (printed["asset_id"], printed["price"]) == (market.tokens[1], "0.6")
        assert (printed["side"], printed["size"]) == ("SELL", "6")
        assert list(book)[-1] == "event_type"
        last = await maker.http.get("/last-trade-price", params={"token_id": market.tokens[0]})
        assert last.json() == {"price": "0.6", "side": "SELL"}
        rest = await maker.http.get("/book", params={"token_id": market.tokens[0]})
        assert rest.json()["last_trade_price"] == "0.600"


async def test_custom_features_are_asked_for_and_toggled_by_a_duplicate(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await follow(socket, market.tokens[0])
        await served.listening(market=1)
        await served.control("markets", slug="new-one")
        await trader.place(market, "BUY", "0.40", "10")
        assert (await next_of(socket, "price_change"))["event_type"] == "price_change"
        again = {"operation": "subscribe", "assets_ids": [market.tokens[0]]}
        await socket.send(json.dumps(again | {"custom_feature_enabled": True}))
        await socket.send("PING")
        assert await socket.recv() == "PONG"  # no second dump
        await served.control("markets", slug="newer-one", version="v2")
        new = await next_of(socket, "new_market")
        assert (new["slug"], new["version"]) == ("newer-one", "v2")
        await trader.place(market, "BUY", "0.41", "10")
        assert (await next_of(socket, "best_bid_ask"))["best_bid"] == "0.41"
        await served.control("resolve", condition=market.condition, payout=0)
        assert (await next_of(socket, "market_resolved"))["winning_outcome"] == "No"


async def test_unsubscribed_token_falls_silent_and_comes_back_with_a_book(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await follow(socket, market.tokens[0])
        await socket.send(
            json.dumps({"operation": "unsubscribe", "assets_ids": [market.tokens[0]]})
        )
        await socket.send("PING")
        await answered_pong(socket)
        await trader.place(market, "BUY", "0.40", "10")
        assert await quiet(socket)
        await socket.send(json.dumps({"operation": "subscribe", "assets_ids": [market.tokens[0]]}))
        assert (await next_of(socket, "book"))["bids"] == [{"price": "0.4", "size": "10"}]


async def answered_pong(socket: ClientConnection) -> None:
    while await socket.recv() != "PONG":
        pass


async def test_too_many_assets_get_no_first_snapshot(served: Served) -> None:
    served.venue.settings.quirks.no_dump_over = 1
    market = by_slug(served, RAIN)
    async with connect(f"{served.ws}/ws/market") as socket:
        await follow(socket, *market.tokens)
        assert await quiet(socket)


async def test_tick_becomes_finer_near_the_edge_and_off_grid_orders_end_on_return(
    served: Served,
) -> None:
    market = by_slug(served, RAIN)
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await follow(socket, market.tokens[0])
        await served.listening(market=1)
        await trader.place(market, "BUY", "0.97", "10")
        change = await next_of(socket, "tick_size_change")
        assert (change["old_tick_size"], change["new_tick_size"]) == ("0.01", "0.001")
        assert (await next_of(socket, "book"))["tick_size"] == "0.001"
        fine = await trader.place(market, "BUY", "0.965", "10")
        await trader.fetch("DELETE", "/cancel-market-orders", {"market": market.condition})
        low = await trader.place(market, "BUY", "0.401", "10")
        assert fine["status"] == low["status"] == "live"
        # The middle is inside again: the tick is coarse, and what rests off it has ended.
        assert (await next_of(socket, "tick_size_change"))["new_tick_size"] == "0.01"
        assert (await trader.fetch("GET", "/data/orders"))["data"] == []
        tick = await trader.http.get("/tick-size", params={"token_id": market.tokens[0]})
        assert tick.json() == {"minimum_tick_size": 0.01}


async def test_neg_risk_and_v2_books_hash_with_their_own_flags(served: Served) -> None:
    market = by_slug(served, CUP)
    follower = Follower([market])
    async with Trader(served) as trader, connect(f"{served.ws}/ws/market") as socket:
        await follower.subscribe(socket)
        await served.listening(market=1)
        await trader.place(market, "BUY", "0.40", "10")
        await follower.drain(socket, 0.1)
    assert follower.sums() == {"proofs": 4, "torn": 0, "books_wrong": 0, "tops_wrong": 0}


async def test_large_frame_exceeds_a_plain_clients_limit(served: Served) -> None:
    market = by_slug(served, RAIN)
    async with connect(f"{served.ws}/ws/market") as socket:
        await follow(socket, market.tokens[0])
        await served.listening(market=1)
        await served.control("sockets", channel="market", do="large")
        with pytest.raises(ConnectionClosed) as closed:
            await next_of(socket, "large")
    assert closed.value.sent is not None
    assert closed.value.sent.code == 1009
