"""The market maker's parameters: units in the names, bounds and help for the form."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, model_validator

from engine.strategies.door import Parameters
from engine.strategies.fair_value import Tails


class FairSource(StrEnum):
    """Where the fair value comes from."""

    REFERENCE = "reference"
    """The settlement oracle, led by a faster reference."""
    MICROPRICE = "microprice"
    """The instrument's own book."""


class Prior(StrEnum):
    """What a fair value of the oracle begins with."""

    MARKET = "market"
    """The book's mid, moved by what the model knows earlier, as far as that was proven."""
    MODEL = "model"
    """The model alone."""


class ClosePolicy(StrEnum):
    """What happens to inventory towards the close."""

    HOLD = "hold"
    REDUCE = "reduce"
    """Rest quotes at the touch that reduce it, from `reduce_before_stop_s` on."""


class OneSidedFlow(StrEnum):
    """What happens to the side that one-sided trades run into."""

    WIDEN = "widen"
    WITHDRAW = "withdraw"


def _between(low: float, high: float, text: str) -> object:
    return Field(ge=low, le=high, description=text)


class FairParameters(Parameters):
    """Where the fair value comes from and how fast it forgets."""

    fair: Annotated[
        FairSource,
        Field(description="reference = oracle and strike; microprice = the book alone"),
    ] = FairSource.MICROPRICE
    oracle: Annotated[
        str, Field(min_length=1, description="key of the price the market settles on")
    ] = "chainlink:btc/usd"
    reference: Annotated[
        str,
        Field(min_length=1, description="key of the faster price; the oracle's key = no other one"),
    ] = "binance:btcusdt"
    twap_window_s: Annotated[
        float | None,
        Field(
            ge=0,
            le=3600,
            description="s: settlement averages this long before the close, 0 = closing price; "
            "fair=reference needs it stated",
        ),
    ] = None
    prior: Annotated[
        Prior,
        Field(
            description="market = the mid, moved by what the model knows earlier; model = the "
            "model alone, whatever the market says"
        ),
    ] = Prior.MARKET
    """On recorded windows the mid is the better forecast and never moves to the model's. Costs the
    quotes of a book that has no mid."""
    lead_ms: Annotated[
        int, _between(100, 60_000, "ms: how long ago the mid knew what the model says now")
    ] = 2_000
    """The relayed oracle shows what the mid shows about two seconds later."""
    tails: Annotated[
        Tails, Field(description="student = fat tails; normal = as a Brownian motion has them")
    ] = Tails.STUDENT
    """Costs certainty far from the strike, where the normal is too sure."""
    reference_half_life_short_s: Annotated[
        float, _between(1, 604_800, "s: memory of the reference's volatility for the present hour")
    ] = 1_800.0
    """Five minutes forget too fast: the volatility of the next ones is mostly that of the hour."""
    reference_half_life_long_s: Annotated[
        float, _between(1, 604_800, "s: its memory for what is usual")
    ] = 21_600.0
    """Six hours, a session of the day. Costs a bot on its first day a memory it does not have."""
    reference_sample_ms_min: Annotated[
        int, _between(0, 600_000, "ms: returns of the reference are at least this long")
    ] = 10_000
    """Samples of 2 s of a smoothed oracle see about 60 % of its variance."""
    sigma_half_life_s: Annotated[
        float, _between(1, 86_400, "s: after which the book's volatility has half forgotten")
    ] = 300.0
    sigma_sample_ms_min: Annotated[
        int, _between(0, 60_000, "ms: samples of the book's volatility are at least this far apart")
    ] = 2_000
    sigma_warm_s: Annotated[float, _between(0, 86_400, "s: of samples before the first quote")] = (
        60.0
    )
    sigma_floor_bps: Annotated[
        float, _between(0.001, 100, "bps per √s: the reference's volatility is never taken lower")
    ] = 0.1
    sigma_cap_bps: Annotated[float, _between(0.001, 1_000, "bps per √s: never taken higher")] = 50.0
    sigma_floor_ticks: Annotated[
        float, _between(0.001, 1_000, "ticks per √s: the book's volatility is never taken lower")
    ] = 0.05
    sigma_cap_ticks: Annotated[
        float, _between(0.001, 10_000, "ticks per √s: never taken higher")
    ] = 20.0
    basis_half_life_s: Annotated[
        float, _between(1, 86_400, "s: after which the basis has half forgotten")
    ] = 120.0
    basis_lag_ms: Annotated[
        int,
        _between(0, 30_000, "ms: by stamps, how late the oracle shows what the reference showed"),
    ] = 700
    """Between 500 and 1,000 ms the basis of RTDS Chainlink over Binance is steadiest."""
    basis_pairs_min: Annotated[
        int, _between(2, 10_000, "oracle prices compared with the reference before the first quote")
    ] = 30


class GateParameters(Parameters):
    """When it may quote at all."""

    data_age_ms_max: Annotated[
        int, _between(1, 3_600_000, "ms: oldest proof of the book to quote on")
    ] = 5_000
    oracle_age_ms_max: Annotated[
        int, _between(1, 3_600_000, "ms: of the last oracle price, by stamp and arrival")
    ] = 10_000
    reference_age_ms_max: Annotated[
        int, _between(1, 3_600_000, "ms: of the last reference price, by stamp and arrival")
    ] = 3_000
    start_after_open_s: Annotated[
        float, _between(-86_400, 86_400, "s: after the window opens; negative = before it")
    ] = 0.0
    stop_before_close_s: Annotated[
        float | None,
        Field(
            ge=0,
            le=86_400,
            description="s: before the close, from when it rests nothing; empty = half of the "
            "window, 900 s at most (a 5-minute market: 150 s)",
        ),
    ] = None
    """An at-the-money binary moves by φ(0)/√τ per √s of time: 3.3 cents at 150 s to the close, 1.3
    at 900 s and without bound at the end, while a spread stays a cent or two. Costs the busiest
    half of a short window."""
    inventory_on_close: Annotated[
        ClosePolicy,
        Field(description="hold = keep it; reduce = only reduce, at the touch, before the stop"),
    ] = ClosePolicy.REDUCE
    """What is left at the stop is a bet on the outcome. Reducing costs the spread of its own exit
    being adverse now and then, and the fills that would have opened in that time."""
    reduce_before_stop_s: Annotated[
        float, _between(0, 86_400, "s: before the stop, from when `reduce` only reduces")
    ] = 60.0
    """A queue at the touch of a busy market turns over within about a minute."""
    spread_ticks_max: Annotated[
        int,
        _between(0, 1_000, "ticks: of the book's spread, beyond which it opens nothing; 0 = off"),
    ] = 2
    """A wide book is one whose makers have left because they expect a move: its spread is not pay
    but a warning (Glosten and Milgrom, 1985). Costs the fills of markets that are always wide."""
    price_min: Annotated[
        float, _between(0, 1, "currency: no quotes while the fair value of a binary is lower")
    ] = 0.05
    price_max: Annotated[float, _between(0, 1, "currency: no quotes while it is higher")] = 0.95
    fair_gap_max: Annotated[
        float, _between(0.001, 1, "currency: distance from fair=reference to the book's mid")
    ] = 0.25
    event_window_s: Annotated[
        float, _between(0.05, 600, "s: within which a jump is looked for")
    ] = 1.0
    event_jump_ticks: Annotated[
        float, _between(0, 10_000, "ticks: of the book's mid within the window; 0 = off")
    ] = 10.0
    event_jump_bps: Annotated[
        float, _between(0, 10_000, "bps: of the reference within the window; 0 = off")
    ] = 8.0
    event_cooldown_s: Annotated[float, _between(0, 3_600, "s: without quotes after a jump")] = 3.0
    trend_imbalance_min: Annotated[
        float, _between(0, 1, "share: net of total traded size, either way, that makes a trend")
    ] = 0.7
    trend_shares_min: Annotated[
        float, _between(0, 1e9, "shares: remembered traded size below which there is no trend")
    ] = 500.0
    trend_half_life_s: Annotated[
        float, _between(0.1, 3_600, "s: after which half of a trade is forgotten")
    ] = 10.0
    one_sided_flow: Annotated[
        OneSidedFlow,
        Field(description="withdraw = no quote on the side a trend runs into; widen = a wider one"),
    ] = OneSidedFlow.WITHDRAW
    """One-sided takers know something (Easley and O'Hara's order imbalance): the quote they run
    into is the one to lose by. Costs half of the fills of a trend."""
    rest_when_losing: Annotated[
        bool,
        Field(description="rest, with an alert, once the last fills lost more than they earned"),
    ] = True
    """A maker whose markouts are worse than its spread pays for each fill. Costs the fills of a bot
    that had bad luck: with no edge at all it rests wrongly about every sixth time it is judged."""
    rest_fills: Annotated[
        int,
        _between(2, 10_000, "fills: how many of the last are judged; fewer must lose clearer"),
    ] = 20
    """With markouts that scatter by 4 cents their mean is known to 0.9 cents. Costs what so many
    fills lose: at 20 shares and 3 cents, 12 of the currency."""
    rest_s: Annotated[
        float, _between(1, 2_592_000, "s: how long it rests before its next fills are judged anew")
    ] = 86_400.0
    """A day has the flow of all its hours in it; another day may have another. Costs one more
    trial of `rest_fills` fills after each."""


class QuoteParameters(Parameters):
    """Where and how much it quotes, and when it leaves a quote alone."""

    size_shares: Annotated[float, _between(1e-6, 1e9, "shares per level")] = 20.0
    rewards_capital_share_max: Annotated[
        float,
        _between(
            0, 1, "share of the capital a bid and an ask of a market's reward minimum may tie up, "
            "for the size to be raised to it; 0 = never raised"
        ),
    ] = 0.1  # fmt: skip
    """A quote below the minimum earns no reward at all. Costs as much more per bad fill."""
    improve_ticks_max: Annotated[
        int, _between(0, 1_000, "ticks: how far inside the touch a quote may stand")
    ] = 0
    """Who stands alone in front is filled first by those who know. Costs queue position: joining
    means to wait behind what rests there."""
    join_share_min: Annotated[
        float,
        _between(
            0, 1, "share of both best sizes that must rest on its side for a quote to join the "
            "touch; below it stands a tick behind"
        ),
    ] = 0.5  # fmt: skip
    """The smaller queue is gone first and the price moves through it (Cont and de Larrard, 2013):
    who joins it is filled just before. Costs the fills of the thinner side."""
    levels: Annotated[int, _between(1, 20, "quotes per side")] = 1
    level_step_ticks: Annotated[int, _between(1, 1_000, "ticks between the levels of a side")] = 1
    half_spread_ticks_min: Annotated[
        float, _between(0.5, 1_000, "ticks: from the reservation price to the best quote, at least")
    ] = 1.0
    width_vol_multiplier: Annotated[
        float, _between(0, 20, "half width in standard deviations of the fair value")
    ] = 1.0
    width_horizon_s: Annotated[
        float,
        _between(0, 600, "s: over which that deviation is taken: how long a quote is exposed"),
    ] = 1.0
    width_basis_multiplier: Annotated[
        float, _between(0, 20, "half width added per standard deviation of the basis")
    ] = 0.5
    width_markout_multiplier: Annotated[
        float, _between(0, 20, "half width added per lost currency unit of the 5 s markout")
    ] = 1.0
    markout_fills_min: Annotated[
        int, _between(1, 10_000, "marked fills before the markout widens")
    ] = 10
    markout_half_life_fills: Annotated[
        float, _between(1, 10_000, "fills: after which half of a markout is forgotten")
    ] = 50.0
    trend_width_multiplier: Annotated[
        float, _between(1, 20, "half width of the side a trend runs into, times this")
    ] = 2.0
    skew_ticks_per_unit: Annotated[
        float, _between(0, 1_000, "ticks: reservation shift per size_shares of inventory")
    ] = 0.5
    inventory_shares_max: Annotated[
        float, _between(1e-6, 1e9, "shares: largest position either way")
    ] = 200.0
    hysteresis_ticks: Annotated[
        float, _between(0, 1_000, "ticks: an edge moves at least this far before a quote is moved")
    ] = 1.0
    size_tolerance_percent: Annotated[
        float, _between(0, 100, "% of size_shares: sizes nearer than this are the same")
    ] = 10.0
    replan_ms_min: Annotated[int, _between(0, 60_000, "ms: between two evaluations, at least")] = 50
    timer_ms: Annotated[
        int, _between(10, 60_000, "ms: between two evaluations of a quiet market, at most")
    ] = 1_000
    refresh_ms: Annotated[
        int, _between(10, 3_600_000, "ms: after which an unchanged wish is stated again")
    ] = 10_000
    valid_for_ms: Annotated[
        int, _between(20, 3_600_000, "ms: for which a wish holds unless stated again")
    ] = 30_000


class MarketMakerParameters(FairParameters, GateParameters, QuoteParameters):
    """Rests bids below and asks above a fair value, and earns the spread when both are taken.

    It leans its quotes against what it holds, and takes them back wherever one of its gates says
    no: a stale book, a jump, the close.
    """

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fair is FairSource.REFERENCE and self.twap_window_s is None:
            raise ValueError("twap_window_s must be stated with fair=reference (0 = closing price)")
        if self.price_min >= self.price_max:
            raise ValueError("price_min must be below price_max")
        if self.sigma_floor_bps > self.sigma_cap_bps:
            raise ValueError("sigma_floor_bps must not be above sigma_cap_bps")
        if self.sigma_floor_ticks > self.sigma_cap_ticks:
            raise ValueError("sigma_floor_ticks must not be above sigma_cap_ticks")
        if self.refresh_ms + self.timer_ms > self.valid_for_ms:
            raise ValueError("refresh_ms + timer_ms must not be above valid_for_ms")
        if self.reference_half_life_short_s > self.reference_half_life_long_s:
            raise ValueError("reference_half_life_short_s must not be above ..._long_s")
        if self.size_shares > self.inventory_shares_max:
            raise ValueError("size_shares must not be above inventory_shares_max")
        return self


EAGER: Mapping[str, bool | float | str] = MappingProxyType(
    {
        "improve_ticks_max": 1_000, "join_share_min": 0.0, "spread_ticks_max": 0,
        "rest_when_losing": False, "inventory_on_close": "hold", "one_sided_flow": "widen",
        "stop_before_close_s": 20.0,
    }
)  # fmt: skip
"""With these it goes where its edges are, whatever that costs: for load, drills and simulations."""
