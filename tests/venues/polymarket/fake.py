"""Polymarket's fake with one wallet, for what every venue's plug-in must keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine.runtime.credentials import Credential
from tests.fakes.polymarket.server import serving
from tests.live.test_polymarket_parts import config_of
from tests.venues.fake import Fake
from tests.venues.polymarket.adapter import credentials
from tests.venues.polymarket.kit import quick


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Fake]:
    given = credentials()
    held = Credential("polymarket", given.wallet, {"private_key": given.private_key()})
    async with serving(quick()) as served:
        yield Fake(config_of(served, folder), {}, held)
