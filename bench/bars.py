"""What a bar costs in a backtest: bytecodes and calls of the whole engine, its orders among them.

A market that wanders as a minute of bitcoin does, and `sma_cross` 10 / 30 over it, without stored
decisions. The counts depend on no clock and no load.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from bench.order_path import Row, steps_of
from bench.rules import RULES, WIDE
from engine.bots.bot import Bot
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.lab.recordings.bar_files import BarMarket, BarRecording
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.run import ACCOUNT, assemble
from engine.runtime.journal import DigestRecorder
from engine.strategies.registry import build
from engine.venues.paper.settings import PaperSettings

BUDGET = {"opcode": 2_750, "call": 84}
"""At most so many for each bar; a number may only become smaller. Opcodes as Python 3.11 has."""
AIM = {"opcode": 1_300, "call": 45}
BARS = 1_200
CASH = 100_000
T0 = 1_640_995_200


def written(path: Path) -> Path:
    """Write bars of a minute whose closes wander, without a gap."""
    chance, price = random.Random(7), 47_000.0
    lines = ["time,open,high,low,close,volume"]
    for minute in range(BARS):
        opened, price = price, round(price * (1 + chance.gauss(0, 0.0006)), 1)
        high = round(max(opened, price) + abs(chance.gauss(0, 10)), 1)
        low = round(min(opened, price) - abs(chance.gauss(0, 10)), 1)
        volume = round(chance.lognormvariate(4, 1), 3)
        lines.append(f"{T0 + 60 * minute},{opened},{high},{low},{price},{volume}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def replayed(path: Path, *, says: bool) -> ReplayResult:
    """Play the rule over a file; `says` = every decision is given to whoever keeps them."""
    recording = BarRecording(
        path, market=BarMarket(slippage_bps=1.0, volume_share=1.0), name="bench:BTC/USDT"
    )
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
    ).run(lambda *_: None)


def per_bar(*, says: bool = False) -> dict[str, float]:
    """Return bytecodes and calls of a bar, and the orders a thousand bars made."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "bars.csv")
        counts, result = steps_of(lambda: replayed(path, says=says))
    if not 20 < result.orders < BARS / 8:
        raise AssertionError(f"{result.orders} orders of {BARS} bars: they are not what is meant")
    return {name: count / BARS for name, count in counts.items()}


def rows() -> list[Row]:
    """Return the rows of the table."""
    every = per_bar(says=True)
    return [
        (
            f"{name}s a bar, 1 m, sma_cross",
            f"{count:,.0f}",
            f"{every[name]:,.0f}",
            f"{count / every[name]:.2f}",
            f"<= {BUDGET[name]:,}, aim {AIM[name]:,}; beside: decisions kept",
        )
        for name, count in per_bar().items()
    ]
