"""Closed round trips: what each way from flat back to flat in one market brought, and how long.

A round trip begins with the fill that leaves flat and ends with the one that comes back to it; a
fill that passes through flat ends one and begins the next, its fee shared by size. A market that
resolves ends it at what it paid. What is still open is no round trip. Prices and PnL are in the
currency, sizes in the thing itself, in YES-space where a market has two outcomes.
"""

from __future__ import annotations

import statistics

import msgspec

from engine.domain.plain import PlainDict

KEPT_MAX = 100_000
"""Round trips that are kept one by one for the medians; the sums are of all."""
FLAT = 1e-9
"""Sizes below this are rounding."""


class OpenTrip(msgspec.Struct):
    """A position that has not come back to flat."""

    opened_ns: int
    position: float = 0.0
    cash: float = 0.0
    """What was received less what was paid, fees included."""


class RoundTrips(msgspec.Struct):
    """Counts closed round trips, fill by fill."""

    count: int = 0
    won: int = 0
    gains: float = 0.0
    losses: float = 0.0
    """Above zero."""
    traded: float = 0.0
    """Value of all fills together."""
    results: list[float] = []
    held_s: list[float] = []
    running: dict[str, OpenTrip] = {}

    def on_fill(
        self, market: str, *, bought: bool, price: float, size: float, fee: float, now_ns: int
    ) -> None:
        """Take a fill."""
        self.traded += price * size
        while size > FLAT:
            trip = self.running.setdefault(market, OpenTrip(opened_ns=now_ns))
            back = (trip.position < 0) if bought else (trip.position > 0)
            part = min(size, abs(trip.position)) if back else size
            share = fee * part / size
            trip.position += part if bought else -part
            trip.cash += (-part if bought else part) * price - share
            fee, size = fee - share, size - part
            if abs(trip.position) <= FLAT:
                self._close(market, trip, now_ns)

    def on_resolved(self, market: str, paid: float, now_ns: int) -> None:
        """Take what one of a market paid; `paid` in the currency."""
        trip = self.running.get(market)
        if trip is not None:
            trip.cash += trip.position * paid
            self._close(market, trip, now_ns)

    def _close(self, market: str, trip: OpenTrip, now_ns: int) -> None:
        del self.running[market]
        self.count += 1
        self.won += trip.cash > 0
        if trip.cash > 0:
            self.gains += trip.cash
        else:
            self.losses -= trip.cash
        if len(self.results) < KEPT_MAX:
            self.results.append(trip.cash)
            self.held_s.append((now_ns - trip.opened_ns) / 1e9)

    def summary(self) -> PlainDict:
        """Return what they were as a JSON object; None where no number can be said.

        `expectancy` is the mean result of a round trip, `profit_factor` gains over losses, as in
        Van Tharp, Trade Your Way to Financial Freedom (2006), and in backtesting.py's statistics.
        """
        some = self.count > 0
        return {
            "count": self.count,
            "open": len(self.running),
            "won": self.won,
            "win_rate": self.won / self.count if some else None,
            "expectancy": (self.gains - self.losses) / self.count if some else None,
            "profit_factor": self.gains / self.losses if self.losses else None,
            "best": max(self.results, default=None),
            "worst": min(self.results, default=None),
            "held_s_mean": statistics.fmean(self.held_s) if some else None,
            "held_s_median": statistics.median(self.held_s) if some else None,
            "traded": self.traded,
        }
