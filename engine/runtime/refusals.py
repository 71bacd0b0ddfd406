"""What a venue of our own says when it refuses: Polymarket's exact texts (polymarket.md §3.3).

The demo exchange and the paper venue judge by themselves; the sentences are the same. `below_value`
alone is of a rule that Polymarket does not have.
"""

from __future__ import annotations

from engine.domain.instruments import Instrument
from engine.domain.money import money_text
from engine.domain.orders import Identity, RejectReason

Refusal = tuple[RejectReason, str]

NO_BOOK = "No orderbook exists for the requested token id"
NOT_READY = "the market is not yet ready to process new orders"
WOULD_OPEN = "reduce-only: the position it could close is smaller by now"
BAD_PAYLOAD = "Invalid order payload"
BAD_DECIMALS = (
    "invalid amounts, the buy orders maker amount supports a max accuracy of 4 decimals, "
    "taker amount a max of 2 decimals"
)
BAD_EXPIRY = "invalid expiration"
POST_ONLY_CROSSES = "invalid post-only order: order crosses book"
FOK_KILLED = "order couldn't be fully filled. FOK orders are fully filled or killed."
FAK_KILLED = (
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found."
)
NOT_ENOUGH = "not enough balance / allowance"
BAD_KEY = "Unauthorized/Invalid api key"
CANCEL_GONE = "Order not found or already canceled"
CANCEL_MATCHED = "Order already matched"
CANCEL_DELAYED = "order can't be canceled while it is delayed"
RESTARTING = "the matching engine is restarting"
POST_ONLY_MODE = "post-only mode: only post-only orders and cancels are allowed"
CANCEL_ONLY_MODE = (
    "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
)
DISABLED_MODE = "Trading is currently disabled. Check polymarket.com for updates"


def off_tick(identity: Identity, instrument: Instrument, price: int) -> Refusal:
    """Say that a price is not on the grid."""
    shown, grid = instrument.price_text(price), instrument.price_text(instrument.tick)
    text = f"Price ({shown}) breaks minimum tick size rule: {grid}"
    return RejectReason.OFF_TICK, f"order {identity} is invalid. {text}"


def below_min(identity: Identity, instrument: Instrument, size: int) -> Refusal:
    """Say that an order is too small."""
    shown, least = instrument.size_text(size), instrument.size_text(instrument.size_min)
    text = f"Size ({shown}) lower than the minimum: {least}"
    return RejectReason.BELOW_MIN, f"order {identity} is invalid. {text}"


def duplicate(identity: Identity) -> Refusal:
    """Say that the identity was used before."""
    return RejectReason.DUPLICATE, f"order {identity} is invalid. Duplicated."


def too_small(amount_micro: int, least_micro: int) -> Refusal:
    """Say that a marketable order is worth too little."""
    amount, least = money_text(amount_micro), money_text(least_micro)
    text = f"invalid amount for a marketable BUY order (${amount}), min size: ${least}"
    return RejectReason.BELOW_MIN, text


def below_value(amount_micro: int, least_micro: int) -> Refusal:
    """Say that an order of a linear thing is worth too little, taking or resting."""
    amount, least = money_text(amount_micro), money_text(least_micro)
    return RejectReason.BELOW_MIN, f"order value ({amount}) lower than the minimum: {least}"


def reduces_nothing(held: str, queued: str) -> Refusal:
    """Say that a reduce-only order has nothing to close (Binance -2022, OKX 51169)."""
    text = (
        f"ReduceOnly Order is rejected: the position is {held} and orders of {queued} close it "
        "already"
    )
    return RejectReason.REDUCE_ONLY, text


def no_funds(balance: int, reserved: int, wanted: int) -> Refusal:
    """Say that there is not enough to pay or to deliver, with the venue's details."""
    details = f"balance: {balance}, sum of matched orders: {reserved}, order amount: {wanted}"
    text = f"{NOT_ENOUGH}: the balance is not enough -> {details}"
    return RejectReason.NO_FUNDS, text
