"""The house's own adapter pointed at the fake venue, and orders for it."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from engine.domain.instruments import AccountId, BotId, Instrument, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.gateway.door import Named, Prepared
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.listing import instrument_of
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.kit import RAIN, by_slug, signer, wallet

LIVE = AccountId("polymarket-1")
SHARE = 1_000_000
CENT = 100
"""0.01 pUSD in price increments."""
_ids = itertools.count(1)


def urls(http: str, ws: str = "") -> dict[str, str]:
    """Everything of the venue at one address."""
    return {**dict.fromkeys(("clob", "gamma", "data", "relayer"), http), "ws": ws}


def urls_of(served: Served) -> dict[str, str]:
    return urls(served.url, served.ws)


def credentials(number: int = 1, kind: int = 0, relayer: str = "") -> Credentials:
    account = signer(number)
    return Credentials(
        private_key=account.key.hex(), wallet=wallet(account, kind), relayer_key=relayer
    )


@contextlib.asynccontextmanager
async def adapter(
    served: Served,
    *,
    number: int = 1,
    kind: int = 0,
    slug: str = RAIN,
    relayer: str = "",
    now_ns: Callable[[], int] = time.time_ns,
) -> AsyncIterator[tuple[PolymarketVenue, Instrument]]:
    """An open account that has listed one market."""
    venue = await PolymarketVenue.open(
        LIVE, credentials(number, kind, relayer), now_ns=now_ns, urls=urls_of(served)
    )
    instrument = instrument_of(by_slug(served, slug))
    await venue.list_market(instrument)
    try:
        yield venue, instrument
    finally:
        await venue.close()


def order(instrument: Instrument, cents: int = 40, shares: int = 10, **changes: Any) -> Order:
    given: dict[str, Any] = {
        "account": LIVE,
        "id": OrderId(next(_ids)),
        "bot": BotId("maker"),
        "instrument": instrument.id,
        "leg": Leg.YES,
        "side": Side.BUY,
        "price": cents * CENT,
        "size": shares * SHARE,
        "created_ns": time.time_ns(),
    }
    return Order(**(given | changes))


def taking(instrument: Instrument, cents: int, shares: int, kind: OrderType) -> Order:
    return order(instrument, cents, shares, type=kind, post_only=False)


def named(prepared: Prepared) -> Named:
    return Named(order=prepared.order.id, identity=prepared.identity)
