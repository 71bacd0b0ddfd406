"""The tape: every frame, timer and command received; always on, a day of it at most.

`append` only queues; a thread of its own writes blocks into segments and deletes what is beyond
the budget. A position counts entries and is never used twice. What was queued when the process
was killed is lost to the tape, at most `LINGER_S` of it; the journal is what must not be lost. An
error of the writing thread costs the block it was about, and is noted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from engine.errors import BadInput, BrokenInvariant, StorageError
from engine.runtime.aids import Notes, aid_thread
from engine.runtime.tape_format import (
    BLOCK_BYTES,
    ENTRY_BYTES_MAX,
    Queued,
    TapeEntry,
    block_bytes,
    entries_of,
)
from storage.files import folder_at
from storage.retention import size_of
from storage.tape_blocks import FILE_MAGIC, Torn, begun_ns, blocks, segment_name, segments

__all__ = ["NoTape", "Tape", "TapeEntry", "read"]

SEGMENT_BYTES = 32 * 1024 * 1024
SEGMENT_NS = 3_600 * 1_000_000_000
KEEP_BYTES = 2 * 1024 * 1024 * 1024
KEEP_NS = 24 * 3_600 * 1_000_000_000
QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Most bytes that wait to be written; more means that the disk has stopped."""

KIND_LENGTH_MAX = 63
LINGER_S = 2.0
"""Longest time an entry waits for its block to fill; full blocks are a quarter smaller on disk."""

RETRY_S = 0.5
LIVES_APART = 1 << 24
"""Positions between two lives: more than an earlier one that hung can still write before its next
look at the lease ends it. `POSITION_MAX` leaves room for half a billion starts."""


class Entries(Protocol):
    """What keeps what was received."""

    notes: Notes

    def append(self, kind: str, payload: bytes, at_ns: int) -> int:
        """Keep it; give its position. No I/O. Raises StorageError."""
        ...

    def close(self) -> None:
        """Write what is left. Raises StorageError."""
        ...


class TapeWriter:
    """One tape, written whenever `work` is called. `failure` = the disk's present refusal.

    The desk's (`Tape`) has a thread for that, a simulated one the timers of its process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        after: int = 0,
        apart: int = 0,
        segment_bytes: int = SEGMENT_BYTES,
        segment_ns: int = SEGMENT_NS,
        keep_bytes: int = KEEP_BYTES,
        keep_ns: int = KEEP_NS,
        queue_bytes_max: int = QUEUE_BYTES_MAX,
    ) -> None:
        """Open the tape in `folder`. `after` is the last position the journal knows of.

        `apart` positions are left free behind it and behind all that is written: an engine that
        hangs while this one starts may come back, and writes what it had queued.
        """
        self.failure: StorageError | None = None
        self.notes = Notes("tape")
        self.left_out = 0
        """Entries that could not be kept; they are missing in the tape."""
        self._folder = folder
        self._segment_bytes, self._segment_ns = segment_bytes, segment_ns
        self._keep_bytes, self._keep_ns = keep_bytes, keep_ns
        self._queue_max = queue_bytes_max
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._position = max(after, _last_position(folder)) + apart
        except OSError as error:
            raise StorageError(f"the tape's folder {folder} cannot be used: {error}") from error
        self._written = self._position
        self._queue: deque[Queued] = deque()
        self._in = self._out = 0
        self._wake_at = BLOCK_BYTES
        self._block = b""
        self._block_entries: list[Queued] = []
        self._segment: Path | None = None
        self._segment_first_ns = 0
        self._moved = threading.Condition()

    # -- the caller's side -------------------------------------------------------------------------

    @property
    def position(self) -> int:
        return self._position

    @property
    def waits(self) -> bool:
        """True while something is not in a file yet."""
        return bool(self._queue or self._block)

    def wake(self) -> None:
        """Have what waits written soon: a block of it is full."""

    def append(self, kind: str, payload: bytes, at_ns: int) -> int:
        """Queue what was received; give its position. No I/O.

        Raises StorageError where too much waits to be written (the entry was not taken).
        """
        if len(kind) > KIND_LENGTH_MAX:
            raise BrokenInvariant(f"the tape's kind {kind!r} is longer than {KIND_LENGTH_MAX}")
        entered = self._in + len(payload)
        if entered - self._out > self._queue_max or len(payload) > ENTRY_BYTES_MAX:
            raise StorageError(
                f"the tape takes no more: {self._in - self._out} bytes wait for the disk: "
                f"{self.failure or 'it is slower than what is received'}"
            )
        self._queue.append((kind, at_ns, payload))
        self._in = entered
        if entered >= self._wake_at:
            self._wake_at = entered + BLOCK_BYTES
            self.wake()
        self._position += 1
        return self._position

    # -- the writer's side -------------------------------------------------------------------------

    def work(self) -> bool:
        """Write all that waits; False = the disk refused, and it is kept."""
        while self._queue or self._block:
            if not self._write():
                return False
        return True

    def leave_out(self, error: Exception) -> None:
        """Drop the block that could not be made or written; what comes after it is kept."""
        count = len(self._block_entries)
        self.left_out += count
        self._segment = None
        self._block_done()
        self.notes.add(f"{count} entries are left out of the tape in {self._folder}: {error!r}")

    def _block_done(self) -> None:
        with self._moved:
            self._written += len(self._block_entries)
            self._out += sum(len(payload) for _, _, payload in self._block_entries)
            self._block, self._block_entries = b"", []
            self._moved.notify_all()

    def _write(self) -> bool:
        """Write one block. False = the disk refused and it is kept."""
        if not self._block:
            self._block_entries = self._take()
            self._block = block_bytes(self._written + 1, self._block_entries)
        try:
            self._to_segment()
        except OSError as error:
            self._segment = None  # whatever is wrong with it, the next try begins a new one
            self.failure = StorageError(
                f"the tape in {self._folder} cannot be written, free some space or check the "
                f"disk; what is received waits: {error}"
            )
            return False
        self.failure = None
        self._block_done()
        return True

    def _take(self) -> list[Queued]:
        queue, size = self._queue, 0
        taken: list[Queued] = []
        while queue and size < BLOCK_BYTES:
            entry = queue.popleft()
            size += len(entry[2])
            taken.append(entry)
        return taken

    def _to_segment(self) -> None:
        first_ns = self._block_entries[0][1]
        segment = self._segment
        if (
            segment is None
            or segment.stat().st_size >= self._segment_bytes
            or first_ns - self._segment_first_ns >= self._segment_ns
        ):
            segment = self._new_segment(first_ns)
        before = segment.stat().st_size
        with segment.open("ab") as file:
            try:
                file.write(self._block)
                file.flush()
            except OSError:
                # Half a block would make everything after it unreadable.
                file.truncate(before)
                raise

    def _new_segment(self, first_ns: int) -> Path:
        segment = self._folder / segment_name(self._written + 1)
        if aside := folder_at(self._folder):
            self.notes.add(f"{self._folder} was no folder: it is now {aside}, the tape goes on")
        # A file of this name can only be one whose first block was never finished.
        segment.write_bytes(FILE_MAGIC)
        self._segment, self._segment_first_ns = segment, first_ns
        try:
            self._keep_budget(segment, first_ns)
        except OSError as error:  # what is too much on the disk keeps nothing from being written
            self.notes.add(f"an old segment of the tape could not be deleted: {error}")
        return segment

    def _keep_budget(self, written: Path, now_ns: int) -> None:
        """Delete the oldest segments beyond age or size; never the one being written."""
        old = [path for path in segments(self._folder) if path.name < written.name]
        if not old:
            return
        sizes = [size_of(path) for path in old]
        # Everything in a segment is older than the first entry of the next one that can be read.
        ends = [now_ns]
        for path in reversed(old[1:]):
            first_ns = begun_ns(path)
            ends.append(ends[-1] if first_ns is None else first_ns)
        left, room = sum(sizes), self._keep_bytes - self._segment_bytes
        for path, size, end_ns in zip(old, sizes, reversed(ends), strict=True):
            if left <= room and now_ns - end_ns <= self._keep_ns:
                return
            path.unlink(missing_ok=True)
            left -= size


class Tape(TapeWriter):
    """Writes one tape by a thread of its own."""

    def __init__(self, folder: Path, **bounds: int) -> None:
        """Open the tape in `folder`; `bounds` are those of `TapeWriter`."""
        super().__init__(folder, **bounds)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = aid_thread("tape", self._run, self.leave_out)

    def wake(self) -> None:
        """Have a full block written now."""
        self._wake.set()

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until everything appended so far is in a file. Raises StorageError."""
        target = self._position
        self._wake.set()
        with self._moved:
            done = self._moved.wait_for(
                lambda: self._written >= target or not self._thread.is_alive(), timeout_s
            )
        if not done or self._written < target:
            raise StorageError(
                f"{target - self._written} tape entries could not be written: {self.failure}"
            )

    def close(self) -> None:
        """Write what is left and end the thread. Raises StorageError naming what is missing."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        left = self._position - self._written
        if left:
            raise StorageError(f"{left} tape entries could not be written: {self.failure}")

    # -- the writer's thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.is_set() or self.waits:
                self._wake.wait(LINGER_S)
                self._wake.clear()
                while not self.work():
                    if self._closing.is_set():
                        return
                    time.sleep(RETRY_S)
        finally:
            with self._moved:
                self._moved.notify_all()


class NoTape:
    """Keeps nothing, where no tape can be written; positions go on, so that none is used twice."""

    def __init__(self, after: int) -> None:
        self.notes = Notes("tape")
        self._position = after

    def append(self, kind: str, payload: bytes, at_ns: int) -> int:
        """Count an entry and let it go; return its position."""
        del kind, payload, at_ns
        self._position += 1
        return self._position

    def close(self) -> None:
        """Nothing is held."""


def _last_position(folder: Path) -> int:
    """Return the last position any segment holds, as far as it can be read; 0 = none."""
    for path in reversed(segments(folder)):
        last = int(path.stem) - 1
        try:
            with path.open("rb") as file:
                for block in blocks(file, path):
                    last = block.first + block.entries - 1
        except Torn:
            return last
        except (BadInput, OSError):
            # What follows the damage had positions too; they must not be used again.
            return last + size_of(path)
        return last
    return 0


def read(
    folder: Path, *, warn: Callable[[str], None], from_position: int = 1, from_ns: int | None = None
) -> Iterator[TapeEntry]:
    """Give the entries from a position, or from a time, in order.

    An unfinished end of a segment (a crash) is reported; reading goes on with the next one. Raises
    BadInput at a block whose checksum does not match; everything before it has been given.
    """
    found = segments(folder)
    for index, path in enumerate(found):
        after = found[index + 1] if index + 1 < len(found) else None
        if after is not None and int(after.stem) <= from_position:
            continue
        try:
            with path.open("rb") as file:
                for block in blocks(file, path):
                    if block.first + block.entries <= from_position:
                        continue
                    if from_ns is not None and block.last_ns < from_ns:
                        continue
                    for entry in entries_of(block):
                        late = from_ns is None or entry.at_ns >= from_ns
                        if entry.position >= from_position and late:
                            yield entry
        except Torn as torn:
            warn(f"{path} is torn at byte {torn.offset}: read up to there")
        except FileNotFoundError:
            warn(f"{path} was deleted while the tape was read: it was beyond the budget")
