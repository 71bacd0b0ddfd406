"""The house's gateway speaks through the adapter: named, journaled, sent, cancelled, asked."""

from __future__ import annotations

from typing import Any

from engine.clock import WallClock
from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    RaiseAlert,
)
from engine.domain.events import (
    BalancesListed,
    Event,
    FillsListed,
    ModeChanged,
    OpenOrdersListed,
    OrderAccepted,
    OrderCancelled,
    OrderNamed,
    OrderNotSent,
    OrderReported,
    OrderUnanswered,
    PositionsListed,
    QueryFailed,
    VenueMode,
)
from engine.domain.orders import Identity, OrderId, OrderType
from engine.domain.settings import GatewaySettings
from engine.gateway.core import GatewayCore
from engine.gateway.sender import Sender
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import LIVE, adapter, order, taking


class Desk:
    """A gateway over the adapter, and what it told."""

    def __init__(self, venue: PolymarketVenue) -> None:
        self.events: list[Event] = []
        self.names: dict[OrderId, Identity] = {}
        self.crashes: list[BaseException] = []
        self.alerts: list[RaiseAlert] = []
        self.sender = Sender(
            core=GatewayCore(account=LIVE, settings=GatewaySettings()),
            venue=venue,
            clock=WallClock(),
            report=self._report,
            durable=self._durable,
            alert=self.alerts.append,
            identity=self.names.get,
            crash=self.crashes.append,
        )

    def _report(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, OrderNamed):
            self.names[event.order] = event.identity

    async def _durable(self) -> None:
        """This journal is a list."""

    async def do(self, effect: Any) -> list[type]:
        """Take an effect to its end; return the kinds of what was told."""
        self.events.clear()
        self.sender.take(effect)
        await self.sender.drain()
        assert self.crashes == []
        return [type(event) for event in self.events]


async def test_order_lives_its_life_through_the_gateway(served: Served) -> None:
    async with adapter(served, kind=3) as (venue, instrument):
        desk = Desk(venue)
        asked = order(instrument)
        assert await desk.do(PlaceOrder(order=asked)) == [OrderNamed, OrderAccepted]
        assert await desk.do(QueryOrder(account=LIVE, order=asked.id)) == [OrderReported]
        assert await desk.do(QueryOpenOrders(account=LIVE)) == [OpenOrdersListed]
        assert await desk.do(QueryFills(account=LIVE, since_ns=0)) == [FillsListed]
        money = await desk.do(QueryBalances(account=LIVE))
        assert money == [BalancesListed, PositionsListed]
        gone = await desk.do(CancelOrders(account=LIVE, orders=(asked.id,)))
        assert gone == [OrderCancelled]
        await desk.do(PlaceOrder(order=order(instrument)))
        assert await desk.do(CancelAll(account=LIVE)) == [OrderCancelled]
        await desk.sender.close()


async def test_lost_answer_is_unknown_and_the_named_order_is_found(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        desk = Desk(venue)
        await served.control("faults", script="no_reply", times=1)
        asked = order(instrument)
        assert await desk.do(PlaceOrder(order=asked)) == [OrderNamed, OrderUnanswered]
        assert await desk.do(QueryOrder(account=LIVE, order=asked.id)) == [OrderReported]
        await desk.sender.close()


async def test_closed_door_is_a_mode_and_nothing_lives(served: Served) -> None:
    async with adapter(served) as (venue, instrument):
        desk = Desk(venue)
        await served.control("mode", mode="post_only", for_s=60)
        crossing = taking(instrument, 40, 10, OrderType.GTC)
        kinds = await desk.do(PlaceOrder(order=crossing))
        assert kinds == [OrderNamed, ModeChanged, OrderNotSent]
        (mode,) = [event.mode for event in desk.events if isinstance(event, ModeChanged)]
        assert mode is VenueMode.POST_ONLY
        resting = await desk.do(PlaceOrder(order=order(instrument)))
        assert resting == [OrderNamed, OrderAccepted]
        await desk.sender.close()


async def test_failed_question_is_told_as_failed(served: Served) -> None:
    async with adapter(served) as (venue, _):
        desk = Desk(venue)
        await served.control("faults", script="cloudflare_502")
        for question in (QueryOpenOrders(account=LIVE), QueryBalances(account=LIVE)):
            assert await desk.do(question) == [QueryFailed]
        await desk.sender.close()
