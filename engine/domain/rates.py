"""Rates: what one unit of an asset is worth in USDC or a currency, from where, and how old it is.

A rate that is missing or stale makes a worth unknown (None). Nothing is guessed in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.domain.assets import DECIMALS_MAX
from engine.domain.money import MICRO

DOLLAR = "USDC"
"""What a desk's total is in."""

RATE_AGE_NS_MAX = 60 * 1_000_000_000
"""A rate of a feed that is older than this is stale."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit of `asset` brings in `currency`, in micro-units of it."""

    asset: str
    currency: str
    micro: int
    source: str
    """The book or rule it comes from, for people."""
    at_ns: int | None = None
    """When its source proved it; None = it is a rule, and does not age."""

    def stale(self, now_ns: int) -> bool:
        """Say whether it is too old to be used."""
        return self.at_ns is not None and now_ns - self.at_ns > RATE_AGE_NS_MAX

    def worth_micro(self, amount: int, now_ns: int) -> int | None:
        """Return the worth of an amount in 10^-18, rounded down; None = the rate is stale."""
        return None if self.stale(now_ns) else amount * self.micro // 10**DECIMALS_MAX


PAR: Mapping[str, str] = {
    "USDC": "it is USDC",
    "USDC.e": "bridged USDC, counted one to one",
    "pUSD": "Polymarket's collateral, issued for USDC, counted one to one",
}
"""Currencies that are counted as USDC, and why. Every other one needs a rate of a feed."""


def par(currency: str) -> Rate | None:
    """Return the rate of a currency that is counted one to one as USDC; None = unknown."""
    why = PAR.get(currency)
    if why is None:
        return None
    return Rate(asset=currency, currency=DOLLAR, micro=MICRO, source=why)


def counted_as(currency: str) -> str:
    """Return in what a currency counts beside others: USDC where it is one to one, else itself.

    Amounts of two currencies are added without a rate only where this gives the same for both.
    """
    return DOLLAR if currency in PAR else currency
