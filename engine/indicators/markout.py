"""Markouts: what the price did after our own fills. Negative = we were picked off.

A fill's markout at a horizon is sign · (mid at fill + horizon − fill price), in the currency; the
sign is + for a buy. The mid is the one that prevailed at that moment: the last one observed at or
before it, not the next one after it.
"""

from __future__ import annotations

from math import sqrt

import msgspec

HORIZONS_NS = (300_000_000, 1_000_000_000, 5_000_000_000, 30_000_000_000)
"""0.3, 1, 5 and 30 seconds after the fill."""

PENDING_MAX = 256
"""Most fills waiting for one horizon in one instrument; the oldest gives way and is counted."""

MID_AGE_NS_MAX = 5_000_000_000
"""A mid observed longer before the horizon than this does not mark the fill."""


JUDGED_HORIZON = 2
"""Index of the 5 s markout: by then a mid of these markets has taken in what the taker knew."""


class PendingMarkout(msgspec.Struct, frozen=True, gc=False):
    """One fill that waits for its horizon. Price in the currency, sign +1 bought, −1 sold."""

    due_ns: int
    sign: int
    price: float
    shares: float = 1.0
    cell: str = ""
    """In which manner it was quoted: regime and time to close."""
    earned: float | None = None
    """The spread it earned: sign · (mid at the fill less price); None = no mid was known."""


class MarkedFill(msgspec.Struct, frozen=True, gc=False):
    """One fill after 5 s. Amounts in the currency a share."""

    shares: float
    markout: float
    earned: float | None


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


class MarkoutSummary(msgspec.Struct, frozen=True, gc=False):
    """The last fills, weighted by their shares. Amounts in the currency a share."""

    fills: int
    markout: float
    error: float
    """Standard error of `markout`."""
    earned: float | None
    """Spread at the fill, over the fills whose mid was known; None = of none."""


class MarkoutRecord(msgspec.Struct):
    """What a bot's fills brought: over all, by the manner they were quoted in, and the last ones.

    A thin cell says little, so its mean is drawn towards that of all fills: with n fills behind it
    it counts n against `fills_min` (the credibility formula of Bühlmann, 1967).
    """

    half_life_fills: float
    fills_max: int
    """How many of the last fills are kept to be judged."""
    overall: MarkoutMeans
    cells: dict[str, MarkoutMeans] = {}
    recent: list[MarkedFill] = []

    @classmethod
    def empty(cls, half_life_fills: float, fills_max: int) -> MarkoutRecord:
        return cls(half_life_fills, fills_max, MarkoutMeans(half_life_fills))

    def take(self, horizon: int, markout: float, mark: PendingMarkout) -> None:
        """Take a fill's markout at the horizon with this index."""
        self.overall.take(horizon, markout)
        if horizon != JUDGED_HORIZON:
            return
        cell = self.cells.get(mark.cell)
        if cell is None:
            cell = self.cells[mark.cell] = MarkoutMeans(self.half_life_fills)
        cell.take(horizon, markout)
        self.recent.append(MarkedFill(mark.shares, markout, mark.earned))
        del self.recent[: -self.fills_max]

    def mean(self, cell: str, fills_min: int) -> float | None:
        """Return the mean 5 s markout to expect of a cell; None before `fills_min` fills at all."""
        overall = self.overall
        if overall.counts[JUDGED_HORIZON] < fills_min:
            return None
        own = self.cells.get(cell)
        if own is None:
            return overall.means[JUDGED_HORIZON]
        weight = own.weights[JUDGED_HORIZON]
        both = weight * own.means[JUDGED_HORIZON] + fills_min * overall.means[JUDGED_HORIZON]
        return both / (weight + fills_min)

    def summary(self) -> MarkoutSummary | None:
        """Return the last fills in figures; None before two of them."""
        fills = self.recent
        if len(fills) < 2:
            return None
        shares = sum(fill.shares for fill in fills)
        markout = sum(fill.shares * fill.markout for fill in fills) / shares
        squares = sum((fill.shares * (fill.markout - markout)) ** 2 for fill in fills)
        error = sqrt(squares * len(fills) / (len(fills) - 1)) / shares
        marked = [fill for fill in fills if fill.earned is not None]
        weight = sum(fill.shares for fill in marked)
        earned = sum(fill.shares * (fill.earned or 0.0) for fill in marked)
        return MarkoutSummary(len(fills), markout, error, earned / weight if marked else None)

    def resize(self, half_life_fills: float, fills_max: int) -> None:
        """Forget and keep as given from now on."""
        self.half_life_fills, self.fills_max = half_life_fills, fills_max
        for means in (self.overall, *self.cells.values()):
            means.half_life_fills = half_life_fills
        del self.recent[:-fills_max]


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

    def fill(
        self, sign: int, price: float, at_ns: int, *, shares: float = 1.0, cell: str = ""
    ) -> None:
        """Take an own fill in YES-space. Fills come in the order of their times."""
        earned = None if self.mid is None else sign * (self.mid - price)
        for queue, horizon_ns in zip(self.pending, HORIZONS_NS, strict=True):
            if len(queue) >= PENDING_MAX:
                del queue[0]
                self.waiting -= 1
                self.dropped += 1
            due_ns = at_ns + horizon_ns
            queue.append(PendingMarkout(due_ns, sign, price, shares, cell, earned))
            self.waiting += 1

    def observe(self, mid: float, now_ns: int, record: MarkoutRecord) -> None:
        """Take the mid in the currency; mark into `record` what has reached its horizon."""
        if self.waiting:
            self._mark(mid, now_ns, record)
        self.mid = mid
        self.mid_at_ns = now_ns

    def _mark(self, mid: float, now_ns: int, record: MarkoutRecord) -> None:
        for horizon, queue in enumerate(self.pending):
            while queue and queue[0].due_ns <= now_ns:
                mark = queue.pop(0)
                self.waiting -= 1
                prevailing = mid if mark.due_ns == now_ns else self.mid
                if prevailing is None or mark.due_ns - self.mid_at_ns > MID_AGE_NS_MAX:
                    self.dropped += 1
                else:
                    record.take(horizon, mark.sign * (prevailing - mark.price), mark)
