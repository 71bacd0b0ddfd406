"""The door of a venue that takes our own effects: demo exchange, paper venue, simulator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar, cast

from engine.domain import effects as fx
from engine.domain import events as ev
from engine.domain.instruments import AccountId
from engine.errors import BadInput
from engine.gateway.door import Named, OnNamed

T = TypeVar("T")


class EffectDoor(ABC):
    """Each call of `gateway.door.Venue` asks one effect and reads its answer.

    Raises BadInput where that is something else; what `ask` raises goes through.
    """

    def __init__(self, account: AccountId) -> None:
        self._account = account

    @abstractmethod
    async def ask(self, effect: fx.AnyEffect) -> tuple[ev.VenueEvent, ...]:
        """Have the venue do or answer this. Raises as every call of `Venue`."""

    async def cancel(self, orders: Sequence[Named]) -> Sequence[ev.VenueEvent]:
        numbers = tuple(named.order for named in orders)
        return await self.ask(fx.CancelOrders(account=self._account, orders=numbers))

    async def cancel_all(self, scope: fx.CancelScope) -> Sequence[ev.VenueEvent]:
        return await self.ask(fx.CancelAll(account=self._account, scope=scope))

    async def open_orders(self) -> ev.OpenOrdersListed:
        return only(await self.ask(fx.QueryOpenOrders(account=self._account)), ev.OpenOrdersListed)

    async def order(self, named: Named) -> ev.OrderReported | ev.OrderNotFound:
        events = await self.ask(fx.QueryOrder(account=self._account, order=named.order))
        if len(events) == 1 and isinstance(events[0], ev.OrderNotFound):
            return events[0]
        return only(events, ev.OrderReported)

    async def fills(self, since_ns: int) -> ev.FillsListed:
        """Return all fills since a time. Raises BadInput where some are no longer kept."""
        events = await self.ask(fx.QueryFills(account=self._account, since_ns=since_ns))
        if len(events) == 1 and isinstance(events[0], ev.QueryFailed):
            raise BadInput(events[0].reason)
        return only(events, ev.FillsListed)

    async def balances(self) -> ev.BalancesListed:
        events = await self.ask(fx.QueryBalances(account=self._account))
        return only(events[:1], ev.BalancesListed)

    async def positions(self) -> ev.PositionsListed:
        events = await self.ask(fx.QueryBalances(account=self._account))
        return only(events[1:], ev.PositionsListed)

    async def redemptions(self, since_ns: int) -> ev.RedemptionsListed:
        asked = fx.QueryRedemptions(account=self._account, since_ns=since_ns)
        return only(await self.ask(asked), ev.RedemptionsListed)

    async def operate(self, asked: fx.AnyWalletEffect, named: OnNamed) -> Sequence[ev.VenueEvent]:
        """Submit an operation: its number is its name."""
        del named
        return await self.ask(asked)

    async def operation(self, asked: fx.QueryOperation) -> Sequence[ev.VenueEvent]:
        return await self.ask(asked)


def only(events: Sequence[ev.VenueEvent], kind: type[T]) -> T:
    """Return the one event of an answer. Raises BadInput where it is another one, or more."""
    if len(events) == 1 and isinstance(events[0], kind):
        return cast("T", events[0])
    raise BadInput(f"the venue answered {events} instead of {kind.__name__}")
