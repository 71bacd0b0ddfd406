from __future__ import annotations

from typing import Any

import pytest

from engine.domain.events import (
    BookDistrusted,
    FeedLost,
    InstrumentClosed,
    TradePrinted,
)
from engine.domain.instruments import Side

S = 1_000_000_000
MS = 1_000_000
SHARE = 1_000_000


@pytest.mark.parametrize(("policy", "regime"), [("hold", "quiet"), ("reduce", "reduce_only")])
def test_near_the_stop_the_policy_decides(make_stage: Any, policy: str, regime: str) -> None:
    stage = make_stage(inventory_on_close=policy, stop_before_close_s=200, reduce_before_stop_s=97)
    stage.position = 10.0
    assert stage.warm().decision.regime == "quiet"
    stage.book(4900, 5100, 5 * S)
    assert stage.ask(5 * S).decision.regime == regime


@pytest.mark.parametrize(
    ("break_it", "gate"),
    [
        (lambda s: setattr(s, "healthy", False), "healthy"),
        (lambda s: s.receive(InstrumentClosed(instrument=s.instrument.id), 3 * S), "market_open"),
        (
            lambda s: s.receive(BookDistrusted(instrument=s.instrument.id, reason="hash"), 3 * S),
            "book_trusted",
        ),
        (
            lambda s: s.receive(FeedLost(feed="ws", instrument=None, reason="x"), 3 * S),
            "book_trusted",
        ),
        (lambda s: s.book(4900, None, 3 * S), "two_sided"),
        (lambda s: s.book(5000, 5000, 3 * S), "uncrossed"),
        (lambda s: s.book(9700, 9800, 3 * S), "price_in_range"),
    ],
)
def test_a_failing_gate_withdraws_once_and_is_named(stage: Any, break_it: Any, gate: str) -> None:
    stage.warm()
    break_it(stage)
    withdrawn = stage.ask(3 * S)
    assert withdrawn.decision.outcome == gate
    assert withdrawn.decision.regime == "halted"
    assert stage.quotes(withdrawn).bids == stage.quotes(withdrawn).asks == ()
    again = stage.ask(3 * S + 1)
    assert again.decision.outcome == gate
    assert again.intents == ()


def test_old_data_stops_it(stage: Any) -> None:
    stage.warm()
    late = stage.ask(8 * S)
    assert late.decision.outcome == "data_age_ms"
    gate = late.decision.gates[-1]
    assert (gate.value, gate.limit) == (6000.0, 5000.0)


def test_it_starts_and_stops_with_the_window(make_stage: Any) -> None:
    stage = make_stage(start_after_open_s=5, stop_before_close_s=20)
    assert stage.warm().decision.outcome == "started"
    stage.book(4900, 5100, 5 * S)
    assert stage.ask(5 * S).decision.outcome == "quote"
    stage.book(4900, 5100, 280 * S)
    closing = stage.ask(280 * S)
    assert closing.decision.outcome == "not_closing"
    assert stage.quotes(closing).bids == ()


def test_after_the_close_the_market_is_not_open(stage: Any) -> None:
    stage.book(4900, 5100, 300 * S)
    assert stage.ask(300 * S).decision.outcome == "market_open"


def test_it_waits_for_its_volatility(make_stage: Any) -> None:
    stage = make_stage(sigma_warm_s=10)
    assert stage.warm().decision.outcome == "sigma_ready"
    stage.book(4900, 5100, 11 * S)
    assert stage.ask(11 * S).decision.outcome == "quote"


def test_a_jump_pulls_the_quotes_for_the_cooldown(make_stage: Any) -> None:
    stage = make_stage(event_jump_ticks=5, event_window_s=1, event_cooldown_s=3)
    stage.warm()
    stage.book(5500, 5700, 2 * S + 1)
    jumped = stage.ask(2 * S + 1)
    assert jumped.decision.outcome == "event_cooldown"
    assert jumped.decision.regime == "event"
    assert stage.quotes(jumped).bids == ()
    stage.book(5500, 5700, 5 * S)
    assert stage.ask(5 * S).decision.outcome == "event_cooldown"
    stage.book(5500, 5700, 5 * S + 1)
    assert stage.ask(5 * S + 1).decision.outcome == "quote"


def test_a_slow_move_of_the_same_size_is_no_event(make_stage: Any) -> None:
    stage = make_stage(event_jump_ticks=5, event_window_s=1)
    stage.warm()
    for step in range(1, 8):
        stage.book(4900 + 100 * step, 5100 + 100 * step, (2 + step) * S)
        assert stage.ask((2 + step) * S).decision.outcome == "quote"


def trade(stage: Any, side: Side, shares: int, now_ns: int) -> None:
    event = TradePrinted(
        instrument=stage.instrument.id, price=5000, size=shares * SHARE, aggressor=side
    )
    assert stage.receive(event, now_ns)


def test_one_sided_flow_widens_the_side_it_runs_into(make_stage: Any) -> None:
    stage = make_stage(trend_shares_min=100, trend_imbalance_min=0.7, trend_width_multiplier=2)
    stage.warm()
    trade(stage, Side.BUY, 200, 3 * S)
    stage.book(4900, 5100, 3 * S)
    trending = stage.ask(3 * S)
    assert trending.decision.regime == "trending"
    assert stage.prices(trending) == ([4800], [5400])
    trade(stage, Side.SELL, 20, 3 * S + 1)
    # 0.82 is still a trend; 0.55 is above the exit at 0.525, so it lasts.
    trade(stage, Side.SELL, 38, 3 * S + 2)
    assert stage.ask(3 * S + 2).decision.regime == "trending"
    trade(stage, Side.SELL, 20, 3 * S + 3)
    assert stage.ask(3 * S + 3).decision.regime == "quiet"


def test_little_or_unknown_flow_is_no_trend(make_stage: Any) -> None:
    stage = make_stage(trend_shares_min=100)
    stage.warm()
    trade(stage, Side.SELL, 50, 3 * S)
    unknown = TradePrinted(instrument=stage.instrument.id, price=1, size=None, aggressor=Side.BUY)
    ambiguous = TradePrinted(instrument=stage.instrument.id, price=1, size=10**12, aggressor=None)
    stage.receive(unknown, 3 * S)
    stage.receive(ambiguous, 3 * S)
    assert stage.ask(3 * S).decision.regime == "quiet"


def test_a_size_below_a_lot_says_so(make_stage: Any) -> None:
    stage = make_stage(size_shares=0.001)
    assert stage.warm().decision.outcome == "size_of_a_lot"
