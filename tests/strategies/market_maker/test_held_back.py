"""What keeps a market maker from harm: the touch, wide books, the close, losing fills."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.domain.books import Book
from engine.domain.events import TradePrinted
from engine.domain.instruments import Kind, Side
from engine.strategies.market_maker.parameters import MarketMakerParameters
from engine.strategies.market_maker.quotes import held_back, in_band
from engine.strategies.market_maker.state import stop_before_close_ns
from tests.strategies.conftest import BINARY, SHARE, S


@pytest.mark.parametrize(
    ("ticks", "bids", "asks"), [(0, [4800], [5200]), (1, [4900], [5100]), (9, [4900], [5100])]
)
def test_a_quote_stands_inside_the_touch_only_as_far_as_allowed(
    make_stage: Any, ticks: int, bids: list[int], asks: list[int]
) -> None:
    stage = make_stage(improve_ticks_max=ticks, half_spread_ticks_min=1, width_vol_multiplier=0)
    assert stage.prices(stage.warm(4800, 5200)) == (bids, asks)


def test_the_thin_side_of_the_touch_is_not_joined(make_stage: Any) -> None:
    stage = make_stage(improve_ticks_max=0, half_spread_ticks_min=0.5, join_share_min=0.5)
    stage.book(4900, 5000, S, sizes=(30, 70))
    stage.ask(S)
    stage.book(4900, 5000, 2 * S, sizes=(30, 70))
    assert stage.prices(stage.ask(2 * S)) == ([4800], [5000])


def test_a_quote_that_queues_leaves_later_than_one_would_join(make_stage: Any) -> None:
    stage = make_stage(half_spread_ticks_min=0.5, join_share_min=0.5, width_vol_multiplier=0)
    stage.book(4900, 5000, S)
    stage.ask(S)
    stage.book(4900, 5000, 2 * S)
    assert stage.prices(stage.ask(2 * S)) == ([4900], [5000])
    stage.book(4900, 5000, 3 * S, sizes=(45, 55))
    assert stage.ask(3 * S).decision.outcome == "hold"


PAIR = msgspec.structs.replace(BINARY, kind=Kind.SPOT, starts_ns=None, closes_ns=None)
FAR, NEAR, NONE = ((4_500, 50),), ((4_700, 50),), ()


@pytest.mark.parametrize(
    ("ours", "behind", "ticks", "wanted"),
    [
        (20, FAR, 2, 4_500),  # alone, and those behind have left
        (20, NEAR, 2, 4_900),  # two ticks behind is near enough
        (20, FAR, 4, 4_900),
        (20, FAR, 0, 4_900),  # switched off
        (10, FAR, 2, 4_900),  # ten of the twenty are somebody else's
        (20, NONE, 2, 4_600),  # no bid is left at all
        (0, FAR, 2, 4_900),  # nothing of ours stands there
    ],
)
def test_a_quote_left_alone_in_front_moves_back_to_the_level_behind(
    ours: int, behind: tuple[tuple[int, int], ...], ticks: int, wanted: int
) -> None:
    book = Book()
    mirrored = tuple((10_000 - price, size) for price, size in behind)
    book.replace(bids=((4_900, 20), *behind), asks=((5_100, 20), *mirrored))
    standing = SimpleNamespace(
        bids=((4_900, ours),) if ours else (), asks=((5_100, ours),) if ours else ()
    )
    market: Any = SimpleNamespace(
        tick=100,
        p=MarketMakerParameters(fair="microprice", flee_ticks_max=ticks, join_share_min=0.0),
        learned=SimpleNamespace(standing=standing),
    )
    assert held_back(4_900.0, 5_100.0, market, book) == (wanted, 10_000 - wanted)


def test_a_wide_book_opens_nothing(make_stage: Any) -> None:
    stage = make_stage(spread_ticks_max=2)
    evaluation = stage.warm(4800, 5100)
    assert evaluation.decision.outcome == "spread_ticks"
    gate = evaluation.decision.gates[-1]
    assert (gate.value, gate.limit) == (3.0, 2.0)


def test_in_a_wide_book_a_position_is_offered_at_the_touch(make_stage: Any) -> None:
    stage = make_stage(spread_ticks_max=2, improve_ticks_max=0)
    stage.position = 10.0
    evaluation = stage.warm(4800, 5100)
    assert evaluation.decision.regime == "reduce_only"
    assert evaluation.decision.notes == (("reduce_only", "would open if the spread narrows"),)
    assert stage.quotes(evaluation).asks == ((5100, 10 * SHARE),)
    assert stage.quotes(evaluation).bids == ()


def test_before_the_stop_nothing_is_opened(make_stage: Any) -> None:
    stage = make_stage(
        inventory_on_close="reduce", stop_before_close_s=200, reduce_before_stop_s=60
    )
    for second in (40, 41):
        stage.book(4900, 5100, second * S)
        evaluation = stage.ask(second * S)
    assert evaluation.decision.outcome == "time_to_open"
    assert evaluation.decision.gates[-1].value == -1.0


@pytest.mark.parametrize(
    ("given_s", "starts_s", "closes_s", "stop_s"),
    [(None, 0, 300, 150), (None, 0, 900, 450), (None, 0, 86_400, 900), (20.0, 0, 300, 20),
     (None, None, 300, 900)],
)  # fmt: skip
def test_the_stop_follows_the_length_of_the_window(
    given_s: float | None, starts_s: int | None, closes_s: int, stop_s: int
) -> None:
    instrument = msgspec.structs.replace(
        BINARY, starts_ns=None if starts_s is None else starts_s * S, closes_ns=closes_s * S
    )
    given = MarketMakerParameters(stop_before_close_s=given_s)
    assert stop_before_close_ns(instrument, given) == stop_s * S


@pytest.mark.parametrize(("side", "kept"), [(Side.BUY, "bids"), (Side.SELL, "asks")])
def test_one_sided_flow_takes_away_the_side_it_runs_into(
    make_stage: Any, side: Side, kept: str
) -> None:
    stage = make_stage(one_sided_flow="withdraw", trend_shares_min=10)
    stage.book(4900, 5100, S)
    stage.ask(S)
    stage.receive(
        TradePrinted(instrument=BINARY.id, price=5000, size=100 * SHARE, aggressor=side), 2 * S
    )
    stage.book(4900, 5100, 2 * S)
    quotes = stage.quotes(stage.ask(2 * S))
    assert {name for name in ("bids", "asks") if getattr(quotes, name)} == {kept}


def losing(stage: Any, fills: int) -> list[Any]:
    """Have so many bids filled just before the price falls by four cents; return what was said."""
    stage.warm()
    said = []
    for number in range(fills):
        at_ns = (10 + 10 * number) * S
        stage.book(4900, 5100, at_ns)
        said.append(stage.ask(at_ns))
        stage.fill(4800, 20, at_ns + 1)
        stage.position += 20.0
        said.append(stage.ask(at_ns + 2))
        for second in (1, 4, 6):
            stage.book(4500, 4700, at_ns + second * S)
            said.append(stage.ask(at_ns + second * S))
    return said


def test_losing_fills_bring_it_to_rest_with_one_alert_and_the_figures(make_stage: Any) -> None:
    stage = make_stage(rest_fills=3, event_jump_ticks=0, inventory_shares_max=1_000)
    said = [evaluation.alert for evaluation in losing(stage, 3)]
    (alert,) = [text for text in said if text]
    assert alert == said[-1]
    assert "last 3 fills earned 2.00 cents a share" in alert
    assert "-2.00 \N{PLUS-MINUS SIGN} 0.00 cents" in alert
    stage.position = 0.0
    stage.book(4500, 4700, 40 * S)
    resting = stage.ask(40 * S).decision
    assert resting.outcome == "fills_pay"
    assert resting.gates[-1].value == pytest.approx(-0.02)


def test_of_a_pair_the_figures_are_in_its_currency(make_stage: Any) -> None:
    parameters = {"rest_fills": 2, "event_jump_ticks": 0, "inventory_shares_max": 1_000}
    stage = make_stage(instrument=PAIR, price_min=0.01, price_max=0.99, **parameters)
    said = losing(stage, 2)
    alert = next(one.alert for one in said if one.alert)
    assert "last 2 fills earned 0.02 USD a unit" in alert
    assert "-0.02 \N{PLUS-MINUS SIGN} 0.00 USD a unit in all" in alert
    assert "made -0.02 USD a unit within 5 s" in said[-1].rest.why
    assert not [text for text in (alert, said[-1].rest.why) if "share" in text or "cent" in text]


def test_who_rests_says_until_when_and_why_and_then_no_more(make_stage: Any) -> None:
    stage = make_stage(rest_fills=2, rest_s=20, event_jump_ticks=0, inventory_shares_max=1_000)
    said = losing(stage, 2)
    assert said[0].rest is None
    assert said[-1].rest is not None
    assert said[-1].rest.until_ns == 46 * S
    assert "its last 2 fills made -2.00 cents a share within 5 s" in said[-1].rest.why
    stage.book(4500, 4700, 47 * S)
    assert stage.ask(47 * S).rest is None


def test_a_resting_maker_still_works_its_position_out(make_stage: Any) -> None:
    stage = make_stage(rest_fills=2, event_jump_ticks=0, inventory_shares_max=1_000)
    last = losing(stage, 2)[-1]
    assert last.decision.regime == "reduce_only"
    assert stage.quotes(last).bids == ()
    assert sum(size for _, size in stage.quotes(last).asks) == 20 * SHARE


def test_rest_survives_a_restart_and_ends(make_stage: Any) -> None:
    stage = make_stage(rest_fills=2, rest_s=20, event_jump_ticks=0, inventory_shares_max=1_000)
    losing(stage, 2)
    stage.position = 0.0
    stage.restart()
    stage.book(4500, 4700, 30 * S)
    assert stage.ask(30 * S).decision.outcome == "fills_pay"
    stage.book(4500, 4700, 47 * S)
    assert stage.ask(47 * S).decision.outcome == "quote"


def test_who_switched_resting_off_is_not_brought_to_rest(make_stage: Any) -> None:
    stage = make_stage(
        rest_fills=2, rest_when_losing=False, event_jump_ticks=0, inventory_shares_max=1_000
    )
    assert not any(evaluation.alert for evaluation in losing(stage, 3))


@pytest.mark.parametrize(("capital", "shares"), [(1_000.0, 50), (400.0, 20)])
def test_the_size_reaches_the_reward_minimum_where_the_capital_allows(
    make_stage: Any, capital: float, shares: int
) -> None:
    stage = make_stage(msgspec.structs.replace(BINARY, rewards_size_min=50 * SHARE))
    stage.capital = capital
    assert stage.quotes(stage.warm()).bids[0][1] == shares * SHARE


@pytest.mark.parametrize(
    ("pays", "value", "least", "edges"),
    [
        (0, 5_000.0, 100.0, (4_000.0, 6_000.0)),  # the market pays nothing
        (500, 5_000.0, 100.0, (4_750.0, 5_250.0)),
        (500, 5_000.0, 400.0, (4_600.0, 5_400.0)),  # the smallest half width comes first
        (500, 5_400.0, 100.0, (4_750.0, 5_500.0)),  # and holds against the value, not the mid
        (3_000, 5_000.0, 100.0, (4_000.0, 6_000.0)),  # what is inside stays where it is
    ],
)
def test_edges_are_brought_into_the_reward_band_as_far_as_the_half_width_allows(
    pays: int, value: float, least: float, edges: tuple[float, float]
) -> None:
    instrument = msgspec.structs.replace(BINARY, rewards_spread_max=pays)
    market: Any = SimpleNamespace(
        p=MarketMakerParameters(rewards_band_share=0.5), instrument=instrument, half_min=least
    )
    book = Book()
    book.replace([(4_900, 1)], [(5_100, 1)])
    assert in_band(4_000.0, 6_000.0, value, market, book) == edges
    book.replace([], [(5_100, 1)])
    assert in_band(4_000.0, 6_000.0, value, market, book) == (4_000.0, 6_000.0)


@pytest.mark.parametrize(("share", "bids", "asks"), [(0.0, [4400], [5600]), (0.5, [4700], [5300])])
def test_a_quiet_market_is_quoted_inside_the_band_where_that_is_asked(
    make_stage: Any, share: float, bids: list[int], asks: list[int]
) -> None:
    pays = msgspec.structs.replace(BINARY, rewards_spread_max=500)
    stage = make_stage(
        pays, rewards_band_share=share, half_spread_ticks_min=1, sigma_floor_ticks=1.0,
        width_vol_multiplier=1.0, width_horizon_s=36.0, improve_ticks_max=99,
    )  # fmt: skip
    assert stage.prices(stage.warm(4800, 5200)) == (bids, asks)
