"""A paper account on the live loop: the paper venue's core behind the door a real venue has.

The market reaches the core before the desk, so what a print fills is known before anybody looks at
the book it leaves behind. Nothing here can reach a trading API (law R): the venue is this process.
Its memory is the journal's: at a start it is rebuilt from the account's books, what was open is
reported cancelled, and no fill is invented for the time in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from engine.domain.effects import (
    AnyEffect,
    CancelAll,
    CancelOrders,
    CancelScope,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
)
from engine.domain.events import (
    BalancesListed,
    Event,
    FillSettled,
    FillsListed,
    OpenOrdersListed,
    OrderCancelled,
    OrderNotFound,
    OrderNotSent,
    OrderReported,
    PositionsListed,
    QueryFailed,
    VenueEvent,
)
from engine.domain.instruments import AccountId, Leg
from engine.domain.orders import Order, OrderState
from engine.errors import BadInput, BrokenInvariant, Throttled
from engine.executor.executor import Executor
from engine.executor.records import Working
from engine.gateway.core import GatewayCore, Message
from engine.loop import Shell
from engine.venues.door import Capabilities, Named, Prepared, Reply, Request, VenueOutput
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.memory import Owned, rebuilt

T = TypeVar("T")

FILLS_PER_START = 1_000_000_000
"""Numbers of fills set aside for each start of the engine, so that no two share a name."""

LOST = "the session was lost before it was sent"


class PaperGateway(GatewayCore):
    """A gateway that remembers which requests it let go, so that the venue hears the very same."""

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._gone: dict[int, Request] = {}

    def receive(self, message: Message, now_ns: int) -> list[Request]:
        """Take a message as every gateway does."""
        if type(message) is Reply:
            self._gone.pop(message.number, None)
        return self._noted(super().receive(message, now_ns))

    def advance(self, now_ns: int) -> list[Request]:
        """Let time pass as every gateway does."""
        return self._noted(super().advance(now_ns))

    def _noted(self, requests: list[Request]) -> list[Request]:
        for request in requests:
            self._gone[request.number] = request
        return requests

    def claim(self, effect: AnyEffect) -> Request:
        """Return the request this effect left as, once."""
        for number, request in self._gone.items():
            if request.effect == effect:
                del self._gone[number]
                return request
        raise BrokenInvariant(f"{type(effect).__name__} reached the venue past the gateway")


class PaperDoor:
    """The door of a paper venue. Whoever turns the venue calls `take_asked` and `answer`."""

    def __init__(self, paper: PaperVenue, gateway: PaperGateway) -> None:
        self._paper = paper
        self._gateway = gateway
        self._account: AccountId = paper.account()
        self._asked: list[Request] = []
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._positions: PositionsListed | None = None
        self.knocked: Callable[[], object] = lambda: None
        """Called when something is asked."""

    # -- whoever turns the venue -------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many requests wait for the venue."""
        return len(self._waiting)

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
        self.knocked()
        try:
            reply = await future
        finally:
            self._waiting.pop(request.number, None)
        if reply.retry_after_ns:
            raise Throttled("too many orders are open at the paper venue", reply.retry_after_ns)
        return reply.events

    # -- the door ----------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do."""
        return self._paper.capabilities

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise."""
        return self._paper.prepare(order)

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        """Send the order."""
        return await self._ask(PlaceOrder(order=prepared.order))

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        """Cancel these orders."""
        numbers = tuple(named.order for named in orders)
        return await self._ask(CancelOrders(account=self._account, orders=numbers))

    async def cancel_all(self, scope: CancelScope) -> Sequence[VenueEvent]:
        """Cancel everything of the account in scope."""
        return await self._ask(CancelAll(account=self._account, scope=scope))

    async def open_orders(self) -> OpenOrdersListed:
        """Return every open order."""
        return _first(await self._ask(QueryOpenOrders(account=self._account)), OpenOrdersListed)

    async def order(self, named: Named) -> OrderReported | OrderNotFound:
        """Return what the venue knows about one order."""
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


def _first(events: Sequence[VenueEvent], kind: type[T]) -> T:
    if events and isinstance(events[0], kind):
        return cast("T", events[0])
    raise BrokenInvariant(f"the paper venue answered {events} instead of {kind.__name__}")


class PaperShell(Shell):
    """The shell of a paper account: it turns its venue, too."""

    def __init__(
        self, *, paper: PaperVenue, door: PaperDoor, core: PaperGateway, **wiring: Any
    ) -> None:
        super().__init__(core=core, venue=door, **wiring)
        self.paper = paper
        self.door = door
        self._paper_handle: asyncio.TimerHandle | None = None
        door.knocked = self._knocked

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Let the venue hear, then the desk."""
        told = tuple(events)
        heard = False
        for event in told:
            heard |= self._hear(self.paper.hear(event, now_ns), now_ns)
        super().market(told, now_ns)
        if heard:
            self.settle(now_ns)
        self._arm_paper()

    def tick(self) -> None:
        """Let time pass at the venue, then at the desk."""
        self._advance_paper()
        super().tick()

    def _hear(self, outputs: list[VenueOutput], now_ns: int) -> bool:
        """Hand on what the venue says; True = call `settle`."""
        heard = False
        for output in outputs:
            if type(output) is Reply:
                self.door.answer(output)
            else:
                self.deliver(output, now_ns)  # type: ignore[arg-type]
                heard = True
        return heard

    def _knocked(self) -> None:
        now_ns = self._clock.now_ns()
        for request in self.door.take_asked():
            for output in self.paper.request(request, now_ns):
                if type(output) is Reply:
                    self.door.answer(output)
                else:
                    self.report(output)  # type: ignore[arg-type]
        self._arm_paper()

    def _arm_paper(self) -> None:
        if self._paper_handle is not None:
            self._paper_handle.cancel()
            self._paper_handle = None
        due_ns = self.paper.due_ns
        if due_ns is not None and not self._closed:
            wait_s = max(0, due_ns - self._clock.now_ns()) / 1e9
            loop = asyncio.get_running_loop()
            self._paper_handle = loop.call_later(wait_s, self._advance_paper)

    def _advance_paper(self) -> None:
        now_ns = self._clock.now_ns()
        due_ns = self.paper.due_ns
        if (
            due_ns is not None
            and due_ns <= now_ns
            and self._hear(self.paper.advance(now_ns), now_ns)
        ):
            self.settle(now_ns)
        self._arm_paper()

    async def close(self) -> None:
        """Cut what is under way; the venue stands still, too."""
        await super().close()
        if self._paper_handle is not None:
            self._paper_handle.cancel()

    # -- a start -----------------------------------------------------------------------------------

    def resume_session(self, now_ns: int, *, fence: int) -> None:
        """Rebuild the venue from the account's books; report what was open as cancelled.

        Call it before `start_over`. Matched fills are settled: their time has passed meanwhile.
        """
        executor = self.desk.executor
        for fill in list(executor.ledger.state.fills.unsettled):
            self.deliver(FillSettled(account=self.account, fill=fill), now_ns)
        self.paper.restore(_memory(executor, fence * FILLS_PER_START))
        states = {known.order.id: known.state for known in _live(executor)}
        for order, state in states.items():
            if state is OrderState.PENDING:
                event = OrderNotSent(account=self.account, order=order, reason=LOST)
                self.deliver(event, now_ns)
        for output in self.paper.session_lost(now_ns):
            # One whose fate is unknown is asked about, like everywhere; it will be found cancelled.
            if isinstance(output, OrderCancelled) and states[output.order] not in _SILENT:
                self.deliver(output, now_ns)


_SILENT = frozenset({OrderState.PENDING, OrderState.UNKNOWN})


def _live(executor: Executor) -> list[Working]:
    return [
        known
        for instrument in executor.ledger.state.instruments
        for known in executor.working(instrument)
    ]


def _memory(executor: Executor, fill_count: int) -> bytes:
    """Return the venue's memory as the account's settled books have it."""
    state = executor.ledger.state
    live = _live(executor)
    needed = dict.fromkeys(executor.ledger.held) | dict.fromkeys(k.order.instrument for k in live)
    owned = []
    for instrument in needed:
        held = executor.ledger.holding(instrument)
        terms = state.instruments[instrument]
        tokens = {Leg.YES: held.yes.settled, Leg.NO: held.no.settled}
        owned.append(Owned(terms, held.payout_yes_micro, tokens))
    return rebuilt(
        executor.account,
        cash={state.currency: state.cash_settled_micro},
        owned=owned,
        open_orders=[(known.order, known.remaining) for known in live],
        fill_count=fill_count,
    )
