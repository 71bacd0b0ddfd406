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

import msgspec

from engine.clock import WallClock
from engine.domain.catalog import Finding, Grade
from engine.domain.events import (
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderRejected,
    OrderReported,
    VenueEvent,
)
from engine.domain.instruments import AccountId, BotId, Instrument, Leg, Side
from engine.domain.orders import Identity, Order, OrderId, OrderState, OrderType
from engine.domain.plain import PlainDict
from engine.domain.unread import refuse_unread
from engine.errors import BadInput, OutcomeUnknown, PitbossError, Throttled, VenueClosed
from engine.feeds.counts import BadFrame, FeedCounts
from engine.gateway.door import Named, Prepared
from engine.runtime.venue_plugin import SelfTesting, VenueSetup
from engine.venues.polymarket.account.link import opened
from engine.venues.polymarket.account.user_stream import user_channel
from engine.venues.polymarket.account.venue import PolymarketVenue
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.rest import PublicRest

T = TypeVar("T")

CHANNEL_S_MAX = 15.0
"""How long the user channel may take to tell of an order, or to open."""
ROUNDS_MAX = 60
"""Rounds of cancel and listing until nothing is left is given up."""
PAUSE_S = 1.0
GRACE_S = 10.0
"""A place without an answer may still arrive: a listing without it is believed after this."""
S = 1_000_000_000
FAR = 1_000
"""How far below the best bid the order rests at least, in price increments: ten cents."""
CLOSES_NS_MIN = 3_600 * S
EXPIRES_NS = 300 * S
"""The venue ends the order by itself after this; `plugin.EXPIRY` has the least it takes."""
LOOKED_AT_MAX = 20
"""Candidates whose terms are asked for, one by one, until one is good."""
RERUN = "run the self-test again: it cancels this order first, and then starts over"


async def tested(setup: VenueSetup, test: SelfTesting) -> list[Finding]:
    """Clear what an earlier test left, choose a market, test."""
    try:
        venue = await opened(setup, test.account, test.credential, WallClock().now_ns)
    except PitbossError as error:
        fix = f"run the doctor: `python -m engine unlock {test.account} --check`"
        return [test.report(Finding("open", Grade.FAIL, str(error), fix))]
    try:
        return await _at(venue, setup, test)
    finally:
        await venue.close()


async def _at(venue: PolymarketVenue, setup: VenueSetup, test: SelfTesting) -> list[Finding]:
    testing, now_ns = SelfTest(venue, test.report), WallClock().now_ns()
    if test.left is not None:
        if not await testing.prove(Named(order=OrderId(1), identity=Identity(test.left))):
            return testing.findings
        test.forget()
    rest = PublicRest(setup.urls, FeedCounts())
    try:
        place = await place_for(rest, now_ns, test.market)
        await venue.list_market(place.instrument)
    except PitbossError as error:
        fix = "name a market with --market CONDITION"
        finding = test.report(Finding("market", Grade.FAIL, str(error), fix))
        return [*testing.findings, finding]
    finally:
        await rest.close()
    chosen = test.report(Finding("market", Grade.OK, _plan(place)))
    if await testing.run(far_order(place, test.account, now_ns), test.keep):
        test.forget()
    return [chosen, *testing.findings]


def _plan(place: Place) -> str:
    one = place.instrument
    size, price = one.size_text(one.smallest), one.price_words(one.tick)
    return f"{place.described()}; BUY {size} YES at {price}, post-only"


class SelfTest:
    """Tests one open account. `report` receives each finding as it is made."""

    def __init__(self, venue: PolymarketVenue, report: Callable[[Finding], object]) -> None:
        self.findings: list[Finding] = []
        self._venue = venue
        self._report = report
        self._channel = _Channel(venue)

    @property
    def green(self) -> bool:
        """Say whether all went well."""
        return bool(self.findings) and all(one.grade is not Grade.FAIL for one in self.findings)

    async def run(self, order: Order, keep: Callable[[str], None]) -> bool:
        """Place and cancel `order`; `keep` writes its identity down before it is sent.

        Gives whether nothing of it is left at the venue: then what `keep` wrote may be forgotten.
        Trouble becomes a finding; only what `keep` raises is raised, and nothing was sent then.
        """
        channel = self._channel
        try:
            async with channel.listening():
                await self._step("channel", channel.until(channel.opened), _is_open)
                await self._step("before", self._nothing_before(), str)
                prepared = await self._step("prepare", self._prepared(order), _is_named)
                keep(prepared.identity)
                return await self._run_order(prepared)
        except _Failed:
            return True

    async def _run_order(self, prepared: Prepared) -> bool:
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
                refuse_unread(listed.unread, "open orders")
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
        self._found("proof", Grade.FAIL, said, f"{RERUN}; it ends by itself within five minutes")
        return False

    async def _proven(self, named: Named, others: Sequence[str], took_s: float) -> bool:
        """Tell the proof, with what was filled meanwhile and what else this key has open."""
        try:
            known = await self._venue.order(named)
        except PitbossError as error:
            said = f"nothing is open, but the filled amount could not be read: {error}"
            self._found("proof", Grade.FAIL, said, RERUN)
            return False
        filled = known.report.filled if isinstance(known, OrderReported) else 0
        if filled:
            said = f"nothing is open, but {filled / 1e6:g} shares were filled"
            fix = "they are yours: sell them at the venue, or let the engine hold them"
            self._found("proof", Grade.FAIL, said, fix)
        elif others:
            said = f"the order is gone; {len(others)} others of this API key are open"
            fix = "another program or a person uses this key: give the engine one of its own"
            self._found("proof", Grade.FAIL, said, fix)
        else:
            said = f"PROVEN: zero open orders of this key by two listings, {took_s * 1e3:,.0f} ms"
            self._found("proof", Grade.OK, said)
        return True

    async def _nothing_before(self) -> str:
        listed = await self._venue.open_orders()
        refuse_unread(listed.unread, "open orders")
        ours = sum(one.ours for one in listed.orders)
        if ours:
            raise BadInput(
                f"{ours} orders of this API key are open already: start the engine once, or cancel "
                "them at the venue; nothing was placed"
            )
        return f"no order of this key is open, {len(listed.orders)} of other keys are left alone"

    async def _step(self, name: str, call: Awaitable[T], say: Callable[[T], str]) -> T:
        """Await a step; report its result and duration. Raises _Failed, already reported."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            given = await call
            said = say(given)
        except PitbossError as error:
            said = f"{error} ({_ms(loop.time() - began_s)})"
            self._found(name, Grade.FAIL, said, _mends(name, error))
            raise _Failed(error) from None
        self._found(name, Grade.OK, f"{said}, {_ms(loop.time() - began_s)}")
        return given

    def _found(self, name: str, grade: Grade, said: str, fix: str = "") -> None:
        found = Finding(name, grade, said, fix)
        self.findings.append(found)
        self._report(found)


class _Failed(Exception):
    """A step went wrong and its finding was reported."""

    def __init__(self, error: PitbossError) -> None:
        super().__init__(str(error))
        self.error = error


_FIXES = {
    "channel": "run the doctor: `python -m engine unlock ACCOUNT --check`",
    "before": "the account must be alone with this engine before it is tested",
    "prepare": "name another market with --market",
    "place": "read the venue's sentence; name another market with --market",
    "seen": "do not trade: without the user channel fills would come late; try again in a minute",
    "cancel": "do not trade before a self-test is green",
    "seen end": "do not trade: without the user channel ends would come late; try again",
}


def _mends(step: str, error: PitbossError) -> str:
    """Return what helps where a step failed."""
    if step == "place" and "deposit wallet" in str(error):
        return "set the key again with the address of its deposit wallet, then unlock again"
    if step == "place" and isinstance(error, OutcomeUnknown | VenueClosed | Throttled):
        return "nothing is wrong with the order: run the self-test again in a few minutes"
    return _FIXES[step]


class _Channel:
    """The user channel, and what it reported of the one order there is."""

    def __init__(self, venue: PolymarketVenue) -> None:
        self._socket, self._frames = user_channel(venue)
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

    async def until(self, event: asyncio.Event) -> None:
        """Wait for it. Raises OutcomeUnknown after `CHANNEL_S_MAX`, and what broke the channel."""
        if self._task is None:
            raise OutcomeUnknown("nothing receives the user channel")
        waiting = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait(
                {waiting, self._task}, timeout=CHANNEL_S_MAX, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if event.is_set():
            return
        if self._task.done():
            self._task.result()
        raise OutcomeUnknown(f"the user channel reported nothing within {CHANNEL_S_MAX:g} s")


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
    raise OutcomeUnknown("the venue's answer to the order is neither yes nor no")


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
    return "the user channel reported it"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms"


# -- where the one order is placed: a market that is open, two-sided, far above its tick ----------


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A market, and its best prices in YES-space as they were asked for, in increments."""

    instrument: Instrument
    title: str
    bid: int
    ask: int

    def described(self) -> str:
        one = self.instrument
        return (
            f"{self.title or one.id}: YES {one.price_words(self.bid)} / "
            f"{one.price_words(self.ask)}, tick "
            f"{one.price_words(one.tick)}"
        )


async def place_for(rest: PublicRest, now_ns: int, condition: str = "") -> Place:
    """Return the named market, or the most traded one that is fit.

    Raises BadInput where there is none, and what `rest` raises.
    """
    if condition:
        listings = await rest.markets(now_ns, {"condition_ids": condition})
        if not listings:
            raise BadInput(f"Polymarket lists no open market {condition}: check --market")
    else:
        listings = await rest.markets(now_ns, {"order": "volume24hr", "ascending": "false"})
    tops = await _tops(rest, listings)
    why = "none has a book"
    for listing, (bid, ask) in tops[:LOOKED_AT_MAX]:
        try:
            known = await rest.confirm(listing)
        except BadFrame as error:
            why = str(error)
            continue
        why = _unfit(known, bid, ask, now_ns)
        if not why:
            return Place(instrument=known.instrument, title=known.title, bid=bid, ask=ask)
    raise BadInput(
        f"no order could rest far from the touch: {why}; name another market with --market"
    )


def far_order(place: Place, account: str, now_ns: int) -> Order:
    """Return a post-only BUY of the smallest size at the lowest price there is."""
    instrument = place.instrument
    return Order(
        account=AccountId(account),
        id=OrderId(now_ns),
        bot=BotId("selftest"),
        instrument=instrument.id,
        leg=Leg.YES,
        side=Side.BUY,
        price=instrument.tick,
        size=instrument.smallest,
        type=OrderType.GTD,
        expires_ns=now_ns + EXPIRES_NS,
        created_ns=now_ns,
    )


def _unfit(listing: Listing, bid: int, ask: int, now_ns: int) -> str:
    """Return why a market is not fit; empty = it is."""
    one, name = listing.instrument, listing.slug or listing.instrument.id
    if not listing.accepting:
        return f"{name} takes no orders"
    if one.closes_ns is not None and one.closes_ns < now_ns + CLOSES_NS_MIN:
        return f"{name} closes within the hour"
    if not 0 < bid < ask < one.one:
        return f"{name} has no two-sided book"
    if bid < one.tick + FAR:
        return f"the best bid of {name} is less than ten cents above the lowest price"
    return ""


async def _tops(
    rest: PublicRest, listings: Sequence[Listing]
) -> list[tuple[Listing, tuple[int, int]]]:
    """Return the listings that may be fit with their best prices; a side that is empty is 0."""
    wanted = {one.instrument.tokens[0]: one for one in listings if one.instrument.tokens}
    if not wanted:
        return []
    books: PlainDict = {}
    for raw in await rest.books(list(wanted)):
        try:
            book = msgspec.json.decode(raw)
            one = wanted[book["asset_id"]].instrument
            books[book["asset_id"]] = (
                max((one.price_of(row["price"]) for row in book["bids"]), default=0),
                min((one.price_of(row["price"]) for row in book["asks"]), default=0),
            )
        except (msgspec.DecodeError, KeyError, TypeError, BadInput):
            raise OutcomeUnknown("a book of Polymarket's cannot be read") from None
    found = [(wanted[token], top) for token, top in books.items()]
    # Those that look fit by the listing's own terms come first: each is asked for its terms.
    return sorted(found, key=lambda one: one[1][0] < one[0].instrument.tick + FAR)
