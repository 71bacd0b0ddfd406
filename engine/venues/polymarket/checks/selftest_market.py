"""Where a self-test places its one order: a market that is open, two-sided, and far above its tick.

Asks Polymarket's public listing and books; nothing is signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.domain.instruments import AccountId, BotId, Instrument, Leg, Side
from engine.domain.orders import Order, OrderId, OrderType
from engine.errors import BadInput, OutcomeUnknown
from engine.feeds.bad_frame import BadFrame
from engine.venues.polymarket.market.listing import Listing
from engine.venues.polymarket.market.rest import PublicRest

S = 1_000_000_000
FAR = 1_000
"""How far below the best bid the order rests at least, in price increments: ten cents."""
CLOSES_NS_MIN = 3_600 * S
EXPIRES_NS = 300 * S
"""The venue ends the order by itself after this; `EXPIRY_S_MIN` is the least it takes."""
LOOKED_AT_MAX = 20
"""Candidates whose terms are asked for, one by one, until one is good."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A market, and its best prices in YES-space as they were asked for, in increments."""

    instrument: Instrument
    title: str
    bid: int
    ask: int

    def described(self) -> str:
        """Return it for people."""
        one = self.instrument
        return (
            f"{self.title or one.id}: YES {one.price_decimal(self.bid).normalize():f} / "
            f"{one.price_decimal(self.ask).normalize():f}, tick "
            f"{one.price_decimal(one.tick).normalize():f}"
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
        f"no order could rest far from the touch: {why}; name another market by --market"
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
    books: dict[str, Any] = {}
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
