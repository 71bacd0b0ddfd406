"""How far the mark stays from liquidation after an order: `liquidation_buffer_min`.

The account's own books are asked as the venue nets them, with every order that may still fill on
the order's side filled at its limit, each with a taker's fee: what is judged is the largest
position that may come to be. What backs it, and the price, are `engine.domain.products.backing`'s.

A mark that is not known, or older than a mark may be when the book was last proven, denies what
adds to a position. What only reduces one is never judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from msgspec import UNSET

from engine.domain.instruments import Instrument, InstrumentId, Side
from engine.domain.products.backing import Beside, MarkedPosition, beside, liquidated_at
from engine.domain.products.margin import buffer_ppm
from engine.domain.products.position import SignedPosition
from engine.risk.reasons import Numbers

LEAST = "liquidation_buffer_min_bps"
"""What the limit is called among the numbers of a denial."""

BPS_PPM = 100
"""Parts per million of a basis point."""


class MarginBooks(Protocol):
    """What an account's ledger says, for reading."""

    cash_settled_micro: int
    instruments: dict[InstrumentId, Instrument]
    netted: dict[InstrumentId, SignedPosition]


class SidedOrder(NamedTuple):
    """What of an order may still fill: its size below 0 for a sale, its price in increments."""

    size: int
    price: int


class PricedAt(NamedTuple):
    """A mark in 1e-8 and when it came."""

    mark_e8: int
    at_ns: int


Working = Callable[[InstrumentId], Iterable[SidedOrder]]


class Buffers:
    """One account's marks, and what is left to liquidation. The executor is its only writer."""

    def __init__(self) -> None:
        self._least_bps = self._age_ns_max = 0
        self._repeats = False
        self._marks: dict[InstrumentId, PricedAt] = {}
        self._books: Callable[[], MarginBooks] | None = None
        self._working: Working = lambda _: ()
        self._proven: Callable[[InstrumentId], int | None] = lambda _: None

    def read(
        self,
        books: Callable[[], MarginBooks],
        working: Working,
        proven: Callable[[InstrumentId], int | None],
    ) -> None:
        """Read these books, these orders that may still fill, and when a book was last proven."""
        self._books, self._working, self._proven = books, working, proven

    def limit(self, least_bps: int, age_ns_max: int) -> None:
        """Take the limit in basis points, 0 = none, and how old a mark may be."""
        if not self._repeats:
            self._least_bps, self._age_ns_max = least_bps, age_ns_max

    def repeat(self, key: InstrumentId, numbers: Numbers) -> None:
        """Judge from now on as a denial with these numbers did; any others = it denied nothing."""
        said, self._repeats = dict(numbers), True
        self._least_bps, self._age_ns_max = said.get(LEAST, 0), 1 << 62
        self._marks.clear()
        if "mark_e8" in said:
            self.marked(key, said["mark_e8"], 0)

    def marked(self, key: InstrumentId, mark_e8: int, now_ns: int) -> None:
        """Take a mark."""
        self._marks[key] = PricedAt(mark_e8, now_ns)

    def forget(self, key: InstrumentId) -> None:
        """Drop the mark of an instrument that is over."""
        self._marks.pop(key, None)

    def mark(self, key: InstrumentId, now_ns: int) -> int | None:
        """Return a mark that is not too old; None = there is none."""
        found = self._marks.get(key)
        if found is None or now_ns - found.at_ns > self._age_ns_max:
            return None
        return found.mark_e8

    def too_near(self, of: Instrument, side: Side, price: int, size: int) -> Numbers:
        """Return the numbers where an order leaves less than the limit; none = it does not.

        None, too, where it only reduces, and where the instrument says no margin: what is held at
        its full value is never liquidated. Marks and prices are in 1e-8.
        """
        if not self._least_bps or of.margin is UNSET or self._books is None:
            return ()
        books = self._books()
        sign = 1 if side is Side.BUY else -1
        would_be, cash = self._after(books, of, SidedOrder(sign * size, price))
        if would_be.size * sign <= 0:
            return ()
        least = (LEAST, self._least_bps)
        # The gate has seen that the book is proven of late: it is the clock that marks are held to.
        now_ns = self._proven(of.id) or 0
        mark_e8, others = self.mark(of.id, now_ns), self._beside(books, of, now_ns)
        if mark_e8 is None or others is None:
            return (least,)
        found = liquidated_at(of, would_be, cash, others)
        if found is None:
            return ()
        ppm = buffer_ppm(mark_e8, found, long=would_be.size > 0)
        if ppm >= self._least_bps * BPS_PPM:
            return ()
        return (
            ("mark_e8", mark_e8),
            ("liquidation_e8", found),
            ("liquidation_buffer_bps", ppm // BPS_PPM),
            least,
        )

    def _after(
        self, books: MarginBooks, of: Instrument, order: SidedOrder
    ) -> tuple[SignedPosition, int]:
        """Return position and cash where the order and all of its side fill at their limits."""
        held = books.netted.get(of.id) or SignedPosition()
        would_be, cash = SignedPosition(held.size, held.cost), books.cash_settled_micro
        same = [one for one in self._working(of.id) if one.size * order.size > 0]
        for one in (*same, order):
            size = abs(one.size)
            value = of.cost_micro(one.price, size)
            cash -= max(0, of.taker_fee_micro(one.price, size))
            flow = value if one.size > 0 else -of.proceeds_micro(one.price, size)
            cash += would_be.apply_fill(one.size, flow).realised
        return would_be, cash

    def _beside(self, books: MarginBooks, own: Instrument, now_ns: int) -> Beside | None:
        return beside(
            own,
            (
                MarkedPosition(books.instruments[key], held, self.mark(key, now_ns))
                for key, held in books.netted.items()
                if key != own.id
            ),
        )
