"""The sampler: trades and mids of one instrument in, closed bars of one spec out.

Rules, the same wherever bars are made:

- A trade belongs to the bar its stamp lies in: the venue's stamp where it gives one, else the time
  the engine learned of it.
- A time bar closes when something stamped at or after its end arrives, or when the clock is
  `GRACE_NS` past its end, whichever is first.
- A trade stamped before the last close is *late*. No closed bar ever changes: the trade is in no
  bar, and the next bar that closes counts it.
- A span in which nothing happened has a bar with count 0 and the last close, as at the exchanges;
  a span that lies wholly inside a gap of the feed has none, and a bar that saw a part of a gap says
  how long it was. Before the first price there is no bar.
"""

from __future__ import annotations

import msgspec

from engine.domain.bars import Bar, BarSpec, BarUnit

GRACE_NS = 250_000_000
"""How long after a span's end its last trades may still arrive while nothing newer does."""

EMPTY_MAX = 1_500
"""Most bars of nothing in a row, a day of one-minute bars: a longer silence is a gap."""


class Sampler(msgspec.Struct, gc=False):
    """Makes the bars of one instrument and spec. Times never run backwards between calls.

    Every method returns the bars that it closed, the oldest first.
    """

    spec: BarSpec
    volume_step: int = 0
    """Of volume bars: the size, in increments, that ends one."""
    start_ns: int | None = None
    """Start of the running bar; None = nothing was seen yet, or a gap ended the last one."""
    seen_ns: int = 0
    """The latest stamp or clock."""
    closed_ns: int = 0
    """End of the last bar: what is stamped before it is late."""
    open: int | None = None
    """None = the running bar has no price of its own yet."""
    high: int = 0
    low: int = 0
    close: int | None = None
    """The last price; None = there was none."""
    volume: int = 0
    count: int = 0
    value: int = 0
    late: int = 0
    gap_ns: int = 0
    empty: int = 0
    """Bars of nothing that closed in a row."""
    lost_ns: int | None = None
    """Since when the feed is lost; None = it is not."""

    @property
    def due_ns(self) -> int | None:
        """When the running time bar closes by the clock; None = no time closes it."""
        if self.spec.unit is not BarUnit.TIME or self.start_ns is None or self.lost_ns is not None:
            return None
        return self.start_ns + self.spec.step + GRACE_NS

    def on_trade(self, price: int, size: int, stamp_ns: int) -> list[Bar]:
        """Take a trade: price in the spec's units, size in increments (0 = unknown)."""
        if stamp_ns < self.closed_ns:
            self.late += 1
            return []
        closed = self._begin(stamp_ns)
        if self.open is None:
            self.open = self.high = self.low = price
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.volume += size
        self.value += price * size
        self.count += 1
        self.seen_ns = max(self.seen_ns, stamp_ns)
        unit = self.spec.unit
        full = (unit is BarUnit.TICKS and self.count >= self.spec.step) or (
            unit is BarUnit.VOLUME and self.volume >= self.volume_step
        )
        if full:
            closed.append(self._end(self.seen_ns))
            self.start_ns = None
        return closed

    def on_bar(self, bar: Bar) -> list[Bar]:
        """Take a shorter bar whole, as a file tells it; its step divides this time bar's."""
        closed = self._begin(bar.start_ns)
        if self.open is None:
            self.open, self.high, self.low = bar.open, bar.high, bar.low
        else:
            self.high, self.low = max(self.high, bar.high), min(self.low, bar.low)
        self.close = bar.close
        self.volume += bar.volume
        self.value += bar.value
        self.count += bar.count
        self.seen_ns = max(self.seen_ns, bar.end_ns)
        return closed + self._close_until(bar.end_ns)

    def on_mid(self, mid2: int, now_ns: int) -> list[Bar]:
        """Take twice the mid of a book; the same one again is nothing new."""
        if self.close == mid2 and self.open is not None:
            return self._begin(now_ns)
        return self.on_trade(mid2, 0, now_ns)

    def on_clock(self, now_ns: int) -> list[Bar]:
        """Close every bar whose end and grace have passed."""
        due_ns = self.due_ns
        if due_ns is None or now_ns < due_ns:
            return []
        return self._close_until(now_ns - GRACE_NS)

    def on_gap(self, now_ns: int) -> list[Bar]:
        """Begin a gap: the feed is lost, or its book is not trusted, from now on."""
        if self.lost_ns is not None:
            return []
        closed = self._close_until(now_ns)
        self.lost_ns = now_ns
        return closed

    def on_restored(self, now_ns: int) -> list[Bar]:
        """End a gap: close what lies before it, and count what of it the bars lost."""
        if self.lost_ns is None:
            return []
        since_ns, self.lost_ns = self.lost_ns, None
        now_ns = max(now_ns, since_ns)
        if self.start_ns is None:
            return []
        if self.spec.unit is not BarUnit.TIME:
            self.gap_ns += now_ns - since_ns
            return []
        step_ns = self.spec.step
        end_ns = self.start_ns + step_ns
        if now_ns < end_ns:
            self.gap_ns += now_ns - since_ns
            return []
        # The bar in which the gap began is closed with its part; spans inside the gap have none.
        self.gap_ns += max(0, end_ns - max(since_ns, self.start_ns))
        closed = [self._end(end_ns)]
        start_ns = now_ns - now_ns % step_ns
        self.start_ns = start_ns
        self.closed_ns = max(self.closed_ns, start_ns)
        self.gap_ns = now_ns - max(since_ns, start_ns)
        return closed

    # -- the running bar ---------------------------------------------------------------------------

    def _begin(self, stamp_ns: int) -> list[Bar]:
        """Make the bar of this stamp the running one; return those it closes."""
        closed = [*self.on_restored(stamp_ns), *self._close_until(stamp_ns)]
        if self.start_ns is None:
            if self.spec.unit is BarUnit.TIME:
                self.start_ns = self.closed_ns = stamp_ns - stamp_ns % self.spec.step
            else:
                self.start_ns = stamp_ns
        return closed

    def _close_until(self, now_ns: int) -> list[Bar]:
        """Close the time bars that end at or before this; after too many of nothing, none runs."""
        closed: list[Bar] = []
        step_ns = self.spec.step
        if self.spec.unit is not BarUnit.TIME:
            return closed
        while self.start_ns is not None and self.start_ns + step_ns <= now_ns:
            closed.append(self._end(self.start_ns + step_ns))
            self.start_ns = None if self.empty >= EMPTY_MAX else self.start_ns + step_ns
        return closed

    def _end(self, end_ns: int) -> Bar:
        """Close the running bar; the next one begins where it ends."""
        last = self.close or 0
        bar = Bar(
            start_ns=self.start_ns or 0,
            end_ns=end_ns,
            open=last if self.open is None else self.open,
            high=last if self.open is None else self.high,
            low=last if self.open is None else self.low,
            close=last,
            volume=self.volume,
            count=self.count,
            value=self.value,
            gap_ns=self.gap_ns,
            late=self.late,
        )
        self.closed_ns = end_ns
        self.empty = 0 if self.count else self.empty + 1
        self.open = None
        self.volume = self.count = self.value = self.gap_ns = self.late = 0
        return bar
