"""A thing with one price: bought with the currency and sold for it, without an upper end.

Its one leg is BASE, and a level is its price. It is sold from what is held: what is held short is a
perpetual.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.domain.legs import Leg, Side
from engine.domain.products.product import UNBOUNDED, HeldLeg, LegPrice, ProductTerms
from engine.errors import BrokenInvariant

_BASE, _BUY = Leg.BASE, Side.BUY
_LEGS = (_BASE,)


class Linear(msgspec.Struct, frozen=True, gc=False):
    """The linear product of one instrument's terms."""

    currency: str

    legs = _LEGS
    second = None
    signed = False
    bid_sells = None
    ask_sells: ClassVar[Leg | None] = _BASE
    opens_asks = False
    one = 0
    end = UNBOUNDED
    top = UNBOUNDED
    minimum_rests = True
    in_cents = False
    range_text = "above 0"

    @classmethod
    def of(cls, terms: ProductTerms) -> Linear:
        """Return the product of these terms."""
        return cls(terms.currency)

    @property
    def price_unit(self) -> str:
        return self.currency

    def level(self, leg: Leg, price: int) -> int:
        return price

    def sale(self, level: int, bid: bool) -> LegPrice:
        if bid:
            raise BrokenInvariant("a sale of a thing with one price is no bid")
        return _BASE, level

    def opening(self, level: int, bid: bool) -> LegPrice:
        if not bid:
            raise BrokenInvariant("nothing with one price is opened by a sale")
        return _BASE, level

    def opening_side(self, bid: bool) -> Side:
        return _BUY

    def margin_micro(self, cost_micro: int) -> int:
        return 0

    def loss_unit(self, leg: Leg, side: Side, price: int) -> int:
        """Return the price of a buy; a sale of what is held costs no more than the holding did."""
        return price if side is _BUY else 0

    def worst_held(self, first: HeldLeg, second: HeldLeg) -> tuple[int, int]:
        """Return (0, what is held cost). Raises BrokenInvariant for a short: no loss bounds it."""
        if first.settled + first.pending < 0 or first.settled + first.leaving < 0:
            raise BrokenInvariant("a short holding has no worst case")
        return 0, first.cost_settled_micro + first.cost_pending_micro + first.cost_leaving_micro

    def mid2(self, leg: Leg, mid2: int) -> int:
        return mid2

    def pair_micro(self, size: int) -> int | None:
        return None

    def fee_peak(self, price: int, side: Side) -> int:
        return price
