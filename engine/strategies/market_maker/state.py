"""What a market maker knows: per instrument, per bot, and in the form that survives a restart."""

from __future__ import annotations

from math import sqrt

import msgspec

from engine.domain.decisions import Rest
from engine.domain.instruments import Instrument
from engine.domain.intents import Quote
from engine.domain.products.product import Product
from engine.indicators.basis import BasisTracker
from engine.indicators.flow import FlowImbalance
from engine.indicators.lead import LeadRegression, LeadTracker
from engine.indicators.markout import JUDGED_HORIZON, MarkoutRecord, MarkoutSummary, MarkoutTracker
from engine.indicators.moves import MoveWindow
from engine.indicators.twap import TwapAccumulator
from engine.indicators.volatility import BlendedVolatility, EwmaVolatility, LogVolatility
from engine.strategies.market_maker.parameters import ClosePolicy, MarketMakerParameters

STATE_VERSION = 2

Sizes = tuple[int, ...]

FILLS_WAITING_MAX = 64
"""Most own fills that wait for the position to tell their direction; the oldest gives way."""

UNBOUNDED = 2**62

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000


class StandingIntent(msgspec.Struct, frozen=True, kw_only=True):
    """The intent that stands, and what it was derived from. Edges in price increments."""

    regime: str
    bids: tuple[Quote, ...] = ()
    asks: tuple[Quote, ...] = ()
    bid_sizes: tuple[int, ...] = ()
    ask_sizes: tuple[int, ...] = ()
    """Sizes asked of the ladder, before levels outside the price range fell away."""
    bid_edge: float = 0.0
    ask_edge: float = 0.0
    tick: int = 0
    """The grid it was made on; another grid makes it again."""
    restate_ns: int = UNBOUNDED
    valid_until_ns: int = UNBOUNDED

    @property
    def empty(self) -> bool:
        """True where it asks for no orders at all."""
        return not self.bids and not self.asks


class WaitingFill(msgspec.Struct, frozen=True, gc=False):
    """An own fill in its leg's price, until the position says which way it went."""

    price: int
    size: int
    at_ns: int


class Learned(msgspec.Struct):
    """What was learned of one instrument. Prices in its increments."""

    volatility: EwmaVolatility
    moves: MoveWindow
    flow: FlowImbalance
    markouts: MarkoutTracker
    lead: LeadTracker
    twap: TwapAccumulator | None = None
    """None = the market does not settle by an average, or its close is not known."""
    standing: StandingIntent | None = None
    """None = nothing was intended yet."""
    position: int | None = None
    """Position at the last evaluation; None before the first."""
    waiting: list[WaitingFill] = []
    cooldown_until_ns: int = 0
    trending: bool = False
    provenance: str = ""
    """Where the strike was proven, in the prover's words."""


class Shared(msgspec.Struct):
    """What was learned of the references and of our fills, for all instruments of the bot."""

    volatility: BlendedVolatility
    moves: MoveWindow
    basis: BasisTracker
    fills: MarkoutRecord
    leads: dict[str, LeadRegression] = {}
    """Series → what its mids make of the model's news."""
    cooldown_until_ns: int = 0
    judged: int = 0
    """Fills marked after 5 s when the last ones were judged."""
    resting_until_ns: int = 0
    rests_for: MarkoutSummary | None = None
    """The fills it rests for; None = it never rested."""
    oracle_price: float = 0.0
    oracle_stamp_ns: int | None = None
    """None = no oracle price yet."""


class SavedState(msgspec.Struct):
    """Everything that survives a restart."""

    version: int
    bot: str
    shared: Shared
    learned: dict[str, Learned]
    oracle: str = ""
    reference: str = ""
    """The keys `shared` was learned of; empty = they were not written down."""


def fresh_learned(p: MarketMakerParameters) -> Learned:
    """Return the state of an instrument nothing is known about."""
    return Learned(
        volatility=EwmaVolatility(
            half_life_s=p.sigma_half_life_s, sample_ns_min=p.sigma_sample_ms_min * MS_NS
        ),
        moves=MoveWindow(window_s=p.event_window_s),
        flow=FlowImbalance(half_life_s=p.trend_half_life_s),
        markouts=MarkoutTracker(),
        lead=LeadTracker(p.lead_ms * MS_NS),
    )


def fresh_shared(p: MarketMakerParameters) -> Shared:
    return Shared(
        volatility=BlendedVolatility(
            *(
                LogVolatility(half_life_s=s, sample_ns_min=p.reference_sample_ms_min * MS_NS)
                for s in (p.reference_half_life_short_s, p.reference_half_life_long_s)
            )
        ),
        moves=MoveWindow(window_s=p.event_window_s),
        basis=BasisTracker(half_life_s=p.basis_half_life_s, lag_ns=p.basis_lag_ms * MS_NS),
        fills=MarkoutRecord.empty(p.markout_half_life_fills, p.rest_fills),
    )


JUDGED_FILLS_MIN = 5
"""Fewer have no scatter to speak of."""


def judge_fills(shared: Shared, p: MarketMakerParameters, now_ns: int, product: Product) -> str:
    """Begin to rest where the last fills lost; return the alert for a person, or nothing.

    They lost where their mean markout is below zero by more than its standard error: then the price
    went further against them within 5 s than the spread they earned. Fewer than `rest_fills` must
    lose more clearly, by √(rest_fills / fills) errors, so that looking early does not find chance
    (O'Brien and Fleming, 1979, "A multiple testing procedure for clinical trials").
    """
    fills, marked = shared.fills, shared.fills.overall.counts[JUDGED_HORIZON]
    if marked == shared.judged or now_ns < shared.resting_until_ns:
        return ""
    shared.judged = marked
    if shared.resting_until_ns:
        # What brought it to rest was judged: only what was filled since is evidence now.
        shared.resting_until_ns = 0
        del fills.recent[:-1]
    summary = fills.summary()
    if summary is None or summary.fills < min(JUDGED_FILLS_MIN, p.rest_fills):
        return ""
    errors = sqrt(p.rest_fills / summary.fills)
    if summary.markout + errors * summary.error >= 0.0 or not p.rest_when_losing:
        return ""
    shared.rests_for = summary
    shared.resting_until_ns = now_ns + int(p.rest_s * SECOND_NS)
    scale, each = _each(product)
    earned, unit = "an unknown spread", each.partition(" ")[0]
    if summary.earned is not None:
        earned = f"{summary.earned * scale:.2f} {unit}"
    return (
        f"its last {summary.fills} fills earned {earned}{each.removeprefix(unit)}, and within 5 s "
        f"the price went against them: {summary.markout * scale:+.2f} \N{PLUS-MINUS SIGN} "
        f"{summary.error * scale:.2f} {each} in all. It opens nothing for {p.rest_s:,.0f} s; "
        "widen it, choose another market, or set rest_when_losing off"
    )


def _each(product: Product) -> tuple[float, str]:
    """Return by what an amount of one unit traded is multiplied for people, and its words."""
    return (100.0, "cents a share") if product.in_cents else (1.0, f"{product.price_unit} a unit")


def rest_of(shared: Shared, p: MarketMakerParameters, product: Product) -> Rest | None:
    """Return the pause that `judge_fills` began last, in words; None = it takes none."""
    if not p.rest_when_losing:
        return None
    fills, (scale, each) = shared.rests_for, _each(product)
    why = "its last fills lost"
    if fills is not None:
        made = f"{fills.markout * scale:+.2f} {each}"
        why = f"its last {fills.fills} fills made {made} within 5 s"
    return Rest(shared.resting_until_ns, why)


def retune(saved: SavedState, p: MarketMakerParameters) -> None:
    """Keep what was learned, but forget and sample as today's parameters say.

    What prices of other keys taught is dropped: a basis or a volatility of one asset, taken for
    another's, would pass every gate.
    """
    if (saved.oracle, saved.reference) != (p.oracle, p.reference):
        before, saved.shared = saved.shared, fresh_shared(p)
        saved.shared.fills, saved.shared.judged = before.fills, before.judged
        saved.shared.resting_until_ns = before.resting_until_ns
        saved.shared.rests_for = before.rests_for
        for learned in saved.learned.values():
            learned.twap = None
            learned.lead = LeadTracker(p.lead_ms * MS_NS)
    shared = saved.shared
    for learned in saved.learned.values():
        if learned.twap is not None:
            learned.twap.held_ns = p.oracle_age_ms_max * MS_NS
        learned.flow.half_life_s = p.trend_half_life_s
        learned.moves = _same_window(learned.moves, p.event_window_s)
        learned.volatility.half_life_s = p.sigma_half_life_s
        learned.volatility.sample_ns_min = p.sigma_sample_ms_min * MS_NS
        if learned.lead.lead_ns != p.lead_ms * MS_NS:
            learned.lead = LeadTracker(p.lead_ms * MS_NS)
            shared.leads = {}
    shared.moves = _same_window(shared.moves, p.event_window_s)
    shared.volatility.retune(
        p.reference_half_life_short_s,
        p.reference_half_life_long_s,
        p.reference_sample_ms_min * MS_NS,
    )
    shared.basis.half_life_s = p.basis_half_life_s
    shared.basis.lag_ns = p.basis_lag_ms * MS_NS
    shared.fills.resize(p.markout_half_life_fills, p.rest_fills)


def _same_window(moves: MoveWindow, window_s: float) -> MoveWindow:
    # The buckets of another window length have other numbers.
    return moves if moves.window_s == window_s else MoveWindow(window_s=window_s)


STOP_NS_MAX = 900 * SECOND_NS
STOP_WINDOW_SHARE = 2
"""One part in this many of a window, its last, is not quoted where no stop was given."""


def stop_before_close_ns(instrument: Instrument, p: MarketMakerParameters) -> int:
    """Return how long before its close a market is left alone."""
    if p.stop_before_close_s is not None:
        return int(p.stop_before_close_s * SECOND_NS)
    starts_ns, closes_ns = instrument.starts_ns, instrument.closes_ns
    if starts_ns is None or closes_ns is None:
        return STOP_NS_MAX
    return min(STOP_NS_MAX, max(0, closes_ns - starts_ns) // STOP_WINDOW_SHARE)


class MarketState:
    """One instrument at work: its constants, and what was learned of it.

    The parameters are turned into price and size increments once, here, because every evaluation
    needs them.
    """

    __slots__ = (
        "binary",
        "cap",
        "capital_micro",
        "closes_ns",
        "divisor",
        "event_jump",
        "half_min",
        "high",
        "hysteresis",
        "instrument",
        "learned",
        "lot",
        "low",
        "maker_rate",
        "opens_until_ns",
        "p",
        "price_max",
        "price_min",
        "product",
        "scale",
        "shared",
        "sigma_cap",
        "sigma_floor",
        "size",
        "size_scale",
        "sizes",
        "sizes_for",
        "sizes_worst",
        "skew_rate",
        "spread_max",
        "start_ns",
        "stop_ns",
        "tick",
        "tolerance",
        "trend_volume",
        "unit",
        "vol_factor",
    )

    def __init__(
        self, instrument: Instrument, learned: Learned, shared: Shared, p: MarketMakerParameters
    ) -> None:
        self.learned = learned
        self.shared = shared
        self.p = p
        self.capital_micro = 0
        self.adopt(instrument)

    def adopt(self, instrument: Instrument) -> None:
        """Take the instrument's metadata, new or changed."""
        p = self.p
        tick, unit, product = instrument.tick, instrument.price_unit, instrument.product
        self.instrument = instrument
        self.binary = product.second is not None
        self.product = product
        self.tick, self.lot, self.unit = tick, instrument.lot, unit
        self.low = tick
        self.high = product.top if self.binary else UNBOUNDED
        self.scale = 1.0 / unit
        self.divisor = instrument.value_divisor
        self.maker_rate = instrument.fees.maker_rate_ppm / 1e6
        self._scale(10**instrument.size_decimals, p)
        self.spread_max = p.spread_ticks_max * tick or UNBOUNDED
        self.half_min = p.half_spread_ticks_min * tick
        self.hysteresis = p.hysteresis_ticks * tick
        self.event_jump = p.event_jump_ticks * tick
        self.sigma_floor = p.sigma_floor_ticks * tick
        self.sigma_cap = p.sigma_cap_ticks * tick
        self.vol_factor = p.width_vol_multiplier * sqrt(p.width_horizon_s)
        self.price_min, self.price_max = p.price_min * unit, p.price_max * unit
        self.closes_ns = instrument.closes_ns
        self.start_ns = self.stop_ns = self.opens_until_ns = None
        if instrument.starts_ns is not None:
            self.start_ns = instrument.starts_ns + int(p.start_after_open_s * SECOND_NS)
        if instrument.closes_ns is not None:
            self.stop_ns = instrument.closes_ns - stop_before_close_ns(instrument, p)
            reduce_s = p.reduce_before_stop_s * (p.inventory_on_close is ClosePolicy.REDUCE)
            self.opens_until_ns = self.stop_ns - int(reduce_s * SECOND_NS)

    def fund(self, capital_micro: int) -> None:
        """Take what the bot may use: it decides whether the size reaches the reward minimum."""
        self.capital_micro = capital_micro
        self._scale(10**self.instrument.size_decimals, self.p)

    def _scale(self, unit: int, p: MarketMakerParameters) -> None:
        self.size = int(p.size_shares * unit) // self.lot * self.lot
        self.size_scale = 1.0 / unit
        self.cap = int(p.inventory_shares_max * unit)
        rewarded = -(-self.instrument.rewards_size_min // self.lot) * self.lot
        # A bid and an ask of a binary cost 1 a share together, whatever the price.
        bound = self.capital_micro * self.divisor * p.rewards_capital_share_max
        pair = self.product.one
        if self.binary and self.size < rewarded <= self.cap and rewarded * pair <= bound:
            self.size = rewarded
        self.tolerance = p.size_tolerance_percent / 100.0 * self.size
        self.trend_volume = p.trend_shares_min * unit
        self.skew_rate = p.skew_ticks_per_unit * self.tick / self.size if self.size else 0.0
        self.sizes: tuple[Sizes, Sizes] = ((), ())
        self.sizes_for: tuple[int, str, bool] | None = None
        """Position, regime and way of the flow `sizes` was last computed for; None = not yet."""
        self.sizes_worst = UNBOUNDED
        """What `sizes` could cost at most, in price · size; unbounded where a price is."""
