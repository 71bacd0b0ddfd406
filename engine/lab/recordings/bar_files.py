"""Recordings of bars: CSV files of open, high, low, close and volume, one instrument each.

What happened inside a bar is not in the file, so it is made by stated laws, and every trade that is
made is labelled *inferred*:

- At a bar's first moment the book stands at its open; at its last moment at its close. Around the
  price lies what `BarMarket` says: a spread, and on either side a share of the volume of the bar
  *before* (the running one's is not known yet), dearer with depth where impact is asked for.
- Within the bar a trade prints at its low and one at its high, each with that share of the bar's
  own volume: the nearer extreme of the open first. A resting order fills where they reach it.
- `BarClosed` comes with the end of the bar. An order needs at least a millisecond, so it meets the
  next bar's open, and never the close that decided it.
- Where bars are missing the feed is lost until the next one.
"""

from __future__ import annotations

import csv
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol, Self, runtime_checkable

import numpy as np

from engine.domain.bars import BarSpec, BarUnit, bar_spec
from engine.domain.events import (
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
)
from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind
from engine.errors import BadInput, os_sentence
from engine.lab.formats.archives import UNREADABLE, text_of
from engine.lab.formats.numbers import (
    DECIMALS_MAX,
    TIMES,
    NotANumber,
    decimals_of,
    parts_of,
    plain_parts,
    stamp_ns,
)
from engine.lab.formats.tables import is_number
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.made_bars import (
    EVENTS_A_BAR,
    NO_COSTS,
    BarLaws,
    BarMarket,
    IntColumn,
    Stretch,
)

S = 1_000_000_000
DAY_NS = 86_400 * S
FEED = "bars"
STRETCH_BARS = 4_096
"""Most bars of one piece: progress is reported after it, and columns are made of it at once."""
SIZE_DECIMALS_MIN = 4
"""A file of whole volumes still lets an order be a part of one."""
LATENCY_MS_MIN = 1
"""Least latency of orders on bars: with none, an order would fill at the close that decided it."""

KLINE = ("open_time", "open", "high", "low", "close", "volume")
"""The first columns of Binance's klines, whose files have no header before 2025."""
NEEDED = ("open", "high", "low", "close", "volume")
FORMATS = (
    "a file of bars has a header with a time (open_time, timestamp, time, date or datetime), open, "
    "high, low, close and volume, or is a kline file of Binance (csv, csv.gz or zip)"
)


class BarRow(NamedTuple):
    """One line: its start, its prices and its volume, each in parts of 1e-8."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class BarFile:
    """A file of bars, read line by line. `rows` raises BadInput naming the line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.duplicates = 0

    def rows(self) -> Iterator[tuple[int, BarRow]]:
        """Yield (line, row) in order of time; a row that is there twice is read once.

        Raises BadInput for a line that is no bar, and where time runs backwards.
        """
        last: BarRow | None = None
        try:
            with text_of(self.path) as text:
                lines = csv.reader(text)
                columns = None
                for cells in lines:
                    if not cells:
                        continue
                    if columns is None:
                        columns = self._columns(cells)
                        if not is_number(cells[columns[1]]):
                            continue  # that was the header
                    row = self._row(cells, columns, lines.line_num)
                    if last is not None and row.start_ns <= last.start_ns:
                        if row == last:
                            self.duplicates += 1
                            continue
                        self._refuse(lines.line_num, "is not later than the bar before it: sort it")
                    last = row
                    yield lines.line_num, row
        except UNREADABLE as error:
            reason = os_sentence(error) if isinstance(error, OSError) else str(error)
            raise BadInput(f"{self.path.name} cannot be read: {reason}") from None

    def _columns(self, cells: list[str]) -> list[int]:
        """Return where time, open, high, low, close and volume stand."""
        if all(is_number(cell) for cell in cells[: len(KLINE)]) and len(cells) >= len(KLINE):
            return list(range(len(KLINE)))
        names = [cell.strip().lower() for cell in cells]
        time = next((names.index(name) for name in TIMES if name in names), None)
        missing = [name for name in NEEDED if name not in names]
        if time is None or missing:
            lacks = ", ".join([*(["a time"] if time is None else []), *missing])
            raise BadInput(f"{self.path.name}, line 1: has no column for {lacks}; {FORMATS}")
        return [time, *(names.index(name) for name in NEEDED)]

    def _row(self, cells: list[str], columns: list[int], line: int) -> BarRow:
        if len(cells) <= max(columns):
            self._refuse(
                line, f"has {len(cells)} columns, {max(columns) + 1} are needed: is it torn?"
            )
        start_ns = stamp_ns(cells[columns[0]])
        if start_ns is None:
            self._refuse(line, f"has the time {cells[columns[0]]!r}, which is none")
        opened, high, low, close, volume = [
            plain_parts(cells[at]) or self._read(cells, columns, i, line)
            for i, at in enumerate(columns[1:], 1)
        ]
        if not 0 < low <= min(opened, close) <= max(opened, close) <= high or volume < 0:
            words = zip(NEEDED, (cells[at].strip() for at in columns[1:]), strict=True)
            self._refuse(line, f"is no bar: {', '.join(' '.join(pair) for pair in words)}")
        return BarRow(start_ns, opened, high, low, close, volume)

    def _read(self, cells: list[str], columns: list[int], which: int, line: int) -> int:
        """Read a number that is not written plainly: zero, an exponent, too many digits, none."""
        try:
            return parts_of(cells[columns[which]], exact=which < len(NEEDED))
        except NotANumber:
            self._refuse(line, f"is no bar: {', '.join(cells[at] for at in columns[1:])}")
        except BadInput as error:
            self._refuse(line, str(error))

    def _refuse(self, line: int, why: str) -> NoReturn:
        raise BadInput(f"{self.path.name}, line {line}: {why}")


class BarRecording:
    """Bars of one instrument as a recording. Implements `Recording`.

    The file is read once, whole, before the first event: 52 bytes of memory a bar, so that its
    decimals and its step are known, and a bad line is refused before anything was played. `name` is
    the instrument's, for example `binance:BTC/USDT`; its currency is what stands behind the slash.
    """

    def __init__(
        self,
        path: Path,
        *,
        market: BarMarket = NO_COSTS,
        name: str = "",
        columns: BarColumns | None = None,
    ) -> None:
        """`columns` = the bars where they were read already; None = they are read from the file."""
        self.stats = RecordingStats()
        self._path = path
        self.market = market
        self._columns = columns = columns or BarColumns.of_file(path)
        self.spec: BarSpec = columns.spec()
        symbol = name or f"file:{path.name.split('.')[0]}"
        self.currency = currency_of(symbol)
        decimals = columns.price_decimals, columns.size_decimals
        self.instrument = instrument_of(
            InstrumentId(symbol), self.currency, market, decimals=decimals
        )
        self.stats.bytes_total = len(columns.lines)
        self.stats.duplicates = columns.duplicates
        self.data_age_ms = 2 * self.spec.step // 1_000_000
        self.tick_ns = max(S, self.spec.step)
        self.bars = self.spec.text
        self.laws = BarLaws(self.instrument, market, self.spec)

    def held(self, start_ns: int | None, until_ns: int | None) -> list[float]:
        """Return what one was worth from the first open to each close between two times.

        The benchmark of a backtest: bought at the open of the first bar that begins at or after
        `start_ns` and kept; None = from the first, to the last bar. Empty = no bar lies between.
        """
        return self._columns.held(start_ns or 0, until_ns, self.spec.step)

    def worth_by_day(self) -> tuple[float, dict[int, float]]:
        """Return the first open, and by day (UTC, since the epoch) the last close of each."""
        return self._columns.worth_by_day(self.spec.step)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`, and the laws above."""
        for piece in self.pieces():
            if isinstance(piece, Stretch):
                yield from piece.events()
            else:
                yield piece

    def pieces(self) -> Iterator[Piece]:
        """Yield the same, bars that follow one another without a gap in one piece."""
        stats, instrument, step_ns = self.stats, self.instrument, self.spec.step
        decimals = instrument.price_decimals, instrument.size_decimals
        stats.markets.add(instrument.id)
        before, before_end_ns, name = 0, None, self._path.name
        for line, start_ns, columns in self._columns.stretches(step_ns, decimals):
            stats.frames += len(columns[0])
            stats.bytes_read = stats.frames
            stats.at = (name, line)
            if before_end_ns is None:
                stats.first_ns = start_ns
                yield start_ns, InstrumentListed(instrument=instrument)
            elif start_ns > before_end_ns:
                stats.gaps += 1
                stats.gap_ns += start_ns - before_end_ns
                lost = FeedLost(feed=FEED, instrument=instrument.id, reason="bars are missing")
                yield before_end_ns, lost
                yield start_ns, FeedRestored(feed=FEED, instrument=instrument.id)
            stretch = Stretch(self.laws, start_ns, columns, before)
            before_end_ns = stats.last_ns = stretch.end_ns
            stats.events += EVENTS_A_BAR * len(stretch)
            yield stretch
            before = int(columns[4][-1])
        if before_end_ns is not None:
            yield before_end_ns, InstrumentClosed(instrument=instrument.id)


def _divisor(column: array[int]) -> int:
    """Return the greatest common divisor of a column."""
    return int(np.gcd.reduce(np.frombuffer(column, dtype=np.int64)))


Piece = Stretch | tuple[int, Event]


@runtime_checkable
class InPieces(Protocol):
    """A recording that gives bars in one piece where they follow one another without a gap."""

    def pieces(self) -> Iterator[Piece]:
        """Yield what `events` does."""
        ...


def currency_of(symbol: str) -> str:
    """Return the currency of `venue:BASE/QUOTE`; USD where the name says none.

    Raises BadInput for a contract that settles in another asset than it is quoted in.
    """
    quote, _, settled = symbol.partition("/")[2].partition(":")
    asset = settled.partition("-")[0]  # an expiry may stand behind it
    if asset and asset != quote:
        raise BadInput(
            f"{symbol} is quoted in {quote} and settles in {asset} (an inverse or quanto contract):"
            f" its gains are amounts of {asset}, size / price and not size · price, which is not "
            f"played here. Take the one that settles in {quote}"
        )
    return quote or "USD"


def kind_of(symbol: str) -> Kind:
    """Return what a name says it is: `venue:BASE/QUOTE:SETTLE` is a perpetual, else it is spot."""
    return Kind.PERPETUAL if ":" in symbol.partition("/")[2] else Kind.SPOT


def instrument_of(
    key: InstrumentId, currency: str, market: BarMarket, *, decimals: tuple[int, int]
) -> Instrument:
    """Return the instrument of a file; `decimals` are those of its prices and of its sizes."""
    return Instrument(
        id=key,
        kind=kind_of(key),
        currency=currency,
        price_decimals=decimals[0],
        size_decimals=decimals[1],
        tick=1,
        lot=1,
        fees=FeeSchedule(
            taker_rate_ppm=round(market.taker_fee_bps * 100),
            maker_rate_ppm=round(market.maker_fee_bps * 100),
        ),
    )


class BarColumns:
    """Bars in memory: a column each for line, start, prices and volume, in parts of 1e-8.

    Raises BadInput where there are no two bars.
    """

    def __init__(
        self, name: str, lines: array[int], values: Sequence[array[int]], duplicates: int
    ) -> None:
        self._name = name
        self.lines = lines
        self._values = tuple(values)
        self.duplicates = duplicates
        if len(lines) < 2:
            raise BadInput(
                f"{name}: holds {len(lines)} bars, two are needed to know how long one is"
            )
        self.price_decimals = decimals_of(gcd(*map(_divisor, self._values[1:5])))
        sizes = decimals_of(_divisor(self._values[5]))
        self.size_decimals = max(sizes, 6 - self.price_decimals, SIZE_DECIMALS_MIN)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Read a file whole. Raises BadInput naming the line."""
        lines = array("I")
        columns = tuple(array("q") for _ in BarRow._fields)
        file = BarFile(path)
        add, adds = lines.append, tuple(column.append for column in columns)
        for line, row in file.rows():
            add(line)
            for append, value in zip(adds, row, strict=True):
                append(value)
        return cls(path.name, lines, columns, file.duplicates)

    def spec(self) -> BarSpec:
        """Return which bars these are: as long as the shortest step. Raises BadInput for none."""
        step_ns = min(after - before for before, after in pairwise(self._values[0]))
        try:
            return bar_spec(BarSpec(BarUnit.TIME, step_ns).text)
        except (BadInput, StopIteration):
            raise BadInput(
                f"{self._name}: its bars are {step_ns / S:g} s apart, which is no step "
                "of a bar: 1s to 1d, a whole part of a day"
            ) from None

    def held(self, start_ns: int, until_ns: int | None, step_ns: int) -> list[float]:
        """Return the first open and each close of the bars that lie between, in the currency."""
        starts, opened, closes = self._values[0], self._values[1], self._values[4]
        first = bisect_left(starts, start_ns)
        last = len(starts) if until_ns is None else bisect_left(starts, until_ns - step_ns + 1)
        if first >= last:
            return []
        return [opened[first] / 1e8, *(close / 1e8 for close in closes[first:last])]

    def worth_by_day(self, step_ns: int) -> tuple[float, dict[int, float]]:
        """Return the first open, and the last close of each day; midnight ends a day."""
        starts, opened, closes = self._values[0], self._values[1], self._values[4]
        ends = ((start_ns + step_ns - 1) // DAY_NS for start_ns in starts)
        return opened[0] / 1e8, dict(zip(ends, (close / 1e8 for close in closes), strict=True))

    def stretches(
        self, step_ns: int, decimals: tuple[int, int]
    ) -> Iterator[tuple[int, int, list[IntColumn]]]:
        """Yield the last line and the first moment of bars without a gap, and their columns.

        `decimals` are those of prices and of sizes: open, high, low, close, volume in increments.
        """
        units = [10 ** (DECIMALS_MAX - decimals[0])] * 4 + [10 ** (DECIMALS_MAX - decimals[1])]
        starts, *columns = (np.frombuffer(column, dtype=np.int64) for column in self._values)
        gaps = np.flatnonzero(np.diff(starts) != step_ns) + 1
        edges = [0, *gaps.tolist(), len(starts)]
        for begins, ends in pairwise(edges):
            for first in range(begins, ends, STRETCH_BARS):
                last = min(ends, first + STRETCH_BARS)
                made = [
                    column[first:last] // unit for column, unit in zip(columns, units, strict=True)
                ]
                yield self.lines[last - 1], int(starts[first]), made
