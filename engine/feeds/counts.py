"""What a feed counts while it reads: the evidence behind every claim about its books."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

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
"""Kinds of anomalies distinguished; what comes after is counted as `other`."""


@dataclass(slots=True, eq=False)
class FeedCounts:
    """Counts of one feed or recording. `hash_matched` + `hash_mismatched` = `hash_checked`."""

    books_checked: int = 0
    """Whole books among `hash_checked`; the rest are the hashes of change batches."""
    books_matched: int = 0
    hash_checked: int = 0
    hash_matched: int = 0
    hash_mismatched: int = 0
    last_prices_recovered: int = 0
    """Unseen trades whose price the hash proved, so that the book could be trusted on."""
    advertised_checked: int = 0
    """Best bids and asks the venue sent beside its changes, compared after whole batches."""
    advertised_matched: int = 0
    batches_complete: int = 0
    """Batches of changes after which every hash matched."""
    duplicates: int = 0
    """Frames that repeat the frame before."""
    mirrored: int = 0
    """Frames of the second token that repeat the first one's."""
    out_of_order: int = 0
    """Frames older than what was already given: read and checked, not given."""
    gaps: int = 0
    """Silences and reconnections: moments after which the view had to be built anew."""
    anomalies: Counter[str] = field(default_factory=Counter)

    def anomaly(self, kind: str) -> None:
        if kind not in self.anomalies and len(self.anomalies) >= ANOMALY_KINDS_MAX:
            kind = "other"
        self.anomalies[kind] += 1
