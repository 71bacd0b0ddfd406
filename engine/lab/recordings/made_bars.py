"""What one bar is made into, by the laws of `bar_files`, and bars that follow without a gap.

A `Stretch` holds its bars as columns; a bar, and the events it is made into, are made when asked
for: most bars of a backtest change nothing, and nothing of them is needed but their numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from engine.domain.bars import Bar, BarSpec
from engine.domain.books import Level
from engine.domain.events import BarClosed, BookMarked, BookReplaced, Event, TradePrinted
from engine.domain.fills import SizeSource
from engine.domain.instruments import Instrument, InstrumentId, Side
from engine.indicators.columns import FloatColumn

EVENTS_A_BAR = 5
BPS = 10_000
FIELDS = ("open", "high", "low", "close", "volume")
_BUY, _SELL = Side.BUY, Side.SELL
IntColumn = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BarMarket:
    """What is assumed of the market around a bar. Basis points are of the price."""

    slippage_bps: float = 0.0
    """Half the spread: what a taker pays from the price on."""
    impact_bps: float = 0.0
    """What taking the whole displayed size costs more, growing with the root of what is taken."""
    volume_share: float = 0.1
    """How much of a bar's volume can be traded by us."""
    taker_fee_bps: float = 10.0
    maker_fee_bps: float = 10.0

    @property
    def levels(self) -> int:
        return 1 if not self.impact_bps else 5


NO_COSTS = BarMarket()


class BarLaws:
    """How the market around the bars of one instrument is made."""

    def __init__(self, instrument: Instrument, market: BarMarket, spec: BarSpec) -> None:
        self.instrument = instrument
        self.market = market
        self.spec = spec
        self.bars = spec.text
        self.volume_min = volume_shown(instrument, market)
        """Volume of a bar below which the book around it is empty."""
        self._away_bps = _away_bps(market, 0)

    def book(self, price: int, volume: int) -> BookReplaced:
        """Return the book at a price, where so much was traded before."""
        return book_around(self.instrument, price, volume, self.market)

    def touch(self, price: int) -> tuple[int, int]:
        """Return the best bid and ask of a book around a price that is not empty."""
        away = round(price * self._away_bps / BPS)
        return max(self.instrument.tick, price - away), price + away

    def mids2(self, prices: IntColumn) -> list[int]:
        """Return twice the mid of the touch around each price."""
        away = np.rint(prices * self._away_bps / BPS).astype(np.int64)
        bids = np.maximum(self.instrument.tick, prices - away)
        mids2: list[int] = (bids + prices + away).tolist()
        return mids2

    def mark(self, price: int, at_ns: int) -> BookMarked:
        """Return what the account learns of a book around a price."""
        bid, ask = self.touch(price)
        return BookMarked(
            instrument=self.instrument.id, best_bid=bid, best_ask=ask, mid2=bid + ask,
            two_sided_ns=at_ns, proof_ns=at_ns, trusted=True, closed=False,
        )  # fmt: skip

    def printed(self, price: int, volume: int, aggressor: Side) -> TradePrinted:
        """Return the trade at an extreme of a bar of this volume."""
        share = int(volume * self.market.volume_share)
        return TradePrinted(
            instrument=self.instrument.id,
            price=price,
            size=share or None,
            aggressor=aggressor,
            source=SizeSource.INFERRED if share else SizeSource.UNKNOWN,
        )


class MadeBar:
    """What one bar is made into; its events are made when somebody asks for them."""

    __slots__ = ("_rest", "bar", "before", "closed", "laws")

    def __init__(self, laws: BarLaws, bar: Bar, before: int) -> None:
        """`before` = the volume of the bar before it."""
        self.laws = laws
        self.bar = bar
        self.before = before
        self.closed = BarClosed(instrument=laws.instrument.id, bars=laws.bars, bar=bar)
        self._rest: tuple[tuple[int, Event], ...] = ()

    @property
    def falls_first(self) -> bool:
        """True where the low is nearer to the open than the high."""
        bar = self.bar
        return bar.open - bar.low <= bar.high - bar.open

    def book(self) -> BookReplaced:
        """Return the book of its last moment."""
        return self.laws.book(self.bar.close, self.bar.volume)

    def mark(self) -> BookMarked:
        """Return what the account learns of that book."""
        return self.laws.mark(self.bar.close, self.bar.end_ns - 1)

    def opening(self) -> tuple[int, BookReplaced]:
        """Return its first event: the book at its open."""
        return self.bar.start_ns, self.laws.book(self.bar.open, self.before)

    def rest(self) -> tuple[tuple[int, Event], ...]:
        """Return its events behind the first one, each with its time."""
        if self._rest:
            return self._rest
        bar, laws = self.bar, self.laws
        third_ns = laws.spec.step // 3
        first_ns = bar.start_ns + third_ns
        low = laws.printed(bar.low, bar.volume, _SELL)
        high = laws.printed(bar.high, bar.volume, _BUY)
        first, second = (low, high) if self.falls_first else (high, low)
        self._rest = (
            (first_ns, first),
            (first_ns + third_ns, second),
            (bar.end_ns - 1, self.book()),
            (bar.end_ns, self.closed),
        )
        return self._rest

    def events(self) -> tuple[tuple[int, Event], ...]:
        """Return all its events, each with its time."""
        return self.opening(), *self.rest()


class Stretch:
    """Bars that follow one another without a gap; columns in the instrument's units."""

    def __init__(
        self, laws: BarLaws, start_ns: int, columns: Sequence[IntColumn], before: int
    ) -> None:
        """`columns` = open, high, low, close, volume; `before` = the volume before the first."""
        self.laws = laws
        self.instrument: InstrumentId = laws.instrument.id
        self.start_ns = start_ns
        self.step_ns = laws.spec.step
        self.first_trade_in_ns = self.step_ns // 3
        """How long after its start the first trade of a bar prints."""
        self.arrays = columns
        self._columns: list[list[int]] = [column.tolist() for column in columns]
        self._before = before
        self._made: dict[int, MadeBar] = {}

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def end_ns(self) -> int:
        """When its last bar ends."""
        return self.start_ns + len(self) * self.step_ns

    @property
    def spec_text(self) -> str:
        """Which bars they are."""
        return self.laws.bars

    def cut(self, first: int, last: int) -> Stretch:
        """Return the bars from one place on and before another as a stretch of their own."""
        if not first and last == len(self):
            return self
        before = self._columns[4][first - 1] if first else self._before
        columns = [column[first:last] for column in self.arrays]
        return Stretch(self.laws, self.start_ns + first * self.step_ns, columns, before)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield the events of all its bars, each with its time."""
        for at in range(len(self)):
            yield from self.made(at).events()

    def made(self, at: int) -> MadeBar:
        """Return a bar as a whole, by its place."""
        known = self._made.get(at)
        if known is None:
            opened, high, low, close, volume = self._columns
            start_ns, traded = self.start_ns + at * self.step_ns, volume[at]
            prices = opened[at], high[at], low[at], close[at]
            bar = Bar(start_ns, start_ns + self.step_ns, *prices, traded, 1 if traded else 0)
            known = self._made[at] = MadeBar(self.laws, bar, self._volume_before(at))
        return known

    def _volume_before(self, at: int) -> int:
        """Return the volume of the bar before a place; of the first one its own."""
        volume = self._columns[4]
        return (volume[at - 1] if at else self._before) or volume[at]

    def opening(self, at: int) -> tuple[int, BookReplaced]:
        """Return the first event of the bar of a place: the book at its open."""
        start_ns = self.start_ns + at * self.step_ns
        return start_ns, self.laws.book(self._columns[0][at], self._volume_before(at))

    def bar(self, at: int) -> Bar:
        """Return the bar of a place."""
        return self.made(at).bar

    def bars(self, first: int, last: int) -> list[Bar]:
        """Return the bars from one place on and before another."""
        step_ns, here = self.step_ns, slice(first, last)
        start_ns, end_ns = self.start_ns + first * step_ns, self.start_ns + last * step_ns
        edges = range(start_ns, end_ns + 1, step_ns)
        opened, high, low, close, volume = self._columns
        prices = opened[here], high[here], low[here], close[here]
        return [*map(Bar, edges, edges[1:], *prices, volume[here], self._counts[here])]

    def column(self, name: str, first: int) -> FloatColumn:
        """Return a field of the bars from a place on."""
        return self.arrays[FIELDS.index(name)][first:].astype(np.float64)

    def end_of(self, at: int) -> int:
        """When the bar of a place ends."""
        return self.start_ns + (at + 1) * self.step_ns

    def shown(self, at: int) -> bool:
        """Say whether there is a book around the bar of a place."""
        return self._columns[4][at] >= self.laws.volume_min

    def shown_before(self, until_ns: int, first: int) -> int:
        """Return how many bars from a place on end before a time and have a book around them."""
        last = min(len(self), (until_ns - 1 - self.start_ns) // self.step_ns)
        thin = bisect_left(self._thin, first)
        return (min(last, self._thin[thin]) if thin < len(self._thin) else last) - first

    def closes(self, first: int, count: int) -> Sequence[int]:
        """Return the closes of so many bars."""
        return self._columns[3][first : first + count]

    def mids2(self, first: int, count: int, stride: int) -> list[int]:
        """Return twice the mid at the end of so many bars, of each so many one."""
        return self._mids2[first : first + count : stride]

    @cached_property
    def _mids2(self) -> list[int]:
        return self.laws.mids2(self.arrays[3])

    @cached_property
    def _counts(self) -> list[int]:
        counts: list[int] = np.minimum(self.arrays[4], 1).tolist()
        return counts

    @cached_property
    def _thin(self) -> list[int]:
        """The places of bars without a book around them."""
        thin: list[int] = np.flatnonzero(self.arrays[4] < self.laws.volume_min).tolist()
        return thin


def volume_shown(instrument: Instrument, market: BarMarket) -> int:
    """Return the least volume around which a book of any size is assumed."""
    least = market.levels * instrument.lot
    return next(
        (
            volume
            for volume in range(max(0, int(least / market.volume_share) - 2), 1 << 62)
            if int(volume * market.volume_share) >= least
        )
        if market.volume_share > 0
        else iter((1 << 62,))
    )


def _away_bps(market: BarMarket, level: int) -> float:
    """Return how far from the price a level stands."""
    depth = sqrt((level + 1) / market.levels) if market.impact_bps else 0.0
    return market.slippage_bps + market.impact_bps * depth


def book_around(instrument: Instrument, price: int, volume: int, market: BarMarket) -> BookReplaced:
    """Return the book that is assumed at a price, where so much was traded before."""
    tick, lot = instrument.tick, instrument.lot
    size = int(volume * market.volume_share) // market.levels // lot * lot
    if size > 0 and market.levels == 1:
        away = round(price * market.slippage_bps / BPS)
        return BookReplaced(
            instrument=instrument.id,
            bids=((max(tick, price - away), size),),
            asks=((price + away, size),),
        )
    bids: list[Level] = []
    asks: list[Level] = []
    for level in range(market.levels):
        away = round(price * _away_bps(market, level) / BPS)
        if size > 0:
            bids.append((max(tick, price - away), size))
            asks.append((price + away, size))
    return BookReplaced(instrument=instrument.id, bids=tuple(bids), asks=tuple(asks))
