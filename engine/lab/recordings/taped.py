"""Reader of the recordings the engine makes itself: segments of events, streamed block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.domain.events import (
    BookChanged,
    Event,
    FeedLost,
    FeedRestored,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.instruments import InstrumentId
from engine.errors import BadInput
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.receive_times import Frame, ReceiveTimes
from engine.runtime.tape_format import Block, TapeEntry, Torn, blocks, entries_of, segments
from engine.runtime.tape_recording import (
    BEGIN,
    EVENTS,
    FORMAT,
    Begin,
    unpack_begin,
    unpack_events,
)

TORN = "torn end of a segment"


class TapedRecording:
    """One recording made by the engine, in the order in which it was heard."""

    def __init__(self, folder: Path) -> None:
        self.stats = RecordingStats()
        self._folder = folder
        self._segments = segments(folder)
        self.stats.bytes_total = sum(path.stat().st_size for path in self._segments)
        self._next = 1
        self._clock_ns = 0
        self._lost: dict[InstrumentId | None, int] = {}
        """Since when what was lost; None = the whole feed."""

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`.

        A segment that ends inside a block is a crash of the recorder: it is counted, and what was
        recorded afterwards begins with a gap. Raises BadInput where that is the recording's end.
        """
        stats = self.stats
        for frame, now_ns in ReceiveTimes(stats).told(self._frames()):
            stats.frames += 1
            stats.at = frame.at
            stats.out_of_order += frame.received_ns < self._clock_ns
            head, events = frame.line
            if head is not None:
                yield from self._begin(head)
                continue
            self._clock_ns = stats.last_ns = now_ns
            if stats.first_ns is None:
                stats.first_ns = now_ns
            stats.events += len(events)
            for event in events:
                self._look(event, now_ns)
                yield now_ns, event

    def _frames(self) -> Iterator[Frame]:
        """Yield every entry with its time; the line is (its head, its events)."""
        stats = self.stats
        for path in self._segments:
            before = stats.bytes_read
            try:
                with path.open("rb") as file:
                    for block in blocks(file, path):
                        self._follows(block, path)
                        for entry in entries_of(block):
                            yield self._frame(entry, path)
                        stats.bytes_read = before + file.tell()
            except Torn as error:
                if path == self._segments[-1]:
                    where = f"{path.name}, entry {self._next}"
                    raise BadInput(f"{where}: {TORN}, at byte {error.offset}") from None
                stats.anomaly(TORN)
            stats.bytes_read = before + path.stat().st_size

    def _follows(self, block: Block, path: Path) -> None:
        """Refuse a hole. Raises BadInput."""
        if block.first != self._next:
            raise BadInput(
                f"{path}: entries {self._next} to {block.first - 1} are missing; a segment of this "
                "recording was removed or damaged"
            )
        self._next = block.first + block.entries

    @staticmethod
    def _frame(entry: TapeEntry, path: Path) -> Frame:
        at = (path.name, entry.position)
        try:
            if entry.kind == BEGIN:
                return Frame(at, (unpack_begin(entry.payload), ()), entry.at_ns, fresh=False)
            if entry.kind != EVENTS or entry.position == 1:
                raise BadInput(f"{path}: is no recording but a tape of {entry.kind!r}")
            events = unpack_events(entry.payload)
        except msgspec.DecodeError as error:
            raise BadInput(f"{path}, entry {entry.position}: cannot be read: {error}") from error
        stamp_ns = max((getattr(event, "exchange_ns", None) or 0 for event in events), default=0)
        fresh = any(isinstance(event, BookChanged | TradePrinted) for event in events)
        return Frame(at, (None, events), entry.at_ns, stamp_ns, fresh and stamp_ns > 0)

    def _begin(self, head: Begin) -> Iterator[tuple[int, Event]]:
        """Check the head; tell a gap where there is one, at the last moment anything was known."""
        if head.format != FORMAT:
            raise BadInput(
                f"{self._folder}: has format {head.format}, this version reads {FORMAT}: it was "
                "made by a newer one"
            )
        if head.gap and self._clock_ns:
            lost = FeedLost(feed=head.feed, instrument=None, reason=head.gap)
            self.stats.events += 1
            self._look(lost, self._clock_ns)
            yield self._clock_ns, lost

    def _look(self, event: Event, now_ns: int) -> None:
        """Count gaps and markets as they pass."""
        stats = self.stats
        if isinstance(event, FeedLost):
            stats.gaps += event.instrument not in self._lost
            self._lost.setdefault(event.instrument, now_ns)
        elif isinstance(event, FeedRestored):
            stats.gap_ns += now_ns - self._lost.pop(event.instrument, now_ns)
        elif isinstance(event, InstrumentListed):
            stats.markets.add(event.instrument.id)
