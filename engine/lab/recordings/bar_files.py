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
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from math import sqrt
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
DECIMALS_MAX = 8
"""Finer prices are refused, finer volumes are cut: an account counts in 1e-8 at most."""
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
    """One line: its start, prices and volume as they stand there."""

    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


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
        try:
            values = [Decimal(cells[at].strip()) for at in columns[1:]]
        except InvalidOperation:
            self._refuse(line, f"is no bar: {', '.join(cells[at] for at in columns[1:])}")
        opened, high, low, close, volume = values
        if not all(value.is_finite() for value in values):
            self._refuse(line, "has a number that is not finite")
        if not 0 < low <= min(opened, close) <= max(opened, close) <= high or volume < 0:
            self._refuse(line, f"is no bar: open {opened}, high {high}, low {low}, close {close}, "
                         f"volume {volume}")  # fmt: skip
        return BarRow(start_ns, opened, high, low, close, volume)  # type: ignore[arg-type]

    def _refuse(self, line: int, why: str) -> None:
        raise BadInput(f"{self.path.name}, line {line}: {why}")


def _number(text: str) -> bool:
    return re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text) is not None


def stamp_ns(text: str) -> int | None:
    """Return a time in ns UTC; None = it is none.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since the epoch, told apart by
    their size (years 2001 to 2286); text is ISO 8601, UTC where it names no zone.
    """
    text = text.strip()
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

    The file is read twice: once for its decimals and its step, once to be played. `name` is the
    instrument's, for example `binance:BTC/USDT`; its currency is what stands behind the slash.
    """

    def __init__(self, path: Path, *, market: BarMarket = NO_COSTS, name: str = "") -> None:
        self.stats = RecordingStats()
        self._path = path
        self._market = market
        looked = _look(path)
        self.spec: BarSpec = looked.spec
        symbol = name or f"file:{path.name.split('.')[0]}"
        self.currency = symbol.partition("/")[2].partition(":")[0] or "USD"
        self.instrument = _instrument(InstrumentId(symbol), self.currency, looked, market)
        self.stats.bytes_total = looked.rows
        self._lot = Decimal(1).scaleb(-looked.size_decimals)
        self.data_age_ms = 2 * self.spec.step // 1_000_000

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`, and the laws above."""
        stats, instrument, step_ns = self.stats, self.instrument, self.spec.step
        stats.markets.add(instrument.id)
        file, before, before_end_ns = BarFile(self._path), 0, None
        for line, row in file.rows():
            stats.frames += 1
            stats.bytes_read = stats.frames
            stats.at = (self._path.name, line)
            start_ns = row.start_ns
            if before_end_ns is None:
                stats.first_ns = start_ns
                yield start_ns, InstrumentListed(instrument=instrument)
            elif start_ns > before_end_ns:
                stats.gaps += 1
                stats.gap_ns += start_ns - before_end_ns
                lost = FeedLost(feed=FEED, instrument=instrument.id, reason="bars are missing")
                yield before_end_ns, lost
                yield start_ns, FeedRestored(feed=FEED, instrument=instrument.id)
            before_end_ns = start_ns + step_ns
            bar = self._bar(row)
            for event in self._told(bar, before or bar.volume):
                stats.events += 1
                stats.last_ns = event[0]
                yield event
            before = bar.volume
        stats.duplicates = file.duplicates
        if before_end_ns is not None:
            yield before_end_ns, InstrumentClosed(instrument=instrument.id)

    def _bar(self, row: BarRow) -> Bar:
        price, size = self.instrument.price_of, self.instrument.size_of
        volume = row.volume.quantize(self._lot, ROUND_DOWN)
        return Bar(
            row.start_ns,
            row.start_ns + self.spec.step,
            price(row.open),
            price(row.high),
            price(row.low),
            price(row.close),
            size(volume),
            1 if volume else 0,
        )

    def _told(self, bar: Bar, before: int) -> Iterator[tuple[int, Event]]:
        """Yield what a bar is made into; `before` = the volume of the bar before it."""
        key, third_ns = self.instrument.id, self.spec.step // 3
        share = int(bar.volume * self._market.volume_share)
        yield bar.start_ns, self._book(bar.open, before)
        low = (bar.low, Side.SELL)
        high = (bar.high, Side.BUY)
        nearer = bar.open - bar.low <= bar.high - bar.open
        for i, (price, aggressor) in enumerate((low, high) if nearer else (high, low), 1):
            yield (
                bar.start_ns + i * third_ns,
                TradePrinted(
                    instrument=key,
                    price=price,
                    size=share or None,
                    aggressor=aggressor,
                    source=SizeSource.INFERRED if share else SizeSource.UNKNOWN,
                ),
            )
        yield bar.end_ns - 1, self._book(bar.close, bar.volume)
        yield bar.end_ns, BarClosed(instrument=key, bars=self.spec.text, bar=bar)

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


class _Looked(NamedTuple):
    """What the first reading of a file found."""

    spec: BarSpec
    price_decimals: int
    size_decimals: int
    rows: int


def _look(path: Path) -> _Looked:
    """Read a file of bars once. Raises BadInput naming the line, or where it holds no two bars."""
    prices = sizes = rows = 0
    step_ns, last_ns = 0, None
    for line, row in BarFile(path).rows():
        rows += 1
        prices = max(prices, *(_decimals(value) for value in row[1:5]))
        sizes = min(DECIMALS_MAX, max(sizes, _decimals(row.volume)))
        if prices > DECIMALS_MAX:
            raise BadInput(f"{path.name}, line {line}: a price is finer than 1e-{DECIMALS_MAX}")
        if last_ns is not None:
            apart_ns = row.start_ns - last_ns
            step_ns = apart_ns if not step_ns else min(step_ns, apart_ns)
        last_ns = row.start_ns
    if rows < 2:
        raise BadInput(f"{path.name}: holds {rows} bars, two are needed to know how long one is")
    try:
        spec = bar_spec(BarSpec(BarUnit.TIME, step_ns).text)
    except (BadInput, StopIteration):
        raise BadInput(f"{path.name}: its bars are {step_ns / S:g} s apart, which is no step of a "
                       "bar: 1s to 1d, a whole part of a day") from None  # fmt: skip
    return _Looked(spec, prices, max(sizes, 6 - prices, SIZE_DECIMALS_MIN), rows)


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _instrument(key: InstrumentId, currency: str, looked: _Looked, market: BarMarket) -> Instrument:
    return Instrument(
        id=key,
        kind=Kind.SPOT,
        currency=currency,
        price_decimals=looked.price_decimals,
        size_decimals=looked.size_decimals,
        tick=1,
        lot=1,
        fees=FeeSchedule(
            taker_rate_ppm=round(market.taker_fee_bps * 100),
            maker_rate_ppm=round(market.maker_fee_bps * 100),
        ),
    )
