"""What a bar costs in a backtest: bytecodes and calls of the whole engine, its orders among them.

A market that wanders as a minute of bitcoin does, and `sma_cross` 10 / 30 over it, without stored
decisions. The counts depend on no clock and no load.

`python -m bench.bars BARS` plays so many in a process of its own: bars a CPU second, peak memory.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.order_path import Row, steps_of
from bench.processes import run
from bench.rules import RULES, WIDE
from engine.bots.bot import Bot
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.run import ACCOUNT, Replay, assemble
from engine.runtime.journal import DigestRecorder
from engine.strategies.registry import build
from engine.venues.paper.settings import PaperSettings

BUDGET = {"opcode": 1_345, "call": 36}
"""At most so many for each bar; a number may only become smaller. Opcodes as Python 3.11 has."""
AIM = {"opcode": 1_000, "call": 30}
BARS = 1_200
YEAR = 525_600
"""Minutes, each a bar."""
CASH = 100_000
T0 = 1_640_995_200
MARKET = BarMarket(slippage_bps=1.0, volume_share=1.0)
FREE = BarMarket(slippage_bps=1.0, volume_share=1.0, taker_fee_bps=0, maker_fee_bps=0)
"""Fees of a year of crosses cost half the account, and risk then refuses every order."""


def written(path: Path, bars: int = BARS) -> Path:
    """Write bars of a minute whose closes wander, without a gap."""
    chance, price = random.Random(7), 47_000.0
    with path.open("w", encoding="utf-8") as file:  # a line at once: the peak is to be the run's
        file.write("time,open,high,low,close,volume")
        for minute in range(bars):
            opened, price = price, round(price * (1 + chance.gauss(0, 0.0006)), 1)
            high = round(max(opened, price) + abs(chance.gauss(0, 10)), 1)
            low = round(min(opened, price) - abs(chance.gauss(0, 10)), 1)
            volume = round(chance.lognormvariate(4, 1), 3)
            file.write(f"\n{T0 + 60 * minute},{opened},{high},{low},{price},{volume}")
    return path


def replayed(path: Path, *, says: bool) -> ReplayResult:
    """Play the rule over a file; `says` = every decision is given to whoever keeps them."""
    return prepared(path, says=says).run(lambda *_: None)


def prepared(path: Path, *, says: bool, market: BarMarket = MARKET) -> Replay:
    """Read a file and return the replay of it, ready to run; `says` as `replayed`."""
    recording = BarRecording(path, market=market, name="bench:BTC/USDT")
    parameters = {name: str(value) for name, value in RULES["sma_cross"].items()}
    bot = Bot(
        name=BotId("bench"),
        account=ACCOUNT,
        strategy=build(
            "sma_cross",
            parameters | {"bars": "1m", "share": "0.5", "slippage_bps_max": "1000"},
            BotId("bench"),
        ),
        capital_micro=CASH // 10 * MICRO,
        everything=True,
    )
    limits = {name: {"percent": "100"} for name in WIDE}
    return assemble(
        recording=recording,
        bots=(bot,),
        limits=RiskLimits.model_validate({**limits, "data_age_ms_max": recording.data_age_ms}),
        paper=PaperSettings(
            order_latency_ms=150, cancel_latency_ms=150, starting_cash={"USDT": CASH}
        ),
        cash_micro=CASH * MICRO,
        recorder=DigestRecorder(),
        decide=lambda _: None,
        currency="USDT",
        tick_ns=recording.tick_ns,
        says=says,
    )


def per_bar(*, says: bool = False) -> dict[str, float]:
    """Return bytecodes and calls of a bar, and the orders a thousand bars made."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "bars.csv")
        counts, result = steps_of(lambda: replayed(path, says=says))
    if not 20 < result.orders < BARS / 8:
        raise AssertionError(f"{result.orders} orders of {BARS} bars: they are not what is meant")
    return {name: count / BARS for name, count in counts.items()}


def at_length(bars: int) -> dict[str, float]:
    """Play so many bars without stored decisions; return CPU seconds, peak memory and orders."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "bars.csv", bars)
        began = time.process_time()
        replay = prepared(path, says=False, market=FREE)
        ready = time.process_time()
        result = replay.run(lambda *_: None)
        over = time.process_time()
    if result.orders < bars / 40 or result.residuals.get("risk"):
        raise AssertionError(f"{result.orders} orders, {result.residuals}: it did not trade on")
    return {
        "bars": bars,
        "read_cpu_s": ready - began,
        "run_cpu_s": over - ready,
        "orders": result.orders,
        "rss_mb": result.peak_rss_mb,
    }


def year(bars: int = YEAR) -> list[Row]:
    """Return the row of a year of minutes, played in a process of its own."""
    found = run([sys.executable, "-m", "bench.bars", str(bars)])
    if found is None:
        return []
    read, played = float(found["read_cpu_s"]), float(found["run_cpu_s"])
    return [
        (
            f"bars/CPU s, {bars:,} bars, sma_cross",
            f"{bars / played:,.0f}",
            f"{60 / played:.1f} a minute",
            "-",
            f">= 100,000; beside: trials, one core; file read in {read:.1f} CPU s, "
            f"{found['orders']:,} orders, peak {found['rss_mb']:,.0f} MB",
        )
    ]


def rows(bars: int = YEAR) -> list[Row]:
    """Return the rows of the table; `bars` = how many are played by the clock."""
    every = per_bar(says=True)
    counted: list[Row] = [
        (
            f"{name}s a bar, 1 m, sma_cross",
            f"{count:,.0f}",
            f"{every[name]:,.0f}",
            f"{count / every[name]:.2f}",
            f"<= {BUDGET[name]:,}, aim {AIM[name]:,}; beside: decisions kept",
        )
        for name, count in per_bar().items()
    ]
    return counted + year(bars)


if __name__ == "__main__":
    print(f"RESULT {json.dumps(at_length(int(sys.argv[1])))}")
