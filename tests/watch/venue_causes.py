"""What brings alerts about at a live account of Polymarket, by kind: the venue's fake plays it.

One account goes through all of them in one loop; each is kept in a home of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from functools import cache, partial
from pathlib import Path

import pytest

from engine.domain.effects import RaiseAlert
from engine.runtime import venue_plugin
from engine.venues.polymarket.account import orders
from tests.fakes.polymarket.listing import instrument_of
from tests.fakes.polymarket.server import serving
from tests.live.test_polymarket_parts import Account, S, begun, heartbeat, keys_of, show, upkeep
from tests.venues.polymarket.adapter import adapter
from tests.venues.polymarket.kit import quick
from tests.watch.desk_causes import Act
from tests.watch.live_causes import kept


async def opened_late(account: Account) -> None:
    """Have the venue refuse the key, then the question for its cash, and answer a moment later."""
    await account.until(lambda: account.alerted("not_open"), "it waits")
    account.served.venue.faults.clear()
    failing = {"status": 500, "body": {"error": "internal"}}
    await account.served.control("faults", kind="status", path="/balance-allowance", args=failing)
    await account.until(lambda: account.alerted("first_cash_waits"), "it has no cash yet")
    account.served.venue.faults.clear()
    await account.until(lambda: account.runner.core.executor.healthy, "it may place")


async def torn_frame(account: Account) -> None:
    await account.served.control("sockets", channel="user", do="text", text='{"event_type":')
    await account.until(lambda: account.alerted("user_frame"), "a person is told")


async def too_many_markets(account: Account) -> None:
    """Receive one market more than an account may know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "MARKETS_MAX", 1)
        for market in account.served.venue.by_condition.values():
            show(account, instrument_of(market))
    assert account.alerted("market")


async def rival(account: Account) -> None:
    """Have another program send heartbeats with the same key, again and again."""
    async with adapter(account.served) as (other, _):

        async def beaten() -> None:
            while not account.alerted("second_writer"):
                with contextlib.suppress(Exception):
                    await other.send_heartbeat()
                await asyncio.sleep(0.05)

        beating = asyncio.ensure_future(beaten())
        await account.until(lambda: account.alerted("second_writer"), "the rival is noticed")
        await beating


async def lived(folder: Path) -> list[RaiseAlert]:
    async with serving(quick()) as served:
        (folder / "locked").mkdir()
        async with begun(served, folder / "locked", keys_of(locked=True)) as waiting:
            raised = list(waiting.engine.alerts)
        refused = {"status": 401, "body": {"error": "Unauthorized/Invalid api key"}}
        await served.control("faults", kind="status", path="/auth", args=refused)
        async with begun(served, folder, keys_of()) as account:
            for happens in (opened_late, torn_frame, too_many_markets, rival):
                await happens(account)
            return raised + account.engine.alerts


@cache
def alerts() -> dict[str, RaiseAlert]:
    """Give what one account raised in its life, by kind."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(heartbeat, "HEARTBEAT_EVERY_NS", S // 5)
        patch.setattr(heartbeat, "RETRY_NS", S // 10)
        patch.setattr(upkeep, "UPKEEP_S", 0.05)
        patch.setattr(upkeep.PolymarketLink, "retry_s", (0.05, 0.05))
        patch.setattr(venue_plugin, "UNFUNDED_NS", S // 10)
        return {one.kind: one for one in asyncio.run(lived(Path(folder)))}


def of_its_life(kind: str, home: Path) -> None:
    kept(alerts()[kind], home)


KINDS = ("vault_locked", "not_open", "first_cash_waits", "user_frame", "market", "second_writer")
ACTS: dict[str, Act] = {kind: partial(of_its_life, kind) for kind in KINDS}
