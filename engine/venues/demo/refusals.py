"""The venue's own refusals, with its exact texts (polymarket.md §3.3), in its own order.

Market accepting → tick → minimum → decimals → order type → expiry → duplicate; money and crossing
come after these because they need the ledger and the book. Takes values, gives a refusal or None.
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Leg
from engine.domain.money import money_text
from engine.domain.orders import OrderType, RejectReason
from engine.venues.demo.accounts import ExchangeMarket
from engine.venues.demo.orders import Ticket

ExchangeRefusal = tuple[RejectReason, str]

NO_BOOK = "No orderbook exists for the requested token id"
NOT_READY = "the market is not yet ready to process new orders"
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


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange asks of every order and customer, in nanoseconds."""

    gtd_min_ns: int = 180_000_000_000
    """Shortest accepted time to a GTD order's expiry."""
    gtd_early_ns: int = 60_000_000_000
    """How long before its expiry a GTD order is removed."""
    beat_timeout_ns: int = 10_000_000_000
    """Longest accepted time between two heartbeats of an armed key."""
    beat_check_ns: int = 5_000_000_000
    """How often heartbeats are checked."""
    ended_kept_max: int = 5_000
    """Ended orders remembered per customer, for questions and duplicates."""
    fills_kept_max: int = 20_000
    """Fills remembered per customer."""
    redeem_mined_ns: int = 2_000_000_000
    """From the request to redeem until its transaction is mined."""
    redeem_confirmed_ns: int = 2_000_000_000
    """From there until it is confirmed, and pays."""
    auto_redeem: bool = False
    """The exchange redeems for its customers, too, as soon as a market is resolved."""


def refuse_terms(
    ticket: Ticket, market: ExchangeMarket, rules: Rules, now_ns: int
) -> ExchangeRefusal | None:
    """Check what depends on the ticket and the instrument alone."""
    instrument = market.instrument
    if ticket.leg is Leg.BASE:
        return RejectReason.OTHER, BAD_PAYLOAD
    identity, tick, price = ticket.identity, instrument.tick, ticket.price
    if price % tick or not tick <= price <= market.one - tick:
        shown, grid = instrument.price_text(price), instrument.price_text(tick)
        text = f"Price ({shown}) breaks minimum tick size rule: {grid}"
        return RejectReason.OFF_TICK, f"order {identity} is invalid. {text}"
    if ticket.size < max(instrument.size_min, 1):
        size = instrument.size_text(ticket.size)
        least = instrument.size_text(instrument.size_min)
        text = f"Size ({size}) lower than the minimum: {least}"
        return RejectReason.BELOW_MIN, f"order {identity} is invalid. {text}"
    if ticket.size % instrument.lot:
        return RejectReason.OTHER, BAD_DECIMALS
    if ticket.post_only and ticket.type in (OrderType.FAK, OrderType.FOK):
        return RejectReason.OTHER, BAD_PAYLOAD
    if (ticket.type is OrderType.GTD) is not (ticket.expires_ns is not None):
        return RejectReason.EXPIRY, BAD_EXPIRY
    if ticket.expires_ns is not None and ticket.expires_ns < now_ns + rules.gtd_min_ns:
        return RejectReason.EXPIRY, BAD_EXPIRY
    return None


def refuse_duplicate(ticket: Ticket) -> ExchangeRefusal:
    """Say that the identity was used before."""
    return RejectReason.DUPLICATE, f"order {ticket.identity} is invalid. Duplicated."


def refuse_small(amount_micro: int, least_micro: int) -> ExchangeRefusal:
    """Say that a marketable order is worth too little."""
    amount, least = money_text(amount_micro), money_text(least_micro)
    text = f"invalid amount for a marketable BUY order (${amount}), min size: ${least}"
    return RejectReason.BELOW_MIN, text


def refuse_funds(balance: int, reserved: int, wanted: int) -> ExchangeRefusal:
    """Say that there is not enough to pay or to deliver, with the venue's details."""
    details = f"balance: {balance}, sum of matched orders: {reserved}, order amount: {wanted}"
    text = f"{NOT_ENOUGH}: the balance is not enough -> {details}"
    return RejectReason.NO_FUNDS, text
