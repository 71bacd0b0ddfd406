"""A signed position: what is held of one contract, and what it was opened for.

Size is in increments and cost in the smallest units of the asset the contract settles in; both are
above 0 long and below 0 short. They are kept exactly, and an average price is derived from them: an
average rounded at every fill drifts. The value of a fill comes from its contract (`ContractValue`),
so linear and inverse contracts are booked alike: an inverse one gains as its value falls, and its
caller turns the sign.

A fill changes what was realised and what is held open, and nothing vanishes between the two:

    realised − cost  moves by  −flow        of every fill, to the unit.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from engine.domain.money import ceil_div
from engine.domain.products.margin import Exposure
from engine.errors import BrokenInvariant


class SplitFill(msgspec.Struct, frozen=True, gc=False):
    """What a fill did: it closed so much of what was held, and opened the rest at its own price."""

    closed: int
    """Increments it closed, ≥ 0."""
    opened: int
    """Increments it opened, ≥ 0; both are above 0 where it passed through flat."""
    realised: int
    """What closing brought before fees, rounded down."""
    fee_closed: int
    """The part of the fee that belongs to what it closed, pro rata of size."""
    fee_opened: int


class SignedPosition(msgspec.Struct, gc=False):
    """One position, long or short."""

    size: int = 0
    cost: int = 0

    def apply_fill(self, size: int, flow: int, fee: int = 0) -> SplitFill:
        """Book a fill of a signed size and the signed value of it; return what it did.

        A buy's size and flow are ≥ 0, a sale's ≤ 0. A fill beyond what is held closes all of it at
        its cost, and opens the rest at the fill's price. What one part does not hold of a fee or of
        a value is in the other: parts always sum to the whole.
        """
        if not size or size * flow < 0:
            raise BrokenInvariant(f"a fill of {size} cannot have a value of {flow}")
        filled, held = abs(size), abs(self.size)
        closed = min(filled, held) if size * self.size < 0 else 0
        out = ceil_div(self.cost * closed, held) if closed else 0
        closing = ceil_div(flow * closed, filled)
        self.cost += flow - closing - out
        self.size += size
        fee_closed = fee * closed // filled
        return SplitFill(closed, filled - closed, -closing - out, fee_closed, fee - fee_closed)

    @property
    def unit_cost(self) -> Fraction:
        """Return what one increment was opened for, exactly and ≥ 0; 0 of a flat position."""
        return Fraction(self.cost, self.size) if self.size else Fraction(0)

    @property
    def exposure(self) -> Exposure:
        """Return the position as margin sees it. A short counts by its size as a long does."""
        return Exposure(self.size, abs(self.cost))
