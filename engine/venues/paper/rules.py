"""The venue's own rejections, with its exact texts (reference of the trading API, error strings).

Checked in the venue's order: market, payload, tick, minimum, amounts, marketable minimum, expiry,
duplicate, balance, crossing. Linear venues are answered with the same sentences.
"""

from __future__ import annotations

from engine.domain.instruments import Instrument, Kind, Leg, Side
from engine.domain.money import money_text
from engine.domain.orders import AT_ONCE, Order, RejectReason
from engine.venues.paper.account import Wallet

_BASE, _BINARY = Leg.BASE, Kind.BINARY

Refusal = tuple[RejectReason, str]

NO_ORDERBOOK = "No orderbook exists for the requested token id"
NOT_READY = "the market is not yet ready to process new orders"
BAD_PAYLOAD = "Invalid order payload"
BAD_EXPIRATION = "invalid expiration"
WOULD_CROSS = "invalid post-only order: order crosses book"
FOK_KILLED = "order couldn't be fully filled. FOK orders are fully filled or killed."
FAK_KILLED = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no "
    "match is found."
)
BUY_ACCURACY = (
    "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, taker "
    "amount a max of 2 decimals"
)
CANCEL_NOT_FOUND = "Order not found or already canceled"
CANCEL_MATCHED = "Order already matched"
CANCEL_DELAYED = "order can't be found - already canceled or matched"
NO_BALANCE_LEFT = "CANCELED_NOT_ENOUGH_BALANCE"
NOT_RESOLVED = "the market is not resolved"
MARKET_RESOLVED = "CANCELED_MARKET_RESOLVED"
MARKET_CLOSED = "CANCELED_MARKET_NOT_FOUND"
TICK_CHANGED = "INVALID"


def refuse(order: Order, instrument: Instrument) -> RejectReason | None:
    """Return why the order's own fields are illegal, or None. `text_of` says it in words."""
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


def text_of(reason: RejectReason, order: Order, identity: str, instrument: Instrument) -> str:
    """Return the venue's sentence for what `refuse` found."""
    if reason is RejectReason.OFF_TICK:
        price = instrument.price_text(order.price)
        tick = instrument.price_text(instrument.tick)
        return f"order {identity} is invalid. Price ({price}) breaks minimum tick size rule: {tick}"
    if reason is RejectReason.BELOW_MIN:
        size = instrument.size_text(order.size)
        least = instrument.size_text(instrument.size_min)
        return f"order {identity} is invalid. Size ({size}) lower than the minimum: {least}"
    return BUY_ACCURACY if order.size % instrument.lot else BAD_PAYLOAD


def refuse_small_taker(order: Order, instrument: Instrument) -> Refusal | None:
    """Return why a marketable BUY is too small, or None."""
    least = instrument.notional_min_micro
    if not least or order.side is Side.SELL:
        return None
    value = instrument.cost_micro(order.price, order.size)
    if value >= least:
        return None
    return RejectReason.BELOW_MIN, (
        f"invalid amount for a marketable BUY order (${money_text(value)}), "
        f"min size: ${money_text(least)}"
    )


def duplicate(identity: str) -> Refusal:
    return RejectReason.DUPLICATE, f"order {identity} is invalid. Duplicated."


def no_cash(wallet: Wallet, need_micro: int) -> Refusal:
    """Return the refusal of a BUY that free cash does not cover, in micro-units."""
    held = wallet.reserved + wallet.blocked
    return _no_funds(wallet.cash, held, need_micro)


def no_tokens(settled: int, reserved: int, size: int) -> Refusal:
    return _no_funds(settled, reserved, size)


def _no_funds(balance: int, held: int, amount: int) -> Refusal:
    return RejectReason.NO_FUNDS, (
        "not enough balance / allowance: the balance is not enough -> "
        f"balance: {balance}, sum of matched orders: {held}, order amount: {amount}"
    )
