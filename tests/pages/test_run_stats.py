"""A run's performance: ratios with what they are of, or why there are none."""

from __future__ import annotations

from decimal import Decimal

from pages.kit.words import NOTHING
from pages.runs.beside import (
    benchmark_in_words,
    costs_in_words,
    funding_in_words,
    performance_in_words,
    share_in_words,
)
from pages.runs.page import source
from storage.runs import Performance

MINUS = "\N{MINUS SIGN}"


def test_ratios_stand_with_the_number_of_returns_they_are_of() -> None:
    found = Performance(
        step="daily", returns=24, enough=True, sharpe=-1.234, sortino=2.0, volatility=0.157,
        drawdown=-0.0432, profit_factor=1.5, won=3, lost=2,
    )  # fmt: skip
    shown = performance_in_words(found)
    assert (shown["Sharpe"], shown["Sortino"]) == (f"{MINUS}1.23", "2.00")
    assert (shown["Calmar"], shown["Max drawdown"]) == (NOTHING, f"{MINUS}4.32 %")
    assert shown["Markets won, lost"] == "3, 2"
    assert "24 daily returns" in source(found)


def test_too_few_returns_are_said_and_no_ratio_is_invented() -> None:
    found = Performance(step="hourly", returns=3, enough=False, drawdown=0.0)
    shown = performance_in_words(found)
    assert [shown[name] for name in ("Sharpe", "Sortino", "Profit factor")] == [NOTHING] * 3
    assert source(found).startswith("No ratios: they need 10 hourly returns")
    assert "this run has 3" in source(found)


def test_a_backtest_over_bars_stands_beside_holding_and_others_say_nothing() -> None:
    run = {"pnl": Decimal("12.5"), "currency": "USDT"}
    result = {"benchmark": {"hold": 20.0, "hold_drawdown": -0.125, "cash": 0.0}}
    shown = benchmark_in_words(run, result)
    assert shown["PnL of holding"].startswith("+20.00")
    assert shown["More than holding"].startswith(f"{MINUS}7.50")
    assert shown["Max drawdown of holding"] == f"{MINUS}12.50 %"
    assert benchmark_in_words(run, {}) == {}
    assert "was not kept" in share_in_words(run, result)[0]
    result["benchmark"]["share"] = 0.2
    [said] = share_in_words(run, result)
    assert "at most 20.00 % of it in one instrument, and holding with so much brings +4.00" in said
    assert share_in_words(run, {}) == []


def test_funding_stands_beside_fees_where_a_perpetual_was_played_and_says_what_it_lacks() -> None:
    run = {"fees": Decimal("1.5"), "currency": "USDT"}
    moments = {"first": "2022-01-01T00:00:00+00:00", "last": "2022-01-01T08:00:00+00:00"}
    result = {"funding": {"amount": -2.25, "stamps": 2} | moments}
    assert costs_in_words(run, result)["Funding"] == f"{MINUS}2.25 USDT"
    assert "2 stamps from 2022-01-01T00:00:00+00:00 to" in funding_in_words(result)[0]
    unknown = {"funding": {"amount": 0.0, "stamps": 0, "first": "", "last": ""}}
    assert costs_in_words(run, unknown)["Funding"] == "not in this data"
    assert funding_in_words(unknown) == ["Funding: not in this data, counted as none."]
    for other in ({}, {"funding": None}):
        assert list(costs_in_words(run, other)) == ["Fees"]
        assert funding_in_words(other) == []
