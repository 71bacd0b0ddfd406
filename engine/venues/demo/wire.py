"""What travels between the demo exchange's program and its customers: paths, frames, statuses.

HTTP for requests (a POST per request, the account in the query), two WebSockets for what comes
unasked: `/v1/market` begins with every market as it stands, `/v1/user` says what happens to one
account. Bodies are msgpack of the engine's own messages; a ticket is the JSON it was prepared as.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from engine.domain.events import MarketEvent, VenueEvent
from engine.domain.instruments import AccountId, InstrumentId
from engine.errors import BadInput
from engine.feeds.counts import UNREADABLE

T = TypeVar("T")

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
and the exchange does not answer that question."""

FRAME_BYTES_MAX = 64 * 1024 * 1024


class Traded(msgspec.Struct, frozen=True, array_like=True):
    """What a market traded, in micro-units of its currency."""

    day_micro: int
    """In 24 h."""
    total_micro: int


class MarketFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Market events of one moment, in order. None = a keepalive: every open book is as sent."""

    at_ns: int
    events: tuple[MarketEvent, ...] = ()
    traded: dict[InstrumentId, Traded] = {}
    """Of every market, in the first frame alone."""


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
_market = msgspec.msgpack.Decoder(MarketFrame).decode
_user = msgspec.msgpack.Decoder(ExchangeUserFrame).decode
_events = msgspec.msgpack.Decoder(tuple[VenueEvent, ...]).decode
_refusal = msgspec.msgpack.Decoder(RefusalFrame).decode


def _read(decode: Callable[[bytes], T], raw: bytes) -> T:
    try:
        return decode(raw)
    except UNREADABLE as error:
        raise BadInput(f"the demo exchange sent what cannot be read: {error}") from None


def unpack_market(raw: bytes) -> MarketFrame:
    """Return a frame of the market stream. Raises BadInput."""
    return _read(_market, raw)


def unpack_user(raw: bytes) -> ExchangeUserFrame:
    """Return a frame of an account's stream. Raises BadInput."""
    return _read(_user, raw)


def unpack_events(raw: bytes) -> tuple[VenueEvent, ...]:
    """Return the answer to a request. Raises BadInput."""
    return _read(_events, raw)


def unpack_refusal(raw: bytes) -> RefusalFrame:
    """Return why a request had no effect. Raises BadInput."""
    return _read(_refusal, raw)
