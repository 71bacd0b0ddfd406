"""The market channel against the fake venue: whole books, and what happens when they are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentListed,
    InstrumentResolved,
)
from engine.domain.instruments import Instrument
from engine.errors import Throttled
from engine.feeds import sockets
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market import channel as channel_module
from engine.venues.polymarket.market.channel import MarketChannel
from engine.venues.polymarket.market.core import BATCH_NS
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.rest import PublicRest
from engine.venues.polymarket.market.shard import TOKENS_MAX
from tests.fakes.polymarket.listing import Listed
from tests.venues.polymarket.adapter import urls
from tests.venues.polymarket.market.conftest import Channel
from tests.venues.polymarket.market.received import receiving, until

RAIN, CUP, BRIDGE = "will-it-rain-in-lisbon", "who-wins-the-cup-spain", "will-the-bridge-open"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that broke is opened again at once."""
    monkeypatch.setattr(sockets, "STABLE_S", 0.0)


async def test_books_are_the_venues_own_and_every_hash_is_equal() -> None:
    async with receiving() as received:
        names = await received.watch(RAIN, CUP, BRIDGE)
        received.act(200)
        await until(lambda: all(map(received.same, names)), "our books are the venue's")
        await until(lambda: received.of(BookChanged), "changes came")
        assert received.counts.hash_mismatched == 0
        assert received.counts.hash_checked > 100
        assert received.of(BookDistrusted) == []
        assert not received.counts.anomalies


async def test_a_lost_frame_tears_the_book_and_rest_mends_it() -> None:
    async with receiving() as received:
        (name,) = await received.watch(CUP)
        await received.served.control(
            "faults", kind="ws_drop", path="market", times=1, args={"event": "price_change"}
        )

        def torn() -> bool:
            received.act(2)
            return bool(received.of(BookDistrusted, name))

        await until(torn, "a lost change is found by its hash")
        await until(lambda: received.same(name), "REST mends the book")
        assert received.frames["polymarket.rest.book"] > 1


async def test_a_quiet_market_is_proven_by_pong_and_an_equal_book(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "QUIET_NS", 200_000_000)
    async with receiving() as received:
        (name,) = await received.watch(RAIN)
        await until(lambda: len(received.of(BookProven, name)) >= 2, "it is proven again and again")


async def test_without_pong_an_equal_book_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "QUIET_NS", 200_000_000)
    monkeypatch.setattr(channel_module, "PONG_NS_MAX", -1)
    async with receiving() as received:
        (name,) = await received.watch(RAIN)
        await until(lambda: not received.channel.shards[0].settling, "the first books are told")
        received.events.clear()
        asked = received.frames.get("polymarket.rest.book", 0)
        await until(lambda: received.frames["polymarket.rest.book"] > asked + 1, "REST is asked")
        assert received.of(BookProven, name) == []


async def test_a_frozen_feed_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "QUIET_NS", 200_000_000)
    async with receiving() as received:
        (name,) = await received.watch(RAIN)
        await received.served.control("faults", kind="ws_freeze", path="market", name="ice")
        received.act(60)
        await until(lambda: received.of(FeedLost, name), "the freeze is found")
        assert "frozen" in received.of(FeedLost, name)[0].reason  # type: ignore[attr-defined]
        received.served.venue.faults.clear("ice")
        await until(lambda: received.same(name), "the new connection has the book")


async def test_a_cut_is_told_for_each_market_and_then_made_good() -> None:
    async with receiving() as received:
        names = await received.watch(RAIN, CUP)
        await received.served.control("sockets", do="abort")
        await until(lambda: len(received.of(FeedLost)) == 2, "the loss is told")
        await until(lambda: len(received.of(FeedRestored)) == 2, "it is received again")
        received.act(30)
        await until(lambda: all(map(received.same, names)), "our books are the venue's")


async def test_nothing_is_told_before_rest_answers() -> None:
    async with receiving() as received:
        (name,) = await received.watch(RAIN)
        await received.served.control(
            "faults", kind="status", path="/books$", args={"status": 503}, name="shut"
        )
        await received.served.control("sockets", do="abort")
        await until(lambda: received.of(FeedLost, name), "the loss is told")
        batches = len(received.of(BookReplaced))
        await until(lambda: "503" in received.channel.reason, "REST refuses")
        assert len(received.of(BookReplaced)) == batches
        received.served.venue.faults.clear("shut")
        await until(lambda: received.same(name), "then it is told")


async def test_a_new_tick_lists_the_market_again() -> None:
    async with receiving() as received:
        (name,) = await received.watch(RAIN)
        await received.served.control("tick", condition=name.partition(":")[2], tick="0.001")
        await until(
            lambda: received.of(InstrumentListed)[-1].instrument.tick == 10,  # type: ignore[attr-defined]
            "the new grid is told",
        )
        received.act(30)
        await until(lambda: received.same(name), "the book on the new grid")


async def test_an_outcome_comes_over_the_channel() -> None:
    async with receiving() as received:
        (name,) = await received.watch(RAIN)
        await received.served.control("resolve", condition=name.partition(":")[2], payout=0)
        await until(lambda: received.of(InstrumentResolved, name), "the outcome is told")
        assert received.of(InstrumentResolved, name)[0].payout_yes_micro == 0  # type: ignore[attr-defined]


async def test_a_socket_follows_no_more_than_its_share() -> None:
    async with receiving() as received:
        slugs = [f"question-{number}" for number in range(TOKENS_MAX // 2 + 1)]
        for slug in slugs:
            received.served.venue.add(Listed(slug=slug, end_ns=time.time_ns() + 10**15))
        names = await received.watch(*slugs)
        assert [len(shard.tokens) for shard in received.channel.shards] == [TOKENS_MAX, 2]
        received.channel.unwatch(names[-1])
        assert len(received.channel.shards) == 1
        await until(lambda: len(received.served.hubs.market.sockets) == 1, "its socket is closed")
        assert received.channel.watched == tuple(names[:-1])


@pytest.fixture
async def silent(instrument: Instrument) -> AsyncIterator[tuple[MarketChannel, list[list[Event]]]]:
    """A channel whose venue is away, and what it told, call by call."""
    batches: list[list[Event]] = []
    counts, nowhere = FeedCounts(), "127.0.0.1:9"
    rest = PublicRest(urls(f"http://{nowhere}"), counts)
    made = MarketChannel(
        f"ws://{nowhere}", rest=rest, counts=counts, now_ns=time.time_ns,
        publish=lambda events, _at_ns: batches.append(events), tape=lambda *_: None,
    )  # fmt: skip
    made.watch(
        Listing(
            instrument=instrument, tick="0.01", min_order_size="5", neg_risk=False,
            slug="", title="", accepting=True,
        )
    )  # fmt: skip
    yield made, batches
    made.unwatch(instrument.id)
    await rest.close()


async def test_what_came_at_once_is_told_together(
    silent: tuple[MarketChannel, list[list[Event]]], channel: Channel
) -> None:
    made, batches = silent
    shard = made.shards[0]
    for token in (channel.yes, channel.no):
        shard._take(channel.book(channel.open_ms, token), 1)
    for ms in (1, 2):
        (frame,) = channel.change(channel.open_ms + ms, ("BUY", "0.48", str(ms)))
        shard._take(frame, 1 + ms)
    assert len(batches) == 1  # that it is listed
    shard._turned()
    assert [type(event) for event in batches[1]] == [BookReplaced, BookChanged, BookChanged]
    shard._turned()
    assert len(batches) == 2


async def test_a_batch_is_not_torn_because_we_come_late(
    silent: tuple[MarketChannel, list[list[Event]]], channel: Channel
) -> None:
    made, batches = silent
    shard, now_ns = made.shards[0], channel.open_ms * 1_000_000
    for token in (channel.yes, channel.no):
        shard._take(channel.book(channel.open_ms, token), now_ns)
    first, second = channel.change(channel.open_ms + 1, ("BUY", "0.48", "1"), ("BUY", "0.47", "2"))
    shard._take(first, now_ns)
    shard._turned()
    late_ns = now_ns + 10 * BATCH_NS
    made.advance(late_ns)  # the other half is in TCP: nobody looked there since
    shard._take(second, late_ns)
    shard._turned()
    assert [type(event) for event in batches[-1]] == [BookChanged]
    (alone, _) = channel.change(channel.open_ms + 2, ("BUY", "0.48", "3"), ("BUY", "0.47", "4"))
    shard._take(alone, late_ns)
    shard._turned()
    for _ in range(2):
        made.advance(late_ns + 10 * BATCH_NS)
    assert [type(event) for event in batches[-1]] == [BookDistrusted]


def _told(batches: list[list[Event]]) -> list[type[Event]]:
    return [type(event) for batch in batches for event in batch]


async def test_a_book_that_comes_after_the_connection_broke_restores_nothing(
    silent: tuple[MarketChannel, list[list[Event]]],
    channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, batches = silent
    shard, now_ns = made.shards[0], time.time_ns()
    shard.why = ""
    for token in (channel.yes, channel.no):
        shard._take(channel.book(channel.open_ms, token), now_ns)

    async def books(_tokens: list[str]) -> list[bytes]:
        shard._gone("cut")
        return [channel.book(channel.open_ms + 1, channel.yes)]

    monkeypatch.setattr(made._rest, "books", books)
    await made._ask(list(made.watched), now_ns)
    assert _told(batches)[-1] is FeedLost
    market = made.core.watched(made.watched[0])
    assert market is not None
    assert not market.trusted


async def test_first_books_that_are_refused_are_asked_for_later_each_time(
    silent: tuple[MarketChannel, list[list[Event]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, now_ns = silent[0], time.time_ns()
    asked: list[int] = []

    async def books(_tokens: list[str]) -> list[bytes]:
        asked.append(now_ns)
        raise Throttled("asked too often", 1)

    monkeypatch.setattr(made._rest, "books", books)
    monkeypatch.setattr(made, "_now_ns", lambda: now_ns)
    made.shards[0]._opened()
    for _ in range(400):
        await made._upkeep()
        now_ns += 250_000_000
    assert len(asked) < 25
    assert 7 <= (asked[-1] - asked[-2]) / 1e9 <= 9


async def test_a_connection_that_breaks_among_its_first_books_is_lost_again(
    silent: tuple[MarketChannel, list[list[Event]]],
    channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, batches = silent
    shard = made.shards[0]
    shard._opened()
    monkeypatch.setattr(channel_module, "BOOKS_PER_TURN", 1)

    async def books(tokens: list[str]) -> list[bytes]:
        asyncio.get_running_loop().call_soon(shard._gone, "cut")
        return [channel.book(channel.open_ms, token) for token in tokens]

    monkeypatch.setattr(made._rest, "books", books)
    await made._settle(shard)
    assert BookReplaced in _told(batches)
    assert _told(batches)[-1] is FeedLost
    assert made.trouble() == "cut"
