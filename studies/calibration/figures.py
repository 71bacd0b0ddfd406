"""What a 5-minute up/down market looks like, in figures: the demo exchange beside a recording.

Both are sampled the same way: the whole book after each match, while its market's window runs, as a
recording of `book` frames holds it. Distances are in cents, sizes in shares, times in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.domain.books import Book
from engine.domain.events import (
    BookChanged,
    BookReplaced,
    Event,
    InstrumentClosed,
    InstrumentListed,
    TradePrinted,
)
from engine.domain.instruments import Instrument, InstrumentId

S = 1_000_000_000
SLOT_NS = S // 10
WIDE_CENTS = 6
"""Spreads of this many cents and more count as one."""

DEPTH_CENTS = 5

Moments = tuple[tuple[int, Event], ...] | Iterable[tuple[int, Event]]


class MarketFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One market's look. Quantiles are named by their share in percent."""

    markets: int
    frames: int
    spread: dict[int, float]
    """Share of frames by spread in cents; the widest key holds all above."""
    touch: dict[int, float]
    depth: dict[int, float]
    per_second: dict[int, float]
    """Matches per second with any."""
    per_slot: dict[int, float]
    """Matches per 100 ms with any."""
    between_ms: dict[int, float]
    move_std: float
    """Standard deviation of the mid's change over a second, in cents."""
    moves: dict[int, float]
    """Quantiles of its size, in cents."""


class _Tape:
    """What is sampled of one market."""

    __slots__ = ("book", "instrument", "matched", "mids", "stamps")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = Book()
        self.matched = False
        self.stamps: list[int] = []
        self.mids: dict[int, float] = {}
        """Second → last mid in it, in cents."""


class Sampler:
    """Takes events in order; `figures` gives what was seen."""

    def __init__(self) -> None:
        self._tapes: dict[InstrumentId, _Tape] = {}
        self._done: list[_Tape] = []
        self._spread: list[int] = []
        self._touch: list[float] = []
        self._depth: list[float] = []

    def take(self, moments: Moments) -> None:
        """Take (time, event) pairs. A match and the books of the same moment are one frame."""
        for now_ns, event in moments:
            if isinstance(event, InstrumentListed):
                self._list(event.instrument)
            elif isinstance(event, InstrumentClosed):
                self._close(event.instrument)
            elif isinstance(event, TradePrinted):
                tape = self._tapes.get(event.instrument)
                if tape is not None:
                    tape.matched = True
            elif isinstance(event, BookReplaced | BookChanged):
                self._book(event, now_ns)

    def _list(self, instrument: Instrument) -> None:
        known = self._tapes.get(instrument.id)
        if known is not None:
            known.instrument = instrument
        elif instrument.series:
            self._tapes[instrument.id] = _Tape(instrument)

    def _close(self, instrument: InstrumentId) -> None:
        tape = self._tapes.pop(instrument, None)
        if tape is not None and tape.stamps:
            self._done.append(tape)

    def end(self) -> None:
        """End the world that was sampled; the next one may have markets of the same names."""
        for instrument in list(self._tapes):
            self._close(instrument)

    def _book(self, event: BookReplaced | BookChanged, now_ns: int) -> None:
        tape = self._tapes.get(event.instrument)
        if tape is None:
            return
        if isinstance(event, BookReplaced):
            tape.book.replace(event.bids, event.asks)
        else:
            tape.book.apply(event.changes)
        terms = tape.instrument
        if terms.starts_ns is None or terms.closes_ns is None:
            return
        running = terms.starts_ns <= now_ns < terms.closes_ns
        self._mid(tape, now_ns, running=running)
        if not tape.matched:
            return
        tape.matched = False
        if running:
            tape.stamps.append(now_ns)
            self._sample(tape)

    def _mid(self, tape: _Tape, now_ns: int, *, running: bool) -> None:
        bid, ask = tape.book.best_bid, tape.book.best_ask
        if running and bid is not None and ask is not None:
            tape.mids[now_ns // S] = (bid + ask) / 2 * 100 / tape.instrument.one

    def _sample(self, tape: _Tape) -> None:
        book, one = tape.book, tape.instrument.one
        bid, ask = book.best_bid, book.best_ask
        if bid is None or ask is None:
            return
        cent, shares = one // 100, 10**tape.instrument.size_decimals
        self._spread.append(round((ask - bid) / cent))
        self._touch.append(book.bids[bid] / shares)
        near = DEPTH_CENTS * cent
        within = (size for price, size in book.bids.items() if price > bid - near)
        self._depth.append(sum(within) / shares)

    # -- told --------------------------------------------------------------------------------------

    def figures(self) -> MarketFigures:
        """Return everything in figures; markets still open count with what they have shown."""
        tapes = self._done + [tape for tape in self._tapes.values() if tape.stamps]
        stamps = [np.array(tape.stamps, dtype=np.int64) for tape in tapes]
        moves = [move for tape in tapes for move in _moves(tape.mids)]
        return MarketFigures(
            markets=len(tapes),
            frames=sum(len(one) for one in stamps),
            spread=_mix(self._spread),
            touch=_quantiles(self._touch, (5, 25, 50, 75, 95)),
            depth=_quantiles(self._depth, (5, 50, 95)),
            per_second=_quantiles(_counts(stamps, S), (50, 95, 99)),
            per_slot=_quantiles(_counts(stamps, SLOT_NS), (50, 95, 99)),
            between_ms=_quantiles(_gaps_ms(stamps), (25, 50, 75, 95, 99)),
            move_std=float(np.std(moves)) if moves else float("nan"),
            moves=_quantiles(np.abs(moves), (50, 75, 90, 99)),
        )


def _mix(spreads: list[int]) -> dict[int, float]:
    capped = np.minimum(np.array(spreads, dtype=np.int64), WIDE_CENTS)
    total = max(len(capped), 1)
    return {cents: float((capped == cents).sum()) / total for cents in range(1, WIDE_CENTS + 1)}


def _counts(stamps: list[NDArray[np.int64]], width_ns: int) -> NDArray[np.int64]:
    """Return how many matches fall into each slot that has any, over all markets."""
    parts = [np.unique(one // width_ns, return_counts=True)[1] for one in stamps]
    return np.concatenate(parts) if parts else np.array([], dtype=np.int64)


def _gaps_ms(stamps: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    parts = [np.diff(one) / 1e6 for one in stamps]
    return np.concatenate(parts) if parts else np.array([])


def _moves(mids: dict[int, float]) -> list[float]:
    """Return the mid's changes between seconds that follow each other."""
    return [mids[after] - mids[before] for before, after in pairwise(mids) if after - before == 1]


def _quantiles(values: Iterable[float], shares: tuple[int, ...]) -> dict[int, float]:
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return dict.fromkeys(shares, float("nan"))
    return dict(zip(shares, (float(x) for x in np.percentile(found, shares)), strict=True))
