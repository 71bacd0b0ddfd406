"""Gates, rules and reasons in plain words, with how a value is held against its limit."""

from __future__ import annotations

from engine.domain.intents import ResidualReason

GATES: dict[str, tuple[str, str]] = {
    "healthy": ("the account may place at all", ""),
    "market_open": ("the market is open", ""),
    "book_trusted": ("the book is whole", ""),
    "data_age_ms": ("the book was proven lately, ms", "\N{LESS-THAN OR EQUAL TO}"),
    "two_sided": ("the book has both sides", ""),
    "uncrossed": ("the book is not crossed", ""),
    "started": ("the window has begun, s ago", "\N{GREATER-THAN OR EQUAL TO}"),
    "not_closing": ("time is left before the close, s", ">"),
    "size_of_a_lot": ("the size is at least a lot", "\N{GREATER-THAN OR EQUAL TO}"),
    "event_cooldown": ("the pause after a jump is over, s left", "\N{LESS-THAN OR EQUAL TO}"),
    "strike_proven": ("the strike is proven", ""),
    "oracle_age_ms": ("the oracle spoke lately, ms", "\N{LESS-THAN OR EQUAL TO}"),
    "reference_age_ms": ("the reference price is fresh, ms", "\N{LESS-THAN OR EQUAL TO}"),
    "basis_ready": ("oracle and reference were compared, pairs", "\N{GREATER-THAN OR EQUAL TO}"),
    "sigma_ready": ("volatility was watched, s", "\N{GREATER-THAN OR EQUAL TO}"),
    "close_known": ("the close is announced", ""),
    "fair_known": ("a fair value can be given", ""),
    "settlement_finite": ("the settlement can be modelled", ""),
    "twap_covered": ("the average is covered by prices", "\N{GREATER-THAN OR EQUAL TO}"),
    "price_in_range": ("the price is inside the range, limit", "against"),
    "fair_gap": ("fair value and book agree", "\N{LESS-THAN OR EQUAL TO}"),
}
"""Gate → (words, sign between value and limit; empty where it only holds or not)."""

RULES = {
    "latched": "KILL latch is not set",
    "kill_drawdown": "no fall from the peak that sets KILL",
    "drawdown": "no fall from the peak that stops the account",
    "daily_loss": "today's loss budget is not used up",
    "stale_data": "age of the book",
    "open_orders": "open orders",
    "order_too_small": "smallest order",
    "order_too_large": "largest order value",
    "exposure_instrument": "worst-case loss, instrument",
    "exposure_market": "worst-case loss, market",
    "exposure_bot": "worst-case loss, bot",
    "exposure_account": "worst-case loss, account",
    "exposure_total": "worst-case loss, all accounts of the mode",
}

R = ResidualReason
LEFT: dict[ResidualReason, str] = {
    R.BELOW_MIN: "below the venue's minimum",
    R.DUST: "less than a hundredth of a share",
    R.NO_CASH: "not enough free cash",
    R.NO_INVENTORY: "not enough settled tokens",
    R.OUT_OF_RANGE: "no legal price there",
    R.OWN_CROSS: "it would meet our own order",
    R.WOULD_CROSS: "it would take instead of rest",
    R.NOT_MARKETABLE: "nobody offers that price now",
    R.WAITING_CANCEL: "waits until the order it replaces is proven gone",
    R.EXPIRED_INTENT: "the wish had expired",
    R.RISK: "risk left no room for it",
    R.BLIND: "the account or the book is blind",
    R.COOLDOWN: "pause after refusals",
    R.MARKET_CLOSED: "the market is closed",
}
