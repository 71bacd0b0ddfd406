"""Both tokens' books of one market, and the batch of changes that is under way.

One matching event comes as several price_change frames with one timestamp and one hash per token;
inside the batch the local book may be locked. So frames are gathered, applied, and reported as one
change when both tokens' hashes match, or judged when the next batch begins or the time is up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from engine.domain.events import BookReplaced, Event, InstrumentListed
from engine.domain.instruments import Instrument, Side
from engine.feeds.counts import BadFrame
from engine.venues.polymarket.market.book_hash import (
    ALL_TICKS,
    GRID,
    TICKS,
    Texts,
    completes,
    end_of,
    ends,
    find,
    price_text,
    proves,
    stem,
    thousandths,
    touches,
)
from engine.venues.polymarket.market.frames import BookMessage, PriceChange, compact
from engine.venues.polymarket.market.level_map import LevelMap
from engine.venues.polymarket.market.metadata import tick_units
from engine.venues.polymarket.market.token_book import TokenBook


@dataclass(slots=True, eq=False)
class ChangeBatch:
    """Changes of one moment: applied to the token books, not yet reported."""

    timestamp: str
    stamp_ns: int
    due_ns: int
    planned: bool = False
    """True once somebody will come back at `due_ns`."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Token → what its book must hash to after the batch."""
    entries: list[PriceChange] = field(default_factory=list)
    changes: dict[tuple[Side, int], int] = field(default_factory=dict)
    """What the telling token's book changed: the last size per level."""

    def belongs(self, timestamp: str, entries: list[PriceChange]) -> bool:
        if timestamp != self.timestamp:
            return False
        hashes = self.hashes
        return all(hashes.get(entry.asset_id, entry.hash) == entry.hash for entry in entries)


class Taken(Enum):
    """What became of a full book."""

    WHOLE = auto()
    UNPROVEN = auto()
    """Its hash cannot be completed."""
    HISTORY = auto()
    """It is of the tick before: the frame of the new one overtook it."""


class MarketBook:
    """State of one market: its two token books and what completes their hashes.

    A new tick has a frame of its own, which books and changes may overtake: the tick that completes
    a hash is proven by it.
    """

    __slots__ = (
        "batch",
        "closed",
        "instrument",
        "last",
        "lost",
        "min_order_size",
        "neg_risk",
        "tick",
        "tick_ns",
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
        self.tokens = {yes: self.yes, no: TokenBook(condition, no, levels[1], mirrored=True)}
        self.tick = tick
        self.tick_ns = 0
        """Since when the tick is this one, by the venue's stamps; 0 = from the listing."""
        self.min_order_size = instrument.size_text(instrument.size_min)
        self.neg_risk = False
        self.last: str | None = None
        """Last trade price as the venue writes it, the same for both tokens; None = not seen."""
        self.trusted = False
        self.lost = False
        self.closed = False
        self.batch: ChangeBatch | None = None

    def snapshot_events(self) -> list[Event]:
        """Return what somebody who comes later must hear of this market."""
        events: list[Event] = [InstrumentListed(instrument=self.instrument)]
        if self.trusted:
            primary, (bids, asks) = self.primary(), self.primary().sides()
            whole = BookReplaced(
                instrument=self.instrument.id, bids=bids, asks=asks, exchange_ns=primary.stamp_ns
            )
            events.append(whole)
        return events

    def primary(self) -> TokenBook:
        """Return the token whose book is reported: YES where it was seen, else NO mirrored."""
        if self.yes.loaded:
            return self.yes
        return next(token for token in self.tokens.values() if token is not self.yes)

    def states_its_hash(self, token: TokenBook, message: BookMessage) -> bool | None:
        """Check a full book by what it states itself; None = it leaves out the last price."""
        if message.last_trade_price is None:
            return None
        return bool(self._stated_tick(token, message, message.last_trade_price))

    def _stated_tick(self, token: TokenBook, message: BookMessage, last: str) -> str:
        """Return the tick that completes a full book with its last trade price; empty = none."""
        root = stem(token.head, message.timestamp, compact(message.bids), compact(message.asks))
        for tick in self._ticks(message):
            if completes(root, message.hash, self._end(message, last, tick)):
                return tick
        return ""

    def _ticks(self, message: BookMessage | None) -> tuple[str, ...]:
        """Return the ticks that a hash may be of: the one it states, else what is known first."""
        if message is not None and message.tick_size:
            return (message.tick_size,)
        return (self.tick, *(tick for tick in ALL_TICKS if tick != self.tick))

    def retick(self, tick: str, stamp_ns: int) -> bool:
        """Take a tick as the venue writes it, as of its stamp; say whether it is another one.

        Raises BadFrame.
        """
        units = tick_units(tick)
        self.tick = tick
        if units == self.instrument.tick:
            return False
        self.tick_ns = stamp_ns
        self.instrument = msgspec.structs.replace(self.instrument, tick=units)
        return True

    def take(self, token: TokenBook, message: BookMessage, stamp_ns: int) -> Taken:
        """Take a full book over. Raises BadFrame.

        Where the message leaves out the last trade price or the tick, those that complete the hash
        are proven by it; the known ones and the touches are tried first.
        """
        before = self.tick, self.last, token.loaded
        if not self._proven(token, message):
            token.loaded = False
            return Taken.UNPROVEN
        if self.tick != before[0] and stamp_ns < self.tick_ns:
            self.tick, self.last, token.loaded = before
            return Taken.HISTORY
        self.min_order_size = message.min_order_size or self.min_order_size
        self.neg_risk = self.neg_risk if message.neg_risk is None else message.neg_risk
        self.last = self.last if message.last_trade_price is None else message.last_trade_price
        token.stamp_ns, token.hash = stamp_ns, message.hash
        return Taken.WHOLE

    def _proven(self, token: TokenBook, message: BookMessage) -> bool:
        """Load a full book; say whether its hash can be completed. Raises BadFrame."""
        sides_text = compact(message.bids), compact(message.asks)
        leaves_out = message.last_trade_price is None
        proven = leaves_out and self._known_proves(token, message, sides_text)
        before = token.sides() if leaves_out and not proven and token.loaded else ((), ())
        token.load(*sides_text)
        if not proven and message.last_trade_price is not None:
            tick = self._stated_tick(token, message, message.last_trade_price)
            proven, self.tick = bool(tick), tick or self.tick
        elif not proven:
            proven = self._find_last(
                token, message.timestamp, message.hash, touches(before, token.sides()), message
            )
        self.tick = (proven and message.tick_size) or self.tick
        return proven

    def _known_proves(self, token: TokenBook, message: BookMessage, sides: Texts) -> bool:
        """Return whether the known last trade price completes the hash: it mostly does."""
        if self.last is None:
            return False
        end = self._end(message, self.last)
        return proves(token.head, message.timestamp, sides, end, message.hash)

    def batch_matches(self, batch: ChangeBatch) -> bool:
        """Return whether every token of the batch has the hash the venue says."""
        if self.last is None:
            return False
        end, timestamp, tokens = self._end(None, self.last), batch.timestamp, self.tokens
        for asset_id, expected in batch.hashes.items():
            token = tokens[asset_id]
            sides = token.bids.text(), token.asks.text()
            if not proves(token.head, timestamp, sides, end, expected):
                return False
        return True

    def members(self, batch: ChangeBatch) -> list[tuple[TokenBook, str]]:
        """Return the batch's tokens with their hashes."""
        return [(self.tokens[asset_id], expected) for asset_id, expected in batch.hashes.items()]

    def recover_last(self, batch: ChangeBatch) -> bool:
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
        known = None if self.last is None else thousandths(self.last)
        if known is not None:
            likely = [known, *likely]
        ticks = self._ticks(message)
        for tick in ticks:
            prices = (*likely, *GRID) if tick in {ticks[0], *TICKS} else likely
            tails = ends(tick, self.min_order_size, neg_risk=self.neg_risk)
            price = find(root, expected, tails, prices)
            if price is not None:
                self.last, self.tick = price_text(price), tick
                return True
        return False

    def _end(self, message: BookMessage | None, last: str, tick: str = "") -> bytes:
        """Return the end of the hashed text: what is given or stated, else what is known."""
        tick, least, neg_risk = tick or self.tick, self.min_order_size, self.neg_risk
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
