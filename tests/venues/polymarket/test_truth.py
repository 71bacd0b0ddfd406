"""Under a storm of faults every verdict is true: what was said to live lives, what not does not."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.domain.events import OrderAccepted, OrderNotFound, OrderRejected, OrderReported
from engine.errors import NotSent, OutcomeUnknown, PitbossError, Throttled, VenueClosed
from engine.gateway.door import Prepared
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter, named, order
from tests.venues.polymarket.kit import signer

STORM = (
    "no_reply",
    "never_arrived",
    "resting_order_500",
    "lost_order_500",
    "garbled",
    "rate_limited",
    "cloudflare_502",
    "invalid_nonce",
)
ORDERS = 150


async def verdict(venue: PolymarketVenue, prepared: Prepared) -> type:
    try:
        (event,) = await venue.send(prepared)
    except PitbossError as error:
        return type(error)
    return type(event)


@pytest.mark.long
async def test_every_verdict_under_a_storm_of_faults_is_true(served: Served) -> None:
    await served.control("people", signer=signer(1).address, tier="Elite")
    async with adapter(served, kind=3) as (venue, instrument):
        for script in STORM:
            faults = {"method": "POST", "path": "/order$", "chance": 0.06}
            await served.control("faults", script=script, **faults)
        prepared = [venue.prepare(order(instrument, 1, 5)) for _ in range(ORDERS)]
        verdicts = [await verdict(venue, each) for each in prepared]
        served.venue.faults.clear()
        lives = [await venue.order(named(each)) for each in prepared]
        seen = Counter(zip(verdicts, map(type, lives), strict=True))
        certain = {OrderAccepted: OrderReported} | dict.fromkeys(
            (OrderRejected, NotSent, Throttled, VenueClosed), OrderNotFound
        )
        for found, truth in seen:
            assert issubclass(found, OutcomeUnknown) or certain[found] is truth, seen
        assert {truth for found, truth in seen if found is OutcomeUnknown} == {
            OrderReported,
            OrderNotFound,
        }
        alive = sum(isinstance(found, OrderReported) for found in lives)
        assert len((await venue.open_orders()).orders) == alive
        assert sum(seen.values()) == ORDERS
