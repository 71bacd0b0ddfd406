from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import (
    BookChanged,
    BookMarked,
    FeedLost,
    TradePrinted,
)
from engine.domain.instruments import BotId, InstrumentId, Side
from engine.errors import BadInput, BrokenInvariant
from engine.strategies.door import Strategy
from engine.strategies.market_maker import strategy as market_maker

S = 1_000_000_000
MS = 1_000_000
SHARE = 1_000_000


def test_it_goes_through_the_door(stage: Any) -> None:
    strategy: Strategy = stage.strategy
    assert strategy.name == "market_maker"
    assert strategy.references == ()
    assert strategy.replan_ns_min == 50 * MS


def test_it_quotes_around_the_microprice(stage: Any) -> None:
    first = stage.warm()
    assert first.decision.outcome == "quote"
    assert first.decision.regime == "quiet"
    assert stage.quotes(first).bids == ((4800, 20 * SHARE),)
    assert stage.quotes(first).asks == ((5200, 20 * SHARE),)
    assert stage.quotes(first).decision == first.decision.number
    assert dict(first.decision.build_up)["fair"] == pytest.approx(0.5)


def test_unequal_sizes_move_the_fair_value(make_stage: Any) -> None:
    stage = make_stage()
    stage.book(4900, 5100, 1 * S)
    stage.ask(1 * S)
    stage.book(4900, 5100, 2 * S, sizes=(30, 10))
    assert dict(stage.ask(2 * S).decision.build_up)["fair"] == pytest.approx(0.505)


def test_a_intent_that_stands_is_held_without_an_intent(stage: Any) -> None:
    stage.warm()
    stage.book(4900, 5100, 3 * S)
    held = stage.ask(3 * S)
    assert held.decision.outcome == "hold"
    assert held.intents == ()


def test_a_move_below_the_hysteresis_is_held_and_above_requoted(stage: Any) -> None:
    stage.warm()
    stage.book(4900, 5100, 3 * S, sizes=(60, 40))
    assert stage.ask(3 * S).decision.outcome == "hold"
    stage.book(5000, 5200, 4 * S)
    assert stage.prices(stage.ask(4 * S)) == ([4900], [5300])


def test_small_moves_add_up_against_the_standing_intent(make_stage: Any) -> None:
    stage = make_stage(hysteresis_ticks=1.0)
    stage.warm()
    outcomes = []
    for second, (bid, sizes) in enumerate(
        ((4900, (70, 30)), (5000, (30, 70)), (5000, (50, 50))), start=3
    ):
        # Fair values of 0.504, 0.506 and 0.510: none is a tick from the one before.
        stage.book(bid, bid + 200, second * S, sizes=sizes)
        outcomes.append(stage.ask(second * S).decision.outcome)
    assert outcomes == ["hold", "hold", "quote"]


def test_an_unchanged_intent_is_stated_again_before_it_ends(stage: Any) -> None:
    first = stage.quotes(stage.warm())
    stage.book(4900, 5100, 12 * S - 1)
    assert stage.ask(12 * S - 1).decision.outcome == "hold"
    stage.book(4900, 5100, 12 * S)
    again = stage.quotes(stage.ask(12 * S))
    assert again.bids == first.bids
    assert again.asks == first.asks
    assert again.valid_until_ns == 42 * S
    assert first.valid_until_ns > 12 * S


def test_a_intent_ends_by_itself_when_the_stop_comes(make_stage: Any) -> None:
    stage = make_stage(stop_before_close_s=290)
    assert stage.quotes(stage.warm()).valid_until_ns == 10 * S


def trade(stage: Any, side: Side, shares: int, now_ns: int) -> None:
    event = TradePrinted(
        instrument=stage.instrument.id, price=5000, size=shares * SHARE, aggressor=side
    )
    assert stage.receive(event, now_ns)


def test_rare_news_wake_it_and_marks_do_not(stage: Any) -> None:
    strategy, instrument = stage.strategy, stage.instrument.id
    assert strategy.receive(FeedLost(feed="ws", instrument=None, reason="x"), S)
    marked = BookMarked(
        instrument=instrument, best_bid=None, best_ask=None, mid2=None, two_sided_ns=None,
        proof_ns=None, trusted=True,
    )  # fmt: skip
    assert not strategy.receive(marked, S)
    assert not stage.price("chainlink:btc/usd", 1.0, S)


@pytest.mark.long
@given(st.dictionaries(st.integers(1, 60), st.integers(0, 900), max_size=8), st.booleans())
def test_what_lies_below_the_touch_changes_nothing_it_answers(
    make_stage: Any, deeper: dict[int, int], reference: bool
) -> None:
    changes = {"rewards_band_share": 0.5, "levels": 3, "join_share_min": 0.5}
    if reference:
        changes |= {"fair": "reference", "twap_window_s": 0, "oracle": "o:btc/usd"}
        changes |= {"reference": "o:btc/usd", "prior": "market"}
    answers = []
    for levels in ({}, deeper):
        stage = make_stage(**changes)
        for second in range(1, 5):
            stage.book(4900, 5100, second * S, sizes=(30 + second, 40))
            below = [(Side.BUY, 4900 - 10 * at, size) for at, size in levels.items()]
            above = [(Side.SELL, 5100 + 10 * at, size) for at, size in levels.items()]
            changed = BookChanged(instrument=stage.instrument.id, changes=(*below, *above))
            stage.cache.receive(changed, second * S)
            if reference:
                stage.price("o:btc/usd", 100.0 + second / 100, second * S)
                stage.strike(100.0, second * S)
            stage.position = float(second)
            answers.append(stage.ask(second * S))
    assert answers[:4] == answers[4:]


@pytest.mark.parametrize("gate", ["not_closing", "fills_pay"])
@given(
    st.lists(
        st.tuples(st.integers(1, 97), st.integers(1, 3), st.integers(1, 400), st.booleans()),
        max_size=12,
    )
)
def test_while_it_is_quiet_no_market_changes_what_it_answers(
    make_stage: Any, gate: str, steps: list[tuple[int, int, int, bool]]
) -> None:
    stage = make_stage(stop_before_close_s=200)
    stage.warm()
    if gate == "fills_pay":
        shared = stage.strategy._shared
        shared.resting_until_ns, begins_ns = 90 * S, 60 * S
    else:
        begins_ns = 100 * S
    stage.book(4900, 5100, begins_ns)
    withdrawn = stage.ask(begins_ns)
    assert (withdrawn.decision.outcome, withdrawn.quiet) == (gate, True)
    for number, (bid, gap, size, buys) in enumerate(steps, start=1):
        now_ns = begins_ns + number * 50 * MS
        stage.book(bid * 100, (bid + gap) * 100, now_ns, sizes=(size, 50))
        trade(stage, Side.BUY if buys else Side.SELL, size, now_ns)
        assert stage.ask(now_ns).intents == ()


def test_it_is_awake_while_a_fill_waits_for_its_markout(make_stage: Any) -> None:
    stage = make_stage(stop_before_close_s=200)
    stage.warm()
    stage.fill(4800, 20, 3 * S)
    stage.position = 20.0
    for second in (4, 100):
        stage.book(4900, 5100, second * S)
        told = stage.ask(second * S)
    assert (told.decision.outcome, told.quiet) == ("not_closing", True)
    stage.fill(4800, 20, 100 * S)
    stage.position = 40.0
    stage.book(4900, 5100, 101 * S)
    assert not stage.ask(101 * S).quiet
    stage.book(4900, 5100, 131 * S)
    assert stage.ask(131 * S).quiet


def test_forgotten_instruments_leave_nothing(stage: Any) -> None:
    stage.warm()
    stage.strategy.forget(stage.instrument.id)
    stage.strategy.forget(InstrumentId("polymarket:unknown"))
    assert stage.strategy.state() == stage.make().state()


def test_remembered_instruments_are_bounded(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_maker, "INSTRUMENTS_MAX", 1)
    stage.warm()
    other = TradePrinted(instrument=InstrumentId("x:y"), price=1, size=1, aggressor=Side.BUY)
    with pytest.raises(BrokenInvariant, match="forget"):
        stage.strategy.receive(other, S)


@pytest.mark.long
@given(
    st.lists(
        st.tuples(
            st.integers(1, 97), st.integers(1, 3), st.integers(1, 400), st.integers(1, 400),
            st.integers(-250, 250), st.integers(0, 3_000),
        ),
        min_size=1,
        max_size=25,
    ),
    st.integers(0, 24),
    st.sampled_from([1, 3]),
)  # fmt: skip
def test_after_a_restart_it_decides_the_same(
    make_stage: Any, steps: list[tuple[int, ...]], restart_at: int, levels: int
) -> None:
    told, kept = make_stage(levels=levels), make_stage(levels=levels)
    now_ns = S
    for number, (bid, gap, left, right, position, pause_ms) in enumerate(steps):
        now_ns += pause_ms * MS
        found = []
        for stage in (told, kept):
            stage.book(bid * 100, (bid + gap) * 100, now_ns, sizes=(left, right))
            trade(stage, Side.BUY if left > right else Side.SELL, left, now_ns)
            if position != stage.position:
                stage.fill(bid * 100, abs(position - stage.position), now_ns)
            stage.position = float(position)
            found.append(stage.ask(now_ns))
        assert found[0] == found[1]
        if number == restart_at:
            told.restart()
    assert told.strategy.state() == kept.strategy.state()


def test_a_state_that_is_not_its_own_is_refused(stage: Any) -> None:
    stage.warm()
    state = stage.strategy.state()
    other = market_maker.MarketMaker(stage.strategy.parameters, BotId("other"))
    for bad in (b"", b"\xc1", state[:-3], b"\x80"):
        with pytest.raises(BadInput):
            stage.strategy.restore(bad)
    with pytest.raises(BadInput, match="other"):
        other.restore(state)


def test_restored_state_follows_todays_parameters(make_stage: Any) -> None:
    old, new = make_stage(), make_stage(sigma_half_life_s=77, event_window_s=5)
    old.warm()
    new.strategy.restore(old.strategy.state())
    learned = new.strategy._learned[new.instrument.id]
    assert learned.volatility.half_life_s == 77
    assert learned.moves.window_s == 5
    assert learned.moves.lows == []
    assert learned.volatility.observed_s == 1.0
