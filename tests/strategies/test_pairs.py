"""Pairs: the trades of a naive recomputation by numpy, and none of two walks without a link."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.caches.markets import MarketCache
from engine.caches.views import BookView, InventoryView
from engine.domain.bars import Bar
from engine.domain.events import InstrumentListed
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Readings
from engine.strategies.pairs import critical_value, spread_of
from engine.strategies.registry import build

S = 1_000_000_000
UNIT = 100_000_000
NAMES = (InstrumentId("x:A"), InstrumentId("x:B"))
CAPITAL = 1_000 * 10**6
PERIOD = 60
GIVEN = {"bars": "1m", "period": PERIOD, "share": 0.5, "enter": 1.5}
Trades = list[tuple[int, str, str]]
Closes = list[tuple[int, int]]


class Bars:
    """The closed bars of one instrument."""

    def __init__(self, bars: list[Bar]) -> None:
        self._closed = bars

    def bars(self, name: str, count: int) -> Sequence[Bar]:
        del name
        return self._closed[-count:]

    def indicator(self, name: str) -> float | None:
        raise AssertionError(name)


class Desk:
    """One bot of two spot pairs; what it asks for is filled at once, without a fee."""

    def __init__(self, names: Sequence[InstrumentId] = NAMES, **parameters: Any) -> None:
        self.parameters = {**GIVEN, **parameters}
        self.strategy = build("pairs", self.parameters, BotId("b"))
        self.cache = MarketCache()
        self.names = names
        self.closed: dict[InstrumentId, list[Bar]] = {name: [] for name in names}
        self.held = dict.fromkeys(names, 0)
        for name in names:
            instrument = Instrument(
                id=name, kind=Kind.SPOT, currency="USD", price_decimals=2, size_decimals=8,
                tick=1, lot=1_000,
            )  # fmt: skip
            self.cache.receive(InstrumentListed(instrument=instrument), S)

    def views(self) -> list[BookView]:
        return [self.cache.views[name] for name in self.names]

    def inventory(self, instrument: InstrumentId) -> InventoryView:
        return InventoryView(position=self.held[instrument], cash_free_micro=CAPITAL)

    def readings(self, instrument: InstrumentId, now_ns: int) -> Readings:
        del now_ns
        return Bars(self.closed[instrument])

    def close(self, name: InstrumentId, i: int, price: int) -> None:
        bar = Bar(60 * S * i, 60 * S * (i + 1), price, price, price, price)
        self.closed[name].append(bar)

    def ask(self, name: InstrumentId, now_ns: int = S) -> Evaluation:
        context = Context(
            bot=BotId("b"), decision=1, view=self.cache.views[name],
            inventory=self.inventory(name), references=self.cache.references,
            capital_micro=CAPITAL, readings=Bars(self.closed[name]), others=self,
        )  # fmt: skip
        return self.strategy.evaluate(context, now_ns)

    def traded(self, i: int, name: InstrumentId) -> Trades:
        """Ask, fill what is wanted; return the trade, if there is one."""
        for intent in self.ask(name).intents:
            assert isinstance(intent, Target)
            side = "buy" if intent.position > self.held[name] else "sell"
            assert 0 <= intent.position * intent.limit_price <= CAPITAL * UNIT * 100 // 10**6
            self.held[name] = intent.position
            return [(i, name, side)]
        return []

    def run(self, closes: Closes, *, restarts: bool = False) -> Trades:
        """Play the closes; the second leg's bar comes after the first leg was asked."""
        trades: Trades = []
        for i, prices in enumerate(closes):
            if restarts and i % 7 == 0:
                state = self.strategy.state()
                assert len(state) < 1_000
                self.strategy = build("pairs", self.parameters, BotId("b"))
                self.strategy.restore(state)
                assert self.strategy.state() == state
            self.close(NAMES[0], i, prices[0])
            trades += self.traded(i, NAMES[0])
            self.close(NAMES[1], i, prices[1])
            for name in (NAMES[1], NAMES[0]):
                trades += self.traded(i, name)
        return trades


def linked(seed: int, count: int = 600) -> Closes:
    """Return closes of a walk, and of another that follows it with an AR(1) between them."""
    chance = np.random.default_rng(seed)
    x = math.log(50_000) + np.cumsum(chance.normal(0, 0.004, count))
    gap = np.zeros(count)
    for i in range(1, count):
        gap[i] = 0.5 * gap[i - 1] + chance.normal(0, 0.004)
    y = 2.0 + 0.8 * x + gap
    return [(round(math.exp(a)), round(math.exp(b))) for a, b in zip(y, x, strict=True)]


def walks(seed: int, count: int = 300) -> Closes:
    """Return closes of two walks that have nothing to do with each other."""
    steps = np.random.default_rng(seed).normal(0, 0.004, (count, 2))
    prices = 50_000 * np.exp(np.cumsum(steps, axis=0))
    return [(round(a), round(b)) for a, b in prices]


def numbers(y: Any, x: Any) -> tuple[float, float, float, float]:
    """Return z, hedge ratio, half-life and t by least squares of numpy."""
    (start, slope), *_ = np.linalg.lstsq(np.column_stack([np.ones_like(x), x]), y, rcond=None)
    rest = y - start - slope * x
    before, change = rest[:-1], np.diff(rest)
    (rate,), (left,), *_ = np.linalg.lstsq(before[:, None], change, rcond=None)
    t = rate / math.sqrt(left / (len(change) - 1) / (before @ before))
    half_life = math.log(2) / -math.log(1 + rate) if -1 < rate < 0 else math.inf
    return rest[-1] / math.sqrt(rest @ rest / (len(y) - 2)), slope, half_life, t


def naive(closes: Closes) -> Trades:
    """Return the trades by a fresh regression over all of the window at each bar."""
    logs = np.log(np.array(closes, dtype=float))
    limit = -3.89644 - 10.9519 / (PERIOD - 1) - 22.527 / (PERIOD - 1) ** 2
    leg, trades = -1, []
    for i in range(PERIOD - 1, len(closes)):
        window = logs[i + 1 - PERIOD : i + 1]
        z, slope, half_life, t = numbers(window[:, 0], window[:, 1])
        if leg >= 0:
            cheap = z if leg else -z
            if cheap <= 0.0 or cheap >= 4.0:
                trades.append((i, NAMES[leg], "sell"))
                leg = -1
        elif t <= limit and half_life <= 48 and slope > 0 and 1.5 <= abs(z) < 4.0:
            leg = 0 if z < 0 else 1
            trades.append((i, NAMES[leg], "buy"))
    return trades


@pytest.mark.parametrize("seed", [1, 2])
def test_it_trades_as_a_naive_one_does_and_a_restart_changes_nothing(seed: int) -> None:
    closes = linked(seed)
    trades = naive(closes)
    assert Desk().run(closes) == trades
    assert Desk().run(closes, restarts=True) == trades
    assert len(trades) >= 10
    assert {name for _, name, _ in trades} == set(NAMES)


@pytest.mark.long
def test_of_two_walks_without_a_link_most_are_never_traded() -> None:
    traded = [bool(Desk(enter=2.0).run(walks(seed))) for seed in range(12)]
    assert sum(traded) <= 4
    assert all(Desk(enter=2.0).run(linked(seed, 300)) for seed in range(3))


def test_the_numbers_are_those_of_least_squares() -> None:
    logs = np.log(np.array(linked(5, 200), dtype=float))
    found = spread_of(logs[:, 0].tolist(), logs[:, 1].tolist())
    assert found == pytest.approx(numbers(logs[:, 0], logs[:, 1]), rel=1e-6)
    assert spread_of([1.0] * 40, [2.0] * 40) is None
    assert critical_value("5%", 10**9) == pytest.approx(-3.33613)


def test_a_spread_beyond_the_stop_is_sold() -> None:
    closes = linked(1)
    i, name, _ = next(one for one in naive(closes) if one[1:] == (NAMES[0], "buy"))
    desk = Desk()
    desk.run(closes[: i + 1])
    assert desk.held[NAMES[0]] > 0
    for leg, price in zip(NAMES, (closes[i][0] // 2, closes[i][1]), strict=True):
        desk.close(leg, i + 1, price)
    assert desk.traded(i + 1, NAMES[0]) == [(i + 1, name, "sell")]


def test_one_instrument_is_no_pair() -> None:
    assert Desk(NAMES[:1]).ask(NAMES[0]).decision.outcome == "two"


def test_too_few_bars_are_said() -> None:
    desk = Desk()
    for name in NAMES:
        desk.close(name, 0, 100)
    assert desk.ask(NAMES[1]).decision.outcome == "warm"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"leave": 2.0, "enter": 2.0}, "must be less than enter"),
     ({"stop": 1.0}, "must be more than enter"), ({"level": "2%"}, "level"),
     ({"period": 5}, "period=5")],
)  # fmt: skip
def test_parameters_that_do_not_fit_are_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        build("pairs", parameters, BotId("b"))


def test_a_state_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        Desk().strategy.restore(b"[]")
