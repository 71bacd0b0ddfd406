"""The door of a paper venue: what the sender awaits, and who holds what was asked until it is due.

A simulated venue answers when its own time has come. The gateway's requests are kept, so that the
venue receives the very same, in the order they left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.domain.effects import AnyEffect, PlaceOrder, QueryBalances
from engine.domain.events import BalancesListed, PositionsListed, VenueEvent
from engine.domain.orders import Order
from engine.errors import BrokenInvariant, Throttled
from engine.gateway.door import Prepared, Reply, Request, VenueCore
from engine.runtime.effect_door import EffectDoor, only
from engine.runtime.venue_plugin import PaperGateway


class PaperDoor(EffectDoor):
    """The door of a paper venue. Whoever turns the venue calls `take_requests` and `answer`."""

    def __init__(self, paper: VenueCore, gateway: PaperGateway) -> None:
        super().__init__(paper.account())
        self._paper = paper
        self._gateway = gateway
        self._requests: list[Request] = []
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._positions: PositionsListed | None = None
        self._on_request: Callable[[], object] | None = None

    # -- whoever turns the venue -------------------------------------------------------------------

    def on_request(self, callback: Callable[[], object]) -> None:
        """Have `callback` called whenever something is asked."""
        self._on_request = callback

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_requests(self) -> bool:
        """True where something was asked that nobody has taken yet."""
        return bool(self._requests)

    def take_requests(self) -> list[Request]:
        """Hand out, once, what was asked, in the order it left the gateway."""
        requests, self._requests = self._requests, []
        return sorted(requests, key=lambda request: request.number)

    def answer(self, reply: Reply) -> None:
        """Answer a request; one that is not waited for any more is let go."""
        future = self._waiting.pop(reply.number, None)
        if future is not None and not future.done():
            future.set_result(reply)

    async def ask(self, effect: AnyEffect) -> tuple[VenueEvent, ...]:
        request = self._gateway.claim(effect)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = future
        self._requests.append(request)
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
        return await self.ask(PlaceOrder(order=prepared.order, identity=prepared.identity))

    async def balances(self) -> BalancesListed:
        """Return cash; the answer also holds the positions, which are asked for next."""
        events = await self.ask(QueryBalances(account=self._account))
        self._positions = only(events[1:], PositionsListed)
        return only(events[:1], BalancesListed)

    async def positions(self) -> PositionsListed:
        """Return settled holdings as they stood when the balances were asked for."""
        positions, self._positions = self._positions, None
        if positions is None:
            raise BrokenInvariant("a paper account tells its positions with its balances")
        return positions
