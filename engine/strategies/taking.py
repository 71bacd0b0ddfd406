"""What strategies share that take a position at the touch: the worst price, and how much it buys.

Not a strategy: no class here has parameters.
"""

from __future__ import annotations

from engine.caches.views import BookView
from engine.domain.instruments import Kind
from engine.domain.products import opening_price
from engine.strategies.door import Context

BPS = 10_000


def worst_price(view: BookView, slippage_bps_max: float, *, buying: bool) -> int | None:
    """Return the touch and the slippage beyond it, in price increments.

    None = the book is not trusted, or has no such side.
    """
    instrument = view.instrument
    touch = view.best_ask if buying else view.best_bid
    if touch is None or not view.trusted:
        return None
    slip = touch * slippage_bps_max / BPS
    limit = round(touch + slip if buying else touch - slip)
    return max(instrument.tick, min(instrument.product.top, limit))


def position_for(context: Context, limit: int | None, part: float, share: float) -> int:
    """Return the signed position that `part` (-1 to 1) of `share` of the capital pays for.

    In size increments, in whole lots, at `limit`. 0 where there is no price, or where it would be
    short of what cannot be sold short.
    """
    instrument, long = context.view.instrument, part > 0
    if limit is None or not part or (not long and instrument.kind is Kind.SPOT):
        return 0
    cost = max(1, opening_price(instrument.product, limit, long=long))
    have = context.inventory.position
    per_micro = instrument.value_divisor / cost
    whole = context.capital_micro * share * abs(part) * per_micro
    paid = abs(have) + context.inventory.cash_free_micro * per_micro
    size = int(min(whole, paid)) // instrument.lot * instrument.lot
    return size if long else -size
