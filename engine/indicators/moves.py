"""How far a price has moved within the last seconds: the largest distance to its own window."""

from __future__ import annotations

import msgspec

BUCKETS = 32
"""The window is kept in this many buckets: bounded, and exact to a 32nd of its length."""


class MoveWindow(msgspec.Struct):
    """Lowest and highest price of the last `window_s`, as two monotonic queues.

    The classic sliding-window minimum: a price that a later, more extreme one overtakes can never
    be the extreme again and is dropped. Each sample enters and leaves a queue once, so a sample
    costs O(1) on average. Within one bucket only an extreme is kept, so no queue exceeds
    `BUCKETS` + 2 entries.
    """

    window_s: float
    low_at: list[int] = []
    lows: list[float] = []
    high_at: list[int] = []
    highs: list[float] = []

    def take(self, price: float, at_ns: int) -> float:
        """Take one sample and return its largest distance to the window, in the price's unit."""
        bucket = at_ns // (int(self.window_s * 1e9) // BUCKETS or 1)
        lows, low_at, highs, high_at = self.lows, self.low_at, self.highs, self.high_at
        if lows and low_at[-1] == bucket == high_at[-1] and low_at[0] > bucket - BUCKETS:
            low, high = lows[0], highs[0]
            if lows[-1] <= price <= highs[-1] and high_at[0] > bucket - BUCKETS:
                # Nothing new in this bucket and nothing left the window: the usual case.
                return max(high - price, price - low)
        oldest = bucket - BUCKETS
        while low_at and low_at[0] < oldest:
            del low_at[0], lows[0]
        while high_at and high_at[0] < oldest:
            del high_at[0], highs[0]
        while lows and lows[-1] >= price:
            del lows[-1], low_at[-1]
        if not low_at or low_at[-1] != bucket:
            lows.append(price)
            low_at.append(bucket)
        while highs and highs[-1] <= price:
            del highs[-1], high_at[-1]
        if not high_at or high_at[-1] != bucket:
            highs.append(price)
            high_at.append(bucket)
        return max(price - lows[0], highs[0] - price)
