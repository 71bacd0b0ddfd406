"""The user channel from the fake's socket to our events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.domain.events import FillSettled, FillVoided, OrderAccepted, OrderCancelled, OrderFilled
from engine.domain.orders import OrderType
from engine.errors import NotSent, OutcomeUnknown
from engine.venues.polymarket.account import user_stream
from engine.venues.polymarket.account.user_stream import UserFrames, UserSocket, user_channel
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter, named, order, taking
from tests.venues.polymarket.kit import RAIN, Trader, by_slug

QUIRKS = {
    "created_at_ms": True,
    "empty_size_matched": True,
    "null_expiration": True,
    "matchtime": True,
    "iso_match_time": True,
    "update_canceled": True,
    "killed_event": True,
    "duplicate_events": True,
    "reorder_events": True,
    "user_arrays": True,
    "trade_before_order": True,
}


class Subscriber:
    """Listens in the background; keeps what was received."""

    def __init__(self, venue: PolymarketVenue) -> None:
        self._socket, self._frames = user_channel(venue)
        self.events: list[Any] = []
        self.unread: list[str] = []
        self.up = asyncio.Event()

    async def run(self) -> None:
        async for text in self._socket.listen():
            self.up.set()
            received = self._frames.read(text)
            self.events += received.events
            self.unread += [received.unread] if received.unread else []

    async def until(self, *kinds: type) -> list[type]:
        """Wait until events of these kinds were received; return the kinds of everything."""
        async with asyncio.timeout(150):
            while not set(kinds) <= {type(event) for event in self.events}:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return [type(event) for event in self.events]


@contextlib.asynccontextmanager
async def receiving(venue: PolymarketVenue) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber(venue)
    task = asyncio.ensure_future(subscriber.run())
    try:
        async with asyncio.timeout(150):
            await subscriber.up.wait()
        yield subscriber
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert subscriber.unread == []


async def drained(listening: AsyncIterator[str]) -> None:
    async for _ in listening:
        continue


@pytest.mark.parametrize("quirks", [{}, QUIRKS], ids=["plain", "every quirk"])
async def test_life_of_an_order_is_received(served: Served, quirks: dict[str, bool]) -> None:
    await served.control("settings", quirks=quirks)
    async with (
        adapter(served) as (venue, instrument),
        Trader(served, 2) as other,
        receiving(venue) as subscriber,
    ):
        resting = venue.prepare(order(instrument, 45))
        await venue.send(resting)
        await other.rich(by_slug(served, RAIN))
        await other.place(by_slug(served, RAIN), "SELL", "0.45", "6")
        whole = venue.prepare(order(instrument, 31))
        await venue.send(whole)
        await venue.cancel([named(whole)])
        # A frame that was to change places with the next one needs a next one.
        await venue.send(venue.prepare(order(instrument, 30)))
        kinds = await subscriber.until(OrderAccepted, OrderFilled, FillSettled, OrderCancelled)
        assert kinds.count(OrderFilled) == kinds.count(FillSettled) == 1


async def test_failed_settlement_is_received_as_void(served: Served) -> None:
    await served.control("settle", next=["FAILED"])
    async with (
        adapter(served) as (venue, instrument),
        Trader(served, 2) as other,
        receiving(venue) as subscriber,
    ):
        market = by_slug(served, RAIN)
        await other.rich(market)
        await other.place(market, "SELL", "0.45", "10")
        await venue.send(venue.prepare(taking(instrument, 45, 10, OrderType.FAK)))
        await subscriber.until(OrderFilled, FillVoided)


async def test_cut_is_told_and_the_next_connection_works(served: Served) -> None:
    async with adapter(served) as (venue, _):
        socket, _ = user_channel(venue)
        listening = socket.listen()
        assert await anext(listening) == "PONG"
        await served.control("sockets", channel="user", do="abort")
        with pytest.raises(OutcomeUnknown, match="broke"):
            await drained(listening)
        again = socket.listen()
        assert await anext(again) == "PONG"
        await again.aclose()


async def test_wrong_key_is_a_broken_connection_without_a_word(served: Served) -> None:
    login = b'{"type":"user","auth":{"apiKey":"a","secret":"b","passphrase":"c"}}'
    socket = UserSocket(f"{served.ws}/ws/user", lambda: login)
    with pytest.raises(OutcomeUnknown, match="1008"):
        await drained(socket.listen())


async def test_nobody_there_is_not_sent() -> None:
    with pytest.raises(NotSent):
        await drained(UserSocket("ws://127.0.0.1:9/ws/user", lambda: b"").listen())


async def test_silence_ends_the_connection(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_stream, "SILENT_S_MAX", 0.05)
    async with adapter(served) as (venue, _):
        socket, _ = user_channel(venue)
        with pytest.raises(OutcomeUnknown, match="silent"):
            await drained(socket.listen())


async def test_secret_is_in_no_word_about_the_channel(served: Served) -> None:
    async with adapter(served) as (venue, _):
        socket, frames = user_channel(venue)
        assert isinstance(frames, UserFrames)
        secret = venue.wire._credentials.secret
        assert secret in venue.wire.login().decode()
        assert secret not in f"{socket!r} {venue.wire!r} {vars(frames)}"
