"""What risk and the planner made of each order of a backtest, kept beside its decisions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.domain.decisions import Decision, Planned, Verdict
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.settings import RiskLimits
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.run import ACCOUNT, assemble
from engine.runtime.journal import DigestRecorder
from engine.strategies.registry import build
from engine.venues.paper.settings import PaperSettings
from tests.lab.replay.test_stopped import CASH, RULES, written

WIDE = {"exposure_instrument_max": {"percent": "100"}, "exposure_market_max": {"percent": "100"}}
SLICED = {"order_value_max": {"percent": "3"}}
"""Risk shrinks each order: a position takes several."""


def explained(
    path: Path, rules: tuple[str, ...], limits: dict[str, object]
) -> tuple[str, int, list[Planned], list[Decision]]:
    """Return a backtest's digest, its number of orders, its plans and its decisions."""
    recording = BarRecording(path, market=BarMarket(slippage_bps=5.0), name="binance:BTC/USDT")
    plans: list[Planned] = []
    decisions: list[Decision] = []
    bots = tuple(
        Bot(
            name=BotId(rule), account=ACCOUNT, everything=True,
            capital_micro=CASH * MICRO // len(rules),
            strategy=build(rule, RULES[rule] | {"bars": "1m"}, BotId(rule)),
        )
        for rule in rules
    )  # fmt: skip
    replay = assemble(
        recording=recording, bots=bots,
        limits=RiskLimits.model_validate({"data_age_ms_max": recording.data_age_ms, **limits}),
        paper=PaperSettings(
            order_latency_ms=150, cancel_latency_ms=150, starting_cash={"USDT": CASH}
        ),
        cash_micro=CASH * MICRO, recorder=DigestRecorder(), decide=decisions.append,
        explain=plans.append, currency="USDT", tick_ns=recording.tick_ns, says=True,
    )  # fmt: skip
    result = replay.run(lambda *_: None)
    return result.digest, result.orders, plans, decisions


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("rules", "limits"),
    [
        (tuple(RULES), WIDE),
        (("rsi_reversion",), SLICED),
        *[((rule,), WIDE) for rule in RULES],
        (tuple(RULES), SLICED),
    ],
)
def test_bars_that_pass_at_once_leave_the_plans_of_those_that_are_played(
    rules: tuple[str, ...],
    limits: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = written(tmp_path / "b.csv", 3)
    lane = explained(path, rules, limits)
    monkeypatch.setattr(AccountCore, "reads_bars_alone", lambda *_: False)
    assert lane == explained(path, rules, limits)
    _, orders, plans, decisions = lane
    placed = Counter(one.order for plan in plans for one in plan.places)
    assert len(placed) == orders > 10
    assert set(placed.values()) == {1}
    decided = {one.number for one in decisions}
    assert all(plan.decision in decided for plan in plans if plan.places)
    assert all(plan.rules for plan in plans if plan.places)
    shrunk = {rule.verdict for plan in plans for rule in plan.rules} & {Verdict.SHRANK}
    assert shrunk or limits is not SLICED
