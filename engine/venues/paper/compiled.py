"""One market of the paper venue on the compiled path: its arrays, filled from it and told back.

Between two calls the plain `PaperMarket` is the truth: `advance` brings the arrays up to our orders
and to what is taken, hears rows as far as nothing of ours could happen, and writes every change
back. The book itself is read once and then followed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from engine.domain.instruments import Kind, Side
from engine.venues.paper import kernel
from engine.venues.paper.columns import ASK, BID, SIZE_MAX
from engine.venues.paper.kernel import (
    AHEADS_AT,
    BEST_ASK,
    BEST_BID,
    DESK_MAX,
    END_AT,
    EVENTS,
    LEVEL,
    LEVELS_AT,
    PRINTED,
    PRINTED_NS,
    TAKEN_AT,
    TOUCHED,
    TOUCHED_MAX,
)
from engine.venues.paper.market import PaperMarket
from engine.venues.paper.queue import OwnLevel

PRICES_MAX = 100_000
"""Largest price a book of this path may have, in increments."""

UNHEARD = -1
"""In the facts: nothing of the kind was heard; no row."""

BUY, SELL = Side.BUY, Side.SELL

Ints = NDArray[np.int64]
Changes = list[tuple[Side, int, int]]
Advance = Callable[[Ints, Ints, Ints], bool]
"""`kernel.advance`, as it stands there or compiled; its arrays are contiguous."""
Watch = tuple[int, int, int]
"""(whether it was ever woken, twice the mid it was woken for, by which move it is)."""


class CompiledMarket:
    """The arrays of one binary instrument, whose prices are bounded."""

    def __init__(
        self, market: PaperMarket, percent: int, advance: Advance = kernel.advance
    ) -> None:
        self.market = market
        self._advance = advance
        self._percent = percent
        self._grid, self._desk = _arrays(market.instrument.one + 1 if self.suits(market) else 1)
        self._touched = self._desk[DESK_MAX:].reshape((TOUCHED_MAX, 4))
        self._head = self._desk[:DESK_MAX].data.cast("B").cast("q")
        self._best = (UNHEARD, UNHEARD)
        self._ours: list[OwnLevel] = []
        self.facts: list[int] = []
        """What the last `advance` found, as `kernel` names it."""

    @staticmethod
    def suits(market: PaperMarket) -> bool:
        """Say whether the instrument's prices are bounded and few enough."""
        instrument = market.instrument
        return instrument.kind is Kind.BINARY and instrument.one < PRICES_MAX

    def reload(self) -> bool:
        """Read the whole book; False = it does not fit into the arrays."""
        book, shown = self._grid[kernel.BOOK], self.market.book
        book[:] = 0
        for side, levels in ((BID, shown.bids), (ASK, shown.asks)):
            for price, size in levels.items():
                if not 0 <= price < book.shape[1] or size > SIZE_MAX:
                    return False
                book[side, price] = size
        bid, ask = shown.best_bid, shown.best_ask
        self._best = (UNHEARD if bid is None else bid, UNHEARD if ask is None else ask)
        return True

    def advance(
        self,
        rows: Ints,
        view: tuple[int | None, int],
        span: tuple[int, int, int],
        watches: Iterable[Watch],
    ) -> bool:
        """Hear rows; False = it cannot be done, and nothing was heard.

        `view` is (twice the mid of the view, time of the last event), `span` (first row, row of an
        event the plain path took meanwhile or -1, time before which to stop). Tells the market what
        changed; `changes` and `facts` tell the other rooms.
        """
        stated = self._stated(view, span, watches)
        count = len(stated)
        if count > DESK_MAX:
            return False
        try:
            self._head[:count] = array("q", stated)
        except OverflowError:
            return False
        if not self._advance(self._grid, self._desk, rows):
            return False
        self.facts = facts = self._head[:count].tolist()
        self._best = (facts[BEST_BID], facts[BEST_ASK])
        if facts[EVENTS] and self._ours:
            self._tell_queues(facts)
        return True

    def _stated(
        self, view: tuple[int | None, int], span: tuple[int, int, int], watches: Iterable[Watch]
    ) -> list[int]:
        """Return what the compiled path must know, as `kernel` lays it out."""
        market = self.market
        mid2, last_ns = view
        first, follow, stop_ns = span
        stated = [
            self._percent, *self._best, mid2 or 0, mid2 is not None, UNHEARD, UNHEARD, UNHEARD,
            0, 0, last_ns, 0, UNHEARD, first, follow, stop_ns, 0, 0, 0, 0,
        ]  # fmt: skip
        for watch in watches:
            stated += watch
        levels_at = stated[LEVELS_AT] = len(stated)
        ends = stated[AHEADS_AT] = levels_at + LEVEL * (len(market.bids) + len(market.asks))
        self._ours = ours = [*market.bids.values(), *market.asks.values()]
        aheads: list[int] = []
        for side, own in ((BID, market.bids), (ASK, market.asks)):
            for price, level in own.items():
                begins = ends
                for resting in level.orders:
                    aheads.append(resting.ahead)
                    ends += 1
                stated += (side, price, level.printed, level.printed_ns, begins, ends)
        if ours:
            stated += aheads
        stated[TAKEN_AT] = ends
        for price, size in market.taken_bids.items():
            stated += (BID, price, size)
        for price, size in market.taken_asks.items():
            stated += (ASK, price, size)
        stated[END_AT] = len(stated)
        return stated

    def _tell_queues(self, facts: list[int]) -> None:
        row, aheads = facts[LEVELS_AT], facts[AHEADS_AT]
        for level in self._ours:
            level.printed = facts[row + PRINTED]
            level.printed_ns = facts[row + PRINTED_NS]
            for resting in level.orders:
                resting.ahead = facts[aheads]
                aheads += 1
            row += LEVEL

    def changes(self) -> Changes:
        """Tell the market which levels changed, and return them for other books."""
        market, changes = self.market, []
        book, taken_bids, taken_asks = market.book, market.taken_bids, market.taken_asks
        bids, asks = book.bids, book.asks
        for at, price, size, gone in self._touched[: self.facts[TOUCHED]].tolist():
            if at:
                side, levels, taken = SELL, asks, taken_asks
            else:
                side, levels, taken = BUY, bids, taken_bids
            changes.append((side, price, size))
            if size and price in levels:
                levels[price] = size
            else:
                book.change(side, price, size)
            if gone:
                taken[price] = gone
            elif price in taken:
                del taken[price]
        return changes


def _arrays(prices: int) -> tuple[Ints, Ints]:
    return np.zeros((4, 2, prices), np.int64), np.zeros(DESK_MAX + TOUCHED_MAX * 4, np.int64)
