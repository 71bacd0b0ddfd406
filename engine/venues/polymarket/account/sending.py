"""Places on their way: paced, sent once, judged; what they say of the venue's door is kept.

What is asked for in the same turn of the loop leaves together, fifteen to a request at most, and
each order is judged by its own line of the answer. Where the answer as a whole says too little,
every order of it is unknown: the venue takes such a batch in parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.domain.events import VenueEvent, VenueMode
from engine.domain.instruments import AccountId
from engine.errors import OutcomeUnknown, PitbossError, Throttled, VenueClosed
from engine.gateway.door import Lane, Named, Prepared
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.closing import Closing
from engine.venues.polymarket.account.outcomes import VenueRefusal
from engine.venues.polymarket.account.pace import Pace
from engine.venues.polymarket.account.sdk import Rate, Wire

PATH = "/order"
BATCH_PATH = "/orders"
BATCH_MAX = 15
"""Most orders the venue takes in one request."""

Told = asyncio.Future[Sequence[VenueEvent]]


class Places:
    """One account's places."""

    def __init__(self, account: AccountId, wire: Wire, now_ns: Callable[[], int]) -> None:
        self._account = account
        self._wire = wire
        self._now_ns = now_ns
        self._ready: list[tuple[Prepared, Told]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self.pace = Pace(now_ns())
        self.closing = Closing()
        wire.on_rate = self._rated

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        """Send exactly these bytes, once. Raises what `outcomes.placed` and a refusal raise.

        Throttled too where our own pace forbids it yet: nothing has left then.
        """
        wait_ns = self.pace.take(self._now_ns())
        if wait_ns:
            raise Throttled(f"our share of the {self.pace.tier} tier is used up", wait_ns)
        loop = asyncio.get_running_loop()
        told: Told = loop.create_future()
        self._ready.append((prepared, told))
        if len(self._ready) == 1:
            loop.call_soon(self._leave)
        return await told

    def _leave(self) -> None:
        """Let go what has gathered; one that was given up meanwhile stays here."""
        ready = [one for one in self._ready if not one[1].done()]
        self._ready.clear()
        for start in range(0, len(ready), BATCH_MAX):
            part = ready[start : start + BATCH_MAX]
            # A task of its own: who gives up waiting must not cut off the others' request.
            task = asyncio.get_running_loop().create_task(self._go(part))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _go(self, part: Sequence[tuple[Prepared, Told]]) -> None:
        orders = [prepared for prepared, _ in part]
        try:
            lines = await self._lines(orders)
        except (VenueRefusal, PitbossError) as error:
            judge = self._refused if len(part) == 1 else self._refused_together
            for prepared, told in part:
                self._tell(told, judge, prepared, error)
            return
        for (prepared, told), line in zip(part, lines, strict=True):
            self._tell(told, self._answered, prepared, line)

    async def _lines(self, orders: Sequence[Prepared]) -> Sequence[object]:
        """Return the answer to each order. Raises OutcomeUnknown where it cannot be told apart."""
        if len(orders) == 1:
            return [await self._wire.post(PATH, orders[0].payload, lane=Lane.PLACES)]
        body = b"[" + b",".join(prepared.payload for prepared in orders) + b"]"
        said = await self._wire.post(BATCH_PATH, body, lane=Lane.PLACES)
        if not isinstance(said, list) or len(said) != len(orders):
            raise OutcomeUnknown(f"the answer to {len(orders)} orders is not as many lines")
        return said

    @staticmethod
    def _tell(
        told: Told,
        judge: Callable[[Prepared, object], Sequence[VenueEvent]],
        prepared: Prepared,
        said: object,
    ) -> None:
        try:
            events = judge(prepared, said)
        except PitbossError as error:
            if not told.done():
                told.set_exception(error)
            return
        if not told.done():
            told.set_result(events)

    def _answered(self, prepared: Prepared, line: object) -> Sequence[VenueEvent]:
        order = prepared.order
        named = Named(order=order.id, identity=prepared.identity)
        events = outcomes.placed(self._account, named, line)
        self.closing.passed(post_only=order.post_only)
        return events

    def _refused(self, prepared: Prepared, error: object) -> Sequence[VenueEvent]:
        if not isinstance(error, VenueRefusal):
            assert isinstance(error, PitbossError)
            raise error
        try:
            event = outcomes.place_refused(self._account, prepared.order.id, error)
        except VenueClosed as closed:
            self.closing.shut(VenueMode(closed.mode), error.retry_after_ns, self._now_ns())
            raise
        self.closing.passed(post_only=prepared.order.post_only)
        return (event,)

    def _refused_together(self, prepared: Prepared, error: object) -> Sequence[VenueEvent]:
        """Judge an order of a batch refused as a whole: which one was meant is not said."""
        (event,) = self._refused(prepared, error)
        raise OutcomeUnknown(f"a batch with order {prepared.order.id} was refused: {event}")

    def _rated(self, lane: Lane, rate: Rate) -> None:
        if lane is Lane.PLACES:
            self.pace.hear(
                self._now_ns(), tier=rate.tier, remaining=rate.remaining, warned=rate.warning
            )
