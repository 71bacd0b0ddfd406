"""What survives a restart belongs to what it was learned of."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.events import BookReplaced

S = 1_000_000_000
BTC = {"oracle": "chainlink:btc/usd", "reference": "binance:btcusdt"}
ETH = {"oracle": "chainlink:eth/usd", "reference": "binance:ethusdt"}


def referenced(make_stage: Any, **parameters: Any) -> Any:
    stage = make_stage(
        **{
            "fair": "reference", "twap_window_s": 30, "price_min": 0, "price_max": 1,
            "stop_before_close_s": 0, "data_age_ms_max": 3_600_000, "event_jump_bps": 0,
            "basis_lag_ms": 0, "sigma_warm_s": 5, **parameters,
        }
    )  # fmt: skip
    stage.receive(BookReplaced(instrument=stage.instrument.id, bids=(), asks=()), 0)
    return stage


def taught(stage: Any, keys: dict[str, str], price: float, start_s: int = 0) -> int:
    """Tell forty seconds of both prices, the oracle 40 above; return the last one's time."""
    for second in range(start_s, start_s + 40):
        now_ns = second * S
        stage.price(keys["reference"], price + second % 2, now_ns, now_ns)
        stage.price(keys["oracle"], price + second % 2 + 40.0, now_ns, now_ns)
    return (start_s + 39) * S


@pytest.mark.parametrize("changed", [("oracle", "reference"), ("oracle",), ("reference",)])
def test_what_other_prices_taught_is_not_taken_over(
    make_stage: Any, changed: tuple[str, ...]
) -> None:
    before = referenced(make_stage, **BTC)
    taught(before, BTC, 60_000.0)
    before.strike(60_000.0, 39 * S)
    before.ask(39 * S)
    keys = BTC | {name: ETH[name] for name in changed}
    after = referenced(make_stage, **keys)
    after.strategy.restore(before.strategy.state())
    after.strike(3_000.0, 40 * S)
    after.price(keys["reference"], 3_000.0, 40 * S, 40 * S)
    after.price(keys["oracle"], 3_001.0, 41 * S, 41 * S)
    decision = after.ask(41 * S).decision
    assert decision.outcome == "basis_ready"
    assert decision.gates[-1].value <= 1
    assert after.strategy._shared.volatility.observed_s == 0.0


def test_the_same_prices_teach_on(make_stage: Any) -> None:
    before = referenced(make_stage, **BTC)
    now_ns = taught(before, BTC, 60_000.0)
    before.strike(60_000.0, now_ns)
    before.ask(now_ns)
    before.restart()
    assert before.ask(now_ns).decision.outcome == "hold"
