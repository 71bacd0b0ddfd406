"""How much of its capital a bot may put into one position: pure functions, money in micro-units.

Each takes plain numbers and gives an amount that is never less than nothing and never more than
the capital. Nothing here borrows: a position is paid for.
"""

from __future__ import annotations

from math import isfinite

from engine.domain.settings import RiskLimits


def percent_of_capital(capital_micro: int, percent: float) -> int:
    """Return this part of the capital, rounded down; `percent` is 0 to 100."""
    return _within(capital_micro * percent / 100.0, capital_micro)


def volatility_target(capital_micro: int, target: float, realised: float | None) -> int:
    """Return the part of the capital whose swings are as large as a target says, rounded down.

    Both volatilities are of log returns, a year, as parts of the price (0.2 = 20 %). The part is
    target / realised, at most all (Moreira and Muir, 2017, "Volatility-managed portfolios").
    Nothing where the realised one is not known; all where the price stood still.
    """
    if realised is None or not isfinite(realised):
        return 0
    return (
        capital_micro
        if realised <= target
        else _within(capital_micro * target / realised, capital_micro)
    )


def most_in_one_micro(limits: RiskLimits, equity_micro: int) -> int:
    """Return the most that limits allow at risk in one instrument, whoever holds what.

    `equity_micro` = what percentages are of: the equity at the start of the day.
    """
    return min(
        limit.micro(equity_micro)
        for limit in (
            limits.exposure_instrument_max,
            limits.exposure_market_max,
            limits.exposure_bot_max,
            limits.exposure_account_max,
            limits.exposure_total_max,
        )
    )


def kelly_part(probability: float, price: float) -> float:
    """Return the part of the capital that grows it fastest, 0 to 1.

    For a claim that pays 1 with this probability, else 0, and costs `price`, fees included, both
    within 0 and 1: (q - p) / (1 - p) (Kelly, 1956, "A new interpretation of information rate";
    Thorp, 2006, for binary claims). Nothing where there is no edge or a number is out of range.
    """
    if not (0.0 <= probability <= 1.0 and 0.0 < price < 1.0):
        return 0.0
    return max(0.0, (probability - price) / (1.0 - price))


def _within(amount: float, capital_micro: int) -> int:
    """Return an amount in whole micro-units, from nothing to all of the capital."""
    return max(0, min(int(amount), capital_micro))
