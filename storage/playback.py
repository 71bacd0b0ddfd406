"""What the markets of a run did while it traded: candles beside its journal, to watch it again.

One file a run: the candles of all its markets, sorted by market and start, as `storage.ticks` has
them. How long one is stands in the file. What is drawn is folded to fewer, longer candles. The file
is written and read in parts of one market each, so that a year of minutes is never held whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import StorageError, os_sentence
from storage.ticks import NO_CANDLES, Candle, merge

FILE = "playback.parquet"
STEPS_S = (1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
"""Lengths of a candle that is drawn; a multiple of the stored one is taken."""
STEP = b"step_ns"
SECOND_NS = 1_000_000_000
GROUP_ROWS = 32_768
"""Candles that are decoded at once: some 3 MB."""
FOLDED_ROWS_MAX = 1_024
FOLDED_MAX = 256
"""Parts whose longer candles are kept, of at most so many rows each: 25 MB, mostly far less."""


class _CandlePart(NamedTuple):
    """Candles of one market that follow one another."""

    instrument: str
    first_ns: int
    """When the first of them begins, and the last one."""
    last_ns: int
    rows: Callable[[], pa.Table]


class Playback:
    """The candles of a run's markets. `step_ns` = how long each of them is."""

    def __init__(self, parts: Sequence[_CandlePart], step_ns: int) -> None:
        self.step_ns = step_ns
        self._all = parts
        self._of: dict[str, list[_CandlePart]] = {}
        for part in parts:
            self._of.setdefault(part.instrument, []).append(part)
        self._folded: dict[tuple[_CandlePart, int], pa.Table] = {}
        self._read: tuple[_CandlePart, pa.Table] | None = None
        """The part that was read last: a player asks for the same one again and again."""

    @classmethod
    def of(cls, rows: pa.Table, step_ns: int) -> Self:
        """Return the candles of a table, as `whole` gives it."""
        return cls(_parts(rows), step_ns)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the candles beside a run's journal, None where none were made.

        Raises StorageError naming a file that cannot be read; so does whatever reads of it later.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            body = pa.memory_map(str(path)).read_buffer()  # one that is replaced is read to its end
            metadata = pq.read_metadata(pa.BufferReader(body))
            step_ns = int((metadata.metadata or {})[STEP])
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise StorageError(_damaged(path, error)) from error
        parts: list[_CandlePart] = []
        for group in range(metadata.num_row_groups):
            rows = partial(_read, path, body, metadata, group)
            parts += _footer_parts(metadata.row_group(group), rows) or _parts(rows())
        return cls(parts, step_ns)

    def save(self, folder: Path) -> None:
        """Write the file whole, or not at all. Raises StorageError."""
        with PlaybackFile(folder, self.step_ns) as file:
            for part in self._all:
                file.add(part.rows())

    @property
    def markets(self) -> list[str]:
        """The instruments there are candles of, by name."""
        return sorted(self._of)

    def span(self, instrument: str) -> tuple[int, int] | None:
        """Return start of the first candle and end of the last, ns UTC; None = there is none."""
        parts = self._of.get(instrument)
        return None if not parts else (parts[0].first_ns, parts[-1].last_ns + self.step_ns)

    def last(self, instrument: str, until_ns: int) -> Candle | None:
        """Return the newest candle that ended at or before a time; None = none had."""
        ended_ns = until_ns - self.step_ns
        part = next(
            (p for p in reversed(self._of.get(instrument, [])) if p.first_ns <= ended_ns), None
        )
        if part is None:
            return None
        rows = _between(self._rows(part), part.first_ns, ended_ns)
        return _candles(rows.slice(rows.num_rows - 1))[0]

    def candles(
        self, instrument: str, since_ns: int, until_ns: int, most: int
    ) -> tuple[int, list[Candle]]:
        """Return how long a candle is, and the candles, oldest first: at most about `most`.

        They began at or after `since_ns`, and what they hold had ended by `until_ns`: the last one
        may be shorter than the others.
        """
        step_ns, ended_ns = self._longer(max(0, until_ns - since_ns), most), until_ns - self.step_ns
        found = [
            self._longer_of(part, since_ns, ended_ns, step_ns)
            for part in self._of.get(instrument, [])
            if part.first_ns <= ended_ns and part.last_ns >= since_ns
        ]
        if not found:
            return step_ns, []
        rows = pa.concat_tables(found)
        return step_ns, _candles(rows if step_ns == self.step_ns else merge(rows))

    def _longer_of(self, part: _CandlePart, since_ns: int, ended_ns: int, step_ns: int) -> pa.Table:
        """Return the longer candles of what a part has between two starts."""
        if part.first_ns < since_ns or part.last_ns > ended_ns:
            return self._fold(_between(self._rows(part), since_ns, ended_ns), step_ns)
        known = self._folded.get((part, step_ns))
        if known is None:
            known = self._fold(self._rows(part), step_ns)
            if step_ns != self.step_ns and known.num_rows <= FOLDED_ROWS_MAX:
                if len(self._folded) >= FOLDED_MAX:
                    self._folded = {}
                self._folded[part, step_ns] = known
        return known

    def _fold(self, rows: pa.Table, step_ns: int) -> pa.Table:
        if step_ns == self.step_ns or not rows.num_rows:
            return rows
        starts = pc.multiply(pc.divide(rows["start_ns"], step_ns), step_ns)
        return merge(rows.set_column(rows.column_names.index("start_ns"), "start_ns", starts))

    def _rows(self, part: _CandlePart) -> pa.Table:
        read = self._read
        if read is None or read[0] is not part:
            self._read = read = part, part.rows()
        return read[1]

    def _longer(self, span_ns: int, most: int) -> int:
        """Return the shortest length of which `most` cover a span; one of our steps at least."""
        fitting = (
            one * SECOND_NS
            for one in STEPS_S
            if one * SECOND_NS % self.step_ns == 0 and one * SECOND_NS * most >= span_ns
        )
        whole = -(-span_ns // (most * self.step_ns)) or 1
        return next(fitting, whole * self.step_ns)


class PlaybackFile:
    """The file of a run's candles while it is written: whole where it ends well, or not at all."""

    def __init__(self, folder: Path, step_ns: int) -> None:
        self._path = folder / FILE
        self._half = self._path.with_suffix(".half")
        self._step_ns = step_ns
        self._waits: list[pa.Table] = []
        """Of one market, fewer than make a part."""
        self._market = ""

    def __enter__(self) -> Self:
        """Begin the file. Raises StorageError."""
        schema = NO_CANDLES.schema.with_metadata({STEP: str(self._step_ns)})
        with self._named():
            self._writer = pq.ParquetWriter(
                self._half, schema, compression="zstd", write_page_checksum=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            with self._named():
                if error is None:
                    self._write()
                self._writer.close()
                if error is None:
                    self._half.replace(self._path)
        finally:
            self._half.unlink(missing_ok=True)

    def add(self, rows: pa.Table) -> None:
        """Write the next candles, sorted by market and start. Raises StorageError."""
        with self._named():
            for part in _parts(rows):
                if part.instrument != self._market:
                    self._write()
                    self._market = part.instrument
                self._waits.append(part.rows())
                if sum(map(len, self._waits)) >= GROUP_ROWS:
                    self._write()

    def _write(self) -> None:
        """Write what waits."""
        rows, self._waits = self._waits, []
        if rows:
            made = pa.concat_tables(rows).unify_dictionaries()
            self._writer.write_table(made, row_group_size=GROUP_ROWS)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the folder where it cannot be written."""
        try:
            yield
        except OSError as error:
            folder = self._path.parent
            raise StorageError(f"{folder} cannot be written: {os_sentence(error)}") from error


def _damaged(path: Path, error: Exception) -> str:
    return f"{path} cannot be read ({error}): remove it and read the prices again"


def _read(path: Path, body: pa.Buffer, metadata: pq.FileMetaData, group: int) -> pa.Table:
    """Read one part of a file. Raises StorageError naming it."""
    try:
        file = pq.ParquetFile(
            pa.BufferReader(body), metadata=metadata, page_checksum_verification=True
        )
        rows = file.read_row_group(group, use_threads=False)
        return rows.replace_schema_metadata(None).cast(NO_CANDLES.schema)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StorageError(_damaged(path, error)) from error


def _footer_parts(group: pq.RowGroupMetaData, rows: Callable[[], pa.Table]) -> list[_CandlePart]:
    """Return the part that a row group is; empty = its footer does not say that it is one."""
    places = {group.column(n).path_in_schema: n for n in range(group.num_columns)}
    whose, starts = (group.column(places[name]).statistics for name in ("instrument", "start_ns"))
    if not (whose and starts and whose.has_min_max and starts.has_min_max):
        return []
    return [] if whose.min != whose.max else [_CandlePart(whose.min, starts.min, starts.max, rows)]


def _parts(rows: pa.Table) -> list[_CandlePart]:
    """Return the candles of each market: they stand together."""
    if not rows.num_rows:
        return []
    column = rows.unify_dictionaries()["instrument"]
    names = column.chunk(0).dictionary.to_pylist()
    runs = pc.run_end_encode(pa.concat_arrays([chunk.indices for chunk in column.chunks]))
    edges, whose = [0, *runs.run_ends.to_pylist()], runs.values.to_pylist()
    made = []
    for place, (first, end) in zip(whose, pairwise(edges), strict=True):
        mine = rows.slice(first, end - first)
        starts = mine["start_ns"]
        ends = starts[0].as_py(), starts[len(starts) - 1].as_py()
        made.append(_CandlePart(names[place], *ends, partial(_same, mine)))
    return made


def _same(rows: pa.Table) -> pa.Table:
    return rows


def _between(rows: pa.Table, since_ns: int, ended_ns: int) -> pa.Table:
    """Return the candles that began between two times, both included."""
    starts = rows["start_ns"]
    first, end = (
        int(pc.sum(before, min_count=0).as_py())
        for before in (pc.less(starts, since_ns), pc.less_equal(starts, ended_ns))
    )
    return rows.slice(first, max(0, end - first))


def _candles(rows: pa.Table) -> list[Candle]:
    return [Candle(**row) for row in rows.drop_columns(["instrument"]).to_pylist()]


def whole(parts: Sequence[pa.Table]) -> pa.Table:
    """Return candles that were made in parts as one table: by market and start, each once."""
    return merge(pa.concat_tables(parts)) if parts else NO_CANDLES
