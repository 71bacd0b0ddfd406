"""The meter: how long turns take, how late the loop is, how deep the queues are; per second."""

from __future__ import annotations

from typing import Any

SAMPLES_MAX = 20_000
"""Most samples of one second; beyond it every further one is only counted."""


class Meter:
    """Samples of the present second. `take` gives them and begins anew."""

    def __init__(self) -> None:
        self._turns: list[int] = []
        self._lags: list[int] = []
        self._events = 0
        self._count = 0

    def turn(self, took_ns: int) -> None:
        """Note how long one turn took."""
        self._count += 1
        if len(self._turns) < SAMPLES_MAX:
            self._turns.append(took_ns)

    def lag(self, late_ns: int) -> None:
        """Note how late the loop came to something that was due."""
        if len(self._lags) < SAMPLES_MAX:
            self._lags.append(late_ns)

    def events(self, count: int) -> None:
        """Count market events."""
        self._events += count

    def take(self) -> dict[str, Any]:
        """Return the second's figures, times in µs, and forget them."""
        told: dict[str, Any] = {"turns": self._count, "events": self._events}
        for name, samples in (("turn", self._turns), ("lag", self._lags)):
            samples.sort()
            told |= {
                f"{name}_p50_us": _at(samples, 0.50),
                f"{name}_p99_us": _at(samples, 0.99),
                f"{name}_max_us": _at(samples, 1.0),
            }
        self._turns, self._lags, self._events, self._count = [], [], 0, 0
        return told


def _at(samples: list[int], share: float) -> float | None:
    """Return a quantile in µs, None where nothing was sampled."""
    if not samples:
        return None
    return samples[min(len(samples) - 1, int(share * len(samples)))] / 1_000
