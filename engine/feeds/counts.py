"""What a feed counts while it reads: the evidence behind every claim about its books."""

from __future__ import annotations

from collections import Counter

import msgspec

from engine.errors import BadInput

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are no JSON, no UTF-8, or nested without end."""


class BadFrame(BadInput):
    """A frame is unreadable or impossible. `kind` groups it among the anomalies."""

    def __init__(self, kind: str, text: str = "") -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind


ANOMALY_KINDS_MAX = 200
"""Kinds of anomalies told apart; what comes after is counted as `other`."""


class FeedCounts:
    """Counts of one feed or recording. `hash_matched` + `hash_mismatched` = `hash_checked`."""

    __slots__ = (
        "advertised_checked",
        "advertised_matched",
        "anomalies",
        "batches_complete",
        "books_checked",
        "books_matched",
        "duplicates",
        "gaps",
        "hash_checked",
        "hash_matched",
        "hash_mismatched",
        "last_prices_recovered",
        "mirrored",
        "out_of_order",
    )

    def __init__(self) -> None:
        self.books_checked = 0
        """Whole books among `hash_checked`; the rest are the hashes of change batches."""
        self.books_matched = 0
        self.hash_checked = 0
        self.hash_matched = 0
        self.hash_mismatched = 0
        self.last_prices_recovered = 0
        """Unseen trades whose price the hash proved, so that the book could be trusted on."""
        self.advertised_checked = 0
        """Best bids and asks the venue sent beside its changes, compared after whole batches."""
        self.advertised_matched = 0
        self.batches_complete = 0
        """Batches of changes after which every hash matched."""
        self.duplicates = 0
        """Frames that repeat the frame before."""
        self.mirrored = 0
        """Frames of the second token that tell what the first one's told already."""
        self.out_of_order = 0
        """Frames older than what was already told: read and checked, not told."""
        self.gaps = 0
        """Silences and reconnections: moments after which the view had to be built anew."""
        self.anomalies: Counter[str] = Counter()

    def anomaly(self, kind: str) -> None:
        if kind not in self.anomalies and len(self.anomalies) >= ANOMALY_KINDS_MAX:
            kind = "other"
        self.anomalies[kind] += 1
