"""Probes: an indicator and a rule's conditions over bars, equal to what the engine computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.code_digest import code_digest
from engine.config import Config
from engine.domain.bars import bar_spec
from engine.domain.jobs.probe import ProbeJob
from engine.domain.rules import (
    BarNumber,
    FixedNumber,
    IndicatorNumber,
    RuleCondition,
    RuleDocument,
    rule_json,
)
from engine.domain.rules.templates import TREND
from engine.errors import BadInput
from engine.jobs.run import works
from engine.lab.probe import (
    POINTS_MAX,
    bars_made,
    bars_of,
    bars_until_known,
    probe_indicator,
    probe_rule,
    probe_strategy,
    too_few_bars,
)
from engine.strategies.registry import STRATEGIES
from engine.strategies.rules import variant_of
from storage.schema import migrate
from tests.jobs.test_kinds import context
from tests.strategies.test_bar_rules import BARS, file_of, walk


def test_an_indicator_is_what_a_naive_mean_is(tmp_path: Path) -> None:
    rows = walk(1)
    used = IndicatorNumber("SMA", {"period": 20}, bars="1m")
    found = probe_indicator(file_of(tmp_path, rows), used)
    ((name, points),) = found["series"].items()
    closes = [float(row[3]) for row in rows]
    assert name == "SMA(period 20) of 1m"
    assert points[-1][1] == pytest.approx(sum(closes[-20:]) / 20)
    assert found["last"] == {name: points[-1][1]}
    assert found["close"][-1][1] == pytest.approx(closes[-1])
    assert found["count"] == BARS
    assert len(points) <= POINTS_MAX
    with pytest.raises(BadInput, match="there is no indicator 'SMX'"):
        probe_indicator(file_of(tmp_path, rows), IndicatorNumber("SMX", bars="1m"))


@pytest.mark.long
def test_a_rule_shows_what_its_conditions_compared_and_its_trades(tmp_path: Path) -> None:
    text = rule_json(TREND).replace('"5m"', '"1m"')
    found = probe_rule(file_of(tmp_path, walk(2)), text)
    words, compared = found["conditions"][0]
    assert words == "close of 1m crosses above SMA(period 50) of 1m"
    assert compared == ["1. close of 1m", "1. SMA(period 50) of 1m"]
    assert set(compared) <= set(found["series"])
    sides = [side for _, side, _ in found["trades"]]
    assert sides[:2] == ["buy", "sell"]
    assert found["fills"] == len(sides)
    with pytest.raises(BadInput, match="this is no rule"):
        probe_rule(file_of(tmp_path, walk(2)), "{}")


def test_the_job_says_what_it_lacks(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    migrate(config.state_path)
    asked = context(config, "probe")
    path = file_of(tmp_path, walk(1))
    run = works()["probe"]
    with pytest.raises(BadInput, match="name an indicator, or give a rule"):
        run(ProbeJob(path=str(path)), asked)
    with pytest.raises(BadInput, match="name a file of bars, or a market"):
        run(ProbeJob(indicator="RSI", bars="1m"), asked)
    with pytest.raises(BadInput, match="is no market this desk knows"):
        run(ProbeJob(indicator="RSI", bars="1m", instrument="demo:none"), asked)
    with pytest.raises(BadInput, match="no market"), bars_of(config, "x", 1, 10**18):
        pass
    found = run(ProbeJob(indicator="RSI", bars="1m", path=str(path)), asked)
    assert found["told"] == f"RSI over {BARS} bars of 1m"
    json.dumps(found)


def test_a_picture_is_what_the_strategy_does_on_one_made_up_path() -> None:
    found = probe_strategy("sma_cross")
    assert probe_strategy("sma_cross") == found
    closes, trades = found["close"], found["trades"]
    assert isinstance(closes, list)
    assert isinstance(trades, list)
    assert (found["bars"], found["count"], len(closes)) == ("5m", 300, 300)
    assert len(trades) >= 4
    assert {side for _, side, _ in trades} == {"buy", "sell"}
    assert all(closes[0][0] <= at <= closes[-1][0] for at, _, _ in trades)
    prices = [close for _, close in closes]
    assert all(min(prices) * 0.99 < price < max(prices) * 1.01 for _, _, price in trades)
    assert found["digest"] == code_digest(STRATEGIES["sma_cross"])


def test_what_does_not_decide_on_bars_has_no_picture() -> None:
    with pytest.raises(BadInput, match="late_favourite does not decide on bars of time"):
        probe_strategy("late_favourite")


S = 1_000_000_000
RSI = IndicatorNumber("RSI", {"period": 14}, bars="5m")
DIP = RuleDocument(
    version=1,
    name="dip",
    title="Dip",
    entry=RuleCondition(RSI, "crosses above", FixedNumber(30.0)),
    exit=RuleCondition(BarNumber("close", "5m"), ">", FixedNumber(0.0)),
)


@pytest.mark.parametrize(("name", "needed"), [("SMA", 20), ("RSI", 21), ("ATR", 21)])
def test_an_indicator_is_known_after_as_many_bars_as_it_says(name: str, needed: int) -> None:
    used = IndicatorNumber(name, {"period": 20}, bars="1m")
    assert bars_until_known(variant_of(used)) == needed


def test_what_is_not_fed_with_bars_needs_none() -> None:
    assert bars_until_known(variant_of(IndicatorNumber("microprice"))) == 0


def test_each_condition_says_what_it_needs_and_what_there_was() -> None:
    ends = [60 * S * minute for minute in range(1, 61)]
    assert too_few_bars(DIP, ends, bar_spec("1m")) == [
        "RSI(period 14) of 5m crosses above 30: needs 16 bars of 5m, had 12"
    ]
    assert too_few_bars(DIP, [60 * S * minute for minute in range(1, 81)], bar_spec("1m")) == []
    back = RuleCondition(BarNumber("close", "1h", ago=3), ">", BarNumber("open", "1h"))
    (said,) = too_few_bars(
        RuleDocument(version=1, name="b", title="B", entry=back), ends, bar_spec("1m")
    )
    assert said.endswith("needs 4 bars of 1h, had 1")


def test_shorter_bars_than_those_of_the_file_do_not_exist() -> None:
    assert (
        bars_made(bar_spec("5m"), [3_600 * S * hour for hour in range(1, 99)], bar_spec("1h")) == 0
    )


def test_a_try_over_too_few_bars_says_so_beside_its_fills(tmp_path: Path) -> None:
    found = probe_rule(file_of(tmp_path, walk(1)[:50]), rule_json(DIP))
    assert found["fills"] == 0
    short = "RSI(period 14) of 5m crosses above 30: needs 16 bars of 5m, had 10"
    assert found["short"] == [short]
    assert found["summary"] == f"0 fills over 50 bars of 1m; {short}"
    assert probe_rule(file_of(tmp_path, walk(1)), rule_json(DIP))["short"] == []
