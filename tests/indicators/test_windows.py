"""Windows and what is computed over them, against a naive recomputation over all events."""

from __future__ import annotations

import itertools
import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.books import Book
from engine.errors import BadInput
from engine.indicators.correlation import Beta, Correlation
from engine.indicators.half_life import HalfLife
from engine.indicators.hurst import Hurst
from engine.indicators.order_flow_imbalance import OrderFlowImbalance
from engine.indicators.realised_volatility import YEAR_S, RealisedVolatility
from engine.indicators.spread import Spread
from engine.indicators.trade_intensity import TradeIntensity
from engine.indicators.twpa import Twpa
from engine.indicators.velocity import Velocity
from engine.indicators.volume_surge import VolumeSurge
from engine.indicators.vwap import Vwap
from engine.indicators.window import Extremes, SumWindow, step_of
from engine.indicators.z_score import ZScore

S = 1_000_000_000
T0 = 1_760_000_000 * S

events = st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 900 * S)), max_size=80).map(
    lambda rows: sorted(((amount, T0 + at) for amount, at in rows), key=lambda row: row[1])
)
windows = st.sampled_from([(1.0, 0.0), (5.0, 0.0), (10.0, 5.0), (60.0, 59.0), (300.0, 120.0)])


def inside(at_ns: int, now_ns: int, window: tuple[float, float]) -> bool:
    """Say whether the window counts the step this lies in."""
    step = step_of(window[0])
    back = now_ns // step - at_ns // step
    return round(window[1] * S) // step <= back < round(window[0] * S) // step


@given(events, windows, st.integers(0, 400 * S))
def test_a_window_sums_what_lies_in_it(
    rows: list[tuple[int, int]], window: tuple[float, float], later_ns: int
) -> None:
    sums = SumWindow(2, *window)
    for amount, at_ns in rows:
        sums.add((amount, 1.0), at_ns)
    now_ns = (rows[-1][1] if rows else T0) + later_ns
    found = sums.sums(now_ns) if rows else [0.0, 0.0]
    counted = [amount for amount, at_ns in rows if inside(at_ns, now_ns, window)]
    assert found == [sum(counted), len(counted)]


def test_five_minutes_and_the_five_before_share_nothing() -> None:
    last, before, whole = SumWindow(1, 300.0), SumWindow(1, 600.0, 300.0), SumWindow(1, 600.0)
    chance, now_ns = random.Random(1), T0
    for _ in range(5_000):
        now_ns += chance.randrange(0, S)
        for window in (last, before, whole):
            window.add((1.0,), now_ns)
    assert last.sums(now_ns)[0] + before.sums(now_ns)[0] == whole.sums(now_ns)[0]
    assert min(last.sums(now_ns)[0], before.sums(now_ns)[0]) > 500


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(BadInput, match="must begin before it ends"):
        Twpa(from_s=300.0, to_s=600.0)


@given(events, windows)
def test_vwap_and_intensity_equal_a_naive_recomputation(
    rows: list[tuple[int, int]], window: tuple[float, float]
) -> None:
    vwap, count = Vwap(*window), TradeIntensity(*window)
    for amount, at_ns in rows:
        vwap.on_trade(amount / 100, amount % 7 + 1, at_ns)
        count.on_trade(amount / 100, 1.0, at_ns)
    now_ns = T0 + 900 * S
    counted = [amount for amount, at_ns in rows if inside(at_ns, now_ns, window)]
    sizes = sum(amount % 7 + 1 for amount in counted)
    expected = sum(a / 100 * (a % 7 + 1) for a in counted) / sizes if counted else None
    assert vwap.value(now_ns) == (None if expected is None else pytest.approx(expected))
    seconds = window[0] - window[1]
    found = count.value(now_ns)
    assert found is None or found == pytest.approx(len(counted) / seconds)


@given(events)
def test_twpa_weighs_each_price_by_how_long_it_held(rows: list[tuple[int, int]]) -> None:
    twpa, now_ns = Twpa(60.0), T0 + 900 * S
    for amount, at_ns in rows:
        twpa.on_price(float(amount), at_ns)
    edge_ns = now_ns - 599 * S // 10
    weighted = seconds = 0.0
    ends = [*(at for _, at in rows[1:]), now_ns][: len(rows)]
    for (amount, at_ns), end_ns in zip(rows, ends, strict=True):
        held = max(0, end_ns - max(at_ns, edge_ns)) * 1e-9
        weighted, seconds = weighted + amount * held, seconds + held
    expected = weighted / seconds if seconds else None
    assert twpa.value(now_ns) == (None if expected is None else pytest.approx(expected))


def test_velocity_is_the_change_a_minute_over_its_window() -> None:
    velocity = Velocity(120.0)
    for second in range(400):
        velocity.on_price(100.0 * 1.001**second, T0 + second * S)
    assert velocity.value(T0 + 400 * S) == pytest.approx((1.001**120 - 1) / 2)
    earlier = Velocity(240.0, 120.0)
    for second in range(400):
        earlier.on_price(100.0 + second, T0 + second * S)
    # The closed seconds end with second 399; 240 steps before it is 159, 120 before it is 279.
    assert earlier.value(T0 + 400 * S) == pytest.approx((379.0 / 259.0 - 1.0) / 2)


def test_a_surge_is_volume_now_over_volume_before() -> None:
    surge = VolumeSurge(60.0, 0.0, 10)
    for second in range(1_000):
        surge.on_trade(1.0, 50.0 if second >= 940 else 5.0, T0 + second * S)
    # 60 s of 50 over 600 s of 5: the running second is the last of the window
    assert surge.value(T0 + 999 * S) == pytest.approx(10.0)
    assert VolumeSurge(60.0, 0.0, 10).value(T0) is None


def sampled(rows: list[tuple[float, int]], step_ns: int, count: int, now_ns: int) -> list[float]:
    """Return the last price of each of the `count` + 1 last whole steps."""
    steps = range(now_ns // step_ns - count - 1, now_ns // step_ns)
    return [[p for p, at in rows if at // step_ns <= step][-1] for step in steps]


def walk(seed: int, mean_reversion: float = 0.0) -> list[tuple[float, int]]:
    chance, price, at_ns, rows = random.Random(seed), 100.0, T0, []
    for _ in range(2_000):
        at_ns += chance.randrange(1, 6 * S)
        price += mean_reversion * (100.0 - price) + chance.gauss(0.0, 0.1)
        rows.append((price, at_ns))
    return rows


def test_sampled_indicators_equal_a_naive_recomputation() -> None:
    rows = walk(3)
    volatility, score = RealisedVolatility(600.0, 60), ZScore(600.0, 60)
    for price, at_ns in rows:
        volatility.on_price(price, at_ns)
        score.on_price(price, at_ns)
    now_ns = rows[-1][1]
    values = sampled(rows, 10 * S, 60, now_ns)
    squares = sum(math.log(b / a) ** 2 for a, b in itertools.pairwise(values))
    assert volatility.value(now_ns) == pytest.approx(math.sqrt(squares / 600.0 * YEAR_S))
    inner = values[1:]
    mean = sum(inner) / 60
    deviation = math.sqrt(sum((one - mean) ** 2 for one in inner) / 60)
    assert score.value(now_ns) == pytest.approx((inner[-1] - mean) / deviation)


def test_correlation_and_beta_of_a_series_with_itself_and_with_its_mirror() -> None:
    rows = walk(4)
    same, twice, against = Correlation(600.0, 60), Beta(600.0, 60), Correlation(600.0, 60)
    for price, at_ns in rows:
        same.on_price(price, at_ns)
        same.on_other(price, at_ns)
        twice.on_price(price**2, at_ns)
        twice.on_other(price, at_ns)
        against.on_price(1e4 / price, at_ns)
        against.on_other(price, at_ns)
    now_ns = rows[-1][1]
    assert same.value(now_ns) == pytest.approx(1.0)
    assert twice.value(now_ns) == pytest.approx(2.0)
    assert against.value(now_ns) == pytest.approx(-1.0)


def test_half_life_and_hurst_know_what_comes_back_from_what_wanders() -> None:
    back, wander = HalfLife(3_600.0, 720), Hurst(3_600.0, 720)
    trend = Hurst(3_600.0, 720)
    for price, at_ns in walk(5, mean_reversion=0.1):
        back.on_price(price, at_ns)
    for price, at_ns in walk(6):
        wander.on_price(price, at_ns)
        trend.on_price(100.0 + (at_ns - T0) / S / 100, at_ns)
    now_ns = walk(5)[-1][1]
    # AR(1) with 0.9 an event, one event each 3 s: ln 2 / −ln 0.9 · 3 s ≈ 20 s
    half_life = back.value(now_ns)
    assert half_life is not None
    assert 10.0 < half_life < 40.0
    now_ns = walk(6)[-1][1]
    wandering, trending = wander.value(now_ns), trend.value(now_ns)
    assert wandering is not None
    assert trending is not None
    assert 0.3 < wandering < 0.7
    assert trending > 0.9


def book(bid: int, bid_size: int, ask: int, ask_size: int) -> Book:
    made = Book()
    made.replace([(bid, bid_size)], [(ask, ask_size)])
    return made


def test_order_flow_counts_what_came_and_what_left_at_the_touch() -> None:
    flow = msgspec.convert({"from_s": 10.0, "size_unit": 0.5}, OrderFlowImbalance)
    flow.on_book(book(100, 10, 102, 10), T0)
    flow.on_book(book(100, 16, 102, 10), T0 + 1)  # +6 on the bid
    flow.on_book(book(101, 4, 102, 7), T0 + 2)  # a better bid of 4, and 3 asks left
    assert flow.value(T0 + 3) == pytest.approx((6 + 4 + 3) * 0.5)
    flow.on_book(book(100, 16, 101, 2), T0 + 4)  # the bid of 4 left, a better ask of 2
    assert flow.value(T0 + 5) == pytest.approx((6 + 4 + 3 - 4 - 2) * 0.5)


def test_spread_is_weighed_by_time() -> None:
    spread = msgspec.convert({"from_s": 10.0, "price_unit": 0.01}, Spread)
    spread.on_book(book(100, 1, 102, 1), T0)
    spread.on_book(book(100, 1, 106, 1), T0 + 3 * S)
    assert spread.value(T0 + 4 * S) == pytest.approx((3 * 0.02 + 1 * 0.06) / 4)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1), st.integers(1, 9))
def test_extremes_are_those_of_the_last_pairs(pairs: list[tuple[int, int]], size: int) -> None:
    extremes = Extremes(size)
    for i, (high, low) in enumerate(pairs):
        extremes.push(high, low)
        last = pairs[max(0, i + 1 - size) : i + 1]
        assert extremes.highest == max(one for one, _ in last)
        assert extremes.lowest == min(one for _, one in last)
