"""The library of rules, each through the whole engine, against a naive recomputation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from engine.code_digest import code_digest
from engine.domain.instruments import BotId
from engine.errors import BadInput
from engine.strategies.bar_rule import BarRule
from engine.strategies.registry import STRATEGIES, build
from tests.strategies.test_bar_rules import T0, Row, file_of, options, played, walk

Parts = list[float | None]
"""The part of a whole position that is wanted at each bar; None = as before."""
Trades = list[tuple[str, str, int]]


def columns(rows: list[Row]) -> tuple[list[float], list[float], list[float]]:
    """Return highs, lows and closes."""
    _, highs, lows, closes = (list(map(float, column)) for column in zip(*rows, strict=True))
    return highs, lows, closes


def trades_of(rows: list[Row], parts: Parts) -> Trades:
    """Return the trades of these wishes: each at the next bar's open."""
    held, trades = 0.0, []
    for i, part in enumerate(parts[:-1]):
        if part is not None and part != held:
            side = "buy" if part > held else "sell"
            trades.append((side, rows[i + 1][0], T0 + 60 * (i + 1)))
            held = part
    return trades


def wilder(numbers: list[float], period: int) -> list[float | None]:
    """Return Wilder's average: a plain mean of the first ones, then 1 / period of each new one."""
    found: list[float | None] = [None] * len(numbers)
    for i in range(period - 1, len(numbers)):
        last = found[i - 1]
        mean = sum(numbers[:period]) / period
        found[i] = mean if last is None else (last * (period - 1) + numbers[i]) / period
    return found


def ranges(rows: list[Row], period: int) -> list[float | None]:
    """Return the average true range of each bar."""
    highs, lows, closes = columns(rows)
    true = [max(highs[i], closes[i - 1]) - min(lows[i], closes[i - 1]) for i in range(1, len(rows))]
    return [None, *wilder(true, period)]


def between(number: float | None, low: float, high: float, *, buys_low: bool) -> float | None:
    """Return all or nothing beyond two levels, and None between them."""
    if number is None:
        return None
    if number < low:
        return 1.0 if buys_low else 0.0
    if number > high:
        return 0.0 if buys_low else 1.0
    return None


def rsi(rows: list[Row], oversold: float = 40.0) -> Parts:
    closes = columns(rows)[2]
    moves = [b - a for a, b in itertools.pairwise(closes)]
    ups, downs = (wilder([max(0.0, s * one) for one in moves], 14) for s in (1, -1))
    parts: Parts = [None]
    for up, down in zip(ups, downs, strict=True):
        index = None if up is None or down is None else 100.0 * up / (up + down)
        parts.append(between(index, oversold, 55.0, buys_low=True))
    return parts


def bollinger(rows: list[Row]) -> Parts:
    closes, parts = columns(rows)[2], [None] * 19
    made: Parts = [*parts]
    for i in range(19, len(closes)):
        last = closes[i - 19 : i + 1]
        mean = sum(last) / 20
        wide = 1.5 * sqrt(sum((one - mean) ** 2 for one in last) / 20)
        made.append(between(closes[i], mean - wide, mean, buys_low=True))
    return made


def momentum(rows: list[Row], back: int = 10, enter: float = 0.004) -> Parts:
    closes = columns(rows)[2]
    changes = [closes[i] / closes[i - back] - 1.0 for i in range(back, len(closes))]
    return [None] * back + [between(one, 0.0, enter, buys_low=False) for one in changes]


def donchian(rows: list[Row], enter: int = 10, leave: int = 5) -> Parts:
    highs, lows, closes = columns(rows)
    return [None] * enter + [
        between(closes[i], min(lows[i - leave : i]), max(highs[i - enter : i]), buys_low=False)
        for i in range(enter, len(closes))
    ]


def supertrend(rows: list[Row]) -> Parts:
    highs, lows, closes = columns(rows)
    parts: Parts = []
    top = bottom = None
    up = True
    for i, reach in enumerate(ranges(rows, 7)):
        if reach is None:
            parts.append(None)
            continue
        middle = (highs[i] + lows[i]) / 2
        upper, lower = middle + 2.0 * reach, middle - 2.0 * reach
        if top is not None and bottom is not None:
            up = True if closes[i] > top else False if closes[i] < bottom else up
            upper = upper if upper < top or closes[i - 1] > top else top
            lower = lower if lower > bottom or closes[i - 1] < bottom else bottom
        top, bottom = upper, lower
        parts.append(1.0 if up else 0.0)
    return parts


def keltner(rows: list[Row]) -> Parts:
    closes, middle = columns(rows)[2], None
    parts: Parts = []
    for i, reach in enumerate(ranges(rows, 7)):
        if i >= 9:
            seed = sum(closes[:10]) / 10
            middle = seed if middle is None else middle + (closes[i] - middle) * 2 / 11
        known = middle is not None and reach is not None
        parts.append(
            between(closes[i], middle, middle + reach, buys_low=False) if known else None  # type: ignore[operator, arg-type]
        )
    return parts


def dca(rows: list[Row]) -> Parts:
    return [min(8, i // 5 + 1) / 8 if i % 5 == 0 else None for i in range(len(rows))]


def grid(rows: list[Row]) -> Parts:
    parts: Parts = []
    taken, last = 0, 0.0
    for close in columns(rows)[2]:
        before = taken
        if not last or close <= last * (1 - 0.004):
            taken = min(5, taken + 1)
        elif close >= last * (1 + 0.004):
            taken = max(0, taken - 1)
        last = close if taken != before else last
        parts.append(taken / 5)
    return parts


def volatility_breakout(rows: list[Row]) -> Parts:
    closes, parts = columns(rows)[2], list[float | None]()
    for i, reach in enumerate(ranges(rows, 7)):
        move = closes[i] - closes[i - 1]
        if reach is None:
            parts.append(None)
        else:
            parts.append(1.0 if move > 1.2 * reach else 0.0 if move < -reach else None)
    return parts


def ma_trend(rows: list[Row]) -> Parts:
    closes, parts = columns(rows)[2], list[float | None]()
    means = {i: sum(closes[i - 19 : i + 1]) / 20 for i in range(19, len(closes))}
    for i, close in enumerate(closes):
        if i < 24:
            parts.append(None)
        elif close <= means[i]:
            parts.append(0.0)
        else:
            parts.append(1.0 if means[i] > means[i - 5] else None)
    return parts


def z_score_reversion(rows: list[Row]) -> Parts:
    closes, parts = columns(rows)[2], list[float | None]()
    for i, close in enumerate(closes):
        if i < 19:
            parts.append(None)
            continue
        last = closes[i - 19 : i + 1]
        z = (close - fmean(last)) / stdev(last)
        over = z >= 0.0 or z <= -2.5
        parts.append(0.0 if over else 1.0 if z <= -1.5 else None)
    return parts


def wanted(parts: Parts) -> list[float]:
    """Return what a rule wants at each bar, None taken as before."""
    held, found = 0.0, list[float]()
    for part in parts:
        held = held if part is None else part
        found.append(held)
    return found


def ensemble(rows: list[Row]) -> Parts:
    votes = zip(
        *(wanted(one) for one in (momentum(rows, 48, 0.01), donchian(rows, 20, 10))),
        wanted(rsi(rows, 30.0)),
        strict=True,
    )
    parts: Parts = [float((2 * a + b + c) / 4 >= 0.6) for a, b, c in votes]
    return [None] * 48 + parts[48:]


def fallback(rows: list[Row]) -> Parts:
    closes, parts = columns(rows)[2], list[float | None]()
    trending, ranging = wanted(donchian(rows, 20, 10)), wanted(rsi(rows, 30.0))
    trend, since = False, 0
    for i in range(len(closes)):
        if i < 20:
            parts.append(None)
            continue
        way = sum(abs(closes[j] - closes[j - 1]) for j in range(i - 19, i + 1))
        now = abs(closes[i] - closes[i - 20]) / way >= 0.3
        since += 1
        if i == 20 or since >= 3:
            since = 0 if now != trend else since
            trend = now
        parts.append((trending if trend else ranging)[i])
    return parts


RULES: dict[str, tuple[dict[str, str], Callable[[list[Row]], Parts]]] = {
    "rsi_reversion": ({"oversold": "40"}, rsi),
    "bollinger_reversion": ({"deviations": "1.5"}, bollinger),
    "momentum": ({"lookback": "10", "enter_above": "0.004"}, momentum),
    "donchian_breakout": ({"enter": "10", "leave": "5"}, donchian),
    "supertrend": ({"period": "7", "ranges": "2"}, supertrend),
    "keltner_breakout": ({"period": "10", "atr_period": "7", "ranges": "1"}, keltner),
    "dca": ({"purchases": "8", "every": "5"}, dca),
    "volatility_breakout": ({"period": "7", "enter_ranges": "1.2"}, volatility_breakout),
    "ma_trend": ({"period": "20", "rising": "5"}, ma_trend),
    "z_score_reversion": ({"period": "20", "enter": "1.5", "stop": "2.5"}, z_score_reversion),
    "grid": ({"steps": "5", "distance": "0.004"}, grid),
    "ensemble": (
        {"votes": "momentum 2, donchian_breakout,rsi_reversion 1.0", "majority": "0.6"},
        ensemble,
    ),
    "fallback": (
        {"trending": "donchian_breakout", "window": "20", "stay_bars_min": "3"},
        fallback,
    ),
}
ELSEWHERE = {"sma_cross", "pump_detection"}
"""Rules with tests of their own."""


def test_every_rule_is_recomputed() -> None:
    ours = {name: one for name, one in STRATEGIES.items() if one.__module__.startswith("engine.")}
    rules = {name for name, kind in ours.items() if issubclass(kind, BarRule)}
    assert rules - ELSEWHERE == RULES.keys()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", RULES)
def test_it_trades_as_a_naive_one_does_at_the_next_open(name: str, tmp_path: Path) -> None:
    rows = walk(7)
    parameters, naive = RULES[name]
    given = options(file_of(tmp_path, rows), strategy=name, parameters={"bars": "1m", **parameters})
    _, fills = played(given, tmp_path / "home")
    assert fills == trades_of(rows, naive(rows))
    assert len(fills) >= 8


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("ensemble", {"votes": "nothing 2"}, "'nothing' is no rule it can be made of"),
        ("ensemble", {"votes": "ensemble"}, "'ensemble' is no rule it can be made of"),
        ("ensemble", {"votes": "grid, grid 2"}, "grid votes twice"),
        ("ensemble", {"votes": "grid two"}, "weight two: a number above 0"),
        ("ensemble", {"votes": "grid 2 3"}, "'grid 2 3' is no vote"),
        ("ensemble", {"votes": ""}, "'' is no vote"),
        ("fallback", {"ranging": "pairs"}, "'pairs' is no rule it can be made of"),
        ("fallback", {"ranging": "momentum"}, "both momentum: name two rules"),
    ],
)
def test_a_composition_of_what_is_none_is_refused(
    name: str, parameters: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        build(name, parameters, BotId("bot"))


def test_evidence_of_a_composition_is_of_its_members_code(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = STRATEGIES["ensemble"]
    before = code_digest(kind)
    monkeypatch.setattr(kind, "made_of", list)
    assert code_digest(kind) != before


PUMPED = range(150, 156)


def pump(folder: Path, volume: int) -> Path:
    """Return a file of a still market that leaps for six minutes, with this volume, and falls."""
    price, lines = 100.0, ["time,open,high,low,close,volume"]
    for i in range(220):
        opened = price
        price *= 1.02 if i in PUMPED else 0.97 if 156 <= i < 160 else 1.0001 if i % 2 else 0.9999
        top, low = max(opened, price), min(opened, price)
        traded = volume if i in PUMPED else 1_000
        lines.append(f"{T0 + 60 * i},{opened:.2f},{top:.2f},{low:.2f},{price:.2f},{traded}")
    path = folder / "BTC-USDT.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def pumped(folder: Path, volume: int) -> Trades:
    given: dict[str, Any] = {"strategy": "pump_detection", "parameters": {}}
    return played(options(pump(folder, volume), **given), folder / "home")[1]


def test_a_pump_is_bought_while_it_lasts_and_sold_when_it_turns(tmp_path: Path) -> None:
    fills = pumped(tmp_path, 50_000)
    sides = [one[0] for one in fills]
    bars = [(one[2] - T0) // 60 for one in fills]
    assert sides[0] == "buy"
    assert sides[-1] == "sell"
    assert PUMPED[0] < bars[0] <= PUMPED[-1] + 1 < bars[-1] <= bars[0] + 11


def test_a_leap_without_volume_is_no_pump(tmp_path: Path) -> None:
    assert pumped(tmp_path, 1_000) == []


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("rsi_reversion", {"oversold": "60"}, "oversold=60 must be less than recovered=55"),
        ("bollinger_reversion", {"enter_below": "1"}, "enter_below=1 must be less than"),
        ("grid", {"distance": "0"}, "distance=0"),
        ("z_score_reversion", {"stop": "1"}, "stop=1 must be more than enter=2"),
        ("z_score_reversion", {"leave": "-3"}, "leave=-3 must be more than -enter=-2"),
        ("pump_detection", {"bars": "7m"}, "bars '7m'"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, parameters: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        build(name, parameters, BotId("b"))


def test_what_was_kept_before_there_were_parts_goes_on() -> None:
    strategy = build("sma_cross", {}, BotId("b"))
    strategy.restore(b'{"m":{"position":5,"stated":true,"bar_end_ns":7}}')
    assert b'"part":1.0' in strategy.state()
