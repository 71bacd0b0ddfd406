"""Polymarket's public questions over HTTP: books, markets and their terms. Never signed.

A question is answered whole or raises; a failed one is never an empty list (law Q).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from engine.clock import WallClock
from engine.domain.listings import ListingPage, ListingState, MarketListing
from engine.domain.plain import PlainView
from engine.errors import BadInput, NotSent, OutcomeUnknown, Throttled
from engine.feeds.counts import UNREADABLE, BadFrame, FeedCounts
from engine.venues.polymarket.market.listing import (
    Listing,
    confirmed,
    from_gamma,
    number,
    rewards_daily,
    time_ns,
)

TIMEOUT_S = 5.0
CONNECT_S = 3.0
IN_FLIGHT_MAX = 8
BODY_BYTES_MAX = 64 * 1024 * 1024
BOOKS_MAX = 500
"""Most books in one question; 501 are refused (trading API, §3.1)."""

PAGE = 100
SLUGS_MAX = 20
RETRY_NS = 1_000_000_000

USER_AGENT = "pitboss"
"""Some generic agents are answered with 403 (trading API, §3.5)."""

_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode


class PublicRest:
    """Public REST of the CLOB and Gamma. Make it inside a running loop; `close` it at the end.

    `urls` as the plug-in names them.
    """

    def __init__(self, urls: Mapping[str, str], counts: FeedCounts) -> None:
        self._clob, self._gamma = urls["clob"], urls["gamma"]
        self._data = urls["data"]
        self._counts = counts
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=IN_FLIGHT_MAX),
            headers={"User-Agent": USER_AGENT},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def books(self, tokens: Sequence[str]) -> list[bytes]:
        """Return the books of tokens, each as the core takes it; unknown tokens are left out.

        Raises BadInput for more than `BOOKS_MAX`, NotSent, OutcomeUnknown, Throttled.
        """
        if len(tokens) > BOOKS_MAX:
            raise BadInput(f"{len(tokens)} books were asked for at once, {BOOKS_MAX} may be")
        asked = [{"token_id": token} for token in tokens]
        body = await self._ask("POST", f"{self._clob}/books", json=asked)
        try:
            return [bytes(row) for row in _rows(body)]
        except UNREADABLE as error:
            raise OutcomeUnknown(f"/books answered no list of books: {error}") from None

    async def terms(self, condition: str) -> object:
        """Return `/clob-markets/{condition}` as it stands. Raises what `books` does."""
        return _json(await self._ask("GET", f"{self._clob}/clob-markets/{condition}"))

    async def confirm(self, listing: Listing) -> Listing:
        """Return a listing with the CLOB's own terms. Raises BadFrame and what `books` does."""
        return confirmed(listing, await self.terms(listing.condition))

    async def markets(
        self, now_ns: int, filters: PlainView, *, pages_max: int = 1
    ) -> list[Listing]:
        """Return markets by Gamma's filters, whole up to `pages_max` pages of 100.

        A row that is no binary market is counted and left out. Raises what `books` does.
        """
        found: list[Listing] = []
        cursor = ""
        for _ in range(pages_max):
            rows, following = await self.rows(cursor, filters)
            for row in rows:
                try:
                    found.append(from_gamma(row, now_ns))
                except BadFrame as error:
                    self._counts.anomaly(f"gamma: {error.kind}")
            if not following:
                return found
            if following == cursor:
                raise OutcomeUnknown("Gamma's listing leads nowhere: its cursor repeats")
            cursor = following
        return found

    async def rows(self, cursor: str, filters: PlainView) -> tuple[list[Any], str]:
        """Return a page of Gamma's markets as they stand, and where the next one begins.

        Empty = it was the last. Raises BadInput for what the venue says is no question of its own,
        and what `books` does.
        """
        query = {"limit": PAGE, **filters, **({"after_cursor": cursor} if cursor else {})}
        body = _json(await self._ask("GET", f"{self._gamma}/markets/keyset", params=query))
        rows = body.get("markets") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise OutcomeUnknown("Gamma answered a page without markets")
        following = body.get("next_cursor") if isinstance(body, dict) else None
        return rows, str(following or "")

    async def wallet_trades(self, address: str, cursor: str) -> tuple[list[object], str]:
        """Return a page of a wallet's public trades, newest first, and where the next begins.

        Empty = it was the last. Raises BadInput for what is no wallet, and what `books` does.
        """
        query = {"user": address, "limit": PAGE, **({"cursor": cursor} if cursor else {})}
        body = _json(await self._ask("GET", f"{self._data}/v2/trades", params=query))
        rows = body.get("data") if isinstance(body, dict) else None
        pages = body.get("pagination") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not isinstance(pages, dict):
            raise OutcomeUnknown("the index answered a page without trades")
        following = pages.get("next_cursor") if pages.get("has_more") else None
        return rows, str(following or "")

    async def _ask(self, method: str, url: str, **what: Any) -> bytes:
        """Return the body of a 200. Raises NotSent, OutcomeUnknown, Throttled."""
        try:
            answer = await self._client.request(method, url, **what)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(f"{url} cannot be reached: {error or type(error).__name__}") from None
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"{url} did not answer: {error or type(error).__name__}") from None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Throttled(f"{url} is asked too often", RETRY_NS)
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise BadInput(f"{url} refused the question: {answer.text[:120]}")
        if answer.status_code != httpx.codes.OK:
            raise OutcomeUnknown(f"{url} answered {answer.status_code}: {answer.text[:120]}")
        if len(answer.content) > BODY_BYTES_MAX:
            raise OutcomeUnknown(f"{url} answered {len(answer.content)} bytes")
        return answer.content


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except UNREADABLE as error:
        raise OutcomeUnknown(f"an answer is no JSON: {error}") from None


# -- Gamma's listing of every market, for people who look for one ----------------------------------
# What Gamma says is up to five minutes old (trading API, §3.5): nothing is quoted by it.

DESCRIPTION_MAX = 8_000
"""Characters kept of a market's rules."""

_SETTLING = {
    "requested": ListingState.ENDED,
    "proposed": ListingState.PROPOSED,
    "disputed": ListingState.DISPUTED,
    "resolved": ListingState.RESOLVED,
    "settled": ListingState.RESOLVED,
}
"""By `umaResolutionStatus` (trading API, §3.5)."""


class GammaListing:
    """Polymarket's listing: the open markets, by the venue's own order."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._rest = PublicRest(urls, FeedCounts())
        self._clock = WallClock()

    async def page(self, cursor: str) -> ListingPage:
        """Return the page at a cursor. See `VenueListing`."""
        rows, following = await self._rest.rows(cursor, {})
        now_ns, skipped = self._clock.now_ns(), Counter[str]()
        found: dict[str, MarketListing] = {}
        for row in rows:
            try:
                made = listed(row, now_ns)
            except BadFrame as error:
                skipped[error.kind] += 1
            else:
                found[made.id] = made
        return ListingPage(tuple(found.values()), skipped, following)

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()


def listed(row: Any, now_ns: int) -> MarketListing:
    """Return a row of Gamma's listing. Raises BadFrame for what is no market of two tokens."""
    known = from_gamma(row, now_ns)
    events = row.get("events")
    event = events[0] if isinstance(events, list) and events else {}
    event = event if isinstance(event, Mapping) else {}
    size_min, spread_max = number(row, "rewardsMinSize"), number(row, "rewardsMaxSpread")
    return MarketListing(
        id=known.instrument.id,
        venue="polymarket",
        slug=known.slug,
        question=known.title,
        event=_text(event, "title"),
        series=known.instrument.series or _text(event, "seriesSlug"),
        category=_text(row, "category") or _text(event, "category"),
        state=_state(row, known, now_ns),
        bid=_price(row, "bestBid"),
        ask=_price(row, "bestAsk"),
        last=_price(row, "lastTradePrice"),
        volume_24h=number(row, "volume24hr"),
        volume=number(row, "volumeNum"),
        liquidity=number(row, "liquidityNum"),
        tick=float(known.tick),
        size_min=float(known.min_order_size),
        taker_fee_ppm=known.instrument.fees.taker_rate_ppm,
        rewards_daily=rewards_daily(row, now_ns),
        rewards_size_min=size_min,
        rewards_spread_max=spread_max,
        neg_risk=known.neg_risk,
        ends_ns=time_ns(row.get("endDate")),
        description=_text(row, "description")[:DESCRIPTION_MAX],
        source=known.resolution_source,
    )


def _state(row: PlainView, known: Listing, now_ns: int) -> ListingState:
    """Return where the market stands; a price says nothing about it."""
    for said in (row.get("umaResolutionStatus"), row.get("resolutionStatus")):
        if isinstance(said, str) and said in _SETTLING:
            return _SETTLING[said]
    if not known.accepting:
        starts_ns = time_ns(row.get("startDate"))
        early = starts_ns is not None and starts_ns > now_ns and not row.get("closed")
        return ListingState.ACTIVE if early else ListingState.ENDED
    return ListingState.ACTIVE


def _price(row: PlainView, name: str) -> float | None:
    """Return a price of a share; None where there is none, as on an empty side."""
    price = number(row, name)
    return price if 0 < price < 1 else None


def _text(row: PlainView, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
