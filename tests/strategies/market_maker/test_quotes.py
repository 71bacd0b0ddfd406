from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import (
    InstrumentListed,
)

S = 1_000_000_000
MS = 1_000_000
SHARE = 1_000_000


def test_the_ladder_has_its_levels_and_steps(make_stage: Any) -> None:
    stage = make_stage(levels=3, level_step_ticks=2)
    assert stage.prices(stage.warm()) == ([4800, 4600, 4400], [5200, 5400, 5600])


def test_inventory_moves_the_quotes_against_itself(make_stage: Any) -> None:
    stage = make_stage(skew_ticks_per_unit=1.0)
    stage.position = 40.0
    assert stage.prices(stage.warm()) == ([4600], [5000])
    stage = make_stage(skew_ticks_per_unit=1.0)
    stage.position = -40.0
    assert stage.prices(stage.warm()) == ([5000], [5400])


def test_skewed_quotes_never_touch_the_other_side(make_stage: Any) -> None:
    stage = make_stage(skew_ticks_per_unit=5.0)
    stage.position = 100.0
    bids, asks = stage.prices(stage.warm())
    assert asks == [5000]
    assert bids == [2300]


def test_a_side_beyond_the_cap_is_dropped(make_stage: Any) -> None:
    stage = make_stage(inventory_shares_max=50, levels=3, skew_ticks_per_unit=0)
    stage.position = 20.0
    first = stage.quotes(stage.warm())
    assert len(first.bids) == 1
    assert len(first.asks) == 3
    stage.position = 50.0
    stage.book(4900, 5100, 3 * S)
    full = stage.quotes(stage.ask(3 * S))
    assert full.bids == ()
    assert len(full.asks) == 3


def test_beyond_the_cap_only_the_reducing_side_is_quoted(make_stage: Any) -> None:
    stage = make_stage(inventory_shares_max=50, levels=3, skew_ticks_per_unit=0)
    stage.position = -55.0
    evaluation = stage.warm()
    assert evaluation.decision.regime == "reduce_only"
    assert stage.quotes(evaluation).asks == ()
    assert [size for _, size in stage.quotes(evaluation).bids] == [
        20 * SHARE,
        20 * SHARE,
        15 * SHARE,
    ]


def test_winding_down_never_turns_the_position(make_stage: Any) -> None:
    stage = make_stage(levels=2)
    stage.position, stage.reducing = 7.005, True
    evaluation = stage.warm()
    assert evaluation.decision.regime == "reduce_only"
    assert stage.quotes(evaluation).bids == ()
    assert [size for _, size in stage.quotes(evaluation).asks] == [7 * SHARE]


def test_winding_down_with_nothing_held_intents_for_nothing(stage: Any) -> None:
    stage.reducing = True
    evaluation = stage.warm()
    assert stage.quotes(evaluation).bids == stage.quotes(evaluation).asks == ()


def test_capital_cuts_the_sizes_best_levels_first(make_stage: Any) -> None:
    stage = make_stage(levels=2, skew_ticks_per_unit=0)
    stage.capital = 15.0
    first = stage.quotes(stage.warm())
    # 20 bids at 0.48 cost 9.60; what is left of 15.00 buys 11.25 NO at 0.48.
    assert [size for _, size in first.bids] == [20 * SHARE]
    assert [size for _, size in first.asks] == [int(11.25 * SHARE)]


def test_what_is_held_uses_capital_but_reducing_it_is_free(make_stage: Any) -> None:
    stage = make_stage(skew_ticks_per_unit=0)
    stage.capital, stage.position, stage.average_price = 10.0, 20.0, 5000
    first = stage.quotes(stage.warm())
    assert first.bids == ()
    assert [size for _, size in first.asks] == [20 * SHARE]


def test_inventory_of_unknown_cost_counts_at_the_worst(make_stage: Any) -> None:
    stage = make_stage(skew_ticks_per_unit=0)
    stage.capital, stage.position, stage.average_price = 20.0, 20.0, None
    assert stage.quotes(stage.warm()).bids == ()


@given(
    bid=st.integers(1, 98),
    gap=st.integers(1, 40),
    sizes=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    position=st.floats(-300, 300),
    capital=st.floats(0, 500),
    tick=st.sampled_from([1, 10, 100]),
    levels=st.integers(1, 5),
    step=st.integers(1, 3),
    half=st.floats(0.5, 10),
    skew=st.floats(0, 5),
)
def test_every_ladder_is_legal(
    make_stage: Any,
    bid: int,
    gap: int,
    sizes: tuple[int, int],
    position: float,
    capital: float,
    tick: int,
    levels: int,
    step: int,
    half: float,
    skew: float,
) -> None:
    best_bid, best_ask = bid * 100, min(9900, (bid + gap) * 100)
    if best_bid >= best_ask:
        return
    stage = make_stage(
        levels=levels, level_step_ticks=step, half_spread_ticks_min=half,
        skew_ticks_per_unit=skew, inventory_shares_max=100, price_min=0, price_max=1,
    )  # fmt: skip
    stage.instrument = msgspec.structs.replace(stage.instrument, tick=tick)
    stage.cache.receive(InstrumentListed(instrument=stage.instrument), 0)
    stage.position, stage.capital = round(position, 2), capital
    stage.book(best_bid, best_ask, S, sizes=sizes)
    stage.ask(S)
    stage.book(best_bid, best_ask, 2 * S, sizes=sizes)
    intent = stage.quotes(stage.ask(2 * S))
    held, cap = int(stage.position * SHARE), 100 * SHARE
    for price, size in intent.bids + intent.asks:
        assert price % tick == 0
        assert tick <= price <= 10_000 - tick
        assert size > 0
        assert size % 10_000 == 0
    assert all(price < best_ask for price, _ in intent.bids)
    assert all(price > best_bid for price, _ in intent.asks)
    assert [p for p, _ in intent.bids] == sorted((p for p, _ in intent.bids), reverse=True)
    assert [p for p, _ in intent.asks] == sorted(p for p, _ in intent.asks)
    if intent.bids and intent.asks:
        assert intent.bids[0][0] < intent.asks[0][0]
    bought, sold = sum(size for _, size in intent.bids), sum(size for _, size in intent.asks)
    assert not bought or held + bought <= cap
    assert not sold or held - sold >= -cap
    new_bids, new_asks = max(0, bought - max(0, -held)), max(0, sold - max(0, held))
    cost = new_bids * max((p for p, _ in intent.bids), default=0) + new_asks * (
        10_000 - min((p for p, _ in intent.asks), default=0)
    )
    assert cost <= capital * SHARE * 10_000 or not (new_bids or new_asks)


def test_a_new_tick_size_makes_the_quotes_again(stage: Any) -> None:
    stage.warm()
    finer = msgspec.structs.replace(stage.instrument, tick=10)
    assert stage.receive(InstrumentListed(instrument=finer), 3 * S)
    evaluation = stage.ask(3 * S)
    assert stage.prices(evaluation) == ([4980], [5020])


def test_a_standing_intent_off_the_new_grid_is_made_again(make_stage: Any) -> None:
    stage = make_stage(hysteresis_ticks=1_000, half_spread_ticks_min=0.5)
    stage.instrument = msgspec.structs.replace(stage.instrument, tick=10)
    stage.cache.receive(InstrumentListed(instrument=stage.instrument), 0)
    assert stage.prices(stage.warm()) == ([4990], [5010])
    coarser = msgspec.structs.replace(stage.instrument, tick=100)
    stage.receive(InstrumentListed(instrument=coarser), 3 * S)
    assert stage.prices(stage.ask(3 * S)) == ([4900], [5100])


def test_a_standing_quote_the_market_came_through_is_made_again(make_stage: Any) -> None:
    for bid, ask in ((4700, 4800), (5200, 5300)):
        stage = make_stage(hysteresis_ticks=1_000)
        stage.warm()
        stage.book(bid, ask, 3 * S)
        again = stage.quotes(stage.ask(3 * S))
        assert again.bids[0][0] < ask
        assert again.asks[0][0] > bid
