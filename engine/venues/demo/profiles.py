"""What a demo world holds: markets, makers, takers, and how busy they are.

`FULL` is for a person watching, `THIN` for the simulator (a few events per second in sum). Figures
follow recordings of 5-minute up/down books: 1-cent spreads most of the time, some hundred shares at
the touch, about ten book events per second in the running market.
"""

from __future__ import annotations

import msgspec

from engine.venues.demo.reference import PriceSpec

S = 1_000_000_000
MS = 1_000_000
USD = 1_000_000


class SeriesSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A rolling up/down series on the reference price. Fees: crypto, polymarket.md §5.4."""

    name: str = "btc-updown-5m"
    period_ns: int = 300 * S
    ahead: int = 2
    """How many coming markets are listed besides the running one."""
    window_ns: int = 30 * S
    """The oracle's mean over this last stretch decides."""
    resolve_after_ns: int = 4 * S
    fee_ppm: int = 70_000
    rebate_ppm: int = 200_000
    taker_delay_ns: int = 0


class EventSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A long-dated event whose probability diffuses slowly; it is listed anew when it is over."""

    name: str
    days: float
    chance: float
    """Probability at the start."""
    fee_ppm: int = 40_000
    rebate_ppm: int = 250_000


class MakerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A background market maker. Widths in price units of 1."""

    name: str
    half_width: float
    noise: float
    """Standard deviation of its error about the probability."""
    lag_steps: int
    """How many steps of the world it is behind."""
    shares: float
    """Median size of a quote."""
    rungs: tuple[tuple[int, int], ...] = ((0, 0),)
    """Per quote and side: (ticks behind the best, ticks of drift it tolerates)."""


class CrowdSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Who trades besides the customers. Rates are wakes per second in a running market."""

    makers: tuple[MakerSpec, ...]
    maker_rate: float
    """Of each maker."""
    noise_rate: float
    informed_rate: float
    noise_shares: float = 14.0
    """Median size of a noise taker's order; recordings: p50 10, p95 331 shares."""
    noise_spread: float = 1.6
    """Standard deviation of that size's logarithm."""
    informed_shares: float = 120.0
    informed_edge: float = 0.003
    """What an informed taker wants beyond the fee, in price units of 1."""
    ahead_share: float = 0.12
    """Activity in coming markets of a series, relative to a running one."""
    event_share: float = 0.10
    """Activity in event markets, relative to a running one."""
    cash_micro: int = 1_000_000_000 * USD
    """What each member of the crowd starts with and is topped up to."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole world."""

    step_ns: int
    """How often the latent world moves and the fast reference prints; divides a second."""
    event_step_ns: int
    crowd: CrowdSpec
    price: PriceSpec = PriceSpec()
    series: tuple[SeriesSpec, ...] = (SeriesSpec(),)
    events: tuple[EventSpec, ...] = ()
    size_min: int = 5_000_000
    notional_min_micro: int = USD


EVENTS = (
    EventSpec(name="rate-cut-by-march", days=60.0, chance=0.62),
    EventSpec(name="comet-visible-this-month", days=30.0, chance=0.27, fee_ppm=50_000),
)

FULL = Profile(
    step_ns=250 * MS,
    event_step_ns=2 * S,
    events=(*EVENTS, EventSpec(name="treaty-signed", days=120.0, chance=0.08, fee_ppm=0)),
    crowd=CrowdSpec(
        makers=(
            MakerSpec(
                name="demo-maker-tight",
                half_width=0.0002,
                noise=0.001,
                lag_steps=1,
                shares=65.0,
                rungs=((0, 0), (1, 1)),
            ),
            MakerSpec(
                name="demo-maker-calm",
                half_width=0.0015,
                noise=0.002,
                lag_steps=2,
                shares=110.0,
                rungs=((0, 0), (2, 1), (5, 2)),
            ),
            MakerSpec(
                name="demo-maker-wide",
                half_width=0.010,
                noise=0.004,
                lag_steps=3,
                shares=230.0,
                rungs=((0, 1), (3, 2), (8, 3), (15, 4), (25, 5)),
            ),
        ),
        maker_rate=0.75,
        noise_rate=2.4,
        informed_rate=1.2,
    ),
)

THIN = Profile(
    step_ns=500 * MS,
    event_step_ns=10 * S,
    events=EVENTS,
    crowd=CrowdSpec(
        makers=(
            MakerSpec(
                name="demo-maker-tight",
                half_width=0.0002,
                noise=0.001,
                lag_steps=1,
                shares=95.0,
                rungs=((0, 0),),
            ),
            MakerSpec(
                name="demo-maker-wide",
                half_width=0.008,
                noise=0.003,
                lag_steps=2,
                shares=230.0,
                rungs=((0, 1), (4, 2), (12, 4)),
            ),
        ),
        maker_rate=0.6,
        noise_rate=0.35,
        informed_rate=0.4,
        ahead_share=0.05,
        event_share=0.05,
    ),
)
