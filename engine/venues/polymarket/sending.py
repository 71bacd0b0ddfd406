"""Places on their way: paced, sent once, judged; what they say of the venue's door is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.domain.events import VenueEvent, VenueMode
from engine.domain.instruments import AccountId
from engine.errors import Throttled, VenueClosed
from engine.venues.door import Lane, Named, Prepared
from engine.venues.polymarket import outcomes
from engine.venues.polymarket.closing import Closing
from engine.venues.polymarket.outcomes import Refusal
from engine.venues.polymarket.pace import Pace
from engine.venues.polymarket.sdk import Rate, Wire

PATH = "/order"


class Places:
    """One account's places."""

    def __init__(self, account: AccountId, wire: Wire, now_ns: Callable[[], int]) -> None:
        self._account = account
        self._wire = wire
        self._now_ns = now_ns
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
        order = prepared.order
        try:
            body = await self._wire.post(PATH, prepared.payload, lane=Lane.PLACES)
        except Refusal as refusal:
            return (self._refused(prepared, refusal),)
        named = Named(order=order.id, identity=prepared.identity)
        events = outcomes.placed(self._account, named, body)
        self.closing.passed(post_only=order.post_only)
        return events

    def _refused(self, prepared: Prepared, refusal: Refusal) -> VenueEvent:
        try:
            event = outcomes.place_refused(self._account, prepared.order.id, refusal)
        except VenueClosed as closed:
            self.closing.shut(VenueMode(closed.mode), refusal.retry_after_ns, self._now_ns())
            raise
        self.closing.passed(post_only=prepared.order.post_only)
        return event

    def _rated(self, lane: Lane, rate: Rate) -> None:
        if lane is Lane.PLACES:
            self.pace.hear(
                self._now_ns(), tier=rate.tier, remaining=rate.remaining, warned=rate.warning
            )
