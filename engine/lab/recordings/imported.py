"""Imported data sets as recordings: bars as those of a file, trades with a book made around them.

Of quotes the book is what they say, best bid and ask alone; no trade is known, so that an order
which rests fills where the other side of a later quote reaches it. Of trades:

What stood in the book is not in the data set, so it is made by stated laws:

- Each trade prints as it was, at its own time; a resting order fills where the trade reaches it.
- Behind it the book stands at its price, with the spread that `BarMarket` says, and on either side
  a share of what the last `SEEN` trades were together, never more than they show.
- An order needs at least a millisecond: it meets the book behind a later moment, never the trade
  that decided it.
- Where trades are missing the feed is lost until the next one. A data set keeps its first gaps one
  by one; behind the last of them a number that is left out of the trades' ids is a gap.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from engine.domain.events import (
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import InstrumentId, Side
from engine.errors import BadInput
from engine.lab.formats.importing import numbered
from engine.lab.formats.numbers import DECIMALS_MAX, decimals_of
from engine.lab.recordings.bar_files import (
    FEED,
    SIZE_DECIMALS_MIN,
    BarColumns,
    BarRecording,
    S,
    currency_of,
    instrument_of,
)
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.made_bars import NO_COSTS, BarMarket, book_around
from storage.datasets import COLUMNS, DataKind, Dataset, columns, read, verify

SEEN = 20
"""Trades whose size together says how much the book shows."""
MINUTE_NS = 60 * S
AGE_MS = 3_600_000
"""How old a book made of trades may be: between two trades nothing is known to have changed."""


def open_dataset(
    path: Path, *, market: BarMarket = NO_COSTS, name: str = ""
) -> BarRecording | TradeRecording:
    """Open a data set as a recording; `name` = its instrument, empty = as it was imported.

    Raises BadInput where it holds prices alone or is not as it was imported, StorageError.
    """
    found = read(path)
    if wrong := verify(path):
        raise BadInput(f"{wrong[0]}; import it again")
    if found.kind is DataKind.PRICES:
        raise BadInput(
            f"{found.name} holds prices without sizes: no order can be filled by them, so no "
            "backtest can be played; import trades or bars"
        )
    if found.kind is DataKind.FUNDING:
        raise BadInput(
            f"{found.name} holds rates of funding: no order can be filled by them; import trades, "
            "quotes or bars, and play those with --funding"
        )
    if found.kind is DataKind.TRADES:
        return TradeRecording(path, found, market=market, name=name)
    if found.kind is DataKind.QUOTES:
        return QuoteRecording(path, found, market=market, name=name)
    values = [array("q") for _ in COLUMNS[DataKind.BARS]]
    for block in columns(path):
        for column, more in zip(values, block, strict=True):
            column.extend(more)
    lines = array("I", range(1, 1 + found.rows))
    bars = BarColumns(found.name, lines, values, found.duplicates)
    return BarRecording(path, market=market, name=name or found.instrument, columns=bars)


class TradeRecording:
    """Trades of one instrument as a recording. Implements `Recording`; see the laws above."""

    tick_ns = S

    def __init__(self, path: Path, found: Dataset, *, market: BarMarket, name: str) -> None:
        self.stats = RecordingStats()
        self._path, self._found, self._market = path, found, market
        symbol = name or found.instrument
        decimals = decimals_of(found.price_gcd)
        sizes = max(decimals_of(found.size_gcd), 6 - decimals, SIZE_DECIMALS_MIN)
        self.currency = currency_of(symbol)
        self.instrument = instrument_of(
            InstrumentId(symbol), self.currency, market, decimals=(decimals, sizes)
        )
        self.data_age_ms = AGE_MS
        self.stats.bytes_total = found.rows
        self.stats.duplicates = found.duplicates

    def held(self, start_ns: int | None, until_ns: int | None) -> list[float]:
        """Return what one was worth at the first trade and the last of each minute between.

        See `BarRecording.held`.
        """
        first: list[float] = []
        minutes: dict[int, int] = {}
        for times, prices, *_ in columns(self._path):
            for at_ns, price in zip(times, prices, strict=True):
                if at_ns >= (start_ns or 0) and (until_ns is None or at_ns < until_ns):
                    first = first or [price / 1e8]
                    minutes[at_ns // MINUTE_NS] = price
        return [*first, *(price / 1e8 for price in minutes.values())]

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        stats, key, market = self.stats, self.instrument.id, self._market
        price_parts = 10 ** (DECIMALS_MAX - self.instrument.price_decimals)
        size_parts = 10 ** (DECIMALS_MAX - self.instrument.size_decimals)
        stats.markets.add(key)
        found = self._found
        gaps, last_id, last_ns = deque(found.gaps_kept), 0, 0
        more = found.gaps > len(gaps) and all(map(numbered, found.files))
        seen: deque[int] = deque(maxlen=SEEN)
        sides = {1: Side.BUY, -1: Side.SELL, 0: None}
        for at_ns, parts, amount, side, number in self._rows():
            price, size = parts // price_parts, amount // size_parts
            if stats.first_ns is None:
                stats.first_ns = at_ns
                yield at_ns, InstrumentListed(instrument=self.instrument)
            while gaps and gaps[0][1] <= at_ns:
                since_ns, _ = gaps.popleft()
                yield from self._gap(since_ns, at_ns)
                last_id = 0  # this one is told
            if more and not gaps and 0 < last_id < number - 1:
                yield from self._gap(last_ns, at_ns)
            last_id, last_ns = number, at_ns
            stats.last_ns = at_ns
            stats.events += 2
            yield (
                at_ns,
                TradePrinted(
                    instrument=key,
                    price=price,
                    size=size or None,
                    aggressor=sides[side],
                    source=SizeSource.TAPED if size else SizeSource.UNKNOWN,
                ),
            )
            seen.append(size)
            yield at_ns, book_around(self.instrument, price, sum(seen), market)
        if stats.last_ns is not None:
            yield stats.last_ns, InstrumentClosed(instrument=key)

    def _gap(self, since_ns: int, at_ns: int) -> Iterator[tuple[int, Event]]:
        """Tell a gap of the imported file where it ends: before, there was no later trade."""
        key, stats = self.instrument.id, self.stats
        stats.gaps += 1
        stats.gap_ns += at_ns - since_ns
        yield at_ns, FeedLost(feed=FEED, instrument=key, reason="trades are missing")
        yield at_ns, FeedRestored(feed=FEED, instrument=key)

    def _rows(self) -> Iterator[tuple[int, ...]]:
        stats, name = self.stats, self._path.name
        for block in columns(self._path):
            for row in zip(*block, strict=True):
                stats.frames += 1
                stats.bytes_read = stats.frames
                stats.at = (name, stats.frames)
                yield row


class QuoteRecording(TradeRecording):
    """Quotes of one instrument as a recording. Implements `Recording`; see above."""

    def held(self, start_ns: int | None, until_ns: int | None) -> list[float]:
        """Return what one was worth at the first mid and the last of each minute between."""
        first: list[float] = []
        minutes: dict[int, float] = {}
        for times, bids, asks, *_ in columns(self._path):
            for at_ns, bid, ask in zip(times, bids, asks, strict=True):
                within = at_ns >= (start_ns or 0) and (until_ns is None or at_ns < until_ns)
                if bid and ask and within:
                    mid = (bid + ask) / 2e8
                    first = first or [mid]
                    minutes[at_ns // MINUTE_NS] = mid
        return [*first, *minutes.values()]

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        stats, key = self.stats, self.instrument.id
        price_parts = 10 ** (DECIMALS_MAX - self.instrument.price_decimals)
        size_parts = 10 ** (DECIMALS_MAX - self.instrument.size_decimals)
        stats.markets.add(key)
        for at_ns, bid, ask, bid_size, ask_size in self._rows():
            if stats.first_ns is None:
                stats.first_ns = at_ns
                yield at_ns, InstrumentListed(instrument=self.instrument)
            stats.last_ns = at_ns
            stats.events += 1
            bids = ((bid // price_parts, bid_size // size_parts),) if bid_size else ()
            asks = ((ask // price_parts, ask_size // size_parts),) if ask_size else ()
            yield at_ns, BookReplaced(instrument=key, bids=bids, asks=asks)
        if stats.last_ns is not None:
            yield stats.last_ns, InstrumentClosed(instrument=key)
