"""What travels between the demo exchange's program and its customers: paths, frames, statuses.

HTTP for requests (a POST per request, the account in the query), two WebSockets for what is told
unasked: `/v1/market` begins with every market as it stands, `/v1/user` says what happens to one
account. Bodies are msgpack of the engine's own messages; a ticket is the JSON it was prepared as.
"""

from __future__ import annotations

import msgspec

from engine.domain.events import MarketEvent, VenueEvent
from engine.domain.instruments import AccountId

OPEN = "/v1/account"
PLACE = "/v1/place"
ASK = "/v1/ask"
"""Everything but a place: the effect itself, answered with events."""
HEARTBEAT = "/v1/beat"
MARKET = "/v1/market"
USER = "/v1/user"
HEALTH = "/v1/health"

CLOSED_STATUS = 503
"""The mode forbids it; the body is a `RefusalFrame`."""
UNKNOWN_STATUS = 401
"""No such account."""
BAD_STATUS = 400
FORBIDDEN_STATUS = 403
"""Not a customer but a web page."""

CUSTOMER = "x-pitboss-customer"
"""The header every customer sends. A web page cannot send one to another site without asking first,
and nobody answers that question."""

FRAME_BYTES_MAX = 64 * 1024 * 1024


class MarketFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Market events of one moment, in order. None = a keepalive: every open book is as told."""

    at_ns: int
    events: tuple[MarketEvent, ...] = ()


class ExchangeUserFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one account, in order. None = a keepalive."""

    at_ns: int
    events: tuple[VenueEvent, ...] = ()


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Open this account with this much cash; one that is open already stays as it is."""

    account: AccountId
    cash_micro: int


class RefusalFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request had no effect."""

    text: str
    mode: str = ""


pack = msgspec.msgpack.Encoder().encode
unpack_market = msgspec.msgpack.Decoder(MarketFrame).decode
unpack_user = msgspec.msgpack.Decoder(ExchangeUserFrame).decode
unpack_events = msgspec.msgpack.Decoder(tuple[VenueEvent, ...]).decode
unpack_refusal = msgspec.msgpack.Decoder(RefusalFrame).decode
