"""Smoothing the classics share: exponential, and Wilder's. Each starts from a plain mean."""

from __future__ import annotations

import msgspec


class Smoothed(msgspec.Struct, gc=False):
    """Exponential smoothing: mean of the first `size` values, then value += (x − value) · weight.

    The weight is 2 / (size + 1) of an EMA and 1 / size of Wilder's smoothing (RMA).
    """

    size: int = 0
    wilder: bool = False
    seen: int = 0
    total: float = 0.0
    value: float | None = None
    """None before `size` values."""

    def push(self, number: float) -> float | None:
        """Take a number; return the smoothed one."""
        if self.value is not None:
            if self.wilder:
                self.value = (self.value * (self.size - 1) + number) / self.size
            else:
                self.value += (number - self.value) * (2.0 / (self.size + 1))
            return self.value
        self.seen += 1
        self.total += number
        if self.seen == self.size:
            self.value = self.total / self.size
        return self.value


class TrueRange(msgspec.Struct, gc=False):
    """The range of a bar together with the jump from the close before it (Wilder, 1978)."""

    close: float | None = None

    def push(self, high: float, low: float, close: float) -> float | None:
        """Take a bar; return its true range, None of the first one."""
        before, self.close = self.close, close
        return None if before is None else max(high, before) - min(low, before)
