"""The server: every room under one port, the journal, the faults, and time that passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from engine.errors import BadInput, VenueClosed
from tests.fakes.polymarket import (
    control,
    relayer,
    rest_account,
    rest_clob,
    rest_data,
    rest_gamma,
    rest_orders,
)
from tests.fakes.polymarket.faults import CLOUDFLARE, Fault
from tests.fakes.polymarket.refusal import Refused
from tests.fakes.polymarket.venue import Venue
from tests.fakes.polymarket.web import VENUE, Handler, answer, closed, refused
from tests.fakes.polymarket.ws_market import MarketHub
from tests.fakes.polymarket.ws_prices import PRICES, Prices
from tests.fakes.polymarket.ws_user import UserHub

CONTROL = "/__fake__"
PUMP_S_MAX = 0.05
PUMP_S_MIN = 0.001
BEFORE = ("status", "drop", "hang")
AFTER = ("late_status", "drop_after", "garble")


def make_app(venue: Venue) -> web.Application:
    """Return the whole venue as one application."""
    app = web.Application(middlewares=[journaled, faulty, plain_errors])
    app[VENUE] = venue
    app[control.HUBS] = hubs = control.Hubs(market=MarketHub(venue), user=UserHub(venue))
    app.router.add_get("/ws/market", hubs.market.serve)
    app.router.add_get("/ws/user", hubs.user.serve)
    app[PRICES] = Prices(venue.settings.seed)
    app.add_routes(app[PRICES].routes())
    for room in (control, rest_clob, rest_account, rest_orders, rest_data, relayer, rest_gamma):
        app.add_routes(room.routes)
    app.cleanup_ctx.append(ticking)
    return app


async def ticking(app: web.Application) -> AsyncIterator[None]:
    """Let time pass while nobody asks."""
    task = asyncio.ensure_future(_tick(app[VENUE]))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _tick(venue: Venue) -> None:
    while True:
        venue.pump()
        due_ns = venue.exchange.due_ns
        wait_s = PUMP_S_MAX
        if due_ns is not None:
            wait_s = min(wait_s, (due_ns - venue.clock.now_ns()) / 1e9)
        await asyncio.sleep(max(PUMP_S_MIN, wait_s))


@web.middleware
async def journaled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write down every request and the status of its answer; headers and secrets stay out."""
    venue = request.app[VENUE]
    row: dict[str, Any] = {
        "at_ns": venue.clock.now_ns(),
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "signed": any(name.upper().startswith("POLY") for name in request.headers),
    }
    if not request.path.startswith(CONTROL):
        venue.journal.append(row)
    response = await handler(request)
    row["status"] = response.status
    return response


@web.middleware
async def faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let faults strike before and after a request."""
    venue, path = request.app[VENUE], request.path
    if path.startswith((CONTROL, "/ws/")):
        return await handler(request)
    if request.headers.get("User-Agent", "").startswith("Python-urllib"):
        return web.Response(
            text=CLOUDFLARE.format(title="Forbidden"), status=403, content_type="text/html"
        )
    strike, method = venue.faults.strike, request.method
    if (slow := strike(("latency",), path, venue.clock.now_ns(), method=method)) is not None:
        jitter_ms = float(slow.args.get("jitter_ms", 0)) * venue.faults.draw()
        await asyncio.sleep((float(slow.args.get("ms", 0)) + jitter_ms) / 1_000)
    fault = strike(BEFORE, path, venue.clock.now_ns(), method=method)
    if fault is not None:
        await request.read()
        return await _struck(request, fault)
    response = await handler(request)
    fault = strike(AFTER, path, venue.clock.now_ns(), method=method)
    return response if fault is None else await _struck(request, fault)


async def _struck(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.kind == "hang":
        await asyncio.sleep(float(fault.args.get("s", 15)))
    if fault.kind in {"drop", "drop_after", "hang"}:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    body = fault.args.get("body", "")
    status = int(fault.args.get("status", 200))
    if not isinstance(body, str):
        return answer(body, status, fault.args.get("headers"))
    return web.Response(
        text=body, status=status, content_type=fault.args.get("type", "application/json")
    )


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write every error as the venue does; an unknown path is a JSON 404."""
    venue = request.app[VENUE]
    try:
        return await handler(request)
    except Refused as error:
        return refused(error)
    except VenueClosed as error:
        return closed(venue, error)
    except BadInput as error:
        return answer({"error": str(error)}, 400)
    except web.HTTPException as error:
        return answer({"error": f"{request.path}: {error.reason}"}, error.status)
