"""A binary: two tokens of which one pays 1.0 of the currency, and the other nothing.

Levels are prices of YES. BUY YES and SELL NO are bids, SELL YES and BUY NO asks; a NO at p is a YES
at 1 − p. The functions on plain numbers serve tables that hold no instrument.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from engine.domain.legs import Leg, Side
from engine.domain.money import MICRO
from engine.domain.products.product import HeldLeg, LegPrice, ProductTerms

_YES, _NO, _BUY = Leg.YES, Leg.NO, Side.BUY
PAIR = _YES, _NO
"""Both legs, the first one first."""

Number = TypeVar("Number", int, float)


def mirrored(leg: str, price: Number, one: Number) -> Number:
    """Return a leg's own price as a level, in the unit of `one`; prices of BASE are levels."""
    return one - price if leg == _NO else price


def pays_micro(leg: str, pays_yes_micro: int) -> int:
    """Return what one token of a leg pays where one YES pays so much, in micro-units."""
    return MICRO - pays_yes_micro if leg == _NO else pays_yes_micro


class Binary(msgspec.Struct, frozen=True, gc=False):
    """The binary of one instrument's terms."""

    one: int
    """The price of certainty: 1.0 of the currency in price increments."""
    end: int
    top: int
    divisor: int

    legs = PAIR
    second = _NO
    signed = False
    bid_sells = _NO
    ask_sells = _YES
    opens_asks = True
    minimum_rests = False
    in_cents = True
    price_unit = "¢ of this leg"
    range_text = "between 0¢ and 100¢"

    @classmethod
    def of(cls, terms: ProductTerms) -> Binary:
        """Return the product of these terms."""
        one = 10**terms.price_decimals
        return cls(one, one, one - terms.tick, terms.value_divisor)

    def level(self, leg: Leg, price: int) -> int:
        return self.one - price if leg is _NO else price

    def sale(self, level: int, bid: bool) -> LegPrice:
        return (_NO, self.one - level) if bid else (_YES, level)

    def opening(self, level: int, bid: bool) -> LegPrice:
        return (_YES, level) if bid else (_NO, self.one - level)

    def opening_side(self, bid: bool) -> Side:
        return _BUY

    def margin_micro(self, cost_micro: int) -> int:
        return 0

    def loss_unit(self, leg: Leg, side: Side, price: int) -> int:
        return price if side is _BUY else self.one - price

    def worst_held(self, first: HeldLeg, second: HeldLeg) -> tuple[int, int]:
        """Return the worst loss of a holding if YES wins, and if NO does.

        For each outcome o: the cost of the settled tokens less what those of leg o pay, and of each
        pending buy and unsettled sale the worse of settled and void: a buy that settles costs, a
        sale that becomes void gives its tokens back with what they cost.
        """
        settled = first.cost_settled_micro + second.cost_settled_micro
        sure = settled + second.cost_pending_micro + second.cost_leaving_micro
        if_first = sure + self._winner_micro(first)
        sure = settled + first.cost_pending_micro + first.cost_leaving_micro
        return if_first, sure + self._winner_micro(second)

    def _winner_micro(self, leg: HeldLeg) -> int:
        """Return what a winning leg adds to the loss beyond the cost of the settled tokens."""
        one, divisor = self.one, self.divisor
        loss = -(leg.settled * one // divisor)
        if leg.pending:
            loss += max(0, leg.cost_pending_micro - leg.pending * one // divisor)
        if leg.leaving:
            loss += max(0, leg.cost_leaving_micro - leg.leaving * one // divisor)
        return loss

    def mid2(self, leg: Leg, mid2: int) -> int:
        return 2 * self.one - mid2 if leg is _NO else mid2

    def pair_micro(self, size: int) -> int | None:
        return self.one * size // self.divisor

    def fee_peak(self, price: int, side: Side) -> int:
        """Return half of certainty where a fill may come there: p·(1 − p) is largest at it."""
        half = self.one // 2
        return min(price, half) if side is _BUY else max(price, half)
