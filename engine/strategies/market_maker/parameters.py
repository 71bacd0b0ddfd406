"""The market maker's parameters: units in the names, bounds and help for the form."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

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


def _between(low: float, high: float) -> object:
    return Field(ge=low, le=high)


# Each parameter says its unit and meaning first, then why this default, and what it costs: the form
# shows both, an error the first.


class FairParameters(Parameters):
    """Where the fair value comes from and how fast it forgets."""

    fair: FairSource = FairSource.MICROPRICE
    """reference = oracle and strike; microprice = the book only.

    The book alone works in every market; an oracle must be named. Cost: what the oracle knows.
    """
    oracle: Annotated[str, Field(min_length=1)] = "chainlink:btc/usd"
    """key of the price the market settles on

    The asset of the most traded windows. Markets on another asset refuse it.
    """
    reference: Annotated[str, Field(min_length=1)] = "binance:btcusdt"
    """key of the faster price; the same key as the oracle = none

    It moves about two seconds before the relayed oracle. Cost: a basis that must be tracked.
    """
    twap_window_s: Annotated[float | None, Field(ge=0, le=3600)] = None
    """s: settlement averages this long before the close, 0 = closing price; required for
    fair=reference

    A term of the market, so it is never guessed. A wrong one spoils the last minutes.
    """
    prior: Prior = Prior.MARKET
    """market = the mid, moved by what the model knows earlier; model = the model only, ignoring the
    market

    On recorded windows the mid is the better forecast and never moves to the model's. Cost: no
    quotes in a book without a mid.
    """
    lead_ms: Annotated[int, _between(100, 60_000)] = 2_000
    """ms: how far the mid lags behind what the model sees now

    The relayed oracle shows what the mid shows about two seconds later. A wrong lead costs only the
    lead itself: changes that mids did not follow are ignored.
    """
    tails: Tails = Tails.STUDENT
    """student = fat tails; normal = tails of a Brownian motion

    Prices move further than their volatility suggests. Cost: certainty far from the strike, where
    the normal is overconfident.
    """
    reference_half_life_short_s: Annotated[float, _between(1, 604_800)] = 1_800.0
    """s: memory of the reference's volatility over the current hour

    Five minutes forget too fast: near-term volatility is mostly that of the hour. Cost: a sudden
    calm takes half an hour to show.
    """
    reference_half_life_long_s: Annotated[float, _between(1, 604_800)] = 21_600.0
    """s: memory of the reference's usual volatility

    Six hours, one session of the day. Cost: on its first day a bot has no such memory.
    """
    reference_sample_ms_min: Annotated[int, _between(0, 600_000)] = 10_000
    """ms: minimum length of the reference's returns

    Samples of 2 s of a smoothed oracle show about 60 % of its variance. Cost: fewer samples, six
    per minute.
    """
    sigma_half_life_s: Annotated[float, _between(1, 86_400)] = 300.0
    """s: half-life of the book's volatility

    One five-minute window. Longer ones quote too wide after a move, shorter ones too close in it.
    """
    sigma_sample_ms_min: Annotated[int, _between(0, 60_000)] = 2_000
    """ms: minimum time between samples of the book's volatility

    Shorter ones mistake the mid bouncing between ticks for volatility. Cost: detail.
    """
    sigma_warm_s: Annotated[float, _between(0, 86_400)] = 60.0
    """s: of samples before the first quote

    Thirty samples give volatility to about 13 %. Cost: a new market's first minute.
    """
    sigma_floor_bps: Annotated[float, _between(0.001, 100)] = 0.1
    """bps per √s: lower limit for the reference's volatility

    A fifth of a calm night's, so that a stuck feed does not look like certainty. Cost: a little
    confidence then.
    """
    sigma_cap_bps: Annotated[float, _between(0.001, 1_000)] = 50.0
    """bps per √s: upper limit for the reference's volatility

    Fifty times a usual day's: more than that is a feed error. Cost: nothing in any market so far.
    """
    sigma_floor_ticks: Annotated[float, _between(0.001, 1_000)] = 0.05
    """ticks per √s: lower limit for the book's volatility

    A book that has not moved for minutes will still move. Cost: width in a dead market.
    """
    sigma_cap_ticks: Annotated[float, _between(0.001, 10_000)] = 20.0
    """ticks per √s: upper limit for the book's volatility

    Wider quotes than that are useless. Cost: protection in a market that jumps.
    """
    basis_half_life_s: Annotated[float, _between(1, 86_400)] = 120.0
    """s: half-life of the basis

    The basis of two exchanges wanders over minutes. Shorter ones follow noise, longer ones lag.
    """
    basis_lag_ms: Annotated[int, _between(0, 30_000)] = 700
    """ms: by timestamps, how far the oracle lags behind the reference

    Between 500 and 1,000 ms the basis of RTDS Chainlink over Binance is steadiest. A wrong lag
    costs width: the basis scatters more.
    """
    basis_pairs_min: Annotated[int, _between(2, 10_000)] = 30
    """oracle prices compared with the reference before the first quote

    Half a minute of them gives the basis to a fifth of its scatter. Cost: that half minute.
    """


class GateParameters(Parameters):
    """When it may quote at all."""

    data_age_ms_max: Annotated[int, _between(1, 3_600_000)] = 5_000
    """ms: maximum age of the last proof of the book to quote on

    A quiet book is proven every second or so; five seconds mean a feed in trouble. Cost: quotes in
    markets whose feed proves less often.
    """
    oracle_age_ms_max: Annotated[int, _between(1, 3_600_000)] = 10_000
    """ms: maximum age of the last oracle price, by timestamp and arrival

    The oracle prints each second; ten seconds are an outage. Cost: the quotes during one.
    """
    reference_age_ms_max: Annotated[int, _between(1, 3_600_000)] = 3_000
    """ms: maximum age of the last reference price, by timestamp and arrival

    Its value is being early: after three seconds the oracle knows as much. Cost: quotes in outages.
    """
    start_after_open_s: Annotated[float, _between(-86_400, 86_400)] = 0.0
    """s: start after the window opens; negative = before it

    Before the open there is no strike to be right about. Cost: queue position.
    """
    stop_before_close_s: Annotated[float | None, Field(ge=0, le=86_400)] = None
    """s: before the close, when it stops resting orders; empty = half of the window, 900 s at most
    (a 5-minute market: 150 s)

    An at-the-money binary moves by φ(0)/√τ per √s of time: 3.3 cents at 150 s to the close, 1.3 at
    900 s and without bound at the end, while the spread stays a cent or two. Cost: the busiest half
    of a short window.
    """
    inventory_on_close: ClosePolicy = ClosePolicy.REDUCE
    """hold = keep it; reduce = only reduce, at the touch, before the stop

    What is left at the stop is a bet on the outcome. Cost: the fills that would have opened in that
    time, and sometimes an exit just before the price recovers.
    """
    reduce_before_stop_s: Annotated[float, _between(0, 86_400)] = 60.0
    """s: before the stop, when `reduce` begins to only reduce

    A queue at the touch of a busy market turns over within about a minute. Cost: that minute's
    fills.
    """
    spread_ticks_max: Annotated[int, _between(0, 1_000)] = 2
    """ticks: book spread above which it opens nothing; 0 = off

    In a wide book makers have left because they expect a move: its spread is not income but a
    warning (Glosten and Milgrom, 1985). Cost: fills in markets that are always wide.
    """
    price_min: Annotated[float, _between(0, 1)] = 0.05
    """currency: no quotes while the fair value of a binary is lower

    At such prices a tick is a fifth of the price, and one wrong fill loses what twenty earn. Cost:
    the spread of markets that are nearly decided.
    """
    price_max: Annotated[float, _between(0, 1)] = 0.95
    """currency: no quotes while the fair value of a binary is higher

    As `price_min`, from the other side.
    """
    fair_gap_max: Annotated[float, _between(0.001, 1)] = 0.25
    """currency: maximum distance of fair=reference from the book's mid

    So far apart, the model is wrong and not the market: a strike, an oracle, a clock. Cost: quotes
    in the seconds of a crash.
    """
    event_window_s: Annotated[float, _between(0.05, 600)] = 1.0
    """s: window in which a jump is detected

    Makers adjust to a jump within about a second. Longer windows call a trend a jump.
    """
    event_jump_ticks: Annotated[float, _between(0, 10_000)] = 10.0
    """ticks: move of the book's mid within the window that counts as a jump; 0 = off

    One second in a hundred of a busy 5-minute market moves so far. Cost: the quotes of that second
    and of the pause.
    """
    event_jump_bps: Annotated[float, _between(0, 10_000)] = 8.0
    """bps: move of the reference within the window that counts as a jump; 0 = off

    Eight standard deviations of a usual second. Cost: the quotes of the pause.
    """
    event_cooldown_s: Annotated[float, _between(0, 3_600)] = 3.0
    """s: without quotes after a jump

    By then the book has found its level. Cost: the wide spreads right after a jump.
    """
    trend_imbalance_min: Annotated[float, _between(0, 1)] = 0.7
    """share: net of total traded size, either way, that counts as a trend

    Six of seven shares on one side. Lower values react to chance, higher ones to almost nothing.
    """
    trend_shares_min: Annotated[float, _between(0, 1e9)] = 500.0
    """shares: remembered traded size below which there is no trend

    About what rests at the touch: less has not moved a price. Cost: warning in thin markets.
    """
    trend_half_life_s: Annotated[float, _between(0.1, 3_600)] = 10.0
    """s: half-life of a trade in the trend

    Large orders come in pieces over seconds. Longer ones keep a side out after its trend is over.
    """
    one_sided_flow: OneSidedFlow = OneSidedFlow.WITHDRAW
    """withdraw = no quote on the side a trend runs into; widen = a wider one

    One-sided takers know something (Easley and O'Hara's order imbalance): the quote they run into
    is the one that loses. Cost: half of the fills of a trend.
    """
    rest_when_losing: bool = True
    """pause, with an alert, once the last fills lost more than they earned

    A maker whose markouts are worse than its spread pays for each fill. Cost: the fills of a bot
    that was merely unlucky: with no edge at all about one check in six pauses it wrongly.
    """
    rest_fills: Annotated[int, _between(2, 10_000)] = 20
    """fills: how many of the last are checked; fewer must show a clearer loss

    With markouts that scatter by 4 cents their mean is known to 0.9 cents. Cost: the loss of that
    many fills: at 20 shares and 3 cents, 12 of the currency.
    """
    rest_s: Annotated[float, _between(1, 2_592_000)] = 86_400.0
    """s: how long it pauses before its next fills are checked again

    A day includes the flow of all its hours; another day may differ. Cost: one more trial of
    `rest_fills` fills after each.
    """


class QuoteParameters(Parameters):
    """Where and how much it quotes, and when it leaves a quote in place."""

    size_shares: Annotated[float, _between(1e-6, 1e9)] = 20.0
    """shares per level

    Four times the smallest order, so that part fills leave a legal remainder. Larger ones cost
    proportionally more per bad fill.
    """
    rewards_capital_share_max: Annotated[float, _between(0, 1)] = 0.1
    """share of the capital that a bid and an ask at a market's reward minimum may tie up, for the
    size to be raised to it; 0 = never raised

    A quote below the minimum earns no reward at all. Cost: proportionally more per bad fill.
    """
    rewards_band_share: Annotated[float, _between(0, 1)] = 0.0
    """share of a market's reward band within which both quotes are kept, as far as the minimum half
    spread allows; 0 = ignore the band

    Outside the band a quote earns no reward, and near the mid it earns with the square. Cost: the
    width it would have had: more fills, each worth less.
    """
    improve_ticks_max: Annotated[int, _between(0, 1_000)] = 0
    """ticks: how far inside the touch a quote may be

    A quote alone in front is filled first by those who know. Cost: queue position: joining means
    waiting behind what rests there.
    """
    join_share_min: Annotated[float, _between(0, 1)] = 0.5
    """share of both best sizes that must rest on its side for a quote to join the touch; with less
    it stays a tick behind

    The smaller queue goes first and the price moves through it (Cont and de Larrard, 2013): a quote
    that joins it is filled just before. Cost: the fills of the thinner side.
    """
    flee_ticks_max: Annotated[int, _between(0, 1_000)] = 2
    """ticks: how far behind a quote that stands alone at the touch the next level may be; further,
    and it moves back to that level; 0 = off

    Who stood behind it has left before the price comes through (Glosten and Milgrom, 1985): what
    is filled then is filled by those who know. Cost: the place in front of a book that refills.
    """
    levels: Annotated[int, _between(1, 20)] = 1
    """quotes per side

    Deeper quotes are filled in moves that continue. More levels cost more in each of them.
    """
    level_step_ticks: Annotated[int, _between(1, 1_000)] = 1
    """ticks between the levels of a side

    The next tick keeps its place in the queue when the price comes. Wider ones are filled later.
    """
    half_spread_ticks_min: Annotated[float, _between(0.5, 1_000)] = 1.0
    """ticks: minimum distance from the reservation price to the best quote

    Less than a tick is inside the error of any fair value. Cost: the fills of one-tick books whose
    touch is half a tick away.
    """
    width_vol_multiplier: Annotated[float, _between(0, 20)] = 1.0
    """half width in standard deviations of the fair value

    One deviation is what the price does while a quote is on its way. More costs fills; on recorded
    days more width did not lose less per share.
    """
    width_horizon_s: Annotated[float, _between(0, 600)] = 1.0
    """s: horizon of that deviation: how long a quote is exposed

    A cancel's round trip to the venue, with a margin. Longer ones cost fills.
    """
    width_basis_multiplier: Annotated[float, _between(0, 20)] = 0.5
    """half width added per standard deviation of the basis

    Half, because the mid reflects the rest. More costs fills when two exchanges disagree.
    """
    width_markout_multiplier: Annotated[float, _between(0, 20)] = 1.0
    """half width added per currency unit lost in the 5 s markout

    What fills of this regime and time to close lost, the next must earn back. Cost: fills where the
    last ones were unlucky.
    """
    markout_fills_min: Annotated[int, _between(1, 10_000)] = 10
    """fills with a markout before it widens the quotes

    Fewer give no reliable mean. Cost: the losses of the first ten.
    """
    markout_half_life_fills: Annotated[float, _between(1, 10_000)] = 50.0
    """fills: half-life of a markout

    Fifty fills are some hours. Longer ones pay for yesterday's flow, shorter ones for chance.
    """
    trend_width_multiplier: Annotated[float, _between(1, 20)] = 2.0
    """factor on the half width of the side a trend runs into

    Only for `one_sided_flow` = widen. Cost: most of the fills of that side.
    """
    skew_ticks_per_unit: Annotated[float, _between(0, 1_000)] = 0.5
    """ticks: reservation price shift per size_shares of inventory

    Two fills shift a quote by a tick. More sheds inventory sooner and gives away the spread for it.
    """
    inventory_shares_max: Annotated[float, _between(1e-6, 1e9)] = 200.0
    """shares: largest position either way

    Ten fills in a row. Cost: the fills beyond it; a larger one means a larger bet on the outcome.
    """
    hysteresis_ticks: Annotated[float, _between(0, 1_000)] = 1.0
    """ticks: minimum move of an edge before a quote is moved

    A quote that moves less than a tick loses its queue position for nothing. Cost: up to a tick.
    """
    size_tolerance_percent: Annotated[float, _between(0, 100)] = 10.0
    """% of size_shares: sizes closer than this count as equal

    A new order for a few shares costs its place in the queue. Cost: a tenth of accuracy in size.
    """
    replan_ms_min: Annotated[int, _between(0, 60_000)] = 50
    """ms: minimum time between two evaluations

    A third of an order's way to the venue: faster evaluations change nothing. Cost: up to 50 ms.
    """
    timer_ms: Annotated[int, _between(10, 60_000)] = 1_000
    """ms: maximum time between two evaluations of a quiet market

    Time gates must fail in time. Faster ones cost CPU for nothing.
    """
    refresh_ms: Annotated[int, _between(10, 3_600_000)] = 10_000
    """ms: after which an unchanged intent is stated again

    A third of its life, so that two may be missed. Cost: a record each.
    """
    valid_for_ms: Annotated[int, _between(20, 3_600_000)] = 30_000
    """ms: how long an intent is valid unless stated again

    Quotes of a crashed bot stay at most this long. Shorter ones lapse with every pause.
    """


GROUPS: list[JsonValue] = [
    [
        "Sizes",
        [
            "size_shares",
            "levels",
            "level_step_ticks",
            "inventory_shares_max",
            "skew_ticks_per_unit",
            "size_tolerance_percent",
            "rewards_capital_share_max",
        ],
    ],
    [
        "Prices",
        [
            "half_spread_ticks_min",
            "improve_ticks_max",
            "join_share_min",
            "flee_ticks_max",
            "hysteresis_ticks",
            "width_vol_multiplier",
            "width_horizon_s",
            "width_basis_multiplier",
            "width_markout_multiplier",
            "markout_fills_min",
            "markout_half_life_fills",
            "rewards_band_share",
        ],
    ],
    [
        "When it quotes",
        [
            "start_after_open_s",
            "stop_before_close_s",
            "inventory_on_close",
            "reduce_before_stop_s",
            "spread_ticks_max",
            "price_min",
            "price_max",
        ],
    ],
    [
        "Protection",
        [
            "rest_when_losing",
            "rest_fills",
            "rest_s",
            "event_window_s",
            "event_jump_ticks",
            "event_jump_bps",
            "event_cooldown_s",
            "one_sided_flow",
            "trend_imbalance_min",
            "trend_shares_min",
            "trend_half_life_s",
            "trend_width_multiplier",
            "fair_gap_max",
            "data_age_ms_max",
            "oracle_age_ms_max",
            "reference_age_ms_max",
        ],
    ],
    [
        "Fair value",
        [
            "fair",
            "prior",
            "oracle",
            "reference",
            "twap_window_s",
            "lead_ms",
            "tails",
            "reference_half_life_short_s",
            "reference_half_life_long_s",
            "reference_sample_ms_min",
            "sigma_half_life_s",
            "sigma_sample_ms_min",
            "sigma_warm_s",
            "sigma_floor_bps",
            "sigma_cap_bps",
            "sigma_floor_ticks",
            "sigma_cap_ticks",
            "basis_half_life_s",
            "basis_lag_ms",
            "basis_pairs_min",
        ],
    ],
    ["Timing", ["replan_ms_min", "timer_ms", "refresh_ms", "valid_for_ms"]],
]
"""What a form asks for together, in this order."""


class MarketMakerParameters(FairParameters, GateParameters, QuoteParameters):
    """Rests bids below and asks above a fair value, and earns the spread when both are taken.

    It skews its quotes against its position, and withdraws them whenever one of its gates fails:
    a stale book, a jump, the close.
    """

    model_config = ConfigDict(json_schema_extra={"groups": GROUPS})

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
        "improve_ticks_max": 1_000,
        "join_share_min": 0.0,
        "spread_ticks_max": 0,
        "flee_ticks_max": 0,
        "rest_when_losing": False,
        "inventory_on_close": "hold",
        "one_sided_flow": "widen",
        "stop_before_close_s": 20.0,
    }
)
"""With these it goes where its edges are, whatever that costs: for load, drills and simulations."""
