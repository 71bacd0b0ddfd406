"""A desk that a stop of risk holds: its bars pass as those of one that trades, to the same end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.rules import WIDE
from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.domain.decisions import Decision
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.run import ACCOUNT, assemble
from engine.runtime.journal import DigestRecorder
from engine.strategies.registry import build
from engine.strategies.sma_cross import SmaCross
from engine.venues.paper.settings import PaperSettings

T0 = 1_700_000_040
BARS = 1_200
CASH = 10_000
RULES: dict[str, dict[str, str]] = {
    "sma_cross": {"fast": "3", "slow": "8"},
    "rsi_reversion": {"period": "5", "oversold": "40"},
    "donchian_breakout": {"enter": "9", "leave": "4"},
}
LIMITS = {
    "falls from the peak": {"drawdown_max": {"percent": "3"}},
    "loses in a day": {"daily_loss_max": {"percent": "2"}},
}


def written(path: Path, seed: int) -> Path:
    """Write a market that wanders over a midnight, so that fees and crosses lose."""
    chance, price, lines = random.Random(seed), 100.0, ["time,open,high,low,close,volume"]
    for i in range(BARS):
        opened, price = price, max(1.0, round(price * (1 + chance.gauss(0, 0.003)), 2))
        high, low = round(max(opened, price) + 0.1, 2), round(min(opened, price) - 0.1, 2)
        lines.append(f"{T0 + 60 * i},{opened:.2f},{high:.2f},{low:.2f},{price:.2f},9000")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run(
    path: Path, rules: tuple[str, ...], limit: str, *, says: bool
) -> tuple[ReplayResult, list[Decision], list[Bot]]:
    recording = BarRecording(path, market=BarMarket(slippage_bps=5.0), name="binance:BTC/USDT")
    decisions: list[Decision] = []
    bots = [
        Bot(
            name=BotId(rule), account=ACCOUNT, everything=True,
            capital_micro=CASH * MICRO // len(rules),
            strategy=build(rule, RULES[rule] | {"bars": "1m"}, BotId(rule)),
        )
        for rule in rules
    ]  # fmt: skip
    wide = {name: {"percent": "100"} for name in WIDE}
    replay = assemble(
        recording=recording, bots=tuple(bots), limits=RiskLimits.model_validate(
            {**wide, "data_age_ms_max": recording.data_age_ms, **LIMITS[limit]}
        ),
        paper=PaperSettings(
            order_latency_ms=150, cancel_latency_ms=150, starting_cash={"USDT": CASH}
        ),
        cash_micro=CASH * MICRO, recorder=DigestRecorder(), decide=decisions.append,
        currency="USDT", tick_ns=recording.tick_ns, says=says,
    )  # fmt: skip
    result = replay.run(lambda *_: None)
    result.elapsed_s = result.peak_rss_mb = 0.0
    return result, decisions, bots


@pytest.mark.sampled(1)
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("rules", [(rule,) for rule in RULES] + [tuple(RULES)])
def test_a_stopped_desk_comes_to_the_same_end_in_the_lane(
    rules: tuple[str, ...], limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "b.csv", 3)
    lane, said, bots = run(path, rules, limit, says=False)
    monkeypatch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
    whole, all_said, all_bots = run(path, rules, limit, says=True)
    assert any(kind.startswith("stop_") for kind in whole.alerts)
    assert whole.residuals["risk"] > 100
    assert lane == whole
    assert lane.digest == whole.digest
    assert [bot.strategy.state() for bot in bots] == [bot.strategy.state() for bot in all_bots]
    assert {one.number for one in said} <= {one.number for one in all_said}
    assert len(said) < 0.7 * len(all_said)


def test_bars_of_a_stopped_desk_are_not_evaluated_one_by_one(tmp_path: Path) -> None:
    path = written(tmp_path / "b.csv", 3)
    result, said, _ = run(path, ("sma_cross",), "falls from the peak", says=False)
    assert result.residuals["risk"] > 1_000
    assert len(said) < 0.4 * result.evaluations


def test_a_rule_that_raises_behind_a_fill_stops_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object) -> None:
        raise ValueError("as a plug-in's may")

    monkeypatch.setattr(SmaCross, "repeats", raises)
    path = written(tmp_path / "b.csv", 3)
    result, _, (bot,) = run(path, ("sma_cross",), "falls from the peak", says=False)
    assert result.fills == 1
    assert "as a plug-in's may" in bot.error
