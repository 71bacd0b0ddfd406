"""Markouts: what the price did after our own fills. Negative = we were picked off.

A fill's markout at a horizon is sign · (mid at fill + horizon − fill price), in the currency; the
sign is + for a buy. The mid is the one that prevailed at that moment: the last one observed at or
before it, not the next one after it.
"""

from __future__ import annotations

import msgspec

HORIZONS_NS = (300_000_000, 1_000_000_000, 5_000_000_000, 30_000_000_000)
"""0.3, 1, 5 and 30 seconds after the fill."""

PENDING_MAX = 256
"""Most fills waiting for one horizon in one instrument; the oldest gives way and is counted."""

MID_AGE_NS_MAX = 5_000_000_000
"""A mid observed longer before the horizon than this does not mark the fill."""


class PendingMarkout(msgspec.Struct, frozen=True, gc=False):
    """One fill that waits for its horizon. Price in the currency, sign +1 bought, −1 sold."""

    due_ns: int
    sign: int
    price: float


class MarkoutMeans(msgspec.Struct):
    """Mean markout per horizon over a bot's fills, halving every `half_life_fills` fills."""

    half_life_fills: float
    means: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(HORIZONS_NS))
    weights: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(HORIZONS_NS))
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(HORIZONS_NS))

    def take(self, horizon: int, markout: float) -> None:
        """Take one markout of the horizon with this index; the first ones average plainly."""
        weight = self.weights[horizon] * 0.5 ** (1.0 / self.half_life_fills) + 1.0
        self.weights[horizon] = weight
        self.means[horizon] += (markout - self.means[horizon]) / weight
        self.counts[horizon] += 1


class MarkoutTracker(msgspec.Struct):
    """The fills of one instrument on their way to their horizons."""

    pending: list[list[PendingMarkout]] = msgspec.field(
        default_factory=lambda: [[] for _ in HORIZONS_NS]
    )
    mid: float | None = None
    mid_at_ns: int = 0
    waiting: int = 0
    dropped: int = 0
    """Fills that never got a markout at some horizon: no mid at that time, or too many waiting."""

    def fill(self, sign: int, price: float, at_ns: int) -> None:
        """Take an own fill in YES-space. Fills come in the order of their times."""
        for queue, horizon_ns in zip(self.pending, HORIZONS_NS, strict=True):
            if len(queue) >= PENDING_MAX:
                del queue[0]
                self.waiting -= 1
                self.dropped += 1
            queue.append(PendingMarkout(at_ns + horizon_ns, sign, price))
            self.waiting += 1

    def observe(self, mid: float, now_ns: int, means: MarkoutMeans) -> None:
        """Take the mid in the currency; mark into `means` what has reached its horizon."""
        if self.waiting:
            self._mark(mid, now_ns, means)
        self.mid = mid
        self.mid_at_ns = now_ns

    def _mark(self, mid: float, now_ns: int, means: MarkoutMeans) -> None:
        for horizon, queue in enumerate(self.pending):
            while queue and queue[0].due_ns <= now_ns:
                mark = queue.pop(0)
                self.waiting -= 1
                prevailing = mid if mark.due_ns == now_ns else self.mid
                if prevailing is None or mark.due_ns - self.mid_at_ns > MID_AGE_NS_MAX:
                    self.dropped += 1
                else:
                    means.take(horizon, mark.sign * (prevailing - mark.price))
