"""Imports: which format a file has, a preview of its rows, and a data set made of one or many.

`import_files` reads every file to its end before anything counts: what one line refuses leaves no
data set behind. What a signal or a crash interrupted goes on with the same call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from engine.domain.bars import BarSpec, BarUnit, bar_spec
from engine.errors import BadInput
from engine.lab.formats.door import (
    ROLES,
    BlockReader,
    CellReader,
    Format,
    MappedFormat,
    NotPlain,
)
from engine.lab.formats.subject import OneInstrument, only_text
from engine.lab.formats.tables import TableFile, opened
from engine.plugins import found
from storage.datasets import (
    Checked,
    ColumnBlock,
    DataKind,
    Dataset,
    DatasetWriter,
    DataTrust,
    ImportedFile,
    Judgement,
    NamedFile,
    RowCounts,
    sha256_of,
)

ROWS_PER_CALL = 20_000
"""Rows between two tellings of how far an import is."""
FILES_MAX = 10_000
CHECKSUM = ".CHECKSUM"
"""How the file beside another one ends that gives its SHA-256, as Binance publishes them."""
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
WHERE = " where "
"""What stands between a format and the rows that were meant, in what a part was read as."""
MARKET = re.compile(r"[a-z0-9_]+:[^\s]{1,90}")

Tell = Callable[[int, int, str], None]
"""Takes bytes done, bytes in all, and a note."""


@cache
def formats() -> dict[str, Format]:
    """Return every format by its name, those that take what no other knows last."""
    made: dict[str, Format] = {}
    for one in found("formats", "engine.lab.formats"):
        for kind in one.defined(Format):
            if kind is not MappedFormat:
                made[one.name] = kind()
    return dict(sorted(made.items(), key=lambda item: (item[1].fallback, item[0])))


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What a person asks to be imported as one data set."""

    files: tuple[Path, ...]
    instrument: str
    """For example `binance:BTC/USDT`; its currency is what stands behind the slash."""
    name: str = ""
    """Of the data set; empty = made of the instrument and the kind."""
    format: str = ""
    """Empty = the first that reads the file."""
    kind: DataKind | None = None
    """Of a mapping: what the rows are."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Role → name, or number from 1, of its column; empty = as the format has it."""
    only: Mapping[str, str] = field(default_factory=dict)
    """Column, in small letters → value that the rows have which are meant; empty = all rows."""
    sort: bool = False
    """True = each file's rows are sorted by time before they are looked at."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The first rows of a file as they are and as they would be read."""

    file: str
    format: str
    title: str
    kind: DataKind
    header: tuple[str, ...]
    columns: dict[str, str]
    """Role → the column that holds it."""
    raw: list[tuple[str, ...]]
    rows: list[tuple[int, ...]]
    refused: str
    """Why a row that was looked at cannot be read; empty = all can."""


def preview(path: Path, request: ImportRequest, rows: int = 10) -> Preview:
    """Return the beginning of a file as it would be imported. Raises BadInput."""
    table = opened(path)
    name, one, places = _read_as(table, request)
    head = table.head()
    names = head.header or tuple(f"column {n}" for n in range(1, 1 + len(head.rows[0])))
    read, refused = list[tuple[int, ...]](), ""
    reader = CellReader(table, one, places, only=request.only, sort=request.sort)
    try:
        read.extend(islice(reader.rows(), rows))
    except BadInput as error:
        refused = str(error)
    return Preview(
        file=path.name,
        format=name,
        title=one.title,
        kind=one.kind,
        header=head.header,
        columns={role: names[at] for role, at in places.items()},
        raw=list(head.rows[:rows]),
        rows=read,
        refused=refused,
    )


def mapping_of(text: str) -> dict[str, str]:
    """Return `role=column, …` as a dictionary. Raises BadInput."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not (role.strip() and column.strip()) for role, _, column in pairs):
        raise BadInput(f"columns {text!r}: write role=column, e.g. time=date,price=px,size=4")
    return {role.strip(): column.strip() for role, _, column in pairs}


def files_in(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files that are named, those of a folder by their names. Raises BadInput."""
    made: list[Path] = []
    for path in paths:
        if path.is_dir():
            made += sorted(
                one for one in path.iterdir() if one.is_file() and one.suffix != CHECKSUM
            )
        elif path.is_file():
            made.append(path)
        else:
            raise BadInput(f"{path}: there is no such file or folder")
    if not made:
        raise BadInput(f"{paths[0] if paths else 'nothing'}: holds no file to import")
    if len(made) > FILES_MAX:
        raise BadInput(f"{len(made):,} files: at most {FILES_MAX:,} are imported as one data set")
    return tuple(made)


def import_files(request: ImportRequest, folder: Path, now_ns: int, tell: Tell) -> Dataset:
    """Make a data set under `folder`; return what it is.

    Raises BadInput with file and line, and nothing is left of it; StorageError, and the same call
    goes on. A file whose published checksum differs is refused before it is read.
    """
    if MARKET.fullmatch(request.instrument) is None:
        raise BadInput(
            f"{request.instrument!r} is no instrument: write venue:MARKET, e.g. binance:BTC/USDT"
        )
    digests = _digests(request.files)
    first = opened(request.files[0])
    as_what, one, _ = _read_as(first, request)
    name = request.name or re.sub(r"[^A-Za-z0-9.]+", "-", f"{request.instrument}-{one.kind}")
    total = sum(path.stat().st_size for path in request.files)
    with DatasetWriter(folder, name, one.kind) as writer:
        _go_on(writer, request.files, digests, as_what)
        read = sum(path.stat().st_size for path in request.files[: len(writer.done)])
        for path in request.files[len(writer.done) :]:
            report = _teller(tell, path, read, total)
            _import_one(writer, path, request, digests[path], kind=one.kind, progress=report)
            read += path.stat().st_size
            tell(read, total, f"{path.name} is read")
        return _finish(writer, request.instrument, one.kind, now_ns)


def _digests(files: Sequence[Path]) -> dict[Path, str]:
    """Return each file's SHA-256. Raises BadInput for one that is there twice."""
    made: dict[Path, str] = {}
    known: dict[str, Path] = {}
    for path in files:
        digest = made[path] = sha256_of(path)
        other = known.setdefault(digest, path)
        if other is not path:
            raise BadInput(f"{path.name} and {other.name} are the same file: name it once")
    return made


def _go_on(
    writer: DatasetWriter, files: Sequence[Path], digests: Mapping[Path, str], as_what: str
) -> None:
    """Keep the finished parts that are of the first of these files, read in the same way."""
    same = 0
    for done, path in zip(writer.done, files, strict=False):
        if done.sha256 != digests[path] or done.format != as_what:
            break
        same += 1
    writer.keep_done(same)


def _teller(tell: Tell, path: Path, read: int, total: int) -> Callable[[int], None]:
    def report(rows: int) -> None:
        tell(read, total, f"{path.name}, row {rows:,}")

    return report


def _import_one(
    writer: DatasetWriter,
    path: Path,
    request: ImportRequest,
    digest: str,
    *,
    kind: DataKind,
    progress: Callable[[int], None],
) -> None:
    """Read one file into its part. Raises BadInput naming the line."""
    checksum = _checked(path, digest)
    table = opened(path)
    name, one, places = _read_as(table, request)
    if one.kind is not kind:
        raise BadInput(f"{path.name} holds {one.kind}, and the file before it {kind}")
    before = writer.done[-1].written.last if writer.done else ()
    named = NamedFile(path.name, digest, checksum, name)
    all_meant = not (request.sort or request.only)
    plain = all_meant and OneInstrument(path.name, table.header, {}).trivial
    file = BlockFile(table, one, places, before)
    if plain and _in_blocks(writer, path, file, named, progress):
        return
    reader = CellReader(table, one, places, before=before, only=request.only, sort=request.sort)

    def rows() -> Iterator[tuple[int, ...]]:
        for number, row in enumerate(reader.rows()):
            if not number % ROWS_PER_CALL:
                progress(number)
            yield row

    writer.part(named, reader.counts, rows())


class BlockFile(NamedTuple):
    """A file that may be read in blocks."""

    table: TableFile
    read_as: Format
    places: Mapping[str, int]
    before: Sequence[int]


def _in_blocks(
    writer: DatasetWriter,
    path: Path,
    file: BlockFile,
    named: NamedFile,
    progress: Callable[[int], None],
) -> bool:
    """Read a plain CSV in blocks into its part; False = it must be read cell by cell."""
    if not path.name.lower().endswith((".csv", ".csv.gz", ".txt", ".zip")):
        return False
    try:
        reader = BlockReader(path, file.table.head(), file.read_as, file.places, file.before)

        def blocks() -> Iterator[ColumnBlock]:
            rows = 0
            for block in reader.blocks():
                progress(rows)
                rows += len(block[0])
                yield block

        writer.part_of_blocks(named, reader.counts, blocks())
    except NotPlain:
        return False
    return True


def _checked(path: Path, digest: str) -> Checked:
    """Compare a file with the checksum beside it. Raises BadInput where they differ."""
    beside = path.with_name(path.name + CHECKSUM)
    if not beside.is_file():
        return Checked.NONE
    stated = _DIGEST.search(beside.read_text(encoding="utf-8", errors="replace"))
    if stated is None:
        raise BadInput(f"{beside.name} holds no SHA-256: fetch it again")
    if stated[0].lower() != digest:
        raise BadInput(
            f"{path.name}: its SHA-256 is {digest[:12]}…, {beside.name} says {stated[0][:12]}…: "
            "the file is torn or another one, fetch it again"
        )
    return Checked.VERIFIED


def _read_as(table: TableFile, request: ImportRequest) -> tuple[str, Format, dict[str, int]]:
    """Return name, format and columns by which a file is read. Raises BadInput.

    The name ends in `where column=value` where only some rows are meant.
    """
    name, one, places = _format_of(table, request)
    meant = [only_text(request.only)] * bool(request.only) + ["sorted"] * request.sort
    return f"{name}{WHERE}{', '.join(meant)}" if meant else name, one, places


def _format_of(table: TableFile, request: ImportRequest) -> tuple[str, Format, dict[str, int]]:
    head = table.head()
    if not head.rows:
        raise BadInput(f"{table.path.name} holds no row")
    if request.mapping:
        kind = request.kind or DataKind.BARS
        mapped = MappedFormat(kind, request.mapping)
        named = ",".join(f"{role}={name}" for role, name in sorted(request.mapping.items()))
        return f"{kind} {named}", mapped, mapped.places(head)
    known = formats()
    if request.format and request.format not in known:
        raise BadInput(f"there is no format {request.format!r}; known: {', '.join(known)}")
    for name, one in known.items():
        if request.format in ("", name) and request.kind in (None, one.kind) and one.fits(head):
            return name, one, one.places(head)
    wanted = [one for name, one in known.items() if request.format in ("", name)]
    raise BadInput(f"{table.path.name}, line 1: {_unread(head.header, wanted)}")


def _unread(header: Sequence[str], wanted: Sequence[Format]) -> str:
    """Say what a file's columns lack: of the format that is nearest."""
    if not header:
        return (
            "has no header, and its rows are those of no known format; name its columns: "
            "--kind bars --columns time=1,open=2,high=3,low=4,close=5,volume=6"
        )

    def lacks(one: Format) -> list[str]:
        names = [name for named in one.names.values() for name in named]
        has = {role for role, named in one.names.items() if set(named) & set(header)}
        return (
            [role for role in ROLES[one.kind] if role not in has] if names else [*ROLES[one.kind]]
        )

    def knows(one: Format) -> int:
        return sum(bool(set(names) & set(header)) for names in one.names.values())

    nearest = min(wanted, key=lambda one: (-knows(one), len(lacks(one)), not one.fallback))
    if set(ROLES[nearest.kind]) - set(lacks(nearest)) <= {"time"}:
        kinds = "; ".join(f"{kind}: {', '.join(roles)}" for kind, roles in ROLES.items())
        return (
            f"has the columns of no market data that is known ({kinds}); it has "
            f"{', '.join(header)}: if it holds any, name its columns, "
            "e.g. --kind prices --columns time=date,price=px"
        )
    lacking = ", ".join(lacks(nearest)) or "what its format needs besides"
    return (
        f"has no column for {lacking} ({nearest.title}); it has {', '.join(header)}: name them, "
        "e.g. --columns time=date,price=px,size=qty --kind trades"
    )


def _finish(writer: DatasetWriter, instrument: str, kind: DataKind, now_ns: int) -> Dataset:
    """Look at the seams between the files, judge, and put the data set in its place."""
    between, files = RowCounts(), writer.done
    step_ns = min((file.written.step_ns for file in files if file.written.step_ns), default=0)
    if kind is DataKind.BARS and step_ns:
        _spec_of(files[0].name, step_ns)
        for before_ns, after_ns in pairwise(writer.times()):
            if after_ns > before_ns + step_ns:
                between.gap(before_ns + step_ns, after_ns)
    gaps = between.gaps + sum(file.gaps for file in files)
    return writer.finish(instrument, judged(kind, files, gaps, now_ns), between)


def _spec_of(name: str, step_ns: int) -> BarSpec:
    try:
        return bar_spec(BarSpec(BarUnit.TIME, step_ns).text)
    except (BadInput, StopIteration):
        raise BadInput(
            f"{name}: its bars are {step_ns / 1e9:g} s apart, which is no step of a bar: 1s to 1d, "
            "a whole part of a day"
        ) from None


MISSING = {DataKind.BARS: "missing bars", DataKind.PRICES: "missing prices"}
"""What a gap is made of, where it is not of the numbers of trades."""


def judged(kind: DataKind, files: Sequence[ImportedFile], gaps: int, now_ns: int) -> Judgement:
    """Return how far the rows can be believed: what is missing shows, or cannot show."""
    if gaps:
        what = MISSING.get(kind, "missing trade ids")
        return Judgement(at_ns=now_ns, trust=DataTrust.GAPS, reason=f"{gaps:,} times of {what}")
    if kind is DataKind.BARS:
        reason = "every bar between the first and the last is there"
        return Judgement(at_ns=now_ns, trust=DataTrust.COMPLETE, reason=reason)
    if kind is DataKind.TRADES and all(map(numbered, files)):
        reason = "the trades' ids have no hole"
        return Judgement(at_ns=now_ns, trust=DataTrust.COMPLETE, reason=reason)
    left = {one.leaves_out for one in formats().values() if one.leaves_out and _used(one, files)}
    reason = "; ".join(["rows without numbers do not show what is missing", *sorted(left)])
    return Judgement(at_ns=now_ns, trust=DataTrust.UNKNOWN, reason=reason)


def _used(one: Format, files: Sequence[ImportedFile]) -> bool:
    return any(_format(file) is one for file in files)


def _format(file: ImportedFile) -> Format | None:
    return formats().get(file.format.partition(WHERE)[0])


def numbered(file: ImportedFile) -> bool:
    """Say whether a missing id of its trades is a gap."""
    known = _format(file)
    return known is not None and known.numbered
