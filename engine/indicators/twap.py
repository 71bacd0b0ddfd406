"""The time-weighted average price of a settlement window [T − w, T], as far as it is realised."""

from __future__ import annotations

import msgspec


class TwapAccumulator(msgspec.Struct, gc=False):
    """Integral of a piecewise constant price over the part of a window that has passed.

    A price holds from its stamp until the next one, for `held_ns` at most. What was not covered by
    a known price is not counted as anything: `covered_ns` says how much of the window is known, and
    the reader decides.
    """

    start_ns: int
    end_ns: int
    held_ns: int = 1 << 62
    price: float = 0.0
    at_ns: int | None = None
    """Stamp of the last price; None = none yet."""
    integral: float = 0.0
    """Price units · seconds."""
    covered_ns: int = 0

    def take(self, price: float, stamp_ns: int) -> None:
        """Take a price with its stamp. Late ones are ignored."""
        at_ns = self.at_ns
        if at_ns is not None:
            if stamp_ns < at_ns:
                return
            held_until_ns = min(stamp_ns, self.end_ns, at_ns + self.held_ns)
            overlap_ns = held_until_ns - max(at_ns, self.start_ns)
            if overlap_ns > 0:
                self.integral += self.price * (overlap_ns * 1e-9)
                self.covered_ns += overlap_ns
        self.price = price
        self.at_ns = stamp_ns

    def average(self, until_ns: int) -> tuple[float, int] | None:
        """Return (average price, nanoseconds covered) of [T − w, `until_ns`].

        The last price holds until then, as in `take`. None where nothing of it is covered.
        """
        integral, covered_ns = self.integral, self.covered_ns
        if self.at_ns is not None:
            held_until_ns = min(until_ns, self.end_ns, self.at_ns + self.held_ns)
            open_ns = held_until_ns - max(self.at_ns, self.start_ns)
            if open_ns > 0:
                integral += self.price * (open_ns * 1e-9)
                covered_ns += open_ns
        return (integral / (covered_ns * 1e-9), covered_ns) if covered_ns else None
