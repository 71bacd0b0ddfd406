"""The market channel without its socket: `receive(frame, now_ns)` gives what happened.

The driver says what is watched (`watch`), hands over every frame, calls `advance` when `due_ns` has
come, and says when the connection broke (`lose`). The core never repairs a book: what it cannot
prove it tells as distrusted, until a snapshot or a hash proves it again (law D).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from engine.domain.events import (
    BookDistrusted,
    Event,
    FeedLost,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
)
from engine.domain.instruments import Instrument
from engine.errors import BrokenInvariant
from engine.feeds.bad_frame import UNREADABLE, BadFrame
from engine.feeds.counts import FeedCounts
from engine.feeds.polymarket.book_keeper import FEED, BookKeeper
from engine.feeds.polymarket.frames import (
    BookMessage,
    Head,
    LastTradeMessage,
    MarketResolvedMessage,
    NewMarketMessage,
    PriceChangeMessage,
    Reader,
    TickSizeMessage,
    read_array,
    read_head,
)
from engine.feeds.polymarket.level_map import LevelMap
from engine.feeds.polymarket.market_book import MarketBook, TokenBook
from engine.feeds.polymarket.metadata import new_market, tick_units
from engine.feeds.polymarket.trade_prints import TradePrints

MARKETS_MAX = 5_000
"""Markets watched at once. The channel takes 200 tokens per connection."""

FORGET_AFTER_NS = 600 * 1_000_000_000
"""How long a closed market is still followed: late frames and its resolution."""

NEVER_NS = 1 << 62

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
        self._books = Reader("book", BookMessage)
        self._changes = Reader("price_change", PriceChangeMessage)
        self._trades = Reader("last_trade_price", LastTradeMessage)
        self._ticks = Reader("tick_size_change", TickSizeMessage)
        self._news = Reader("new_market", NewMarketMessage, whole=False)
        self._ends = Reader("market_resolved", MarketResolvedMessage, whole=False)
        self._takers: dict[str, Callable[[bytes, int], list[Event]]] = {
            "book": self._book,
            "price_change": self._change,
            "last_trade_price": self._trade,
            "tick_size_change": self._tick_size,
            "new_market": self._new_market,
            "market_resolved": self._resolved,
        }

    # -- what the driver says ----------------------------------------------------------------------

    def watch(self, instrument: Instrument, tick: str) -> list[Event]:
        """Follow an instrument's tokens from now on. `tick` as the venue writes it ("0.01")."""
        condition = _condition(instrument)
        if condition in self._markets:
            return []
        if len(self._markets) >= MARKETS_MAX:
            raise BrokenInvariant(f"more than {MARKETS_MAX} markets watched: forget closed ones")
        market = MarketBook(instrument, condition, self._levels, tick)
        self._markets[condition] = market
        for asset_id in market.tokens:
            self._by_token[asset_id] = market
        if instrument.closes_ns is not None:
            self._plan(instrument.closes_ns, "close", condition)
        return [InstrumentListed(instrument=instrument)]

    def lose(self, reason: str) -> list[Event]:
        """Say that the connection broke: every book must come anew."""
        self.counts.gaps += 1
        for market in self._markets.values():
            market.forget()
            market.lost = True
        return [FeedLost(feed=FEED, instrument=None, reason=reason)]

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
            kind = _kind_of(text)
            taker = self._takers.get(kind)
            if taker is not None:
                return taker(text, now_ns)
            if kind not in _KNOWN_AND_UNUSED:
                self.counts.anomaly(f"unknown event type {kind[:40]!r}")
        except BadFrame as error:
            self.counts.anomaly(error.kind)
        return []

    def _book(self, text: bytes, now_ns: int) -> list[Event]:
        del now_ns
        message = self._books.read(text, self.counts)
        market, token = self._find(message.asset_id)
        return self._keeper.book(market, token, message)

    def _change(self, text: bytes, now_ns: int) -> list[Event]:
        message = self._changes.read(text, self.counts)
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
        del now_ns
        message = self._trades.read(text, self.counts)
        market, token = self._find(message.asset_id)
        trades = self._prints.read(message, market.instrument.id, mirrored=token.mirrored)
        market.last = self._prints.last_price(message)
        return trades + self._keeper.try_complete(market)

    def _tick_size(self, text: bytes, now_ns: int) -> list[Event]:
        """Take a new grid. The venue sends a new book after it; the old one is void until then."""
        del now_ns
        message = self._ticks.read(text, self.counts)
        market = self._find(message.asset_id)[0]
        tick_units(message.new_tick_size)
        market.tick = message.new_tick_size
        events = self._keeper.retick(market)
        if events:
            events.append(
                BookDistrusted(instrument=market.instrument.id, reason="tick size changed")
            )
            market.forget()
        return events

    def _new_market(self, text: bytes, now_ns: int) -> list[Event]:
        del now_ns
        instrument = new_market(self._news.read(text, self.counts))
        if _condition(instrument) in self._markets:
            return []
        return [InstrumentListed(instrument=instrument)]

    def _resolved(self, text: bytes, now_ns: int) -> list[Event]:
        del now_ns
        message = self._ends.read(text, self.counts)
        market = self._markets.get(message.market)
        if market is None:
            return []  # the channel tells the end of every market of the venue
        token = market.tokens.get(message.winning_asset_id)
        if token is None:
            raise BadFrame("winner is none of the tokens")
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


def _kind_of(text: bytes) -> str:
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
    if bytes(head.bids):
        return "book"
    return ""


def _condition(instrument: Instrument) -> str:
    return instrument.id.removeprefix("polymarket:")
