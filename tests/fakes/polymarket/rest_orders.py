"""The trading endpoints: place, cancel, heartbeat (polymarket.md §3.2, §5.6)."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from engine.domain.orders import CancelReason, Identity, OrderState
from engine.errors import VenueClosed
from engine.runtime import refusals as rules
from engine.venues.demo.orders import RestingOrder
from tests.fakes.polymarket.auth import ApiKey
from tests.fakes.polymarket.orders import place, rejection
from tests.fakes.polymarket.refusal import (
    BAD_ORDER_ID,
    BAD_PAYLOAD,
    TOO_MANY_CANCELS,
    Refused,
    too_many_orders,
)
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import answer, body_of, key_of, venue_of

BATCH_MAX = 15
CANCELS_MAX = 1_000
routes = web.RouteTableDef()


@routes.post("/order")
async def post_order(request: web.Request) -> web.Response:
    """Place one order."""
    key, venue, body = await key_of(request), venue_of(request), await body_of(request)
    headers = venue.limits.take(key.signer, 1, venue.clock.now_ns(), cancel=False)
    try:
        said = await place(venue, key, body)
    except Refused as error:
        if not venue.settings.quirks.rejects_in_200:
            error.headers |= headers
            raise
        said = rejection(error.text)
    await _hold(venue)
    return answer(said, headers=headers)


@routes.post("/orders")
async def post_orders(request: web.Request) -> web.Response:
    """Place up to fifteen orders, each with its own result."""
    key, venue, body = await key_of(request), venue_of(request), await body_of(request)
    if not isinstance(body, list) or not body:
        raise Refused(BAD_PAYLOAD)
    if len(body) > BATCH_MAX:
        raise Refused(too_many_orders(len(body), BATCH_MAX))
    headers = venue.limits.take(key.signer, len(body), venue.clock.now_ns(), cancel=False)
    said = [await _leg(venue, key, order, first=number == 0) for number, order in enumerate(body)]
    await _hold(venue)
    return answer(said, headers=headers)


async def _leg(venue: Venue, key: ApiKey, order: object, *, first: bool) -> dict[str, Any]:
    try:
        return await place(venue, key, order)
    except Refused as error:
        return rejection(error.text)
    except VenueClosed as error:
        if first:
            raise  # the whole batch meets the closed door
        return rejection(str(error))


async def _hold(venue: Venue) -> None:
    """Let the socket speak before the reply, where a test asks for it."""
    venue.drain()
    if venue.settings.ack_delay_ms:
        await asyncio.sleep(venue.settings.ack_delay_ms / 1_000)


# -- cancels ---------------------------------------------------------------------------------------


def _cancel(venue: Venue, key: ApiKey, names: list[str]) -> dict[str, Any]:
    """Cancel orders by id; say of each that failed why."""
    venue.exchange.guard.check_cancel()
    gone: list[str] = []
    kept: dict[str, str] = {}
    for name in dict.fromkeys(names):
        order, live = venue.find_order(key.signer, Identity(name))
        if order is None or not live:
            matched = order is not None and order.state is OrderState.FILLED
            kept[name] = rules.CANCEL_MATCHED if matched else rules.CANCEL_GONE
        elif order.state is OrderState.DELAYED:
            kept[name] = rules.CANCEL_DELAYED
        else:
            venue.exchange.order_entry.withdraw([order], CancelReason.ASKED)
            gone.append(name)
    venue.drain()
    return {"canceled": gone, "not_canceled": kept}


def _valid(name: object) -> str:
    text = str(name)
    if not (text.startswith("0x") and len(text) == 66):
        raise Refused(BAD_ORDER_ID)
    return text


@routes.delete("/order")
async def cancel_order(request: web.Request) -> web.Response:
    """Cancel one order."""
    key, venue, body = await key_of(request), venue_of(request), await body_of(request)
    name = _valid(body.get("orderID") if isinstance(body, dict) else None)
    headers = venue.limits.take(key.signer, 1, venue.clock.now_ns(), cancel=True)
    return answer(_cancel(venue, key, [name]), headers=headers)


@routes.delete("/orders")
async def cancel_orders(request: web.Request) -> web.Response:
    """Cancel up to a thousand orders."""
    key, venue, body = await key_of(request), venue_of(request), await body_of(request)
    if not isinstance(body, list):
        raise Refused(BAD_PAYLOAD)
    if len(body) > CANCELS_MAX:
        raise Refused(TOO_MANY_CANCELS)
    names = [_valid(name) for name in body]
    headers = venue.limits.take(key.signer, len(names), venue.clock.now_ns(), cancel=True)
    return answer(_cancel(venue, key, names), headers=headers)


@routes.delete("/cancel-all")
async def cancel_all(request: web.Request) -> web.Response:
    """Cancel everything of the signer."""
    key, venue = await key_of(request), venue_of(request)
    return _cancel_scope(venue, key, list(venue.open_orders(key.signer)))


@routes.delete("/cancel-market-orders")
async def cancel_market(request: web.Request) -> web.Response:
    """Cancel everything of the signer in a market or a token."""
    key, venue, body = await key_of(request), venue_of(request), await body_of(request)
    if not isinstance(body, dict):
        raise Refused(BAD_PAYLOAD)
    condition, token = body.get("market"), body.get("asset_id")
    found = []
    for order in venue.open_orders(key.signer):
        market = venue.markets[order.instrument]
        in_market = not condition or market.condition == condition
        if in_market and (not token or market.token(order.leg) == token):
            found.append(order)
    return _cancel_scope(venue, key, found)


def _cancel_scope(venue: Venue, key: ApiKey, orders: list[RestingOrder]) -> web.Response:
    now_ns = venue.clock.now_ns()
    headers = venue.limits.take(key.signer, 1 + len(orders), now_ns, cancel=True)
    return answer(_cancel(venue, key, [order.identity for order in orders]), headers=headers)


# -- heartbeat -------------------------------------------------------------------------------------


@routes.post("/v1/heartbeats")
@routes.post("/heartbeats")
async def heartbeat(request: web.Request) -> web.Response:
    """Take a beat; answer the id the next one must carry."""
    key, venue, body = await key_of(request), venue_of(request), await body_of(request)
    token = body.get("heartbeat_id") if isinstance(body, dict) else None
    return answer({"heartbeat_id": venue.heartbeats.receive(key.key, token or "")})
