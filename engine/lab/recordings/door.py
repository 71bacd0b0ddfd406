"""The door of every recording: a stream of events, and honest counts of what was read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from engine.domain.events import Event
from engine.domain.instruments import InstrumentId
from engine.feeds.counts import FeedCounts


class RecordingStats(FeedCounts):
    """What has been read so far. Grows while `Recording.events` is consumed.

    `frames` counts whole lines, good or bad. `first_ns`, `last_ns` are the clock of the first and
    the last event; None = nothing yet. `bytes_read` of `bytes_total` are the files' own (packed)
    bytes and serve to show progress. `at` is the line being read, as (file, number).
    """

    __slots__ = (
        "anomaly_lines",
        "at",
        "bytes_read",
        "bytes_total",
        "events",
        "first_ns",
        "frames",
        "gap_ns",
        "imported_ns",
        "last_ns",
        "markets",
        "sizes_capped",
        "sizes_inferred",
        "sizes_unknown",
    )

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self.events = 0
        self.markets: set[InstrumentId] = set()
        self.sizes_inferred = 0
        """Trades whose size is the fall of a level: what was cancelled with it is in it."""
        self.sizes_capped = 0
        """Those of them that a cap made as large as itself."""
        self.sizes_unknown = 0
        """Trades whose level did not fall."""
        self.gap_ns = 0
        """Length of the gaps together."""
        self.anomaly_lines: dict[str, str] = {}
        """Where each kind of anomaly was met first: `file:line`."""
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.bytes_read = 0
        self.bytes_total = 0
        self.imported_ns: int | None = None
        """When the import was made that is read; None = the raw files are read."""
        self.at = ("", 0)

    def anomaly(self, kind: str) -> None:
        """Count something odd and remember where it was met first."""
        super().anomaly(kind)
        if kind in self.anomalies:
            self.anomaly_lines.setdefault(kind, f"{self.at[0]}:{self.at[1]}")


class Recording(Protocol):
    """A recording that can be played once."""

    stats: RecordingStats

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event) with a clock that never runs backwards; streams, never hoards.

        Raises BadInput with the file and line where the recording is torn, after everything
        whole before it has been told.
        """
        ...
