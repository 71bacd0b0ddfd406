"""The basis: how far the settlement oracle stands from a faster reference.

The two are compared at the same moment of the world, not at the same moment of arrival: an oracle
price stamped t meets the reference price that prevailed at t − lag. Comparing what arrived together
would put the reference's move during the oracle's delay into the basis.
"""

from __future__ import annotations

from bisect import bisect_right
from math import exp

import msgspec

from engine.indicators.volatility import LN2

HISTORY_MAX = 1024
"""Most remembered reference prices; the older half goes when it is full."""

HISTORY_SPACING_NS = 20_000_000
"""References closer than this replace each other: 1024 of them reach back 10 seconds or more."""

PAIR_AGE_NS_MAX = 5_000_000_000
"""A reference price that is older than this at the oracle's moment is not compared."""

GAP_S_MIN = 60.0
"""A silence of a half-life, but at least this long, ends what was learned: what comes next is the
basis of another time, and its first pairs would stand alone against a count of old ones."""


class BasisTracker(msgspec.Struct):
    """Mean and standard deviation of oracle − reference, halving every `half_life_s`."""

    half_life_s: float
    lag_ns: int = 0
    """How much later the oracle shows a price than its stamp says, against the reference."""
    stamps: list[int] = []
    prices: list[float] = []
    mean: float = 0.0
    variance: float = 0.0
    weight: float = 0.0
    pairs: int = 0
    at_ns: int = 0
    """Stamp of the last oracle price that was compared."""

    def reference(self, price: float, stamp_ns: int) -> None:
        """Take a reference price with the time it was made. Late ones are ignored."""
        stamps = self.stamps
        if stamps:
            if stamp_ns < stamps[-1]:
                return
            # The newest entry moves on until it is a spacing away from the one before it.
            if len(stamps) > 1 and stamp_ns - stamps[-2] < HISTORY_SPACING_NS:
                stamps[-1] = stamp_ns
                self.prices[-1] = price
                return
        stamps.append(stamp_ns)
        self.prices.append(price)
        if len(stamps) > HISTORY_MAX:
            del stamps[: HISTORY_MAX // 2]
            del self.prices[: HISTORY_MAX // 2]

    def oracle(self, price: float, stamp_ns: int) -> None:
        """Take an oracle price with its stamp and learn, where a reference of then is known."""
        moment_ns = stamp_ns - self.lag_ns
        index = bisect_right(self.stamps, moment_ns) - 1
        if index < 0 or moment_ns - self.stamps[index] > PAIR_AGE_NS_MAX:
            return
        if self.pairs and stamp_ns <= self.at_ns:
            return
        if not self.pairs_at(stamp_ns):
            self.mean = self.variance = self.weight = 0.0
            self.pairs = 0
        decay = exp(-LN2 * (stamp_ns - self.at_ns) * 1e-9 / self.half_life_s) if self.pairs else 0.0
        self.weight = self.weight * decay + 1.0
        share = 1.0 / self.weight
        distance = price - self.prices[index] - self.mean
        # West's weighted update: with equal weights it is the plain mean and variance.
        self.mean += share * distance
        self.variance = (1.0 - share) * (self.variance + share * distance * distance)
        self.pairs += 1
        self.at_ns = stamp_ns

    def pairs_at(self, now_ns: int) -> int:
        """Return how many pairs stand behind the basis at a time; 0 after a silence."""
        gap_ns = max(self.half_life_s, GAP_S_MIN) * 1e9
        return self.pairs if now_ns - self.at_ns <= gap_ns else 0
