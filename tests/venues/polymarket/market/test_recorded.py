"""Recorded frames through the live shell: real sockets, the live parser, and not one frame lost.

`pytest tests/venues/polymarket/market/test_recorded.py -s` prints the table.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from engine.domain.events import Event
from engine.domain.instruments import FeeSchedule
from engine.feeds.counts import FeedCounts
from engine.feeds.references.sources import ReferenceCore
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.lines import read_lines
from engine.lab.recordings.multifeed import CLOB, SOURCES, RecordedLine, _line, read_markets
from engine.venues.polymarket.market.channel import MarketChannel
from engine.venues.polymarket.market.core import MarketFeedCore
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.metadata import binary
from engine.venues.polymarket.market.rest import PublicRest
from tests.venues.polymarket.adapter import urls
from tests.venues.polymarket.market.received import until

pytestmark = pytest.mark.recordings

UNDERSTOOD = frozenset(
    {
        "advertised top differs",
        "book without a hash",
        "change before the first book",
        "crossed book",
        "fees without a taker schedule",
        "hash mismatch",
        "unknown field in book",
    }
)
"""Anomalies of a frame that was read: what it says could not be proven, or is not traded."""

SAMPLES = (
    "py__http_responses__book", "py__ws_messages__book", "py__ws_messages__last_trade_price",
    "py__ws_messages__price_change", "py__ws_messages__price_change_v2",
    "py__ws_messages__tick_size_change", "rs__clob_book_response", "rs__ws_book_snapshot",
    "rs__ws_last_trade", "rs__ws_market_best_bid_ask_msg", "rs__ws_market_book_msg",
    "rs__ws_market_last_trade_msg", "rs__ws_market_new_market_msg",
    "rs__ws_market_price_change_msg", "rs__ws_market_resolved_msg", "rs__ws_market_tick_size_msg",
    "rs__ws_quotes", "rs__ws_tick_size_change",
)  # fmt: skip


def lost(counts: FeedCounts) -> dict[str, int]:
    return {kind: n for kind, n in counts.anomalies.items() if kind not in UNDERSTOOD}


def names_in(node: Any, key: str) -> list[str]:
    """Return every text, or list of texts, under a key, at any depth."""
    if isinstance(node, list):
        return [name for one in node for name in names_in(one, key)]
    if not isinstance(node, dict):
        return []
    own = node.get(key, [])
    own = own if isinstance(own, list) else [own]
    return [*own, *(name for one in node.values() for name in names_in(one, key))]


def watching(body: Any, counts: FeedCounts) -> MarketFeedCore:
    """Return a core that watches whatever a message is about."""
    core = MarketFeedCore(counts)
    tokens = list(dict.fromkeys((*names_in(body, "asset_id"), *names_in(body, "assets_ids"))))
    pair = (*tokens, "8" * 70, "9" * 70)[:2]
    market = names_in(body, "market")[0]
    core.watch(binary(market, pair, tick="0.001", fees=FeeSchedule(exponent=1)), "0.001")
    return core


@pytest.mark.parametrize("name", SAMPLES)
def test_every_captured_message_is_read(name: str, recordings: Path) -> None:
    raw = (recordings / "polymarket_fixtures_messages" / f"{name}.json").read_bytes()
    counts = FeedCounts()
    core = watching(json.loads(raw), counts)
    events = [*core.receive(raw, 1), *core.finish()]
    print(f"{name:36} {[type(event).__name__ for event in events]} {dict(counts.anomalies)}")
    assert lost(counts) == {}


@pytest.mark.parametrize("name", ["crypto", "equity"])
@pytest.mark.parametrize("kind", ["subscribe", "update"])
def test_every_captured_price_is_read(name: str, kind: str, recordings: Path) -> None:
    file = f"rs__rtds_{name}_prices_{kind}.json"
    counts = FeedCounts()
    raw = (recordings / "polymarket_fixtures_messages" / file).read_bytes()
    assert len(ReferenceCore(counts).receive("rtds", raw, 0)) == 1
    assert not counts.anomalies


def test_every_captured_batch_is_read(recordings: Path) -> None:
    file = recordings / "polymarket_fixtures_captured/ws_price_change_batches_20260911.json"
    frames = 0
    for batch in json.loads(file.read_bytes())["batches"]:
        counts = FeedCounts()
        core = watching(batch["frames"], counts)
        for frame in batch["frames"]:
            core.receive(json.dumps(frame).encode(), 1)
            frames += 1
        core.finish()
        assert lost(counts) == {}
    assert frames > 10


def lines_of(session: Path) -> list[RecordedLine]:
    return [_line(text) for _, text in read_lines(session, RecordingStats())]


async def live(session: Path, frames: list[str], now_ns: int) -> tuple[FeedCounts, Counter]:
    """Send recorded frames over a socket to a live channel; give what it made of them."""
    counts, kinds = FeedCounts(), Counter()

    async def venue(ws: ServerConnection) -> None:
        await ws.recv()
        for frame in frames:
            await ws.send(frame)
        await ws.wait_closed()

    async def nothing(_: web.Request) -> web.Response:
        return web.json_response([])

    app = web.Application()
    app.router.add_post("/books", nothing)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    rest = PublicRest(urls(url), counts)

    def count_kinds(events: list[Event], _at_ns: int) -> None:
        kinds.update(type(event).__name__ for event in events)

    async with serve(venue, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        channel = MarketChannel(
            f"ws://127.0.0.1:{port}", rest=rest, counts=counts, now_ns=lambda: now_ns,
            publish=count_kinds, tape=lambda kind, _frame, _at: kinds.update([kind]),
        )  # fmt: skip
        for instrument, tick in read_markets(session):
            channel.watch(
                Listing(
                    instrument=instrument, tick=tick, min_order_size="5", neg_risk=False,
                    slug="", title="", accepting=True,
                )
            )  # fmt: skip
        task = asyncio.ensure_future(channel.run())
        await until(lambda: kinds["polymarket.market"] == len(frames), "every frame is received")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    channel.core.finish()
    await rest.close()
    await runner.cleanup()
    return counts, kinds


async def test_no_frame_of_the_recorded_sessions_is_lost(recordings: Path) -> None:
    folder = recordings / "polymarket_multifeed_raw"
    whole, prices, sent, quotes = Counter(), FeedCounts(), 0, 0
    for session in sorted(folder.glob("*.raw_messages.jsonl.gz")):
        lines = lines_of(session)
        frames = [line.payload for line in lines if line.source == CLOB]
        sent += len(frames)
        counts, kinds = await live(session, frames, lines[0].recv_wall_ts * 1_000_000)
        assert lost(counts) == {}, session.name
        whole.update({name: getattr(counts, name) for name in ("hash_checked", "hash_matched")})
        print(
            f"{session.name[:58]:58} {len(frames):5} frames, {counts.hash_checked:4} hashes "
            f"checked, {counts.hash_mismatched} unequal, {dict(kinds)}"
        )
        reference = ReferenceCore(prices)
        for line in lines:
            if line.source != CLOB:
                source = SOURCES.get(line.source, line.source)
                quotes += len(reference.receive(source, line.payload.encode(), 0))
    assert prices.anomalies == {}
    assert quotes == 1_825
    # Of one batch the recorder kept only four frames: its eight hashes are never asked for, as the
    # next book overtakes it while the clock stands.
    assert whole == {"hash_checked": 870 + 170 - 8, "hash_matched": 870 + 170 - 8}
    assert sent == 738
