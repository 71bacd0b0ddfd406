"""What a run was asked for stands in its row, and is read back from there whole."""

from __future__ import annotations

import json
from pathlib import Path

from engine.lab.recordings.made_bars import BarMarket
from engine.lab.replay.setup import ReplayOptions

ASKED = ReplayOptions(
    path=Path("bars.csv"),
    strategy="sma_cross",
    parameters={"fast": "3"},
    limits={"order_value_max": "5%"},
    cash_micro=7_000_000,
    model="pessimistic",
    latency_ms=9,
    decisions=False,
    journal_full=False,
    trade_size_cap=11,
    start_ns=12,
    until_ns=13,
    bar_market=BarMarket(slippage_bps=2.5, taker_fee_bps=1.0),
    instrument="binance:BTC/USDT",
    outcomes=Path("outcomes.csv"),
    funding=Path("rates"),
)


def test_what_a_stored_run_was_asked_for_is_read_back_whole() -> None:
    row = {"id": 1, "recording": "bars.csv", "strategy": "sma_cross"}
    assert ReplayOptions.of_run({**row, "parameters": json.dumps(ASKED.stated())}) == ASKED


def test_a_run_of_before_a_key_was_there_has_its_default() -> None:
    stated = ASKED.stated()
    for key in ("bar_market", "instrument", "outcomes", "funding", "until_ns", "start_ns"):
        del stated[key]
    row = {"id": 1, "recording": "bars.csv", "strategy": "sma_cross"}
    found = ReplayOptions.of_run({**row, "parameters": json.dumps(stated)})
    assert (found.bar_market, found.outcomes, found.start_ns) == (BarMarket(), None, None)
    assert found.limits == ASKED.limits
