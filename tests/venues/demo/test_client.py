"""The door over a real socket, in one process: what an order does, and what an error means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from engine.clock import WallClock
from engine.domain.effects import CancelAll, CancelScope
from engine.domain.events import (
    BookReplaced,
    InstrumentClosed,
    InstrumentListed,
    ModeChanged,
    OrderAccepted,
    OrderCancelled,
    OrderNotFound,
    OrderReported,
    VenueMode,
)
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.errors import AuthRefused, NotSent, VenueClosed
from engine.gateway.door import Named
from engine.venues.demo import wire
from engine.venues.demo.client import DemoVenue
from engine.venues.demo.host import DemoHost
from engine.venues.demo.profiles import THIN
from engine.venues.demo.server import DemoServer, Listener, _send_frames

ANN = AccountId("demo:ann")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Place:
    """A served exchange."""

    def __init__(self, host: DemoHost, url: str) -> None:
        self.host = host
        self.url = url


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = WallClock()
    host = DemoHost(tmp_path, THIN, seed=3, now_ns=clock.now_ns())
    server = DemoServer(host, clock)
    runner = web.AppRunner(server.app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    living = asyncio.create_task(server.live())
    yield Place(host, f"http://127.0.0.1:{port}")
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    await runner.cleanup()
    host.close()


@pytest.fixture
async def venue(place: Place) -> AsyncIterator[DemoVenue]:
    made = DemoVenue(place.url, ANN)
    await made.open(1_000_000_000)
    yield made
    await made.close()


def order(place: Place, number: int = 1, price: int = 100) -> Order:
    return Order(
        account=ANN,
        id=OrderId(number),
        bot=BotId("bot"),
        instrument=InstrumentId(next(iter(place.host.exchange.order_entry.markets))),
        leg=Leg.YES,
        side=Side.BUY,
        price=price,
        size=10_000_000,
        type=OrderType.GTC,
        created_ns=1,
    )


async def test_order_rests_is_found_and_is_cancelled(place: Place, venue: DemoVenue) -> None:
    prepared = venue.prepare(order(place))
    named = Named(order=OrderId(1), identity=prepared.identity)
    assert isinstance(await venue.order(named), OrderNotFound)
    assert list(await venue.send(prepared)) == [OrderAccepted(account=ANN, order=OrderId(1))]
    assert isinstance(await venue.order(named), OrderReported)
    assert [report.order for report in (await venue.open_orders()).orders] == [1]
    assert list(await venue.cancel([named])) == [OrderCancelled(account=ANN, order=OrderId(1))]
    assert not (await venue.open_orders()).orders
    assert (await venue.fills(0)).fills == ()
    assert (await venue.balances()).cash_micro == {"pUSD": 1_000_000_000}
    assert (await venue.positions()).holdings == ()


async def test_cancel_all_covers_a_bot_alone(place: Place, venue: DemoVenue) -> None:
    await venue.send(venue.prepare(order(place, 1)))
    assert not await venue.cancel_all(CancelScope(bot=BotId("other")))
    assert len(await venue.cancel_all(CancelScope(bot=BotId("bot")))) == 1


async def test_a_listener_that_leaves_leaves_no_task_behind() -> None:
    sending = asyncio.create_task(_send_frames(web.WebSocketResponse(), Listener(None)))
    await asyncio.sleep(0)  # it waits for a frame
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_market_stream_begins_with_every_market(place: Place, venue: DemoVenue) -> None:
    async for raw in venue.listen(wire.MARKET):
        events = wire.unpack_market(raw).events
        listed = {e.instrument.id for e in events if isinstance(e, InstrumentListed)}
        assert listed == set(place.host.exchange.order_entry.markets)
        # At the end of a window a market is closed and has no book any more.
        known = {e.instrument for e in events if isinstance(e, BookReplaced | InstrumentClosed)}
        assert known == listed
        break


async def test_user_stream_tells_what_happens_to_the_account(
    place: Place, venue: DemoVenue
) -> None:
    received: list[object] = []
    async for raw in venue.listen(wire.USER):
        frame = wire.unpack_user(raw)
        received += frame.events
        if len(received) < 2:
            await venue.send(venue.prepare(order(place, 1)))
            place.host.exchange.listing.close(order(place).instrument)
            continue
        break
    assert received[0] == ModeChanged(account=ANN, mode=VenueMode.OPEN)
    assert isinstance(received[1], OrderCancelled)


async def test_closed_exchange_says_its_mode(place: Place, venue: DemoVenue) -> None:
    place.host.exchange.guard.switch(VenueMode.RESTARTING)
    with pytest.raises(VenueClosed) as closed:
        await venue.open_orders()
    assert closed.value.mode == VenueMode.RESTARTING


BROWSERS = {
    "a form of a page": {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
    "a page of another port": {"origin": "http://127.0.0.1:8501", "sec-fetch-site": "same-site"},
    "an old browser, without any of both": {"content-type": "text/plain"},
    "a page that knows our header": {"origin": "null", wire.CUSTOMER: "1"},
    "a name that leads here": {"host": "evil.example", wire.CUSTOMER: "1"},
    "a page fetched by the address": {"sec-fetch-site": "same-origin", wire.CUSTOMER: "1"},
}


@pytest.mark.parametrize("headers", BROWSERS.values(), ids=BROWSERS)
async def test_no_web_page_can_cancel_all_or_listen(
    place: Place, venue: DemoVenue, headers: dict[str, str]
) -> None:
    await venue.send(venue.prepare(order(place, 1)))
    account = {"account": ANN}
    async with aiohttp.ClientSession(headers=headers) as page:
        whole = wire.pack(CancelAll(account=ANN))
        async with page.post(place.url + wire.ASK, params=account, data=whole) as answer:
            assert answer.status == wire.FORBIDDEN_STATUS
            assert "web page" in wire.unpack_refusal(await answer.read()).text
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await page.ws_connect(place.url + wire.USER, params=account)
        assert refused.value.status == wire.FORBIDDEN_STATUS
        async with page.options(place.url + wire.ASK) as asked:
            assert "access-control-allow-origin" not in asked.headers
    assert len((await venue.open_orders()).orders) == 1


async def test_nobody_there_is_not_sent(venue: DemoVenue) -> None:
    lost = DemoVenue("http://127.0.0.1:9", ANN)
    try:
        with pytest.raises(NotSent):
            await lost.open_orders()
        with pytest.raises(NotSent):
            async for _ in lost.listen(wire.MARKET):
                pass
    finally:
        await lost.close()


async def test_account_that_was_never_opened_is_refused(place: Place) -> None:
    stranger = DemoVenue(place.url, AccountId("nobody"))
    try:
        with pytest.raises(AuthRefused):
            await stranger.open_orders()
    finally:
        await stranger.close()
