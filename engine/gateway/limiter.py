"""The limiter: token buckets in whole numbers, exact for ever."""

from __future__ import annotations

from engine.domain.money import ceil_div
from engine.errors import BrokenInvariant

_TOKEN = 1_000_000_000
"""Parts per token: at `rate` tokens per second each nanosecond brings exactly `rate` parts."""


class TokenBucket:
    """At most `burst` at once and `rate_per_s` per second: ≤ rate · t + burst in any window t.

    Starts full. Kept as one number, the moment at which the bucket was (or will be) empty, times
    the rate: the generic cell rate algorithm of ITU-T I.371. So time that goes backwards, or comes
    back from there, never adds tokens.
    """

    __slots__ = ("_capacity", "_empty", "_rate")

    def __init__(self, *, rate_per_s: int, burst: int) -> None:
        if rate_per_s < 1 or burst < 1:
            raise BrokenInvariant(f"a bucket of {burst} with {rate_per_s}/s would never pass one")
        self._rate = rate_per_s
        self._capacity = burst * _TOKEN
        self._empty = -self._capacity

    def take(self, count: int, now_ns: int) -> bool:
        """Take `count` tokens if they are all there; say whether they were."""
        at = now_ns * self._rate
        empty = self._empty
        if at - empty > self._capacity:
            empty = at - self._capacity
        empty += count * _TOKEN
        if empty > at:
            return False
        self._empty = empty
        return True

    def available(self, now_ns: int) -> int:
        """Return how many whole tokens are there."""
        level = min(now_ns * self._rate - self._empty, self._capacity)
        return max(level, 0) // _TOKEN

    def ready_ns(self, count: int = 1) -> int:
        """Return when `count` tokens will be there if none is taken; never too early."""
        need = count * _TOKEN
        if need > self._capacity:
            raise BrokenInvariant(f"{count} tokens can never be in a bucket of this size")
        return ceil_div(self._empty + need, self._rate)
