"""A live account's heartbeat: what must be proven for a beat, and what is reported of it.

The venue cancels everything of the key ten silent seconds after the first beat, orders placed by
hand with the same key included. The dashboard counts down from the row kept here, an engine that
is gone included.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.domain.effects import alarm
from engine.domain.events import HealthChanged
from engine.errors import PitbossError
from engine.runtime.account_runner import AccountRunner
from engine.runtime.services import HEARTBEAT, Services, VenueHeartbeat
from engine.venues.polymarket.account.door import PolymarketDoor
from engine.venues.polymarket.account.heartbeat_chain import SecondWriter
from engine.venues.polymarket.account.user_stream import PolymarketUser

if TYPE_CHECKING:
    from engine.venues.polymarket.account.venue import PolymarketVenue

# -- The heartbeat without its wire: when a beat is sent, which id it bears, who else beats --------
# A beat tells the venue that this engine watches its orders, so it is sent only while everything
# that watches them is proven to work. When that ends, quoting stops first: at once where we know
# why, and before the venue's own limit where beats stay unanswered. Reference of the trading API,
# §5.6: ten silent seconds cancel everything of the key, looked for every five; there is no
# disarming. Pure.

S = 1_000_000_000
HEARTBEAT_EVERY_NS = 5 * S
RETRY_NS = 1 * S
"""After a beat that failed: three more fit into the time the venue grants."""
QUOTES_STOP_NS = 8 * S
"""A valid beat older than this and nothing is quoted any more."""
LAPSES_NS = 10 * S
CHECK_EVERY_NS = 5 * S


class HealthLease:
    """One API key's lease. Times are when a beat was sent: the venue had it no earlier."""

    __slots__ = ("armed_ns", "ended", "last_ns", "next_ns", "why")

    def __init__(self) -> None:
        self.why = "nothing is proven yet"
        """Why no beat is sent; empty = everything is proven."""
        self.ended = ""
        """Why none will be sent any more: a person must act."""
        self.armed_ns: int | None = None
        self.last_ns: int | None = None
        """When the last beat was sent that the venue took; None = none was."""
        self.next_ns = 0

    def look(self, why: str) -> None:
        """Take what is not proven at this moment; empty = everything is."""
        self.why = why

    def end(self, why: str) -> None:
        """Beat no more."""
        self.ended = why

    def due(self, now_ns: int) -> bool:
        """Say whether a beat is to be sent now."""
        return not self.why and not self.ended and now_ns >= self.next_ns

    def renew(self, sent_ns: int) -> None:
        """Know that the venue took the beat sent at a time."""
        if self.armed_ns is None:
            self.armed_ns = sent_ns
        self.last_ns = sent_ns
        self.next_ns = sent_ns + HEARTBEAT_EVERY_NS

    def missed(self, now_ns: int) -> None:
        """Know that a beat stayed without a good answer."""
        self.next_ns = now_ns + RETRY_NS

    def forbids(self, now_ns: int) -> str:
        """Return why nothing may be quoted; empty = it may."""
        if self.ended:
            return self.ended
        if self.why:
            return f"no heartbeat is sent: {self.why}"
        if self.last_ns is None:
            return "the venue has accepted no heartbeat yet"
        silent_ns = now_ns - self.last_ns
        if silent_ns > QUOTES_STOP_NS:
            return f"the venue has accepted no heartbeat for over {QUOTES_STOP_NS / S:.0f} s"
        return ""

    def lapsed(self, now_ns: int) -> bool:
        """Say whether the venue has given up waiting for the beat after the last one."""
        return self.last_ns is not None and now_ns - self.last_ns >= LAPSES_NS

    @property
    def cancels_ns(self) -> int | None:
        """When the venue will have cancelled everything unless it receives another beat."""
        return None if self.last_ns is None else self.last_ns + LAPSES_NS + CHECK_EVERY_NS


# -- What must be proven for a beat, and what is reported of it ------------------------------------

LOOK_S = 0.2
ANSWER_S_MAX = 3.0
"""A beat without an answer for this long is missed: the next one must have its time."""
USER_NS_MAX = 12 * S
"""The channel answers each PING of five seconds."""
LISTED_NS_MAX = 60 * S
"""Open orders are listed every 15 s: four listings failed."""
RECOVERING_NS_MAX = 10 * S
JOURNAL_NS_MAX = 3 * S
"""How long the journal may stand still while records wait."""
DATA_MS = 1_000_000


class PolymarketHeartbeat:
    """Beats for one account; call `run` once its venue is open."""

    def __init__(
        self, services: Services, runner: AccountRunner, door: PolymarketDoor, user: PolymarketUser
    ) -> None:
        self._services = services
        self._runner = runner
        self._door = door
        self._user = user
        self.lease = HealthLease()
        self._reported = "not connected yet"
        self._row: VenueHeartbeat | None = None
        self._recovering_ns: int | None = None
        self._durable = (0, 0)
        self._answer: asyncio.Task[None] | None = None

    def health(self, reason: str) -> HealthChanged:
        """Return the reason not to place; empty = there is none."""
        account = self._runner.account
        return HealthChanged(account=account, source=HEARTBEAT, healthy=not reason, reason=reason)

    async def run(self, venue: PolymarketVenue) -> None:
        """Look and beat until cancelled."""
        while True:
            now_ns = self._services.clock.now_ns()
            self.lease.look(self.unproven(now_ns))
            self._report(now_ns)
            waiting = self._answer is not None and not self._answer.done()
            if self.lease.due(now_ns) and not waiting:
                self._answer = asyncio.ensure_future(self._send(venue, now_ns))
            if self._answer is not None and self._answer.done():
                self._answer.result()
                self._answer = None
            await asyncio.sleep(LOOK_S)

    async def _send(self, venue: PolymarketVenue, now_ns: int) -> None:
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await venue.send_heartbeat(lapsed=self.lease.lapsed(now_ns))
        except SecondWriter as error:
            self._second_writer(str(error))
        except (PitbossError, TimeoutError) as error:
            self.lease.missed(self._services.clock.now_ns())
            self._services.log.info("beat.missed", account=self._runner.account, reason=str(error))
        else:
            self.lease.renew(now_ns)

    def _second_writer(self, text: str) -> None:
        """Stop quoting and everything of ours; this engine beats for this key no more."""
        now_ns = self._services.clock.now_ns()
        self.lease.end(text)
        self._report(now_ns)
        self._runner.halt(text, now_ns)
        said = f"{self._runner.account} is halted: {text}; then restart the engine (page Engine)"
        self._services.alert(alarm("second_writer", said, self._runner.account), now_ns)

    # -- what is proven ----------------------------------------------------------------------------

    def unproven(self, now_ns: int) -> str:
        """Return what does not work, or is not known to, in words; empty = all is proven."""
        if self._services.killed.is_set() or self._runner.core.executor.latched:
            return "the KILL latch is set"
        return (
            self._journal(now_ns)
            or self._channel(now_ns)
            or self._reconciled(now_ns)
            or self._data(now_ns)
        )

    def _journal(self, now_ns: int) -> str:
        recorder = self._services.recorder
        if recorder.failure is not None:
            return f"the journal cannot be written: {recorder.failure}"
        durable, since_ns = self._durable
        if recorder.durable_seq != durable or recorder.durable_seq >= recorder.seq:
            self._durable = (recorder.durable_seq, now_ns)
        elif now_ns - since_ns > JOURNAL_NS_MAX:
            return "the journal is not advancing"
        return ""

    def _channel(self, now_ns: int) -> str:
        if not self._user.connected:
            return "the user channel is down"
        silent = now_ns - self._user.received_ns > USER_NS_MAX
        return "the user channel is silent" if silent else ""

    def _reconciled(self, now_ns: int) -> str:
        if not self._runner.core.executor.recovering:
            self._recovering_ns = None
        elif self._recovering_ns is None:
            self._recovering_ns = now_ns
        since_ns = self._recovering_ns
        # Until it has once been believed what is open, it is unknown what a beat keeps alive.
        patience_ns = 0 if self.lease.last_ns is None else RECOVERING_NS_MAX
        if since_ns is not None and now_ns - since_ns >= patience_ns:
            return "reconciliation is pending"
        listed_ns = self._door.listed_ns
        if listed_ns is None or now_ns - listed_ns > LISTED_NS_MAX:
            return f"the venue has listed no open orders for {LISTED_NS_MAX // S} s"
        return ""

    def _data(self, now_ns: int) -> str:
        """Look at the markets that are worked or held: one of them must be proven."""
        core = self._runner.core
        views = [core.cache.views.get(key) for key in core.executor.concerned()]
        ages = [view.age_ns(now_ns) for view in views if view is not None and not view.closed]
        known = [age for age in ages if age is not None]
        limit_ns = core.executor.gate.limits.data_age_ms_max * DATA_MS
        if ages and (not known or min(known) > limit_ns):
            return "no market that matters is proven"
        return ""

    # -- what is reported --------------------------------------------------------------------------

    def _report(self, now_ns: int) -> None:
        """Tell the executor first: quoting stops before anybody reads why."""
        why = self.lease.forbids(now_ns)
        if why != self._reported:
            self._reported = why
            self._runner.deliver(self.health(why), now_ns)
            self._runner.settle(now_ns)
        row = VenueHeartbeat(
            account=self._runner.account,
            mode=self._runner.core.executor.mode,
            beating=not (self.lease.why or self.lease.ended),
            reason=why,
            armed_ns=self.lease.armed_ns,
            beat_ns=self.lease.last_ns,
            cancels_ns=self.lease.cancels_ns,
        )
        if row != self._row:
            self._row = row
            self._services.heartbeat(row)
