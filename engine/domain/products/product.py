"""What every product answers, and what it is asked about."""

from __future__ import annotations

from typing import Protocol

from engine.domain.legs import Leg, Side

LegPrice = tuple[Leg, int]
"""(leg, price in that leg's own increments)."""

UNBOUNDED = 2**62
"""A price nothing reaches: linear instruments have no highest price."""


class ProductTerms(Protocol):
    """The part of an instrument a product is made from."""

    @property
    def currency(self) -> str: ...
    @property
    def price_decimals(self) -> int: ...
    @property
    def size_decimals(self) -> int: ...
    @property
    def tick(self) -> int: ...
    @property
    def value_divisor(self) -> int: ...
    @property
    def leverage(self) -> int: ...


class HeldLeg(Protocol):
    """What is held of one leg in increments, and what each part was paid, in micro-units.

    `settled` can be sold and is without what is `leaving`: sold, not settled, back if that sale
    becomes void. `pending` has been bought and may vanish.
    """

    settled: int
    pending: int
    leaving: int
    cost_settled_micro: int
    cost_pending_micro: int
    cost_leaving_micro: int


class Product(Protocol):
    """The rules of one kind of contract, for the terms of one instrument."""

    @property
    def legs(self) -> tuple[Leg, ...]:
        """What an order can trade; levels are prices of the first."""

    @property
    def second(self) -> Leg | None:
        """The leg that gains where the first one loses; None = there is none."""

    @property
    def signed(self) -> bool:
        """True where a position is held long or short, and only what it gains moves cash."""

    @property
    def one(self) -> int:
        """What the prices of both legs sum to; 0 = there is no upper end and no second leg."""

    @property
    def end(self) -> int:
        """A price no order can have, and nor can one above it."""

    @property
    def top(self) -> int:
        """The highest legal price; beyond every real one where there is no bound."""

    @property
    def minimum_rests(self) -> bool:
        """True where the venue's smallest value holds for orders that rest, too."""

    @property
    def in_cents(self) -> bool:
        """True where people and venues quote a price in hundredths of the currency."""

    @property
    def price_unit(self) -> str:
        """What a price is quoted in, for people."""

    @property
    def range_text(self) -> str:
        """Between what a price must lie, for people."""

    def level(self, leg: Leg, price: int) -> int:
        """Return a leg's own price as a level, and a level as the price of that leg."""

    @property
    def bid_sells(self) -> Leg | None:
        """The leg whose sale is a bid; None = no sale is."""

    @property
    def ask_sells(self) -> Leg | None:
        """The leg whose sale is an ask, of what is held; None = a sale needs nothing held."""

    @property
    def opens_asks(self) -> bool:
        """True where cash can open a position by an ask, as it always can by a bid."""

    def sale(self, level: int, bid: bool) -> LegPrice:
        """Return what to sell, and at which price, to trade at a level in this direction."""

    def opening(self, level: int, bid: bool) -> LegPrice:
        """Return what opens, and at which price, to trade at a level in this direction."""

    def opening_side(self, bid: bool) -> Side:
        """Return whether it is bought or sold there: only what is signed is opened by a sale."""

    def margin_micro(self, cost_micro: int) -> int:
        """Return what holding this value takes of free cash beside what was paid for it."""

    def loss_unit(self, leg: Leg, side: Side, price: int) -> int:
        """Return what one increment of a live order can lose if it fills, in price increments."""

    def worst_held(self, first: HeldLeg, second: HeldLeg) -> tuple[int, int]:
        """Return the worst loss of a holding if the first leg wins, and if it loses.

        Each unsettled fill settles or becomes void, whichever is worse. Where there is one leg the
        second figure alone counts.
        """

    def mid2(self, leg: Leg, mid2: int) -> int:
        """Return twice the mid of a leg from twice the mid of the first."""

    def pair_micro(self, size: int) -> int | None:
        """Return what so many pairs of both legs bring when merged; None = nothing is merged."""

    def fee_peak(self, price: int, side: Side) -> int:
        """Return the price, `price` or better, at which a taker's fee by formula is largest."""
