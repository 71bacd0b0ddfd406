"""Volatility from irregular samples: variance per second, forgotten with a half-life in time.

The estimate is realised variance over elapsed time, Σ wᵢ·Δxᵢ² / Σ wᵢ·Δtᵢ, with weights that halve
each `half_life_s`. Dividing by time and not by the number of samples makes it right for a price
that stands still and jumps: a quiet sample adds time and no movement, a jump after a long gap is
spread over the gap it happened in, and sampling twice as often changes nothing.

Samples closer than `sample_ns_min` to the last accepted one wait for it: the next accepted sample
carries the net move. Sampling sparsely keeps the bounce between bid and ask, and the intermediate
states of one venue batch, out of the estimate (Aït-Sahalia, Mykland and Zhang, 2005, "How often to
sample a continuous-time process in the presence of market microstructure noise").
"""

from __future__ import annotations

from math import expm1, log, sqrt

import msgspec

from engine.errors import BrokenInvariant

LN2 = log(2.0)

GAP_S_MIN = 120.0
"""A silence of a half-life, but at least this long, ends what was learned: the one return across it
would outweigh all others, and where it happens to be small, hide the volatility."""


class EwmaVolatility(msgspec.Struct, gc=False):
    """Variance per second of whatever is sampled: (price units)²/s of a price."""

    half_life_s: float
    sample_ns_min: int = 0
    value: float = 0.0
    """The last accepted sample."""
    at_ns: int | None = None
    """When it was accepted; None = no sample yet."""
    squares: float = 0.0
    seconds: float = 0.0
    observed_s: float = 0.0
    """How long samples have been coming in, without forgetting: what a warm-up is measured by."""

    def take(self, value: float, at_ns: int) -> None:
        """Take one sample. Samples out of order are ignored; after a silence it begins anew."""
        last_ns = self.at_ns
        if last_ns is None:
            self.value = value
            self.at_ns = at_ns
            return
        elapsed_ns = at_ns - last_ns
        if elapsed_ns <= 0 or elapsed_ns < self.sample_ns_min:
            return
        elapsed_s = elapsed_ns * 1e-9
        if elapsed_s > GAP_S_MIN and elapsed_s > self.half_life_s:
            self.squares = self.seconds = self.observed_s = 0.0
            self.value = value
            self.at_ns = at_ns
            return
        scale_s = self.half_life_s / LN2
        # ∫ exp(−u/scale) du over the interval: its time, less what was forgotten inside it.
        weighted_s = -scale_s * expm1(-elapsed_s / scale_s)
        decay = 1.0 - weighted_s / scale_s
        move = value - self.value
        self.squares = self.squares * decay + move * move * (weighted_s / elapsed_s)
        self.seconds = self.seconds * decay + weighted_s
        self.observed_s += elapsed_s
        self.value = value
        self.at_ns = at_ns

    @property
    def variance_per_s(self) -> float | None:
        """Variance per second; None before two accepted samples."""
        return self.squares / self.seconds if self.seconds > 0.0 else None


class LogVolatility(EwmaVolatility, gc=False):
    """Variance per second of a price's log return (dimensionless²/s), for references."""

    def take(self, value: float, at_ns: int) -> None:
        """Take a price > 0. Raises BrokenInvariant otherwise: its caller must have refused it."""
        if not value > 0.0:
            raise BrokenInvariant(f"log volatility was given the price {value}")
        EwmaVolatility.take(self, log(value), at_ns)


class BlendedVolatility(msgspec.Struct, gc=False):
    """A price's variance per second as the mean of a short and a long memory's.

    Variance bursts and comes back to what it was: the short memory follows the burst, the long one
    knows where it comes back to (Corsi, 2009, "A simple approximate long-memory model of realized
    volatility"). Oracle prices are smoothed, so returns below about 10 s see too little of it.
    """

    short: LogVolatility
    long: LogVolatility

    def take(self, price: float, at_ns: int) -> None:
        """Take a price > 0. Raises BrokenInvariant otherwise: its caller must have refused it."""
        self.short.take(price, at_ns)
        self.long.take(price, at_ns)

    @property
    def variance_per_s(self) -> float | None:
        """Variance per second; None before two accepted samples."""
        short, long = self.short.variance_per_s, self.long.variance_per_s
        return None if short is None or long is None else (short + long) / 2.0

    @property
    def regime(self) -> float | None:
        """Return the short memory's volatility over the long one's; 1 = as ever, above = wilder."""
        short, long = self.short.variance_per_s, self.long.variance_per_s
        return None if short is None or not long else sqrt(short / long)

    @property
    def observed_s(self) -> float:
        """How long samples have been coming in since the last silence."""
        return self.short.observed_s

    def retune(self, short_s: float, long_s: float, sample_ns_min: int) -> None:
        """Forget and sample as given from now on."""
        self.short.half_life_s, self.long.half_life_s = short_s, long_s
        self.short.sample_ns_min = self.long.sample_ns_min = sample_ns_min
