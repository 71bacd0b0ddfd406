"""Strategies that decide once a bar, through the whole engine, against a naive recomputation."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.errors import BadInput, ConfigError
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.setup import ReplayOptions, prepare
from engine.strategies.bar_rule import Seen, Wish
from engine.strategies.registry import build
from engine.strategies.sma_cross import SmaCross
from storage.journal import Record, decode, load

S = 1_000_000_000
T0 = 1_700_000_040
BARS = 600
LIMITS = dict.fromkeys(
    ("order_value_max", "exposure_instrument_max", "exposure_market_max", "exposure_bot_max",
     "exposure_account_max", "exposure_total_max", "daily_loss_max", "drawdown_max"), "100%",
)  # fmt: skip


Row = tuple[str, str, str, str]


def walk(seed: int) -> list[Row]:
    """Return open, high, low and close of a seeded market whose bars open where none closed."""
    chance, price, rows = random.Random(seed), 100.0, []
    for _ in range(BARS):
        opened = round(price * (1 + chance.gauss(0, 0.0005)), 2)
        price = round(opened * (1 + chance.gauss(0, 0.003)), 2)
        high = round(max(opened, price) + abs(chance.gauss(0, 0.1)), 2)
        low = round(min(opened, price) - abs(chance.gauss(0, 0.1)), 2)
        rows.append((f"{opened:.2f}", f"{high:.2f}", f"{low:.2f}", f"{price:.2f}"))
    return rows


def file_of(folder: Path, rows: list[Row]) -> Path:
    path = folder / "BTC-USDT.csv"
    lines = [f"{T0 + 60 * i},{','.join(row)},1000000" for i, row in enumerate(rows)]
    path.write_text("\n".join(["time,open,high,low,close,volume", *lines]), encoding="utf-8")
    return path


def options(path: Path, **changes: Any) -> ReplayOptions:
    given: dict[str, Any] = {
        "path": path,
        "strategy": "sma_cross",
        "parameters": {"bars": "1m", "fast": "5", "slow": "20"},
        "limits": LIMITS,
        "cash_micro": 10_000_000_000,
        "model": "realistic",
        "latency_ms": 150,
        "decisions": False,
        "journal_full": True,
        "bar_market": BarMarket(taker_fee_bps=0, maker_fee_bps=0),
        "instrument": "binance:BTC/USDT",
    }
    return ReplayOptions(**(given | changes))


def played(given: ReplayOptions, home: Path) -> tuple[dict[str, Any], list[tuple[str, str, int]]]:
    """Return the summary, and each fill as (side, price, second)."""
    config = Config(home=home)
    with prepare(given, config) as prepared:
        result = prepared.run(lambda *_: None)
        summary = prepared.store(result)
        records: list[Record] = list(load(prepared.folder / "journal.db"))
    orders, fills = {}, []
    for record in records:
        message: Any = decode(record)
        if record.kind == "PlaceOrder":
            orders[message.order.id] = message.order
        elif record.kind == "OrderFilled":
            price = f"{Decimal(message.price) / 100:.2f}"
            fills.append((orders[message.order].side.value, price, record.at_ns // S))
    return summary, fills


def naive(rows: list[Row], fast: int, slow: int) -> list[tuple[str, str, int]]:
    """Return the trades of a cross by looking at all closes: each at the next bar's open."""
    closes, held, trades = [Decimal(row[3]) for row in rows], False, []
    for i in range(slow - 1, len(rows) - 1):
        quick = sum(closes[i + 1 - fast : i + 1]) / fast
        slower = sum(closes[i + 1 - slow : i + 1]) / slow
        if quick == slower or (quick > slower) is held:
            continue
        held = quick > slower
        trades.append(("buy" if held else "sell", rows[i + 1][0], T0 + 60 * (i + 1)))
    return trades


@pytest.mark.parametrize("seed", [1, 2])
def test_sma_cross_trades_as_a_naive_one_does_at_the_next_open(seed: int, tmp_path: Path) -> None:
    rows = walk(seed)
    summary, fills = played(options(file_of(tmp_path, rows)), tmp_path / "home")
    assert fills == naive(rows, 5, 20)
    assert len(fills) > 20
    assert summary["currency"] == "USDT"
    held = 10_000 * (float(rows[-1][3]) / float(rows[0][0]) - 1)
    assert summary["benchmark"]["hold"] == pytest.approx(held)
    assert summary["benchmark"]["hold_drawdown"] < 0
    assert summary["benchmark"]["share"] == 1.0
    assert summary["residuals"].keys() <= {"expired_intent"}


@pytest.mark.parametrize("decisions", [True, False])
def test_a_rule_is_asked_once_its_bars_have_closed(
    decisions: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []
    wish = SmaCross.wish

    def counted(rule: SmaCross, seen: Seen) -> Wish | None:
        depths.append(len(seen.last(max(rule.reads.bars.values()))))
        return wish(rule, seen)

    monkeypatch.setattr(SmaCross, "wish", counted)
    path = file_of(tmp_path, walk(1))
    _, fills = played(options(path, decisions=decisions), tmp_path / "home")
    assert fills
    assert len(set(depths)) == 1, "it was asked with fewer bars than it declares"
    assert 0 < len(depths) < BARS - depths[0] + 2


def rsi(closes: list[float], period: int) -> float | None:
    """Return the index of the last close, summed anew from the first one (Wilder)."""
    changes = [after - before for before, after in pairwise(closes)]
    if len(changes) < period:
        return None
    sums = [sum(max(0.0, way * one) for one in changes[:period]) / period for way in (1, -1)]
    for one in changes[period:]:
        sums = [
            (total * (period - 1) + max(0.0, way * one)) / period
            for total, way in zip(sums, (1, -1), strict=True)
        ]
    return 100 * sums[0] / sum(sums) if sum(sums) else 0.0


def place(closes: list[float], period: int) -> float | None:
    """Return where the last close lies between its Bollinger bands of two deviations."""
    last = closes[-period:]
    wide = 2 * statistics.pstdev(last)
    if len(last) < period or not wide:
        return None
    return (last[-1] - statistics.fmean(last) + wide) / (2 * wide)


@pytest.mark.parametrize(
    ("rule", "value", "period", "low", "high"),
    [("rsi_reversion", rsi, 14, 30.0, 55.0), ("bollinger_reversion", place, 20, 0.0, 0.5)],
)
def test_a_reversion_trades_as_a_naive_one_does_at_the_next_open(
    rule: str,
    value: Callable[[list[float], int], float | None],
    period: int,
    low: float,
    high: float,
    tmp_path: Path,
) -> None:
    rows = walk(7)
    parameters = {"bars": "1m", "period": str(period), "share": "0.5"}
    given = options(file_of(tmp_path, rows), strategy=rule, parameters=parameters)
    _, fills = played(given, tmp_path / "home")
    closes, held, trades = [float(row[3]) for row in rows], False, []
    for i in range(period - 1, len(rows) - 1):
        number = value(closes[: i + 1], period)
        if number is None or not (number > high if held else number < low):
            continue
        held = not held
        trades.append(("buy" if held else "sell", rows[i + 1][0], T0 + 60 * (i + 1)))
    assert fills == trades
    assert len(fills) >= 10


@pytest.mark.long
def test_two_runs_are_one_digest_and_a_cost_is_paid(tmp_path: Path) -> None:
    path = file_of(tmp_path, walk(3))
    first, fills = played(options(path), tmp_path / "a")
    again, _ = played(options(path), tmp_path / "b")
    assert first["digest"] == again["digest"]
    assert len(fills) > 20
    dear = options(path, bar_market=BarMarket(slippage_bps=5, taker_fee_bps=10, maker_fee_bps=10))
    paid, slipped = played(dear, tmp_path / "c")
    assert [one[0] for one in slipped[:10]] == [one[0] for one in fills[:10]]
    assert paid["pnl"] < first["pnl"] - 100
    assert paid["fees"] > 0 == first["fees"]


def test_trading_begins_where_it_is_told_to_with_bars_that_are_warm(tmp_path: Path) -> None:
    rows = walk(4)
    path = file_of(tmp_path, rows)
    start, until = T0 + 60 * 300, T0 + 60 * 500
    _, fills = played(options(path, start_ns=start * S, until_ns=until * S), tmp_path / "home")
    trades = [one for one in naive(rows, 5, 20) if start <= one[2] < until]
    first = trades[0] if trades[0][0] == "buy" else trades[1]
    assert first in fills
    assert fills[0][2] >= start
    assert fills[-1][2] < until
    assert set(trades[2:]) <= set(fills)


def test_an_order_that_is_larger_than_the_share_of_volume_fills_over_several_bars(
    tmp_path: Path,
) -> None:
    rows = walk(5)
    market = BarMarket(volume_share=0.00002, taker_fee_bps=0, maker_fee_bps=0)  # 20 a bar
    _, fills = played(options(file_of(tmp_path, rows), bar_market=market), tmp_path / "home")
    trades = naive(rows, 5, 20)
    buys = [one for one in fills if one[0] == "buy" and one[2] < trades[1][2]]
    assert len(buys) > 1


def test_bars_without_latency_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fills at the close that decided it"):
        prepare(options(file_of(tmp_path, walk(6)), latency_ms=0), Config(home=tmp_path / "home"))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"fast": "30", "slow": "10"}, "fast=30 must be less than slow=10"),
        ({"bars": "7m"}, "bars '7m'"),
        ({"share": "0"}, "share=0"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(parameters: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        build("sma_cross", parameters, "b")  # type: ignore[arg-type]
