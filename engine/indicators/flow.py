"""Trade flow: who has been aggressive lately, forgotten with a half-life in time."""

from __future__ import annotations

from math import exp

import msgspec

from engine.indicators.volatility import LN2


class FlowImbalance(msgspec.Struct, gc=False):
    """Signed and total traded size, each halving every `half_life_s`."""

    half_life_s: float
    signed: float = 0.0
    total: float = 0.0
    at_ns: int = 0

    def take(self, signed_size: float, at_ns: int) -> None:
        """Take one trade: its size, positive where the taker bought in YES-space.

        A trade out of order counts as if it came with the last one.
        """
        elapsed_ns = at_ns - self.at_ns
        if elapsed_ns > 0:
            decay = exp(-LN2 * elapsed_ns * 1e-9 / self.half_life_s)
            self.signed *= decay
            self.total *= decay
            self.at_ns = at_ns
        self.signed += signed_size
        self.total += abs(signed_size)

    def volume(self, now_ns: int) -> float:
        """Return the total size still remembered at `now_ns`, in the units it was given in."""
        elapsed_s = max(0, now_ns - self.at_ns) * 1e-9
        return self.total * exp(-LN2 * elapsed_s / self.half_life_s)
