"""What an indicator or a rule would have said over past bars, and the picture of a strategy's idea.

The bars go through the same cache, sampler, indicators and engine as live ones. Of an indicator a
number is taken at each bar of the file; of a rule the numbers of each decision, and its trades on
paper at a thousand of capital. A picture is what a strategy with its defaults does on a made-up
path of a rise, a fall, ranges and leaps: it shows when it acts, and nothing of what it earns.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import exp, sin
from pathlib import Path

import msgspec

from engine.bots.bot import Bot
from engine.bots.signals import Signals
from engine.bots.slices import SECOND_NS
from engine.caches.markets import MarketCache
from engine.code_digest import code_digest
from engine.config import Config
from engine.domain.bars import BarSpec, BarUnit, bar_spec
from engine.domain.decisions import Decision
from engine.domain.effects import PlaceOrder
from engine.domain.events import BarClosed, InstrumentListed, OrderFilled
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.orders import Order, OrderId
from engine.domain.rules import (
    BarNumber,
    IndicatorNumber,
    Operand,
    RuleCondition,
    RuleDocument,
)
from engine.domain.rules.words import condition_words, operand_words
from engine.domain.settings import RiskLimits
from engine.errors import BadInput
from engine.indicators.door import BarIndicator, PriceBar, Variant
from engine.indicators.library import fresh
from engine.lab.evidence import CAPITAL, CASH_TIMES, LATENCY_MS
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.run import ACCOUNT, Replay, assemble, play
from engine.lab.replay.setup import REPLAY_MARK_AGE_MS
from engine.runtime.journal import DigestRecorder
from engine.strategies.door import Reads, Strategy
from engine.strategies.registry import STRATEGIES, build
from engine.strategies.rules import runnable, variant_of
from engine.venues.paper.settings import PaperSettings
from storage.database import reading
from storage.ticks import candles
from storage.users import ENGINE_ID
from storage.views.frame import listings_of

POINTS_MAX = 400
BOT = BotId("probe")
HOUR_NS = 3_600 * SECOND_NS
MARKET = BarMarket(slippage_bps=1.0)

Points = list[tuple[int, float | None]]
"""(ns UTC, number); None = it was not known then."""


@contextmanager
def bars_of(config: Config, instrument: str, hours: int, now_ns: int) -> Iterator[Path]:
    """Give the received minutes of a market's mid as a file of bars, for as long as it is needed.

    Raises BadInput where the market is not known, or too little of it was received.
    """
    with reading(config.state_path) as connection:
        listed = listings_of(connection, ENGINE_ID, [instrument]).get(instrument)
    if listed is None:
        raise BadInput(f"{instrument!r} is no market this desk knows: follow it first")
    found = candles(config.home, instrument, "1m", now_ns - hours * HOUR_NS, now_ns)
    unit, sizes = 2 * 10 ** int(listed["price_decimals"]), 10 ** int(listed["size_decimals"])
    lines = ["time,open,high,low,close,volume"]
    for one in found:
        if one.open2 is None or one.high2 is None or one.low2 is None or one.close2 is None:
            continue
        prices = ",".join(f"{p / unit:.8f}" for p in (one.open2, one.high2, one.low2, one.close2))
        lines.append(f"{one.start_ns // SECOND_NS},{prices},{one.volume / sizes:.6f}")
    if len(lines) < 4:
        raise BadInput(
            f"{instrument}: {len(lines) - 1} minutes of it were received in the last {hours} h, "
            "three are needed: follow it, and ask later"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        yield path


def probe_indicator(path: Path, used: IndicatorNumber) -> dict[str, object]:
    """Return an indicator's number at each bar of a file. Raises BadInput where it cannot be made.

    One that is fed with books or trades is fed with those that are made of bars, which is said.
    """
    if used.other:
        raise BadInput(f"{used.name} compares two markets: a file of bars has one")
    variant = variant_of(used)
    bars = {variant.bars: 1} if variant.bars else {}
    reads = Reads(bars=bars, indicators={"asked": variant})
    recording = BarRecording(path, market=MARKET)
    cache, signals, key = MarketCache(), Signals(), recording.instrument.id
    scale = float(recording.instrument.price_unit)
    numbers: Points = []
    closes: Points = []
    for now_ns, event in recording.events():
        view = cache.receive(event, now_ns)
        if isinstance(event, InstrumentListed):
            signals.watch(BOT, event.instrument, reads)
        signals.on_event(event, view, now_ns)
        if isinstance(event, BarClosed):
            closes.append((now_ns, event.bar.close / recording.spec.per_increment / scale))
            numbers.append((now_ns, signals.value(key, variant, now_ns)))
    return {
        "bars": recording.spec.text,
        "count": len(closes),
        "close": _thinned(closes),
        "series": {operand_words(used): _thinned(numbers)},
        "last": {operand_words(used): numbers[-1][1] if numbers else None},
    }


def probe_rule(path: Path, text: str) -> dict[str, object]:
    """Return what each condition of a rule compared over a file of bars, and its trades.

    Raises BadInput with one sentence where it cannot be run.
    """
    document = runnable(text)
    recording = BarRecording(path, market=MARKET)
    watch = _Watch(document)
    strategy = build("rules", {"document": text}, BOT)
    replay = _replay(recording, strategy, watch, watch.decide)
    play((replay,), recording, lambda *_: None)
    result = replay.result
    if result.bot_errors:
        raise BadInput("; ".join(result.bot_errors.values()))
    unit, closes = float(recording.instrument.price_unit), [*_closes(path)]
    short = too_few_bars(document, [at for at, _ in closes], recording.spec)
    said = f"{result.fills} fills over {recording.stats.frames:,} bars of {recording.spec.text}"
    return {
        "summary": "; ".join([said, *short]),
        "bars": recording.spec.text,
        "count": recording.stats.frames,
        "close": _thinned([*closes]),
        "short": short,
        "series": {name: _thinned(points) for name, points in watch.series.items()},
        "conditions": list(watch.conditions.items()),
        "last": {name: points[-1][1] for name, points in watch.series.items() if points},
        "trades": [(at, side, price / unit) for at, side, price in watch.trades[-POINTS_MAX:]],
        "fills": result.fills,
        "pnl": (result.equity_end_micro - result.equity_start_micro) / MICRO,
        "fees": result.fees_micro / MICRO,
        "currency": recording.currency,
    }


BARS_TRIED = 20_000
"""An indicator that knows no number after so many bars is taken to need one more."""


def bars_until_known(variant: Variant) -> int:
    """Return after how many bars a fresh indicator knows its number; 0 = it is fed otherwise.

    It is fed with bars that rise and fall, since some know nothing of a price that stands still.
    """
    indicator = fresh(variant)
    if not isinstance(indicator, BarIndicator):
        return 0
    for number in range(1, BARS_TRIED + 1):
        price = 100.0 + number % 7 - number % 3
        indicator.on_bar(PriceBar(price, price + 1.0, price - 1.0, price + 0.5, 10.0))
        if indicator.value(number * SECOND_NS) is not None:
            return number
    return BARS_TRIED + 1


def too_few_bars(document: RuleDocument, ends: Sequence[int], given: BarSpec) -> list[str]:
    """Return a sentence for each condition that could never be known over these bars.

    `ends` are the times at which the bars of the file closed, ns UTC; `given` is their length.
    """
    said: dict[str, None] = {}
    for condition in document.conditions:
        for bars, needed in _needs(condition):
            had = bars_made(bar_spec(bars), ends, given)
            if had < needed:
                words = condition_words(condition)
                said[f"{words}: needs {needed:,} bars of {bars}, had {had:,}"] = None
    return list(said)


def bars_made(spec: BarSpec, ends: Sequence[int], given: BarSpec) -> int:
    """Return how many bars of a spec are made of closed bars; of shorter ones by their times."""
    if spec == given:
        return len(ends)
    if spec.unit is not BarUnit.TIME or spec.step % given.step:
        return 0
    return sum(end_ns % spec.step == 0 for end_ns in ends)


def _needs(condition: RuleCondition) -> Iterator[tuple[str, int]]:
    """Give the bars a condition reads, and how many of them must have closed."""
    before = 1 if condition.compare.startswith("crosses") else 0
    for side in (condition.left, condition.right):
        bars, needed = _need(side)
        if bars:
            yield bars, needed + before


def _need(operand: Operand) -> tuple[str, int]:
    if isinstance(operand, BarNumber):
        return operand.bars, operand.ago + 1
    if isinstance(operand, IndicatorNumber) and operand.bars:
        return operand.bars, bars_until_known(variant_of(operand))
    return "", 0


SKETCH_SEED = 11
SKETCH_BARS_MAX = 4_000
SKETCH_SHOWN = 300
"""Bars of a picture; those before them let the strategy get warm."""

DRIFTS = (0.0, 0.0012, 0.0, -0.0016, 0.0, 0.0008)
"""By which a made-up path moves a bar, part after part."""


def probe_strategy(name: str) -> dict[str, object]:
    """Return what a strategy with its defaults does on a made-up path of the bars it reads.

    Raises BadInput where it decides on nothing that bars have.
    """
    strategy = build(name, {}, BOT)
    bars: Mapping[str, int] = getattr(strategy, "reads", Reads()).series
    timed = [one for one in map(bar_spec, bars) if one.unit is BarUnit.TIME]
    if not timed:
        raise BadInput(f"{name} does not decide on bars of time: there is no picture of its idea")
    spec = min(timed, key=lambda one: one.step)
    deepest = max(bar_spec(one).step // spec.step * depth for one, depth in bars.items())
    count = min(SKETCH_BARS_MAX, deepest + SKETCH_SHOWN)
    trades = _Trades()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made-up.csv"
        path.write_text("\n".join(_made_up(count, spec.step)), encoding="utf-8")
        recording = BarRecording(path, market=MARKET)
        replay = _replay(recording, strategy, trades, lambda _: None)
        play((replay,), recording, lambda *_: None)
        closes = _closes(path)
        shown = list(closes)[-SKETCH_SHOWN:]
    if replay.result.bot_errors:
        raise BadInput("; ".join(replay.result.bot_errors.values()))
    unit = float(recording.instrument.price_unit)
    return {
        "bars": spec.text,
        "count": len(shown),
        "close": shown,
        "series": {},
        "last": {},
        "trades": [
            (at, side, price / unit) for at, side, price in trades.trades if at >= shown[0][0]
        ],
        "fills": replay.result.fills,
        "digest": code_digest(STRATEGIES[name]),
    }


def _made_up(count: int, step_ns: int) -> Iterator[str]:
    """Give the lines of a file of bars: parts that rise, fall and swing, with two leaps."""
    chance = random.Random(SKETCH_SEED)  # noqa: S311 a path, not a secret
    level, opened = 0.0, 100.0
    first = max(0, count - SKETCH_SHOWN)
    yield "time,open,high,low,close,volume"
    for number in range(count):
        place = max(0, number - first)
        drift = DRIFTS[place * len(DRIFTS) // (SKETCH_SHOWN + 1)]
        leaps = place in {SKETCH_SHOWN // 4, SKETCH_SHOWN * 3 // 4}
        level += drift + chance.gauss(0.0, 0.0008) + (0.02 if leaps else 0.0)
        close = 100.0 * exp(level + (0.0 if drift else 0.012 * sin(number / 7.0)))
        high, low = max(opened, close) * 1.0004, min(opened, close) * 0.9996
        prices = ",".join(f"{one:.4f}" for one in (opened, high, low, close))
        volume = 50_000 if leaps else 5_000
        yield f"{SKETCH_FROM_S + number * step_ns // SECOND_NS},{prices},{volume}"
        opened = close


SKETCH_FROM_S = 1_700_006_400
"""A midnight, at which a made-up path begins."""


def _replay(
    recording: BarRecording,
    strategy: Strategy,
    watch: DigestRecorder,
    decide: Callable[[Decision], None],
) -> Replay:
    """Return a strategy at a paper account of its own over bars."""
    cash = CAPITAL * CASH_TIMES
    limits = RiskLimits(mark_age_ms_max=REPLAY_MARK_AGE_MS).model_copy(
        update={"data_age_ms_max": recording.data_age_ms}
    )
    return assemble(
        recording=recording,
        bots=(
            Bot(
                name=BOT,
                account=ACCOUNT,
                strategy=strategy,
                capital_micro=round(CAPITAL * MICRO),
                everything=True,
            ),
        ),
        limits=limits,
        paper=PaperSettings(
            order_latency_ms=LATENCY_MS,
            cancel_latency_ms=LATENCY_MS,
            starting_cash={recording.currency: cash},
        ),
        cash_micro=round(cash * MICRO),
        recorder=watch,
        decide=decide,
        currency=recording.currency,
        tick_ns=max(SECOND_NS, recording.spec.step),
    )


class _Trades(DigestRecorder):
    """Takes the fills from the records: when, which side, at which price."""

    __slots__ = ("_orders", "trades")

    def __init__(self) -> None:
        super().__init__()
        self.trades: list[tuple[int, str, int]] = []
        self._orders: dict[OrderId, Order] = {}

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Take an order or a fill; everything goes into the digest."""
        if isinstance(message, PlaceOrder):
            self._orders[message.order.id] = message.order
        elif isinstance(message, OrderFilled) and message.order in self._orders:
            side = self._orders[message.order].side.value
            self.trades.append((at_ns, side, message.price))
        return super().append(account, message, at_ns)


class _Watch(_Trades):
    """Takes what a rule compared at each decision, and its fills from the records."""

    __slots__ = ("_names", "conditions", "series")

    def __init__(self, document: RuleDocument) -> None:
        super().__init__()
        self.series: dict[str, Points] = {}
        self.conditions: dict[str, list[str]] = {}
        """Each condition in words → the names of its two series."""
        self._names: dict[str, str] = {}
        for place, one in enumerate(document.conditions, 1):
            said = condition_words(one)
            self.conditions[said] = []
            for side, operand in (("", one.left), ("_right", one.right)):
                name = f"{place}. {operand_words(operand)}"
                self._names[f"c{place}{side}"] = name
                self.conditions[said].append(name)

    def decide(self, decision: Decision) -> None:
        """Take the numbers of a decision."""
        for name, value in decision.inputs:
            self.series.setdefault(self._names[name], []).append((decision.at_ns, value))


def _closes(path: Path) -> Iterator[tuple[int, float]]:
    recording = BarRecording(path)
    unit = float(recording.instrument.price_unit) * recording.spec.per_increment
    for now_ns, event in recording.events():
        if isinstance(event, BarClosed):
            yield now_ns, event.bar.close / unit


def _thinned(points: Points) -> Points:
    """Return at most `POINTS_MAX` points, the last one among them."""
    step = -(-len(points) // POINTS_MAX) or 1
    return points[::-1][::step][::-1]
