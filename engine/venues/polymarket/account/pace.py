"""How fast we may ask: the account's trading tier, and what the venue's headers say of it. Pure.

The venue keeps two buckets per signer, orders and cancels (trading API, §3.4 b), so cancels have a
share of their own that places cannot eat; they are never held back here. Places keep to 80 % of the
tier and leave a fifth of the venue's bucket untouched, for what else trades with this key.
"""

from __future__ import annotations

from typing import NamedTuple

S = 1_000_000_000
SHARE_PERCENT = 80
STANDARD = "Standard"


class Tier(NamedTuple):
    """What a tier grants: tokens per second, and at once."""

    orders_per_s: int
    orders_burst: int
    cancels_per_s: int
    cancels_burst: int

    def paced(self) -> Tier:
        """Return the part of it we use: what a gateway's own limiter is to be set to."""
        return Tier(*(max(1, value * SHARE_PERCENT // 100) for value in self))


TIERS = {
    STANDARD: Tier(40, 60, 80, 120),
    "Copper": Tier(60, 90, 120, 180),
    "Bronze": Tier(80, 120, 160, 240),
    "Silver": Tier(200, 300, 400, 600),
    "Gold": Tier(400, 600, 800, 1_200),
    "Platinum": Tier(450, 675, 900, 1_350),
    "Diamond": Tier(525, 787, 1_050, 1_575),
    "Elite": Tier(600, 900, 1_200, 1_800),
}


class Pace:
    """One signer's places: a bucket that the venue's headers may only lower."""

    __slots__ = ("_at_ns", "_level", "_limits", "tier")

    def __init__(self, now_ns: int) -> None:
        self.tier = STANDARD
        """The tier we believe in: the lowest one until the venue names another."""
        self._limits = TIERS[STANDARD].paced()
        self._level = self._limits.orders_burst * S
        """Tokens left in parts of 10^-9: at r per second each nanosecond brings r parts."""
        self._at_ns = now_ns

    def take(self, now_ns: int) -> int:
        """Take a place's token; return 0, or in how many nanoseconds there will be one."""
        self._refill(now_ns)
        if self._level >= S:
            self._level -= S
            return 0
        return -(-(S - self._level) // self._limits.orders_per_s)

    def receive(self, now_ns: int, *, tier: str | None, remaining: float | None) -> None:
        """Take what the answer to a place said of the venue's own bucket; None = nothing."""
        self._refill(now_ns)
        if tier in TIERS and tier != self.tier:
            self.tier, self._limits = tier, TIERS[tier].paced()
            self._level = min(self._level, self._limits.orders_burst * S)
        if remaining is not None:
            untouched = TIERS[self.tier].orders_burst - self._limits.orders_burst
            self._level = min(self._level, int((remaining - untouched) * S))

    def _refill(self, now_ns: int) -> None:
        passed = max(0, now_ns - self._at_ns)
        self._at_ns = max(self._at_ns, now_ns)
        most = self._limits.orders_burst * S
        self._level = min(most, self._level + passed * self._limits.orders_per_s)
