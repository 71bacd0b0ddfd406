"""An account at rest that reads bars alone: what it passes over changes no order, fill or decision.

The same run is played twice, once with every snapshot and trade, and compared whole.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.domain.decisions import Decision
from engine.domain.instruments import BotId
from engine.domain.intents import Target, Urgency
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.lab.pump import Driver
from engine.lab.recordings import bar_files
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay import run as replay_module
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.run import ACCOUNT, assemble
from engine.runtime.journal import DigestRecorder
from engine.strategies.bar_rule import Seen, Wish
from engine.strategies.door import Context, Evaluation, Strategy
from engine.strategies.registry import build
from engine.strategies.sma_cross import SmaCross, SmaCrossParameters
from engine.venues.paper.settings import FillModel, PaperSettings

S = 1_000_000_000
T0 = 1_700_000_040
BARS = 160
CASH = 10_000
CRASH = [*range(100, 160), *[60] * 40]
"""Prices that rise and fall by more than half within a bar: who is long loses more than it may."""
RULES: dict[str, dict[str, str]] = {
    "sma_cross": {"fast": "3", "slow": "8", "share": "0.05"},
    "rsi_reversion": {"period": "5", "oversold": "40"},
    "bollinger_reversion": {"period": "8", "enter_below": "0.2"},
    "donchian_breakout": {"enter": "9", "leave": "4", "share": "0.05"},
    "momentum": {"lookback": "7", "share": "0.05"},
    "keltner_breakout": {"period": "4", "atr_period": "9", "share": "0.05"},
    "grid": {},
    "dca": {},
}


class RestingCross(SmaCross):
    """A cross whose orders rest in the book, where snapshots and trades move and fill them."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        made = super().evaluate(context, now_ns)
        resting = [
            replace(one, urgency=Urgency.REST, limit_price=context.view.book.bid_prices[-1])
            for one in made.intents
            if isinstance(one, Target) and context.view.book.bid_prices
        ]
        return replace(made, intents=tuple(resting))


def strategy(rule: str, bars: str, bot: BotId) -> Strategy:
    if rule == "resting":
        return RestingCross(SmaCrossParameters(bars=bars, fast=3, slow=8), bot)
    return build(rule, RULES[rule] | {"bars": bars}, bot)


def written(path: Path, seed: int, bars: int = BARS) -> Path:
    """Write a market with gaps and with bars in which nothing was traded."""
    chance, price, lines = random.Random(seed), 100.0, ["time,open,high,low,close,volume"]
    for i in range(bars):
        opened = price
        price = max(1.0, round(opened * (1 + chance.gauss(0, 0.004)), 2))
        high = round(max(opened, price) + chance.random(), 2)
        low = max(0.01, round(min(opened, price) - chance.random() / 2, 2))
        volume = chance.choice((0, 1, 50, 5_000, 5_000, 5_000))
        if chance.random() > 0.03:
            lines.append(f"{T0 + 60 * i},{opened:.2f},{high:.2f},{low:.2f},{price:.2f},{volume}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run(
    path: Path,
    rules: tuple[str, ...],
    bars: str,
    market: BarMarket,
    model: FillModel,
    *,
    says: bool = True,
    loss: str = "10",
) -> tuple[ReplayResult, list[Decision]]:
    recording = BarRecording(path, market=market, name="binance:BTC/USDT")
    decisions: list[Decision] = []
    bots = tuple(
        Bot(
            name=BotId(f"{rule}-{at}"), account=ACCOUNT, everything=True,
            capital_micro=CASH * MICRO // len(rules),
            strategy=strategy(rule, bars, BotId(f"{rule}-{at}")),
        )
        for at, rule in enumerate(rules)
    )  # fmt: skip
    replay = assemble(
        recording=recording, bots=bots, limits=RiskLimits.model_validate(
            {"data_age_ms_max": recording.data_age_ms, "daily_loss_max": {"percent": loss}}
        ),
        paper=PaperSettings(
            order_latency_ms=150, cancel_latency_ms=150, model=model, starting_cash={"USDT": CASH}
        ),
        cash_micro=CASH * MICRO, recorder=DigestRecorder(), decide=decisions.append,
        currency="USDT", tick_ns=recording.tick_ns, says=says,
    )  # fmt: skip
    result = replay.run(lambda *_: None)
    result.elapsed_s = result.peak_rss_mb = 0.0
    return result, decisions


@pytest.mark.long
@settings(
    max_examples=14,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 10_000),
    rules=st.lists(st.sampled_from([*sorted(RULES), "resting"]), min_size=1, max_size=2).map(tuple),
    bars=st.sampled_from(["1m", "5m"]),
    slippage=st.sampled_from([0.0, 5.0]),
    model=st.sampled_from(list(FillModel)),
)
def test_what_is_passed_over_changes_no_order_fill_or_decision(
    seed: int,
    rules: tuple[str, ...],
    bars: str,
    slippage: float,
    model: FillModel,
    tmp_path: Path,
) -> None:
    path, market = written(tmp_path / "b.csv", seed), BarMarket(slippage_bps=slippage)
    quick = run(path, rules, bars, market, model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
        whole = run(path, rules, bars, market, model)
    assert quick == whole
    assert quick[0].digest == whole[0].digest


@pytest.mark.long
@settings(
    max_examples=14,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 10_000),
    rules=st.lists(st.sampled_from([*sorted(RULES), "resting"]), min_size=1, max_size=2).map(tuple),
    bars=st.sampled_from(["1m", "5m"]),
    slippage=st.sampled_from([0.0, 5.0]),
    model=st.sampled_from(list(FillModel)),
    loss=st.sampled_from(["10", "0.3"]),
    stretch=st.sampled_from([1, 7, 1_024]),
    points=st.sampled_from([20, 100_000]),
)
def test_bars_in_the_lane_make_the_same_orders_fills_equity_and_digest(
    seed: int,
    rules: tuple[str, ...],
    bars: str,
    slippage: float,
    model: FillModel,
    loss: str,
    stretch: int,
    points: int,
    tmp_path: Path,
) -> None:
    path, market = written(tmp_path / "b.csv", seed), BarMarket(slippage_bps=slippage)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bar_files, "STRETCH_BARS", stretch)
        patch.setattr(replay_module, "EQUITY_POINTS_MAX", points)
        lane, said = run(path, rules, bars, market, model, says=False, loss=loss)
        patch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
        whole, all_said = run(path, rules, bars, market, model, loss=loss)
    assert lane == whole
    assert lane.digest == whole.digest
    assert [one for one in all_said if one.intent] == [one for one in said if one.intent]
    assert {one.number for one in said} <= {one.number for one in all_said}


def test_stops_of_equity_trip_in_the_lane_at_the_same_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = [f"{T0 + 60 * i},{p},{p + 1},{p - 1},{p},5000" for i, p in enumerate(CRASH)]
    path = tmp_path / "b.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *bars]), encoding="utf-8")
    given = path, ("sma_cross",), "1m", BarMarket(), FillModel.REALISTIC
    lane, said = run(*given, says=False, loss="2")
    monkeypatch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
    whole, all_said = run(*given, loss="2")
    assert lane == whole
    assert any(kind.startswith("stop_") for kind in lane.alerts)
    assert len(said) < len(all_said)


def test_most_bars_of_a_rule_take_the_lane(tmp_path: Path) -> None:
    path, market = written(tmp_path / "b.csv", 1), BarMarket()
    result, said = run(path, ("sma_cross",), "1m", market, FillModel.REALISTIC, says=False)
    assert result.fills > 4
    assert len(said) < 0.7 * result.evaluations


@pytest.mark.parametrize("gap", [0, 200])
def test_no_timer_of_an_intent_or_a_rule_ends_the_lane(tmp_path: Path, gap: int) -> None:
    turns = [100 + 0.2 * (abs(i % 40 - 20) if i < 60 else i - 60) for i in range(400)]
    bars = [
        f"{T0 + 60 * (i + (i > 300) * gap)},{p:.2f},{p + 1:.2f},{p - 1:.2f},{p:.2f},5000"
        for i, p in enumerate(turns)
    ]
    path = tmp_path / "b.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *bars]), encoding="utf-8")
    given = path, ("sma_cross",), "1m", BarMarket(), FillModel.REALISTIC
    lane, said = run(*given, says=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
        whole, all_said = run(*given)
    assert lane == whole
    assert whole.fills == 3
    assert len(all_said) == whole.evaluations
    held = [one.at_ns - T0 * S for one in said if one.at_ns > (T0 + 70 * 60) * S]
    # The last minute of a day, its end, and where the last intent ends; the gap and its timers.
    assert len(held) <= (5 if gap else 3), held


def test_bars_before_a_cross_pass_without_their_rule_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = written(tmp_path / "b.csv", 1), list[int]()
    one = SmaCross.wish

    def counted(self: SmaCross, seen: Seen) -> Wish | None:
        asked.append(1)
        return one(self, seen)

    monkeypatch.setattr(SmaCross, "wish", counted)
    result, _ = run(path, ("sma_cross",), "1m", BarMarket(), FillModel.REALISTIC, says=False)
    assert result.fills > 4
    assert len(asked) < 0.6 * result.evaluations


def test_a_bar_at_which_a_rule_is_known_to_turn_is_played_without_asking_it_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = written(tmp_path / "b.csv", 1), list[int]()
    one = SmaCross.stays

    def counted(self: SmaCross, *given: Any) -> bool:
        asked.append(1)
        return one(self, *given)

    monkeypatch.setattr(SmaCross, "stays", counted)
    result, _ = run(path, ("sma_cross",), "1m", BarMarket(), FillModel.REALISTIC, says=False)
    assert result.orders > 4
    assert len(asked) < result.orders


def test_orders_that_rest_meet_every_snapshot_and_trade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, market = written(tmp_path / "b.csv", 2), BarMarket()
    quick = run(path, ("resting",), "1m", market, FillModel.REALISTIC)
    monkeypatch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
    assert quick == run(path, ("resting",), "1m", market, FillModel.REALISTIC)
    assert quick[0].fills > 0


def test_most_snapshots_and_trades_of_a_rule_at_rest_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, market = written(tmp_path / "b.csv", 1), BarMarket()
    played: list[int] = []
    one = Driver._play_rarer

    def counted(driver: Driver, event: object, now_ns: int) -> None:
        played.append(now_ns)
        one(driver, event, now_ns)  # type: ignore[arg-type]

    monkeypatch.setattr(Driver, "_play_rarer", counted)
    result, decisions = run(path, ("sma_cross",), "1m", market, FillModel.REALISTIC)
    assert result.fills > 4
    assert len(decisions) > 100
    assert len(played) < 0.75 * result.events
