"""One market of the paper venue on the compiled path: its arrays, filled from it and told back.

Between two calls the plain `Market` is the truth: `advance` brings the arrays up to our orders and
to what is taken, hears rows as far as nothing of ours could happen, and writes every change back.
The book itself is read once and then followed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.domain.instruments import Kind, Side
from engine.venues.paper import kernel
from engine.venues.paper.columns import ASK, BID, SIZE_MAX
from engine.venues.paper.kernel import DESK_MAX, FACTS, TOUCHED_MAX
from engine.venues.paper.market import Market
from engine.venues.paper.queue import OwnLevel

PRICES_MAX = 100_000
"""Largest price a book of this path may have, in increments."""

UNHEARD = -1
"""In the facts: nothing of the kind was heard; no row."""

SIDES = (Side.BUY, Side.SELL)

Ints = NDArray[np.int64]
Changes = list[tuple[Side, int, int]]
Advance = Callable[[Ints, Ints, Ints], bool]
"""`kernel.advance`, as it stands there or compiled; its arrays are contiguous."""
Watch = tuple[int, int, int]
"""(whether it was ever woken, twice the mid it was woken for, by which move it is)."""


class CompiledMarket:
    """The arrays of one binary instrument, whose prices are bounded."""

    def __init__(self, market: Market, percent: int, advance: Advance = kernel.advance) -> None:
        self.market = market
        self._advance = advance
        self._percent = percent
        self._grid, self._desk = _arrays(market.instrument.one + 1 if self.suits(market) else 1)
        self._touched = self._desk[DESK_MAX:].reshape((TOUCHED_MAX, 4))
        self._best = (UNHEARD, UNHEARD)
        self._ours: list[OwnLevel] = []
        self.facts: list[int] = []
        """What the last `advance` found, as `kernel` names it."""

    @staticmethod
    def suits(market: Market) -> bool:
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
        self, rows: Ints, view: tuple[int | None, int], span: Sequence[int], watches: list[Watch]
    ) -> bool:
        """Hear rows; False = it cannot be done, and nothing was heard.

        `view` is (twice the mid of the view, time of the last event), `span` (first row, row of an
        event the plain path took meanwhile or -1, time before which to stop). Tells the market what
        changed; `changes` and `facts` tell the rest of the house.
        """
        desk = self._stated(view, span, watches)
        if len(desk) > DESK_MAX:
            return False
        try:
            self._desk[: len(desk)] = desk
        except OverflowError:
            return False
        if not self._advance(self._grid, self._desk, rows):
            return False
        self.facts = facts = self._desk[: len(desk)].tolist()
        self._best = (facts[kernel.BEST_BID], facts[kernel.BEST_ASK])
        if self._ours and facts[kernel.EVENTS]:
            self._tell_queues(facts)
        return True

    def _stated(
        self, view: tuple[int | None, int], span: Sequence[int], watches: list[Watch]
    ) -> list[int]:
        """Return what the compiled path must know, as `kernel` lays it out."""
        market = self.market
        mid2, last_ns = view
        first, follow, stop_ns = span
        levels_at = FACTS + kernel.WATCH * len(watches)
        aheads_at = levels_at + kernel.LEVEL * (len(market.bids) + len(market.asks))
        stated = [
            self._percent, *self._best, mid2 or 0, mid2 is not None, UNHEARD, UNHEARD, UNHEARD,
            0, 0, last_ns, 0, UNHEARD, first, follow, stop_ns, levels_at, aheads_at, 0, 0,
        ]  # fmt: skip
        for watch in watches:
            stated += watch
        self._ours = ours = []
        aheads: list[int] = []
        for side, own in ((BID, market.bids), (ASK, market.asks)):
            for price, level in own.items():
                ours.append(level)
                begins = aheads_at + len(aheads)
                aheads.extend([resting.ahead for resting in level.orders])
                ends = aheads_at + len(aheads)
                stated += (side, price, level.printed, level.printed_ns, begins, ends)
        stated += aheads
        stated[kernel.TAKEN_AT] = len(stated)
        for side, taken in ((BID, market.taken_bids), (ASK, market.taken_asks)):
            for price, size in taken.items():
                stated += (side, price, size)
        stated[kernel.END_AT] = len(stated)
        return stated

    def _tell_queues(self, facts: list[int]) -> None:
        row, aheads = facts[kernel.LEVELS_AT], facts[kernel.AHEADS_AT]
        for level in self._ours:
            level.printed = facts[row + kernel.PRINTED]
            level.printed_ns = facts[row + kernel.PRINTED_NS]
            for resting in level.orders:
                resting.ahead = facts[aheads]
                aheads += 1
            row += kernel.LEVEL

    def changes(self) -> Changes:
        """Tell the market which levels changed, and return them for other books."""
        market = self.market
        changes: Changes = []
        for side, price, size, taken in self._touched[: self.facts[kernel.TOUCHED]].tolist():
            changes.append((SIDES[side], price, size))
            known = market.taken_asks if side else market.taken_bids
            if taken:
                known[price] = taken
            elif price in known:
                del known[price]
        market.book.apply(changes)
        return changes


def _arrays(prices: int) -> tuple[Ints, Ints]:
    return np.zeros((4, 2, prices), np.int64), np.zeros(DESK_MAX + TOUCHED_MAX * 4, np.int64)
