"""The door of a live Polymarket account before, while and after it is open.

The account's gateway exists from the start, its connections come later: until then nothing has an
effect at the venue. What passes through here is also evidence: listings that came back, and
refusals of our credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from engine.domain import events as ev
from engine.domain.effects import AnyWalletEffect, CancelScope, QueryOperation
from engine.domain.fills import FillId, FillState
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.orders import Identity, Order, OrderId, RejectReason
from engine.errors import AuthRefused, NotSent
from engine.gateway.door import Named, OnNamed, Prepared

if TYPE_CHECKING:
    from engine.venues.polymarket.account.venue import PolymarketVenue

T = TypeVar("T")

ENDS_MAX = 20_000
"""Ended fills remembered as seen; one that is forgotten refreshes a balance once more."""
ENDS = frozenset({FillState.CONFIRMED, FillState.FAILED})


class PolymarketDoor:
    """One account's door. `opened` gives it its venue."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self._venue: PolymarketVenue | None = None
        self.listed_ns: int | None = None
        """When a listing of open orders last came back whole; None = never."""
        self.doubt = ""
        """What the venue last said against our credential; empty = nothing since it was cleared."""
        self.known: dict[InstrumentId, Instrument] = {}
        """Markets the account has heard of, before the door was open too: those it wants."""
        self.outdated: dict[OrderId, None] = {}
        """Orders that tell of a balance the venue may not know: a settlement that was listed, a
        refusal for want of funds."""
        self._ended: dict[FillId, None] = {}

    def opened(self, venue: PolymarketVenue) -> None:
        self._venue = venue

    @property
    def is_open(self) -> bool:
        """Say whether there is a venue behind it."""
        return self._venue is not None

    @property
    def venue(self) -> PolymarketVenue:
        """The venue behind it. Raises NotSent before it is open."""
        if self._venue is None:
            raise NotSent("the account is not open yet")
        return self._venue

    async def close(self) -> None:
        """Close the connections."""
        if self._venue is not None:
            await self._venue.close()

    def prepare(self, order: Order) -> Prepared:
        """Name, sign and serialise; a market whose terms are not known yet is NotSent."""
        return self.venue.prepare(order)

    async def _noting_refusal(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except AuthRefused as error:
            self.doubt = str(error)
            raise

    async def send(self, prepared: Prepared) -> Sequence[ev.VenueEvent]:
        """Send exactly these bytes, once."""
        events = await self._noting_refusal(self.venue.send(prepared))
        for event in events:
            if isinstance(event, ev.OrderRejected) and event.reason is RejectReason.NO_FUNDS:
                self.outdated[event.order] = None
        return events

    async def cancel(self, orders: Sequence[Named]) -> Sequence[ev.VenueEvent]:
        return await self._noting_refusal(self.venue.cancel(orders))

    async def cancel_all(self, scope: CancelScope) -> Sequence[ev.VenueEvent]:
        """Cancel everything of the key in scope."""
        return await self._noting_refusal(self.venue.cancel_all(scope))

    async def cancel_foreign(self, order: Identity) -> str:
        """Cancel an order of another key of the signer."""
        return await self._noting_refusal(self.venue.cancel_foreign(order))

    async def open_orders(self) -> ev.OpenOrdersListed:
        """Return every open order, or raise."""
        asked_ns = self.now_ns()
        listed = await self._noting_refusal(self.venue.open_orders())
        self.listed_ns = asked_ns
        return listed

    async def order(self, named: Named) -> ev.OrderReported | ev.OrderNotFound:
        """Return what the venue knows about one order."""
        return await self._noting_refusal(self.venue.order(named))

    async def fills(self, since_ns: int) -> ev.FillsListed:
        """Return our fills since a time, or raise."""
        listed = await self._noting_refusal(self.venue.fills(since_ns))
        for fill in listed.fills:
            if fill.state in ENDS and fill.fill not in self._ended:
                self._ended[fill.fill] = None
                self.outdated[fill.order] = None
        while len(self._ended) > ENDS_MAX:
            del self._ended[next(iter(self._ended))]
        return listed

    async def balances(self) -> ev.BalancesListed:
        """Return the wallet's cash, or raise."""
        return await self._noting_refusal(self.venue.balances())

    async def positions(self) -> ev.PositionsListed:
        """Return what the wallet holds, or raise."""
        return await self.venue.positions()

    async def redemptions(self, since_ns: int) -> ev.RedemptionsListed:
        """Return what the wallet's winners brought since a time, or raise."""
        return await self.venue.redemptions(since_ns)

    async def operate(self, asked: AnyWalletEffect, named: OnNamed) -> Sequence[ev.VenueEvent]:
        """Sign an operation of the wallet, have its name kept, and hand it to the relayer."""
        return await self.venue.operate(asked, named)

    async def operation(self, asked: QueryOperation) -> Sequence[ev.VenueEvent]:
        """Return what became of an operation, as far as the venue says."""
        return await self.venue.operation(asked)
