"""Data sets: imported bars, trades and prices, a folder each under `data` in the home.

    data/NAME/dataset.json        a `Dataset`: what it is of, how much, its gaps, and its files
    data/NAME/part-00001.parquet  rows of one imported file: whole numbers, a column a field
    data/NAME.importing/          the parts of an import that has not ended; no question reads it

Prices and sizes are whole parts of 1e-8, times ns UTC. A data set appears whole, by one rename, or
not at all. An import that was interrupted keeps its finished parts beside, and the same import goes
on behind them.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from itertools import chain, islice, pairwise
from math import gcd
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from engine.domain.products.funding import RATE_DECIMALS
from engine.errors import BadInput, StorageError, os_sentence
from storage.files import to_disk, write_whole

GROUP_ROWS = 65_536
"""Rows of one row group: what is held in memory while an import runs."""
GAPS_KEPT = 1_000
"""Most gaps that are kept one by one; all are counted."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MANIFEST = "dataset.json"
IMPORTING = ".importing"
CHUNK_BYTES = 1 << 20
ColumnBlock = tuple[pa.Int64Array, ...]
"""Rows by their columns."""


class DataKind(StrEnum):
    """What the rows of a data set are."""

    BARS = "bars"
    TRADES = "trades"
    PRICES = "prices"
    """Prices without a size: they can be charted, and no order can be filled by them."""
    QUOTES = "quotes"
    """The best bid and ask with their sizes; 0 = that side was empty."""
    FUNDING = "funding"
    """Rates of a perpetual, each at the time it was paid."""


class DataTrust(StrEnum):
    """How far a span of data can be believed."""

    COMPLETE = "complete"
    GAPS = "gaps"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


COLUMNS: Mapping[DataKind, tuple[str, ...]] = {
    DataKind.BARS: ("start_ns", "open", "high", "low", "close", "volume"),
    DataKind.TRADES: ("at_ns", "price", "size", "side", "id"),
    DataKind.PRICES: ("at_ns", "price"),
    DataKind.QUOTES: ("at_ns", "bid", "ask", "bid_size", "ask_size"),
    DataKind.FUNDING: ("at_ns", "rate"),
}
"""The columns of each kind. `side` is that of the taker: 1 = buy, -1 = sell, 0 = not stated; an
`id` of 0 = the file has none."""

PRICES = {
    DataKind.BARS: (1, 2, 3, 4),
    DataKind.TRADES: (1,),
    DataKind.PRICES: (1,),
    DataKind.QUOTES: (1, 2),
}
SIZES = {DataKind.BARS: (5,), DataKind.TRADES: (2,), DataKind.QUOTES: (3, 4)}
"""Where prices and sizes stand in a row, in parts of 1e-8."""


class Checked(StrEnum):
    """Whether a file was compared with the checksum its source gives."""

    VERIFIED = "verified"
    NONE = "none given"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one part are."""

    rows: int
    first: tuple[int, ...]
    last: tuple[int, ...]
    step_ns: int
    """Of bars: their shortest step within the part; 0 = it holds one."""
    price_gcd: int
    """What divides every price, in parts of 1e-8."""
    size_gcd: int


class ImportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was imported, and the part that was made of it."""

    name: str
    sha256: str
    """Of the file as it was given."""
    checksum: Checked
    format: str
    part: str
    part_sha256: str
    written: Written
    duplicates: int
    gaps: int
    """Missing ids of trades; what is missing of bars is known when all files are read."""
    gap_ns: int
    gaps_kept: tuple[tuple[int, int], ...]
    """(from, until) in ns UTC of the first of them."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a data set's trust, when, and why."""

    at_ns: int
    trust: DataTrust
    reason: str


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """One data set. Prices and sizes in parts of 1e-8, times ns UTC."""

    name: str
    instrument: str
    """For example `binance:BTC/USDT`; what stands before the colon is the venue."""
    kind: DataKind
    step_ns: int
    """Length of a bar; 0 = they are no bars."""
    rows: int
    first_ns: int
    last_ns: int
    """End of the last bar, or the time of the last row."""
    price_gcd: int
    """What divides every price, in parts of 1e-8: it says how many decimals they have."""
    size_gcd: int
    duplicates: int
    gaps: int
    gap_ns: int
    gaps_kept: tuple[tuple[int, int], ...]
    trust: tuple[Judgement, ...]
    """The newest last."""
    files: tuple[ImportedFile, ...]
    bytes: int
    """Of its parts."""
    made_ns: int

    @property
    def venue(self) -> str:
        return self.instrument.partition(":")[0]

    @property
    def judged(self) -> Judgement:
        return self.trust[-1]


def is_dataset(path: Path) -> bool:
    """Say whether a folder is a data set."""
    return (path / MANIFEST).is_file()


def find(folder: Path, name: str) -> Dataset:
    """Return a data set by its name. Raises BadInput where there is none, StorageError."""
    if NAME.fullmatch(name) is None or not is_dataset(folder / name):
        known = ", ".join(one.name for one in datasets(folder)) or "none yet"
        raise BadInput(f"there is no data set {name!r}; there are: {known}")
    return read(folder / name)


def read(path: Path) -> Dataset:
    """Return what a folder says of itself. Raises StorageError where it cannot be read."""
    try:
        return msgspec.json.decode((path / MANIFEST).read_bytes(), type=Dataset)
    except (OSError, msgspec.MsgspecError) as error:
        raise StorageError(f"{path / MANIFEST} cannot be read: {error}") from None


def datasets(folder: Path) -> list[Dataset]:
    """Return every data set, by name. Raises StorageError naming one that cannot be read."""
    if not folder.is_dir():
        return []
    return [read(path) for path in sorted(folder.iterdir()) if is_dataset(path)]


def columns(
    path: Path, *, since_ns: int = 0, until_ns: int = 1 << 62
) -> Iterator[list[array[int]]]:
    """Yield the rows in [since_ns, until_ns) as blocks of columns, in order.

    Raises StorageError naming a damaged part.
    """
    for file in read(path).files:
        if file.written.last[0] < since_ns or file.written.first[0] >= until_ns:
            continue
        part = path / file.part
        try:
            with pq.ParquetFile(part, page_checksum_verification=True) as opened:
                for group in range(opened.num_row_groups):
                    if _outside(opened.metadata.row_group(group), since_ns, until_ns):
                        continue
                    block = [_ints(column) for column in opened.read_row_group(group).columns]
                    if block[0][0] < since_ns or block[0][-1] >= until_ns:
                        block = _within(block, since_ns, until_ns)
                    if block[0]:
                        yield block
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"{part} is damaged: {error}; import it again") from None


def _ints(column: pa.ChunkedArray) -> array[int]:
    made = array("q")
    for chunk in column.chunks:
        made.frombytes(memoryview(chunk.to_numpy()).cast("B"))
    return made


def _outside(group: pq.RowGroupMetaData, since_ns: int, until_ns: int) -> bool:
    """Say whether a group's own first and last time show that none of its rows is asked for."""
    times = group.column(0).statistics
    if times is None or not times.has_min_max:
        return False
    return bool(times.max < since_ns or times.min >= until_ns)


def _within(block: list[array[int]], since_ns: int, until_ns: int) -> list[array[int]]:
    begin, end = bisect_left(block[0], since_ns), bisect_left(block[0], until_ns)
    return [column[begin:end] for column in block]


def export_csv(path: Path, target: Path) -> int:
    """Write the rows as CSV with a header, beside its place and then there; return how many.

    Prices and sizes as decimals, times in ns UTC. Raises BadInput where there is a file already,
    StorageError.
    """
    found = read(path)
    if target.exists():
        raise BadInput(f"there is {target} already: name another file")
    beside = target.with_name(f"{target.name}.part")
    texts: dict[int, Callable[[int], str]] = dict.fromkeys(
        (*PRICES.get(found.kind, ()), *SIZES.get(found.kind, ())), decimal_text
    )
    if found.kind is DataKind.FUNDING:
        texts[1] = rate_text
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(COLUMNS[found.kind])
            for block in columns(path):
                shown = [
                    map(texts[at], column) if at in texts else column
                    for at, column in enumerate(block)
                ]
                lines.writerows(zip(*shown, strict=True))
        beside.rename(target)
    except OSError as error:
        raise StorageError(f"{target}: {os_sentence(error)}") from None
    finally:
        beside.unlink(missing_ok=True)
    return found.rows


def decimal_text(parts: int) -> str:
    """Return parts of 1e-8 as a decimal, without zeros at its end."""
    whole, rest = divmod(parts, 100_000_000)
    return f"{whole}.{rest:08}".rstrip("0").rstrip(".")


def rate_text(parts: int) -> str:
    """Return a rate of funding, kept in parts of 1e-18, as a decimal."""
    return f"{Decimal(parts).scaleb(-RATE_DECIMALS).normalize():f}"


def verify(path: Path) -> list[str]:
    """Return a sentence for everything that is not as it was imported; none = all is."""
    wrong: list[str] = []
    for file in read(path).files:
        part = path / file.part
        try:
            if sha256_of(part) != file.part_sha256:
                wrong.append(f"{part}: its bytes changed since the import of {file.name}")
        except OSError as error:
            wrong.append(f"{part}: {os_sentence(error)}")
    return wrong


def trim(folder: Path, name: str, new: str, span: tuple[int, int], now_ns: int) -> Dataset:
    """Make another data set of the rows of one in [span), in ns UTC; the first stays as it is.

    Raises BadInput where the new name is taken, or no row lies in the span; StorageError.
    """
    found = find(folder, name)
    since_ns, until_ns = span
    between = RowCounts()
    for from_ns, to_ns in found.gaps_kept:
        if since_ns <= from_ns and to_ns <= until_ns:
            between.gap(from_ns, to_ns)
    with DatasetWriter(folder, new, found.kind) as writer:
        writer.keep_done(0)
        blocks = columns(folder / name, since_ns=since_ns, until_ns=until_ns)
        rows = chain.from_iterable(zip(*block, strict=True) for block in blocks)
        digest = hashlib.sha256(msgspec.json.encode(found)).hexdigest()
        writer.part(NamedFile(name, digest, Checked.VERIFIED, "trim"), RowCounts(), rows)
        return writer.finish(found.instrument, _judged_again(found, between, now_ns), between)


def _judged_again(found: Dataset, between: RowCounts, now_ns: int) -> Judgement:
    """Return how far a part of a data set can be believed."""
    trust, reason = found.judged.trust, f"a part of {found.name}: {found.judged.reason}"
    if trust is DataTrust.GAPS and found.gaps <= GAPS_KEPT:
        trust = DataTrust.GAPS if between.gaps else DataTrust.COMPLETE
        reason = f"a part of {found.name} with {between.gaps:,} of its {found.gaps:,} gaps"
    return Judgement(at_ns=now_ns, trust=trust, reason=reason)


def unfinished(folder: Path) -> list[str]:
    """Return the names of data sets whose import was interrupted and can go on."""
    found = sorted(folder.glob(f"*{IMPORTING}")) if folder.is_dir() else []
    return [path.name.removesuffix(IMPORTING) for path in found]


def delete(folder: Path, name: str) -> Dataset:
    """Delete a data set; return what it was. Raises BadInput, StorageError."""
    found = find(folder, name)
    gone = folder / f".{name}.deleted"
    try:
        shutil.rmtree(gone, ignore_errors=True)
        (folder / name).rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise StorageError(f"{folder / name}: {os_sentence(error)}") from None
    return found


def sha256_of(path: Path) -> str:
    """Return the digest of a file's bytes. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


# -- an import: parts beside the place, then one rename --------------------------------------------


class NamedFile(NamedTuple):
    """A file that is imported: its name, its digest, whether that is proven, and its format."""

    name: str
    sha256: str
    checksum: Checked
    format: str


class RowCounts:
    """Counts of the rows of one file, made while they are read: see `ImportedFile`."""

    def __init__(self) -> None:
        self.duplicates = 0
        self.gaps = 0
        self.gap_ns = 0
        self.gaps_kept: list[tuple[int, int]] = []

    def gap(self, from_ns: int, until_ns: int) -> None:
        """Count a time of which nothing is in the file."""
        self.gaps += 1
        self.gap_ns += until_ns - from_ns
        if len(self.gaps_kept) < GAPS_KEPT:
            self.gaps_kept.append((from_ns, until_ns))


class DatasetWriter:
    """Makes one data set, a part for each file. As a context it leaves nothing of a failed one.

    What was interrupted from outside (a signal, a crash) keeps its finished parts: `done` names
    them, and the same import goes on behind them.
    """

    def __init__(self, folder: Path, name: str, kind: DataKind) -> None:
        """Begin, or go on. Raises BadInput where the name is taken or none, StorageError."""
        if NAME.fullmatch(name) is None or name.endswith(IMPORTING):
            raise BadInput(
                f"{name!r} is no name of a data set: letters, digits, dot, dash and underscore"
            )
        if (folder / name).exists():
            raise BadInput(
                f"there is {name!r} already in {folder}: give another name, or delete it"
            )
        self._path, self._kind = folder / name, kind
        self._beside = folder / f"{name}{IMPORTING}"
        try:
            self._beside.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.done = self._known()
        except OSError as error:
            raise StorageError(f"{self._beside}: {os_sentence(error)}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, BadInput):
            shutil.rmtree(self._beside, ignore_errors=True)

    def _known(self) -> list[ImportedFile]:
        """Return the parts an interrupted import has finished, each proven."""
        try:
            text = (self._beside / MANIFEST).read_bytes()
            known = msgspec.json.decode(text, type=list[ImportedFile])
        except (FileNotFoundError, msgspec.MsgspecError):
            return []
        for place, file in enumerate(known):
            part = self._beside / file.part
            if not part.is_file() or sha256_of(part) != file.part_sha256:
                return known[:place]
        return known

    def times(self) -> Iterator[int]:
        """Yield the time of every row written so far, in order. Raises StorageError."""
        for file in self.done:
            try:
                table = pq.read_table(self._beside / file.part, columns=[COLUMNS[self._kind][0]])
            except (OSError, pa.ArrowException) as error:
                raise StorageError(f"{self._beside / file.part}: {error}") from None
            yield from _ints(table.column(0))

    def keep_done(self, count: int) -> None:
        """Forget the finished parts behind the first `count`: they are of another import."""
        self.done = self.done[:count]

    def part(
        self, named: NamedFile, counts: RowCounts, rows: Iterable[Sequence[int]]
    ) -> ImportedFile | None:
        """Write the rows of one file, as `part_of_blocks` does."""
        return self.part_of_blocks(named, counts, blocks_of(rows))

    def part_of_blocks(
        self, named: NamedFile, counts: RowCounts, blocks: Iterable[ColumnBlock]
    ) -> ImportedFile | None:
        """Write the rows of one file; return what it holds, None where it holds none.

        Raises StorageError; what `blocks` raises goes on, and the file may be written anew.
        """
        number = len(self.done) + 1
        path = self._beside / f"part-{number:05}.parquet"
        try:
            found = _write_part(path, self._kind, blocks)
            if found is None:
                path.unlink(missing_ok=True)
                return None
            made = ImportedFile(
                name=named.name,
                sha256=named.sha256,
                checksum=named.checksum,
                format=named.format,
                part=path.name,
                part_sha256=sha256_of(path),
                written=found,
                duplicates=counts.duplicates,
                gaps=counts.gaps,
                gap_ns=counts.gap_ns,
                gaps_kept=tuple(counts.gaps_kept),
            )
            self.done.append(made)
            write_whole(self._beside / MANIFEST, msgspec.json.encode(self.done))
        except OSError as error:
            raise StorageError(f"{path}: {os_sentence(error)}; the import can go on") from None
        return made

    def finish(self, instrument: str, judgement: Judgement, between: RowCounts) -> Dataset:
        """Put the data set in its place; `between` are gaps that no file knows of itself.

        Raises BadInput where no file held a row, StorageError.
        """
        files = tuple(self.done)
        if not files:
            raise BadInput("the files hold no row: nothing was imported")
        steps = [file.written.step_ns for file in files if file.written.step_ns]
        step_ns = min(steps, default=0)
        if self._kind is DataKind.BARS and not step_ns:
            raise BadInput("the files hold one bar, two are needed to know how long one is")
        kept = sorted([*between.gaps_kept, *(gap for file in files for gap in file.gaps_kept)])
        made = Dataset(
            name=self._path.name,
            instrument=instrument,
            kind=self._kind,
            step_ns=step_ns,
            rows=sum(file.written.rows for file in files),
            first_ns=files[0].written.first[0],
            last_ns=files[-1].written.last[0] + step_ns,
            price_gcd=gcd(*(file.written.price_gcd for file in files)),
            size_gcd=gcd(*(file.written.size_gcd for file in files)),
            duplicates=sum(file.duplicates for file in files),
            gaps=between.gaps + sum(file.gaps for file in files),
            gap_ns=between.gap_ns + sum(file.gap_ns for file in files),
            gaps_kept=tuple(kept[:GAPS_KEPT]),
            trust=(judgement,),
            files=files,
            bytes=sum((self._beside / file.part).stat().st_size for file in files),
            made_ns=judgement.at_ns,
        )
        try:
            write_whole(self._beside / MANIFEST, msgspec.json.format(msgspec.json.encode(made)))
            self._beside.rename(self._path)
            to_disk(self._path.parent)
        except OSError as error:
            raise StorageError(f"{self._path}: {os_sentence(error)}") from None
        return made


def blocks_of(rows: Iterable[Sequence[int]]) -> Iterator[ColumnBlock]:
    """Yield rows in blocks, a column each."""
    left = iter(rows)
    while block := list(islice(left, GROUP_ROWS)):
        made = [array("q", column) for column in zip(*block, strict=True)]
        yield tuple(
            pa.Array.from_buffers(pa.int64(), len(one), [None, pa.py_buffer(one)]) for one in made
        )


def _write_part(path: Path, kind: DataKind, blocks: Iterable[ColumnBlock]) -> Written | None:
    """Write rows as Parquet; return what they are, None where there is none."""
    schema = pa.schema([(name, pa.int64()) for name in COLUMNS[kind]])
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    count = step_ns = price_gcd = size_gcd = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for made in blocks:
            if kind is DataKind.BARS:
                times = chain([last[0]] if last else [], made[0].to_pylist())
                shortest = min((after - at for at, after in pairwise(times)), default=0)
                step_ns = min(step_ns or shortest, shortest)
            price_gcd = gcd(price_gcd, *(_gcd(made[at]) for at in PRICES.get(kind, ())))
            size_gcd = gcd(size_gcd, *(_gcd(made[at]) for at in SIZES.get(kind, ())))
            ends = [tuple(column[at].as_py() for column in made) for at in (0, -1)]
            first, last = first or ends[0], ends[1]
            count += len(made[0])
            writer.write_table(pa.Table.from_arrays(made, schema=schema))
    if not count:
        return None
    to_disk(path)
    return Written(
        rows=count, first=first, last=last, step_ns=step_ns, price_gcd=price_gcd, size_gcd=size_gcd
    )


def _gcd(column: pa.Int64Array) -> int:
    return gcd(*column.unique().to_pylist())
