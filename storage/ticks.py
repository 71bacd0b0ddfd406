"""Ticks and candles of every instrument that was subscribed to: `candles` and `ticks` answer pages.

The engine appends ticks to a log (`storage/tick_log.py`); the job `retain` moves whole segments of
it into Parquet, sorted by instrument, and folds them into candles of a minute, five, an hour and a
day. Each file says up to which segment it has taken the log (`taken`): a job that dies anywhere is
simply done again, and a question takes from the log what no file has yet.

Prices and sizes are the instrument's own integers, times ns UTC. A candle's prices are twice the
mid, so that they are whole: (bid + ask) of each tick in which both sides stood. Of a market nobody
received there is no candle, and after a feed was lost no price until a book came again.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import BadInput, StorageError
from storage import tick_log
from storage.retention import keep_bytes, size_of
from storage.tick_log import NONE

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
INTERVALS = {
    "1m": 60 * SECOND_NS,
    "5m": 300 * SECOND_NS,
    "1h": 3_600 * SECOND_NS,
    "1d": DAY_NS,
}
PERIODS = {"1m": "%Y-%m-%d", "5m": "%Y-%m-%d", "1h": "%Y-%m", "1d": "%Y"}
"""How much time one file of candles holds: by its name."""

_RAW = re.compile(r"\d{4}-\d\d-\d\d-\d{1,15}\.parquet", re.ASCII)
RAW_DAYS = 90
CANDLES_MAX = 200_000
TICKS_MAX = 20_000
"""Most that one question is answered with."""

BATCH_BYTES = 8_000_000
"""Bytes of the log that are moved at once: some 800,000 ticks, 200 MB of memory."""

GROUP_ROWS = 16_384
"""Rows a reader decodes at least: a row group; whole ones are passed over by their instruments."""


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """What an instrument did from `start_ns` on, for one interval.

    `open2`, `high2`, `low2`, `close2` are twice the mid; None = there never were both sides.
    """

    start_ns: int
    open2: int | None
    high2: int | None
    low2: int | None
    close2: int | None
    bid: int | None
    """Best bid at the end; None = there was none."""
    ask: int | None
    last: int | None
    """The last traded price; None = no trade was received yet."""
    volume: int
    ticks: int
    trades: int


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the best prices, or a trade."""

    at_ns: int
    bid: int | None
    ask: int | None
    last: int | None
    volume: int | None
    """Size traded, 0 where the venue did not say; None = no trade but a change of the book."""


def candles(
    home: Path, instrument: str, interval: str, since_ns: int, until_ns: int
) -> list[Candle]:
    """Return the candles that begin in [since_ns, until_ns), oldest first, the present one too.

    Raises BadInput for an unknown interval or too long a time, StorageError naming a damaged file.
    """
    step = INTERVALS.get(interval)
    if step is None:
        raise BadInput(f"{interval!r} is not a candle interval: {', '.join(INTERVALS)}")
    since_ns = max(0, -(-since_ns // step) * step)
    if until_ns - since_ns > CANDLES_MAX * step:
        raise BadInput(f"more than {CANDLES_MAX:,} candles of {interval}: choose a longer interval")
    folder = home / "ticks"
    until_ns = max(since_ns, -(-until_ns // step) * step)
    # The log first: what is moved meanwhile stands in files that are read after it.
    span = since_ns, until_ns
    tail = _tail(folder, instrument, span)
    found: list[pa.Table] = []
    for name in _there(folder / "candles" / interval, interval, span, tail):
        path = folder / "candles" / interval / f"{name}.parquet"
        taken, rows = _read(path, instrument, "start_ns", span)
        found += [rows, aggregate(_of_log(tail, taken, interval, name), step)]
    made = merge(pa.concat_tables(found)) if found else NO_CANDLES
    return [Candle(**one) for one in made.drop_columns(["instrument"]).to_pylist()]


def ticks(
    home: Path, instrument: str, since_ns: int, until_ns: int, *, limit: int = TICKS_MAX
) -> list[Tick]:
    """Return the ticks of [since_ns, until_ns), oldest first: the latest `limit` of them.

    Raises StorageError naming a damaged file.
    """
    folder, found, many = home / "ticks", list[pa.Table](), 0
    span = since_ns, until_ns
    tail = _tail(folder, instrument, span)
    for day in reversed(_there(folder / "raw", "1m", span, tail)):
        files = _raw_of(folder, day)
        found.append(_of_log(tail, _taken_of(files[-1]) if files else 0, "1m", day))
        many += found[-1].num_rows
        while files and many < limit:
            found.append(_read(files.pop(), instrument, "at_ns", span)[1])
            many += found[-1].num_rows
        if many >= limit:
            break
    rows = pa.concat_tables([*reversed(found)]) if found else _NO_TICKS
    latest = rows.slice(max(0, rows.num_rows - limit)).drop_columns(["instrument"])
    return [Tick(**one) for one in latest.to_pylist()]


# -- folding ---------------------------------------------------------------------------------------

_KEYS = ("instrument", "start_ns")
_LAST = pc.ScalarAggregateOptions(skip_nulls=False, min_count=0)
_COMBINE: dict[str, tuple[str, pc.FunctionOptions | None]] = {
    "open2": ("first", None),
    "high2": ("max", None),
    "low2": ("min", None),
    "close2": ("last", None),
    "bid": ("last", _LAST),
    "ask": ("last", _LAST),
    "last": ("last", None),
    "volume": ("sum", None),
    "ticks": ("sum", None),
    "trades": ("sum", None),
}

_WHOSE = pa.dictionary(pa.int32(), pa.string())
_NO_TICKS = pa.schema(
    [("instrument", _WHOSE), *((name, pa.int64()) for name in tick_log.COLUMNS)]
).empty_table()
NO_CANDLES = pa.schema(
    [("instrument", _WHOSE), ("start_ns", pa.int64()), *((name, pa.int64()) for name in _COMBINE)]
).empty_table()


def aggregate(rows: pa.Table, step_ns: int) -> pa.Table:
    """Return the candles of ticks, which stand in the order in which they were received."""
    mid2 = pc.add(rows["bid"], rows["ask"])
    volume = rows["volume"]
    return merge(
        pa.table(
            {
                "instrument": rows["instrument"],
                "start_ns": pc.multiply(pc.divide(rows["at_ns"], step_ns), step_ns),
                **dict.fromkeys(("open2", "high2", "low2", "close2"), mid2),
                "bid": rows["bid"],
                "ask": rows["ask"],
                "last": rows["last"],
                "volume": pc.fill_null(volume, 0),
                "ticks": pa.repeat(pa.scalar(1, pa.int64()), rows.num_rows),
                "trades": pc.cast(pc.is_valid(volume), pa.int64()),
            }
        )
    )


def merge(rows: pa.Table) -> pa.Table:
    """Return one candle for each instrument and start, of several in the order of their ticks."""
    if not rows.num_rows:
        return NO_CANDLES
    grouped = rows.unify_dictionaries().group_by([*_KEYS], use_threads=False)
    made = grouped.aggregate([(name, how, options) for name, (how, options) in _COMBINE.items()])
    made = made.rename_columns(
        [name.rpartition("_")[0] if name not in _KEYS else name for name in made.column_names]
    )
    return _sorted(made.select(NO_CANDLES.column_names).cast(NO_CANDLES.schema), "start_ns")


def _sorted(rows: pa.Table, order: str) -> pa.Table:
    """Return rows by instrument and time; those of one time stay in their order."""
    keys = pa.table({"whose": pc.cast(rows["instrument"], pa.string()), "at": rows[order]})
    return rows.take(pc.sort_indices(keys, [("whose", "ascending"), ("at", "ascending")]))


# -- reading ---------------------------------------------------------------------------------------


class _Footer(NamedTuple):
    metadata: pq.FileMetaData
    groups: tuple[tuple[str, str], ...]
    """First and last instrument of each row group."""
    taken: int


@lru_cache(maxsize=256)
def _footer(path: Path, modified_ns: int, size: int) -> _Footer:
    del modified_ns, size
    metadata = pq.read_metadata(path)
    stats = [metadata.row_group(n).column(0).statistics for n in range(metadata.num_row_groups)]
    taken = int((metadata.metadata or {})[b"taken"])
    return _Footer(metadata, tuple((one.min, one.max) for one in stats), taken)


def _read(path: Path, instrument: str, order: str, span: tuple[int, int]) -> tuple[int, pa.Table]:
    """Return up to which segment a file has taken the log, and its rows of an instrument."""
    none = _NO_TICKS if order == "at_ns" else NO_CANDLES
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno())
            footer = _footer(path, there.st_mtime_ns, there.st_size)
            wanted = [n for n, (a, z) in enumerate(footer.groups) if a <= instrument <= z]
            if not wanted:
                return footer.taken, none
            parquet = pq.ParquetFile(
                file, metadata=footer.metadata, page_checksum_verification=True
            )
            rows = parquet.read_row_groups(wanted, use_threads=False)
    except FileNotFoundError:
        return 0, none
    except (OSError, KeyError, pa.ArrowException) as error:
        raise StorageError(
            f"{path} cannot be read ({error}): move it away to go on without it"
        ) from error
    mine = rows.filter(pc.equal(pc.cast(rows["instrument"], pa.string()), instrument))
    return footer.taken, _within(mine, order, span).cast(none.schema)


def _tail(folder: Path, instrument: str, span: tuple[int, int]) -> pa.Table:
    """Return an instrument's ticks of the log, each with the segment it stands in."""
    found = [array("q") for _ in (*tick_log.COLUMNS, "segment")]
    for segment in tick_log.segments(folder):
        columns = tick_log.ticks_in(segment, instrument)
        if columns[0] and columns[0][-1] >= span[0] and columns[0][0] < span[1]:
            number = array("q", [tick_log.number_of(segment)]) * len(columns[0])
            for column, more in zip(found, (*columns, number), strict=True):
                column.extend(more)
    rows = tick_table(instrument, found[:-1])
    return _within(rows.append_column("segment", _numbers(found[-1])), "at_ns", span)


def _of_log(tail: pa.Table, taken: int, interval: str, name: str) -> pa.Table:
    """Return the ticks of the log that belong into a file which has taken so much of it."""
    rows = tail.filter(pc.greater(tail["segment"], taken)).drop_columns(["segment"])
    return _newer([(taken + 1, rows)], taken, interval, name)


def tick_table(instrument: str, columns: Sequence[array[int]]) -> pa.Table:
    """Return an instrument's ticks, given as the columns of the log, as `aggregate` takes them."""
    rows = len(columns[0])
    whose = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), [instrument])
    made = {"instrument": whose}
    for name, column in zip(tick_log.COLUMNS, columns, strict=True):
        values = _numbers(column)
        made[name] = pc.if_else(pc.equal(values, NONE), None, values)
    return pa.table(made, schema=_NO_TICKS.schema)


def _numbers(column: array[int]) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(column), [None, pa.py_buffer(column.tobytes())])


def _within(rows: pa.Table, order: str, span: tuple[int, int]) -> pa.Table:
    at_ns = rows[order]
    return rows.filter(pc.and_(pc.greater_equal(at_ns, span[0]), pc.less(at_ns, span[1])))


def _there(folder: Path, interval: str, span: tuple[int, int], tail: pa.Table) -> list[str]:
    """Return the periods of a time of which there is anything, in a file or in the log."""
    first, last = (_named(interval, max(0, at_ns)) for at_ns in (span[0], span[1] - 1))
    length = len(first)
    files = {one.name[:length] for one in folder.glob("*.parquet")}
    return sorted({one for one in files if first <= one <= last} | {*_names(interval, [(0, tail)])})


def _named(interval: str, at_ns: int) -> str:
    return dt.datetime.fromtimestamp(at_ns // SECOND_NS, dt.UTC).strftime(PERIODS[interval])


def _raw_of(folder: Path, day: str) -> list[Path]:
    found = (folder / "raw").glob(f"{day}-*.parquet")
    ours = (one for one in found if _RAW.fullmatch(one.name))  # others have no part in the order
    return sorted(ours, key=_taken_of)


def _taken_of(raw: Path) -> int:
    return int(raw.stem.rpartition("-")[2])


# -- moving the log into files ---------------------------------------------------------------------


class TicksMoved(msgspec.Struct, kw_only=True):
    """What a move did."""

    ticks: int = 0
    aside: list[str] = []
    """Files that were torn or damaged: what could be read of them was taken, they are kept."""


def move(home: Path, *, step: Callable[[str], object] = lambda _: None) -> TicksMoved:
    """Make Parquet and candles of every segment but the one being written; `step` gets each step.

    A program that dies between two steps loses and doubles nothing. Raises StorageError.
    """
    folder, moved = home / "ticks", TicksMoved()
    waiting = tick_log.segments(folder)[:-1]
    while waiting:
        part, size = [waiting.pop(0)], 0
        while waiting and (size := size + waiting[0].stat().st_size) < BATCH_BYTES:
            part.append(waiting.pop(0))
        try:
            _move(folder, part, moved, step)
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"ticks could not be moved in {folder}: {error}") from error
    return moved


def _move(
    folder: Path, part: Sequence[Path], moved: TicksMoved, step: Callable[[str], object]
) -> None:
    loaded: list[tuple[int, pa.Table]] = []
    for segment in part:
        try:
            loaded.append((tick_log.number_of(segment), _loaded(segment)))
        except StorageError as error:
            _aside(segment, moved, str(error))
    if not loaded:
        return
    taken = loaded[-1][0]
    moved.ticks += sum(rows.num_rows for _, rows in loaded)
    for day in _names("1m", loaded):
        files = _raw_of(folder, day)
        rows = _newer(loaded, _taken_of(files[-1]) if files else 0, "1m", day)
        if rows.num_rows:
            step(f"raw {day}")
            path = folder / "raw" / f"{day}-{taken}.parquet"
            _write(path, _sorted(rows.unify_dictionaries(), "at_ns"), taken)
    for interval, step_ns in INTERVALS.items():
        for name in _names(interval, loaded):
            path = folder / "candles" / interval / f"{name}.parquet"
            before, old = _kept(path, moved)
            rows = _newer(loaded, before, interval, name)
            if rows.num_rows:
                step(f"{interval} {name}")
                _write(path, merge(pa.concat_tables([old, aggregate(rows, step_ns)])), taken)
    for segment in (one for one in part if one.exists()):
        step("delete")
        left = tick_log.look(segment)[1]
        if left:
            _aside(segment, moved, f"{left} bytes at its end are no whole record")
        segment.unlink(missing_ok=True)


def _loaded(segment: Path) -> pa.Table:
    names = tick_log.look(segment)[0]
    found = [tick_table(name, tick_log.ticks_in(segment, name)) for name in names]
    return pa.concat_tables(found) if found else _NO_TICKS


def _names(interval: str, loaded: Iterable[tuple[int, pa.Table]]) -> list[str]:
    """Return the files that some ticks belong into."""
    days = {
        day for _, rows in loaded for day in pc.unique(pc.divide(rows["at_ns"], DAY_NS)).to_pylist()
    }
    return list(dict.fromkeys(_named(interval, day * DAY_NS) for day in sorted(days)))


def _newer(
    loaded: Iterable[tuple[int, pa.Table]], taken: int, interval: str, name: str
) -> pa.Table:
    """Return the ticks of segments behind `taken` that belong into a file."""
    found = [_NO_TICKS]
    for number, rows in loaded:
        if number > taken and rows.num_rows:
            days = pc.divide(rows["at_ns"], DAY_NS)
            mine = [d for d in pc.unique(days).to_pylist() if _named(interval, d * DAY_NS) == name]
            found.append(rows.filter(pc.is_in(days, pa.array(mine, pa.int64()))))
    return pa.concat_tables(found)


def _kept(path: Path, moved: TicksMoved) -> tuple[int, pa.Table]:
    """Return what a file of candles holds; one that is damaged is set aside and begun anew."""
    if not path.exists():
        return 0, NO_CANDLES
    try:
        taken = int((pq.read_metadata(path).metadata or {})[b"taken"])
        rows = pq.read_table(path, page_checksum_verification=True, use_threads=False)
        return taken, rows.replace_schema_metadata(None).cast(NO_CANDLES.schema)
    except (OSError, KeyError, pa.ArrowException) as error:
        _aside(path, moved, str(error))
        return 0, NO_CANDLES


def _aside(path: Path, moved: TicksMoved, why: str) -> None:
    target = path.parents[1] / "aside" if path.suffix == tick_log.END else path.parent / "aside"
    target.mkdir(exist_ok=True)
    path.replace(target / path.name)
    moved.aside.append(f"{path}: {why}")


def _write(path: Path, rows: pa.Table, taken: int) -> None:
    """Write a file whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    numbers = [name for name in rows.column_names if name != "instrument"]
    pq.write_table(
        rows.replace_schema_metadata({"taken": str(taken)}),
        half,
        row_group_size=GROUP_ROWS,
        compression="zstd",
        use_dictionary=["instrument"],
        write_page_checksum=True,
        column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
    )
    with half.open("rb+") as file:
        os.fsync(file.fileno())
    half.replace(path)


def forget(home: Path, now_ns: int, bytes_max: int) -> int:
    """Delete raw ticks older than 90 days, and the oldest beyond `bytes_max`; give how many files.

    Candles stay for ever.
    """
    folder = home / "ticks"
    raw = sorted((folder / "raw").glob("*.parquet"))
    gone = [one for one in raw if one.name[:10] < _named("1m", now_ns - RAW_DAYS * DAY_NS)]
    left = [one for one in raw if one not in gone]
    rest = size_of(folder) - sum(map(size_of, raw))
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone) + len(keep_bytes(left, bytes_max - rest, least=0))
