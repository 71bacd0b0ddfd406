"""How long what was heard had waited: quantiles of many samples in little room.

Sixteen bins for each doubling, so a quantile is right within 6 %.
"""

from __future__ import annotations

FINE = 4
"""Bits of a sample that are kept: 2^4 bins for each doubling."""

BINS = (63 - FINE) << FINE


class Lags:
    """Samples in ns since the last `take`. `longest_ns` is exact."""

    __slots__ = ("_bins", "_count", "longest_ns")

    def __init__(self) -> None:
        self._bins = [0] * BINS
        self._count = 0
        self.longest_ns = 0

    def add(self, lag_ns: int, count: int = 1) -> None:
        """Count samples of one length."""
        length = lag_ns.bit_length()
        coarse = length - FINE - 1
        place = (coarse << FINE) + (lag_ns >> coarse) if coarse > 0 else max(0, lag_ns)
        self._bins[min(place, BINS - 1)] += count
        self._count += count
        self.longest_ns = max(self.longest_ns, lag_ns)

    def at(self, share: float) -> int | None:
        """Return a quantile in ns, not more than what was longest; None = no samples."""
        if not self._count:
            return None
        left = share * self._count
        for place, count in enumerate(self._bins):
            left -= count
            if count and left <= 0 and place < BINS - 1:
                return min(_upper(place), self.longest_ns)
        return self.longest_ns

    def take(self) -> dict[str, float | None]:
        """Return p50, p99 and the longest in ms, and begin anew."""
        shares = {"p50_ms": self.at(0.50), "p99_ms": self.at(0.99), "max_ms": self.at(1.0)}
        self._bins = [0] * BINS
        self._count = self.longest_ns = 0
        return {name: None if ns is None else ns / 1e6 for name, ns in shares.items()}


def _upper(place: int) -> int:
    """Return the largest sample of a bin."""
    coarse = max(0, (place >> FINE) - 1)
    if not coarse:
        return place
    return (((place - (coarse << FINE)) + 1) << coarse) - 1
