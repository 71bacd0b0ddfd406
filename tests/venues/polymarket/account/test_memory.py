"""What the adapter remembers: the names of orders that live are never among the forgotten."""

from __future__ import annotations

import pytest

from engine.domain.events import OrderAccepted
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter, order


async def test_resting_order_is_known_however_many_were_named_after_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.venues.polymarket.account.orders.NAMES_MAX", 3)
    async with adapter(served) as (venue, instrument):
        resting = venue.prepare(order(instrument))
        (event,) = await venue.send(resting)
        assert isinstance(event, OrderAccepted)
        for _ in range(8):
            venue.prepare(order(instrument))
            (report,) = (await venue.open_orders()).orders
            assert report.order == resting.order.id
