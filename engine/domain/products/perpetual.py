"""A perpetual: a contract with one price, held long or short, whose gain alone moves cash.

Its one leg is BASE, and a level is its price. Either direction opens: a sale of what is not held
opens a short, and no fill moves the value of what it trades, only what closing brought, and fees.
A position is a signed size with a signed cost (`engine.domain.products.position`).

What can be lost is counted by size: a long loses its cost where the price falls to nothing, a short
as much where the price doubles. A short's loss has no bound by itself; its liquidation, at a
leverage of 1 or more, comes before that.
"""

from __future__ import annotations

import msgspec

from engine.domain.legs import Leg, Side
from engine.domain.money import ceil_div
from engine.domain.products.linear import Linear
from engine.domain.products.margin import TierTable
from engine.domain.products.product import HeldLeg, LegPrice, ProductTerms

_BASE = Leg.BASE


class MarginTerms(msgspec.Struct, frozen=True, gc=False):
    """What a venue asks of a position in one instrument."""

    leverage: int
    """Value of a position by the margin it takes, as it is set at the venue."""
    tiers: TierTable
    """Maintenance, by the venue's own table."""
    isolated: bool = False
    """True = its own margin alone backs a position; False = all cash of the currency does (cross),
    together with the other positions of which this is so."""


class PerpetualContract(Linear, frozen=True, gc=False):
    """The perpetual of one instrument's terms: a thing with one price that may be held short."""

    leverage: int = 1
    """Value of a position by the margin it takes."""

    signed = True
    ask_sells = None
    opens_asks = True

    @classmethod
    def of(cls, terms: ProductTerms) -> PerpetualContract:
        """Return the product of these terms."""
        return cls(terms.currency, terms.leverage)

    def opening_side(self, bid: bool) -> Side:
        return Side.BUY if bid else Side.SELL

    def sale(self, level: int, bid: bool) -> LegPrice:
        return _BASE, level

    def opening(self, level: int, bid: bool) -> LegPrice:
        return _BASE, level

    def loss_unit(self, leg: Leg, side: Side, price: int) -> int:
        return price

    def worst_held(self, first: HeldLeg, second: HeldLeg) -> tuple[int, int]:
        """Return what it loses where the price doubles, and where it falls to nothing.

        What the one direction loses the other gains: an order that closes adds nothing. A position
        of which rounding left no cost counts as one micro-unit: nothing held is no risk.
        """
        cost = first.cost_settled_micro
        if not cost and first.settled:
            cost = 1 if first.settled > 0 else -1
        return -cost, cost

    def margin_micro(self, cost_micro: int) -> int:
        """Return what a position or order of this value takes of free cash, rounded up."""
        return ceil_div(abs(cost_micro), self.leverage)


def closing(held: int, reserved: int, side: Side, size: int) -> int:
    """Return how much of an order closes what is held, beside what other orders may close."""
    against = -held if side is Side.BUY else held
    return max(0, min(size, against - reserved))
