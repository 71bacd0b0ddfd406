"""The demo exchange behind the venues' door: HTTP for requests, WebSockets for what it tells.

Requests and safety have connections of their own, so that a cancel never waits behind a place.
Bytes that may have left without a readable answer are OutcomeUnknown, a refused connection is
NotSent. `listen` gives the raw frames of one stream until it breaks; whoever calls it comes back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar, cast

import aiohttp
import msgspec

from engine.domain.effects import AnyWalletEffect, CancelScope, QueryOperation
from engine.domain.events import (
    BalancesListed,
    FillsListed,
    OpenOrdersListed,
    OrderNotFound,
    OrderReported,
    PositionsListed,
    QueryFailed,
    RedemptionsListed,
    VenueEvent,
)
from engine.domain.instruments import AccountId
from engine.domain.orders import Order
from engine.errors import AuthRefused, BadInput, NotSent, OutcomeUnknown, VenueClosed
from engine.gateway.door import Named, OnNamed, Prepared
from engine.venues.demo import wire
from engine.venues.demo.names import KEY, Names

T = TypeVar("T")

TIMEOUT_S = 5.0
SILENCE_S = 5.0
"""The exchange sends a pulse each second: a stream that says nothing for this long is broken."""
_TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=2.0)


class DemoVenue:
    """One account's door. Make it inside a running loop; `close` it at the end."""

    def __init__(self, url: str, account: AccountId) -> None:
        self._url = url.rstrip("/")
        self._account = account
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
        return await self._ask(self._places, wire.PLACE, prepared.payload)

    async def cancel(self, orders: Sequence[Named]) -> Sequence[VenueEvent]:
        asked = wire.Cancelling(orders=tuple(named.order for named in orders))
        return await self._ask(self._safety, wire.CANCEL, wire.pack(asked))

    async def cancel_all(self, scope: CancelScope) -> Sequence[VenueEvent]:
        return await self._ask(self._safety, wire.CANCEL_ALL, wire.pack(scope))

    async def open_orders(self) -> OpenOrdersListed:
        return _only(await self._ask(self._safety, wire.OPEN_ORDERS), OpenOrdersListed)

    async def order(self, named: Named) -> OrderReported | OrderNotFound:
        """Return what the venue knows about one order."""
        events = await self._ask(
            self._safety, wire.ORDER, wire.pack(wire.QueryRequest(order=named.order))
        )
        if len(events) == 1 and isinstance(events[0], OrderReported | OrderNotFound):
            return events[0]
        raise BadInput(f"the demo exchange answered {events} to a question about an order")

    async def fills(self, since_ns: int) -> FillsListed:
        asked = wire.pack(wire.QueryRequest(since_ns=since_ns))
        events = await self._ask(self._safety, wire.FILLS, asked)
        if len(events) == 1 and isinstance(events[0], QueryFailed):
            raise BadInput(events[0].reason)
        return _only(events, FillsListed)

    async def balances(self) -> BalancesListed:
        return _only((await self._ask(self._safety, wire.BALANCES))[:1], BalancesListed)

    async def positions(self) -> PositionsListed:
        return _only((await self._ask(self._safety, wire.BALANCES))[1:], PositionsListed)

    async def redemptions(self, since_ns: int) -> RedemptionsListed:
        """Return every payment for tokens of resolved markets since a time."""
        asked = wire.pack(wire.QueryRequest(since_ns=since_ns))
        return _only(await self._ask(self._safety, wire.REDEMPTIONS, asked), RedemptionsListed)

    async def operate(self, asked: AnyWalletEffect, named: OnNamed) -> Sequence[VenueEvent]:
        """Submit an operation: its number is its name, what it moves is told by the stream."""
        del named
        return await self._ask(self._safety, wire.OPERATE, wire.pack(asked))

    async def operation(self, asked: QueryOperation) -> Sequence[VenueEvent]:
        """Return how far an operation is."""
        return await self._ask(self._safety, wire.OPERATION, wire.pack(asked))

    # -- what only this venue has ------------------------------------------------------------------

    async def open(self, cash_micro: int) -> None:
        """Open the account with this much cash; one that is open already stays as it is."""
        asked = wire.OpenAccount(account=self._account, cash_micro=cash_micro)
        await self._ask(self._safety, wire.OPEN, wire.pack(asked))

    async def beat(self) -> None:
        """Say that we live; the first time arms the exchange's dead-man switch."""
        await self._ask(self._safety, wire.BEAT)

    async def listen(self, path: str) -> AsyncIterator[bytes]:
        """Give the frames of a stream. Raises NotSent where it breaks, AuthRefused."""
        async for frame in _frames(self._safety, f"{self._url}{path}", self._account):
            yield frame

    # -- inside ------------------------------------------------------------------------------------

    async def _ask(
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
        except msgspec.DecodeError as error:
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


def _only(events: tuple[VenueEvent, ...], kind: type[T]) -> T:
    if len(events) == 1 and isinstance(events[0], kind):
        return cast("T", events[0])
    raise BadInput(f"the demo exchange answered {events} instead of {kind.__name__}")
