"""Per-signer token buckets of the trading endpoints (polymarket.md §3.4 b)."""

from __future__ import annotations

import math

import msgspec

from tests.fakes.polymarket.refusal import TOO_MANY_REQUESTS, Refused
from tests.fakes.polymarket.settings import S, Settings

TIERS = {
    "Standard": (40, 60, 80, 120),
    "Copper": (60, 90, 120, 180),
    "Bronze": (80, 120, 160, 240),
    "Silver": (200, 300, 400, 600),
    "Gold": (400, 600, 800, 1200),
    "Platinum": (450, 675, 900, 1350),
    "Diamond": (525, 787, 1050, 1575),
    "Elite": (600, 900, 1200, 1800),
}
"""Tier → (orders a second, burst, cancels a second, burst)."""
NEGATIVE_CANCELS = ("Standard", "Copper", "Bronze", "Silver", "Gold")
"""Tiers whose cancel balance may go below zero."""


class Bucket(msgspec.Struct):
    """Tokens left, and when that was so."""

    left: float
    at_ns: int


class Limits:
    """Buckets of every signer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[tuple[str, bool], Bucket] = {}
        self.tiers: dict[str, str] = {}
        self.refused = 0

    def tier(self, signer: str) -> str:
        """Return a signer's tier."""
        return self.tiers.get(signer, self._settings.tier)

    def take(self, signer: str, cost: int, now_ns: int, *, cancel: bool) -> dict[str, str]:
        """Pay for a request; return the headers of its answer. Raises Refused with 429."""
        if self._settings.rate_limits == "off":
            return {}
        tier = self.tier(signer)
        rates = TIERS[tier]
        rate, burst = rates[2:] if cancel else rates[:2]
        bucket = self._buckets.setdefault((signer, cancel), Bucket(float(burst), now_ns))
        gained = (now_ns - bucket.at_ns) / S * rate
        bucket.left, bucket.at_ns = min(float(burst), bucket.left + gained), now_ns
        short = cost > bucket.left
        may_owe = cancel and tier in NEGATIVE_CANCELS and bucket.left > 0 and cost <= burst
        enforced = self._settings.rate_limits == "enforce"
        if not (short and enforced and not may_owe):
            bucket.left -= cost
        headers = self._headers(bucket, tier, rate, now_ns)
        if short and enforced and not may_owe:
            self.refused += 1
            wait = max(1, math.ceil((cost - bucket.left) / rate))
            raise Refused(TOO_MANY_REQUESTS, 429, headers=headers | {"Retry-After": str(wait)})
        if short:
            headers["Poly-RateLimit-Warning"] = "true"
            bucket.left = max(bucket.left, -float(burst))
        return headers

    @staticmethod
    def _headers(bucket: Bucket, tier: str, rate: int, now_ns: int) -> dict[str, str]:
        missing = max(0.0, 1.0 - bucket.left)
        return {
            "Poly-RateLimit-Remaining": str(max(0, math.floor(bucket.left))),
            "Poly-RateLimit-Reset": str(math.ceil(now_ns / S + missing / rate)),
            "Poly-RateLimit-Tier": tier,
        }
