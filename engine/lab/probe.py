"""What an indicator, or every condition of a rule, would have said over past bars.

The bars go through the same cache, sampler, indicators and engine as live ones. Of an indicator a
number is taken at each bar of the file; of a rule the numbers of each decision, and its trades on
paper at a thousand of capital.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.bots.bot import Bot
from engine.bots.signals import Signals
from engine.bots.slices import SECOND_NS
from engine.caches.markets import MarketCache
from engine.config import Config
from engine.domain.decisions import Decision
from engine.domain.effects import PlaceOrder
from engine.domain.events import BarClosed, InstrumentListed, OrderFilled
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.orders import Order, OrderId
from engine.domain.rules import IndicatorNumber, RuleDocument
from engine.domain.rules.words import condition_words, operand_words
from engine.domain.settings import RiskLimits
from engine.errors import BadInput
from engine.lab.evidence import CAPITAL, CASH_TIMES, LATENCY_MS
from engine.lab.recordings.bar_files import BarMarket, BarRecording
from engine.lab.replay.run import ACCOUNT, Replay, assemble, play
from engine.lab.replay.setup import REPLAY_MARK_AGE_MS
from engine.runtime.journal import DigestRecorder
from engine.strategies.door import Reads
from engine.strategies.registry import build
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
    replay = _replay(recording, text, watch)
    play((replay,), recording, lambda *_: None)
    result = replay.result
    if result.bot_errors:
        raise BadInput("; ".join(result.bot_errors.values()))
    unit = float(recording.instrument.price_unit)
    return {
        "bars": recording.spec.text,
        "count": recording.stats.frames,
        "close": _thinned([(at, close) for at, close in _closes(path)]),
        "series": {name: _thinned(points) for name, points in watch.series.items()},
        "conditions": list(watch.conditions.items()),
        "last": {name: points[-1][1] for name, points in watch.series.items() if points},
        "trades": [(at, side, price / unit) for at, side, price in watch.trades[-POINTS_MAX:]],
        "fills": result.fills,
        "pnl": (result.equity_end_micro - result.equity_start_micro) / MICRO,
        "fees": result.fees_micro / MICRO,
        "currency": recording.currency,
    }


def _replay(recording: BarRecording, text: str, watch: _Watch) -> Replay:
    """Return a rule at a paper account of its own over bars."""
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
                strategy=build("rules", {"document": text}, BOT),
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
        decide=watch.decide,
        currency=recording.currency,
        tick_ns=max(SECOND_NS, recording.spec.step),
    )


class _Watch(DigestRecorder):
    """Takes what a rule compared at each decision, and its fills from the records."""

    __slots__ = ("_names", "_orders", "conditions", "series", "trades")

    def __init__(self, document: RuleDocument) -> None:
        super().__init__()
        self.series: dict[str, Points] = {}
        self.conditions: dict[str, list[str]] = {}
        """Each condition in words → the names of its two series."""
        self.trades: list[tuple[int, str, int]] = []
        self._orders: dict[OrderId, Order] = {}
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

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Take an order or a fill; everything goes into the digest."""
        if isinstance(message, PlaceOrder):
            self._orders[message.order.id] = message.order
        elif isinstance(message, OrderFilled) and message.order in self._orders:
            side = self._orders[message.order].side.value
            self.trades.append((at_ns, side, message.price))
        return super().append(account, message, at_ns)


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
