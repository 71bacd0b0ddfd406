"""Messages of the market channel as the venue writes them, and how to tell them apart.

A frame is one object or an array of objects, or bare text (`PONG`). A REST book is a `book` without
`event_type`. Every kind has a strict decoder, so that new fields are noticed, and a loose one, so
that they do not stop anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from engine.feeds.counts import UNREADABLE, BadFrame, FeedCounts

M = TypeVar("M", bound=msgspec.Struct)


class BookMessage(msgspec.Struct, gc=False):
    """A full book. What is None the channel leaves out; the sides stay verbatim for the hash."""

    market: str
    asset_id: str
    timestamp: str
    bids: msgspec.Raw
    asks: msgspec.Raw
    hash: str = ""
    """Empty = it states none: such a book cannot be proven."""
    event_type: str = "book"
    tick_size: str | None = None
    last_trade_price: str | None = None
    """Empty where nothing has traded yet."""
    min_order_size: str | None = None
    neg_risk: bool | None = None


class PriceChange(msgspec.Struct, gc=False):
    """One level's new aggregate size; `hash` is the token's book after the whole batch."""

    asset_id: str
    price: str
    size: str
    side: str
    hash: str
    best_bid: str | None = None
    best_ask: str | None = None


class PriceChangeMessage(msgspec.Struct):
    """A part of a batch: both tokens' mirrored levels."""

    market: str
    price_changes: list[PriceChange]
    timestamp: str
    event_type: str = "price_change"


class FlatChangeMessage(msgspec.Struct, gc=False):
    """A change as the channel sent it until 2025-09-15: one level, not mirrored."""

    market: str
    asset_id: str
    price: str
    size: str
    side: str
    hash: str
    timestamp: str

    def grouped(self) -> PriceChangeMessage:
        """Return it in the present shape."""
        entry = PriceChange(
            asset_id=self.asset_id, price=self.price, size=self.size, side=self.side, hash=self.hash
        )
        return PriceChangeMessage(
            market=self.market, price_changes=[entry], timestamp=self.timestamp
        )


class LastTradeMessage(msgspec.Struct, gc=False):
    """A trade print. It has no id."""

    market: str
    asset_id: str
    price: str
    size: str
    side: str
    timestamp: str
    fee_rate_bps: str = ""
    transaction_hash: str = ""
    event_type: str = "last_trade_price"


class TickSizeMessage(msgspec.Struct, gc=False):
    """The market's grid changed."""

    market: str
    asset_id: str
    new_tick_size: str
    timestamp: str
    old_tick_size: str | None = None
    event_type: str = "tick_size_change"


class FeeScheduleWire(msgspec.Struct):
    """Fees as metadata spells them; numbers come as text or as numbers."""

    exponent: str | int | float | None = None
    rate: str | int | float | None = None
    taker_only: bool | None = None
    rebate_rate: str | int | float | None = None


class NewMarketMessage(msgspec.Struct):
    """A market was created: what we need of its metadata."""

    market: str
    slug: str
    assets_ids: list[str]
    outcomes: list[str]
    timestamp: str
    order_price_min_tick_size: str = "0.01"
    fees_enabled: bool = False
    fee_schedule: FeeScheduleWire | None = None
    version: str = "v1"


class MarketResolvedMessage(msgspec.Struct):
    """The venue says which token pays."""

    market: str
    winning_asset_id: str
    timestamp: str


class Head(msgspec.Struct):
    """Enough of a message to know its kind."""

    event_type: str | None = None
    bids: msgspec.Raw = msgspec.Raw()
    price_changes: msgspec.Raw = msgspec.Raw()
    new_tick_size: msgspec.Raw = msgspec.Raw()
    price: msgspec.Raw = msgspec.Raw()

    def shape(self) -> str:
        """Return the kind of a message that does not name it; empty = it has no known shape."""
        if bytes(self.bids):
            return "book"
        if bytes(self.price_changes):
            return "price_change"
        if bytes(self.new_tick_size):
            return "tick_size_change"
        return "last_trade_price" if bytes(self.price) else ""


def compact(raw: msgspec.Raw) -> bytes:
    """Return JSON without white space: as the venue hashes it, however it sent it."""
    text = bytes(raw)
    if b" " in text or b"\n" in text:
        return msgspec.json.format(text, indent=-1)
    return text


class FrameReader(Generic[M]):
    """Decodes one kind of message; counts unknown fields, raises BadFrame for another shape."""

    __slots__ = ("_kind", "_loose", "_strict")

    def __init__(self, kind: str, message: type[M], *, whole: bool = True) -> None:
        """`whole` = the message names every field of the kind, so others are news."""
        self._kind = kind
        self._loose: Callable[[bytes], M] = msgspec.json.Decoder(message).decode
        self._strict = self._loose
        if whole:
            strict: type[M] = msgspec.defstruct(  # type: ignore[assignment]
                f"Strict{message.__name__}", [], bases=(message,), forbid_unknown_fields=True
            )
            self._strict = msgspec.json.Decoder(strict).decode

    def read(self, text: bytes, counts: FeedCounts) -> M:
        try:
            return self._strict(text)
        except UNREADABLE:
            pass  # read again below: another shape, or merely a new field
        try:
            message = self._loose(text)
        except msgspec.ValidationError as error:
            raise BadFrame(f"unexpected shape of {self._kind}", str(error)) from None
        except UNREADABLE as error:
            raise BadFrame("broken json", str(error)) from None
        counts.anomaly(f"unknown field in {self._kind}")
        return message


read_head = msgspec.json.Decoder(Head).decode
read_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


def kind_of(text: bytes) -> str:
    """Return the message's kind. Raises BadFrame. REST books carry none."""
    if text.endswith((b'"event_type":"price_change"}', b'"event_type": "price_change"}')):
        return "price_change"
    try:
        head: Head = read_head(text)
    except msgspec.ValidationError as error:
        raise BadFrame("unexpected shape", str(error)) from None
    except UNREADABLE as error:
        raise BadFrame("broken json", str(error)) from None
    if head.event_type is not None:
        return head.event_type
    return head.shape()
