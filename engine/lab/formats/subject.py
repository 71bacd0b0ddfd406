"""Which rows of a table are those of one instrument.

Many tables hold several: a column names the market of each row. Rows of two markets are never mixed
into one data set: a person names the rows that are meant, or the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.errors import BadInput
from engine.lab.formats.tables import Cells

SUBJECTS = (
    "symbol",
    "pair",
    "coin",
    "ticker",
    "slug",
    "market_slug",
    "market_id",
    "condition_id",
    "conditionid",
    "instrument_id",
    "asset_id",
    "asset",
    "token_id",
)
"""Names, in small letters, of columns that say which instrument a row is of."""
VALUES_SAID = 5
VALUES_KEPT = 1_000


def only_of(text: str) -> dict[str, str]:
    """Return `column=value, …` as a dictionary. Raises BadInput."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not (column.strip() and value.strip()) for column, _, value in pairs):
        raise BadInput(f"rows {text!r}: write column=value, e.g. symbol=BTCUSDT")
    return {column.strip().lower(): value.strip() for column, _, value in pairs}


def only_text(only: Mapping[str, str]) -> str:
    """Return what `only_of` reads, columns in order; empty = all rows."""
    return ",".join(f"{column}={value}" for column, value in sorted(only.items()))


class OneInstrument:
    """Passes the rows of one instrument on, and refuses a table that holds two."""

    def __init__(self, file: str, header: Sequence[str], only: Mapping[str, str]) -> None:
        """Take the file's name, its columns and column → value. Raises BadInput, unknown column."""
        names = [name.strip().lower() for name in header]
        for column in only:
            if column not in names:
                there = ", ".join(names) or "no header"
                raise BadInput(f"{file}, line 1: has no column {column!r}; it has {there}")
        self._file, self._only = file, only
        self.asked = [(names.index(column), value) for column, value in only.items()]
        self._subjects = [(at, name) for at, name in enumerate(names) if name in SUBJECTS]
        self.trivial = not self.asked and not self._subjects
        """True = every row is passed on, and none is looked at."""
        self._others: dict[str, None] = {}

    @property
    def columns(self) -> set[int]:
        """The places of the columns it looks at."""
        return {at for at, _ in self.asked} | {at for at, _ in self._subjects}

    def passed(self, value: str) -> None:
        """Remember what the first asked column says of rows that are not meant."""
        if len(self._others) < VALUES_KEPT:
            self._others[value] = None

    def of(self, rows: Iterator[tuple[int, Cells]]) -> Iterator[tuple[int, Cells]]:
        """Return the rows that are meant, with their lines. Raises BadInput naming the values."""
        return rows if self.trivial else self._of(rows)

    def _of(self, rows: Iterator[tuple[int, Cells]]) -> Iterator[tuple[int, Cells]]:
        first: Cells | None = None
        for line, cells in rows:
            if not all(len(cells) > at and cells[at].strip() == v for at, v in self.asked):
                at = self.asked[0][0]
                self.passed(cells[at].strip() if len(cells) > at else "")
                continue
            if first is None:
                first = cells
            self._check(line, first, cells)
            yield line, cells
        if first is None and self.asked:
            said = ", ".join([one for one in self._others if one][:VALUES_SAID])
            raise BadInput(
                f"{self._file}: no row has {only_text(self._only)}; {self._asked_name()} is there "
                f"as {said or 'nothing'}"
            )

    def _asked_name(self) -> str:
        return next(iter(self._only))

    def _check(self, line: int, first: Cells, cells: Cells) -> None:
        for at, name in self._subjects:
            if len(cells) > at and len(first) > at and cells[at] != first[at]:
                raise BadInput(
                    f"{self._file}, line {line}: is of another {name}, {cells[at]!r} and not "
                    f"{first[at]!r}: the file holds several; name one: --only {name}={first[at]}"
                )
