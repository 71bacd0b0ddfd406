"""Where does a bot lose? What its fills brought to the outcome, by the manner they came about.

A fill brings sign · (what a YES paid less its price) · shares less its fee, price in YES-space and
sign + for a buy. Only fills of markets whose outcome is known are counted; none is guessed.

Fills of one market share its outcome, so intervals are over whole markets: a bucket's mean a share
is a ratio of sums over markets, and its standard error is that of the linearised ratio (Cochran,
Sampling Techniques, 1977, section 6.4).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import sqrt

import msgspec

from engine.domain.instruments import Leg, Side
from engine.domain.legs import is_bid
from engine.domain.products.binary import mirrored

T_95 = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
    2.120,
    2.110,
    2.101,
    2.093,
    2.086,
    2.080,
    2.074,
    2.069,
    2.064,
    2.060,
)
"""97.5 % quantiles of Student's t with 1, 2, … degrees of freedom: with the normal's 1.96 an
interval over two markets holds the truth in seven of ten cases, not in nineteen of twenty."""


def t_95(degrees: int) -> float:
    """Return the quantile for so many degrees of freedom, 1 and more; exact to 0.002."""
    return T_95[degrees - 1] if degrees <= len(T_95) else 1.96 + 2.5 / degrees


class OutcomeFill(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of a market whose outcome is known. Money in the currency; None = not known."""

    market: str
    bought: bool
    """In YES-space."""
    price: float
    """In YES-space."""
    shares: float
    fee: float
    paid: float
    """What one YES paid: 1, 0 or a half."""
    to_close_s: float | None = None
    spread_ticks: float | None = None
    """Of the book its order was placed into."""
    ahead_ticks: float | None = None
    """How far its order stood inside that book's touch; 0 = at it, below = behind it."""
    age_s: float | None = None
    """From the order's making to the fill."""

    @property
    def pnl(self) -> float:
        gain = self.paid - self.price
        return (gain if self.bought else -gain) * self.shares - self.fee


class LossRow(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket of fills. `low` and `high` bound the mean at 95 %; None = below two markets."""

    by: str
    bucket: str
    fills: int
    markets: int
    shares: float
    pnl: float
    cents_per_share: float
    low: float | None
    high: float | None


class MeanInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over markets with its 95 % interval; None = below two of them."""

    count: int
    mean: float
    low: float | None
    high: float | None


def yes_space(side: Side, leg: Leg, price: int, one: int) -> tuple[bool, int]:
    """Return whether an order or fill buys, and at what price, in YES-space."""
    return is_bid(side, leg), mirrored(leg, price, one)


def place_in_book(
    *, bought: bool, level: int, bid: int | None, ask: int | None, tick: int
) -> tuple[float | None, float | None]:
    """Return the spread of a book, and how far inside its touch an order stands, in ticks."""
    touch = bid if bought else ask
    ahead = None if touch is None else (level - touch if bought else touch - level) / tick
    return None if bid is None or ask is None else (ask - bid) / tick, ahead


Bucket = Callable[[OutcomeFill], str]


def _stepped(
    value: Callable[[OutcomeFill], float | None], bounds: Sequence[float], names: Sequence[str]
) -> Bucket:
    def bucket(fill: OutcomeFill) -> str:
        found = value(fill)
        return "unknown" if found is None else names[bisect_right(bounds, found)]

    return bucket


_TO_CLOSE = ("under 60 s", "60 to 120 s", "120 to 180 s", "180 to 300 s", "300 s and more")
_SPREAD = ("1 tick", "2 ticks", "3 ticks", "4 ticks and more")
_PRICE = ("under 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 and more")
_TOUCH = ("behind the touch", "at the touch", "inside the touch")
_AGE = ("under 1 s", "1 to 5 s", "5 to 30 s", "30 s and more")

KINDS: dict[str, tuple[Bucket, tuple[str, ...]]] = {
    "all": (lambda _: "all fills", ("all fills",)),
    "time to close": (
        _stepped(lambda fill: fill.to_close_s, (60, 120, 180, 300), _TO_CLOSE),
        _TO_CLOSE,
    ),
    "spread at the order": (
        _stepped(lambda fill: fill.spread_ticks, (1.5, 2.5, 3.5), _SPREAD),
        _SPREAD,
    ),
    "price": (_stepped(lambda fill: fill.price, (0.2, 0.4, 0.6, 0.8), _PRICE), _PRICE),
    "side": (lambda fill: "bought" if fill.bought else "sold", ("bought", "sold")),
    "place": (_stepped(lambda fill: fill.ahead_ticks, (-0.5, 0.5), _TOUCH), _TOUCH),
    "age of the quote": (_stepped(lambda fill: fill.age_s, (1, 5, 30), _AGE), _AGE),
}
"""What fills are distinguished by: each with its buckets in order."""


def losses(fills: Iterable[OutcomeFill]) -> list[LossRow]:
    """Return what the fills brought, by each kind and its buckets that have any."""
    known = list(fills)
    rows = []
    for by, (bucket_of, names) in KINDS.items():
        buckets: dict[str, list[OutcomeFill]] = {name: [] for name in (*names, "unknown")}
        for fill in known:
            buckets[bucket_of(fill)].append(fill)
        rows += [_row(by, name, found) for name, found in buckets.items() if found]
    return rows


def _row(by: str, bucket: str, fills: Sequence[OutcomeFill]) -> LossRow:
    per_market: dict[str, tuple[float, float]] = {}
    for fill in fills:
        pnl, shares = per_market.get(fill.market, (0.0, 0.0))
        per_market[fill.market] = pnl + fill.pnl, shares + fill.shares
    found = ratio_interval(list(per_market.values()))
    return LossRow(
        by=by,
        bucket=bucket,
        fills=len(fills),
        markets=found.count,
        shares=sum(shares for _, shares in per_market.values()),
        pnl=sum(pnl for pnl, _ in per_market.values()),
        cents_per_share=found.mean * 100,
        low=None if found.low is None else found.low * 100,
        high=None if found.high is None else found.high * 100,
    )


def ratio_interval(per_market: Sequence[tuple[float, float]]) -> MeanInterval:
    """Return Σ value / Σ weight of (value, weight) pairs, one per market; one at least."""
    count, weight = len(per_market), sum(weight for _, weight in per_market)
    mean = sum(value for value, _ in per_market) / weight
    if count == 1:
        return MeanInterval(count=1, mean=mean, low=None, high=None)
    squares = sum((value - mean * held) ** 2 for value, held in per_market)
    reach = t_95(count - 1) * sqrt(squares * count / (count - 1)) / weight
    return MeanInterval(count=count, mean=mean, low=mean - reach, high=mean + reach)


def mean_interval(values: Sequence[float]) -> MeanInterval | None:
    """Return the mean of one value per market; None where there is no market."""
    return ratio_interval([(value, 1.0) for value in values]) if values else None
