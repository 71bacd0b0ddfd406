"""The venue's own rejections, with its exact texts (reference of the trading API, error strings).

Checked in the venue's order: market, payload, tick, minimum, amounts, marketable minimum, expiry,
duplicate, balance, crossing. Linear venues are answered with the same sentences.
"""

from __future__ import annotations

from engine.domain.instruments import Instrument, Kind, Leg, Side
from engine.domain.orders import AT_ONCE, Identity, Order, RejectReason
from engine.runtime import refusals
from engine.runtime.refusals import Refusal

_BASE, _BINARY = Leg.BASE, Kind.BINARY

CANCEL_DELAYED = "order can't be found - already canceled or matched"
NO_BALANCE_LEFT = "CANCELED_NOT_ENOUGH_BALANCE"
NOT_RESOLVED = "the market is not resolved"
MARKET_RESOLVED = "CANCELED_MARKET_RESOLVED"
MARKET_CLOSED = "CANCELED_MARKET_NOT_FOUND"
TICK_CHANGED = "INVALID"


def refuse(order: Order, instrument: Instrument) -> RejectReason | None:
    """Return why the order's own fields are illegal, or None. `in_words` says it."""
    binary = instrument.kind is _BINARY
    size, price, tick = order.size, order.price, instrument.tick
    if binary is (order.leg is _BASE) or size <= 0 or price <= 0:
        return RejectReason.OTHER
    if order.post_only and order.type in AT_ONCE:
        return RejectReason.OTHER
    if price % tick or (binary and not tick <= price <= instrument.one - tick):
        return RejectReason.OFF_TICK
    if size < instrument.size_min:
        return RejectReason.BELOW_MIN
    return RejectReason.OTHER if size % instrument.lot else None


def in_words(
    reason: RejectReason | None, order: Order, identity: Identity, instrument: Instrument
) -> Refusal:
    """Return what `refuse` found, with the venue's sentence."""
    if reason is RejectReason.OFF_TICK:
        return refusals.off_tick(identity, instrument, order.price)
    if reason is RejectReason.BELOW_MIN:
        return refusals.below_min(identity, instrument, order.size)
    odd = order.size % instrument.lot
    return RejectReason.OTHER, refusals.BAD_DECIMALS if odd else refusals.BAD_PAYLOAD


def refuse_small_taker(order: Order, instrument: Instrument) -> Refusal | None:
    """Return why a marketable BUY is too small, or None."""
    least = instrument.notional_min_micro
    if not least or order.side is Side.SELL:
        return None
    value = instrument.cost_micro(order.price, order.size)
    return refusals.too_small(value, least) if value < least else None
