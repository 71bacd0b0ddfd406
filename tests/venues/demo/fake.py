"""The demo exchange as a process of its own, for what every venue's plug-in must keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine.config import Config
from tests.live.homes import Exchange
from tests.venues.fake import Fake


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Fake]:
    exchange = await asyncio.to_thread(Exchange, folder)
    yield Fake(Config(), {"exchange": exchange.url})
    await asyncio.to_thread(exchange.end)
