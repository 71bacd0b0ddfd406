"""Files as tables of text: CSV, JSON, lines of JSON, Parquet and NumPy archives, packed or not.

What a cell means is a format's business (`engine/lab/formats/door.py`); here every cell is text, as
it stands in the file, numbers in the shortest form that is exact. A file that is no table raises
BadInput with its name, and the line where there is one.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from engine.errors import BadInput, os_sentence
from engine.lab.formats.archives import (
    OF_ARCHIVES,
    UNREADABLE,
    documents_in,
    is_tar,
    names_in,
    text_of,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

JSON_BYTES_MAX = 1 << 30
"""Largest JSON document: it is read whole. Lines of JSON have no such end."""
SNIFFED = 20
"""Rows a format sees before it says whether it reads a file."""

Cells = list[str]
JsonRow = dict[str, object] | list[object]
AnyRow = TypeVar("AnyRow", Cells, JsonRow)
NUMPY_FIELDS_MAX = 64
ROWS_AT_ONCE = 1_024
"""Rows of a Parquet file that become text together: its head costs no more than these."""


@dataclass(frozen=True, kw_only=True)
class FileHead:
    """The beginning of a table: what a format knows of a file before it reads it."""

    name: str
    """The file's, in small letters."""
    header: tuple[str, ...]
    """Names of its columns in small letters; empty = it has none."""
    rows: tuple[tuple[str, ...], ...]


class Meant(NamedTuple):
    """Which cells and rows of a table are looked at."""

    columns: Collection[int]
    asked: Sequence[tuple[int, str]]
    """Column and value of the rows that are meant; empty = all are."""
    passed: Callable[[str], None]
    """Takes what the first asked column says of rows that are passed over, each value once."""


@dataclass(kw_only=True)
class TableFile:
    """A file being read: its columns, then its rows, each with its line or row number from 1."""

    path: Path
    header: tuple[str, ...] = ()
    rows: Iterator[tuple[int, Cells]] = field(default_factory=lambda: iter(()))
    narrowed: Callable[[Meant], Iterator[tuple[int, Cells]]] | None = None
    """Begins anew and gives only the rows that are meant, with their numbers, and only the cells
    that are looked at, the others empty; None = every cell must be read."""

    def head(self) -> FileHead:
        """Return its beginning; the rows are still all there afterwards."""
        first = list(islice(self.rows, SNIFFED))
        self.rows = chain(first, self.rows)
        names = tuple(name.strip().lower() for name in self.header)
        return FileHead(
            name=self.path.name.lower(), header=names, rows=tuple(tuple(c) for _, c in first)
        )


def opened(path: Path) -> TableFile:
    """Open a file as what its name ends in. Raises BadInput for one that is none of them."""
    try:
        inside = names_in(path)
        if len(inside) > 1 and all(one.lower().endswith(".json") for one in inside):
            return _json_rows(path, _documents(path))
        # Of a zip the own name says what it holds, as venues name them; of a tar what lies in it.
        name = inside[0].lower() if is_tar(path) and len(inside) == 1 else path.name.lower()
        bare = name.removesuffix(".gz")
        if is_text(name, bare):
            found = _by_its_beginning(path)
            if found is not None:
                return found
        if name.endswith((".csv", ".csv.gz", ".txt", ".zip")):
            return _csv(path)
        if bare.endswith((".jsonl", ".ndjson")):
            return _json_rows(path, _json_lines(path))
        if bare.endswith(".json"):
            return _json_rows(path, _json_document(path))
        if is_tar(path):
            held = inside[0] if len(inside) == 1 else f"{len(inside)} files"
            raise BadInput(f"{path.name} holds {held}: {OF_ARCHIVES}")
        if name.endswith(".parquet"):
            return _parquet(path)
        if name.endswith((".npz", ".npy")):
            return _numpy(path)
    except UNREADABLE as error:
        reason = os_sentence(error) if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path.name} cannot be read: {reason}") from None
    raise BadInput(
        f"{path.name}: is no table that can be read: csv, csv.gz, zip or tar of a csv or of JSON "
        "documents, json, jsonl, parquet, npz, lines of a time of receipt and a frame"
    )


# -- texts whose names do not say what they hold ---------------------------------------------------

STAMPED_LINE = re.compile(r"([0-9]{10,19}) ([\[{].*)")
"""A time of receipt, in a unit its digits tell, and a frame as it came."""
STAMPED = ("received", "frame")
"""The columns of such lines; of a capture the address stands behind them."""
CAPTURED = re.compile(r"(wss?://[^?\s]+)\S* <-> [0-9.]+")
"""The first line of a capture as cryptofeed writes it: a socket's address, and when it opened."""
CAPTURED_LINE = re.compile(r"([0-9]{10}\.[0-9]+): ([\[{].*)")
BEGINNING = 1 << 20


def is_text(name: str, bare: str) -> bool:
    """Say whether a file is one of text whose name leaves open what its lines are."""
    ends = (".zip", ".txt", ".log")
    return name.endswith(ends) or "." not in bare or bare.endswith(".data") or ".ws." in bare


def _by_its_beginning(path: Path) -> TableFile | None:
    """Return a table of lines of JSON, or of stamped frames; None = its first line is neither."""
    try:
        with text_of(path) as text:
            line = text.readline(BEGINNING)
    except UNREADABLE:
        return None
    if line.startswith("{"):
        return _json_rows(path, _json_lines(path))
    if STAMPED_LINE.match(line):
        rows = _stamped_lines(path, STAMPED_LINE)
        return TableFile(path=path, header=STAMPED, rows=_guarded(path, rows))
    if captured := CAPTURED.fullmatch(line.rstrip("\r\n")):
        rows = _stamped_lines(path, CAPTURED_LINE)
        return TableFile(path=path, header=(*STAMPED, captured[1]), rows=_guarded(path, rows))
    return None


def _stamped_lines(path: Path, form: re.Pattern[str]) -> Iterator[tuple[int, Cells]]:
    """Yield times and frames; lines of a capture that begin with its address were sent there."""
    with text_of(path) as text:
        for number, line in enumerate(text, 1):
            if form is CAPTURED_LINE and (line.startswith("ws") or line.isspace()):
                continue
            found = form.fullmatch(line.rstrip("\r\n"))
            if found is None:
                raise BadInput(f"{path.name}, line {number}: is no time and frame: is it torn?")
            yield number, [found[1], found[2]]


# -- CSV, with or without a header -----------------------------------------------------------------


def _csv(path: Path) -> TableFile:
    lines = _guarded(path, _csv_rows(path))
    made = TableFile(path=path, rows=lines)
    for number, cells in lines:
        if any(map(is_number, cells)):
            made.rows = chain([(number, cells)], lines)
        else:
            made.header = tuple(cells)
        break
    return made


def _csv_rows(path: Path) -> Iterator[tuple[int, Cells]]:
    with text_of(path) as text:
        lines = csv.reader(text)
        for cells in lines:
            if cells:
                yield lines.line_num, cells


def _guarded(path: Path, rows: Iterator[tuple[int, AnyRow]]) -> Iterator[tuple[int, AnyRow]]:
    """Yield rows; what a damaged file raises names the line behind the last whole one."""
    line = 0
    try:
        for row in rows:
            line = row[0]
            yield row
    except UNREADABLE as error:
        reason = os_sentence(error) if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path.name}, line {line + 1}: cannot be read on: {reason}") from None


def is_number(text: str) -> bool:
    """Say whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


# -- JSON: objects or arrays, as lines or as one document ------------------------------------------


def _json_lines(path: Path) -> Iterator[tuple[int, JsonRow]]:
    decode = msgspec.json.Decoder(JsonRow).decode
    with text_of(path) as text:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                yield number, decode(line)
            except (msgspec.MsgspecError, UnicodeError) as error:
                raise BadInput(f"{path.name}, line {number}: is no row of JSON: {error}") from None


def _json_document(path: Path) -> Iterator[tuple[int, JsonRow]]:
    """Yield the rows of an array, or of the only array inside an object (`{"history": […]}`)."""
    with text_of(path) as text:
        read = text.read(JSON_BYTES_MAX + 1)
    if len(read) > JSON_BYTES_MAX:
        raise BadInput(f"{path.name} is larger than 1 GB: write it as lines of JSON (jsonl)")
    yield from enumerate(_rows_of(read, path.name)[0], 1)


def _rows_of(text: str | bytes, name: str) -> tuple[list[JsonRow], dict[str, object]]:
    """Return the rows of a document, and what its object says beside its only array."""
    beside: dict[str, object] = {}
    try:
        document = msgspec.json.decode(text, type=list[JsonRow] | dict[str, object])
        if isinstance(document, dict):
            arrays = [value for value in document.values() if isinstance(value, list)]
            if len(arrays) != 1:
                raise BadInput(f"{name}: is an object with {len(arrays)} arrays, one is read")
            beside = {k: v for k, v in document.items() if isinstance(v, str | int | float)}
            document = msgspec.convert(arrays[0], list[JsonRow])
    except msgspec.MsgspecError as error:
        raise BadInput(f"{name}, row 1: is no table of JSON: {error}") from None
    return document, beside


def _documents(path: Path) -> Iterator[tuple[int, JsonRow]]:
    """Yield the rows of every document of an archive, counted through.

    Each has what its document says beside its rows, as the symbol all of them are of.
    """
    number = 0
    for name, text in documents_in(path, JSON_BYTES_MAX):
        rows, beside = _rows_of(text, f"{path.name}: {name}")
        for row in rows:
            number += 1
            yield number, {**beside, **row} if isinstance(row, dict) else row


def _json_rows(path: Path, rows: Iterator[tuple[int, JsonRow]]) -> TableFile:
    """Return a table of objects by the names of the first one, or of arrays without names."""
    names: tuple[str, ...] = ()

    def cells() -> Iterator[tuple[int, Cells]]:
        for number, row in chain(first, rows):
            if isinstance(row, list):
                if names:
                    raise BadInput(f"{path.name}, line {number}: is an array among objects")
                yield number, [_text(value) for value in row]
                continue
            missing = [name for name in names if name not in row]
            if missing or not names:
                lack = ", ".join(missing) or "names"
                raise BadInput(f"{path.name}, line {number}: has no {lack}: is it torn?")
            yield number, [_text(row[name]) for name in names]

    rows = _guarded(path, rows)
    first = list(islice(rows, 1))
    if first and isinstance(first[0][1], dict):
        names = tuple(first[0][1])
    return TableFile(path=path, header=names, rows=cells())


def _text(value: object) -> str:
    """Return a value as a cell: a float in the shortest digits that are exact."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return value if isinstance(value, str) else str(value)


# -- Parquet and NumPy -----------------------------------------------------------------------------


def _parquet(path: Path) -> TableFile:
    with _parquet_file(path) as file:
        header = tuple(file.schema_arrow.names)
    # A name with a dot may be one of a part of a column, one that is there twice is of two.
    plain = len(set(header)) == len(header) and not any("." in name for name in header)
    everything = Meant(range(len(header)), (), lambda _: None)
    return TableFile(
        path=path,
        header=header,
        rows=_parquet_rows(path, header, everything),
        narrowed=(lambda meant: _parquet_rows(path, header, meant)) if plain else None,
    )


def _parquet_file(path: Path) -> pq.ParquetFile:
    import pyarrow as pa  # noqa: PLC0415 takes a third of a second, and only these files need it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise BadInput(f"{path.name} cannot be read as Parquet: {error}") from None


def _parquet_rows(path: Path, header: Sequence[str], meant: Meant) -> Iterator[tuple[int, Cells]]:
    """Yield the rows that are meant of a Parquet file, reading no column that is not looked at."""
    import pyarrow as pa  # noqa: PLC0415

    places = sorted({*meant.columns, *(at for at, _ in meant.asked)})
    names = None if len(places) == len(header) else [header[at] for at in places]
    number = 0
    with _parquet_file(path) as file:
        try:
            for batch in file.iter_batches(columns=names):
                found = [batch.column(at) for at in range(batch.num_columns)]
                columns = dict(zip(places, found, strict=True))
                here = _rows_meant(columns, meant, batch.num_rows)
                for first in range(0, len(here), ROWS_AT_ONCE):
                    some = here[first : first + ROWS_AT_ONCE]
                    if len(here) == batch.num_rows:
                        parts = [one.slice(first, len(some)).to_pylist() for one in found]
                    else:
                        parts = [one.take(pa.array(some)).to_pylist() for one in found]
                    for at, values in zip(some, zip(*parts, strict=True), strict=True):
                        cells = [""] * len(header)
                        for place, value in zip(places, values, strict=True):
                            cells[place] = _text(value)
                        yield number + at + 1, cells
                number += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"{path.name}, row {number + 1}: is damaged: {error}") from None


def _rows_meant(columns: Mapping[int, pa.Array], meant: Meant, count: int) -> Sequence[int]:
    """Return the places of the rows that are meant; tell what the first asked column says else."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    kept: set[int] | None = None
    for at, value in meant.asked:
        column = columns[at]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            # Only what holds the value as it is can be the value with blanks around it.
            may = pc.fill_null(pc.match_substring(column, value), False)
            found = pc.indices_nonzero(may)
            places: Sequence[int] = found.to_pylist()
            said = column.take(found).to_pylist()
        else:
            places, said = range(count), column.to_pylist()
        is_it = {at for at, cell in zip(places, said, strict=True) if _text(cell).strip() == value}
        kept = is_it if kept is None else kept & is_it
    if kept is None:
        return range(count)
    here = sorted(kept)
    passed = np.ones(count, dtype=np.bool_)
    passed[here] = False
    for cell in pc.unique(columns[meant.asked[0][0]].filter(pa.array(passed))).to_pylist():
        meant.passed(_text(cell).strip())
    return here


def _numpy(path: Path) -> TableFile:
    """Return the table of a structured array: `x.npy`, or the only array of `x.npz`."""
    import numpy as np  # noqa: PLC0415 only these files need it

    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                if len(loaded.files) != 1:
                    raise BadInput(f"{path.name}: holds {len(loaded.files)} arrays, one is read")
                loaded = loaded[loaded.files[0]]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path.name} cannot be read as a NumPy array: {error}") from None
    names = loaded.dtype.names
    if not names or len(names) > NUMPY_FIELDS_MAX:
        raise BadInput(f"{path.name}: its array has no named fields")
    rows = ((n, [_text(value) for value in row.tolist()]) for n, row in enumerate(loaded, 1))
    return TableFile(path=path, header=tuple(names), rows=rows)


def column_places(header: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return which column has each wanted thing: the first of its names that the header has."""
    found: dict[str, int] = {}
    for role, names in wanted.items():
        place = next((header.index(name) for name in names if name in header), None)
        if place is not None:
            found[role] = place
    return found
