"""What backs a perpetual, and the mark at which its venue would take it over.

Cross: all cash of the account without what isolated positions have for themselves, and the open PnL
of its cross positions at their marks. Isolated: the position's own initial margin. A venue whose
tiers go by size adds the taker's fee to the maintenance rate (OKX). The formulas are those of
`engine.domain.products.margin`. The price is an estimate: only a venue liquidates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import UNSET

from engine.domain.instruments import Instrument
from engine.domain.legs import Side
from engine.domain.products.margin import Measure, liquidation_price, maintenance, unrealised
from engine.domain.products.position import SignedPosition


class MarkedPosition(NamedTuple):
    """A position of an account, netted as its venue does, and its mark in 1e-8; None = unknown."""

    of: Instrument
    held: SignedPosition
    mark_e8: int | None


class Beside(NamedTuple):
    """What other positions take of an account's cash, in micro-units."""

    due: int
    """Maintenance margin of the other cross positions."""
    gains: int
    """Their open PnL."""
    apart: int
    """What isolated positions have for themselves."""


def beside(own: Instrument, others: Iterable[MarkedPosition]) -> Beside | None:
    """Return what an account's other positions take; None = one that counts has no known mark."""
    due = gains = apart = 0
    for of, held, mark_e8 in others:
        if not held.size or not is_cross(own):
            continue
        if not is_cross(of):
            apart += of.product.margin_micro(held.cost)
            continue
        if mark_e8 is None:
            return None
        due += due_micro(of, held.size, mark_e8)
        gains += unrealised(of.contract, held.exposure, mark_e8)
    return Beside(due, gains, apart)


def due_micro(of: Instrument, size: int, mark_e8: int) -> int:
    """Return the maintenance margin of a signed size at a mark; 0 where its terms say no margin."""
    if of.margin is UNSET:
        return 0
    return maintenance(of.contract, of.margin.tiers, size, mark_e8, fee_ppm=_fee_ppm(of))


def liquidated_at(of: Instrument, held: SignedPosition, cash: int, others: Beside) -> int | None:
    """Return the mark in 1e-8 at which a position is liquidated; None = at no price.

    `cash` = the account's settled cash in micro-units.
    """
    if of.margin is UNSET:
        return None
    return liquidation_price(
        of.contract,
        of.margin.tiers,
        held.exposure,
        cash - others.apart if is_cross(of) else of.product.margin_micro(held.cost),
        others_maintenance=others.due,
        others_pnl=others.gains,
        fee_ppm=_fee_ppm(of),
    )


def worst_after(now: int, cost: int, live: int, order: int, side: Side) -> int:
    """Return what a position held long or short can lose with one more order, in micro-units.

    A long loses its cost where the price falls to nothing, a short as much where it doubles
    (`engine.domain.products.perpetual`): an order that closes adds nothing to what could be lost
    `now`. `live` = what live orders of its side, and `order` = what it itself can lose, fees
    included.
    """
    return max(now, (cost if side is Side.BUY else -cost) + live + order)


def is_cross(of: Instrument) -> bool:
    """Say whether the account's cash backs it; one whose terms say no margin is held in full."""
    return of.margin is not UNSET and not of.margin.isolated


def _fee_ppm(of: Instrument) -> int:
    by_size = of.margin is not UNSET and of.margin.tiers.measure is Measure.SIZE
    return of.fees.taker_rate_ppm if by_size else 0
