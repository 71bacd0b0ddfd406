"""Gamma: market discovery, keyset pages, JSON inside strings (polymarket.md §3.5)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from engine.venues.polymarket.market.hourly import SUFFIX
from tests.fakes.polymarket.books import LEGS
from tests.fakes.polymarket.clob_rows import iso, value
from tests.fakes.polymarket.contracts import PUSD
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.refusal import Refused
from tests.fakes.polymarket.settings import S
from tests.fakes.polymarket.shelf import shelf_row
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import answer, venue_of

LIMIT_MAX = 100
OFFSET_MAX = 2_000
routes = web.RouteTableDef()
Row = dict[str, Any]


def market_row(venue: Venue, market: Listed) -> Row:
    """Return a market as Gamma writes it now. Absent = false or null, as there."""
    wire = venue.books[market.instrument]
    bid, ask = wire.tops(LEGS[0])
    charged = float(market.fee_rate) > 0
    prices = [f"{value(venue, market, leg):g}" for leg in LEGS]
    row: Row = {
        "id": market.gamma_id,
        "question": market.question,
        "conditionId": market.condition,
        "questionID": "0x" + market.condition[2:][::-1],
        "slug": market.slug,
        "description": market.question,
        "groupItemTitle": market.question,
        "outcomes": json.dumps(list(market.outcomes)),
        "outcomePrices": json.dumps(prices),
        "version": market.version,
        "active": True,
        "closed": market.resolved,
        "archived": False,
        "restricted": True,
        "enableOrderBook": True,
        "acceptingOrders": venue.accepting(market),
        "acceptingOrdersTimestamp": iso(market.start_ns or 0),
        "startDate": iso(market.start_ns or 0),
        "endDate": iso(market.end_ns),
        "endDateIso": (iso(market.end_ns) or "")[:10],
        "orderPriceMinTickSize": float(market.tick),
        "orderMinSize": market.size_min,
        "negRisk": market.neg_risk,
        "feesEnabled": charged,
        "feeType": market.fee_type,
        "makerBaseFee": 0,
        "takerBaseFee": 1000 if charged else 0,
        "bestBid": float(bid),
        "bestAsk": float(ask),
        "spread": round(float(ask) - float(bid), 6),
        "lastTradePrice": float(market.last or 0),
        "volumeNum": market.volume_micro / 10**6,
        "volume24hr": market.volume_micro / 10**6,
        "liquidityNum": 0,
        "secondsDelay": market.seconds_delay,
        "umaResolutionStatus": "resolved" if market.resolved else None,
        "events": [{"id": market.gamma_id, "slug": market.slug, "title": market.question}],
    }
    if market.version == "v2":
        row |= {"positionIds": list(market.tokens), "clobTokenIds": None}
        row["resolutionStatus"] = "resolved" if market.resolved else "active"
    else:
        row["clobTokenIds"] = json.dumps(list(market.tokens))
    if charged:
        row["feeSchedule"] = {
            "rate": float(market.fee_rate),
            "exponent": market.fee_exponent,
            "takerOnly": True,
            "rebateRate": float(market.rebate_rate),
        }
    if market.series.endswith(SUFFIX):
        asset = market.series.removesuffix(SUFFIX).upper()
        row["resolutionSource"] = f"https://www.binance.com/en/trade/{asset}_USDT"
        row["eventStartTime"] = iso(market.start_ns)
    elif market.series:
        asset = market.series.partition("-")[0]
        row["resolutionSource"] = f"https://data.chain.link/streams/{asset}-usd"
    if market.rewards is not None:
        row["rewardsMinSize"], row["rewardsMaxSpread"] = market.rewards
        if market.rewards_daily:
            programme = {"id": "1", "conditionId": market.condition, "assetAddress": PUSD}
            ends = {"startDate": "2024-01-01", "endDate": "2500-12-31"}
            pays = {"rewardsAmount": 0, "rewardsDailyRate": market.rewards_daily}
            row["clobRewards"] = [programme | pays | ends]
    if market.closed_ns is not None:
        row["closedTime"] = (iso(market.closed_ns) or "").replace("T", " ").replace("Z", "+00")
    if market.game_start_ns is not None:
        start = iso(market.game_start_ns) or ""
        row["gameStartTime"] = start.replace("T", " ").replace("Z", "+00")
    return row


def _cached(venue: Venue, market: Listed) -> Row:
    """Return a row as old as the CDN lets it be."""
    now_ns = venue.exchange.now_ns
    made_ns, row = venue.cdn.get(market.condition, (0, {}))
    if not row or now_ns - made_ns >= venue.settings.gamma_stale_s * S:
        made_ns, row = now_ns, market_row(venue, market)
        venue.cdn[market.condition] = made_ns, row
    return row


def event_row(venue: Venue, market: Listed) -> Row:
    """Return the event of a market; every market here is an event of its own."""
    row = _cached(venue, market)
    shared = ("id", "slug", "description", "active", "closed", "archived", "restricted")
    event = {name: row[name] for name in shared} | {
        "ticker": market.slug,
        "title": market.question,
        "startDate": row["startDate"],
        "endDate": row["endDate"],
        "enableNegRisk": market.neg_risk,
        "negRiskAugmented": False,
        "markets": [row],
        "tags": [{"id": str(number), "slug": tag} for number, tag in enumerate(market.tags, 1)],
        "version": market.version,
    }
    if market.series:
        event["seriesSlug"] = market.series
        event["series"] = [{"id": "1", "slug": market.series, "title": market.series}]
    return event


# -- filters ---------------------------------------------------------------------------------------


def _at_ns(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * S)
    except ValueError:
        raise Refused(f"invalid date {text!r}", 422) from None


def _chosen(request: web.Request, venue: Venue) -> list[Listed]:
    """Return the markets the query asks for; only open ones unless it says otherwise."""
    query = request.query
    closed = query.get("closed", "false").lower() == "true"
    sets: dict[str, Callable[[Listed], set[str]]] = {
        "clob_token_ids": lambda market: set(market.tokens if market.version == "v1" else ()),
        "position_ids": lambda market: set(market.tokens if market.version == "v2" else ()),
        "condition_ids": lambda market: {market.condition},
        "id": lambda market: {market.gamma_id},
        "slug": lambda market: {market.slug},
        "version": lambda market: {market.version},
        "series_slug": lambda market: {market.series},
        "tag_slug": lambda market: set(market.tags),
    }
    found = []
    for market in venue.by_condition.values():
        if market.resolved is not closed and not any(name in query for name in ("slug", "id")):
            continue
        wanted = {name: set(query.getall(name)) for name in sets if name in query}
        if any(names.isdisjoint(sets[name](market)) for name, names in wanted.items()):
            continue
        if "end_date_min" in query and (market.end_ns or 0) < _at_ns(query["end_date_min"]):
            continue
        if "end_date_max" in query and (market.end_ns or 0) > _at_ns(query["end_date_max"]):
            continue
        found.append(market)
    return _ordered(found, query.get("order", ""), query.get("ascending", "true"))


def _ordered(found: list[Listed], order: str, ascending: str) -> list[Listed]:
    keys: dict[str, Callable[[Listed], Any]] = {
        "volume24hr": lambda market: market.volume_micro,
        "volumeNum": lambda market: market.volume_micro,
        "endDate": lambda market: market.end_ns or 0,
    }
    key = keys.get(order, lambda market: int(market.gamma_id))
    return sorted(found, key=key, reverse=ascending.lower() == "false")


def _keyset(request: web.Request, name: str, write: Callable[[Venue, Listed], Row]) -> web.Response:
    venue = venue_of(request)
    if "offset" in request.query:
        raise Refused("offset is not supported on keyset endpoints", 422)
    found, limit, settings = _chosen(request, venue), _limit(request), venue.settings
    start = _after(request.query.get("after_cursor", ""))
    whole = name == "markets" and request.query.keys() <= {"limit", "after_cursor"}
    last = len(found) + settings.shelf * whole
    first = start
    if settings.shelf_repeats and start >= limit and start // limit % settings.shelf_repeats == 0:
        first = start - limit  # a page that was given before comes once more
    rows = [
        write(venue, found[place])
        if place < len(found)
        else shelf_row(settings, place - len(found))
        for place in range(first, min(first + limit, last))
    ]
    body: Row = {name: rows}
    if start + limit < last:
        body["next_cursor"] = base64.urlsafe_b64encode(f"k{start + limit}".encode()).decode()
    return answer(body)


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "20")
    if not text.isdigit():
        raise Refused("invalid limit", 422)
    return max(1, min(LIMIT_MAX, int(text)))


def _after(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("k"))
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Refused("invalid cursor", 422) from None


def _plain(request: web.Request, write: Callable[[Venue, Listed], Row]) -> web.Response:
    """Answer the deprecated listing: a bare array by offset."""
    venue, offset = venue_of(request), int(request.query.get("offset", 0))
    if offset > OFFSET_MAX:
        raise Refused("offset too large, use the keyset endpoint", 422)
    part = _chosen(request, venue)[offset : offset + _limit(request)]
    return answer([write(venue, market) for market in part])


def _one(request: web.Request, write: Callable[[Venue, Listed], Row]) -> web.Response:
    venue, name = venue_of(request), request.match_info["name"]
    for market in venue.by_condition.values():
        if name in {market.gamma_id, market.slug}:
            return answer(write(venue, market))
    raise Refused("not found", 404)


# -- routes ----------------------------------------------------------------------------------------


@routes.get("/markets/keyset")
async def markets_keyset(request: web.Request) -> web.Response:
    """Return a page of markets."""
    return _keyset(request, "markets", _cached)


@routes.get("/events/keyset")
async def events_keyset(request: web.Request) -> web.Response:
    """Return a page of events."""
    return _keyset(request, "events", event_row)


@routes.get("/events")
async def events(request: web.Request) -> web.Response:
    """Return events by offset."""
    return _plain(request, event_row)


@routes.get("/markets")
async def markets(request: web.Request) -> web.StreamResponse:
    """Return markets by offset; with `next_cursor` it is the CLOB's listing of that name."""
    if "next_cursor" in request.query:
        from tests.fakes.polymarket.rest_clob import listing

        return await listing(request)
    return _plain(request, _cached)


@routes.get("/markets/slug/{name}")
@routes.get(r"/markets/{name:\d+}")
async def market(request: web.Request) -> web.Response:
    """Return one market by id or slug."""
    return _one(request, _cached)


@routes.get("/events/slug/{name}")
@routes.get(r"/events/{name:\d+}")
async def event(request: web.Request) -> web.Response:
    """Return one event by id or slug."""
    return _one(request, event_row)


@routes.get("/public-search")
async def search(request: web.Request) -> web.Response:
    """Find events by a word."""
    venue, word = venue_of(request), request.query.get("q", "").lower()
    found = [
        event_row(venue, market)
        for market in venue.by_condition.values()
        if word in f"{market.slug} {market.question}".lower()
    ]
    return answer({"events": found, "tags": [], "profiles": []})


@routes.get("/api/geoblock")
async def geoblock(request: web.Request) -> web.Response:
    """Say from where one asks, and whether that is blocked."""
    return answer(venue_of(request).geoblock)
