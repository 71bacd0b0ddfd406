"""The CLOB's public market data (polymarket.md §3.1)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from aiohttp import web

from engine.domain.instruments import Leg
from tests.fakes.polymarket.books import WireBook, price_text
from tests.fakes.polymarket.clob_rows import clob_market, compact_market, simple_market
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.refusal import BAD_PAYLOAD, NO_BOOK, TOO_LONG, Refused
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import answer, body_of, page, venue_of

BATCH_MAX = 500
routes = web.RouteTableDef()


@routes.get("/ok")
async def ok(_: web.Request) -> web.Response:
    """Say that somebody is there."""
    return answer("OK")


@routes.get("/time")
async def time(request: web.Request) -> web.Response:
    """Return the server's clock in seconds."""
    return answer(int(venue_of(request).clock.server_s()))


@routes.get("/version")
async def version(_: web.Request) -> web.Response:
    """Return the CLOB's version, which is not the protocol's."""
    return answer({"version": 2})


# -- one token -------------------------------------------------------------------------------------


def _wire(request: web.Request) -> tuple[Venue, WireBook, Leg]:
    venue = venue_of(request)
    market, leg = venue.token(request.query.get("token_id", ""))
    if not venue.accepting(market):
        raise Refused(NO_BOOK, 404)
    return venue, venue.books[market.instrument], leg


@routes.get("/book")
async def book(request: web.Request) -> web.Response:
    """Return a token's book."""
    venue, wire, leg = _wire(request)
    return answer(_book(venue, wire, leg))


def _book(venue: Venue, wire: WireBook, leg: Leg) -> dict[str, Any]:
    """Return a book, or what it was when a fault froze it."""
    token = wire.market.token(leg)
    fault = venue.faults.strike(("stale_book",), token, venue.exchange.now_ns)
    if fault is None:
        venue.stale.pop(token, None)
        return wire.rest(leg)
    return venue.stale.setdefault(token, wire.rest(leg))


@routes.get("/midpoint")
async def midpoint(request: web.Request) -> web.Response:
    """Return a token's middle."""
    _, wire, leg = _wire(request)
    return answer({"mid": _mid(wire, leg)})


@routes.get("/price")
async def price(request: web.Request) -> web.Response:
    """Return a token's best bid (BUY) or best ask (SELL)."""
    _, wire, leg = _wire(request)
    return answer({"price": _price(wire, leg, request.query.get("side", ""))})


@routes.get("/spread")
async def spread(request: web.Request) -> web.Response:
    """Return a token's spread."""
    _, wire, leg = _wire(request)
    return answer({"spread": wire.best(leg, "")["spread"]})


@routes.get("/last-trade-price")
async def last_trade_price(request: web.Request) -> web.Response:
    """Return the last trade; a market that never traded says 0.5 and no side."""
    _, wire, _ = _wire(request)
    return answer(_last(wire.market))


@routes.get("/tick-size")
async def tick_size(request: web.Request) -> web.Response:
    """Return a token's tick as a number."""
    market, _ = venue_of(request).token(request.query.get("token_id", ""))
    return answer({"minimum_tick_size": float(market.tick)})


@routes.get("/neg-risk")
async def neg_risk(request: web.Request) -> web.Response:
    """Say whether a token belongs to a neg-risk market."""
    market, _ = venue_of(request).token(request.query.get("token_id", ""))
    return answer({"neg_risk": market.neg_risk})


@routes.get("/fee-rate")
async def fee_rate(request: web.Request) -> web.Response:
    """Return the legacy base fee; no fee is computed from it."""
    market, _ = venue_of(request).token(request.query.get("token_id", ""))
    return answer({"base_fee": 1000 if float(market.fee_rate) else 0})


@routes.get("/prices-history")
async def prices_history(request: web.Request) -> web.Response:
    """Return a token's trades as points; the parameter is called `market`, but is a token."""
    venue = venue_of(request)
    market, leg = venue.token(request.query.get("market", ""))
    points = [
        {"t": trade.at_ns // 10**9, "p": _in(leg, trade.taker[0].leg, trade.taker[0].price)}
        for trade in venue.exchange.worker.trades.values()
        if trade.instrument == market.instrument
    ]
    return answer({"history": points})


def _in(leg: Leg, other: Leg, price: int) -> float:
    return (price if leg is other else 10_000 - price) / 10_000


# -- many tokens -----------------------------------------------------------------------------------


async def _many(
    request: web.Request, read: Callable[[Venue, WireBook, Leg, dict[str, Any]], Any]
) -> list[tuple[str, Any]]:
    """Read something of many tokens; strangers are left out."""
    venue, wanted = venue_of(request), await body_of(request)
    if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
        raise Refused(BAD_PAYLOAD)
    if len(wanted) > BATCH_MAX:
        raise Refused(TOO_LONG)
    found = []
    # The venue does not keep the order of the request.
    for item in sorted(wanted, key=lambda item: str(item.get("token_id"))):
        known = venue.ledger.tokens.get(str(item.get("token_id", "")))
        if known is not None and venue.accepting(known[0]):
            wire = venue.books[known[0].instrument]
            found.append((str(item["token_id"]), read(venue, wire, known[1], item)))
    return found


@routes.post("/books")
async def books(request: web.Request) -> web.Response:
    """Return many books."""
    found = await _many(request, lambda venue, wire, leg, _: _book(venue, wire, leg))
    return answer([row for _, row in found])


@routes.post("/midpoints")
async def midpoints(request: web.Request) -> web.Response:
    """Return many middles."""
    return answer(dict(await _many(request, lambda _, wire, leg, __: _mid(wire, leg))))


@routes.post("/spreads")
async def spreads(request: web.Request) -> web.Response:
    """Return many spreads."""
    found = await _many(request, lambda _, wire, leg, __: wire.best(leg, "")["spread"])
    return answer(dict(found))


@routes.post("/prices")
async def prices(request: web.Request) -> web.Response:
    """Return many prices by side."""
    found: dict[str, dict[str, str]] = {}
    rows = await _many(
        request,
        lambda _, wire, leg, item: (item.get("side"), _price(wire, leg, str(item.get("side")))),
    )
    for token, (side, value) in rows:
        found.setdefault(token, {})[side] = value
    return answer(found)


@routes.post("/last-trades-prices")
async def last_trades_prices(request: web.Request) -> web.Response:
    """Return many last trades."""
    found = await _many(request, lambda _, wire, __, ___: _last(wire.market))
    return answer([{"token_id": token, **row} for token, row in found])


# -- markets ---------------------------------------------------------------------------------------


@routes.get("/markets-by-token/{token}")
async def markets_by_token(request: web.Request) -> web.Response:
    """Return a token's market; the first one named may be NO."""
    market, _ = venue_of(request).token(request.match_info["token"])
    primary, secondary = sorted(market.tokens)
    return answer(
        {
            "condition_id": market.condition,
            "primary_token_id": primary,
            "secondary_token_id": secondary,
        }
    )


@routes.get("/clob-markets/{condition}")
async def clob_markets(request: web.Request) -> web.Response:
    """Return a market in the compact form."""
    venue = venue_of(request)
    return answer(compact_market(venue, venue.market(request.match_info["condition"])))


@routes.get("/markets/{condition:0x[0-9a-fA-F]+}")
async def market(request: web.Request) -> web.Response:
    """Return a market in the CLOB's long form."""
    venue = venue_of(request)
    return answer(clob_market(venue, venue.market(request.match_info["condition"])))


@routes.get("/simplified-markets")
@routes.get("/sampling-simplified-markets")
@routes.get("/sampling-markets")
async def listing(request: web.Request) -> web.Response:
    """Return a page of markets; sampling = those that earn rewards."""
    venue = venue_of(request)
    found = [
        market
        for market in venue.by_condition.values()
        if venue.exchange.now_ns >= market.hydrates_ns
        and (market.rewards is not None or "sampling" not in request.path)
    ]
    write = simple_market if "simplified" in request.path else clob_market
    rows = [write(venue, market) for market in found]
    return answer(page(rows, request.query.get("next_cursor")))


def _mid(wire: WireBook, leg: Leg) -> str:
    bid, ask = (Decimal(top) for top in wire.tops(leg))
    return f"{(bid + ask) / 2:f}".rstrip("0").rstrip(".")


def _price(wire: WireBook, leg: Leg, side: str) -> str:
    if side not in {"BUY", "SELL"}:
        raise Refused("Invalid side")
    return wire.tops(leg)[0 if side == "BUY" else 1]


def _last(market: Listed) -> dict[str, str]:
    if not market.last:
        return {"price": "0.5", "side": ""}
    return {"price": price_text(int(Decimal(market.last) * 10_000)), "side": market.last_side}
