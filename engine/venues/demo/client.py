"""The demo exchange behind the venues' door: HTTP for requests, WebSockets for what it tells.

Requests and safety have connections of their own, so that a cancel never waits behind a place.
Bytes that may have left without a readable answer are OutcomeUnknown, a refused connection is
NotSent. `listen` gives the raw frames of one stream until it breaks; whoever calls it comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiohttp

from engine.domain.effects import AnyEffect
from engine.domain.events import BookReplaced, InstrumentClosed, InstrumentListed, VenueEvent
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.listings import (
    KINDS,
    PAIRS,
    PERPETUALS,
    ListingPage,
    ListingState,
    MarketListing,
)
from engine.domain.money import MICRO
from engine.domain.orders import Order
from engine.errors import AuthRefused, BadInput, NotSent, OutcomeUnknown, VenueClosed
from engine.gateway.door import Prepared
from engine.runtime.effect_door import EffectDoor
from engine.venues.demo import wire
from engine.venues.demo.orders import KEY, Names

TIMEOUT_S = 5.0
SILENCE_S = 5.0
"""The exchange sends a keepalive each second: a stream silent for this long is broken."""
_TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=2.0)


class DemoVenue(EffectDoor):
    """One account's door. Make it inside a running loop; `close` it at the end."""

    def __init__(self, url: str, account: AccountId) -> None:
        super().__init__(account)
        self._url = url.rstrip("/")
        self._names = Names(account, KEY)
        self._places = _session()
        self._safety = _session()

    async def close(self) -> None:
        """Close the connections."""
        await self._places.close()
        await self._safety.close()

    # -- the door ----------------------------------------------------------------------------------

    def prepare(self, order: Order) -> Prepared:
        """Name and serialise: same order, same identity and bytes."""
        return self._names.prepare(order)

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        """Send exactly these bytes, once."""
        return await self._post(self._places, wire.PLACE, prepared.payload)

    async def ask(self, effect: AnyEffect) -> tuple[VenueEvent, ...]:
        return await self._post(self._safety, wire.ASK, wire.pack(effect))

    # -- what only this venue has ------------------------------------------------------------------

    async def open(self, cash_micro: int) -> None:
        """Open the account with this much cash; one that is open already stays as it is."""
        asked = wire.OpenAccount(account=self._account, cash_micro=cash_micro)
        await self._post(self._safety, wire.OPEN, wire.pack(asked))

    async def send_heartbeat(self) -> None:
        """Say that we live; the first time arms the exchange's dead-man switch."""
        await self._post(self._safety, wire.HEARTBEAT)

    async def listen(self, path: str) -> AsyncIterator[bytes]:
        """Give the frames of a stream. Raises NotSent where it breaks, AuthRefused."""
        async for frame in _frames(self._safety, f"{self._url}{path}", self._account):
            yield frame

    # -- inside ------------------------------------------------------------------------------------

    async def _post(
        self, session: aiohttp.ClientSession, path: str, body: bytes = b""
    ) -> tuple[VenueEvent, ...]:
        url = f"{self._url}{path}"
        params = {"account": self._account}
        try:
            async with session.post(url, params=params, data=body) as response:
                answer = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise NotSent(f"{url}: {_words(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise OutcomeUnknown(f"{url}: {_words(error)}") from error
        try:
            if response.status == 200:
                return wire.unpack_events(answer)
            raise _refused(response.status, wire.unpack_refusal(answer))
        except BadInput as error:
            raise OutcomeUnknown(f"{url} answered {response.status}, unreadable") from error


class DemoMarket:
    """The exchange's public market stream: it names no account, and there is nothing else here."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def listen(self) -> AsyncIterator[bytes]:
        """Give the frames until the stream breaks. Raises NotSent where it does."""
        async with _session() as session:
            async for frame in _frames(session, f"{self._url}{wire.MARKET}", None):
                yield frame


async def _frames(
    session: aiohttp.ClientSession, url: str, account: AccountId | None
) -> AsyncIterator[bytes]:
    """Give the frames of a stream. Raises NotSent where it breaks, AuthRefused."""
    try:
        async with session.ws_connect(
            url,
            params={} if account is None else {"account": account},
            max_msg_size=wire.FRAME_BYTES_MAX,
            timeout=aiohttp.ClientWSTimeout(ws_receive=SILENCE_S, ws_close=1.0),
        ) as socket:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                yield message.data
    except aiohttp.WSServerHandshakeError as error:
        if error.status == wire.UNKNOWN_STATUS:
            raise AuthRefused(f"{account} has no account at {url}") from error
        raise NotSent(f"{url} refuses to be listened to: {error.status}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NotSent(f"{url}: {_words(error)}") from error
    raise NotSent(f"{url} ended")


def _session() -> aiohttp.ClientSession:
    # No environment proxies: this exchange is on our own machine.
    return aiohttp.ClientSession(
        timeout=_TIMEOUT,
        trust_env=False,
        headers={wire.CUSTOMER: "1"},
        connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=60, force_close=False),
    )


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _refused(status: int, refusal: wire.RefusalFrame) -> Exception:
    if status == wire.CLOSED_STATUS:
        return VenueClosed(refusal.text, refusal.mode)
    if status == wire.UNKNOWN_STATUS:
        return AuthRefused(refusal.text)
    if status in {wire.BAD_STATUS, wire.FORBIDDEN_STATUS}:
        return NotSent(refusal.text)
    return OutcomeUnknown(f"status {status}: {refusal.text}")


# -- The listing: every open market with its book, as one page -------------------------------------
# The exchange has no request for it: the first frame of a fresh market stream holds all of them.

LISTING_S = 5.0
"""How long the exchange may take to send all its markets."""

ROLLING = "Up or down"
EVENT = "Event"
RULES = {
    PAIRS: "Bought and sold for the quote currency; it has no end.",
    PERPETUALS: "Held long or short against margin; longs and shorts pay each other each hour.",
    ROLLING: "YES pays 1 where the oracle's mean over the window's last stretch is at the strike "
    "or above it.",
    EVENT: "YES pays 1 where the event happens.",
}


class DemoListing:
    """Implements `VenueListing`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def page(self, cursor: str) -> ListingPage:
        """Return all there is. Raises NotSent where the exchange does not answer."""
        del cursor  # there is but one page
        return page_of(await first_frame(self._url))

    async def close(self) -> None:
        """Nothing stays open between two pages."""


async def first_frame(url: str) -> wire.MarketFrame:
    """Return what a fresh stream begins with: every market as it stands. Raises NotSent."""
    try:
        async with asyncio.timeout(LISTING_S):
            async for raw in DemoMarket(url).listen():
                return wire.unpack_market(raw)
    except TimeoutError:
        raise NotSent(f"nothing came within {LISTING_S:g} s") from None
    raise NotSent("the stream ended before its first frame")


def page_of(frame: wire.MarketFrame) -> ListingPage:
    """Return the open markets of a whole listing."""
    listed, books = markets_in(frame)
    none = wire.Traded(0, 0)
    rows = (_row(one, books.get(one.id), frame.traded.get(one.id, none)) for one in listed.values())
    return ListingPage(tuple(rows), {}, "")


def markets_in(
    frame: wire.MarketFrame,
) -> tuple[dict[InstrumentId, Instrument], dict[InstrumentId, BookReplaced]]:
    """Return what is open in a listing, and the books."""
    listed: dict[InstrumentId, Instrument] = {}
    books: dict[InstrumentId, BookReplaced] = {}
    for event in frame.events:
        if isinstance(event, InstrumentListed):
            listed[event.instrument.id] = event.instrument
        elif isinstance(event, BookReplaced):
            books[event.instrument] = event
        elif isinstance(event, InstrumentClosed):
            listed.pop(event.instrument, None)
    return listed, books


def _row(one: Instrument, book: BookReplaced | None, traded: wire.Traded) -> MarketListing:
    name = one.id.partition(":")[2]
    of_kind = {kind: category for category, kind in KINDS.items()}
    category = of_kind.get(one.kind, ROLLING if one.series else EVENT)
    bids, asks = (book.bids, book.asks) if book is not None else ((), ())
    resting = sum(one.proceeds_micro(price, size) for price, size in (*bids, *asks))
    return MarketListing(
        id=one.id,
        venue="demo",
        slug=name,
        question=name,
        event="",
        series=one.series,
        category=category,
        state=ListingState.ACTIVE,
        bid=float(one.price_decimal(bids[0][0])) if bids else None,
        ask=float(one.price_decimal(asks[0][0])) if asks else None,
        last=None,
        volume_24h=traded.day_micro / MICRO,
        volume=traded.total_micro / MICRO,
        liquidity=resting / MICRO,
        tick=float(one.price_decimal(one.tick)),
        size_min=float(one.size_decimal(one.smallest)),
        taker_fee_ppm=one.fees.taker_rate_ppm,
        rewards_daily=0.0,
        rewards_size_min=0.0,
        rewards_spread_max=0.0,
        neg_risk=False,
        ends_ns=one.closes_ns,
        description=RULES[category],
        source="",
    )
