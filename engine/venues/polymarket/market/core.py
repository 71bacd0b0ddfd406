"""The market channel without its socket: `receive(frame, now_ns)` gives what happened.

The driver says what is watched (`watch`), hands over every frame, calls `advance` when `due_ns` has
come, and says when the connection broke (`lose`). The core never repairs a book: what it cannot
prove it tells as distrusted, until a snapshot or a hash proves it again (law D).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable

from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    TradePrinted,
)
from engine.domain.instruments import Instrument, InstrumentId, Side
from engine.errors import BrokenInvariant
from engine.feeds.counts import UNREADABLE, BadFrame, FeedCounts
from engine.venues.polymarket.market.book_hash import PRICE_STEPS, price_text
from engine.venues.polymarket.market.frames import (
    BookMessage,
    FlatChangeMessage,
    FrameReader,
    LastTradeMessage,
    MarketResolvedMessage,
    NewMarketMessage,
    PriceChange,
    PriceChangeMessage,
    TickSizeMessage,
    kind_of,
    read_array,
)
from engine.venues.polymarket.market.level_map import LevelMap, price_units
from engine.venues.polymarket.market.market_book import ChangeBatch, MarketBook, Taken
from engine.venues.polymarket.market.metadata import new_market
from engine.venues.polymarket.market.numbers import ONE, size_units, stamp_of
from engine.venues.polymarket.market.token_book import TokenBook

FEED = "polymarket"

BATCH_NS = 50_000_000
"""How long a batch may stay open: its frames arrive within a few milliseconds."""


class BookKeeper:
    """Applies messages to market books, checks them, and gives the events. Holds no market."""

    def __init__(self, counts: FeedCounts) -> None:
        self.counts = counts

    def book(
        self, market: MarketBook, token: TokenBook, message: BookMessage, now_ns: int
    ) -> list[Event]:
        """Take a full book. Raises BadFrame for a stamp that is none."""
        stamp_ns = stamp_of(message.timestamp, now_ns)
        counts = self.counts
        if not message.hash:
            return self.distrust(market, "book without a hash")
        if stamp_ns < token.stamp_ns:
            # An update overtook this snapshot. Its content is history: look at it, take nothing.
            counts.out_of_order += 1
            self._count(market.states_its_hash(token, message))
            return []
        same = token.loaded and stamp_ns == token.stamp_ns and message.hash == token.hash
        primary = market.primary() is token
        try:
            taken = market.take(token, message, stamp_ns)
        except BadFrame as error:
            return self.distrust(market, error.kind)
        self._count(taken is not Taken.UNPROVEN)
        if taken is Taken.HISTORY:
            counts.out_of_order += 1
            return []
        if taken is Taken.UNPROVEN:
            if primary:
                return self.distrust(market, "hash mismatch")
            counts.anomaly("hash mismatch")
            return []
        events = self.retick(market, stamp_ns)
        events += self._overtake(market, token)
        if token is not market.primary():
            return events
        if same and market.trusted:
            return [*events, BookProven(instrument=market.instrument.id)]
        return events + self._whole_book(market, stamp_ns)

    def _count(self, matched: bool | None) -> None:
        """Count one checked hash; None = it could not be checked."""
        if matched is None:
            return
        self.counts.hash_checked += 1
        self.counts.books_checked += 1
        if matched:
            self.counts.hash_matched += 1
            self.counts.books_matched += 1
        else:
            self.counts.hash_mismatched += 1

    def change(self, market: MarketBook, message: PriceChangeMessage, now_ns: int) -> list[Event]:
        """Take a part of a batch. `market.batch` stays where more is to come. Raises BadFrame."""
        timestamp, entries = message.timestamp, message.price_changes
        stamp_ns = stamp_of(timestamp, now_ns)
        events: list[Event] = []
        batch = market.batch
        if batch is not None and not batch.belongs(timestamp, entries):
            events += self.judge(market)
            batch = None
        if batch is None:
            batch = ChangeBatch(timestamp, stamp_ns, now_ns + BATCH_NS)
        try:
            self._apply(market, batch, entries)
        except BadFrame as error:
            market.batch = None
            return events + self.distrust(market, error.kind)
        if not batch.hashes:
            return events
        if market.batch_matches(batch):
            return events + self._complete(market, batch)
        market.batch = batch
        return events

    def try_complete(self, market: MarketBook) -> list[Event]:
        batch = market.batch
        if batch is None or not market.batch_matches(batch):
            return []
        return self._complete(market, batch)

    def _apply(self, market: MarketBook, batch: ChangeBatch, entries: list[PriceChange]) -> None:
        """Apply levels to their tokens' books. Raises BadFrame; what stood before it stays."""
        tokens, stamp_ns, primary = market.tokens, batch.stamp_ns, market.primary()
        text, size = "", 0
        for entry in entries:
            token = tokens.get(entry.asset_id)
            if token is None:
                raise BadFrame("token of another market")
            if not token.loaded:
                self.counts.anomaly("change before the first book")
                continue
            if stamp_ns < token.stamp_ns:
                self.counts.out_of_order += 1
                continue
            if entry.size != text:  # both tokens tell the same level
                text = entry.size
                size = size_units(text)
            side, price, _ = token.change(entry, size)
            token.stamp_ns, token.hash = stamp_ns, ""
            batch.hashes[entry.asset_id] = entry.hash
            batch.entries.append(entry)
            if token is primary:
                batch.changes[side, price] = size

    def judge(self, market: MarketBook) -> list[Event]:
        """End a batch whose hashes did not match: an unseen trade explains it, or it is torn."""
        batch = market.batch
        if batch is None:
            return []
        # Searched only while the book was whole until now, so that a torn one costs nothing.
        if market.trusted and market.recover_last(batch):
            self.counts.last_prices_recovered += 1
            return self.retick(market, batch.stamp_ns) + self._complete(market, batch)
        market.batch = None
        self._compare(market, batch)
        self.counts.hash_checked += len(batch.entries)
        self.counts.hash_mismatched += len(batch.entries)
        return self.distrust(market, "hash mismatch")

    def _complete(self, market: MarketBook, batch: ChangeBatch) -> list[Event]:
        """Tell a proven batch as one change; or the whole book, where it had been distrusted."""
        market.batch = None
        counts, tokens = self.counts, market.tokens
        counts.hash_checked += len(batch.entries)
        counts.hash_matched += len(batch.entries)
        counts.batches_complete += 1
        for asset_id, expected in batch.hashes.items():
            tokens[asset_id].hash = expected
        self._compare(market, batch)
        if market.primary().crossed:
            return self.distrust(market, "crossed book")
        if not batch.changes:
            return []
        if not market.trusted:
            return self._whole_book(market, batch.stamp_ns)
        changes = tuple([(side, price, size) for (side, price), size in batch.changes.items()])
        return [
            BookChanged(
                instrument=market.instrument.id, changes=changes, exchange_ns=batch.stamp_ns
            )
        ]

    def _compare(self, market: MarketBook, batch: ChangeBatch) -> None:
        """Compare our tops with the ones the venue advertised for the end of the batch."""
        counts, tokens = self.counts, market.tokens
        for entry in batch.entries:
            if entry.best_bid is None and entry.best_ask is None:
                continue
            counts.advertised_checked += 1
            if tokens[entry.asset_id].tops_match(entry):
                counts.advertised_matched += 1
            else:
                counts.anomaly("advertised top differs")

    def _overtake(self, market: MarketBook, token: TokenBook) -> list[Event]:
        """End the open batch for a token sent whole; the other may be complete by now."""
        batch = market.batch
        if batch is None:
            return []
        if batch.hashes.pop(token.asset_id, None) is not None:
            batch.entries = [e for e in batch.entries if e.asset_id != token.asset_id]
        if token is market.primary():
            batch.changes.clear()
        if not batch.hashes:
            market.batch = None
            return []
        return self.try_complete(market)

    def _whole_book(self, market: MarketBook, stamp_ns: int) -> list[Event]:
        """Tell the whole book: a snapshot, or a torn book that a hash proved whole again."""
        events: list[Event] = []
        instrument = market.instrument.id
        if market.lost:
            market.lost = False
            events.append(FeedRestored(feed=FEED, instrument=instrument))
        market.trusted = True
        bids, asks = market.primary().sides()
        events.append(
            BookReplaced(instrument=instrument, bids=bids, asks=asks, exchange_ns=stamp_ns)
        )
        return events

    def distrust(self, market: MarketBook, reason: str) -> list[Event]:
        """Count what is wrong, and say once that the book is torn."""
        self.counts.anomaly(reason)
        if not market.trusted:
            return []
        market.trusted = False
        return [BookDistrusted(instrument=market.instrument.id, reason=reason)]

    def retick(self, market: MarketBook, stamp_ns: int) -> list[Event]:
        """List the instrument again where its tick is another now, as of the venue's stamp."""
        if not market.retick(market.tick, stamp_ns):
            return []
        return [InstrumentListed(instrument=market.instrument)]


# -- `last_trade_price` messages → TradePrinted in YES-space, each match once ----------------------

RECENT_MAX = 256
"""Prints remembered to recognise the other token's echo of the same match."""

_THOUSANDTH = ONE // PRICE_STEPS


class TradePrints:
    """Tells trades; drops the echo that the channel may send for the complementary token."""

    def __init__(self, counts: FeedCounts) -> None:
        self._counts = counts
        self._recent: deque[tuple[object, ...]] = deque(maxlen=RECENT_MAX)

    def read(
        self, message: LastTradeMessage, instrument: InstrumentId, now_ns: int, *, mirrored: bool
    ) -> list[Event]:
        """Return the trade, in YES-space; `side` is the taker's. Raises BadFrame."""
        price = price_units(message.price)
        size = size_units(message.size)
        stamp_ns = stamp_of(message.timestamp, now_ns)
        if size == 0:
            raise BadFrame("size zero")
        if message.side not in {"BUY", "SELL"}:
            raise BadFrame("unknown side", message.side)
        buys = (message.side == "BUY") is not mirrored
        price = ONE - price if mirrored else price
        key = (instrument, message.timestamp, message.transaction_hash, price, size, buys)
        echo = (*key, not mirrored)
        if echo in self._recent:
            self._recent.remove(echo)
            self._counts.mirrored += 1
            return []
        self._recent.append((*key, mirrored))
        return [
            TradePrinted(
                instrument=instrument,
                price=price,
                size=size,
                aggressor=Side.BUY if buys else Side.SELL,
                exchange_ns=stamp_ns,
            )
        ]

    @staticmethod
    def last_price(message: LastTradeMessage) -> str | None:
        """Return the price as book hashes write it; None where it has more than 3 decimals."""
        price = price_units(message.price)
        if price % _THOUSANDTH:
            return None
        return price_text(price // _THOUSANDTH)


# -- The market channel without its socket: `receive(frame, now_ns)` gives what happened -----------

MARKETS_MAX = 5_000
"""Markets watched at once. The channel takes 200 tokens per connection."""

FORGET_AFTER_NS = 600 * 1_000_000_000
"""How long a closed market is still followed: late frames and its resolution."""

NEVER_NS = 1 << 62
PREFIX = "polymarket:"

_SILENT_TEXTS = frozenset({b"", b"PONG", b"pong"})
_KNOWN_AND_UNUSED = frozenset({"best_bid_ask"})
"""Arrives before the changes it sums up; the changes themselves carry the same tops."""


class MarketFeedCore:
    """Everything one market channel knows. Deterministic; time comes with each call."""

    def __init__(self, counts: FeedCounts) -> None:
        self.counts = counts
        self.due_ns = NEVER_NS
        """When `advance` has something to say."""
        self._levels = (LevelMap(), LevelMap(mirrored=True))
        self._markets: dict[str, MarketBook] = {}
        self._by_token: dict[str, MarketBook] = {}
        self._agenda: list[tuple[int, int, str, str]] = []
        self._numbers = 0
        self._prints = TradePrints(counts)
        self._keeper = BookKeeper(counts)
        self._books = FrameReader("book", BookMessage)
        self._changes = FrameReader("price_change", PriceChangeMessage)
        self._flat_changes = FrameReader("price_change", FlatChangeMessage, whole=False)
        self._trades = FrameReader("last_trade_price", LastTradeMessage)
        self._ticks = FrameReader("tick_size_change", TickSizeMessage)
        self._news = FrameReader("new_market", NewMarketMessage, whole=False)
        self._ends = FrameReader("market_resolved", MarketResolvedMessage, whole=False)
        self._takers: dict[str, Callable[[bytes, int], list[Event]]] = {
            "book": self._book,
            "price_change": self._change,
            "last_trade_price": self._trade,
            "tick_size_change": self._tick_size,
            "new_market": self._new_market,
            "market_resolved": self._resolved,
        }

    # -- what the driver says ----------------------------------------------------------------------

    def watch(
        self, instrument: Instrument, tick: str, *, neg_risk: bool = False, min_order_size: str = ""
    ) -> list[Event]:
        """Follow an instrument's tokens from now on; `watched` has its book.

        `tick` and `min_order_size` as the venue writes them ("0.01", "5"): both, and `neg_risk`,
        are part of what a book's hash covers. Empty = as the instrument has it.
        """
        condition = _condition(instrument)
        if condition in self._markets:
            return []
        if len(self._markets) >= MARKETS_MAX:
            raise BrokenInvariant(f"more than {MARKETS_MAX} markets watched: forget closed ones")
        market = MarketBook(instrument, condition, self._levels, tick)
        market.neg_risk = neg_risk
        market.min_order_size = min_order_size or market.min_order_size
        self._markets[condition] = market
        for asset_id in market.tokens:
            self._by_token[asset_id] = market
        if instrument.closes_ns is not None:
            self._plan(instrument.closes_ns, "close", condition)
        return [InstrumentListed(instrument=instrument)]

    def unwatch(self, instrument: InstrumentId) -> None:
        condition = _bare(instrument)
        market = self._markets.get(condition)
        if market is not None:
            self._forget(condition, market)

    def watched(self, instrument: InstrumentId) -> MarketBook | None:
        """Return the books of an instrument; None = it is not watched, or forgotten by now."""
        return self._markets.get(_bare(instrument))

    def lose(self, reason: str, instruments: Iterable[InstrumentId] | None = None) -> list[Event]:
        """Say that the connection broke: every book of these must come anew; None = of all."""
        self.counts.gaps += 1
        whole = instruments is None
        names = self._markets if instruments is None else map(_bare, instruments)
        lost = [market for name in names if (market := self._markets.get(name)) is not None]
        for market in lost:
            market.forget()
            market.lost = True
        if whole:
            return [FeedLost(feed=FEED, instrument=None, reason=reason)]
        return [FeedLost(feed=FEED, instrument=m.instrument.id, reason=reason) for m in lost]

    def advance(self, now_ns: int) -> list[Event]:
        """Let time pass: judge batches that stayed open, close markets, forget them."""
        events: list[Event] = []
        while self._agenda and self._agenda[0][0] <= now_ns:
            at_ns, _, what, condition = heapq.heappop(self._agenda)
            market = self._markets.get(condition)
            if market is None:
                continue
            if what == "batch":
                if market.batch is not None and market.batch.due_ns <= at_ns:
                    events += self._keeper.judge(market)
            elif what == "close":
                if market.closed:
                    continue
                market.closed = True
                self._plan(at_ns + FORGET_AFTER_NS, "forget", condition)
                events.append(InstrumentClosed(instrument=market.instrument.id))
            else:
                self._forget(condition, market)
        self.due_ns = self._agenda[0][0] if self._agenda else NEVER_NS
        return events

    def finish(self) -> list[Event]:
        """Judge every open batch: no further frame will come."""
        events: list[Event] = []
        for market in self._markets.values():
            events += self._keeper.judge(market)
        return events

    def receive(self, frame: bytes, now_ns: int) -> list[Event]:
        """Take one text frame of the socket, or one REST book."""
        first = frame[:1]
        if first == b"[":
            try:
                parts = read_array(frame)
            except UNREADABLE:
                self.counts.anomaly("broken json")
                return []
            events: list[Event] = []
            for part in parts:
                events += self._one(bytes(part), now_ns)
            return events
        if first != b"{" and frame.strip() in _SILENT_TEXTS:
            return []
        return self._one(frame, now_ns)

    # -- one message -------------------------------------------------------------------------------

    def _one(self, text: bytes, now_ns: int) -> list[Event]:
        try:
            kind = kind_of(text)
            taker = self._takers.get(kind)
            if taker is not None:
                return taker(text, now_ns)
            if kind not in _KNOWN_AND_UNUSED:
                self.counts.anomaly(f"unknown event type {kind[:40]!r}")
        except BadFrame as error:
            self.counts.anomaly(error.kind)
        return []

    def _book(self, text: bytes, now_ns: int) -> list[Event]:
        message = self._books.read(text, self.counts)
        market, token = self._find(message.asset_id)
        return self._keeper.book(market, token, message, now_ns)

    def _change(self, text: bytes, now_ns: int) -> list[Event]:
        if b'"price_changes"' in text:
            message = self._changes.read(text, self.counts)
        else:
            message = self._flat_changes.read(text, self.counts).grouped()
        if not message.price_changes:
            return []
        market = self._find(message.price_changes[0].asset_id)[0]
        events = self._keeper.change(market, message, now_ns)
        batch = market.batch
        if batch is not None and not batch.planned:
            batch.planned = True
            self._plan(batch.due_ns, "batch", _condition(market.instrument))
        return events

    def _trade(self, text: bytes, now_ns: int) -> list[Event]:
        message = self._trades.read(text, self.counts)
        market, token = self._find(message.asset_id)
        instrument = market.instrument.id
        trades = self._prints.read(message, instrument, now_ns, mirrored=token.mirrored)
        market.last = self._prints.last_price(message)
        return trades + self._keeper.try_complete(market)

    def _tick_size(self, text: bytes, now_ns: int) -> list[Event]:
        """Take a new grid. The venue sends a new book after it; the old one is void until then.

        A book or a change that overtook this frame has proven the grid already.
        """
        message = self._ticks.read(text, self.counts)
        market = self._find(message.asset_id)[0]
        try:
            stamp_ns = stamp_of(message.timestamp, now_ns)
        except BadFrame:  # the grid counts all the same
            stamp_ns = market.tick_ns
        if stamp_ns < market.tick_ns:
            self.counts.out_of_order += 1
            return []
        if not market.retick(message.new_tick_size, stamp_ns):
            return []
        market.forget()
        instrument = market.instrument
        return [
            InstrumentListed(instrument=instrument),
            BookDistrusted(instrument=instrument.id, reason="tick size changed"),
        ]

    def _new_market(self, text: bytes, now_ns: int) -> list[Event]:
        del now_ns
        instrument = new_market(self._news.read(text, self.counts))
        if _condition(instrument) in self._markets:
            return []
        return [InstrumentListed(instrument=instrument)]

    def _resolved(self, text: bytes, now_ns: int) -> list[Event]:
        """Take the end of a market. One without a winner closes it: its payout must be asked."""
        message = self._ends.read(text, self.counts)
        market = self._markets.get(message.market)
        if market is None:
            return []  # the channel tells the end of every market of the venue
        token = market.tokens.get(message.winning_asset_id)
        if token is None:
            self.counts.anomaly("winner is none of the tokens")
            if market.closed:
                return []
            market.closed = True
            self._plan(now_ns + FORGET_AFTER_NS, "forget", message.market)
            return [InstrumentClosed(instrument=market.instrument.id)]
        return [
            InstrumentResolved(
                instrument=market.instrument.id,
                payout_yes_micro=0 if token.mirrored else 1_000_000,
                source="polymarket market_resolved",
            )
        ]

    # -- small things ------------------------------------------------------------------------------

    def _find(self, asset_id: str) -> tuple[MarketBook, TokenBook]:
        """Return the watched market of a token. Raises BadFrame."""
        market = self._by_token.get(asset_id)
        if market is None:
            raise BadFrame("token not watched")
        return market, market.tokens[asset_id]

    def _forget(self, condition: str, market: MarketBook) -> None:
        del self._markets[condition]
        for asset_id in market.tokens:
            del self._by_token[asset_id]

    def _plan(self, at_ns: int, what: str, condition: str) -> None:
        self._numbers += 1
        heapq.heappush(self._agenda, (at_ns, self._numbers, what, condition))
        self.due_ns = self._agenda[0][0]


def _condition(instrument: Instrument) -> str:
    return _bare(instrument.id)


def _bare(instrument: InstrumentId) -> str:
    return instrument.removeprefix(PREFIX)
