"""One market of the book-only recording: what is known of it between two frames."""

from __future__ import annotations

import msgspec

from engine.domain.events import InstrumentListed
from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind
from engine.errors import BadInput
from engine.venues.polymarket.market.book_hash import (
    GRID,
    TICKS,
    Sides,
    ends,
    find,
    head_of,
    stem,
    thousandths,
    touches,
)
from engine.venues.polymarket.market.level_map import LevelMap
from engine.venues.polymarket.market.numbers import ONE, PRICE_DECIMALS, SIZE_DECIMALS, units
from engine.venues.polymarket.market.side_reader import SideReader

SECOND_NS = 1_000_000_000
WINDOW_NS = 300 * SECOND_NS
THOUSANDTH = ONE // 1_000

# The recording holds no fee metadata. This is the schedule the venue published for the same
# product (data set 7, raw Gamma `feeSchedule`): rate 0.07, exponent 1, taker only, rebate 20 %.
FEES = FeeSchedule(taker_rate_ppm=70_000, exponent=1, rebate_rate_ppm=200_000)


class BookFrame(msgspec.Struct, gc=False):
    """A `book` message; the sides stay verbatim for the checksum."""

    market: str
    asset_id: str
    timestamp: str
    hash: str
    bids: msgspec.Raw
    asks: msgspec.Raw
    event_type: str
    tick_size: str | None = None
    """Only in the snapshot after a subscription, as is the last trade price."""
    last_trade_price: str | None = None


class Token:
    """One token's side of a market: how to read its frames, and its last one."""

    __slots__ = ("asks", "bids", "head", "last_hash", "last_stamp", "mirrored")

    def __init__(self, head: bytes, levels: LevelMap, *, mirrored: bool) -> None:
        self.head = head
        self.mirrored = mirrored
        self.bids = SideReader(levels, rising=not mirrored)
        self.asks = SideReader(levels, rising=mirrored)
        self.last_stamp = ""
        self.last_hash = ""

    def read(self, bids: bytes, asks: bytes) -> Sides:
        """Return the frame's book in YES-space. Raises BadFrame."""
        own_bids = self.bids.read(bids)
        own_asks = self.asks.read(asks)
        return (own_asks, own_bids) if self.mirrored else (own_bids, own_asks)


class RecordedMarket:
    """State of one market. `book` None = the book before is not known (start, gap, bad frame)."""

    __slots__ = (
        "book",
        "clock_ns",
        "closed",
        "epoch",
        "id",
        "instrument",
        "last",
        "listed_tick",
        "lost",
        "stamp_ns",
        "tick",
        "tokens",
        "told",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.id = instrument.id
        self.tokens: dict[str, Token] = {}
        self.book: Sides | None = None
        self.last: int | None = None
        """Last trade price in thousandths, in the token of the frame that told it."""
        self.tick = "0.01"
        self.listed_tick = ""
        """The tick of the last listing; empty = not listed yet."""
        self.stamp_ns = 0
        """The venue's stamp of the newest frame told."""
        self.told: list[tuple[bool, Sides]] = []
        """(mirrored, book) of every frame told with that stamp: the other token repeats them."""
        self.clock_ns = 0
        """When the market was last heard of."""
        self.lost = False
        self.closed = False
        self.epoch = 0
        """The reader's count of unreadable lines when the book was last told."""

    def check(
        self, token: Token, frame: BookFrame, raw: tuple[bytes, bytes], book: Sides
    ) -> tuple[int, str] | None:
        """Return (last trade price in thousandths, tick) that complete the hash, or None.

        `raw` are the frame's compact bids and asks, `book` what they say.
        """
        root = stem(token.head, frame.timestamp, *raw)
        expected, tick = frame.hash, frame.tick_size
        if tick is not None and frame.last_trade_price is not None:
            stated = thousandths(frame.last_trade_price)
            if stated is None or find(root, expected, ends(tick), (stated,)) is None:
                return None
            return stated, tick
        likely = touches(self.book or book, book)
        if self.last is not None:
            likely.insert(0, self.last)
        price = find(root, expected, ends(self.tick), likely)
        if price is not None:
            return price, self.tick
        for tick in dict.fromkeys((self.tick, *TICKS)):
            price = find(root, expected, ends(tick), GRID)
            if price is not None:
                return price, tick
        return None

    def listed(self, tick: str) -> InstrumentListed:
        """Return the listing under a tick as the venue writes it. Raises BadFrame."""
        step = units(tick, PRICE_DECIMALS, "tick")
        self.tick = self.listed_tick = tick
        self.instrument = msgspec.structs.replace(self.instrument, tick=step)
        return InstrumentListed(instrument=self.instrument)


def instrument_of(condition: str, slug: str, tokens: tuple[str, str] | None) -> Instrument:
    """Return the instrument of a 5-minute market. Raises BadInput where the slug names no start.

    token0 stands as YES by convention: the recording does not say which token is "Up".
    """
    series, _, start = slug.rpartition("-")
    if not series or not (start.isascii() and start.isdigit()):
        raise BadInput(f"{slug!r} does not end with the start of a window")
    starts_ns = int(start) * SECOND_NS
    return Instrument(
        id=InstrumentId(f"polymarket:{condition}"),
        kind=Kind.BINARY,
        currency="pUSD",
        price_decimals=PRICE_DECIMALS,
        size_decimals=SIZE_DECIMALS,
        tick=100,
        lot=10_000,
        size_min=5_000_000,
        notional_min_micro=1_000_000,
        fees=FEES,
        series=series,
        tokens=tokens,
        starts_ns=starts_ns,
        closes_ns=starts_ns + WINDOW_NS,
        protocol="v1",
    )


def new_token(market: RecordedMarket, asset_id: str, levels: LevelMap, *, mirrored: bool) -> Token:
    """Add a token to its market. `levels` must be mirrored as the token is."""
    condition = market.id.removeprefix("polymarket:")
    token = Token(head_of(condition, asset_id), levels, mirrored=mirrored)
    market.tokens[asset_id] = token
    return token
