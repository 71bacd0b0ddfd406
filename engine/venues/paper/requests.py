"""Requests that reached the venue: what each of them does there, and what it answers."""

from __future__ import annotations

from engine.domain.effects import (
    AnyEffect,
    CancelAll,
    CancelOrders,
    KeepBudget,
    KeepStart,
    OrderChanged,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    RaiseAlert,
    SetTimer,
)
from engine.domain.events import CancelRefused, OrderCancelled, VenueEvent
from engine.domain.instruments import AccountId
from engine.domain.orders import CancelReason, OrderId, OrderState
from engine.errors import BrokenInvariant
from engine.venues.paper import answers, rules
from engine.venues.paper.entry import PaperOrderEntry
from engine.venues.paper.matching import Matching

_DELAYED, _ASKED = OrderState.DELAYED, CancelReason.ASKED

ORDERS_OPEN_MAX = 10_000
"""With more open orders a place is throttled: refused untouched."""


class Requests:
    """Answers one effect at the venue, at its moment."""

    def __init__(self, floor: Matching, entry: PaperOrderEntry) -> None:
        self._floor = floor
        self._entry = entry

    def answer(self, effect: AnyEffect, now_ns: int) -> list[VenueEvent] | None:
        """Return what the effect proved; None = throttled, nothing happened.

        Raises BrokenInvariant for what is no request, or is of another account.
        """
        floor = self._floor
        if isinstance(effect, PlaceOrder):
            order = effect.order
            if order.account != floor.account:
                self._check(order.account)
            if len(floor.open) >= ORDERS_OPEN_MAX:
                return None
            return self._entry.place(order, now_ns)
        if isinstance(effect, CancelOrders):
            self._check(effect.account)
            return [self._cancel(order) for order in effect.orders]
        return self._answer_rare(effect)

    def _answer_rare(
        self,
        effect: CancelAll
        | QueryOrder
        | QueryOpenOrders
        | QueryFills
        | QueryBalances
        | SetTimer
        | KeepBudget
        | KeepStart
        | OrderChanged
        | RaiseAlert,
    ) -> list[VenueEvent]:
        floor = self._floor
        if isinstance(effect, SetTimer | KeepBudget | KeepStart | OrderChanged | RaiseAlert):
            raise BrokenInvariant(f"{type(effect).__name__} is not a request to a venue")
        self._check(effect.account)
        match effect:
            case CancelAll():
                return self._cancel_all(effect)
            case QueryOrder():
                return [answers.order(floor, effect.order)]
            case QueryOpenOrders():
                return [answers.open_orders(floor)]
            case QueryFills():
                return [answers.fills(floor, effect.since_ns)]
            case QueryBalances():
                return answers.balances(floor)

    def _check(self, account: AccountId) -> None:
        own = self._floor.account
        if account != own:
            raise BrokenInvariant(f"a request of {account} reached the paper venue of {own}")

    def _cancel(self, order: OrderId) -> OrderCancelled | CancelRefused:
        """Cancel what is open; refuse, with the venue's text, what ended, is held, or is unknown.

        An order that has not arrived yet is unknown: its place may still become live afterwards.
        """
        floor = self._floor
        resting = floor.open.get(order)
        if resting is not None and resting.state is not _DELAYED:
            return floor.cancel(resting, _ASKED)
        if resting is not None:
            text = rules.CANCEL_DELAYED
        elif order in floor.ended and floor.ended[order].state is OrderState.FILLED:
            text = rules.CANCEL_MATCHED
        else:
            text = rules.CANCEL_NOT_FOUND
        return CancelRefused(account=floor.account, order=order, venue_text=text)

    def _cancel_all(self, effect: CancelAll) -> list[VenueEvent]:
        """Cancel what is open in scope; held marketable orders are refused, one event each."""
        scope = effect.scope
        return [
            self._cancel(resting.order.id)
            for resting in list(self._floor.open.values())
            if scope.instrument in (None, resting.order.instrument)
            and scope.bot in (None, resting.order.bot)
        ]
