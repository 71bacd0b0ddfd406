"""The demo exchange's customer at the table where every simulated venue sits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.domain.orders import OrderType
from engine.gateway.door import VenueOutput
from tests.venues.contract import CHECKS, Factory
from tests.venues.demo.builders import (
    ANN,
    BOB,
    CAT,
    CENT,
    COIN,
    SHARE,
    buy_no,
    buy_yes,
    exchange,
    put,
)
from tests.venues.demo.customer import DemoCustomer
from tests.venues.table import Table

LATENCIES_NS = (0, 20_000_000)


def factory_with(latency_ns: int) -> Factory:
    def factory() -> Table:
        made = exchange()
        put(made, BOB, buy_yes("far", 30, 50))
        put(made, BOB, buy_no("near", 48, 500))
        core = DemoCustomer(made, ANN, latency_ns=latency_ns)
        sold = 0

        def fill_resting(now_ns: int) -> list[VenueOutput]:
            nonlocal sold
            sold += 1
            outputs = core.advance(now_ns)
            sale = buy_no(f"sale-{sold}", 51, 100, type=OrderType.FAK)
            made.submit(CAT, sale, made.now_ns)
            return outputs + core.advance(now_ns)

        return Table(
            venue=core,
            instrument=made.listing.market(COIN).instrument,
            now=made.now_ns,
            bid=49 * CENT,
            ask=52 * CENT,
            size=10 * SHARE,
            fill_resting=fill_resting,
        )

    return factory


@pytest.mark.parametrize("latency_ns", LATENCIES_NS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Factory], None], latency_ns: int) -> None:
    check(factory_with(latency_ns))
