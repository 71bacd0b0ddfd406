"""One order, placed and cancelled at the venue itself: the proof that every way to it works.

The order is post-only, good till a time, as small as allowed and far from the touch. Its identity
is handed out before the first byte leaves (law K). Whatever happens afterwards, the test ends with
its cancel and two listings in a row that show nothing of this key, or says NOT PROVEN.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from engine.domain.events import (
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderRejected,
    OrderReported,
    VenueEvent,
)
from engine.domain.orders import Order, OrderState
from engine.errors import BadInput, OutcomeUnknown, PitbossError, Throttled, VenueClosed
from engine.gateway.door import Named, Prepared
from engine.venues.polymarket.account.venue import PolymarketVenue
from engine.venues.polymarket.checks.examination import Finding, Grade

T = TypeVar("T")
Tell = Callable[[Finding], object]

CHANNEL_S_MAX = 15.0
"""How long the user channel may take to tell of an order, or to open."""
ROUNDS_MAX = 60
"""Rounds of cancel and listing until nothing is left is given up."""
PAUSE_S = 1.0
GRACE_S = 10.0
"""A place without an answer may still arrive: a listing without it is believed after this."""
AGAIN = "run the self-test again: it cancels this order first, and then starts over"


class SelfTest:
    """Tests one open account. `tell` hears each finding as it is made."""

    def __init__(self, venue: PolymarketVenue, tell: Tell) -> None:
        self.findings: list[Finding] = []
        self._venue = venue
        self._tell = tell
        self._channel = _Channel(venue)

    @property
    def green(self) -> bool:
        """Say whether all went well."""
        return bool(self.findings) and all(one.grade is not Grade.FAIL for one in self.findings)

    async def run(self, order: Order, keep: Callable[[str], None]) -> bool:
        """Place and cancel `order`; `keep` writes its identity down before it is sent.

        Gives whether nothing of it is left at the venue: then what `keep` wrote may be forgotten.
        Trouble is told as a finding; only what `keep` raises is raised, and nothing was sent then.
        """
        channel = self._channel
        try:
            async with channel.listening():
                await self._step("channel", channel.until(channel.opened), _is_open)
                await self._step("before", self._nothing_before(), str)
                prepared = await self._step("prepare", self._prepared(order), _is_named)
                keep(prepared.identity)
                return await self._lived(prepared)
        except _Failed:
            return True

    async def _lived(self, prepared: Prepared) -> bool:
        """Send it, see it, cancel it, see that, and prove the end however far it came."""
        venue, channel = self._venue, self._channel
        named = Named(order=prepared.order.id, identity=prepared.identity)
        late_s = GRACE_S
        try:
            await self._step("place", venue.send(prepared), _accepted)
            late_s = 0.0
            await self._step("seen", channel.until(channel.accepted), _is_seen)
            await self._step("cancel", venue.cancel([named]), _cancelled)
            await self._step("seen end", channel.until(channel.cancelled), _is_seen)
        except _Failed as failed:
            late_s = GRACE_S if isinstance(failed.error, OutcomeUnknown) else 0.0
        finally:  # an interrupted test, too
            proven = await self.prove(named, late_s=late_s)
        return proven

    async def _prepared(self, order: Order) -> Prepared:
        return self._venue.prepare(order)

    async def prove(self, named: Named, *, late_s: float = 0.0) -> bool:
        """Cancel an order until two listings in a row, after `late_s`, show nothing of this key.

        Tells a finding either way; gives whether the order itself is gone.
        """
        loop = asyncio.get_running_loop()
        believed_s, began_s, clean, why = loop.time() + late_s, loop.time(), 0, ""
        for _ in range(ROUNDS_MAX):
            try:
                listed = await self._venue.open_orders()
                ours = [one for one in listed.orders if one.ours]
                if any(one.identity == named.identity for one in ours):
                    clean, why = 0, "the order is still listed"
                    await self._venue.cancel([named])
                elif loop.time() >= believed_s:
                    clean += 1
                    if clean == 2:
                        others = [one.identity for one in ours]
                        return await self._proven(named, others, loop.time() - began_s)
            except PitbossError as error:
                clean, why = 0, str(error)
            await asyncio.sleep(PAUSE_S)
        said = f"NOT PROVEN: order {named.identity} may be open at the venue: {why}"
        self._told("proof", Grade.FAIL, said, f"{AGAIN}; it ends by itself within five minutes")
        return False

    async def _proven(self, named: Named, others: Sequence[str], took_s: float) -> bool:
        """Tell the proof, with what was filled meanwhile and what else this key has open."""
        try:
            known = await self._venue.order(named)
        except PitbossError as error:
            said = f"nothing is open, but how much was filled could not be asked: {error}"
            self._told("proof", Grade.FAIL, said, AGAIN)
            return False
        filled = known.report.filled if isinstance(known, OrderReported) else 0
        if filled:
            said = f"nothing is open, but {filled / 1e6:g} shares were filled"
            fix = "they are yours: sell them at the venue, or let the engine hold them"
            self._told("proof", Grade.FAIL, said, fix)
        elif others:
            said = f"the order is gone; {len(others)} others of this API key are open"
            fix = "another program or a person uses this key: give the engine one of its own"
            self._told("proof", Grade.FAIL, said, fix)
        else:
            said = f"PROVEN: zero open orders of this key by two listings, {took_s * 1e3:,.0f} ms"
            self._told("proof", Grade.OK, said)
        return True

    async def _nothing_before(self) -> str:
        listed = await self._venue.open_orders()
        ours = sum(one.ours for one in listed.orders)
        if ours:
            raise BadInput(
                f"{ours} orders of this API key are open already: start the engine once, or cancel "
                "them at the venue; nothing was placed"
            )
        return f"no order of this key is open, {len(listed.orders)} of other keys are left alone"

    async def _step(self, name: str, call: Awaitable[T], say: Callable[[T], str]) -> T:
        """Await a step and tell how it went and how long it took. Raises _Failed, told already."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            given = await call
            said = say(given)
        except PitbossError as error:
            said = f"{error} ({_ms(loop.time() - began_s)})"
            self._told(name, Grade.FAIL, said, _mends(name, error))
            raise _Failed(error) from None
        self._told(name, Grade.OK, f"{said}, {_ms(loop.time() - began_s)}")
        return given

    def _told(self, name: str, grade: Grade, said: str, fix: str = "") -> None:
        found = Finding(name, grade, said, fix)
        self.findings.append(found)
        self._tell(found)


class _Failed(Exception):
    """A step went wrong and was told."""

    def __init__(self, error: PitbossError) -> None:
        super().__init__(str(error))
        self.error = error


_FIXES = {
    "channel": "let the doctor look: `python -m engine unlock ACCOUNT --check`",
    "before": "the account must be alone with this engine before it is tested",
    "prepare": "another market is named by --market",
    "place": "read the venue's sentence; another market is named by --market",
    "seen": "do not trade: without the user channel fills would come late; try again in a minute",
    "cancel": "do not trade before a self-test is green",
    "seen end": "do not trade: without the user channel ends would come late; try again",
}


def _mends(step: str, error: PitbossError) -> str:
    """Return what helps where a step failed."""
    if step == "place" and "deposit wallet" in str(error):
        return "set the key again with the address of its deposit wallet, then unlock anew"
    if step == "place" and isinstance(error, OutcomeUnknown | VenueClosed | Throttled):
        return "nothing is wrong with the order: run the self-test again in a few minutes"
    return _FIXES[step]


class _Channel:
    """The user channel, and what it told of the one order there is."""

    def __init__(self, venue: PolymarketVenue) -> None:
        self._socket, self._frames = venue.user_channel()
        self.opened, self.accepted, self.cancelled = (asyncio.Event() for _ in range(3))
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen until the block ends."""
        self._task = asyncio.ensure_future(self._listen())
        try:
            yield
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        async for text in self._socket.listen():
            self.opened.set()
            for event in self._frames.read(text).events:
                if isinstance(event, OrderAccepted):
                    self.accepted.set()
                elif _ended(event):
                    self.cancelled.set()

    async def until(self, told: asyncio.Event) -> None:
        """Wait for it. Raises OutcomeUnknown after `CHANNEL_S_MAX`, and what broke the channel."""
        if self._task is None:
            raise OutcomeUnknown("nobody listens to the user channel")
        waiting = asyncio.ensure_future(told.wait())
        try:
            await asyncio.wait(
                {waiting, self._task}, timeout=CHANNEL_S_MAX, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if told.is_set():
            return
        if self._task.done():
            self._task.result()
        raise OutcomeUnknown(f"the user channel told nothing within {CHANNEL_S_MAX:g} s")


def _ended(event: VenueEvent) -> bool:
    if isinstance(event, OrderReported):
        return event.report.state is OrderState.CANCELLED
    return isinstance(event, OrderCancelled | OrderExpired)


def _accepted(events: Sequence[VenueEvent]) -> str:
    """Return how a place was taken. Raises BadInput with the venue's sentence where it was not."""
    for event in events:
        if isinstance(event, OrderRejected):
            raise BadInput(f"the venue refused it ({event.reason}): {event.venue_text}")
        if isinstance(event, OrderAccepted | OrderDelayed):
            return "the venue took the order"
    raise OutcomeUnknown("the venue's answer to the order says neither yes nor no")


def _cancelled(events: Sequence[VenueEvent]) -> str:
    """Return how a cancel was taken. Raises BadInput where the venue refused it."""
    if any(isinstance(event, OrderCancelled) for event in events):
        return "the venue took the cancel"
    raise BadInput("the venue did not cancel the order: it is asked again below")


def _is_open(_: None) -> str:
    return "the user channel is open"


def _is_named(prepared: Prepared) -> str:
    return f"order {prepared.identity} is signed"


def _is_seen(_: None) -> str:
    return "the user channel told of it"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms"
