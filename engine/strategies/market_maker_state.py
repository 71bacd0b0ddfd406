"""What a market maker knows: per instrument, per bot, and in the form that survives a restart."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Instrument, Kind
from engine.domain.intents import Quote
from engine.indicators.basis import BasisTracker
from engine.indicators.flow import FlowImbalance
from engine.indicators.markout import MarkoutMeans, MarkoutTracker
from engine.indicators.moves import MoveWindow
from engine.indicators.twap import TwapAccumulator
from engine.indicators.volatility import EwmaVolatility, LogVolatility
from engine.strategies.market_maker_parameters import MarketMakerParameters

STATE_VERSION = 1

FILLS_WAITING_MAX = 64
"""Most own fills that wait for the position to tell their direction; the oldest gives way."""

UNBOUNDED = 2**62


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The wish that stands, and what it was derived from. Edges in price increments."""

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
        """True where it wishes for no orders at all."""
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
    twap: TwapAccumulator | None = None
    """None = the market does not settle by an average, or its close is not known."""
    standing: Standing | None = None
    """None = nothing was wished yet."""
    position: int | None = None
    """Position at the last evaluation; None before the first."""
    waiting: list[WaitingFill] = []
    cooldown_until_ns: int = 0
    trending: bool = False
    provenance: str = ""
    """Where the strike was proven, in the prover's words."""


class Shared(msgspec.Struct):
    """What was learned of the references and of our fills, for all instruments of the bot."""

    volatility: LogVolatility
    moves: MoveWindow
    basis: BasisTracker
    means: MarkoutMeans
    cooldown_until_ns: int = 0
    oracle_price: float = 0.0
    oracle_stamp_ns: int | None = None
    """None = no oracle price yet."""


class Saved(msgspec.Struct):
    """Everything that survives a restart."""

    version: int
    bot: str
    shared: Shared
    learned: dict[str, Learned]


def fresh_learned(p: MarketMakerParameters) -> Learned:
    """Return the state of an instrument nothing is known about."""
    return Learned(
        volatility=EwmaVolatility(
            half_life_s=p.sigma_half_life_s, sample_s_min=p.sigma_sample_ms_min / 1e3
        ),
        moves=MoveWindow(window_s=p.event_window_s),
        flow=FlowImbalance(half_life_s=p.trend_half_life_s),
        markouts=MarkoutTracker(),
    )


def fresh_shared(p: MarketMakerParameters) -> Shared:
    """Return the state of a bot that has heard nothing."""
    return Shared(
        volatility=LogVolatility(
            half_life_s=p.sigma_half_life_s, sample_s_min=p.sigma_sample_ms_min / 1e3
        ),
        moves=MoveWindow(window_s=p.event_window_s),
        basis=BasisTracker(half_life_s=p.basis_half_life_s, lag_ns=p.basis_lag_ms * 1_000_000),
        means=MarkoutMeans(half_life_fills=p.markout_half_life_fills),
    )


def retune(saved: Saved, p: MarketMakerParameters) -> None:
    """Keep what was learned, but forget and sample as today's parameters say."""
    shared = saved.shared
    for learned in saved.learned.values():
        learned.flow.half_life_s = p.trend_half_life_s
        learned.moves = _same_window(learned.moves, p.event_window_s)
        learned.volatility.half_life_s = p.sigma_half_life_s
        learned.volatility.sample_s_min = p.sigma_sample_ms_min / 1e3
    shared.moves = _same_window(shared.moves, p.event_window_s)
    shared.volatility.half_life_s = p.sigma_half_life_s
    shared.volatility.sample_s_min = p.sigma_sample_ms_min / 1e3
    shared.basis.half_life_s = p.basis_half_life_s
    shared.basis.lag_ns = p.basis_lag_ms * 1_000_000
    shared.means.half_life_fills = p.markout_half_life_fills


def _same_window(moves: MoveWindow, window_s: float) -> MoveWindow:
    # The buckets of another window length have other numbers.
    return moves if moves.window_s == window_s else MoveWindow(window_s=window_s)


class Market:
    """One instrument at work: its constants in increments, and what was learned of it."""

    __slots__ = (
        "binary", "cap", "closes_ns", "divisor", "high", "instrument", "learned", "lot", "low",
        "one", "scale", "size", "start_ns", "stop_ns", "tick", "unit",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, learned: Learned, p: MarketMakerParameters) -> None:
        self.learned = learned
        self.adopt(instrument, p)

    def adopt(self, instrument: Instrument, p: MarketMakerParameters) -> None:
        """Take the instrument's metadata, new or changed."""
        self.instrument = instrument
        self.binary = instrument.kind is Kind.BINARY
        self.tick = instrument.tick
        self.lot = instrument.lot
        self.one = instrument.one
        self.scale = 1.0 / instrument.one
        self.unit = 10**instrument.size_decimals
        self.size = int(p.size_shares * self.unit) // self.lot * self.lot
        self.cap = int(p.inventory_shares_max * self.unit)
        self.low = self.tick
        self.high = self.one - self.tick if self.binary else UNBOUNDED
        self.divisor = instrument.value_divisor
        self.closes_ns = instrument.closes_ns
        self.start_ns = self.stop_ns = None
        if instrument.starts_ns is not None:
            self.start_ns = instrument.starts_ns + int(p.start_after_open_s * 1e9)
        if instrument.closes_ns is not None:
            self.stop_ns = instrument.closes_ns - int(p.stop_before_close_s * 1e9)
