"""The simulated reference price: a diffusion with its own volatility, and jumps.

`Price` is the latent market; `demo-reference:btc/usd` is it plus a wandering basis and noise, at
once; `demo-oracle:btc/usd` is it as it stood some seconds ago, once a second, as recordings show of
Chainlink against Binance (polymarket.md, Appendix C: 2.1 s, 9 bps). Floats, because it is a model.
"""

from __future__ import annotations

from collections import deque
from math import exp, log, sqrt
from random import Random
from statistics import NormalDist

import msgspec

S = 1_000_000_000
NORMAL = NormalDist()
YEAR_S = 31_557_600.0
REFERENCE_KEY = "demo-reference:btc/usd"
ORACLE_KEY = "demo-oracle:btc/usd"


class PriceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the reference price moves."""

    start: float = 65_000.0
    vol_annual: float = 0.55
    """Long-run volatility per square root of a year."""
    vol_spread: float = 0.45
    """Standard deviation of the logarithm of the volatility around its long-run value."""
    vol_memory_s: float = 900.0
    """Time in which the volatility forgets all but 1/e of a deviation."""
    jumps_per_hour: float = 6.0
    jump_bps: float = 5.0
    """Standard deviation of a jump."""
    basis_bps: float = 9.0
    """Long-run distance of the fast reference above the oracle's market."""
    basis_spread_bps: float = 1.0
    noise_bps: float = 0.2
    """Noise of each print of the fast reference."""
    reference_lag_ns: int = 0
    """How late the fast reference prints what the crowd's makers trade by."""
    oracle_lag_ns: int = 2 * S
    ahead_ns: int = 0
    """How far the walk is ahead of every print: what some takers know and no feed shows."""


class PriceState(msgspec.Struct, kw_only=True):
    """Where the price stands. All of it survives a restart."""

    log_price: float
    log_vol: float = 0.0
    """Logarithm of the volatility over its long-run value."""
    basis: float = 0.0
    """Deviation of the basis from its long-run value."""
    past: list[tuple[int, float]] = []
    """(time, price) of the last seconds and of those to come, oldest first."""
    oracle: list[tuple[int, int]] = []
    """(time, price in 1e-8) of the oracle's last prints, oldest first."""


class Price:
    """One reference price. `step` moves it; everything else only looks."""

    __slots__ = ("_oracle", "_past", "_rng", "_spec", "state")

    def __init__(self, spec: PriceSpec, rng: Random, start_ns: int) -> None:
        self._spec = spec
        self._rng = rng
        self.state = PriceState(log_price=log(spec.start))
        self._past: deque[tuple[int, float]] = deque([(start_ns, spec.start)])
        self._oracle: deque[tuple[int, int]] = deque(maxlen=120)

    def step(self, now_ns: int, dt_s: float) -> None:
        """Move the price by `dt_s` seconds; prints are of `now_ns`, the walk is ahead of them."""
        spec, state, rng = self._spec, self.state, self._rng
        share = dt_s / spec.vol_memory_s
        state.log_vol += -share * state.log_vol + spec.vol_spread * sqrt(2 * share) * rng.gauss(
            0, 1
        )
        move = self._diffusion * sqrt(dt_s) * rng.gauss(0, 1)
        if rng.random() < spec.jumps_per_hour * dt_s / 3600:
            move += spec.jump_bps * 1e-4 * rng.gauss(0, 1)
        state.log_price += move
        drift = -dt_s / 600 * state.basis
        state.basis += drift + spec.basis_spread_bps * 1e-4 * sqrt(dt_s / 300) * rng.gauss(0, 1)
        self._past.append((now_ns + spec.ahead_ns, exp(state.log_price)))
        while len(self._past) > 1 and self._past[1][0] <= now_ns - spec.oracle_lag_ns:
            self._past.popleft()

    @property
    def _diffusion(self) -> float:
        return self._spec.vol_annual / sqrt(YEAR_S) * exp(self.state.log_vol)

    @property
    def sigma(self) -> float:
        """Volatility now, jumps included, per square root of a second."""
        spec = self._spec
        jumps = spec.jumps_per_hour / 3600 * (spec.jump_bps * 1e-4) ** 2
        return sqrt(self._diffusion**2 + jumps)

    @property
    def _now_ns(self) -> int:
        return self._past[-1][0] - self._spec.ahead_ns

    def _at(self, at_ns: int) -> float:
        known = (price for moved_ns, price in reversed(self._past) if moved_ns <= at_ns)
        return next(known, self._past[0][1])

    @property
    def latent(self) -> float:
        return self._at(self._now_ns)

    @property
    def coming(self) -> float:
        """Where the price will stand when the prints have caught up with the walk."""
        return self._past[-1][1]

    def reference_e8(self) -> int:
        """Return the fast reference's next print."""
        spec = self._spec
        basis = spec.basis_bps * 1e-4 + self.state.basis
        noise = spec.noise_bps * 1e-4 * self._rng.gauss(0, 1)
        price = self._at(self._now_ns - spec.reference_lag_ns)
        return round(price * (1 + basis + noise) * 1e8)

    def print_oracle(self, now_ns: int) -> int:
        value = round(self._past[0][1] * 1e8)
        self._oracle.append((now_ns, value))
        return value

    def twap_e8(self, from_ns: int) -> int | None:
        """Return the mean of the oracle's prints after a time, None where there are none."""
        values = [value for at_ns, value in self._oracle if at_ns > from_ns]
        return sum(values) // len(values) if values else None

    def chance_above(
        self, strike_e8: int, end_ns: int, window_ns: int, *, ahead: bool = False
    ) -> float:
        """Return the chance that the oracle's mean over the window before `end_ns` is ≥ a strike.

        `ahead` asks what it would be if the price stood already where it is going.
        The mean of a driftless walk over a window w that begins in a: variance σ²(a + w/3); inside
        the window the part already printed is known. The oracle's lag shortens what is unknown.
        """
        now_ns = self._now_ns
        lag_ns = self._spec.oracle_lag_ns
        left_s = max(end_ns - lag_ns - now_ns, 0) / S
        window_s = window_ns / S
        price = self.coming if ahead else self.latent
        if left_s >= window_s:
            mean, variance = price, left_s - window_s + window_s / 3
        else:
            known = self.twap_e8(end_ns - window_ns)
            share = left_s / window_s
            printed = price if known is None else known / 1e8
            mean, variance = printed * (1 - share) + price * share, share * share * left_s / 3
        spread = self.sigma * sqrt(variance)
        distance = log(mean * 1e8 / strike_e8)
        if spread < 1e-9:
            return 1.0 if distance >= 0 else 0.0
        return NORMAL.cdf(distance / spread)

    def snapshot(self) -> PriceState:
        self.state.past = list(self._past)
        self.state.oracle = list(self._oracle)
        return self.state

    def restore(self, state: PriceState) -> None:
        """Take back what `snapshot` gave."""
        self.state = state
        self._past = deque(state.past)
        self._oracle = deque(state.oracle, maxlen=120)
