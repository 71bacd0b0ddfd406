"""The door of a paper venue: what the sender awaits, and who holds what was asked until it is due.

A simulated venue answers when its own time has come. The gateway's requests are kept, so that the
venue hears the very same, in the order they left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from engine.domain.effects import (
    AnyEffect,
    AnyWalletEffect,
    CancelAll,
    CancelOrders,
    CancelScope,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOperation,
    QueryOrder,
    QueryRedemptions,
)
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    OpenOrdersListed,
    OrderNotFound,
    OrderReported,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    VenueEvent,
)
from engine.domain.instruments import AccountId
from engine.domain.orders import Order
from engine.errors import BadInput, BrokenInvariant, Throttled
from engine.gateway.door import Named, OnNamed, Prepared, Reply, Request, VenueCore
from engine.runtime.venue_plugin import PaperGateway

T = TypeVar("T")


class PaperDoor:
    """The door of a paper venue. Whoever turns the venue calls `take_asked` and `answer`."""

    def __init__(self, paper: VenueCore, gateway: PaperGateway) -> None:
        self._paper = paper
        self._gateway = gateway
        self._account: AccountId = paper.account()
        self._asked: list[Request] = []
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._positions: PositionsListed | None = None
        self._on_request: Callable[[], object] | None = None

    # -- whoever turns the venue -------------------------------------------------------------------

    def on_request(self, told: Callable[[], object]) -> None:
        """Have `told` called whenever something is asked."""
        self._on_request = told

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def asks(self) -> bool:
        """True where something was asked that nobody has taken yet."""
        return bool(self._asked)

    def take_asked(self) -> list[Request]:
        """Hand out, once, what was asked, in the order it left the gateway."""
        asked, self._asked = self._asked, []
        return sorted(asked, key=lambda request: request.number)

    def answer(self, reply: Reply) -> None:
        """Answer a request; one that is not waited for any more is let go."""
        future = self._waiting.pop(reply.number, None)
        if future is not None and not future.done():
            future.set_result(reply)

    async def _ask(self, effect: AnyEffect) -> tuple[VenueEvent, ...]:
        request = self._gateway.claim(effect)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = future
        self._asked.append(request)
        if self._on_request is not None:
            self._on_request()
        try:
            reply = await future
        finally:
            self._waiting.pop(request.number, None)
        if reply.retry_after_ns:
            raise Throttled("too many orders are open at the paper venue", reply.retry_after_ns)
        return reply.events

    # -- the door ----------------------------------------------------------------------------------

    def prepare(self, order: Order) -> Prepared:
        return self._paper.prepare(order)

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        return await self._ask(PlaceOrder(order=prepared.order, identity=prepared.identity))

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        numbers = tuple(named.order for named in orders)
        return await self._ask(CancelOrders(account=self._account, orders=numbers))

    async def cancel_all(self, scope: CancelScope) -> Sequence[VenueEvent]:
        return await self._ask(CancelAll(account=self._account, scope=scope))

    async def open_orders(self) -> OpenOrdersListed:
        return _first(await self._ask(QueryOpenOrders(account=self._account)), OpenOrdersListed)

    async def order(self, named: Named) -> OrderReported | OrderNotFound:
        (event,) = await self._ask(QueryOrder(account=self._account, order=named.order))
        if isinstance(event, OrderReported | OrderNotFound):
            return event
        raise BrokenInvariant(f"the paper venue answered {event} to a question about an order")

    async def fills(self, since_ns: int) -> FillsListed:
        """Return all fills since a time. Raises BadInput where some are no longer kept."""
        events = await self._ask(QueryFills(account=self._account, since_ns=since_ns))
        if events and isinstance(events[0], QueryFailed):
            raise BadInput(events[0].reason)
        return _first(events, FillsListed)

    async def balances(self) -> BalancesListed:
        """Return cash; the answer also holds the positions, which are asked for next."""
        events = await self._ask(QueryBalances(account=self._account))
        self._positions = _first(events[1:], PositionsListed)
        return _first(events, BalancesListed)

    async def positions(self) -> PositionsListed:
        """Return settled holdings as they stood when the balances were asked for."""
        positions, self._positions = self._positions, None
        if positions is None:
            raise BrokenInvariant("a paper account tells its positions with its balances")
        return positions

    async def redemptions(self, since_ns: int) -> RedemptionsListed:
        """Return what was paid for tokens of resolved markets since a time."""
        asked = QueryRedemptions(account=self._account, since_ns=since_ns)
        return _first(await self._ask(asked), RedemptionsListed)

    async def operate(self, asked: AnyWalletEffect, named: OnNamed) -> Sequence[VenueEvent]:
        """Redeem, merge or split: this venue does it at once."""
        del named
        return await self._ask(asked)

    async def operation(self, asked: QueryOperation) -> Sequence[VenueEvent]:
        """Say that it is not known: what this venue does, it has answered."""
        return await self._ask(asked)


def _first(events: Sequence[VenueEvent], kind: type[T]) -> T:
    if events and isinstance(events[0], kind):
        return cast("T", events[0])
    raise BrokenInvariant(f"the paper venue answered {events} instead of {kind.__name__}")
