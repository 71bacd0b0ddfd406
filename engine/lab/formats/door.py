"""The door of formats: what a table of bars, trades or prices owes, and how its cells are read.

A format says which column holds what: by names, or by places where its files have no header. A
mapping that a person gives comes before both. Prices and sizes become whole parts of 1e-8, times ns
UTC (`engine/lab/formats/numbers.py` says in which forms). Rows come in the order of time; one
that is there twice is counted and read once, and so is a quote or price that a recorder wrote again
at a flush; any other that goes back in time is refused with its line. A price that nothing is
filled by is cut to 1e-8; where its cell is empty, there is a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import IO, ClassVar, NoReturn, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from engine.domain.products.funding import RATE_DECIMALS
from engine.errors import BadInput
from engine.lab.formats.archives import UNREADABLE, bytes_of
from engine.lab.formats.numbers import DECIMALS_MAX, S, parts_of, plain_parts, stamp_ns
from engine.lab.formats.subject import OneInstrument
from engine.lab.formats.tables import (
    Cells,
    FileHead,
    Meant,
    TableFile,
    column_places,
)
from storage.datasets import ColumnBlock, DataKind, RowCounts

ROLES: Mapping[DataKind, tuple[str, ...]] = {
    DataKind.BARS: ("time", "open", "high", "low", "close", "volume"),
    DataKind.TRADES: ("time", "price", "size"),
    DataKind.PRICES: ("time", "price"),
    DataKind.QUOTES: ("time", "bid", "ask", "bid_size", "ask_size"),
    DataKind.FUNDING: ("time", "rate"),
}
"""What every file of a kind must have."""

OPTIONAL = ("side", "buyer_maker", "id")
"""What trades may have besides: the taker's side, whether the buyer was the maker, and a number
that grows by one with each trade."""

RATE_MAX = 1
"""A larger rate of funding would take the whole position at once."""

TRUE, FALSE = frozenset({"true", "1", "t", "yes"}), frozenset({"false", "0", "f", "no"})
BUYS, SELLS = frozenset({"buy", "b", "bid", "1"}), frozenset({"sell", "s", "ask", "-1"})


REPEATS_KEPT = 200_000
"""Last rows of quotes and prices among which one that goes back in time may be a repeated one."""


SORTED_MAX = 5_000_000
"""Most rows of one file that are sorted: some 2 GB of memory."""
SORT_IT = "sort the file by time, or let --sort do it"


class RowFold(Protocol):
    """Makes rows of the lines of one file: texts in the order of the format's `folds`.

    What it cannot read it raises as BadInput; whoever reads the file adds its name and the line.
    """

    @property
    def single(self) -> bool:
        """True = a row is made of the line taken last, and not of those before it."""
        ...

    def take(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Take a line; return the row that the lines before it make, where it begins another."""
        ...

    def rest(self) -> Cells | None:
        """Return the row that the last lines make; None = there was no line."""
        ...


class Format:
    """Base of every format. A subclass is a declaration; few need more than that."""

    title: ClassVar[str]
    """What a person calls such a file."""
    source: ClassVar[str]
    """Where its columns are described."""
    kind: DataKind
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Role → names its column may have, in small letters."""
    example: ClassVar[str]
    """The name of a file, a new line, and what stands in it: `check_format` reads it."""
    fallback: ClassVar[bool] = False
    """True = it takes what no other format knows."""
    numbered: ClassVar[bool] = False
    """True = ids grow by one with each trade, so that a missing one is a gap."""

    rounds: ClassVar[bool] = False
    """True = prices finer than 1e-8 are rounded, and not refused."""
    folds: ClassVar[tuple[str, ...]] = ()
    """What a row of its `folding` holds, in this order; empty = the `ROLES` of its kind."""
    leaves_out: ClassVar[str] = ""
    """What of its files is not imported; empty = nothing."""

    def translated(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Return a row as the roles want it; None = it is none of this kind, and is passed over."""
        del places
        return cells

    def folding(self) -> RowFold | None:
        """Return what makes rows of several lines, fresh for one file; None = a line is a row."""
        return None

    def rows_in(self, cells: Cells, places: Mapping[str, int]) -> Sequence[Cells]:
        """Return the rows that one line holds, in the order of `folds`, as a frame has several.

        Where it names the instrument of each among its `folds`, rows of two are never mixed.
        """
        del places
        return (cells,)

    def places(self, head: FileHead) -> dict[str, int]:
        """Return role → column; fewer than its `ROLES` = it does not read this file."""
        return column_places(head.header, self.names)

    def fits(self, head: FileHead) -> bool:
        """Say whether it reads a file that begins so."""
        return set(ROLES[self.kind]) <= self.places(head).keys()


class MappedFormat(Format):
    """A format whose columns a person has named."""

    title = "columns named by hand"
    source = "a person"
    example = ""

    def __init__(self, kind: DataKind, mapping: Mapping[str, str]) -> None:
        """Take role → name, or number from 1, of its column. Raises BadInput."""
        self.kind = kind
        known = (*ROLES[kind], *(OPTIONAL if kind is DataKind.TRADES else ()))
        unknown = [role for role in mapping if role not in known]
        missing = [role for role in ROLES[kind] if role not in mapping]
        if unknown or missing:
            wrong = f"{kind} have no {', '.join(unknown)}" if unknown else ""
            lack = f"it names no column for {', '.join(missing)}" if missing else ""
            raise BadInput(
                f"the mapping cannot be used: {'; '.join(filter(None, (wrong, lack)))}; it names "
                f"columns for {', '.join(known)}"
            )
        self.mapping = dict(mapping)

    def places(self, head: FileHead) -> dict[str, int]:
        """Return role → column. Raises BadInput naming one that is not there."""
        found: dict[str, int] = {}
        width = max(map(len, (head.header, *head.rows)), default=0)
        for role, column in self.mapping.items():
            name = column.strip().lower()
            if name in head.header:
                found[role] = head.header.index(name)
            elif name.isdecimal() and 1 <= int(name) <= width:
                found[role] = int(name) - 1
            else:
                there = ", ".join(head.header) or f"no header, {width} columns: number them from 1"
                raise BadInput(
                    f"{head.name}, line 1: has no column {column!r} for {role}; it has {there}"
                )
        return found


class CellReader:
    """Reads the rows of one table as numbers, and counts what it meets."""

    def __init__(
        self,
        table: TableFile,
        one: Format,
        places: Mapping[str, int],
        *,
        before: Sequence[int] = (),
        only: Mapping[str, str] | None = None,
        sort: bool = False,
    ) -> None:
        """Take what is read, and how.

        `before` = the last row of the file read before this one; empty = there is none. `only` =
        column → value of the rows that are meant. `sort` = by time, in memory, before they are
        looked at. Raises BadInput for a column that is not there.
        """
        splits = type(one).rows_in is not Format.rows_in
        header = one.folds if splits else table.header
        meant, rows = OneInstrument(table.path.name, header, only or {}), table.rows
        self._repeats: dict[int, None] = {}
        self._sort = sort
        self._exact = not (one.rounds or one.kind is DataKind.PRICES)
        self.counts = RowCounts()
        self.line = 0
        """The line or row read last."""
        self._kind, self._places = one.kind, places
        self._name = table.path.name
        own = type(one).translated is not Format.translated
        self._translated = one.translated if own else None
        self._fold = one.folding()
        if table.narrowed is not None and not (self._fold or own or splits):
            columns = meant.columns | set(places.values())
            rows = table.narrowed(Meant(columns, meant.asked, meant.passed))
        self._rows_meant = meant.of(self._split(rows, one) if splits else rows)
        self._last = tuple(before)
        self._widest = max(places.values()) + 1
        if self._fold is not None or splits:
            roles = one.folds or ROLES[one.kind]
            self._places = {role: at for at, role in enumerate(roles)}
        self._columns = places
        self._numbered = one.numbered and "id" in self._places

    def _lines(self) -> Iterator[tuple[int, Cells]]:
        """Yield each row with the line it ends at; of a format that folds, of several lines."""
        fold, number = self._fold, 0
        if fold is None:
            yield from self._rows_meant
            return
        for line, cells in self._rows_meant:
            self.line = line
            self._check_width(cells)
            try:
                made = fold.take(cells, self._columns)
            except BadInput as error:
                self._refuse(str(error))
            if made is not None:
                yield line if fold.single else number, made
            number = line
        if (made := fold.rest()) is not None:
            yield number, made

    def _split(self, rows: Iterator[tuple[int, Cells]], one: Format) -> Iterator[tuple[int, Cells]]:
        """Yield the rows that each line holds."""
        for line, cells in rows:
            self.line = line
            try:
                made = one.rows_in(cells, self._columns)
            except BadInput as error:
                self._refuse(str(error))
            for row in made:
                yield line, row

    def _check_width(self, cells: Cells) -> None:
        if len(cells) < self._widest:
            self._refuse(f"has {len(cells)} columns, {self._widest} are needed: is it torn?")

    def rows(self) -> Iterator[tuple[int, ...]]:
        """Yield the rows of `COLUMNS`. Raises BadInput with the line."""
        alone = {DataKind.BARS: "bar", DataKind.FUNDING: "rate"}.get(self._kind, "")
        once, last = bool(alone) or self._kind is DataKind.QUOTES, self._last
        has_id, nothing_from = "id" in self._places, 0
        for number, row in self._sorted() if self._sort else self._numbers():
            self.line = number
            if self._kind is DataKind.PRICES and not row[1]:
                nothing_from = nothing_from or (last[0] if last else 0)
                continue
            if self._repeated(row, last):
                self.counts.duplicates += 1
                continue
            if last:
                if row == last and (once or has_id):
                    self.counts.duplicates += 1
                    continue
                if row[0] < last[0] or (alone and row[0] == last[0]):
                    self._refuse(f"is not later than the {alone or 'row'} before it: {SORT_IT}")
                if has_id and row[4] <= last[4]:
                    self._refuse(f"has the id {row[4]}, not above {last[4]} before it: {SORT_IT}")
                if self._numbered and row[4] > last[4] + 1:
                    self.counts.gap(last[0], row[0])
            if nothing_from:
                self.counts.gap(nothing_from, row[0])
                nothing_from = 0
            last = row
            yield row

    def _numbers(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the rows as they stand in the file, each with its line."""
        read = {
            DataKind.BARS: self._bar,
            DataKind.TRADES: self._trade,
            DataKind.PRICES: self._price,
            DataKind.QUOTES: self._quote,
            DataKind.FUNDING: self._rate,
        }[self._kind]
        for number, cells in self._lines():
            self.line = number
            if self._fold is None:
                self._check_width(cells)
            if self._translated is not None:
                translated = self._translated(cells, self._places)
                if translated is None:
                    continue
                cells = translated  # noqa: PLW2901 the same row in the words of its role
            yield number, read(cells)

    def _sorted(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the rows by time, and by id where they have one. Raises BadInput for too many."""
        read = list(islice(self._numbers(), SORTED_MAX + 1))
        if len(read) > SORTED_MAX:
            self._refuse(f"is beyond the {SORTED_MAX:,} rows that are sorted in memory: split it")
        by_id = "id" in self._places
        read.sort(key=lambda one: (one[1][0], one[1][4] if by_id else 0))
        yield from read

    def _repeated(self, row: tuple[int, ...], last: tuple[int, ...]) -> bool:
        """Say whether a quote or price was read before, and remember it."""
        if self._kind not in (DataKind.QUOTES, DataKind.PRICES):
            return False
        key = hash(row)
        if last and row[0] < last[0]:
            return key in self._repeats
        self._repeats[key] = None
        if len(self._repeats) > REPEATS_KEPT:
            del self._repeats[next(iter(self._repeats))]
        return False

    def _bar(self, cells: Cells) -> tuple[int, ...]:
        at = self._places
        opened, high, low, close = (
            self._price_of(cells[at[role]], role) for role in ("open", "high", "low", "close")
        )
        volume = self._size_of(cells[at["volume"]])
        if not 0 < low <= min(opened, close) <= max(opened, close) <= high:
            said = ", ".join(f"{role} {cells[at[role]].strip()}" for role in ROLES[self._kind][1:])
            self._refuse(f"is no bar: {said}")
        return self._time(cells), opened, high, low, close, volume

    def _trade(self, cells: Cells) -> tuple[int, ...]:
        at = self._places
        price, size = self._price_of(cells[at["price"]], "price"), self._size_of(cells[at["size"]])
        side = number = 0
        if "buyer_maker" in at:
            side = -1 if self._flag(cells[at["buyer_maker"]]) else 1
        elif "side" in at:
            side = self._side(cells[at["side"]])
        if "id" in at:
            text = cells[at["id"]].strip()
            if not (text.isdecimal() and text.isascii()) or int(text) >= 1 << 62:
                self._refuse(f"has the id {text!r}, which is no whole number")
            number = int(text)
        return self._time(cells), price, size, side, number

    def _price(self, cells: Cells) -> tuple[int, ...]:
        text = cells[self._places["price"]]
        return self._time(cells), self._price_of(text, "price") if text.strip() else 0

    def _quote(self, cells: Cells) -> tuple[int, ...]:
        at = self._places
        bid, bid_size = self._side_of(cells[at["bid"]], cells[at["bid_size"]], "bid")
        ask, ask_size = self._side_of(cells[at["ask"]], cells[at["ask_size"]], "ask")
        if bid and ask and bid >= ask:
            said = f"{cells[at['bid']].strip()} is not below the ask {cells[at['ask']].strip()}"
            self._refuse(f"is crossed: the bid {said}")
        return self._time(cells), bid, ask, bid_size, ask_size

    def _side_of(self, price: str, size: str, side: str) -> tuple[int, int]:
        """Return price and size of a side; no size, or one of zero = nothing stood there."""
        amount = self._size_of(size) if size.strip() else 0
        return (self._price_of(price, side), amount) if amount else (0, 0)

    def _rate(self, cells: Cells) -> tuple[int, ...]:
        text = cells[self._places["rate"]].strip()
        try:
            rate = Decimal(text)
        except InvalidOperation:
            self._refuse(f"rate: {text!r} is no number")
        if not abs(rate) < RATE_MAX:
            self._refuse(f"has the rate {text}, which is none: a part of the position, as 0.0001")
        return self._time(cells), int(rate.scaleb(RATE_DECIMALS))

    def _time(self, cells: Cells) -> int:
        text = cells[self._places["time"]]
        found = stamp_ns(text)
        if found is None:
            self._refuse(f"has the time {text!r}, which is none")
        return found

    def _price_of(self, text: str, role: str) -> int:
        parts = plain_parts(text) or self._parts(text, role, exact=self._exact)
        if parts <= 0:
            self._refuse(f"has the {role} {text.strip()}, which is not above zero")
        return parts

    def _size_of(self, text: str) -> int:
        parts = plain_parts(text) or self._parts(text, "size", exact=False)
        if parts < 0:
            self._refuse(f"has the size {text.strip()}, which is below zero")
        return parts

    def _parts(self, text: str, role: str, *, exact: bool) -> int:
        try:
            return parts_of(text, exact=exact)
        except BadInput as error:
            self._refuse(f"{role}: {error}")

    def _flag(self, text: str) -> bool:
        small = text.strip().lower()
        if small not in TRUE and small not in FALSE:
            self._refuse(f"has {text!r} for whether the buyer was the maker: true or false")
        return small in TRUE

    def _side(self, text: str) -> int:
        small = text.strip().lower()
        if small in BUYS:
            return 1
        if small in SELLS:
            return -1
        if small:
            self._refuse(f"has the side {text!r}: buy or sell")
        return 0

    def _refuse(self, why: str) -> NoReturn:
        raise BadInput(f"{self._name}, line {self.line}: {why}")


def flags(head: FileHead) -> tuple[int, ...]:
    """Return which columns hold true or false in every row."""
    width = min(map(len, head.rows), default=0)
    words = ("true", "false")
    return tuple(
        at for at in range(width) if all(row[at].strip().lower() in words for row in head.rows)
    )


# -- whole blocks of a plain CSV: the same rows, many at once --------------------------------------
# Most files hold plain numbers and nothing odd. Arrow reads those, and every check is made on
# columns. Where anything is not as it should be, or merely not plain, `NotPlain` is raised and the
# file is read by `CellReader`, which knows what to say of which line.

NUMBER = pa.decimal128(19, DECIMALS_MAX)
STAMPED = {10: S, 13: 1_000_000, 16: 1_000, 19: 1}
BLOCK_BYTES = 1 << 23


class NotPlain(Exception):
    """A file is to be read cell by cell."""


class BlockReader:
    """Reads the columns of one CSV as numbers. Raises NotPlain where `CellReader` must."""

    def __init__(
        self, path: Path, head: FileHead, one: Format, places: Mapping[str, int], before: Cursor
    ) -> None:
        self.counts = RowCounts()
        if type(one).translated is not Format.translated or one.kind not in BLOCKS:
            raise NotPlain
        self._path, self._kind, self._places = path, one.kind, places
        self._skipped = 1 if head.header else 0
        self._width = len(head.header or head.rows[0])
        self._numbered = one.numbered and "id" in places
        self._last = tuple(before)

    def blocks(self) -> Iterator[ColumnBlock]:
        """Yield the columns of `COLUMNS`, some megabytes of the file at once."""
        make = BLOCKS[self._kind]
        try:
            with bytes_of(self._path) as stream, self._opened(stream) as file:
                for batch in file:
                    columns = {role: batch.column(f"c{at}") for role, at in self._places.items()}
                    if any(column.null_count for column in columns.values()):
                        raise NotPlain
                    if batch.num_rows:
                        made = make(columns)
                        self._check(made)
                        yield tuple(pa.array(column) for column in made)
        except (pa.ArrowException, *UNREADABLE):
            raise NotPlain from None

    def _opened(self, stream: IO[bytes]) -> pa_csv.CSVStreamingReader:
        types: dict[str, pa.DataType] = {
            "time": pa.int64(),
            "id": pa.int64(),
            "buyer_maker": pa.bool_(),
            "side": pa.dictionary(pa.int32(), pa.string()),
        }
        return pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(
                column_names=[f"c{at}" for at in range(self._width)],
                skip_rows=self._skipped,
                block_size=BLOCK_BYTES,
                use_threads=False,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types={f"c{at}": types.get(r, NUMBER) for r, at in self._places.items()},
                include_columns=[f"c{at}" for at in dict.fromkeys(self._places.values())],
                null_values=[],
                true_values=["true", "True", "TRUE"],
                false_values=["false", "False", "FALSE"],
            ),
        )

    def _check(self, made: NumberColumns) -> None:
        """Look at the order of rows, the seam to the block before among them; count gaps."""
        last, self._last = self._last, tuple(int(column[-1]) for column in made)
        whole = list(made)
        if last:
            whole = [np.concatenate(([a], b)) for a, b in zip(last, made, strict=True)]
        steps = np.diff(whole[0])
        alone = self._kind is DataKind.BARS
        if (steps < 0).any() or (alone and not steps.all()):
            raise NotPlain
        if "id" in self._places:
            risen = np.diff(whole[4])
            if (risen <= 0).any() or made[4][0] < 0 or made[4][-1] >= 1 << 62:
                raise NotPlain
            for at in np.flatnonzero(risen > 1) if self._numbered else ():
                self.counts.gap(int(whole[0][at]), int(whole[0][at + 1]))


Cursor = Sequence[int]
NumberColumns = tuple[NDArray[np.int64], ...]
RoleColumns = Mapping[str, "pa.Array[pa.Scalar]"]


def _parts(column: pa.Array, least: int) -> NDArray[np.int64]:
    """Return decimals in parts of 1e-8, none below `least`."""
    words = np.frombuffer(column.buffers()[1], dtype=np.int64).reshape(-1, 2)
    low, high = words[column.offset : column.offset + len(column)].T
    if high.any() or (low < least).any():
        raise NotPlain
    return np.ascontiguousarray(low)


def _times(column: pa.Array) -> NDArray[np.int64]:
    """Return stamps in ns, all of one unit."""
    stamps = column.to_numpy()
    digits = {len(str(one)) for one in (stamps.min(), stamps.max())}
    power = STAMPED.get(min(digits)) if len(digits) == 1 else None
    if power is None:
        raise NotPlain
    return np.asarray(stamps * power)


def _sides(columns: RoleColumns) -> NDArray[np.int64]:
    if "buyer_maker" in columns:
        makers = columns["buyer_maker"].to_numpy(zero_copy_only=False)
        return np.where(makers, -1, 1)
    if "side" not in columns:
        return np.zeros(len(columns["time"]), dtype=np.int64)
    words = [str(one).strip().lower() for one in columns["side"].dictionary.to_pylist()]
    if not set(words) <= BUYS | SELLS:
        raise NotPlain
    signs = np.array([1 if one in BUYS else -1 for one in words], dtype=np.int64)
    return np.asarray(signs[columns["side"].indices.to_numpy()])


def _trades(columns: RoleColumns) -> NumberColumns:
    times = _times(columns["time"])
    ids = columns["id"].to_numpy() if "id" in columns else np.zeros(len(times), dtype=np.int64)
    return times, _parts(columns["price"], 1), _parts(columns["size"], 0), _sides(columns), ids


def _bars(columns: RoleColumns) -> NumberColumns:
    opened, high, low, close = (_parts(columns[r], 1) for r in ("open", "high", "low", "close"))
    wrong = (low > np.minimum(opened, close)) | (np.maximum(opened, close) > high)
    if wrong.any():
        raise NotPlain
    volume = _parts(columns["volume"], 0)
    return _times(columns["time"]), opened, high, low, close, volume


BLOCKS: Mapping[DataKind, Callable[[RoleColumns], NumberColumns]] = {
    DataKind.TRADES: _trades,
    DataKind.BARS: _bars,
}
