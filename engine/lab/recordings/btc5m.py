"""Reader of the book-only recording of BTC 5-minute markets (`polymarket_btc5m_l2`).

Each line is `{"recv_ts":<s>,"slug":…,"raw":<verbatim book message>}`: a full book per trade, sorted
by receive time. Every book is checked against the venue's own hash, which also yields the trade
price the message leaves out. What cannot be known is left unknown: a size that did not fall, an
aggressor between two readings, an outcome (the recording has none, and a price is not one).
"""

from __future__ import annotations

import csv
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind
from engine.errors import BadInput
from engine.feeds.counts import UNREADABLE, BadFrame
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.inferred_trades import changes_between, read_trade
from engine.lab.recordings.lines import read_lines
from engine.lab.recordings.receive_times import AHEAD, TIME_NS_MAX, Frame, ReceiveTimes
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
from engine.venues.polymarket.market.frames import compact
from engine.venues.polymarket.market.level_map import LevelMap
from engine.venues.polymarket.market.numbers import ONE, PRICE_DECIMALS, SIZE_DECIMALS, units
from engine.venues.polymarket.market.side_reader import SideReader

# -- One market of the book-only recording: what is known of it between two frames -----------------

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


class RecordedToken:
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


@dataclass(slots=True, eq=False)
class RecordedMarket:
    """State of one market. `book` None = the book before is not known (start, gap, bad frame)."""

    instrument: Instrument
    id: InstrumentId
    tokens: dict[str, RecordedToken] = field(default_factory=dict)
    book: Sides | None = None
    last: int | None = None
    """Last trade price in thousandths, in the token of the frame that carried it."""
    tick: str = "0.01"
    listed_tick: str = ""
    """The tick of the last listing; empty = not listed yet."""
    stamp_ns: int = 0
    """The venue's stamp of the newest frame published."""
    published: list[tuple[bool, Sides]] = field(default_factory=list)
    """(mirrored, book) of every frame published with that stamp: the other token repeats them."""
    clock_ns: int = 0
    """When the market was last heard of."""
    lost: bool = False
    closed: bool = False
    epoch: int = 0
    """The reader's count of unreadable lines when the book was last published."""

    def check(
        self, token: RecordedToken, frame: BookFrame, raw: tuple[bytes, bytes], book: Sides
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


def new_token(
    market: RecordedMarket, asset_id: str, levels: LevelMap, *, mirrored: bool
) -> RecordedToken:
    condition = market.id.removeprefix("polymarket:")
    token = RecordedToken(head_of(condition, asset_id), levels, mirrored=mirrored)
    market.tokens[asset_id] = token
    return token


# -- What happens between frames: a market falls silent, closes, and is forgotten ------------------

FEED = "polymarket"
SILENCE_NS = 10 * SECOND_NS
"""A market of this product trades eleven times a second: ten seconds of nothing are a gap."""

FORGET_AFTER_NS = 600 * SECOND_NS
"""A market is dropped from memory so long after its close; its last frames come in seconds."""

NEVER_NS = 1 << 62


class SilenceWatch:
    """Markets by condition id, and the heap of what is due for them."""

    def __init__(self, stats: RecordingStats) -> None:
        self._stats = stats
        self.markets: dict[str, RecordedMarket] = {}
        self.due_ns = NEVER_NS
        """When something is due without a further frame."""
        self._heap: list[tuple[int, int, str, str]] = []
        self._counter = 0

    def add(self, condition: str, market: RecordedMarket, now_ns: int) -> None:
        self.markets[condition] = market
        starts_ns, closes_ns = window_of(market)
        self._push(max(closes_ns, now_ns), "close", condition)
        self._push(max(now_ns, starts_ns) + SILENCE_NS, "silence", condition)

    def received(self, condition: str, market: RecordedMarket, now_ns: int) -> list[Event]:
        silent_ns = now_ns - max(market.clock_ns, window_of(market)[0])
        market.clock_ns = now_ns
        if not market.lost:
            return []
        market.lost = False
        self._stats.gap_ns += silent_ns
        self._push(now_ns + SILENCE_NS, "silence", condition)
        return [FeedRestored(feed=FEED, instrument=market.id)]

    def due(self, now_ns: int) -> Iterator[tuple[int, Event]]:
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            at_ns, _, what, condition = heapq.heappop(heap)
            market = self.markets[condition]
            event = self._happen(at_ns, what, condition, market)
            if event is not None:
                self._stats.events += 1
                yield at_ns, event
        self.due_ns = heap[0][0] if heap else NEVER_NS

    def rest(self) -> Iterator[tuple[int, Event]]:
        """Yield what is due after the last frame: the close of every market is announced.

        A market whose window outlives the recording is lost first: its rest was not recorded.
        """
        yield from self.due(NEVER_NS)

    def _happen(
        self, at_ns: int, what: str, condition: str, market: RecordedMarket
    ) -> Event | None:
        if what == "silence":
            return self._silence(at_ns, condition, market)
        if what == "close":
            market.closed = True
            if market.lost:
                market.lost = False
                self._stats.gap_ns += at_ns - max(market.clock_ns, window_of(market)[0])
            self._push(at_ns + FORGET_AFTER_NS, "forget", condition)
            return InstrumentClosed(instrument=market.id)
        del self.markets[condition]
        return None

    def _silence(self, at_ns: int, condition: str, market: RecordedMarket) -> Event | None:
        starts_ns, closes_ns = window_of(market)
        silent_ns = max(market.clock_ns, starts_ns) + SILENCE_NS
        if market.closed or silent_ns >= closes_ns:
            return None
        if silent_ns > at_ns:
            self._push(silent_ns, "silence", condition)
            return None
        market.lost = True
        market.book = None
        self._stats.gaps += 1
        return FeedLost(feed=FEED, instrument=market.id, reason="no frame for 10 s")

    def _push(self, at_ns: int, what: str, condition: str) -> None:
        self._counter += 1
        heapq.heappush(self._heap, (at_ns, self._counter, what, condition))
        self.due_ns = min(self.due_ns, self._heap[0][0])


def window_of(market: RecordedMarket) -> tuple[int, int]:
    """Return (start, close) of the measured window in ns; a 5-minute market has both."""
    instrument = market.instrument
    return instrument.starts_ns or 0, instrument.closes_ns or NEVER_NS


# -- Reader of the book-only recording of BTC 5-minute markets (`polymarket_btc5m_l2`) -------------

MARKETS_MAX = 1_000
"""Markets at once; a 5-minute series has two or three, and old ones are dropped."""


SECONDS_MAX = TIME_NS_MAX // 1_000_000_000
"""Stands for a receive time that is none: before the epoch, or beyond all time."""


class BookLine(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One line of the recording."""

    recv_ts: float
    slug: str
    raw: BookFrame


class LooseLine(msgspec.Struct, gc=False):
    """The same with fields we do not know."""

    recv_ts: float
    slug: str
    raw: BookFrame


_strict = msgspec.json.Decoder(BookLine).decode
_loose = msgspec.json.Decoder(LooseLine).decode

TokenTable = dict[str, tuple[str, str]]
"""Condition id → (token0, token1)."""


class Btc5mRecording:
    """The days given, in order. token0 of `tokens` stands as YES; unknown: the first one met."""

    def __init__(
        self, paths: Sequence[Path], tokens: TokenTable, size_max: int | None = None
    ) -> None:
        """`size_max` caps the size of a trade that is read from a falling level."""
        self._size_max = size_max
        self.stats = RecordingStats()
        self.stats.bytes_total = sum(path.stat().st_size for path in paths)
        self._paths = tuple(paths)
        self._table = tokens
        self._levels = (LevelMap(), LevelMap(mirrored=True))
        self._watch = SilenceWatch(self.stats)
        self._markets = self._watch.markets
        self._epoch = 0

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        stats, watch = self.stats, self._watch
        for frame, now_ns in ReceiveTimes(stats).timed(self._frames()):
            stats.frames += 1
            stats.at = frame.at
            read = frame.line
            if read is None:
                # It is unknown whose frame was lost: no market's next fall of a level is a trade.
                self._epoch += 1
                continue
            if watch.due_ns <= now_ns:
                yield from watch.due(now_ns)
            stats.last_ns = now_ns
            if stats.first_ns is None:
                stats.first_ns = now_ns
            try:
                events = self._take(read.slug, read.raw, frame.stamp_ns, now_ns)
            except BadFrame as error:
                events = self._refuse(read.raw, error.kind)
            stats.events += len(events)
            for event in events:
                yield now_ns, event
        for now_ns, event in watch.rest():
            stats.last_ns = now_ns
            yield now_ns, event

    def _frames(self) -> Iterator[Frame]:
        stats = self.stats
        for path in self._paths:
            for number, line in read_lines(path, stats):
                stats.at = at = (path.name, number)
                read = self._decode(line)
                if read is None:
                    yield Frame(at, None)
                    continue
                # In seconds with microseconds, which a float holds exactly enough.
                seconds = read.recv_ts if 0 <= read.recv_ts < SECONDS_MAX else SECONDS_MAX
                received_ns = round(seconds * 1e6) * 1_000
                # Only what a trade made is stamped when it is sent, and carries no tick.
                fresh = read.raw.tick_size is None or seconds == SECONDS_MAX
                yield Frame(at, read, received_ns, _stamp(read.raw.timestamp), fresh)

    def _decode(self, line: bytes) -> BookLine | LooseLine | None:
        try:
            return _strict(line)
        except UNREADABLE:
            pass
        try:
            read = _loose(line)
        except msgspec.ValidationError:
            kind = "unexpected shape"
        except UNREADABLE:
            kind = "broken json"
        else:
            self.stats.anomaly("unknown field")
            return read
        self.stats.anomaly(kind)
        return None

    def _take(self, slug: str, frame: BookFrame, stamp_ns: int, now_ns: int) -> list[Event]:
        """Check one frame and give its events. Raises BadFrame."""
        if frame.event_type != "book":
            raise BadFrame("unknown event type")
        if stamp_ns == AHEAD:
            raise BadFrame("stamp ahead of its receipt")
        if not stamp_ns:
            raise BadFrame("timestamp not a number", repr(frame.timestamp))
        stats = self.stats
        market = self._markets.get(frame.market)
        if market is None:
            market = self._open(slug, frame, now_ns)
        token = market.tokens.get(frame.asset_id)
        if token is None:
            token = self._open_token(market, frame)
        raw = compact(frame.bids), compact(frame.asks)
        bids, asks = book = token.read(*raw)
        if bids and asks and bids[-1][0] >= asks[-1][0]:
            raise BadFrame("crossed book")
        stats.hash_checked += 1
        stats.books_checked += 1
        found = market.check(token, frame, raw, book)
        if found is None:
            stats.hash_mismatched += 1
            raise BadFrame("hash mismatch")
        stats.hash_matched += 1
        stats.books_matched += 1
        if self._stale(market, token, frame, stamp_ns):
            return []
        market.last, market.tick = found
        return self._publish(market, token, frame, book, now_ns)

    def _stale(
        self, market: RecordedMarket, token: RecordedToken, frame: BookFrame, stamp_ns: int
    ) -> bool:
        """Return whether the frame adds nothing: read twice, or older than what was published.

        Older frames come right after a subscription: the snapshot overtook them.
        """
        if frame.timestamp == token.last_stamp and frame.hash == token.last_hash:
            self.stats.duplicates += 1
            return True
        token.last_stamp, token.last_hash = frame.timestamp, frame.hash
        if stamp_ns < market.stamp_ns:
            self.stats.out_of_order += 1
            return True
        if stamp_ns > market.stamp_ns:
            market.stamp_ns = stamp_ns
            market.published.clear()
        return False

    def _publish(
        self,
        market: RecordedMarket,
        token: RecordedToken,
        frame: BookFrame,
        book: Sides,
        now_ns: int,
    ) -> list[Event]:
        """Give the events of a proven frame: the trade before the book it left behind."""
        other = (not token.mirrored, book)
        if other in market.published:
            # The venue sends one match once per token; the second frame is the same trade and book.
            market.published.remove(other)
            market.clock_ns = now_ns
            self.stats.mirrored += 1
            return []
        if len(market.tokens) > 1:
            market.published.append((token.mirrored, book))
        events = self._watch.received(frame.market, market, now_ns)
        whole = bool(events)
        if market.tick != market.listed_tick:
            events.append(market.listed(market.tick))
        if market.epoch != self._epoch:
            market.epoch = self._epoch
            market.book = None
        if frame.tick_size is None:
            events.append(self._trade(market, token, book))
        events.append(_book(market, book, whole=whole))
        market.book = book
        return events

    def _trade(self, market: RecordedMarket, token: RecordedToken, book: Sides) -> TradePrinted:
        """Give the trade that caused a frame, read from the proven last trade price."""
        own = (market.last or 0) * THOUSANDTH
        last = ONE - own if token.mirrored else own
        trade = read_trade(last, market.book, book, self._size_max)
        stats = self.stats
        if trade.size is None:
            stats.sizes_unknown += 1
        else:
            stats.sizes_inferred += 1
            stats.sizes_capped += trade.size == self._size_max
        return TradePrinted(
            instrument=market.id,
            price=trade.price,
            size=trade.size,
            aggressor=trade.aggressor,
            source=trade.source,
            exchange_ns=market.stamp_ns,
        )

    def _open(self, slug: str, frame: BookFrame, now_ns: int) -> RecordedMarket:
        if len(self._markets) >= MARKETS_MAX:
            raise BadInput(f"more than {MARKETS_MAX} markets at once: not this kind of recording")
        pair = self._table.get(frame.market)
        try:
            instrument = instrument_of(frame.market, slug, pair)
        except BadInput:
            raise BadFrame("slug without a start") from None
        market = RecordedMarket(instrument, instrument.id, clock_ns=now_ns, epoch=self._epoch)
        if pair is not None:
            for asset_id, mirrored in zip(pair, (False, True), strict=True):
                new_token(market, asset_id, self._levels[mirrored], mirrored=mirrored)
        self._watch.add(frame.market, market, now_ns)
        self.stats.markets.add(market.id)
        return market

    def _open_token(self, market: RecordedMarket, frame: BookFrame) -> RecordedToken:
        """Begin a token the table does not name: the first one met is YES, the second NO."""
        if len(market.tokens) >= 2:
            raise BadFrame("third token")
        mirrored = bool(market.tokens)
        return new_token(market, frame.asset_id, self._levels[mirrored], mirrored=mirrored)

    def _refuse(self, frame: BookFrame, kind: str) -> list[Event]:
        """Count a frame that cannot be believed; its market's book is torn until the next one."""
        self.stats.anomaly(kind)
        market = self._markets.get(frame.market)
        if market is None or not market.listed_tick:
            return []
        market.book = None
        return [BookDistrusted(instrument=market.id, reason=kind)]


def _stamp(text: str) -> int:
    """Return the venue's milliseconds in ns; 0 where the text is no time."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(SECONDS_MAX)) + 3:
        return 0
    return int(text) * 1_000_000


def _book(market: RecordedMarket, book: Sides, *, whole: bool) -> BookReplaced | BookChanged:
    """Give the book of a frame: whole where nothing stands before it, else what changed."""
    if whole or market.book is None:
        return BookReplaced(
            instrument=market.id, bids=book[0], asks=book[1], exchange_ns=market.stamp_ns
        )
    return BookChanged(
        instrument=market.id,
        changes=changes_between(market.book, book),
        exchange_ns=market.stamp_ns,
    )


def read_tokens(path: Path) -> TokenTable:
    """Read `markets.csv`. Raises BadInput where a column is missing."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {
                row["market_condition_id"]: (row["token0"], row["token1"])
                for row in csv.DictReader(file)
                if row["token0"] and row["token1"]
            }
    except (KeyError, csv.Error, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path.name} is not the table of this recording's markets: {error}"
        ) from None
