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
from collections.abc import Callable, Iterator
from decimal import Decimal
from math import log, sqrt
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.cli.arguments import WHOLE_MAX, whole
from engine.config import Config
from engine.domain.events import BookReplaced, InstrumentListed, ReferencePriced, StrikeProven
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.errors import BadInput, os_sentence
from engine.feeds.counts import UNREADABLE
from engine.indicators.volatility import LogVolatility
from engine.lab.recordings.door import RecordingStats
from engine.lab.recordings.lines import is_json, read_lines
from engine.strategies.door import Context
from engine.strategies.fair_value import normal_cdf
from engine.strategies.market_maker.parameters import FairSource, MarketMakerParameters, Prior
from engine.strategies.market_maker.strategy import MarketMaker
from studies import main

# -- Brier scores with seeded, paired bootstrap intervals over whole markets -----------------------


class ForecastMoment(msgspec.Struct, frozen=True):
    """The three forecasts of one market at one horizon, and what happened."""

    slug: str
    horizon_s: int
    ours: float
    spot: float
    up: bool


class ScoreEstimate(msgspec.Struct, frozen=True):
    """A mean with its bootstrap 95 % interval."""

    mean: float
    low: float
    high: float


class HorizonScore(msgspec.Struct, frozen=True):
    """Brier scores at one horizon, lower is better, and paired differences in our favour."""

    horizon_s: int
    markets: int
    ours: ScoreEstimate
    half: ScoreEstimate
    spot: ScoreEstimate
    half_less_ours: ScoreEstimate
    spot_less_ours: ScoreEstimate


def score(moments: list[ForecastMoment], horizon_s: int, resamples: int, seed: int) -> HorizonScore:
    """Return the scores of one horizon's moments. Raises BadInput where there are none."""
    if not moments:
        raise BadInput(f"no market could be scored {horizon_s} s before its close")
    outcome = np.array([float(m.up) for m in moments])
    ours = (np.array([m.ours for m in moments]) - outcome) ** 2
    spot = (np.array([m.spot for m in moments]) - outcome) ** 2
    half = np.full(len(moments), 0.25)
    # One set of resampled markets for all columns keeps the differences paired.
    draws = np.random.default_rng([seed, horizon_s]).integers(
        0, len(moments), size=(resamples, len(moments))
    )
    return HorizonScore(
        horizon_s=horizon_s,
        markets=len(moments),
        ours=_estimate(ours, draws),
        half=_estimate(half, draws),
        spot=_estimate(spot, draws),
        half_less_ours=_estimate(half - ours, draws),
        spot_less_ours=_estimate(spot - ours, draws),
    )


def _estimate(values: NDArray[np.float64], draws: NDArray[np.int64]) -> ScoreEstimate:
    means = values[draws].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return ScoreEstimate(float(values.mean()), float(low), float(high))


# -- The recorded oracle and its up/down markets: ticks with both their times, strikes, outcomes ---

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
E8_PER_E18 = 10**10
"""The recording keeps oracle prices and strikes in 1e-18; the engine keeps 1e-8."""

PRICE_E18 = (E8_PER_E18, 10**30)
"""Least and most: a price is above 0 in 1e-8 too, and below a million millions of dollars."""
MS_MAX = 9 * 10**12
"""Milliseconds that are nanoseconds of 63 bits."""
DIGITS_MAX = 40

HALF = Decimal("0.5")
OUTCOMES: dict[tuple[Decimal, Decimal], bool | None] = {
    (Decimal(1), Decimal(0)): True,
    (Decimal(0), Decimal(1)): False,
    (HALF, HALF): None,
}
"""Prices of Up and Down after the end, and whether Up won."""

PRICES = "BTCUSD-prices-"
MARKETS = "BTC-5m-markets-"


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One oracle price: made at `stamp_ns`, known from `received_ns` on."""

    received_ns: int
    stamp_ns: int
    price_e8: int


class RecordedMarket(msgspec.Struct, frozen=True):
    """One up/down market and how it ended. `strike_e8` None = the recording has none."""

    slug: str
    starts_ns: int
    closes_ns: int
    strike_e8: int | None
    up: bool | None
    """None = nobody won: it paid half for each side."""


class _Row(msgspec.Struct):
    """A line of the markets' file."""

    slug: str
    start_sec: int
    end_sec: int
    outcome_prices: tuple[Decimal, Decimal]
    strike_value: Decimal | None


_row = msgspec.json.Decoder(_Row).decode


def recorded_days(folder: Path) -> list[str]:
    """Return the days a folder holds, oldest first. Raises BadInput where it holds none."""
    days = sorted(
        file.name.removeprefix(PRICES).removesuffix(".csv.gz")
        for file in folder.glob(f"{PRICES}*.csv.gz")
    )
    if not days:
        raise BadInput(f"{folder} has no {PRICES}<day>.csv.gz")
    return days


def read_ticks(path: Path) -> list[Tick]:
    """Return the oracle's ticks in the order they were received. Raises BadInput."""
    ticks, columns = [], None
    for number, line in _lines(path, whole=bool):
        try:
            cells = line.decode().rstrip("\r").split(",")
            if columns is None:
                columns = cells
                continue
            row = dict(zip(columns, cells, strict=False))
            ticks.append(
                Tick(
                    _number(row, "recv_ms", 0, MS_MAX) * MS_NS,
                    _number(row, "feed_ts_ms", 0, MS_MAX) * MS_NS,
                    _number(row, "full_accuracy_value", *PRICE_E18) // E8_PER_E18,
                )
            )
        except BadInput as error:
            raise BadInput(f"{path.name}, line {number}: {error}") from None
        except UnicodeDecodeError:
            raise BadInput(f"{path.name}, line {number}: not UTF-8 text") from None
    return sorted(ticks, key=lambda tick: (tick.received_ns, tick.stamp_ns))


def _number(row: dict[str, str], name: str, least: int, most: int) -> int:
    """Return a column's whole number. Raises BadInput in words."""
    text = row.get(name)
    if text is None:
        raise BadInput(f"column {name} is missing")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise BadInput(f"{name} {text[:DIGITS_MAX]!r} is not a whole number")
    if len(digits) > DIGITS_MAX or not least <= int(text) <= most:
        raise BadInput(f"{name} {text[:DIGITS_MAX]} must be between {least} and {most}")
    return int(text)


def read_markets(path: Path) -> list[RecordedMarket]:
    """Return the recorded markets. Raises BadInput."""
    markets = []
    for number, line in _lines(path):
        try:
            markets.append(_market(_row(line)))
        except (*UNREADABLE, BadInput) as error:
            raise BadInput(f"{path.name}, line {number}: not a market ({error})") from None
    return markets


def _market(row: _Row) -> RecordedMarket:
    if not 0 < row.start_sec < row.end_sec <= MS_MAX // 1_000:
        raise BadInput(f"its window from {row.start_sec} to {row.end_sec} is none")
    if row.outcome_prices not in OUTCOMES:
        prices = " and ".join(map(str, row.outcome_prices))
        raise BadInput(f"outcome_prices {prices} are no outcome: 1 and 0, 0 and 1, or half each")
    strike = row.strike_value
    if strike is not None and not PRICE_E18[0] <= strike <= PRICE_E18[1]:
        raise BadInput(f"strike_value {strike} must be a price above 0")
    return RecordedMarket(
        slug=row.slug,
        starts_ns=row.start_sec * SECOND_NS,
        closes_ns=row.end_sec * SECOND_NS,
        strike_e8=None if strike is None else int(strike) // E8_PER_E18,
        up=OUTCOMES[row.outcome_prices],
    )


def _lines(path: Path, whole: Callable[[bytes], bool] = is_json) -> Iterator[tuple[int, bytes]]:
    try:
        yield from read_lines(path, RecordingStats(), whole)
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {os_sentence(error)}") from None


# --------------------------------------------------------------------------------------------------

NAME = "brier"
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
        prior=Prior.MODEL,
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


def run(args: argparse.Namespace, _config: Config) -> int:
    """Study and print; touch no state. Gives the exit code; raises BadInput."""
    result = study(args.path, resamples=args.resamples, seed=args.seed)
    text = msgspec.json.encode(result).decode() if args.json else describe(result)
    sys.stdout.write(text + "\n")
    return 0


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


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
