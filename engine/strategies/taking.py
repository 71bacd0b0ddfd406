"""What strategies share that take a position at the touch.

The worst price, how much it buys, and the target, the basket and the evaluation that say so. Not a
strategy: no class here has parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.caches.views import BookView
from engine.domain.decisions import Gate
from engine.domain.instruments import Instrument, Kind
from engine.domain.intents import Basket, Intent, Target, Urgency
from engine.domain.money import MICRO
from engine.domain.products import opening_price
from engine.strategies.door import Context, Evaluation, decided

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


def crossing_target(
    context: Context,
    view: BookView,
    position: int,
    limit: int,
    until_ns: int,
    *,
    confidence: float = 1.0,
) -> Target:
    """Return the target of a signed position in one book, filled at once or not at all.

    `position` in size increments, `limit` the worst price in price increments, `until_ns` when it
    is no longer wanted, in nanoseconds since the epoch.
    """
    return Target(
        bot=context.bot,
        instrument=view.instrument.id,
        position=position,
        limit_price=limit,
        urgency=Urgency.CROSS,
        valid_until_ns=until_ns,
        confidence=confidence,
        decision=context.decision,
    )


def basket_of(context: Context, targets: Sequence[Target], until_ns: int) -> Basket:
    """Return targets that are placed together or not at all; `until_ns` as of `crossing_target`."""
    return Basket(
        bot=context.bot,
        targets=tuple(targets),
        valid_until_ns=until_ns,
        decision=context.decision,
    )


def stated(
    context: Context,
    now_ns: int,
    *,
    regime: str,
    gates: tuple[Gate, ...],
    inputs: tuple[tuple[str, float], ...] = (),
    intents: tuple[Intent, ...] = (),
) -> Evaluation:
    """Return what one look at `context.view` gave: its intents, and the record of why.

    The record names the first intent; without one its outcome is the gate that failed, or `hold`.
    """
    decision = decided(
        context,
        now_ns,
        regime=regime,
        gates=gates,
        inputs=inputs,
        intent=intents[0] if intents else None,
    )
    return Evaluation(decision=decision, intents=intents)


def units_of(instrument: Instrument, size: int) -> float:
    """Return size increments in units of the base: two instruments may count in different ones."""
    return float(size / 10**instrument.size_decimals)


def units_min(view: BookView) -> float:
    """Return the least an order may be at this venue and bid, in units of the base."""
    one = view.instrument
    worth = one.notional_min_micro / MICRO * one.price_unit / (view.best_bid or 1)
    return max(units_of(one, one.smallest), worth)
