"""The past of one home: which lives the tape holds, and journal and tape in one order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path

import msgspec

from engine.domain.inputs import FORMAT, KIND, AnyInput, LifeBegan, unpack_input
from engine.domain.instruments import AccountId
from engine.errors import BadInput
from engine.executor.executor import Executor
from engine.runtime import tape
from engine.runtime.recovery import rebuild
from engine.runtime.tape_format import TapeEntry, Torn, blocks, entries_of, segments
from storage.journal import JournalSnapshot, Record, Snapshots, load

NEVER_NS = 1 << 62


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the engine, as the tape holds it."""

    position: int
    at_ns: int
    began: LifeBegan


class Given(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One input of a desk and where it stands on the tape."""

    position: int
    at_ns: int
    given: AnyInput | None
    """None = a frame behind a hole."""
    before: int
    """Position of the entry before it, whatever its kind: what lies between is missing."""

    @property
    def whole(self) -> bool:
        """Say whether nothing is missing between this and the entry before it."""
        return self.position == self.before + 1


class JournaledRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record of the journal; `led` False = the tape lacks what led to it."""

    record: Record
    led: bool


def lives(folder: Path) -> list[tuple[RecordedRun, int]]:
    """Return the lives whose beginning is on the tape, each with when the next began, in order.

    A life begins a segment, because every process does.
    """
    found: list[RecordedRun] = []
    for path in segments(folder):
        first = _first(path)
        given = None if first is None or first.kind != KIND else read_input(first)
        if first is not None and isinstance(given, LifeBegan):
            found.append(RecordedRun(position=first.position, at_ns=first.at_ns, began=given))
    ends = [life.at_ns for life in found[1:]] + [NEVER_NS] * bool(found)
    return list(zip(found, ends, strict=True))


def _first(path: Path) -> TapeEntry | None:
    try:
        with path.open("rb") as file:
            for block in blocks(file, path):
                return next(entries_of(block))
    except (Torn, BadInput, FileNotFoundError):
        return None
    return None


def position_at(folder: Path, at_ns: int, tell: Callable[[str], None]) -> int | None:
    """Return the first position at or after a time, None where the tape has none."""
    first = next(tape.read(folder, tell=tell, from_ns=at_ns), None)
    return None if first is None else first.position


def read_input(entry: TapeEntry) -> AnyInput:
    """Return what an entry of the tape says. Raises BadInput naming it."""
    try:
        given: AnyInput = unpack_input(entry.payload)
    except (msgspec.DecodeError, BadInput) as error:
        raise BadInput(
            f"entry {entry.position} of the tape cannot be read: {error}; it was written by "
            "another version, start that one"
        ) from None
    if isinstance(given, LifeBegan) and given.format != FORMAT:
        raise BadInput(
            f"entry {entry.position} of the tape has format {given.format}, this program reads "
            f"{FORMAT}; start the version that wrote it"
        )
    return given


class Past:
    """Tape from a position and journal behind a record, in one order, once."""

    def __init__(
        self,
        folder: Path,
        journal: Path,
        *,
        position: int,
        after_seq: int,
        tell: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._position = position
        self._after_seq = after_seq
        self._tell = tell
        self._reach = position - 1

    def __iter__(self) -> Iterator[Given | JournaledRecord]:
        """Give inputs and records in the order in which they happened.

        A record carries the position of the last entry before it. Raises BadInput at damage,
        JournalCorrupt.
        """
        records = load(self._journal, after_seq=self._after_seq)
        record = next(records, None)
        for one in self._inputs():
            while record is not None and record.tape < one.position:
                yield JournaledRecord(record=record, led=record.tape <= one.before)
                record = next(records, None)
            yield one
        while record is not None:
            yield JournaledRecord(record=record, led=record.tape <= self._reach)
            record = next(records, None)

    def _inputs(self) -> Iterator[Given]:
        for entry in tape.read(self._folder, tell=self._tell, from_position=self._position):
            before, self._reach = self._reach, entry.position
            if entry.kind == KIND or entry.position != before + 1:
                yield Given(
                    position=entry.position,
                    at_ns=entry.at_ns,
                    given=read_input(entry) if entry.kind == KIND else None,
                    before=before,
                )


def recovered(
    journal: Path, life: LifeBegan, executors: dict[AccountId, Executor], until_seq: int
) -> None:
    snapshots = Snapshots(
        by_name={
            name: JournalSnapshot(name=name, seq=one.seq, at_ns=one.at_ns, body=one.body)
            for name, one in life.snapshots.items()
        },
        told=(),
    )

    def tail(after_seq: int) -> Iterable[Record]:
        return takewhile(lambda record: record.seq <= until_seq, load(journal, after_seq=after_seq))

    rebuild(snapshots, tail, executors)
