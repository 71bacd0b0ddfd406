"""What buys one side of a binary: which side, how much, at which price, and when it leaves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.domain.events import BookReplaced, InstrumentListed, ReferencePriced
from engine.domain.instruments import BotId, FeeSchedule, Instrument, InstrumentId, Kind
from engine.domain.intents import Target, Urgency
from engine.errors import BadInput
from engine.strategies.binary_bet import DAY_NS, S
from engine.strategies.door import Context, Evaluation
from engine.strategies.registry import build
from engine.strategies.value import calibrated, points_of

T0 = 20_000 * DAY_NS
MARKET = Instrument(
    id=InstrumentId("venue:m"), kind=Kind.BINARY, currency="USD", price_decimals=4, size_decimals=6,
    tick=100, lot=10_000, closes_ns=T0 + 10 * DAY_NS, strike_e8=100 * 10**8,
)  # fmt: skip
CAPITAL = 1_000_000_000


def asked(
    name: str,
    bid: int | None,
    ask: int | None,
    *,
    position: int = 0,
    instrument: Instrument = MARKET,
    now_ns: int = T0,
    spot: float | None = None,
    **parameters: Any,
) -> Evaluation:
    """Return what a fresh strategy makes of this touch, in cents of YES."""
    cache = MarketCache()
    cache.receive(InstrumentListed(instrument=instrument), now_ns)
    sides = [() if price is None else ((price * 100, 10**9),) for price in (bid, ask)]
    cache.receive(BookReplaced(instrument=instrument.id, bids=sides[0], asks=sides[1]), now_ns)
    if spot is not None:
        cache.receive(ReferencePriced(key="ref", price_e8=round(spot * 1e8)), now_ns)
    context = Context(
        bot=BotId("b"), decision=1, view=cache.views[instrument.id],
        inventory=InventoryView(position=position, cash_free_micro=CAPITAL),
        references=cache.references, capital_micro=CAPITAL,
    )  # fmt: skip
    return build(name, parameters, BotId("b")).evaluate(context, now_ns)


def target(evaluation: Evaluation) -> Target:
    (intent,) = evaluation.intents
    assert isinstance(intent, Target)
    return intent


def blocked(evaluation: Evaluation) -> str:
    assert evaluation.intents == ()
    return evaluation.decision.outcome


TYPED: dict[str, Any] = {"source": "typed", "typed_on": "2024-10-04"}


def test_a_typed_probability_buys_the_cheap_side_by_a_quarter_of_kelly() -> None:
    found = asked("value", 39, 41, **TYPED, probability=0.5, share=1.0)
    intent = target(found)
    # (0.5 - 0.41) / (1 - 0.41) of the capital, a quarter of it, at 41 cents a share.
    shares = 1_000 * 0.25 * 0.09 / 0.59 / 0.41
    assert intent.position == pytest.approx(shares * 1e6, abs=MARKET.lot)
    assert (intent.limit_price, intent.urgency) == (4_100, Urgency.CROSS)
    assert found.claim is not None
    assert found.claim.fair == 0.5
    other = target(asked("value", 59, 61, **TYPED, probability=0.5, share=1.0))
    assert (other.position, other.limit_price) == (-intent.position, 5_900)


def test_fees_are_taken_from_the_edge() -> None:
    free = asked("value", 39, 41, **TYPED, probability=0.45)
    assert free.intents
    dear = msgspec.structs.replace(MARKET, fees=FeeSchedule(taker_rate_ppm=100_000, exponent=1))
    assert blocked(asked("value", 39, 41, instrument=dear, **TYPED, probability=0.45)) == "edge"


def test_an_offset_rests_better_than_the_touch() -> None:
    intent = target(asked("value", 39, 41, **TYPED, probability=0.5, limit_offset=0.01))
    assert (intent.limit_price, intent.urgency) == (4_000, Urgency.REST)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"probability": 0.42}, "edge"),
        ({"probability": 0.9}, "edge"),
        ({"typed_on": ""}, "source"),
        ({"typed_on": "2024-10-05"}, "source"),
        ({"typed_on": "2024-09-20"}, "source"),
        ({"source": "calibration"}, "source"),
        ({"source": "reference", "reference": "ref"}, "source"),
        ({"spread_max": 0.01}, "spread"),
    ],
)
def test_it_rests_without_an_edge_or_a_source(changes: dict[str, Any], outcome: str) -> None:
    parameters = {**TYPED, "probability": 0.5, **changes}
    assert blocked(asked("value", 39, 41, **parameters)) == outcome


def test_what_is_dearer_than_its_value_is_sold() -> None:
    intent = target(asked("value", 53, 54, position=10**6, **TYPED, probability=0.5))
    assert (intent.position, intent.limit_price) == (0, 5_300)
    held = asked("value", 51, 52, position=10**6, **TYPED, probability=0.5)
    assert held.intents == ()


def test_a_reference_gives_the_chance_that_it_ends_above_the_strike() -> None:
    given: dict[str, Any] = {"source": "reference", "reference": "ref", "volatility": 0.6}
    found = asked("value", 60, 62, spot=100.0, **given)
    assert found.decision.inputs[1] == ("fair", 0.5)
    assert target(found).position < 0
    late = asked("value", 60, 62, spot=101.0, now_ns=T0 + 10 * DAY_NS - 3_600 * S, **given)
    assert dict(late.decision.inputs)["fair"] > 0.9


def test_a_table_is_read_on_straight_lines_and_not_beyond_its_ends() -> None:
    points = points_of("0.1:0.05, 0.3:0.25 0.5:0.5")
    assert calibrated(points, 0.2) == pytest.approx(0.15)
    assert calibrated(points, 0.5) == 0.5
    assert calibrated(points, 0.09) is None
    assert calibrated(points, 0.51) is None
    assert calibrated((), 0.5) is None


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8, unique=True), st.floats(0.0, 1.0))
def test_a_table_gives_nothing_outside_its_own_range(prices: list[float], price: float) -> None:
    points = tuple((one, one / 2) for one in sorted(prices))
    found = calibrated(points, price)
    assert (found is not None) == (points[0][0] <= price <= points[-1][0])
    assert found is None or points[0][1] <= found <= points[-1][1]


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("value", {"table": "0.1"}, "'0.1' is no price:probability"),
        ("value", {"table": "0.3:0.2 0.1:0.1"}, "prices of a table rise"),
        ("value", {"typed_on": "4.10.2024"}, "typed_on"),
        ("value", {"edge_min": 0.3}, "edge_min=0.3 must be less than edge_max"),
        ("late_favourite", {"price_min": 0.98}, "price_min=0.98 must be less"),
        ("late_favourite", {"seconds_left_min": 60}, "seconds_left_min must be less"),
        ("contrarian", {"unlikely_max": 0.7}, "the four prices must rise"),
        ("contrarian", {"days_min": 30}, "days_min=30 must be less than days_max"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        build(name, parameters, BotId("b"))


@pytest.mark.parametrize(
    ("left_s", "touch", "found"),
    [(30, (91, 93), 1), (30, (7, 9), -1), (61, (91, 93), "late"), (4, (91, 93), "late"),
     (30, (85, 88), "favourite"), (30, (97, 98), "favourite")],
)  # fmt: skip
def test_a_late_favourite_is_bought_late_and_not_at_any_price(
    left_s: int, touch: tuple[int, int], found: Any
) -> None:
    now_ns = T0 + 10 * DAY_NS - left_s * S
    evaluation = asked("late_favourite", *touch, now_ns=now_ns)
    if isinstance(found, str):
        assert blocked(evaluation) == found
    else:
        assert (target(evaluation).position > 0) == (found > 0)


@pytest.mark.parametrize(
    ("days", "touch", "found"),
    [(10, (18, 20), 1), (10, (80, 82), -1), (2, (18, 20), "days"), (31, (18, 20), "days"),
     (10, (4, 6), "extreme"), (10, (49, 51), "extreme"), (None, (18, 20), "days")],
)  # fmt: skip
def test_a_contrarian_buys_what_is_unlikely_some_days_before_the_close(
    days: int | None, touch: tuple[int, int], found: Any
) -> None:
    closes_ns = None if days is None else T0 + days * DAY_NS
    instrument = msgspec.structs.replace(MARKET, closes_ns=closes_ns)
    evaluation = asked("contrarian", *touch, instrument=instrument)
    if isinstance(found, str):
        assert blocked(evaluation) == found
    else:
        assert (target(evaluation).position > 0) == (found > 0)


@pytest.mark.parametrize("name", ["value", "late_favourite", "contrarian"])
def test_a_one_sided_book_is_no_price(name: str) -> None:
    assert blocked(asked(name, None, 20)) == "two_sided"


@given(st.integers(1, 97), st.integers(1, 3), st.floats(0.0, 1.0), st.integers(0, 5))
def test_it_never_pays_more_than_its_part(
    bid: int, spread: int, probability: float, offset: int
) -> None:
    found = asked(
        "value", bid, min(99, bid + spread), **TYPED, probability=probability, share=0.3,
        edge_min=0.0, edge_max=1.0, limit_offset=offset / 100,
    )  # fmt: skip
    for intent in found.intents:
        assert isinstance(intent, Target)
        level = intent.limit_price
        price = level if intent.position > 0 else MARKET.one - level
        assert MARKET.cost_micro(price, abs(intent.position)) <= 0.3 * CAPITAL + 1
        assert level % MARKET.tick == 0
        assert 0 < level < MARKET.one
