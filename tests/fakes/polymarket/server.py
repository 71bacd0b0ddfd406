"""The venue on a port: for a test (`serving`) and for good (`run`)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, web

from tests.fakes.polymarket.app import make_app
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.control import HUBS, Hubs
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.settings import Settings
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.ws_prices import PRICES, Prices

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Served:
    """A venue that is running. `port` on 127.0.0.1 serves everything."""

    venue: Venue
    port: int
    hubs: Hubs
    prices: Prices

    @property
    def url(self) -> str:
        """Return the base of REST."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws(self) -> str:
        """Return the base of both channels."""
        return f"ws://{HOST}:{self.port}"

    async def listening(self, *, market: int = 0, user: int = 0) -> None:
        """Wait until so many sockets have subscribed."""
        hubs = self.hubs
        for sockets, wanted in ((hubs.market.sockets, market), (hubs.user.sockets, user)):
            while sum(socket.ready.is_set() for socket in sockets) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def control(self, what: str, **given: Any) -> Any:
        """Ask the hand behind the venue."""
        async with (
            ClientSession() as session,
            session.post(f"{self.url}/__fake__/{what}", json=given) as response,
        ):
            body = await response.json()
            if response.status != 200:
                raise ValueError(body["error"])
            return body


@contextlib.asynccontextmanager
async def serving(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    markets: list[Listed] | None = None,
    port: int = 0,
) -> AsyncIterator[Served]:
    """Serve a venue until the block ends; port 0 = any free one."""
    venue = Venue(settings or Settings(), clock or Clock(), markets)
    app = make_app(venue)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port)
    await site.start()
    try:
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        yield Served(venue, port, app[HUBS], app[PRICES])
    finally:
        await runner.cleanup()


async def run(settings: Settings, port: int, *, crowd_per_s: float, series: bool) -> None:
    """Serve until cancelled, with a crowd that trades and series that roll."""
    from tests.fakes.polymarket.crowd import Crowd
    from tests.fakes.polymarket.series import Series

    async with serving(settings, port=port) as served:
        if crowd_per_s:
            Crowd(served.venue, per_s=crowd_per_s).start()
        if series:
            Series(served.venue, asset="btc", minutes=5).start()
        print(
            f"Polymarket's fake listens on {served.url} and {served.ws}/ws/market, /ws/user",
            flush=True,
        )
        await asyncio.Event().wait()
