"""Marks: what a holding is worth to risk. Exit side first, then an old mid, then nothing."""

from __future__ import annotations

from engine.domain.events import BookMarked
from engine.domain.instruments import Instrument, Leg


def risk_price(
    instrument: Instrument, leg: Leg, marked: BookMarked, *, now_ns: int, mark_age_ms_max: int
) -> int:
    """Return the price of a long holding of one leg, in the leg's increments, never too high.

    The exit side is the best bid (of the NO leg: 1 − best ask) of a trusted, open book. Without it
    the last two-sided mid counts, rounded down, up to `mark_age_ms_max`; after that the holding
    is worth 0 to risk until somebody bids again or the outcome is said.
    """
    if marked.trusted and not marked.closed:
        if leg is Leg.NO:
            if marked.best_ask is not None:
                return instrument.one - marked.best_ask
        elif marked.best_bid is not None:
            return marked.best_bid
    if marked.mid2 is None or marked.two_sided_ns is None:
        return 0
    if now_ns - marked.two_sided_ns > mark_age_ms_max * 1_000_000:
        return 0
    if leg is Leg.NO:
        return (2 * instrument.one - marked.mid2) // 2
    return marked.mid2 // 2
