"""The venue's door: what every venue takes, gives and can, and what only some can.

Two shapes of the same door. `Venue` is what the live gateway awaits: each call either returns what
the answer proved, as events, or raises one of NotSent, OutcomeUnknown, Throttled, VenueClosed,
AuthRefused. What only some venues can is a protocol of its own (`HasOperations`), which the gateway
asks for once. `VenueCore` is the sans-I/O form of a venue we simulate ourselves (paper, demo): time
arrives with each call, answers that take time are handed out by `advance`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from engine.domain import events as ev
from engine.domain.effects import AnyEffect, AnyWalletEffect, CancelScope, QueryOperation
from engine.domain.instruments import AccountId, BotId
from engine.domain.orders import Identity, OperationName, Order, OrderId


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An order with its identity and the exact bytes that will be sent."""

    order: Order
    identity: Identity
    payload: bytes


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An order of ours by both of its names."""

    order: OrderId
    identity: Identity
    bot: BotId = BotId("")
    """Whose it is; empty = whoever names it does not say."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request the gateway has decided to send now. `number` pairs it with its Reply."""

    number: int
    effect: AnyEffect


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The request with this number is over: answered, failed or timed out.

    `retry_after_ns` > 0 = the venue throttled it and had no effect; `events` are what it proved.
    """

    number: int
    events: tuple[ev.VenueEvent, ...] = ()
    retry_after_ns: int = 0


OnNamed = Callable[[OperationName], Awaitable[None]]
"""Keeps an operation's name on the disk. Raises NotSent where it must not leave any more."""

VenueOutput = ev.Event | Reply
"""What a simulated venue hands out: replies to requests, and events without a request."""


class Venue(Protocol):
    """A venue as the live gateway sees it. Every method but `prepare` does I/O."""

    def prepare(self, order: Order) -> Prepared:
        """Name, sign and serialise, with salt = f(account, seq): same order, same identity."""
        ...

    async def send(self, prepared: Prepared) -> Sequence[ev.VenueEvent]:
        """Send exactly these bytes, once."""
        ...

    async def cancel(self, orders: Sequence[Named]) -> Sequence[ev.VenueEvent]:
        """Cancel these orders; a reply is not proof that nothing filled."""
        ...

    async def cancel_all(self, scope: CancelScope) -> Sequence[ev.VenueEvent]: ...

    async def open_orders(self) -> ev.OpenOrdersListed:
        """Return every open order, all pages, or raise. Never a part, never empty on failure."""
        ...

    async def order(self, named: Named) -> ev.OrderReported | ev.OrderNotFound: ...

    async def fills(self, since_ns: int) -> ev.FillsListed:
        """Return all fills since a time, or raise."""
        ...

    async def balances(self) -> ev.BalancesListed:
        """Return spendable cash, or raise."""
        ...

    async def positions(self) -> ev.PositionsListed:
        """Return settled holdings, or raise."""
        ...


@runtime_checkable
class HasOperations(Protocol):
    """A venue at which a wallet redeems, merges and splits; any other one has no such past."""

    async def redemptions(self, since_ns: int) -> ev.RedemptionsListed:
        """Return every payment, split and merge of the wallet since a time, or raise."""
        ...

    async def operate(self, asked: AnyWalletEffect, named: OnNamed) -> Sequence[ev.VenueEvent]:
        """Have the wallet do something. The journal has `asked` before this is called.

        Awaits `named` with the name it will be found by, where it needs one, before anything can
        take effect. What moves is reported on its own. Raises OutcomeUnknown where it may have been
        taken: it is then asked about, never asked for again blindly. Any other error of the door
        means that nothing has left and nothing will.
        """
        ...

    async def operation(self, asked: QueryOperation) -> Sequence[ev.VenueEvent]:
        """Return what became of an operation: how far it is, or that it is not known here.

        Nothing = it cannot be said yet. Raises where the question is not answered.
        """
        ...


class VenueCore(Protocol):
    """A simulated venue without I/O. Deterministic in its inputs."""

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise, as in `Venue`."""
        ...

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        """Take a request of the gateway; give what is answered at once (usually nothing).

        Every request is answered by exactly one `Reply` with its number, now or from `advance`.
        """
        ...

    def receive(self, event: ev.Event, now_ns: int) -> list[VenueOutput]:
        """Take a market event (paper: the feed it wraps); give what it caused at once."""
        ...

    def changed(self, event: ev.BookChanged, now_ns: int) -> None:
        """Take level changes, the most frequent event, before which nothing is due.

        They cause nothing at once and make nothing due.
        """
        ...

    @property
    def due_ns(self) -> int | None:
        """Return when `advance` has something to say; None = nothing is under way."""
        ...

    def advance(self, now_ns: int) -> list[VenueOutput]:
        """Let time pass; give what has become due, in order."""
        ...

    def account(self) -> AccountId: ...
