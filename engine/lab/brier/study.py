"""Is the fair value worth anything? Brier scores on recorded up/down markets with known outcomes.

The market maker itself is asked, through its own door: it hears the recorded oracle ticks in the
order they were received and is evaluated 240, 120, 60 and 20 seconds before each close, so nothing
later than that moment can reach it. Its probability that the market settles Up is scored against
the recorded outcome, (p − outcome)², beside two others on the same moments:

- *half*: 0.5, whatever is known;
- *spot*: Φ(ln(S/K) / (σ_day·√τ)), S the last tick received, τ the time from the evaluation to the
  close, and one σ_day for everything: realised variance over elapsed time of all ticks received so
  far, expanding, without forgetting.

Moments at which a gate stops the market maker (no proven strike, no fresh tick, too short a past)
are counted and left out for all three. Intervals are percentile bootstraps over whole markets,
seeded; differences are paired (positive = ours is better). The recorded days settle at the closing
price, so the settlement window is 0. The volatility's half-life and sampling are the strategy's
defaults; they were chosen with this recording at hand, so what the study shows of them is in
sample. The scores move by less than 0.005 between half-lives of 60 and 1,800 s.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from math import log, sqrt
from pathlib import Path

import msgspec

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.cli.arguments import WHOLE_MAX, whole
from engine.domain.events import BookReplaced, InstrumentListed, ReferencePriced, StrikeProven
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.indicators.volatility import LogVolatility
from engine.lab.brier.recording import (
    MARKETS,
    PRICES,
    SECOND_NS,
    RecordedMarket,
    Tick,
    read_markets,
    read_ticks,
    recorded_days,
)
from engine.lab.brier.scores import ForecastMoment, HorizonScore, ScoreEstimate, score
from engine.strategies.door import Context
from engine.strategies.fair_value import normal_cdf
from engine.strategies.market_maker.parameters import FairSource, MarketMakerParameters
from engine.strategies.market_maker.strategy import MarketMaker

NAME = "fair-value-study"
HELP = "Brier scores of the fair value on recorded up/down markets"

HORIZONS_S = (240, 120, 60, 20)
ORACLE = "chainlink:btc/usd"
BOT = BotId("study")
RESAMPLES = 4_000
RESAMPLES_MAX = 1_000_000
SEED = 20_260_608
SLUGS_SHOWN = 5
FOREVER_S = 1e15
"""A half-life so long that the plain formula forgets nothing within a recording."""


class StudyResult(msgspec.Struct, frozen=True):
    """What the study found, and what it could not use."""

    days: tuple[str, ...]
    ticks: int
    markets: int
    left_out: dict[str, int]
    """Moments without a forecast, by the gate that failed."""
    undecided: tuple[str, ...]
    """Markets that paid half for each side: there is nothing a forecast could have got right."""
    resamples: int
    seed: int
    horizons: tuple[HorizonScore, ...]


def study(path: Path, *, resamples: int = RESAMPLES, seed: int = SEED) -> StudyResult:
    """Score the fair value on the recording at `path`, a folder of days.

    Each day has `BTCUSD-prices-<day>.csv.gz` and `BTC-5m-markets-<day>.jsonl.gz`. Raises BadInput
    where the folder has none, or a line cannot be read.
    """
    days = recorded_days(path)
    moments: list[ForecastMoment] = []
    left_out: Counter[str] = Counter()
    undecided: list[str] = []
    tick_count = market_count = 0
    for day in days:
        ticks = read_ticks(path / f"{PRICES}{day}.csv.gz")
        markets = read_markets(path / f"{MARKETS}{day}.jsonl.gz")
        tick_count += len(ticks)
        market_count += len(markets)
        undecided += [market.slug for market in markets if market.up is None]
        # Days are not adjacent: each starts with a strategy that knows nothing.
        moments += forecasts(ticks, markets, left_out)
    return StudyResult(
        days=tuple(days),
        ticks=tick_count,
        markets=market_count,
        left_out=dict(sorted(left_out.items())),
        undecided=tuple(undecided),
        resamples=resamples,
        seed=seed,
        horizons=tuple(
            score([m for m in moments if m.horizon_s == horizon_s], horizon_s, resamples, seed)
            for horizon_s in HORIZONS_S
        ),
    )


# -- forecasting -----------------------------------------------------------------------------------


def forecasts(
    ticks: list[Tick], markets: list[RecordedMarket], left_out: Counter[str]
) -> list[ForecastMoment]:
    """Return all moments of a day, hearing each tick when it was received and not before."""
    parameters = MarketMakerParameters(
        fair=FairSource.REFERENCE,
        oracle=ORACLE,
        reference=ORACLE,
        twap_window_s=0.0,
        price_min=0.0,
        price_max=1.0,
        stop_before_close_s=0.0,
        event_jump_bps=0.0,
    )
    desk = _Desk(MarketMaker(parameters, BOT))
    agenda = [
        (market.closes_ns - horizon_s * SECOND_NS, horizon_s, market)
        for market in markets
        if market.up is not None
        for horizon_s in HORIZONS_S
    ]
    agenda.sort(key=lambda entry: (entry[0], entry[2].slug))
    moments: list[ForecastMoment] = []
    heard = 0
    for now_ns, horizon_s, market in agenda:
        while heard < len(ticks) and ticks[heard].received_ns <= now_ns:
            desk.hear(ticks[heard])
            heard += 1
        found = desk.ask(market, now_ns)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            moments.append(ForecastMoment(market.slug, horizon_s, *found, up=bool(market.up)))
    return moments


class _Desk:
    """The strategy under study with the caches it looks at, and the plain formula's σ."""

    def __init__(self, strategy: MarketMaker) -> None:
        self._strategy = strategy
        self._cache = MarketCache()
        self._expanding = LogVolatility(half_life_s=FOREVER_S)
        self._decisions = 0

    def hear(self, tick: Tick) -> None:
        event = ReferencePriced(key=ORACLE, price_e8=tick.price_e8, exchange_ns=tick.stamp_ns)
        self._cache.receive(event, tick.received_ns)
        self._strategy.hear(event, tick.received_ns)
        self._expanding.take(tick.price_e8 / 1e8, tick.stamp_ns)

    def ask(self, market: RecordedMarket, now_ns: int) -> tuple[float, float] | str:
        """Return (ours, spot), or the name of the gate that failed."""
        identifier = InstrumentId(f"polymarket:{market.slug}")
        listed = InstrumentListed(instrument=_instrument(identifier, market))
        # The strategy quotes beside no one: an empty, proven book passes the market's gates.
        self._cache.receive(listed, now_ns)
        empty = BookReplaced(instrument=identifier, bids=(), asks=())
        self._cache.receive(empty, now_ns)
        if market.strike_e8 is not None:
            proven = StrikeProven(
                instrument=identifier, strike_e8=market.strike_e8, provenance="recorded"
            )
            self._cache.receive(proven, now_ns)
            self._strategy.hear(proven, now_ns)
        self._decisions += 1
        decision = self._strategy.evaluate(
            Context(
                bot=BOT,
                decision=self._decisions,
                view=self._cache.views[identifier],
                inventory=InventoryView(),
                references=self._cache.references,
                capital_micro=0,
            ),
            now_ns,
        ).decision
        self._cache.forget(identifier)
        self._strategy.forget(identifier)
        ours = dict(decision.build_up).get("fair")
        spot = self._spot(market, now_ns)
        return decision.outcome if ours is None or spot is None else (ours, spot)

    def _spot(self, market: RecordedMarket, now_ns: int) -> float | None:
        last = self._cache.references.get(ORACLE)
        variance = self._expanding.variance_per_s
        if last is None or market.strike_e8 is None or not variance:
            return None
        sigma = sqrt(variance * (market.closes_ns - now_ns) / SECOND_NS)
        return normal_cdf(log(last.price_e8 / market.strike_e8) / sigma)


def _instrument(identifier: InstrumentId, market: RecordedMarket) -> Instrument:
    return Instrument(
        id=identifier,
        kind=Kind.BINARY,
        currency="USD",
        price_decimals=4,
        size_decimals=6,
        tick=100,
        lot=10_000,
        starts_ns=market.starts_ns,
        closes_ns=market.closes_ns,
    )


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="folder with BTCUSD-prices-* and BTC-5m-markets-*"
    )
    parser.add_argument(
        "--resamples",
        type=whole(1, RESAMPLES_MAX),
        default=RESAMPLES,
        help=f"bootstrap draws ({RESAMPLES})",
    )
    parser.add_argument(
        "--seed", type=whole(0, WHOLE_MAX), default=SEED, help=f"of the bootstrap ({SEED})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Study and tell. Returns the exit code; raises BadInput where there is nothing to study."""
    result = study(args.path, resamples=args.resamples, seed=args.seed)
    text = msgspec.json.encode(result).decode() if args.json else describe(result)
    sys.stdout.write(text + "\n")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the study with these arguments."""
    parser = argparse.ArgumentParser(prog=NAME, description=HELP)
    add_arguments(parser)
    return run(parser.parse_args(argv))


def describe(result: StudyResult) -> str:
    """Return the result as a table."""
    left_out = ", ".join(f"{count} {gate}" for gate, count in result.left_out.items()) or "none"
    lines = [
        f"Brier scores, lower is better; {', '.join(result.days)}; {result.markets} markets, "
        f"{result.ticks} ticks",
        f"moments without a forecast: {left_out}",
        *_undecided(result.undecided),
        f"bootstrap 95 % over markets, {result.resamples} draws, seed {result.seed}",
        "",
        "before  markets  ours                    half    spot                    "
        "half - ours               spot - ours",
    ]
    lines += [
        f"{row.horizon_s:4d} s  {row.markets:7d}  {_text(row.ours)}  {row.half.mean:.4f}  "
        f"{_text(row.spot)}  {_text(row.half_less_ours, sign='+')}  "
        f"{_text(row.spot_less_ours, sign='+')}"
        for row in result.horizons
    ]
    return "\n".join(lines)


def _undecided(slugs: tuple[str, ...]) -> list[str]:
    if not slugs:
        return []
    more = f" and {len(slugs) - SLUGS_SHOWN} more" if len(slugs) > SLUGS_SHOWN else ""
    shown = ", ".join(slugs[:SLUGS_SHOWN])
    return [f"left out, they paid half for each side: {len(slugs)} ({shown}{more})"]


def _text(estimate: ScoreEstimate, *, sign: str = "") -> str:
    return f"{estimate.mean:{sign}.4f} [{estimate.low:{sign}.4f}, {estimate.high:{sign}.4f}]"
