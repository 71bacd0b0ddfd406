"""How fast we may ask: the account's trading tier, and what the venue's headers say of it. Pure.

The venue keeps two buckets per signer, orders and cancels (trading API, §3.4 b), so cancels have a
share of their own that places cannot eat; they are never held back here. Places keep to 80 % of the
tier and leave a fifth of the venue's bucket untouched, for what else trades with this key.
"""

from __future__ import annotations

import msgspec

S = 1_000_000_000
SHARE_PERCENT = 80
STANDARD = "Standard"


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """What a tier grants: tokens per second, and at once."""

    orders_per_s: int
    orders_burst: int
    cancels_per_s: int
    cancels_burst: int

    def paced(self) -> Tier:
        """Return the part of it we use: what a gateway's own limiter is to be set to."""
        return Tier(**{name: max(1, value * SHARE_PERCENT // 100) for name, value in _pairs(self)})


def _pairs(tier: Tier) -> list[tuple[str, int]]:
    return [(name, getattr(tier, name)) for name in tier.__struct_fields__]


def _tier(orders: tuple[int, int], cancels: tuple[int, int]) -> Tier:
    return Tier(
        orders_per_s=orders[0],
        orders_burst=orders[1],
        cancels_per_s=cancels[0],
        cancels_burst=cancels[1],
    )


TIERS = {
    STANDARD: _tier((40, 60), (80, 120)),
    "Copper": _tier((60, 90), (120, 180)),
    "Bronze": _tier((80, 120), (160, 240)),
    "Silver": _tier((200, 300), (400, 600)),
    "Gold": _tier((400, 600), (800, 1_200)),
    "Platinum": _tier((450, 675), (900, 1_350)),
    "Diamond": _tier((525, 787), (1_050, 1_575)),
    "Elite": _tier((600, 900), (1_200, 1_800)),
}


class Pace:
    """One signer's places: a bucket that the venue's headers may only lower."""

    __slots__ = ("_at_ns", "_level", "_limits", "_tier", "warned")

    def __init__(self, now_ns: int, tier: str = STANDARD) -> None:
        self._tier = tier
        self._limits = TIERS[tier].paced()
        self._level = self._limits.orders_burst * S
        """Tokens left in parts of 10^-9: at r per second each nanosecond brings r parts."""
        self._at_ns = now_ns
        self.warned = False
        """Whether the venue's last word was that it would have refused."""

    @property
    def tier(self) -> str:
        """The tier we believe in: the lowest one until the venue names another."""
        return self._tier

    def take(self, now_ns: int) -> int:
        """Take a place's token; return 0, or in how many nanoseconds there will be one."""
        self._refill(now_ns)
        if self._level >= S:
            self._level -= S
            return 0
        return -(-(S - self._level) // self._limits.orders_per_s)

    def receive(
        self, now_ns: int, *, tier: str | None, remaining: float | None, warned: bool
    ) -> None:
        """Take what the answer to a place said of the venue's own bucket."""
        self._refill(now_ns)
        self.warned = warned
        if tier is not None and tier in TIERS and tier != self._tier:
            self._tier, self._limits = tier, TIERS[tier].paced()
            self._level = min(self._level, self._limits.orders_burst * S)
        if remaining is not None:
            untouched = TIERS[self._tier].orders_burst - self._limits.orders_burst
            self._level = min(self._level, int((remaining - untouched) * S))

    def _refill(self, now_ns: int) -> None:
        passed = max(0, now_ns - self._at_ns)
        self._at_ns = max(self._at_ns, now_ns)
        most = self._limits.orders_burst * S
        self._level = min(most, self._level + passed * self._limits.orders_per_s)
