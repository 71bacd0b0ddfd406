"""Both tokens' books of one market, and the batch of changes that is under way.

One matching event comes as several price_change frames with one timestamp and one hash per token;
inside the batch the local book may be locked. So frames are gathered, applied, and told as one
change when both tokens' hashes match, or judged when the next batch begins or the time is up.
"""

from __future__ import annotations

from engine.domain.events import BookReplaced, Event, InstrumentListed
from engine.domain.instruments import Instrument, Side
from engine.feeds.bad_frame import BadFrame
from engine.feeds.polymarket.book_hash import (
    GRID,
    Sides,
    completes,
    end_of,
    ends,
    find,
    head_of,
    price_text,
    stem,
    touches,
)
from engine.feeds.polymarket.frames import BookMessage, PriceChange, compact
from engine.feeds.polymarket.level_map import LevelMap, price_units
from engine.feeds.polymarket.numbers import ONE, SIZE_DECIMALS, units
from engine.feeds.polymarket.side_book import SideBook

Change = tuple[Side, int, int]
"""(side, price, new size) in YES-space."""


class TokenBook:
    """One token's book in the venue's own bytes; what it tells is in YES-space."""

    __slots__ = ("asks", "asset_id", "bids", "hash", "head", "loaded", "mirrored", "stamp_ns")

    def __init__(self, condition: str, asset_id: str, levels: LevelMap, *, mirrored: bool) -> None:
        self.asset_id = asset_id
        self.mirrored = mirrored
        self.head = head_of(condition, asset_id)
        self.bids = SideBook(levels, rising=not mirrored)
        self.asks = SideBook(levels, rising=mirrored)
        self.loaded = False
        self.stamp_ns = 0
        """The venue's stamp of the newest content."""
        self.hash = ""

    def load(self, bids: bytes, asks: bytes) -> Sides:
        """Take a full book. Raises BadFrame; the token is then not loaded."""
        self.loaded = False
        own_bids, own_asks = self.bids.load(bids), self.asks.load(asks)
        sides = (own_asks, own_bids) if self.mirrored else (own_bids, own_asks)
        if sides[0] and sides[1] and sides[0][-1][0] >= sides[1][-1][0]:
            raise BadFrame("crossed book")
        self.loaded = True
        return sides

    def change(self, entry: PriceChange) -> Change:
        """Apply one level and give it in YES-space. Raises BadFrame."""
        if entry.side not in {"BUY", "SELL"}:
            raise BadFrame("unknown side", entry.side)
        price = price_units(entry.price)
        size = units(entry.size, SIZE_DECIMALS, "size")
        if self.mirrored:
            price = ONE - price
        own = self.bids if entry.side == "BUY" else self.asks
        part = f'"price":"{entry.price}","size":"{entry.size}"'.encode()
        own.change(part, price, gone=size == 0)
        buys = (entry.side == "BUY") is not self.mirrored
        return (Side.BUY if buys else Side.SELL), price, size

    def sides(self) -> Sides:
        """Return the book as it is now."""
        bids, asks = self.bids.levels(), self.asks.levels()
        return (asks, bids) if self.mirrored else (bids, asks)

    @property
    def crossed(self) -> bool:
        """Return whether the best bid is at or above the best ask."""
        bid, ask = self.bids.best, self.asks.best
        if bid is None or ask is None:
            return False
        return bid <= ask if self.mirrored else bid >= ask

    def tops_match(self, entry: PriceChange) -> bool:
        """Return whether the venue's advertised best bid and ask are ours."""
        return self._is(entry.best_bid, self.bids.best, "0") and self._is(
            entry.best_ask, self.asks.best, "1"
        )

    def _is(self, advertised: str | None, best: int | None, nothing: str) -> bool:
        """Compare one top; an empty side is advertised as 0 or 1, or not at all."""
        if best is None:
            return advertised in {None, "", "0", nothing}
        try:
            price = price_units(advertised or "")
        except BadFrame:
            return False
        return (ONE - price if self.mirrored else price) == best

    def forget(self) -> None:
        """Drop the content; a snapshot must come."""
        self.loaded = False
        self.stamp_ns = 0
        self.hash = ""
        self.bids.forget()
        self.asks.forget()


class Batch:
    """Changes of one moment: applied to the token books, not yet told."""

    __slots__ = ("changes", "due_ns", "entries", "hashes", "planned", "stamp_ns", "timestamp")

    def __init__(self, timestamp: str, stamp_ns: int, due_ns: int) -> None:
        self.timestamp = timestamp
        self.stamp_ns = stamp_ns
        self.due_ns = due_ns
        self.planned = False
        """True once somebody will come back at `due_ns`."""
        self.hashes: dict[str, str] = {}
        """Token → what its book must hash to after the batch."""
        self.entries: list[PriceChange] = []
        self.changes: dict[tuple[Side, int], int] = {}
        """What the telling token's book changed: the last size per level."""

    def belongs(self, timestamp: str, entries: list[PriceChange]) -> bool:
        """Return whether a further frame is of this batch."""
        hashes = self.hashes
        return timestamp == self.timestamp and all(
            hashes.get(entry.asset_id, entry.hash) == entry.hash for entry in entries
        )


class MarketBook:
    """State of one market: its two token books and what completes their hashes."""

    __slots__ = (
        "batch",
        "closed",
        "instrument",
        "last",
        "lost",
        "min_order_size",
        "neg_risk",
        "tick",
        "tokens",
        "trusted",
        "yes",
    )

    def __init__(
        self, instrument: Instrument, condition: str, levels: tuple[LevelMap, LevelMap], tick: str
    ) -> None:
        if instrument.tokens is None:
            raise BadFrame("instrument without tokens", instrument.id)
        yes, no = instrument.tokens
        self.instrument = instrument
        self.yes = TokenBook(condition, yes, levels[0], mirrored=False)
        self.tokens = {
            yes: self.yes,
            no: TokenBook(condition, no, levels[1], mirrored=True),
        }
        self.tick = tick
        self.min_order_size = _plain(instrument.size_decimal(instrument.size_min))
        self.neg_risk = False
        self.last: str | None = None
        """Last trade price as the venue writes it, the same for both tokens; None = not seen."""
        self.trusted = False
        self.lost = False
        self.closed = False
        self.batch: Batch | None = None

    def told(self) -> list[Event]:
        """Return what somebody who comes later must hear of this market."""
        events: list[Event] = [InstrumentListed(instrument=self.instrument)]
        if self.trusted:
            teller, (bids, asks) = self.teller(), self.teller().sides()
            whole = BookReplaced(
                instrument=self.instrument.id, bids=bids, asks=asks, exchange_ns=teller.stamp_ns
            )
            events.append(whole)
        return events

    def teller(self) -> TokenBook:
        """Return the token whose book is told: YES where it was seen, else NO mirrored."""
        if self.yes.loaded:
            return self.yes
        return next(token for token in self.tokens.values() if token is not self.yes)

    def states_its_hash(self, token: TokenBook, message: BookMessage) -> bool | None:
        """Check a full book by what it states itself; None = it leaves out the last price."""
        if message.last_trade_price is None:
            return None
        root = stem(token.head, message.timestamp, compact(message.bids), compact(message.asks))
        return completes(root, message.hash, self._end(message, message.last_trade_price))

    def take(self, token: TokenBook, message: BookMessage) -> Sides | None:
        """Take a full book over. None = its hash cannot be completed. Raises BadFrame.

        Where the message leaves out the last trade price, the one that completes the hash is
        proven by it; the known one and the touches are tried first.
        """
        leaves_out = message.last_trade_price is None
        before = token.sides() if leaves_out and token.loaded else ((), ())
        sides = token.load(compact(message.bids), compact(message.asks))
        proven = self.states_its_hash(token, message)
        if proven is None:
            proven = self._find_last(
                token, message.timestamp, message.hash, touches(before, sides), message
            )
        if not proven:
            token.loaded = False
            return None
        self.tick = message.tick_size or self.tick
        self.min_order_size = message.min_order_size or self.min_order_size
        self.neg_risk = self.neg_risk if message.neg_risk is None else message.neg_risk
        self.last = self.last if message.last_trade_price is None else message.last_trade_price
        return sides

    def batch_matches(self, batch: Batch) -> bool:
        """Return whether every token of the batch has the hash the venue says."""
        return all(
            self._matches(token, batch.timestamp, expected)
            for token, expected in self.members(batch)
        )

    def members(self, batch: Batch) -> list[tuple[TokenBook, str]]:
        """Return the batch's tokens with their hashes."""
        return [(self.tokens[asset_id], expected) for asset_id, expected in batch.hashes.items()]

    def recover_last(self, batch: Batch) -> bool:
        """Search the last trade price with which the batch's books match: an unseen trade."""
        before = self.last
        token, expected = self.members(batch)[0]
        likely = touches(token.sides())
        if not self._find_last(token, batch.timestamp, expected, likely):
            return False
        if self.batch_matches(batch):
            return True
        self.last = before
        return False

    def _find_last(
        self,
        token: TokenBook,
        timestamp: str,
        expected: str,
        likely: list[int],
        message: BookMessage | None = None,
    ) -> bool:
        """Find and keep the last trade price that completes the hash: known, touch, any.

        The hash proves it: at most a thousand prices against 160 bits. Nothing is assumed.
        """
        root = stem(token.head, timestamp, token.bids.text(), token.asks.text())
        if self.last is not None and completes(root, expected, self._end(message, self.last)):
            return True
        tails = ends(
            (message and message.tick_size) or self.tick,
            self.min_order_size,
            neg_risk=self.neg_risk,
        )
        price = find(root, expected, tails, (*likely, *GRID))
        if price is None:
            return False
        self.last = price_text(price)
        return True

    def _matches(self, token: TokenBook, timestamp: str, expected: str) -> bool:
        if self.last is None:
            return False
        root = stem(token.head, timestamp, token.bids.text(), token.asks.text())
        return completes(root, expected, self._end(None, self.last))

    def _end(self, message: BookMessage | None, last: str) -> bytes:
        """Return the end of the hashed text: what the message states, else what is known."""
        tick, least, neg_risk = self.tick, self.min_order_size, self.neg_risk
        if message is not None:
            tick = message.tick_size or tick
            least = message.min_order_size or least
            neg_risk = neg_risk if message.neg_risk is None else message.neg_risk
        return end_of(tick, last, least, neg_risk=neg_risk)

    def forget(self) -> None:
        """Drop both books: what comes next must be snapshots."""
        self.trusted = False
        self.batch = None
        for token in self.tokens.values():
            token.forget()


def _plain(number: object) -> str:
    """Return a Decimal without trailing zeros, as the venue writes sizes."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
