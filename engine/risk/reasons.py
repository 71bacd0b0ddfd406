"""Why risk says no: the closed set of reasons, each with the sentence a person reads."""

from __future__ import annotations

from enum import StrEnum


class DenyReason(StrEnum):
    """Why an order was not permitted, in the order the gate looks."""

    LATCHED = "latched"
    KILL_DRAWDOWN = "kill_drawdown"
    DRAWDOWN = "drawdown"
    DAILY_LOSS = "daily_loss"
    STALE_DATA = "stale_data"
    OPEN_ORDERS = "open_orders"
    ORDER_TOO_SMALL = "order_too_small"
    ORDER_TOO_LARGE = "order_too_large"
    EXPOSURE_INSTRUMENT = "exposure_instrument"
    EXPOSURE_MARKET = "exposure_market"
    EXPOSURE_BOT = "exposure_bot"
    EXPOSURE_ACCOUNT = "exposure_account"
    EXPOSURE_TOTAL = "exposure_total"


_FITS = "Not even the smallest legal size fits under the "

MEANINGS: dict[DenyReason, str] = {
    DenyReason.LATCHED: "The KILL latch is set until a person releases it with a typed reason.",
    DenyReason.KILL_DRAWDOWN: "Equity fell from its peak beyond the KILL limit; a person releases.",
    DenyReason.DRAWDOWN: "Equity fell from its peak by more than the limit; a person must release.",
    DenyReason.DAILY_LOSS: "The loss since 00:00 UTC is over its limit; it lifts the next UTC day.",
    DenyReason.STALE_DATA: "The last proof of the book is missing or older than its limit.",
    DenyReason.OPEN_ORDERS: "One more order would be over the maximum number of open orders.",
    DenyReason.ORDER_TOO_SMALL: "The order is below the venue's minimum size or the minimum value.",
    DenyReason.ORDER_TOO_LARGE: _FITS + "maximum order value.",
    DenyReason.EXPOSURE_INSTRUMENT: _FITS + "instrument's worst-case loss limit.",
    DenyReason.EXPOSURE_MARKET: _FITS + "market's worst-case loss limit.",
    DenyReason.EXPOSURE_BOT: _FITS + "bot's worst-case loss limit, or its capital.",
    DenyReason.EXPOSURE_ACCOUNT: _FITS + "account's worst-case loss limit.",
    DenyReason.EXPOSURE_TOTAL: _FITS + "worst-case loss limit over all accounts of one mode.",
}
"""One sentence per reason; the README's table is made from it."""
