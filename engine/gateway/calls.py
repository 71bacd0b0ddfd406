"""Calls at a venue's door: what an answer, or an error, says about the world, as a `Reply`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.domain.effects import (
    CancelAll,
    CancelOrders,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
)
from engine.domain.events import (
    CancelUnanswered,
    Event,
    HealthChanged,
    ModeChanged,
    QueryFailed,
    VenueEvent,
    VenueMode,
)
from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, OrderId
from engine.errors import (
    AuthRefused,
    BadInput,
    BrokenInvariant,
    NotSent,
    OutcomeUnknown,
    PitbossError,
    Throttled,
    VenueClosed,
)
from engine.gateway.door import Named, Reply, Venue
from engine.gateway.safety import Query

T = TypeVar("T")

UNANSWERED = (NotSent, OutcomeUnknown, VenueClosed, AuthRefused, BadInput)
"""What a cancel or a question may fail with; anything else is our own bug."""

CANCEL_ALL_RETRY_NS = 1_000_000_000
"""When a CANCEL_ALL that failed is sent again; it is idempotent."""


class Calls:
    """Speaks to one venue for one account. Every call gives exactly one `Reply`."""

    def __init__(
        self,
        *,
        account: AccountId,
        venue: Venue,
        report: Callable[[Event], None],
        identity: Callable[[OrderId], Identity | None],
    ) -> None:
        self._account = account
        self._venue = venue
        self._report = report
        self._identity = identity

    async def speak(self, call: Awaitable[T]) -> T:
        """Await the venue. Whatever it did not name becomes OutcomeUnknown."""
        try:
            return await call
        except PitbossError:
            raise
        except Exception as error:
            # The one broad except of this room: the bytes may have left, so whatever the venue's
            # code did not name is an unknown outcome (architecture §9), never a crash of the rest.
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error

    async def cancel(self, number: int, effect: CancelOrders) -> Reply:
        """Cancel orders; without an answer each may be live or gone."""
        named = [self._named(order) for order in effect.orders]
        try:
            return Reply(number=number, events=tuple(await self.speak(self._venue.cancel(named))))
        except Throttled as error:
            return later(number, error)
        except UNANSWERED as error:
            unknown = [
                CancelUnanswered(account=self._account, order=order) for order in effect.orders
            ]
            return Reply(number=number, events=(*self.learn(error), *unknown))

    async def cancel_all(self, number: int, effect: CancelAll) -> Reply:
        """Cancel a scope; whatever fails is tried again by the core until it is answered."""
        try:
            events = tuple(await self.speak(self._venue.cancel_all(effect.scope)))
            return Reply(number=number, events=events)
        except Throttled as error:
            return later(number, error)
        except UNANSWERED as error:
            learned = self.learn(error)
            return Reply(number=number, events=learned, retry_after_ns=CANCEL_ALL_RETRY_NS)

    async def ask(self, number: int, effect: Query) -> Reply:
        """Ask a question; without an answer it failed, it is never answered empty."""
        try:
            return Reply(number=number, events=await self.speak(self._answers(effect)))
        except Throttled as error:
            return later(number, error)
        except UNANSWERED as error:
            failed = QueryFailed(
                account=self._account,
                question=type(effect).__name__,
                order=effect.order if isinstance(effect, QueryOrder) else None,
                reason=f"{type(error).__name__}: {error}",
            )
            return Reply(number=number, events=(*self.learn(error), failed))

    async def _answers(self, effect: Query) -> tuple[VenueEvent, ...]:
        venue = self._venue
        match effect:
            case QueryOrder():
                return (await venue.order(self._named(effect.order)),)
            case QueryOpenOrders():
                return (await venue.open_orders(),)
            case QueryFills():
                return (await venue.fills(effect.since_ns),)
            case QueryBalances():
                return (await venue.balances(), await venue.positions())

    def _named(self, order: OrderId) -> Named:
        identity = self._identity(order)
        if identity is None:
            raise BrokenInvariant(f"order {order} was never named: nothing of it can be at a venue")
        return Named(order=order, identity=identity)

    def learn(self, error: PitbossError) -> tuple[VenueEvent, ...]:
        """Turn what an error says about the venue or our credential into events."""
        account = self._account
        if isinstance(error, VenueClosed):
            known = error.mode in VenueMode.__members__.values()
            # A mode nobody named takes nothing, as far as we know.
            mode = VenueMode(error.mode) if known else VenueMode.DISABLED
            told = ModeChanged(account=account, mode=mode, retry_after_ns=error.retry_after_ns)
            return (told,)
        if isinstance(error, AuthRefused):
            self._report(
                HealthChanged(account=account, source="auth", healthy=False, reason=str(error))
            )
        return ()


def later(number: int, error: Throttled) -> Reply:
    """Say that the venue refused a request untouched."""
    return Reply(number=number, retry_after_ns=max(1, error.retry_after_ns))
