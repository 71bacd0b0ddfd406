"""The door of a venue that takes our own effects: demo exchange, paper venue, simulator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar, cast

from engine.domain.effects import (
    AnyEffect,
    AnyWalletEffect,
    CancelAll,
    CancelOrders,
    CancelScope,
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
    async def ask(self, effect: AnyEffect) -> tuple[VenueEvent, ...]:
        """Have the venue do or answer this. Raises as every call of `Venue`."""

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        numbers = tuple(named.order for named in orders)
        return await self.ask(CancelOrders(account=self._account, orders=numbers))

    async def cancel_all(self, scope: CancelScope) -> Sequence[VenueEvent]:
        return await self.ask(CancelAll(account=self._account, scope=scope))

    async def open_orders(self) -> OpenOrdersListed:
        return only(await self.ask(QueryOpenOrders(account=self._account)), OpenOrdersListed)

    async def order(self, named: Named) -> OrderReported | OrderNotFound:
        events = await self.ask(QueryOrder(account=self._account, order=named.order))
        if len(events) == 1 and isinstance(events[0], OrderNotFound):
            return events[0]
        return only(events, OrderReported)

    async def fills(self, since_ns: int) -> FillsListed:
        """Return all fills since a time. Raises BadInput where some are no longer kept."""
        events = await self.ask(QueryFills(account=self._account, since_ns=since_ns))
        if len(events) == 1 and isinstance(events[0], QueryFailed):
            raise BadInput(events[0].reason)
        return only(events, FillsListed)

    async def balances(self) -> BalancesListed:
        events = await self.ask(QueryBalances(account=self._account))
        return only(events[:1], BalancesListed)

    async def positions(self) -> PositionsListed:
        events = await self.ask(QueryBalances(account=self._account))
        return only(events[1:], PositionsListed)

    async def redemptions(self, since_ns: int) -> RedemptionsListed:
        asked = QueryRedemptions(account=self._account, since_ns=since_ns)
        return only(await self.ask(asked), RedemptionsListed)

    async def operate(self, asked: AnyWalletEffect, named: OnNamed) -> Sequence[VenueEvent]:
        """Submit an operation: its number is its name."""
        del named
        return await self.ask(asked)

    async def operation(self, asked: QueryOperation) -> Sequence[VenueEvent]:
        return await self.ask(asked)


def only(events: Sequence[VenueEvent], kind: type[T]) -> T:
    """Return the one event of an answer. Raises BadInput where it is another one, or more."""
    if len(events) == 1 and isinstance(events[0], kind):
        return cast("T", events[0])
    raise BadInput(f"the venue answered {events} instead of {kind.__name__}")
