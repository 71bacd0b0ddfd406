"""The line between one life of an engine and the exchange, with everything that goes wrong on it.

To the driver it is a `VenueCore`: requests leave, replies and reports come out of `advance` when
they are due. Both ways have latencies of their own, so answers and reports race each other.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from heapq import heappop, heappush
from random import Random

from engine.domain.effects import CancelAll, CancelOrders, PlaceOrder, QueryOrder, RedeemTokens
from engine.domain.events import (
    CancelUnanswered,
    Event,
    ModeChanged,
    OperationMoved,
    OperationState,
    OrderCancelled,
    OrderFilled,
    OrderNotSent,
    OrderUnanswered,
    QueryFailed,
    TokensRedeemed,
    VenueEvent,
    VenueMode,
)
from engine.domain.instruments import AccountId
from engine.domain.orders import Order, OrderId
from engine.errors import StorageError, VenueClosed
from engine.gateway.door import Prepared, Reply, Request, VenueOutput
from engine.lab.simulate.disk import EngineDied, Journal
from engine.lab.simulate.faults import Fault, Faults
from engine.lab.simulate.venue_side import VenueSide

MS = 1_000_000
S = 1_000 * MS
RETRY_NS = 1 * S
"""As `engine.gateway.sender`: when a CANCEL_ALL that failed is sent again."""

IMPATIENT = (Fault.CLOCK_JUMP, Fault.CRASH, Fault.CRASH_SENDING, Fault.SECOND_ENGINE)

Later = Callable[[int, Callable[[], None]], None]


class Redeeming(StrEnum):
    """Steps of a redemption with which an engine may die."""

    ASKED = "asked"
    """Its name is durable, no byte has left."""
    SUBMITTED = "submitted"
    MINED = "mined"
    PAID = "paid"


class Network:
    """One life's connections. `offset_ns` is how far its clock is ahead of the world's."""

    def __init__(
        self,
        side: VenueSide,
        journal: Journal,
        *,
        faults: Faults,
        random: Random,
        later: Later,
        leaves: Callable[[Order], None],
    ) -> None:
        self.offset_ns = 0
        self.up = True
        """False once the engine is gone: nobody listens any more."""
        self.user_feed = False
        """True while the user stream is connected and delivers."""
        self.sending_dies = False
        """The next place dies between the journal's commit and the first byte."""
        self.redeeming_dies: Redeeming | None = None
        """The engine dies with this step of a redemption; None = with none."""
        self.hung = False
        """True while the process stands still: what it was about to send waits in it."""
        self._held: list[tuple[Request, Order]] = []
        self.veto: Callable[[Request, int], str] = lambda _, __: ""
        self._side = side
        self._journal = journal
        self._faults = faults
        self._random = random
        self._later = later
        self._leaves = leaves
        self._inbox: list[tuple[int, int, VenueOutput]] = []
        self._counter = 0
        self._acked: set[OrderId] = set()
        self._ended: set[OrderId] = set()

    # -- a VenueCore -------------------------------------------------------------------------------

    def account(self) -> AccountId:
        """Return the account this line serves."""
        return self._side.account

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise: the same order always gives the same identity and bytes."""
        return self._side.prepare(order)

    def hear(self, event: Event, now_ns: int) -> list[VenueOutput]:
        """Ignore market events: the exchange has a market of its own."""
        del event, now_ns
        return []

    @property
    def due_ns(self) -> int | None:
        """Return when something arrives here, by this engine's clock."""
        return self._inbox[0][0] + self.offset_ns if self._inbox else None

    def advance(self, now_ns: int) -> list[VenueOutput]:
        """Give what has arrived by now."""
        now_ns -= self.offset_ns
        arrived: list[VenueOutput] = []
        while self._inbox and self._inbox[0][0] <= now_ns:
            output = heappop(self._inbox)[2]
            self._observe(output)
            arrived.append(output)
        return arrived

    def request(self, request: Request, now_ns: int) -> list[VenueOutput]:
        """Take a request: a place waits for the journal, everything else leaves at once."""
        now_ns -= self.offset_ns
        effect = request.effect
        if isinstance(effect, RedeemTokens) and not self._secured(request, now_ns):
            return []
        if not isinstance(effect, PlaceOrder):
            self._depart(request, now_ns)
            return []
        try:
            self._journal.secure()
        except StorageError as error:
            self._not_sent(request, effect.order.id, f"the journal refused: {error}", now_ns)
            return []
        if self.sending_dies:
            self.sending_dies = False
            raise EngineDied
        pause_ns = self._random.choice((1, 1, 1, 5, 5, 40, 300)) * MS
        self._later(now_ns + pause_ns, lambda: self._place(request, effect.order))
        return []

    def _secured(self, request: Request, now_ns: int) -> bool:
        """Let a redemption leave only once its name is durable, as the sender does (law K)."""
        try:
            self._journal.secure()
        except StorageError:
            self._put(now_ns + MS, _unknown(request, self.account(), sent=False))
            return False
        self._step(Redeeming.ASKED)
        return True

    def _step(self, step: Redeeming) -> None:
        """Die with this step of a redemption, where that was wanted."""
        if self.redeeming_dies is step:
            self.redeeming_dies = None
            raise EngineDied

    # -- there -------------------------------------------------------------------------------------

    def _place(self, request: Request, order: Order) -> None:
        """Let a place leave once the journal is durable, unless it was overtaken meanwhile."""
        if not self.up:
            return
        now_ns = self._now()
        if self.hung:
            self._held.append((request, order))
            return
        veto = self.veto(request, now_ns + self.offset_ns)
        if veto:
            self._not_sent(request, order.id, veto, now_ns)
            return
        self._leaves(order)
        self._depart(request, now_ns)

    def wake(self) -> None:
        """Let the process go on exactly where it stood."""
        self.hung, held, self._held = False, self._held, []
        for request, order in held:
            self._place(request, order)

    def _now(self) -> int:
        return self._side.exchange.now_ns

    def _depart(self, request: Request, now_ns: int) -> None:
        faults, random = self._faults, self._random
        effect = request.effect
        if faults.hit(Fault.REFUSED_LINE):
            self._put(now_ns + MS, _unknown(request, self.account(), sent=False))
            return
        trip_ns = random.randint(5, 60) * MS
        if faults.hit(Fault.THROTTLED):
            wait_ns = random.choice((200, 1_000, 3_000)) * MS
            throttled = Reply(number=request.number, retry_after_ns=wait_ns)
            self._put(now_ns + 2 * trip_ns, throttled)
            return
        if isinstance(effect, PlaceOrder):
            self._side.waiting.pop(effect.order.id, None)
        if faults.hit(Fault.LOST_BEFORE):
            return
        if faults.hit(Fault.LATE_REQUEST):
            # After a leap of the clock or a restart an engine's patience is its grace period alone.
            most = 4_500 if any(faults.rate(fault) for fault in IMPATIENT) else 8_000
            trip_ns += random.randint(500, most) * MS
        if isinstance(effect, PlaceOrder):
            self._side.flying[effect.order.id] = effect.order
        self._later(now_ns + trip_ns, lambda: self._arrive(request))

    def _arrive(self, request: Request) -> None:
        """Do the request at the exchange and send the answer back, if the line lets it."""
        faults, now_ns, effect = self._faults, self._now(), request.effect
        if isinstance(effect, PlaceOrder):
            self._side.flying.pop(effect.order.id, None)
        elif not isinstance(effect, CancelOrders | CancelAll) and faults.hit(Fault.QUESTION_FAILED):
            self._back(_unknown(request, self.account(), sent=True), now_ns)
            return
        broken = faults.hit(Fault.BROKEN)
        if broken and self._random.random() < 0.5:
            self._back(_unknown(request, self.account(), sent=True), now_ns)
            return
        try:
            reply = Reply(number=request.number, events=tuple(self._side.do(effect, now_ns)))
        except VenueClosed as closed:
            mode = ModeChanged(account=self.account(), mode=VenueMode(closed.mode))
            reply = Reply(number=request.number, events=(mode,), retry_after_ns=RETRY_NS)
        self._back(_unknown(request, self.account(), sent=True) if broken else reply, now_ns)

    # -- and back ----------------------------------------------------------------------------------

    def _back(self, reply: Reply, now_ns: int) -> None:
        faults, random = self._faults, self._random
        if not self.up or faults.hit(Fault.LOST_AFTER):
            return
        at_ns = now_ns + random.randint(5, 120) * MS
        if faults.hit(Fault.LATE_ANSWER):
            at_ns += random.randint(5_100, 20_000) * MS
        elif faults.hit(Fault.REORDERED):
            at_ns += random.randint(50, 900) * MS
        self._put(at_ns, reply)
        if faults.hit(Fault.TWICE):
            self._put(at_ns + random.randint(1, 2_000) * MS, reply)

    def report(self, event: VenueEvent, now_ns: int) -> None:
        """Take what the exchange tells by itself to the engine, if its user stream delivers."""
        faults, random = self._faults, self._random
        if not self.up or not self.user_feed:
            return
        if not isinstance(event, ModeChanged) and faults.hit(Fault.REPORT_LOST):
            return
        at_ns = now_ns + random.randint(3, 90) * MS
        if faults.hit(Fault.REPORT_LATE):
            at_ns += random.randint(200, 6_000) * MS
        self._put(at_ns, event)
        if faults.hit(Fault.REPORT_TWICE):
            self._put(at_ns + random.randint(1, 4_000) * MS, event)

    def _put(self, at_ns: int, output: VenueOutput) -> None:
        self._counter += 1
        heappush(self._inbox, (at_ns, self._counter, output))

    def _not_sent(self, request: Request, order: OrderId, reason: str, now_ns: int) -> None:
        event = OrderNotSent(account=self.account(), order=order, reason=reason)
        self._put(now_ns + MS, Reply(number=request.number, events=(event,)))

    def _observe(self, output: VenueOutput) -> None:
        """Count what nobody injected: the races."""
        if isinstance(output, OrderFilled):
            if output.order not in self._acked:
                self._faults.seen("fill_before_answer")
            if output.order in self._ended:
                self._faults.seen("fill_after_cancel")
            return
        for event in output.events if isinstance(output, Reply) else (output,):
            if isinstance(event, OperationMoved | TokensRedeemed):
                self._step(_step_of(event))
            if isinstance(event, OrderCancelled):
                self._ended.add(event.order)
            order = getattr(event, "order", None)
            if order is not None:
                self._acked.add(order)


def _step_of(event: OperationMoved | TokensRedeemed) -> Redeeming:
    if isinstance(event, TokensRedeemed):
        return Redeeming.PAID
    mined = event.state is OperationState.MINED
    return Redeeming.MINED if mined else Redeeming.SUBMITTED


def _unknown(request: Request, account: AccountId, *, sent: bool) -> Reply:
    """Return what the gateway's calls make of an error: nothing is known of what was asked."""
    effect, number = request.effect, request.number
    reason = "HTTP 500" if sent else "connection refused"
    if isinstance(effect, CancelAll):
        return Reply(number=number, retry_after_ns=RETRY_NS)
    events: tuple[VenueEvent, ...]
    if isinstance(effect, PlaceOrder):
        order = effect.order
        kind = OrderUnanswered if sent else OrderNotSent
        events = (kind(account=account, order=order.id, reason=reason),)
    elif isinstance(effect, CancelOrders):
        events = tuple(CancelUnanswered(account=account, order=order) for order in effect.orders)
    else:
        events = (
            QueryFailed(
                account=account,
                question=type(effect).__name__,
                order=effect.order if isinstance(effect, QueryOrder) else None,
                reason=reason,
            ),
        )
    return Reply(number=number, events=events)
