"""The paper venue keeps the contract of simulated venues, at once and with latencies."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from engine.domain.events import InstrumentListed, TradePrinted
from engine.gateway.door import VenueOutput
from tests.venues.contract import CHECKS, Factory, Table
from tests.venues.paper.world import BINARY, MARKET, MS, SELL, SHARE, World, settings


def table(latency_ms: int, feed_ms: int, taker_ms: int) -> Table:
    delayed = msgspec.structs.replace(BINARY, taker_delay_ns=taker_ms * MS)
    world = World(settings(latency_ms=latency_ms, feed_ms=feed_ms))
    world.receive(InstrumentListed(instrument=delayed))
    world.book({50: 100, 49: 100}, {52: 100, 53: 100})

    def fill_resting(now_ns: int) -> list[VenueOutput]:
        trade = TradePrinted(instrument=MARKET, price=4_900, size=10**9, aggressor=SELL)
        return world.venue.receive(trade, now_ns)

    return Table(
        venue=world.venue,
        instrument=delayed,
        now=world.now,
        bid=5_000,
        ask=5_200,
        size=20 * SHARE,
        fill_resting=fill_resting,
    )


@pytest.mark.parametrize("times", [(0, 0, 0), (150, 0, 0), (150, 40, 250), (0, 40, 0)], ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Factory], None], times: tuple[int, int, int]) -> None:
    check(lambda: table(*times))
