"""Rules through the whole engine, against strategies and naive loops over the same bars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.domain.rules import (
    AnyOf,
    BarNumber,
    FixedNumber,
    IndicatorNumber,
    PositionNumber,
    RuleCondition,
    RuleDocument,
    rule_json,
)
from engine.domain.rules.templates import TEMPLATES
from engine.errors import BadInput
from engine.strategies.registry import build
from tests.strategies.test_bar_rules import T0, Row, file_of, options, played, walk

CLOSE = BarNumber("close", "1m")
RSI = IndicatorNumber("RSI", bars="1m")


def rule(entry: Any, **more: Any) -> RuleDocument:
    given: dict[str, Any] = {"version": 1, "name": "tried", "title": "Tried", "share": 0.95}
    return RuleDocument(entry=entry, **(given | more))


def trades(document: RuleDocument, folder: Path, rows: list[Row]) -> list[tuple[str, str, int]]:
    asked = options(
        file_of(folder, rows), strategy="rules", parameters={"document": rule_json(document)}
    )
    return played(asked, folder / document.name)[1]


def number(value: float) -> FixedNumber:
    return FixedNumber(value)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_rule_of_the_index_trades_as_the_strategy_of_it_does(seed: int, tmp_path: Path) -> None:
    rows = walk(seed)
    built = trades(
        rule(RuleCondition(RSI, "<", number(30)), exit=RuleCondition(RSI, ">", number(55))),
        tmp_path,
        rows,
    )
    asked = options(file_of(tmp_path, rows), strategy="rsi_reversion", parameters={"bars": "1m"})
    _, written = played(asked, tmp_path / "strategy")
    assert built == written
    assert len(built) >= 6


def naive(rows: list[Row], mean: int, cool_s: int) -> list[tuple[str, str, int]]:
    """Return the trades of a close that crosses its mean, with a cool-down after leaving."""
    closes = [float(row[3]) for row in rows]
    found, before, held, left = [], 0, False, -(10**9)
    for i in range(mean - 1, len(rows) - 1):
        average = sum(closes[i + 1 - mean : i + 1]) / mean
        sign = (closes[i] > average) - (closes[i] < average)
        at = 60 * (i + 1)
        crossed, before = (before, sign), sign or before
        if held and crossed == (1, -1):
            held, left = False, at
            found.append(("sell", rows[i + 1][0], T0 + at))
        elif not held and crossed == (-1, 1) and at - left >= cool_s:
            held = True
            found.append(("buy", rows[i + 1][0], T0 + at))
    return found


@pytest.mark.parametrize("cool_s", [0, 1_200])
def test_crosses_and_cool_down_are_those_of_a_naive_loop(cool_s: int, tmp_path: Path) -> None:
    rows = walk(5)
    mean = IndicatorNumber("SMA", {"period": 20}, bars="1m")
    made = rule(
        RuleCondition(CLOSE, "crosses above", mean),
        exit=RuleCondition(CLOSE, "crosses below", mean),
        cool_down_s=float(cool_s),
    )
    found = trades(made, tmp_path, rows)
    assert found == naive(rows, 20, cool_s)
    assert len(found) > 10
    if cool_s:
        assert len(found) < len(naive(rows, 20, 0))


def test_a_position_is_closed_by_its_profit_and_an_emergency_rests(tmp_path: Path) -> None:
    prices = [100.01] * 2 + [103.51] * 4 + [90.01] * 6
    rows: list[Row] = [(f"{one:.2f}",) * 4 for one in prices]  # type: ignore[misc]
    made = rule(
        RuleCondition(CLOSE, ">", number(95)),
        close=RuleCondition(PositionNumber("profit %"), ">=", number(3.0)),
        emergency=AnyOf((RuleCondition(PositionNumber("profit %"), "<=", number(-5.0)),)),
        emergency_rest_s=86_400.0,
    )
    found = trades(made, tmp_path, rows)
    sides = [(side, price) for side, price, _ in found]
    assert sides == [
        ("buy", "100.01"), ("sell", "103.51"), ("buy", "103.51"), ("sell", "90.01"),
    ], found  # fmt: skip


def test_a_document_that_cannot_run_is_refused_where_a_bot_is_made() -> None:
    broken = json.loads(rule_json(TEMPLATES["rsi_dip"]))
    broken["entry"]["parts"][0]["left"]["name"] = "RSX"
    with pytest.raises(BadInput, match="there is no indicator 'RSX'"):
        build("rules", {"document": json.dumps(broken)}, "bot")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="this is no rule"):
        build("rules", {"document": "{}"}, "bot")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_can_be_run(name: str) -> None:
    build("rules", {"document": rule_json(TEMPLATES[name])}, "bot")  # type: ignore[arg-type]
