"""The door of formats: what a table of bars, trades or prices owes, and how its cells are read.

A format says which column holds what: by names, or by places where its files have no header. A
mapping that a person gives comes before both. Prices and sizes become whole parts of 1e-8, times ns
UTC (`engine/lab/formats/numbers.py` says in which forms). Rows come in the order of time; one
that is there twice is counted and read once; one that goes back in time is refused with its line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import ClassVar, NoReturn

from engine.errors import BadInput
from engine.lab.formats.numbers import parts_of, plain_parts, stamp_ns
from engine.lab.formats.tables import Cells, FileHead, TableFile, column_places
from storage.datasets import RATE_DECIMALS, DataKind, RowCounts

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

    leaves_out: ClassVar[str] = ""
    """What of its files is not imported; empty = nothing."""

    def translated(self, cells: Cells, places: Mapping[str, int]) -> Cells | None:
        """Return a row as the roles want it; None = it is none of this kind, and is passed over."""
        del places
        return cells

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
    ) -> None:
        """`before` = the last row of the file read before this one; empty = there is none."""
        self.counts = RowCounts()
        self.line = 0
        """The line or row read last."""
        self._table, self._kind, self._places = table, one.kind, places
        self._name = table.path.name
        self._numbered = one.numbered and "id" in places
        own = type(one).translated is not Format.translated
        self._translated = one.translated if own else None
        self._last = tuple(before)
        self._widest = max(places.values()) + 1

    def rows(self) -> Iterator[tuple[int, ...]]:
        """Yield the rows of `COLUMNS`. Raises BadInput with the line."""
        read = {
            DataKind.BARS: self._bar,
            DataKind.TRADES: self._trade,
            DataKind.PRICES: self._price,
            DataKind.QUOTES: self._quote,
            DataKind.FUNDING: self._rate,
        }[self._kind]
        alone = {DataKind.BARS: "bar", DataKind.FUNDING: "rate"}.get(self._kind, "")
        once, last = bool(alone) or self._kind is DataKind.QUOTES, self._last
        has_id = "id" in self._places
        for number, cells in self._table.rows:
            self.line = number
            if len(cells) < self._widest:
                self._refuse(f"has {len(cells)} columns, {self._widest} are needed: is it torn?")
            if self._translated is not None:
                translated = self._translated(cells, self._places)
                if translated is None:
                    continue
                cells = translated  # noqa: PLW2901 the same row in the words of its role
            row = read(cells)
            if last:
                if row == last and (once or has_id):
                    self.counts.duplicates += 1
                    continue
                if row[0] < last[0] or (alone and row[0] == last[0]):
                    self._refuse(f"is not later than the {alone or 'row'} before it: sort it")
                if has_id and row[4] <= last[4]:
                    self._refuse(f"has the id {row[4]}, not above {last[4]} before it: sort it")
                if self._numbered and row[4] > last[4] + 1:
                    self.counts.gap(last[0], row[0])
            last = row
            yield row

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
        return self._time(cells), self._price_of(cells[self._places["price"]], "price")

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
        parts = plain_parts(text) or self._parts(text, role, exact=True)
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
