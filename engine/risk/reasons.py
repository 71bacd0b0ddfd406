"""Why risk says no: the closed set of reasons, each with the sentence a person reads."""

from __future__ import annotations

from enum import StrEnum

from engine.domain.limits import LIMITS

Numbers = tuple[tuple[str, int], ...]
"""What was looked at, by name."""


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
    LIQUIDATION_BUFFER = "liquidation_buffer"
    EXPOSURE_INSTRUMENT = "exposure_instrument"
    EXPOSURE_MARKET = "exposure_market"
    EXPOSURE_BOT = "exposure_bot"
    EXPOSURE_ACCOUNT = "exposure_account"
    RATE_UNKNOWN = "rate_unknown"
    EXPOSURE_TOTAL = "exposure_total"


_OF_LIMITS = {row.reason: row.sentence for row in LIMITS.values() if row.reason}
_OTHERS = {
    "latched": "The KILL latch is set until a person releases it with a typed reason.",
    "rate_unknown": "An account of the mode in another currency has exposure, and no rate of it is "
    "known.",
}

MEANINGS: dict[DenyReason, str] = {
    reason: _OTHERS.get(reason) or _OF_LIMITS[reason] for reason in DenyReason
}
"""One sentence per reason, of the limit that denies; the documents' table is made from it."""
