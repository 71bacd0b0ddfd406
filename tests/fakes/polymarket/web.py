"""What every REST room needs: JSON in and out, whose request it is, pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from engine.domain.events import VenueMode
from engine.errors import VenueClosed
from tests.fakes.polymarket.auth import ApiKey
from tests.fakes.polymarket.refusal import BAD_PAYLOAD, Refused
from tests.fakes.polymarket.venue import Venue

VENUE = web.AppKey("venue", Venue)
PAGE = 100
START, END = "MA==", "LTE="
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_encode = msgspec.json.Encoder(decimal_format="string").encode


def text_of(body: object) -> str:
    """Return compact JSON."""
    return _encode(body).decode()


def frame_text(frame: dict[str, Any]) -> str:
    """Return a market frame as the venue writes it: all but books have spaces after commas."""
    if frame["event_type"] == "book":
        return text_of(frame)
    return json.dumps(frame, separators=(", ", ":"))


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=_encode(body), status=status, headers=headers, content_type="application/json"
    )


def venue_of(request: web.Request) -> Venue:
    """Return the venue, with everything done that is due."""
    venue = request.app[VENUE]
    venue.pump()
    return venue


async def body_of(request: web.Request) -> Any:
    """Return a JSON body. Raises Refused where it is none."""
    try:
        return msgspec.json.decode(await request.read() or b"null")
    except msgspec.DecodeError:
        raise Refused(BAD_PAYLOAD) from None


async def key_of(request: web.Request) -> ApiKey:
    """Return whose L2 request this is. Raises Refused."""
    body = await request.read()
    venue = request.app[VENUE]
    return venue.auth.check(request.headers, request.method, request.path, body)


def refused(error: Refused) -> web.Response:
    """Return an error as the venue writes it."""
    return answer(error.body(), error.status, error.headers)


def closed(venue: Venue, error: VenueClosed) -> web.Response:
    """Return what a closed venue answers (polymarket.md §5.8)."""
    if error.mode == VenueMode.RESTARTING:
        return answer({"error": str(error)}, 425, {"Retry-After": "1"})
    if error.mode == VenueMode.POST_ONLY:
        left_s = max(1, (venue.post_only_until_ns - venue.exchange.now_ns) // 10**9)
        body = {"error": str(error), "code": "post_only_mode", "retry_after_seconds": left_s}
        return answer(body, 503, {"Retry-After": str(left_s)})
    return answer({"error": str(error)}, 503)


def page(rows: Sequence[Any], cursor: str | None, size: int = PAGE) -> dict[str, Any]:
    """Return one page of a CLOB listing; the end is `LTE=`, never an empty cursor."""
    start = _offset(cursor)
    part = list(rows[start : start + size])
    more = start + size < len(rows)
    return {
        "limit": size,
        "count": len(part),
        "next_cursor": cursor_of(start + size) if more else END,
        "data": part,
    }


def cursor_of(offset: int) -> str:
    """Return the cursor of an offset."""
    return base64.b64encode(str(offset).encode()).decode()


def _offset(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        found = int(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        raise Refused("Invalid next_cursor") from None
    return found if found >= 0 else 10**9
