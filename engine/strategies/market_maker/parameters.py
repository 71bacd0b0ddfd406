"""The market maker's parameters: units in the names, bounds and help for the form."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from engine.strategies.door import Parameters


class FairSource(StrEnum):
    """Where the fair value comes from."""

    REFERENCE = "reference"
    """The settlement oracle, led by a faster reference."""
    MICROPRICE = "microprice"
    """The instrument's own book."""


class ClosePolicy(StrEnum):
    """What happens to inventory towards the close."""

    HOLD = "hold"
    REDUCE = "reduce"


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
    sigma_half_life_s: Annotated[
        float, _between(1, 86_400, "s: after which the volatility has half forgotten")
    ] = 300.0
    sigma_sample_ms_min: Annotated[
        int, _between(0, 60_000, "ms: volatility samples are at least this far apart")
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
        float, _between(0, 86_400, "s: before the close, from when it rests nothing")
    ] = 20.0
    inventory_on_close: Annotated[
        ClosePolicy, Field(description="hold = keep it; reduce = only reduce before the stop")
    ] = ClosePolicy.HOLD
    reduce_before_stop_s: Annotated[
        float, _between(0, 86_400, "s: before the stop, from when `reduce` only reduces")
    ] = 30.0
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


class QuoteParameters(Parameters):
    """Where and how much it quotes, and when it leaves a quote alone."""

    size_shares: Annotated[float, _between(1e-6, 1e9, "shares per level")] = 20.0
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
        if self.size_shares > self.inventory_shares_max:
            raise ValueError("size_shares must not be above inventory_shares_max")
        return self
