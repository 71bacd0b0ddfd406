"""What a demo world holds: markets, makers, takers, and how busy they are.

`FULL` is for a person watching, `THIN` for the simulator (a few events per second in sum). Figures
follow recordings of 5-minute up/down books: 1-cent spreads most of the time, some hundred shares at
the touch, about ten book events per second in the running market.
"""

from __future__ import annotations

import msgspec

from engine.domain.products.margin import MarginTier
from engine.venues.demo.reference import PriceSpec

S = 1_000_000_000
MS = 1_000_000
USD = 1_000_000
CURRENCY = "pUSD"
"""What the exchange counts in."""


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
    mean_steps: int = 1
    """Over how many steps, the last one `lag_steps` ago, it averages what it knows.

    More than one lets a jump reach the book over seconds, as recorded books do: over 1 s their
    mid's variance per second is 55 % of that over 30 s, more than a minute before the close.
    """
    shares: float
    """Median size of a quote."""
    rungs: tuple[tuple[int, int], ...] = ((0, 0),)
    """Per quote and side: (ticks behind the best, ticks of drift it tolerates)."""
    size_spread: float = 0.9
    """Standard deviation of the logarithm of a quote's size."""
    deeper: float = 0.0
    """How much larger a quote is per tick behind the best, as a share."""


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
    echo_chance: float = 0.0
    """How often a taker is followed by another of its kind, same side, before anybody else acts."""
    rush_chance: float = 0.0
    """The same of informed takers: several see the same mistake."""
    echo_s: float = 0.02
    """Mean wait until then."""
    swarm_chance: float = 0.0
    """How often a noise taker is the first of a swarm, each of which takes a side of its own."""
    swarm_echo_chance: float = 0.0
    """How often one of a swarm is followed by another."""
    swarm_s: float = 0.01
    """Mean wait until then."""
    early_share: float = 0.0
    """How often a noise taker knows where the price is going, and takes that side."""
    fast_share: float = 0.0
    """How often it knows where the price has gone and the book has not."""
    swarm_part: float = 1.0
    """Size of their orders, as a part of a noise taker's."""
    mood_spread: float = 0.0
    """Standard deviation of the logarithm of a market's activity."""
    mood_floor: float = 0.0
    """The part of the activity that has no moods."""
    mood_memory_s: float = 4.0
    """Time in which a mood forgets all but 1/e."""
    impact: float = 0.0
    """How far makers follow each noise taker with their belief, in price units of 1."""
    impact_memory_s: float = 20.0
    """Time in which they forget all but 1/e of it."""
    depth_spread: float = 0.0
    """Standard deviation of the logarithm of how deep one market is beside others."""
    ahead_share: float = 0.12
    """Activity in coming markets of a series, relative to a running one."""
    event_share: float = 0.10
    """Activity in event markets, relative to a running one."""
    cash_micro: int = 1_000_000_000 * USD
    """What each member of the crowd starts with and is topped up to."""


class SpotMaker(msgspec.Struct, frozen=True, kw_only=True):
    """A background maker of a spot pair. Widths in basis points of the price."""

    name: str
    half_width_bps: float
    noise_bps: float
    """Standard deviation of its error about the price."""
    size: float
    """Median size of a quote, in the base asset."""
    rungs_bps: tuple[float, ...]
    """How far behind its best quote each further one is; 0 first."""
    tolerance_bps: float
    """How far the price may drift before a quote is moved."""


class SpotSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A spot pair on the reference price, and who trades it. Rates are per second."""

    name: str
    base: str
    currency: str = CURRENCY
    """What its prices are said to be in; the exchange's own wallets have one kind of cash."""
    price_decimals: int = 2
    size_decimals: int = 8
    tick: int = 10
    lot: int = 1_000
    size_min: int = 10_000
    notional_min_micro: int = USD
    taker_ppm: int = 500
    """Fees are paid in the quote asset."""
    maker_ppm: int = 200
    makers: tuple[SpotMaker, ...]
    maker_rate: float = 1.5
    """How often each maker looks at its quotes."""
    noise_rate: float = 0.5
    informed_rate: float = 0.25
    noise_size: float = 0.004
    """Median size of a noise taker's order, in the base asset."""
    noise_spread: float = 1.2
    """Standard deviation of that size's logarithm."""
    noise_size_max: float = 0.5
    informed_size: float = 0.02
    informed_edge_bps: float = 1.0
    """What an informed taker wants beyond its fee."""
    base_units: int = 1_000
    """What each of them has of the base asset, and is topped up to."""
    cash_micro: int = 100_000_000 * USD


class PerpetualSpec(SpotSpec, frozen=True, kw_only=True):
    """A perpetual on the reference price, and who trades it; `base_units` is not used."""

    leverage: int = 10
    """Value of an account's position by the margin it takes."""
    tiers: tuple[MarginTier, ...]
    interest_e12: int = 12_500_000
    """Funding of an hour while the contract trades at its mark: 0.01 % in eight hours."""
    damper_e12: int = 500_000_000
    """How far interest pulls a premium back to itself: ±0.05 % (Binance)."""
    cap_e12: int = 5_000_000_000
    """The most an hour's funding can be, either way."""


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
    spots: tuple[SpotSpec, ...] = ()
    perpetuals: tuple[PerpetualSpec, ...] = ()


SPOT = SpotSpec(
    name="BTC-pUSD",
    base="BTC",
    makers=(
        SpotMaker(
            name="demo-spot-tight",
            half_width_bps=0.4,
            noise_bps=0.2,
            size=0.05,
            rungs_bps=(0.0, 0.6),
            tolerance_bps=0.3,
        ),
        SpotMaker(
            name="demo-spot-wide",
            half_width_bps=2.0,
            noise_bps=0.6,
            size=0.4,
            rungs_bps=(0.0, 2.0, 5.0, 10.0, 20.0, 40.0),
            tolerance_bps=1.5,
        ),
    ),
)
"""The demo exchange's spot pair."""

PERPETUAL = PerpetualSpec(
    name="BTC-PERP",
    base="BTC",
    tiers=(
        MarginTier(0, 50_000 * USD, 5_000, 100),
        MarginTier(50_000 * USD, 250_000 * USD, 10_000, 50),
        MarginTier(250_000 * USD, 1_000_000 * USD, 25_000, 20),
        MarginTier(1_000_000 * USD, 100_000_000 * USD, 50_000, 10),
    ),
    makers=(
        msgspec.structs.replace(SPOT.makers[0], name="demo-perpetual-tight"),
        msgspec.structs.replace(SPOT.makers[1], name="demo-perpetual-wide"),
    ),
)
"""A perpetual of the demo exchange, beside its spot pair."""

EVENTS = (
    EventSpec(name="rate-cut-by-march", days=60.0, chance=0.62),
    EventSpec(name="comet-visible-this-month", days=30.0, chance=0.27, fee_ppm=50_000),
)

FULL = Profile(
    step_ns=250 * MS,
    spots=(SPOT,),
    perpetuals=(PERPETUAL,),
    event_step_ns=2 * S,
    events=(*EVENTS, EventSpec(name="treaty-signed", days=120.0, chance=0.08, fee_ppm=0)),
    price=PriceSpec(
        vol_annual=0.11,
        vol_spread=0.7,
        vol_memory_s=390.0,
        jumps_per_hour=500.0,
        jump_bps=1.15,
        ahead_ns=5 * S,
        reference_lag_ns=1_250 * MS,
        oracle_lag_ns=3_250 * MS,
    ),
    crowd=CrowdSpec(
        makers=(
            MakerSpec(
                name="demo-maker-tight",
                half_width=0.0001,
                noise=0.0002,
                lag_steps=2,
                mean_steps=5,
                shares=8.3,
                rungs=((0, 0), (1, 1)),
                size_spread=1.2,
                deeper=0.45,
            ),
            MakerSpec(
                name="demo-maker-calm",
                half_width=0.0007,
                noise=0.001,
                lag_steps=3,
                mean_steps=5,
                shares=55.0,
                rungs=((0, 0), (2, 1), (4, 2)),
                size_spread=0.86,
                deeper=0.45,
            ),
            MakerSpec(
                name="demo-maker-wide",
                half_width=0.018,
                noise=0.004,
                lag_steps=4,
                mean_steps=5,
                shares=119.0,
                rungs=((0, 1), (1, 2), (2, 2), (3, 2), (4, 2), (8, 3), (15, 4), (25, 5)),
                size_spread=0.9,
                deeper=0.23,
            ),
        ),
        maker_rate=11.2,
        noise_rate=6.75,
        noise_shares=6.3,
        noise_spread=1.0,
        informed_rate=6.0,
        informed_shares=16.0,
        informed_edge=0.002,
        echo_chance=0.6,
        rush_chance=0.6,
        echo_s=0.030,
        swarm_chance=0.0115,
        swarm_echo_chance=0.956,
        swarm_s=0.0077,
        swarm_part=0.35,
        early_share=0.25,
        fast_share=0.25,
        mood_spread=2.0,
        mood_floor=0.575,
        mood_memory_s=3.0,
        impact=0.0002,
        depth_spread=0.55,
        ahead_share=0.06,
        event_share=0.05,
    ),
)
"""Fitted by `python -m studies.calibration`, which lays it beside recorded markets.

What takers know (`ahead_ns`, `early_share`, `fast_share`) is fitted to the markouts of a maker that
rests at the touch of BTC 5-minute markets, 2026-04-13 and 14: after 1, 5 and 30 s -1.21, -1.88 and
-2.03 cents a share, 5,853 fills. The mid of those markets moves with the exchanges' prices and two
to three seconds before the relayed oracle, so the fast reference prints what the makers here, who
average a second and more, have just quoted, and the oracle two seconds later.
"""

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
