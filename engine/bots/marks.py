"""Marks: what executor and risk need to know of a book, taken from its view."""

from __future__ import annotations

from engine.caches.views import BookView
from engine.domain.events import BookMarked


def mark_of(view: BookView) -> BookMarked:
    """Return what executor and risk need to know of a book."""
    return BookMarked(
        instrument=view.instrument.id,
        best_bid=view.best_bid,
        best_ask=view.best_ask,
        mid2=view.mid2,
        two_sided_ns=view.two_sided_ns,
        proof_ns=view.proof_ns,
        trusted=view.trusted,
        closed=view.closed,
    )
