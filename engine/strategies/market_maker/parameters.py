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


def _between(low: float, high: float) -> object:
    return Field(ge=low, le=high)


# Each parameter says its unit and meaning first, then why this default, and what it costs: the form
# shows both, an error the first.


class FairParameters(Parameters):
    """Where the fair value comes from and how fast it forgets."""

    fair: FairSource = FairSource.MICROPRICE
    """reference = oracle and strike; microprice = the book alone.

    The book alone works in every market; an oracle must be named. Costs what the oracle knows.
    """
    oracle: Annotated[str, Field(min_length=1)] = "chainlink:btc/usd"
    """key of the price the market settles on

    The asset of the most traded windows. Another asset's market refuses it.
    """
    reference: Annotated[str, Field(min_length=1)] = "binance:btcusdt"
    """key of the faster price; the oracle's key = no other one

    It moves about two seconds before the relayed oracle. Costs a basis that must be tracked.
    """
    twap_window_s: Annotated[float | None, Field(ge=0, le=3600)] = None
    """s: settlement averages this long before the close, 0 = closing price; fair=reference needs it
    stated

    A term of the market, so nobody guesses it. A wrong one costs the last minutes' fair value.
    """
    prior: Prior = Prior.MARKET
    """market = the mid, moved by what the model knows earlier; model = the model alone, whatever
    the market says

    On recorded windows the mid is the better forecast and never moves to the model's. Costs the
    quotes of a book that has no mid.
    """
    lead_ms: Annotated[int, _between(100, 60_000)] = 2_000
    """ms: how long ago the mid knew what the model says now

    The relayed oracle shows what the mid shows about two seconds later. A wrong lead costs nothing
    but the lead: what mids did not follow is not taken.
    """
    tails: Tails = Tails.STUDENT
    """student = fat tails; normal = as a Brownian motion has them

    Prices go further than their volatility says. Costs certainty far from the strike, where the
    normal is too sure.
    """
    reference_half_life_short_s: Annotated[float, _between(1, 604_800)] = 1_800.0
    """s: memory of the reference's volatility for the present hour

    Five minutes forget too fast: the volatility of the next ones is mostly that of the hour. Costs
    half an hour until a sudden calm is believed.
    """
    reference_half_life_long_s: Annotated[float, _between(1, 604_800)] = 21_600.0
    """s: its memory for what is usual

    Six hours, a session of the day. Costs a bot on its first day a memory it does not have.
    """
    reference_sample_ms_min: Annotated[int, _between(0, 600_000)] = 10_000
    """ms: returns of the reference are at least this long

    Samples of 2 s of a smoothed oracle see about 60 % of its variance. Costs samples: a minute
    brings six.
    """
    sigma_half_life_s: Annotated[float, _between(1, 86_400)] = 300.0
    """s: after which the book's volatility has half forgotten

    A window of five minutes. Longer ones quote too wide after a move, shorter ones too near in it.
    """
    sigma_sample_ms_min: Annotated[int, _between(0, 60_000)] = 2_000
    """ms: samples of the book's volatility are at least this far apart

    Shorter ones see the mid bounce between ticks and take it for volatility. Costs detail.
    """
    sigma_warm_s: Annotated[float, _between(0, 86_400)] = 60.0
    """s: of samples before the first quote

    Thirty samples know a volatility to about 13 %. Costs a new market's first minute.
    """
    sigma_floor_bps: Annotated[float, _between(0.001, 100)] = 0.1
    """bps per √s: the reference's volatility is never taken lower

    A fifth of a calm night's, so that a feed that stands still is not certainty. Costs a little
    confidence then.
    """
    sigma_cap_bps: Annotated[float, _between(0.001, 1_000)] = 50.0
    """bps per √s: never taken higher

    Fifty times a usual day's: beyond it is an error of the feed. Costs nothing a market showed yet.
    """
    sigma_floor_ticks: Annotated[float, _between(0.001, 1_000)] = 0.05
    """ticks per √s: the book's volatility is never taken lower

    A book that did not move for minutes still moves. Costs width in a dead market, if it binds.
    """
    sigma_cap_ticks: Annotated[float, _between(0.001, 10_000)] = 20.0
    """ticks per √s: never taken higher

    Wider quotes than that are no quotes. Costs protection in a market that leaps.
    """
    basis_half_life_s: Annotated[float, _between(1, 86_400)] = 120.0
    """s: after which the basis has half forgotten

    The basis of two exchanges wanders over minutes. Shorter ones follow noise, longer ones lag.
    """
    basis_lag_ms: Annotated[int, _between(0, 30_000)] = 700
    """ms: by stamps, how late the oracle shows what the reference showed

    Between 500 and 1,000 ms the basis of RTDS Chainlink over Binance is steadiest. A wrong lag
    costs width: the basis scatters more.
    """
    basis_pairs_min: Annotated[int, _between(2, 10_000)] = 30
    """oracle prices compared with the reference before the first quote

    Half a minute of them know the basis to a fifth of its scatter. Costs that half minute.
    """


class GateParameters(Parameters):
    """When it may quote at all."""

    data_age_ms_max: Annotated[int, _between(1, 3_600_000)] = 5_000
    """ms: oldest proof of the book to quote on

    A quiet book is proven every second or so, so five are a feed in trouble. Costs the quotes of
    markets whose feed proves less often.
    """
    oracle_age_ms_max: Annotated[int, _between(1, 3_600_000)] = 10_000
    """ms: of the last oracle price, by stamp and arrival

    The oracle prints each second; ten are a break. Costs the quotes during one.
    """
    reference_age_ms_max: Annotated[int, _between(1, 3_600_000)] = 3_000
    """ms: of the last reference price, by stamp and arrival

    Its worth is to be early: after three seconds the oracle knows as much. Costs quotes in breaks.
    """
    start_after_open_s: Annotated[float, _between(-86_400, 86_400)] = 0.0
    """s: after the window opens; negative = before it

    Before the open there is no strike to be right about. Costs the queue of who came earlier.
    """
    stop_before_close_s: Annotated[float | None, Field(ge=0, le=86_400)] = None
    """s: before the close, from when it rests nothing; empty = half of the window, 900 s at most (a
    5-minute market: 150 s)

    An at-the-money binary moves by φ(0)/√τ per √s of time: 3.3 cents at 150 s to the close, 1.3
    at 900 s and without bound at the end, while a spread stays a cent or two. Costs the busiest
    half of a short window.
    """
    inventory_on_close: ClosePolicy = ClosePolicy.REDUCE
    """hold = keep it; reduce = only reduce, at the touch, before the stop

    What is left at the stop is a bet on the outcome. Costs the fills that would have opened in that
    time, and now and then an exit before the price comes back.
    """
    reduce_before_stop_s: Annotated[float, _between(0, 86_400)] = 60.0
    """s: before the stop, from when `reduce` only reduces

    A queue at the touch of a busy market turns over within about a minute. Costs that minute's
    fills.
    """
    spread_ticks_max: Annotated[int, _between(0, 1_000)] = 2
    """ticks: of the book's spread, beyond which it opens nothing; 0 = off

    A wide book is one whose makers have left because they expect a move: its spread is not pay but
    a warning (Glosten and Milgrom, 1985). Costs the fills of markets that are always wide.
    """
    price_min: Annotated[float, _between(0, 1)] = 0.05
    """currency: no quotes while the fair value of a binary is lower

    Out there a tick is a fifth of the price, and one wrong fill loses what twenty earn. Costs the
    spread of markets that are nearly decided.
    """
    price_max: Annotated[float, _between(0, 1)] = 0.95
    """currency: no quotes while it is higher

    As `price_min`, from the other side.
    """
    fair_gap_max: Annotated[float, _between(0.001, 1)] = 0.25
    """currency: distance from fair=reference to the book's mid

    So far apart, the model is wrong and not the market: a strike, an oracle, a clock. Costs quotes
    in the seconds of a crash.
    """
    event_window_s: Annotated[float, _between(0.05, 600)] = 1.0
    """s: within which a jump is looked for

    Makers take a jump in within about a second. Longer windows call a trend a jump.
    """
    event_jump_ticks: Annotated[float, _between(0, 10_000)] = 10.0
    """ticks: of the book's mid within the window; 0 = off

    One second in a hundred of a busy 5-minute market moves so far. Costs the quotes of that second
    and of the pause.
    """
    event_jump_bps: Annotated[float, _between(0, 10_000)] = 8.0
    """bps: of the reference within the window; 0 = off

    Eight standard deviations of a usual second. Costs the quotes of the pause.
    """
    event_cooldown_s: Annotated[float, _between(0, 3_600)] = 3.0
    """s: without quotes after a jump

    The book has found its level by then. Costs the wide spreads right after a jump.
    """
    trend_imbalance_min: Annotated[float, _between(0, 1)] = 0.7
    """share: net of total traded size, either way, that makes a trend

    Six of seven shares on one side. Lower ones withdraw from chance, higher ones from nothing.
    """
    trend_shares_min: Annotated[float, _between(0, 1e9)] = 500.0
    """shares: remembered traded size below which there is no trend

    About what rests at a touch: less has not moved a price. Costs warning in thin markets.
    """
    trend_half_life_s: Annotated[float, _between(0.1, 3_600)] = 10.0
    """s: after which half of a trade is forgotten

    Large orders come in pieces over seconds. Longer ones keep a side out after its trend is over.
    """
    one_sided_flow: OneSidedFlow = OneSidedFlow.WITHDRAW
    """withdraw = no quote on the side a trend runs into; widen = a wider one

    One-sided takers know something (Easley and O'Hara's order imbalance): the quote they run into
    is the one to lose by. Costs half of the fills of a trend.
    """
    rest_when_losing: bool = True
    """rest, with an alert, once the last fills lost more than they earned

    A maker whose markouts are worse than its spread pays for each fill. Costs the fills of a bot
    that had bad luck: with no edge at all it rests wrongly about every sixth time it is judged.
    """
    rest_fills: Annotated[int, _between(2, 10_000)] = 20
    """fills: how many of the last are judged; fewer must lose clearer

    With markouts that scatter by 4 cents their mean is known to 0.9 cents. Costs what so many fills
    lose: at 20 shares and 3 cents, 12 of the currency.
    """
    rest_s: Annotated[float, _between(1, 2_592_000)] = 86_400.0
    """s: how long it rests before its next fills are judged anew

    A day has the flow of all its hours in it; another day may have another. Costs one more trial of
    `rest_fills` fills after each.
    """


class QuoteParameters(Parameters):
    """Where and how much it quotes, and when it leaves a quote alone."""

    size_shares: Annotated[float, _between(1e-6, 1e9)] = 20.0
    """shares per level

    Four times the smallest order, so that part fills leave a legal rest. Larger ones cost as much
    more per bad fill.
    """
    rewards_capital_share_max: Annotated[float, _between(0, 1)] = 0.1
    """share of the capital a bid and an ask of a market's reward minimum may tie up, for the size
    to be raised to it; 0 = never raised

    A quote below the minimum earns no reward at all. Costs as much more per bad fill.
    """
    rewards_band_share: Annotated[float, _between(0, 1)] = 0.0
    """share of a market's reward band within which both quotes are kept, as far as the smallest
    half spread allows; 0 = the band is not looked at

    Beyond the band a quote earns no reward, and near the mid it earns with the square. Costs the
    width it would have had: more fills, each worth less.
    """
    improve_ticks_max: Annotated[int, _between(0, 1_000)] = 0
    """ticks: how far inside the touch a quote may stand

    Who stands alone in front is filled first by those who know. Costs queue position: joining means
    to wait behind what rests there.
    """
    join_share_min: Annotated[float, _between(0, 1)] = 0.5
    """share of both best sizes that must rest on its side for a quote to join the touch; below it
    stands a tick behind

    The smaller queue is gone first and the price moves through it (Cont and de Larrard, 2013): who
    joins it is filled just before. Costs the fills of the thinner side.
    """
    levels: Annotated[int, _between(1, 20)] = 1
    """quotes per side

    What stands deeper is filled in the moves that go on. More levels cost more in each of them.
    """
    level_step_ticks: Annotated[int, _between(1, 1_000)] = 1
    """ticks between the levels of a side

    The next tick keeps its place in the queue when the price comes. Wider ones are filled later.
    """
    half_spread_ticks_min: Annotated[float, _between(0.5, 1_000)] = 1.0
    """ticks: from the reservation price to the best quote, at least

    Less than a tick is inside the error of any fair value. Costs the fills of one-tick books whose
    touch is half a tick away.
    """
    width_vol_multiplier: Annotated[float, _between(0, 20)] = 1.0
    """half width in standard deviations of the fair value

    One deviation is what the price does while a quote is on its way. More costs fills; measured on
    recorded days more width did not lose less a share.
    """
    width_horizon_s: Annotated[float, _between(0, 600)] = 1.0
    """s: over which that deviation is taken: how long a quote is exposed

    A cancel's way to the venue and back, with a margin. Longer ones cost fills.
    """
    width_basis_multiplier: Annotated[float, _between(0, 20)] = 0.5
    """half width added per standard deviation of the basis

    Half, because the mid knows the rest. More costs fills when two exchanges disagree.
    """
    width_markout_multiplier: Annotated[float, _between(0, 20)] = 1.0
    """half width added per lost currency unit of the 5 s markout

    What fills of this regime and time to the close lost, the next must be paid for. Costs fills
    where the last ones had bad luck.
    """
    markout_fills_min: Annotated[int, _between(1, 10_000)] = 10
    """marked fills before the markout widens

    Fewer have no mean to speak of. Costs the losses of the first ten.
    """
    markout_half_life_fills: Annotated[float, _between(1, 10_000)] = 50.0
    """fills: after which half of a markout is forgotten

    Fifty fills are some hours. Longer ones pay for yesterday's flow, shorter ones for chance.
    """
    trend_width_multiplier: Annotated[float, _between(1, 20)] = 2.0
    """half width of the side a trend runs into, times this

    For `one_sided_flow` = widen alone. Costs most of the fills of that side.
    """
    skew_ticks_per_unit: Annotated[float, _between(0, 1_000)] = 0.5
    """ticks: reservation shift per size_shares of inventory

    Two fills shift a quote by a tick. More sheds inventory sooner and gives the spread away for it.
    """
    inventory_shares_max: Annotated[float, _between(1e-6, 1e9)] = 200.0
    """shares: largest position either way

    Ten fills in a row. Costs the fills beyond; a larger one costs a larger bet on the outcome.
    """
    hysteresis_ticks: Annotated[float, _between(0, 1_000)] = 1.0
    """ticks: an edge moves at least this far before a quote is moved

    A quote that moves less than a tick loses its queue for nothing. Costs being up to a tick late.
    """
    size_tolerance_percent: Annotated[float, _between(0, 100)] = 10.0
    """% of size_shares: sizes nearer than this are the same

    A new order for a few shares costs its place in the queue. Costs a tenth of accuracy in size.
    """
    replan_ms_min: Annotated[int, _between(0, 60_000)] = 50
    """ms: between two evaluations, at least

    A third of an order's way to the venue: faster thoughts change nothing. Costs up to 50 ms.
    """
    timer_ms: Annotated[int, _between(10, 60_000)] = 1_000
    """ms: between two evaluations of a quiet market, at most

    Gates on time must fail in time. Faster ones cost CPU for nothing.
    """
    refresh_ms: Annotated[int, _between(10, 3_600_000)] = 10_000
    """ms: after which an unchanged intent is stated again

    A third of its life, so that two may be missed. Costs a record each.
    """
    valid_for_ms: Annotated[int, _between(20, 3_600_000)] = 30_000
    """ms: for which an intent holds unless stated again

    Quotes of a bot that has died stand so long at most. Shorter ones fall with every pause.
    """


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
