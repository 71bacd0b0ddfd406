"""The door of every recording: a stream of events, and honest counts of what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from engine.domain.events import Event
from engine.domain.instruments import InstrumentId

ANOMALY_KINDS_MAX = 200
"""Kinds of anomalies told apart; what comes after is counted as `other`."""


class RecordingStats:
    """What has been read so far. Grows while `Recording.events` is consumed.

    `frames` counts whole lines, good or bad; `hash_matched` + `hash_mismatched` = `hash_checked`.
    `first_ns`, `last_ns` are the clock of the first and the last event; None = nothing yet.
    `bytes_read` of `bytes_total` are compressed bytes and serve to show progress.
    """

    __slots__ = (
        "advertised_checked",
        "advertised_matched",
        "anomalies",
        "anomaly_lines",
        "batches_complete",
        "bytes_read",
        "bytes_total",
        "duplicates",
        "events",
        "first_ns",
        "frames",
        "gap_ns",
        "gaps",
        "hash_checked",
        "hash_matched",
        "hash_mismatched",
        "last_ns",
        "markets",
        "mirrored",
        "out_of_order",
    )

    def __init__(self) -> None:
        self.frames = 0
        self.events = 0
        self.markets: set[InstrumentId] = set()
        self.gaps = 0
        """Silences longer than the limit inside a market's window."""
        self.gap_ns = 0
        """Length of those silences together."""
        self.hash_checked = 0
        self.hash_matched = 0
        self.hash_mismatched = 0
        self.duplicates = 0
        """Frames that repeat the frame before, or whose receive order says they were read twice."""
        self.mirrored = 0
        """Frames of the second token that tell what the first one's told already."""
        self.out_of_order = 0
        """Frames older than what was already told: read and checked, not told."""
        self.anomalies: Counter[str] = Counter()
        self.anomaly_lines: dict[str, str] = {}
        """Where each kind of anomaly was met first: `file:line`."""
        self.advertised_checked = 0
        """Best bids and asks the venue sent beside its changes, compared after whole batches."""
        self.advertised_matched = 0
        self.batches_complete = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.bytes_read = 0
        self.bytes_total = 0

    def anomaly(self, kind: str, where: str) -> None:
        """Count something odd and remember where it was met first."""
        if kind not in self.anomalies and len(self.anomalies) >= ANOMALY_KINDS_MAX:
            kind = "other"
        self.anomalies[kind] += 1
        self.anomaly_lines.setdefault(kind, where)


class Recording(Protocol):
    """A recording that can be played once."""

    stats: RecordingStats

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event) with a clock that never runs backwards; streams, never hoards.

        Raises BadInput with the file and line where the recording is torn, after everything
        whole before it has been told.
        """
        ...
