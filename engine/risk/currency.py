"""Currency: micro-amounts of one currency in another, by rates somebody gave.

A rate that nobody gave is not 1, not its inverse and not yesterday's: the question fails.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.money import ceil_div, floor_div
from engine.errors import BadInput

RATE_ONE = 100_000_000
"""Rates are ints in 1e-8: how many units of `to` one unit of `given` brings."""


class Rates:
    """Conversion rates, each stated for one direction: `{(given, to): rate_e8}`."""

    def __init__(self, rates_e8: Mapping[tuple[str, str], int]) -> None:
        for (given, to), rate in rates_e8.items():
            if rate <= 0:
                raise BadInput(f"the rate {given} → {to} is {rate}e-8: it must be above zero")
            if given == to and rate != RATE_ONE:
                raise BadInput(f"the rate {given} → {to} can only be one, not {rate}e-8")
        self._rates = dict(rates_e8)

    def worth_micro(self, amount_micro: int, given: str, to: str) -> int:
        """Return what an asset is worth, rounded down. Raises BadInput where no rate is known."""
        return floor_div(amount_micro * self._rate(given, to), RATE_ONE)

    def risk_micro(self, amount_micro: int, given: str, to: str) -> int:
        """Return what an exposure amounts to, rounded up. Raises BadInput, as `worth_micro`."""
        return ceil_div(amount_micro * self._rate(given, to), RATE_ONE)

    def _rate(self, given: str, to: str) -> int:
        if given == to:
            return RATE_ONE
        rate = self._rates.get((given, to))
        if rate is None:
            raise BadInput(f"no rate is known for {given} → {to}; state one, none is assumed")
        return rate
