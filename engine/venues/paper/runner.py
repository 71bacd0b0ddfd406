"""A paper account on the live loop: the paper venue's core behind the door a real venue has.

The market reaches the core before the desk, so what a print fills is known before anybody looks at
the book it leaves behind. Nothing here can reach a trading API (law R): the venue is this process.
Its memory is the journal's: at a start it is rebuilt from the account's books, what was open is
reported cancelled, and no fill is invented for the time in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.domain.effects import AnyEffect, PlaceOrder, QueryBalances
from engine.domain.events import BalancesListed, Event, FillSettled, PositionsListed, VenueEvent
from engine.domain.instruments import InstrumentId
from engine.domain.orders import Order
from engine.domain.products.funding import FUNDING
from engine.errors import BrokenInvariant, Throttled
from engine.gateway.door import Prepared, Reply, Request, VenueCore, VenueOutput
from engine.runtime.account_runner import AccountRunner
from engine.runtime.effect_door import EffectDoor, only
from engine.runtime.recovery import live_orders
from engine.runtime.venue_plugin import PaperGateway
from engine.venues.paper.core import PaperVenue
from engine.venues.paper.market import Owned

# -- The door: what the sender awaits, and who holds what was asked until it is due ----------------
# A simulated venue answers when its own time has come. The gateway's requests are kept, so that the
# venue receives the very same, in the order they left.


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
        """True where a request waits that `take_requests` has not handed out yet."""
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


# -- The runner ------------------------------------------------------------------------------------

FILLS_PER_START = 1_000_000_000
"""Numbers of fills set aside for each start of the engine, so that no two share a name."""


class PaperRunner(AccountRunner):
    """The runner of a paper account: it turns its venue, too."""

    def __init__(
        self, *, paper: PaperVenue, door: PaperDoor, gateway: PaperGateway, **wiring: Any
    ) -> None:
        super().__init__(gateway=gateway, venue=door, **wiring)
        self.paper = paper
        self.door = door
        self._paper_handle: asyncio.TimerHandle | None = None
        self._paper_due_ns = 0
        door.on_request(self._on_request)

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        batch = tuple(events)
        received = False
        for event in batch:
            received |= self._receive(self.paper.receive(event, now_ns), now_ns)
        super().market(batch, now_ns)
        if received:
            self.settle(now_ns)
        self._arm_paper()

    def _pass_time(self) -> int:
        """Let time pass at the venue, then at the desk."""
        self._advance_paper()
        return super()._pass_time()

    def _receive(self, outputs: list[VenueOutput], now_ns: int) -> bool:
        """Hand on what the venue says; True = call `settle`."""
        received = False
        for output in outputs:
            if type(output) is Reply:
                self.door.answer(output)
            else:
                self.deliver(output, now_ns)  # type: ignore[arg-type]
                received = True
        return received

    def _on_request(self) -> None:
        now_ns = self._clock.now_ns()
        for request in self.door.take_requests():
            for output in self.paper.request(request, now_ns):
                if type(output) is Reply:
                    self.door.answer(output)
                else:
                    self.report(output)  # type: ignore[arg-type]
        self._arm_paper()

    def _arm_paper(self) -> None:
        due_ns = self.paper.due_ns
        if self._paper_handle is not None:
            if due_ns == self._paper_due_ns:
                return
            self._paper_handle.cancel()
            self._paper_handle = None
        if due_ns is not None and not self._closed:
            wait_s = max(0, due_ns - self._clock.now_ns()) / 1e9
            loop = asyncio.get_running_loop()
            self._paper_due_ns = due_ns
            self._paper_handle = loop.call_later(wait_s, self._paper_due)

    def _paper_due(self) -> None:
        self._paper_handle = None
        self._advance_paper()

    def _advance_paper(self) -> None:
        now_ns = self._clock.now_ns()
        due_ns = self.paper.due_ns
        if (
            due_ns is not None
            and due_ns <= now_ns
            and self._receive(self.paper.advance(now_ns), now_ns)
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
        executor = self.core.executor
        for fill in list(executor.ledger.state.fills.unsettled):
            self.deliver(FillSettled(account=self.account, fill=fill), now_ns)
        state = executor.ledger.state
        live = live_orders(executor)
        needed = dict.fromkeys((*executor.ledger.held, *executor.ledger.redeemable))
        needed |= dict.fromkeys(known.order.instrument for known in live)
        for cancelled in self.paper.resume(
            cash={state.currency: state.cash_settled_micro},
            owned=[self._owned(instrument) for instrument in needed],
            open_orders=[(known.order, known.remaining) for known in live],
            fill_count=fence * FILLS_PER_START,
            funded=[name for name in state.payments if name.startswith(FUNDING)],
        ):
            self.deliver(cancelled, now_ns)

    def _owned(self, instrument: InstrumentId) -> Owned:
        ledger = self.core.executor.ledger
        held = ledger.holding(instrument)
        terms = ledger.state.instruments[instrument]
        tokens = {
            leg: held.leg(leg).settled + held.leg(leg).redeemable for leg in terms.product.legs
        }
        netted = ledger.state.netted.get(instrument)
        cost = 0 if netted is None else netted.cost
        return Owned(terms, held.payout_yes_micro, tokens, held.dust, cost)
