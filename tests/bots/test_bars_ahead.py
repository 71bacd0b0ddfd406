"""What rules and indicators say of many bars at once is what they say of each."""

from __future__ import annotations

import itertools
import random
from math import isnan
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.bots.bars_ahead import Foreseen
from engine.bots.signals import Reader, Signals
from engine.domain.bars import Bar, bar_spec
from engine.domain.events import BarClosed
from engine.domain.instruments import BotId, InstrumentId
from engine.errors import BadInput
from engine.indicators.columns import PriceColumns, ahead
from engine.indicators.door import PriceBar
from engine.indicators.sma import Sma
from engine.lab.recordings.bar_files import instrument_of
from engine.lab.recordings.made_bars import NO_COSTS, BarLaws, Stretch
from engine.strategies.bar_rule import BarRule, Seen, Wish, _Held
from engine.strategies.registry import STRATEGIES, build
from engine.strategies.sma_cross import SmaCross

S = 1_000_000_000
BOT = BotId("b")
TERMS = instrument_of(InstrumentId("binance:BTC/USDT"), "USDT", NO_COSTS, decimals=(2, 4))

AT_ONCE = {
    "sma_cross": {"fast": "3", "slow": "10"},
    "rsi_reversion": {"oversold": "45"},
    "bollinger_reversion": {},
    "keltner_breakout": {"period": "4", "atr_period": "9", "ranges": "1"},
    "supertrend": {"ranges": "1"},
    "momentum": {"lookback": "7"},
    "volatility_breakout": {},
    "donchian_breakout": {"enter": "9", "leave": "4"},
}


def walk(count: int) -> list[Bar]:
    """Return bars of a minute whose closes wander, some of them alike."""
    chance, price, bars = random.Random(3), 10_000, []
    for i in range(count):
        opened, price = price, price + round(chance.gauss(0, 30))
        low, high = min(opened, price) - chance.randrange(9), max(opened, price)
        bars.append(Bar(60 * S * i, 60 * S * (i + 1), opened, high, low, price, 5))
    return bars


def known_ahead(bars: list[Bar]) -> Stretch:
    fields = ("open", "high", "low", "close", "volume")
    made = [np.array([getattr(bar, field) for bar in bars]) for field in fields]
    return Stretch(BarLaws(TERMS, NO_COSTS, bar_spec("1m")), bars[0].start_ns, made, 0)


def test_every_rule_that_says_what_it_wants_of_many_bars_is_shown_here() -> None:
    rules = {name for name, kind in STRATEGIES.items() if issubclass(kind, BarRule)}
    assert {name for name in rules if STRATEGIES[name].parts is not BarRule.parts} == set(AT_ONCE)


@pytest.mark.parametrize("warm", [40, 41, 150])
@pytest.mark.parametrize("name", AT_ONCE)
def test_what_a_rule_wants_of_many_bars_is_what_it_wants_of_each(name: str, warm: int) -> None:
    rule: Any = build(name, AT_ONCE[name] | {"bars": "1m"}, BOT)
    bars, signals = walk(420), Signals()
    signals.watch(BOT, TERMS, rule.reads)
    watched = signals.watched_bars(TERMS.id)
    assert watched is not None
    watched.given = "1m"

    def take(bar: Bar) -> float | None:
        signals.on_event(BarClosed(instrument=TERMS.id, bars="1m", bar=bar), None, bar.end_ns)
        reader = Reader(signals, TERMS.id, rule.reads, bar.end_ns)
        wish = rule.wish(Seen(reader, "1m", 100.0, _Held()))
        return None if wish is None else wish.part

    for bar in bars[:warm]:
        take(bar)
    foreseen = Foreseen(known_ahead(bars[warm:]), 0, watched, [(rule, rule.reads)])
    parts = rule.parts_over(foreseen.columns(rule.reads), TERMS).tolist()
    each = [take(bar) for bar in bars[warm:]]
    assert [None if isnan(one) else one for one in parts] == each
    assert len({one for one in each if one is not None}) == 2


def test_many_bars_are_looked_back_on_as_far_as_is_declared() -> None:
    rule: Any = build("donchian_breakout", AT_ONCE["donchian_breakout"] | {"bars": "1m"}, BOT)
    signals, depth = Signals(), rule.reads.bars["1m"]
    signals.watch(BOT, TERMS, rule.reads)
    watched = signals.watched_bars(TERMS.id)
    assert watched is not None
    columns = Foreseen(known_ahead(walk(40)), 0, watched, [(rule, rule.reads)]).columns(rule.reads)
    assert len(columns.bars("close", depth - 1)) == 40
    with pytest.raises(BadInput, match=f"{depth + 1} bars 1m are read, {depth} are declared"):
        columns.bars("close", depth)


def test_a_rule_with_a_wish_of_its_own_is_asked_at_each_bar() -> None:
    class Contrary(SmaCross):
        def wish(self, seen: Seen) -> Wish | None:
            return Wish(0.0 if seen.part else 1.0)

    assert Contrary.parts is BarRule.parts
    assert SmaCross.parts is not BarRule.parts


def test_an_indicator_goes_on_behind_many_bars_as_behind_each() -> None:
    chance, sizes = random.Random(4), (1, 2, 7, 30)
    for size, count in itertools.product(sizes, (1, 5, 29, 30, 64)):
        whole, closes = Sma(period=size), [chance.uniform(1, 1e5) for _ in range(3 * size + count)]
        for close in closes[: 3 * size - count % size]:
            whole.on_bar(PriceBar(close, close, close, close))
        left = closes[3 * size - count % size :]
        column = np.array(left)
        made = ahead(whole, PriceColumns(*[column] * 5))
        goes_on = msgspec.convert(msgspec.to_builtins(whole), Sma)
        said = []
        for at, close in enumerate(left):
            made.go(at, at)
            assert whole == goes_on
            goes_on.on_bar(PriceBar(close, close, close, close))
            said.append(goes_on.value(0))
        assert made.values.tolist() == said
