"""Builders for the tests of the gateway: orders, effects and settings with few words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.domain.effects import CancelAll, CancelOrders, CancelScope, PlaceOrder
from engine.domain.events import ModeChanged, VenueMode
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.domain.orders import Identity, Order, OrderId
from engine.domain.settings import GatewaySettings
from engine.gateway.door import Prepared, Reply, Request

ACCOUNT = AccountId("demo:one")


class Build:
    """Makes the nouns; everything has a default a test need not name."""

    account = ACCOUNT

    def settings(self, **changes: Any) -> GatewaySettings:
        """Return settings wide enough that a test meets only the limit it names."""
        wide = {
            "places_in_flight_max": 100,
            "places_per_s": 1_000,
            "places_burst": 1_000,
            "cancels_per_s": 1_000,
            "cancels_burst": 1_000,
            "queries_per_s": 1_000,
            "queries_burst": 1_000,
            "place_timeout_ms": 5_000,
            "safety_timeout_ms": 3_000,
        }
        return GatewaySettings(**(wide | changes))

    def place(self, number: int = 1, **changes: Any) -> PlaceOrder:
        fields: dict[str, Any] = {
            "account": ACCOUNT,
            "id": OrderId(number),
            "bot": BotId("maker"),
            "instrument": InstrumentId("venue:m1"),
            "leg": Leg.YES,
            "side": Side.BUY,
            "price": 4_000,
            "size": 10_000_000,
            "created_ns": 10**18,
        }
        return PlaceOrder(order=Order(**(fields | changes)))

    def cancel(self, *numbers: int) -> CancelOrders:
        return CancelOrders(account=ACCOUNT, orders=tuple(OrderId(n) for n in numbers))

    def cancel_all(self, **scope: Any) -> CancelAll:
        return CancelAll(account=ACCOUNT, scope=CancelScope(**scope))

    def mode(self, mode: VenueMode) -> ModeChanged:
        return ModeChanged(account=ACCOUNT, mode=mode)

    def reply(self, request: Request, *events: Any, after_ms: int = 0) -> Reply:
        return Reply(number=request.number, events=events, retry_after_ns=after_ms * 1_000_000)


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()


class FakeVenue:
    """A door whose answers a test gives: each call waits in `calls` until it is answered."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, asyncio.Future[Any]]] = []
        self.came = asyncio.Event()
        self.unprepared: Exception | None = None
        self.prepared: list[OrderId] = []

    def prepare(self, order: Order) -> Prepared:
        if self.unprepared is not None:
            raise self.unprepared
        self.prepared.append(order.id)
        return Prepared(order=order, identity=Identity(f"0x{order.id}"), payload=b"bytes")

    async def _wait(self, name: str, argument: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.calls.append((name, argument, answer))
        self.came.set()
        return await answer

    async def send(self, prepared: Prepared) -> Any:
        return await self._wait("send", prepared)

    async def cancel(self, orders: Any) -> Any:
        return await self._wait("cancel", orders)

    async def cancel_all(self, scope: CancelScope) -> Any:
        return await self._wait("cancel_all", scope)

    async def open_orders(self) -> Any:
        return await self._wait("open_orders", None)

    async def order(self, named: Any) -> Any:
        return await self._wait("order", named)

    async def fills(self, since_ns: int) -> Any:
        return await self._wait("fills", since_ns)

    async def balances(self) -> Any:
        return await self._wait("balances", None)

    async def positions(self) -> Any:
        return await self._wait("positions", None)

    async def call(self, name: str) -> tuple[Any, asyncio.Future[Any]]:
        """Wait for a call of this name and take it out."""
        while True:
            for number, (called, argument, answer) in enumerate(self.calls):
                if called == name:
                    del self.calls[number]
                    return argument, answer
            self.came.clear()
            await self.came.wait()

    async def answer(self, name: str, outcome: Any) -> Any:
        """Wait for a call and answer it: an exception is raised, anything else returned."""
        argument, answer = await self.call(name)
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
        return argument


@pytest.fixture
async def venue() -> FakeVenue:
    return FakeVenue()
