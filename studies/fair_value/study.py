"""The fair value asked on recorded markets, scored on time that no parameter was chosen on.

The market maker itself is asked, through its own door: it is told the recorded oracle and book in
the order they were received and is evaluated at fixed times before each close, so nothing later
than that moment can reach it. Beside its fair value stand, on the same moments:

- *model*: its fair value without the market's mid;
- *mid*: the market's own mid, where the book was recorded;
- *spot*: Φ(ln(S/K) / (σ_day·√τ)), S the last tick received, τ the time to the close, σ_day² the
  realised variance over elapsed time of all ticks received so far, of returns over 10 s and more:
  an oracle smooths shorter ones, which would make it too sure;
- *half*: 0.5, whatever is known.

With choices given (`fit`), time is cut into blocks: each block is scored with the parameters whose
Brier score and log loss, each over that of one half, were the least together on the other blocks,
without the markets nearer than `purge_s` to it, which share its weather. What is learned on the way
(volatility, basis, lead) only ever knew the past. Moments at which a gate stops the market maker
are counted and left out for all columns. A book with one side alone is no such gate: the market
says 1 where nothing is offered, 0 where nothing is bid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import log, sqrt

import msgspec

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.domain.decisions import Decision
from engine.domain.events import BookReplaced, InstrumentListed, ReferencePriced, StrikeProven
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.plain import PlainDict
from engine.errors import BadInput
from engine.indicators.volatility import LogVolatility
from engine.strategies.door import Context
from engine.strategies.fair_value import normal_cdf
from engine.strategies.market_maker.strategy import MarketMaker
from engine.strategies.registry import build
from studies.fair_value.recorded import SECOND_NS, RecordedMarket, Span, Tick, Top
from studies.fair_value.scores import (
    OURS,
    Decile,
    ForecastMoment,
    HorizonScore,
    calibration,
    mean_log_loss,
    mean_score,
    scores,
)

HORIZONS_S = (720, 480, 240, 120, 60, 20)
"""Before the close; those outside a market's window do not apply to it."""

ORACLE = "chainlink:btc/usd"
BOT = BotId("study")
SPOT_SAMPLE_NS = 10 * SECOND_NS
FOREVER_S = 1e15
"""A half-life so long that the plain formula forgets nothing within a recording."""

FIXED: PlainDict = {
    "fair": "reference",
    "oracle": ORACLE,
    "reference": ORACLE,
    "twap_window_s": 0.0,
    "price_min": 0.0,
    "price_max": 1.0,
    "stop_before_close_s": 0.0,
    "event_jump_bps": 0.0,
    "event_jump_ticks": 0.0,
    "inventory_on_close": "hold",
    "spread_ticks_max": 0,
    "fair_gap_max": 1.0,
}
"""What asks for a forecast at every moment: the recorded days settle at the closing price, and no
gate that is about trading stands in the way. Other parameters are the strategy's defaults."""

Choice = dict[str, str]


class BlockScore(msgspec.Struct, frozen=True, kw_only=True):
    """One block of time, and what it was scored with."""

    block: int
    """Number of the block since 1970."""
    moments: int
    chosen: Choice
    fitted_on: int
    """Moments of the other blocks that the choice was made on; 0 = there was no choice."""
    log_loss: float
    """Of ours on this block."""


class StudyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the study found, and what it could not use."""

    spans: tuple[str, ...]
    ticks: int
    markets: int
    parameters: Choice
    fit: dict[str, list[str]]
    block_s: int
    purge_s: int
    left_out: dict[str, int]
    """Moments without a forecast, by the gate that failed, with the parameters named first."""
    undecided: tuple[str, ...]
    """Markets without a winner anybody could have forecast."""
    resamples: int
    seed: int
    told: tuple[BlockScore, ...]
    horizons: tuple[HorizonScore, ...]
    deciles: tuple[Decile, ...]


def study(
    spans: Sequence[Span],
    *,
    parameters: Choice,
    fit: Mapping[str, Sequence[str]],
    block_s: int,
    purge_s: int,
    resamples: int,
    seed: int,
) -> StudyResult:
    """Score the fair value on recorded spans. Raises BadInput where nothing can be scored."""
    choices = [dict(zip(fit, values, strict=True)) for values in product(*fit.values())]
    left_out: Counter[str] = Counter()
    by_choice = []
    for number, choice in enumerate(choices):
        counted = left_out if not number else Counter[str]()
        given = {**parameters, **choice}
        by_choice.append([m for span in spans for m in forecasts(span, given, counted)])
    scored, moments = held_out(choices, by_choice, block_s=block_s, purge_s=purge_s)
    return StudyResult(
        spans=tuple(span.name for span in spans),
        ticks=sum(len(span.ticks) for span in spans),
        markets=sum(len(span.markets) for span in spans),
        parameters=parameters,
        fit={name: list(values) for name, values in fit.items()},
        block_s=block_s,
        purge_s=purge_s,
        left_out=dict(sorted(left_out.items())),
        undecided=tuple(m.slug for span in spans for m in span.markets if m.up is None),
        resamples=resamples,
        seed=seed,
        told=tuple(scored),
        horizons=tuple(scores(moments, resamples, seed)),
        deciles=tuple(calibration(moments, resamples, seed)),
    )


def held_out(
    choices: Sequence[Choice],
    by_choice: Sequence[Sequence[ForecastMoment]],
    *,
    block_s: int,
    purge_s: int,
) -> tuple[list[BlockScore], list[ForecastMoment]]:
    """Tell each block by the choice that was best on the others. Raises BadInput without others."""
    blocks = sorted({m.closes_s // block_s for moments in by_choice for m in moments})
    if len(choices) > 1 and len(blocks) < 2:
        raise BadInput("one block of time is recorded: nothing is left to choose parameters on")
    scored, moments = [], []
    for block in blocks:
        first_s, end_s = block * block_s, (block + 1) * block_s
        best, fitted_on = 0, 0
        if len(choices) > 1:
            fenced = range(first_s - purge_s, end_s + purge_s)
            others = [[m for m in found if m.closes_s not in fenced] for found in by_choice]
            best = min(range(len(choices)), key=lambda n: mean_score(others[n]))
            fitted_on = len(others[best])
        mine = [m for m in by_choice[best] if m.closes_s // block_s == block]
        moments += mine
        if mine:
            scored.append(
                BlockScore(
                    block=block,
                    moments=len(mine),
                    chosen=choices[best],
                    fitted_on=fitted_on,
                    log_loss=mean_log_loss(mine),
                )
            )
    return scored, moments


# -- forecasting -----------------------------------------------------------------------------------


def forecasts(span: Span, parameters: Choice, left_out: Counter[str]) -> Iterator[ForecastMoment]:
    """Yield all moments of a span, each knowing what was received by then and nothing else."""
    given: dict[str, object] = {**FIXED, "prior": "market" if span.tops else "model", **parameters}
    strategy = build("market_maker", given, BOT)
    if not isinstance(strategy, MarketMaker):
        raise BadInput("the study asks the market maker alone")
    desk = _Forecaster(strategy, span)
    agenda = sorted(
        (
            (market.closes_ns - horizon_s * SECOND_NS, market.slug, horizon_s, market)
            for market in span.markets
            for horizon_s in HORIZONS_S
            if market.up is not None and market.closes_ns - market.starts_ns > horizon_s * SECOND_NS
        ),
        key=lambda entry: entry[:3],
    )
    both: list[Tick | Top] = [*span.ticks, *span.tops]
    received = sorted(both, key=lambda one: one.received_ns)
    place = 0
    for now_ns, slug, horizon_s, market in agenda:
        while place < len(received) and received[place].received_ns <= now_ns:
            desk.receive(received[place])
            place += 1
        found = desk.ask(market, now_ns)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            closes_s = market.closes_ns // SECOND_NS
            yield ForecastMoment(slug, closes_s, horizon_s, found, bool(market.up))


class _Forecaster:
    """The strategy under study with the caches it looks at, and the plain formula's σ."""

    def __init__(self, strategy: MarketMaker, span: Span) -> None:
        self._strategy = strategy
        self._cache = MarketCache()
        self._expanding = LogVolatility(half_life_s=FOREVER_S)
        self._sampled_ns = -SPOT_SAMPLE_NS
        self._decisions = 0
        self._markets = {market.slug: market for market in span.markets}
        self._books = bool(span.tops)
        self._listed: dict[str, InstrumentId] = {}

    def receive(self, seen: Tick | Top) -> None:
        """Take an oracle price, or a book, which is looked at so that its mid is learned from."""
        if isinstance(seen, Tick):
            event = ReferencePriced(key=ORACLE, price_e8=seen.price_e8, exchange_ns=seen.stamp_ns)
            self._cache.receive(event, seen.received_ns)
            self._strategy.receive(event, seen.received_ns)
            if seen.stamp_ns - self._sampled_ns >= SPOT_SAMPLE_NS:
                self._sampled_ns = seen.stamp_ns
                self._expanding.take(seen.price_e8 / 1e8, seen.stamp_ns)
            return
        market = self._markets[seen.slug]
        if seen.received_ns >= market.closes_ns:
            return
        name = self._list(market, seen.received_ns)
        levels = (
            () if level is None else ((level[0] * CENT, max(1, round(level[1] * SHARE))),)
            for level in (seen.bid, seen.ask)
        )
        bids, asks = levels
        book = BookReplaced(instrument=name, bids=bids, asks=asks)
        self._cache.receive(book, seen.received_ns)
        self._strategy.receive(book, seen.received_ns)
        self._evaluate(name, seen.received_ns)

    def ask(self, market: RecordedMarket, now_ns: int) -> dict[str, float] | str:
        """Return the chance by every column, or the name of the gate that failed."""
        name = self._list(market, now_ns)
        view = self._cache.views[name]
        if view.proof_ns is None:
            # An empty, proven book passes the market's gates where nobody recorded one.
            self._cache.receive(BookReplaced(instrument=name, bids=(), asks=()), now_ns)
        decision = self._evaluate(name, now_ns)
        if not self._books:
            # Nothing is learned of a market without a book: it is met anew the next time.
            self._cache.forget(name)
            self._strategy.forget(name)
            del self._listed[market.slug]
        parts = dict(decision.build_up)
        spot = self._spot(market, now_ns)
        book = view.book.touch
        if self._books and spot is not None and bool(book[0]) != bool(book[2]):
            sure = 1.0 if book[0] else 0.0
            return {OURS: sure, "mid": sure, "spot": spot, "half": 0.5}
        if "fair" not in parts or spot is None:
            return decision.outcome
        found = {OURS: parts["fair"], "spot": spot, "half": 0.5}
        found["model"] = parts.get("model", parts["fair"])
        if "market_mid" in parts:
            found["mid"] = parts["market_mid"]
        return found

    def _list(self, market: RecordedMarket, now_ns: int) -> InstrumentId:
        """List a market with its strike when it is met first."""
        known = self._listed.get(market.slug)
        if known is not None:
            return known
        name = self._listed[market.slug] = InstrumentId(f"polymarket:{market.slug}")
        listed = InstrumentListed(instrument=_instrument(name, market))
        self._cache.receive(listed, now_ns)
        if market.strike_e8 is not None:
            proven = StrikeProven(
                instrument=name, strike_e8=market.strike_e8, provenance="recorded"
            )
            self._cache.receive(proven, now_ns)
            self._strategy.receive(proven, now_ns)
        return name

    def _evaluate(self, name: InstrumentId, now_ns: int) -> Decision:
        self._decisions += 1
        return self._strategy.evaluate(
            Context(
                bot=BOT,
                decision=self._decisions,
                view=self._cache.views[name],
                inventory=InventoryView(),
                references=self._cache.references,
                capital_micro=0,
            ),
            now_ns,
        ).decision

    def _spot(self, market: RecordedMarket, now_ns: int) -> float | None:
        last = self._cache.references.get(ORACLE)
        variance = self._expanding.variance_per_s
        if last is None or market.strike_e8 is None or not variance:
            return None
        sigma = sqrt(variance * (market.closes_ns - now_ns) / SECOND_NS)
        return normal_cdf(log(last.price_e8 / market.strike_e8) / sigma)


CENT = 100
SHARE = 1_000_000


def _instrument(identifier: InstrumentId, market: RecordedMarket) -> Instrument:
    series = market.slug.rpartition("-")[0]
    return Instrument(
        id=identifier,
        kind=Kind.BINARY,
        currency="USD",
        price_decimals=4,
        size_decimals=6,
        tick=CENT,
        lot=10_000,
        series=series,
        starts_ns=market.starts_ns,
        closes_ns=market.closes_ns,
    )
