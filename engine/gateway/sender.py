"""The sender: the asyncio shell that carries the core's requests to a venue's door.

Takes messages for one account and gives every event to `report`: it names an order, waits until the
journal is durable, asks the core once more, sends. Cancels and questions never wait for storage.
Nothing is retried here: what is sent when, and again, the core decides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import UNSET

from engine.clock import Clock
from engine.domain.effects import (
    AnyWalletEffect,
    CancelAll,
    CancelOrders,
    PlaceOrder,
    QueryBalances,
    QueryFills,
    QueryOpenOrders,
    QueryOperation,
    QueryOrder,
    QueryRedemptions,
    RaiseAlert,
)
from engine.domain.events import (
    CancelUnanswered,
    Event,
    HealthChanged,
    ModeChanged,
    OperationMoved,
    OperationNamed,
    OperationNotFound,
    OperationState,
    OperationUnanswered,
    OrderNamed,
    OrderNotSent,
    OrderUnanswered,
    QueryFailed,
    RedemptionsListed,
    VenueEvent,
    VenueMode,
)
from engine.domain.instruments import AccountId
from engine.domain.orders import Identity, OperationName, Order, OrderId
from engine.errors import (
    AuthRefused,
    BadInput,
    BrokenInvariant,
    NotSent,
    OutcomeUnknown,
    PitbossError,
    StorageError,
    Throttled,
    VenueClosed,
    VenueDown,
)
from engine.gateway.core import PLACE_WAIT_NS_MAX, GatewayCore, GatewayMessage
from engine.gateway.door import HasOperations, Named, OnNamed, Prepared, Reply, Request, Venue
from engine.gateway.lanes import Query

# -- Calls at a venue's door: what an answer, or an error, says about the world, as a `Reply` ------

T = TypeVar("T")

UNANSWERED = (NotSent, OutcomeUnknown, VenueClosed, AuthRefused, BadInput)
"""What a cancel or a question may fail with; anything else is our own bug."""

CANCEL_ALL_RETRY_NS = 1_000_000_000
"""When a CANCEL_ALL that failed is sent again; it is idempotent."""


CLOSED_NS_MAX = 60_000_000_000
"""The longest wait taken from a venue that refuses a place for its rate, or that is down."""

DOWN_NS = 5_000_000_000
"""How long nothing is placed after a page in place of an answer that named no time."""

REASON_MAX = 200


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
        self._operations = venue if isinstance(venue, HasOperations) else None
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
        """Cancel orders; without an answer each may be live or gone.

        One without a name cannot be cancelled by name, and must not keep the others from it.
        """
        names = {order: self._identity(order) for order in effect.orders}
        named = [Named(order=order, identity=name) for order, name in names.items() if name]
        unknown = [order for order, name in names.items() if not name]
        events: tuple[VenueEvent, ...] = ()
        try:
            if named:
                events = tuple(await self.speak(self._venue.cancel(named)))
        except Throttled as error:
            return later(number, error)
        except UNANSWERED as error:
            events, unknown = self.learn(error), list(effect.orders)
        unanswered = [CancelUnanswered(account=self._account, order=order) for order in unknown]
        return Reply(number=number, events=(*events, *unanswered))

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
            case QueryRedemptions() | QueryOperation():
                return tuple(await self._of_operations(effect))
        raise BrokenInvariant(f"{type(effect).__name__} is no question")

    async def _of_operations(
        self, effect: QueryRedemptions | QueryOperation
    ) -> Sequence[VenueEvent]:
        """Ask what the wallet's operations did; a venue that has none never did one."""
        operations, account = self._operations, self._account
        if isinstance(effect, QueryOperation):
            if operations is None:
                return (OperationNotFound(account=account, operation=effect.operation),)
            return await operations.operation(effect)
        if operations is None:
            none = RedemptionsListed(account=account, since_ns=effect.since_ns, redemptions=())
            return (none,)
        return (await operations.redemptions(effect.since_ns),)

    async def operate(self, effect: AnyWalletEffect, named: OnNamed) -> Sequence[VenueEvent]:
        """Have the wallet do something. Raises NotSent at a venue that has no operations."""
        if self._operations is None:
            raise NotSent("this venue has no wallet that redeems, merges or splits")
        return await self.speak(self._operations.operate(effect, named))

    def _named(self, order: OrderId) -> Named:
        identity = self._identity(order)
        if identity is None:
            # Its name went with a lost end of the journal: a listing that has it gives it back.
            raise BadInput(f"order {order} has no name: nothing can ask its venue about it")
        return Named(order=order, identity=identity)

    def learn(self, error: PitbossError) -> tuple[VenueEvent, ...]:
        """Turn what an error says about the venue or our credential into events."""
        account = self._account
        if isinstance(error, VenueClosed):
            known = error.mode in VenueMode.__members__.values()
            # A mode that is not named takes nothing, as far as we know.
            mode = VenueMode(error.mode) if known else VenueMode.DISABLED
            return (self._closed(mode, error.retry_after_ns, error),)
        if isinstance(error, AuthRefused):
            self._report(
                HealthChanged(account=account, source="auth", healthy=False, reason=str(error))
            )
        return ()

    def place_held(self, error: Throttled | VenueDown) -> tuple[VenueEvent, ...]:
        """Say that no place may leave for a while: the venue asked for it, or is not there.

        Cancels and questions go on; a place knocks again when the wait is over, or its bound.
        """
        wait_ns = max(1, min(error.retry_after_ns or DOWN_NS, CLOSED_NS_MAX))
        return (self._closed(VenueMode.CANCEL_ONLY, wait_ns, error),)

    def _closed(self, mode: VenueMode, wait_ns: int, error: PitbossError) -> ModeChanged:
        reason = str(error)[:REASON_MAX]
        return ModeChanged(
            account=self._account, mode=mode, retry_after_ns=wait_ns, reason=reason or UNSET
        )


def later(number: int, error: Throttled) -> Reply:
    """Say that the venue refused a request untouched."""
    return Reply(number=number, retry_after_ns=max(1, error.retry_after_ns))


# -- The sender: the asyncio shell that carries the core's requests to a venue's door --------------

UNPREPARED = (BadInput, NotSent, AuthRefused)
"""Why an order could not be prepared."""

DAYS_S_MAX = 30 * 86_400
"""Longer than this no wait is named."""

TASKS_MAX = 1_000
"""Requests under way, hung ones included; beyond it nothing is placed any more."""


class Sender:
    """Carries one account's requests. Call `take` with messages, `advance` when `due_ns` comes.

    `report` journals an event (without waiting) and delivers it; `durable` returns when everything
    reported so far is on the disk; `crash` receives what must not be survived.
    """

    def __init__(
        self,
        *,
        core: GatewayCore,
        venue: Venue,
        clock: Clock,
        report: Callable[[Event], None],
        durable: Callable[[], Awaitable[object]],
        alert: Callable[[RaiseAlert], None],
        identity: Callable[[OrderId], Identity | None],
        crash: Callable[[BaseException], None],
        answered: Callable[[int, int], None] = lambda _took_ns, _now_ns: None,
    ) -> None:
        self._core = core
        self._answered = answered
        self._venue = venue
        self._clock = clock
        self._report = report
        self._durable = durable
        self._alert = alert
        self._calls = Calls(account=core.account, venue=venue, report=report, identity=identity)
        self._crash = crash
        self._prepared: dict[OrderId, Prepared] = {}
        self._operating: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # -- the driver's side -------------------------------------------------------------------------

    def name(self, order: Order) -> Identity | None:
        """Prepare an order, so that the journal has it under its name; None = it cannot be.

        Call it before `take`, which says why an order without a name does not leave.
        """
        try:
            prepared = self._prepared[order.id] = self._venue.prepare(order)
        except UNPREPARED:
            return None
        return prepared.identity

    def forget(self, order: OrderId) -> None:
        """Drop what was prepared of an order that is not to leave."""
        self._prepared.pop(order, None)

    def take(self, message: GatewayMessage) -> None:
        """Take an effect, the latch or the venue's mode; requests leave as tasks of the loop.

        Once it is closed nothing leaves: a place is reported as not sent.
        """
        if not self._closed:
            self._start(self._core.receive(message, self._clock.now_ns()))
        elif isinstance(message, PlaceOrder):
            self._never(message.order.id)

    def advance(self) -> None:
        if not self._closed:
            self._start(self._core.advance(self._clock.now_ns()))

    @property
    def due_ns(self) -> int | None:
        """When `advance` must be called; None = nothing waits for time."""
        return None if self._closed else self._core.due_ns

    @property
    def under_way(self) -> int:
        return len(self._tasks)

    async def drain(self) -> None:
        """Wait until no request is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cut what is under way; from now on nothing leaves, whatever waits or comes.

        A place whose bytes may have left is reported as unanswered, any other one as not sent.
        """
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await self.drain()
        for order in list(self._prepared):
            self._never(order)

    def _never(self, order: OrderId) -> None:
        """Report an order that will not leave any more."""
        self.forget(order)
        reason = "the engine closed before it was sent"
        self._report(OrderNotSent(account=self._core.account, order=order, reason=reason))

    # -- from the core to the door -----------------------------------------------------------------

    def _start(self, requests: list[Request]) -> None:
        """Start requests in order, and what their immediate ends free."""
        self._publish()
        waiting = deque(() if self._closed else requests)
        while waiting:
            request = waiting.popleft()
            refused = self._name(request)
            if refused is not None:
                waiting.extend(self._over(refused))
                continue
            task = asyncio.get_running_loop().create_task(self._carry(request))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _publish(self) -> None:
        for event in self._core.take_reports():
            if isinstance(event, OrderNotSent | OrderUnanswered):
                self.forget(event.order)
            self._report(event)
        for alert in self._core.take_alerts():
            self._alert(alert)

    def _over(self, reply: Reply) -> list[Request]:
        """Report what a reply proved; return what the core sends because of it."""
        for event in self._core.answers(reply):
            self._report(event)
        requests = self._core.over(reply, self._clock.now_ns())
        self._publish()
        return requests

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._crash(error)

    async def _carry(self, request: Request) -> None:
        """Do one request and tell the core how it ended."""
        effect = request.effect
        if isinstance(effect, PlaceOrder):
            reply = await self._place(request, effect)
        elif isinstance(effect, CancelOrders):
            reply = await self._calls.cancel(request.number, effect)
        elif isinstance(effect, CancelAll):
            reply = await self._calls.cancel_all(request.number, effect)
        elif isinstance(effect, AnyWalletEffect):
            reply = await self._operate(request, effect)
        elif isinstance(effect, QueryOperation) and effect.operation in self._operating:
            reply = Reply(number=request.number)  # who carries it is the one to say
        else:
            reply = await self._calls.ask(request.number, effect)  # type: ignore[arg-type]
        self._start(self._over(reply))

    async def _operate(self, request: Request, effect: AnyWalletEffect) -> Reply:
        """Have the wallet do something; like an order it has its name on the disk first (law K)."""
        account, number = effect.account, effect.operation

        async def written() -> None:
            await self._durable()
            if veto := self._core.veto(request, self._clock.now_ns()):
                raise NotSent(veto)

        async def named(name: OperationName) -> None:
            self._report(OperationNamed(account=account, operation=number, name=name))
            await written()

        events: tuple[VenueEvent, ...]
        self._operating.add(number)
        try:
            await written()
            events = tuple(await self._calls.operate(effect, named))
        except (OutcomeUnknown, BadInput) as error:  # an unreadable answer is none
            events = (OperationUnanswered(account=account, operation=number, reason=str(error)),)
        except (NotSent, Throttled, VenueClosed, AuthRefused, StorageError) as error:
            state = OperationState.FAILED
            failed = OperationMoved(
                account=account, operation=number, state=state, reason=str(error)
            )
            events = (failed,)
        finally:
            self._operating.discard(number)
        return Reply(number=request.number, events=events)

    # -- places ------------------------------------------------------------------------------------

    def _name(self, request: Request) -> Reply | None:
        """See that an order has a name before it leaves; a reply = it cannot be sent.

        One that was throttled keeps its name and bytes: it was journaled, nothing lives.
        """
        if not isinstance(request.effect, PlaceOrder):
            return None
        order = request.effect.order
        if len(self._tasks) >= TASKS_MAX:
            return self._not_sent(request, order.id, f"{TASKS_MAX} requests are under way")
        if order.id in self._prepared:
            return None
        try:
            prepared = self._venue.prepare(order)
        except UNPREPARED as error:
            return self._not_sent(request, order.id, f"it could not be prepared: {error}")
        self._prepared[order.id] = prepared
        self._report(OrderNamed(account=order.account, order=order.id, identity=prepared.identity))
        return None

    async def _place(self, request: Request, effect: PlaceOrder) -> Reply:
        order = effect.order.id
        account = self._core.account
        try:
            await self._durable()
        except StorageError as error:
            return self._not_sent(request, order, f"the journal refused: {error}")
        veto = self._core.veto(request, self._clock.now_ns())
        if veto:
            return self._not_sent(request, order, veto)
        left_ns = self._clock.now_ns()
        try:
            events = tuple(await self._calls.speak(self._venue.send(self._prepared[order])))
            now_ns = self._clock.now_ns()
            self._answered(now_ns - left_ns, now_ns)
        except Throttled as error:
            if error.retry_after_ns <= PLACE_WAIT_NS_MAX:
                return later(request.number, error)
            # Its price would be of another time: the executor plans anew when the wait is over.
            asked_s = min(error.retry_after_ns // 1_000_000_000, DAYS_S_MAX)
            text = f"the venue asks to wait for {asked_s} s: {error}"
            held = self._calls.place_held(Throttled(text, error.retry_after_ns))
            return self._not_sent(request, order, text, held)
        except (NotSent, VenueClosed, AuthRefused) as error:
            learned = self._calls.learn(error)
            return self._not_sent(request, order, str(error), learned)
        except (OutcomeUnknown, BadInput) as error:  # an unreadable answer is none
            now_ns = self._clock.now_ns()
            self._answered(now_ns - left_ns, now_ns)  # no answer was given within this time
            held = self._calls.place_held(error) if isinstance(error, VenueDown) else ()
            events = (OrderUnanswered(account=account, order=order, reason=str(error)), *held)
        except (asyncio.CancelledError, PitbossError):
            # The loop ends or our code is wrong; whether the order lives is unknown either way.
            self.forget(order)
            self._report(OrderUnanswered(account=account, order=order, reason="cut off"))
            raise
        self.forget(order)
        return Reply(number=request.number, events=events)

    def _not_sent(
        self, request: Request, order: OrderId, reason: str, learned: tuple[VenueEvent, ...] = ()
    ) -> Reply:
        self.forget(order)
        event = OrderNotSent(account=self._core.account, order=order, reason=reason)
        return Reply(number=request.number, events=(*learned, event))
