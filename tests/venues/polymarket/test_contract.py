"""Polymarket's adapter and the fake venue at the table where every venue sits.

The table speaks to a `VenueCore`; `GatewaySide` is the gateway's half of that talk: it carries
each request to the asynchronous door at once, and asks for fills after it, as the user channel
would have told them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
)
from engine.domain.events import BookChanged, Event, OrderUnanswered, VenueEvent
from engine.domain.fills import FillId
from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, Order, OrderId
from engine.errors import OutcomeUnknown
from engine.gateway.door import Named, Prepared, Reply, Request, VenueOutput
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.server import serving
from tests.venues.contract import CHECKS, Factory, the_same_order_twice_is_one_order
from tests.venues.polymarket.adapter import LIVE, SHARE, adapter
from tests.venues.polymarket.kit import RAIN, Trader, by_slug, quick
from tests.venues.table import Table

STEP_NS = 2_000_000_000
STEPS = 4
"""How often time passes after a request: settlement takes none of these."""

APPLICABLE = tuple(check for check in CHECKS if check is not the_same_order_twice_is_one_order)
"""A second send of the same bytes is refused as a duplicate: proof that the first one arrived, so
this adapter asks instead of calling it rejected (see test_venue)."""


class GatewaySide:
    """One account at the table, over its own loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        venue: PolymarketVenue,
        let_pass: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._venue = venue
        self._let_pass = let_pass
        self._names: dict[OrderId, Identity] = {}
        self._reported: set[FillId] = set()
        self._due: int | None = None
        self._left = 0

    @property
    def due_ns(self) -> int | None:
        return self._due

    def account(self) -> AccountId:
        return LIVE

    def prepare(self, order: Order) -> Prepared:
        prepared = self._venue.prepare(order)
        self._names[order.id] = prepared.identity
        return prepared

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        self._due, self._left = now_ns + STEP_NS, STEPS
        events = tuple(self._loop.run_until_complete(self._answer(request.effect)))
        return [Reply(number=request.number, events=events), *self.fills()]

    def receive(self, event: Event, now_ns: int) -> list[VenueOutput]:
        raise AssertionError(f"this venue has its own feed at {now_ns}: {event}")

    def changed(self, event: BookChanged, now_ns: int) -> None:
        self.receive(event, now_ns)

    def advance(self, now_ns: int) -> list[VenueOutput]:
        self._let_pass(now_ns)
        self._left -= 1
        self._due = now_ns + STEP_NS if self._left else None
        return self.fills()

    def fills(self) -> list[VenueOutput]:
        """Give the fills nobody was told of yet."""
        listed = self._loop.run_until_complete(self._venue.fills(0))
        new = [fill for fill in listed.fills if fill.fill not in self._reported]
        self._reported.update(fill.fill for fill in new)
        return list(new)

    async def _answer(self, effect: Any) -> list[VenueEvent]:
        venue = self._venue
        match effect:
            case PlaceOrder():
                try:
                    return list(await venue.send(self.prepare(effect.order)))
                except OutcomeUnknown as error:
                    order, reason = effect.order.id, str(error)
                    return [OrderUnanswered(account=LIVE, order=order, reason=reason)]
            case CancelOrders():
                return list(await venue.cancel([self._named(order) for order in effect.orders]))
            case CancelAll():
                return list(await venue.cancel_all(effect.scope))
            case QueryOrder():
                return [await venue.order(self._named(effect.order))]
            case QueryOpenOrders():
                return [await venue.open_orders()]
            case QueryFills():
                return [await venue.fills(effect.since_ns)]
            case QueryBalances():
                return [await venue.balances(), await venue.positions()]
            case _:
                raise AssertionError(effect)

    def _named(self, order: OrderId) -> Named:
        # An order that was never prepared has a name nobody at the venue knows.
        return Named(order=order, identity=self._names.get(order, Identity(f"0x{order:064x}")))


class FakeVenues:
    """The fake venues of one test, on one loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._open = AsyncExitStack()

    def close(self) -> None:
        self.loop.run_until_complete(self._open.aclose())
        self.loop.close()

    def table(self) -> Table:
        return self.loop.run_until_complete(self._table())

    async def _table(self) -> Table:
        enter = self._open.enter_async_context
        clock = Clock(time.time_ns())
        served = await enter(serving(quick(), clock=clock))
        venue, instrument = await enter(adapter(served, slug=RAIN))
        other = await enter(Trader(served, 2))
        market = by_slug(served, RAIN)
        await other.rich(market, 1_000)
        await other.place(market, "BUY", "0.30", "50")
        await other.place(market, "SELL", "0.52", "500")
        begun = time.time_ns()
        passed = 0

        def let_pass(now_ns: int) -> None:
            nonlocal passed
            clock.skip(max(0, now_ns - begun - passed))
            passed = max(passed, now_ns - begun)
            served.venue.pump()

        bot_runner = GatewaySide(self.loop, venue, let_pass)

        def fill_resting(_: int) -> list[VenueOutput]:
            sale = other.place(market, "SELL", "0.49", "100", kind="FAK")
            self.loop.run_until_complete(sale)
            return bot_runner.fills()

        return Table(
            venue=bot_runner,
            instrument=instrument,
            now=begun,
            bid=4_900,
            ask=5_200,
            size=10 * SHARE,
            fill_resting=fill_resting,
        )


@pytest.fixture
def services() -> Iterator[FakeVenues]:
    made = FakeVenues()
    yield made
    made.close()


@pytest.mark.parametrize("check", APPLICABLE, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Factory], None], services: FakeVenues) -> None:
    check(services.table)
