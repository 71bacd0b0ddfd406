"""The books of watched markets: what each message does to them, and whether they can be trusted."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from engine.domain.events import (
    BookChanged,
    BookDistrusted,
    BookProven,
    BookReplaced,
    Event,
    FeedRestored,
    InstrumentListed,
)
from engine.feeds.bad_frame import BadFrame
from engine.feeds.counts import FeedCounts
from engine.venues.polymarket.market.frames import (
    BookMessage,
    PriceChange,
    PriceChangeMessage,
)
from engine.venues.polymarket.market.market_book import ChangeBatch, MarketBook
from engine.venues.polymarket.market.metadata import tick_units
from engine.venues.polymarket.market.numbers import SIZE_DECIMALS, units
from engine.venues.polymarket.market.token_book import TokenBook

FEED = "polymarket"

BATCH_NS = 50_000_000
"""How long a batch may stay open: its frames arrive within a few milliseconds."""


class BookKeeper:
    """Applies messages to market books, checks them, and gives the events. Holds no market."""

    def __init__(self, counts: FeedCounts) -> None:
        self.counts = counts

    def book(self, market: MarketBook, token: TokenBook, message: BookMessage) -> list[Event]:
        """Take a full book. Raises BadFrame for a stamp that is none."""
        stamp_ns = stamp_of(message.timestamp)
        counts = self.counts
        if not message.hash:
            return self.distrust(market, "book without a hash")
        if stamp_ns < token.stamp_ns:
            # An update overtook this snapshot. Its content is history: look at it, take nothing.
            counts.out_of_order += 1
            self._count(market.states_its_hash(token, message))
            return []
        same = token.loaded and stamp_ns == token.stamp_ns and message.hash == token.hash
        teller = market.teller() is token
        try:
            taken = market.take(token, message)
        except BadFrame as error:
            return self.distrust(market, error.kind)
        self._count(taken)
        if not taken:
            if teller:
                return self.distrust(market, "hash mismatch")
            counts.anomaly("hash mismatch")
            return []
        token.stamp_ns, token.hash = stamp_ns, message.hash
        events = self.retick(market)
        events += self._overtake(market, token)
        if token is not market.teller():
            return events
        if same and market.trusted:
            return [*events, BookProven(instrument=market.instrument.id)]
        return events + self._tell_whole(market, stamp_ns)

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
        stamp_ns = stamp_of(timestamp)
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
        """Tell the open batch if its hashes match by now."""
        batch = market.batch
        if batch is None or not market.batch_matches(batch):
            return []
        return self._complete(market, batch)

    def _apply(self, market: MarketBook, batch: ChangeBatch, entries: list[PriceChange]) -> None:
        """Apply levels to their tokens' books. Raises BadFrame; what stood before it stays."""
        tokens, stamp_ns, teller = market.tokens, batch.stamp_ns, market.teller()
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
                size = units(text, SIZE_DECIMALS, "size")
            side, price, _ = token.change(entry, size)
            token.stamp_ns, token.hash = stamp_ns, ""
            batch.hashes[entry.asset_id] = entry.hash
            batch.entries.append(entry)
            if token is teller:
                batch.changes[side, price] = size

    def judge(self, market: MarketBook) -> list[Event]:
        """End a batch whose hashes did not match: an unseen trade explains it, or it is torn."""
        batch = market.batch
        if batch is None:
            return []
        # Searched only while the book was whole until now, so that a torn one costs nothing.
        if market.trusted and market.recover_last(batch):
            self.counts.last_prices_recovered += 1
            return self._complete(market, batch)
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
        if market.teller().crossed:
            return self.distrust(market, "crossed book")
        if not batch.changes:
            return []
        if not market.trusted:
            return self._tell_whole(market, batch.stamp_ns)
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
        """End the open batch for a token that was told whole; the other may be complete by now."""
        batch = market.batch
        if batch is None:
            return []
        if batch.hashes.pop(token.asset_id, None) is not None:
            batch.entries = [e for e in batch.entries if e.asset_id != token.asset_id]
        if token is market.teller():
            batch.changes.clear()
        if not batch.hashes:
            market.batch = None
            return []
        return self.try_complete(market)

    def _tell_whole(self, market: MarketBook, stamp_ns: int) -> list[Event]:
        """Tell the whole book: a snapshot, or a torn book that a hash proved whole again."""
        events: list[Event] = []
        instrument = market.instrument.id
        if market.lost:
            market.lost = False
            events.append(FeedRestored(feed=FEED, instrument=instrument))
        market.trusted = True
        bids, asks = market.teller().sides()
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

    def retick(self, market: MarketBook) -> list[Event]:
        """List the instrument again where its tick is another now."""
        tick = tick_units(market.tick)
        if tick == market.instrument.tick:
            return []
        market.instrument = msgspec.structs.replace(market.instrument, tick=tick)
        return [InstrumentListed(instrument=market.instrument)]


@lru_cache(maxsize=256)
def stamp_of(text: str) -> int:
    """Return a message's time in ns; the channel writes milliseconds. Raises BadFrame.

    Remembers the latest: the messages of one moment share its text.
    """
    return units(text, 0, "timestamp") * 1_000_000
