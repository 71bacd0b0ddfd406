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
import datetime as dt
import gzip
import io
import re
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from math import gcd, sqrt
from pathlib import Path
from typing import IO, NamedTuple

from engine.domain.bars import Bar, BarSpec, BarUnit, bar_spec
from engine.domain.books import Level
from engine.domain.events import (
    BarClosed,
    BookReplaced,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.fills import SizeSource
from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind, Side
from engine.errors import BadInput, os_sentence
from engine.lab.recordings.door import RecordingStats

S = 1_000_000_000
FEED = "bars"
_BUY, _SELL = Side.BUY, Side.SELL
DECIMALS_MAX = 8
"""Finer prices are refused, finer volumes are cut: an account counts in 1e-8 at most."""
PARTS = 10**DECIMALS_MAX
PARTS_MAX = 2**63 - 1
"""Largest price or volume in parts: 92 billion."""
SIZE_DECIMALS_MIN = 4
"""A file of whole volumes still lets an order be a part of one."""
LATENCY_MS_MIN = 1
"""Least latency of orders on bars: with none, an order would fill at the close that decided it."""

TIMES = ("open_time", "timestamp", "time", "date", "datetime", "open time")
KLINE = ("open_time", "open", "high", "low", "close", "volume")
"""The first columns of Binance's klines, whose files have no header before 2025."""
NEEDED = ("open", "high", "low", "close", "volume")
FORMATS = (
    "a file of bars has a header with a time (open_time, timestamp, time, date or datetime), open, "
    "high, low, close and volume, or is a kline file of Binance (csv, csv.gz or zip)"
)


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
            with self._text() as text:
                lines = csv.reader(text)
                columns = None
                for cells in lines:
                    if not cells:
                        continue
                    if columns is None:
                        columns = self._columns(cells)
                        if not _number(cells[columns[1]]):
                            continue  # that was the header
                    row = self._row(cells, columns, lines.line_num)
                    if last is not None and row.start_ns <= last.start_ns:
                        if row == last:
                            self.duplicates += 1
                            continue
                        self._refuse(lines.line_num, "is not later than the bar before it: sort it")
                    last = row
                    yield lines.line_num, row
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zipfile.BadZipFile) as error:
            reason = os_sentence(error) if isinstance(error, OSError) else str(error)
            raise BadInput(f"{self.path.name} cannot be read: {reason}") from None

    def _text(self) -> IO[str]:
        if self.path.suffix == ".zip":
            archive = zipfile.ZipFile(self.path)
            names = archive.namelist()
            if len(names) != 1:
                raise BadInput(f"{self.path.name} holds {len(names)} files: one file of bars each")
            return io.TextIOWrapper(archive.open(names[0]), encoding="utf-8-sig", newline="")
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig", newline="")
        return self.path.open(encoding="utf-8-sig", newline="")

    def _columns(self, cells: list[str]) -> list[int]:
        """Return where time, open, high, low, close and volume stand."""
        if all(_number(cell) for cell in cells[: len(KLINE)]) and len(cells) >= len(KLINE):
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
            _parts(cells[at]) or self._read(cells, columns, i, line)
            for i, at in enumerate(columns[1:], 1)
        ]
        if not 0 < low <= min(opened, close) <= max(opened, close) <= high or volume < 0:
            words = zip(NEEDED, (cells[at].strip() for at in columns[1:]), strict=True)
            self._refuse(line, f"is no bar: {', '.join(' '.join(pair) for pair in words)}")
        return BarRow(start_ns, opened, high, low, close, volume)  # type: ignore[arg-type]

    def _read(self, cells: list[str], columns: list[int], which: int, line: int) -> int:
        """Read a number that is not written plainly: zero, an exponent, too many digits, none."""
        try:
            value = Decimal(cells[columns[which]].strip())
        except InvalidOperation:
            self._refuse(line, f"is no bar: {', '.join(cells[at] for at in columns[1:])}")
        if not value.is_finite():
            self._refuse(line, "has a number that is not finite")
        if abs(value) * PARTS > PARTS_MAX:
            self._refuse(line, f"has the number {value}, which is larger than 92 billion")
        parts = int(value * PARTS)
        if which < len(NEEDED) and parts != value * PARTS:
            self._refuse(line, f"a price is finer than 1e-{DECIMALS_MAX}")
        return parts

    def _refuse(self, line: int, why: str) -> None:
        raise BadInput(f"{self.path.name}, line {line}: {why}")


def _parts(text: str) -> int:
    """Read a number written as digits and at most 8 decimals, in parts of 1e-8; 0 = it is not."""
    whole, _, part = text.partition(".")
    digits = whole + part
    if whole and len(part) <= DECIMALS_MAX and digits.isdecimal() and digits.isascii():
        parts = int(digits) * 10 ** (DECIMALS_MAX - len(part))
        return parts if parts <= PARTS_MAX else 0
    return 0


def _number(text: str) -> bool:
    return re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text) is not None


_STAMPS = {10: S, 13: 1_000_000, 16: 1_000, 19: 1}
"""Digits of a whole stamp -> nanoseconds of its unit."""


def stamp_ns(text: str) -> int | None:
    """Return a time in ns UTC; None = it is none.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart by
    their size (years 2001 to 2286); text is ISO 8601, UTC where it names no zone.
    """
    text = text.strip()
    power = _STAMPS.get(len(text))
    if power is not None and text.isdecimal() and text.isascii() and text[0] != "0":
        return int(text) * power
    if _number(text):
        number = Decimal(text)
        for power in (9, 6, 3, 0):
            if 10**9 <= number * 10**power / 10**9 < 10**10:
                return int(number * 10**power)
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC)
    return (
        int((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1))
        * 1_000
    )


class BarRecording:
    """Bars of one instrument as a recording. Implements `Recording`.

    The file is read once, whole, before the first event: 52 bytes of memory a bar, so that its
    decimals and its step are known, and a bad line is refused before anything was played. `name` is
    the instrument's, for example `binance:BTC/USDT`; its currency is what stands behind the slash.
    """

    def __init__(self, path: Path, *, market: BarMarket = NO_COSTS, name: str = "") -> None:
        self.stats = RecordingStats()
        self._path = path
        self._market = market
        self._columns = columns = BarColumns(path)
        self.spec: BarSpec = columns.spec()
        symbol = name or f"file:{path.name.split('.')[0]}"
        self.currency = symbol.partition("/")[2].partition(":")[0] or "USD"
        self.instrument = columns.instrument(InstrumentId(symbol), self.currency, market)
        self.stats.bytes_total = len(columns.lines)
        self.stats.duplicates = columns.duplicates
        self.data_age_ms = 2 * self.spec.step // 1_000_000
        self._bars = self.spec.text

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`, and the laws above."""
        stats, instrument, step_ns = self.stats, self.instrument, self.spec.step
        stats.markets.add(instrument.id)
        before, before_end_ns, name = 0, None, self._path.name
        for line, bar in self._columns.bars(instrument, step_ns):
            stats.frames += 1
            stats.bytes_read = stats.frames
            stats.at = (name, line)
            start_ns = bar.start_ns
            if before_end_ns is None:
                stats.first_ns = start_ns
                yield start_ns, InstrumentListed(instrument=instrument)
            elif start_ns > before_end_ns:
                stats.gaps += 1
                stats.gap_ns += start_ns - before_end_ns
                lost = FeedLost(feed=FEED, instrument=instrument.id, reason="bars are missing")
                yield before_end_ns, lost
                yield start_ns, FeedRestored(feed=FEED, instrument=instrument.id)
            before_end_ns = stats.last_ns = bar.end_ns
            events = self._told(bar, before or bar.volume)
            stats.events += len(events)
            yield from events
            before = bar.volume
        if before_end_ns is not None:
            yield before_end_ns, InstrumentClosed(instrument=instrument.id)

    def _told(self, bar: Bar, before: int) -> tuple[tuple[int, Event], ...]:
        """Return what a bar is made into; `before` = the volume of the bar before it."""
        start_ns, third_ns = bar.start_ns, self.spec.step // 3
        share = int(bar.volume * self._market.volume_share)
        low, high = self._print(bar.low, share, _SELL), self._print(bar.high, share, _BUY)
        nearer = bar.open - bar.low <= bar.high - bar.open
        first, second = (low, high) if nearer else (high, low)
        closed = BarClosed(instrument=self.instrument.id, bars=self._bars, bar=bar)
        return (
            (start_ns, self._book(bar.open, before)),
            (start_ns + third_ns, first),
            (start_ns + 2 * third_ns, second),
            (bar.end_ns - 1, self._book(bar.close, bar.volume)),
            (bar.end_ns, closed),
        )

    def _print(self, price: int, share: int, aggressor: Side) -> TradePrinted:
        return TradePrinted(
            instrument=self.instrument.id,
            price=price,
            size=share or None,
            aggressor=aggressor,
            source=SizeSource.INFERRED if share else SizeSource.UNKNOWN,
        )

    def _book(self, price: int, volume: int) -> BookReplaced:
        market, tick, lot = self._market, self.instrument.tick, self.instrument.lot
        size = int(volume * market.volume_share) // market.levels // lot * lot
        bids: list[Level] = []
        asks: list[Level] = []
        for level in range(market.levels):
            depth = sqrt((level + 1) / market.levels) if market.impact_bps else 0.0
            away = round(price * (market.slippage_bps + market.impact_bps * depth) / 10_000)
            if size > 0:
                bids.append((max(tick, price - away), size))
                asks.append((price + away, size))
        return BookReplaced(instrument=self.instrument.id, bids=tuple(bids), asks=tuple(asks))


class BarColumns:
    """A whole file of bars in memory: a column each for line, start, prices and volume.

    Raises BadInput naming the line, or where the file holds no two bars.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self.lines = array("I")
        self._values = tuple(array("q") for _ in BarRow._fields)
        file = BarFile(path)
        add, adds = self.lines.append, tuple(values.append for values in self._values)
        for line, row in file.rows():
            add(line)
            for column, value in zip(adds, row, strict=True):
                column(value)
        if len(self.lines) < 2:
            raise BadInput(f"{path.name}: holds {len(self.lines)} bars, two are needed to know how "
                           "long one is")  # fmt: skip
        self.duplicates = file.duplicates
        self.price_decimals = _decimals(gcd(*(gcd(*prices) for prices in self._values[1:5])))
        sizes = _decimals(gcd(*self._values[5]))
        self.size_decimals = max(sizes, 6 - self.price_decimals, SIZE_DECIMALS_MIN)

    def spec(self) -> BarSpec:
        """Return which bars these are: as long as the shortest step. Raises BadInput for none."""
        step_ns = min(after - before for before, after in pairwise(self._values[0]))
        try:
            return bar_spec(BarSpec(BarUnit.TIME, step_ns).text)
        except (BadInput, StopIteration):
            raise BadInput(f"{self._name}: its bars are {step_ns / S:g} s apart, which is no step "
                           "of a bar: 1s to 1d, a whole part of a day") from None  # fmt: skip

    def bars(self, instrument: Instrument, step_ns: int) -> Iterator[tuple[int, Bar]]:
        """Yield each line's number and its bar in the instrument's units."""
        price = 10 ** (DECIMALS_MAX - instrument.price_decimals)
        size = 10 ** (DECIMALS_MAX - instrument.size_decimals)
        for line, start_ns, opened, high, low, close, volume in zip(
            self.lines, *self._values, strict=True
        ):
            lots = volume // size
            yield (
                line,
                Bar(
                    start_ns,
                    start_ns + step_ns,
                    opened // price,
                    high // price,
                    low // price,
                    close // price,
                    lots,
                    1 if lots else 0,
                ),
            )

    def instrument(self, key: InstrumentId, currency: str, market: BarMarket) -> Instrument:
        """Return the instrument of the file, as fine as its prices and volumes are."""
        return Instrument(
            id=key,
            kind=Kind.SPOT,
            currency=currency,
            price_decimals=self.price_decimals,
            size_decimals=self.size_decimals,
            tick=1,
            lot=1,
            fees=FeeSchedule(
                taker_rate_ppm=round(market.taker_fee_bps * 100),
                maker_rate_ppm=round(market.maker_fee_bps * 100),
            ),
        )


def _decimals(parts: int) -> int:
    """Return how many decimals numbers have whose common divisor, in parts, is this."""
    decimals = DECIMALS_MAX
    while decimals and parts % 10 ** (DECIMALS_MAX - decimals + 1) == 0:
        decimals -= 1
    return decimals
