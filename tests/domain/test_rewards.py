"""Rewards by the venue's own worked example, by hand, and by a sampled market of many makers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Instrument, InstrumentId, Kind
from engine.domain.rewards import (
    RestingQuote,
    adjusted_mid2,
    earnings,
    least_of,
    most_of,
    score,
)

SHARE, USD, ONE = 1_000_000, 1_000_000, 10_000
PAYS = Instrument(
    id=InstrumentId("polymarket:m"), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
    size_decimals=6, tick=100, lot=10_000, rewards_size_min=50 * SHARE, rewards_spread_max=300,
    rewards_daily_micro=100 * USD, rewards_age_s=5,
)  # fmt: skip
MID2 = 10_000
"""0.50."""


def away(cents: str, shares: int) -> Fraction:
    """Score an order so many cents from the mid, with a band of three cents."""
    return score(300, int(Fraction(cents) * 200), shares)


def test_the_venues_worked_example_gives_its_scores() -> None:
    """docs.polymarket.com/market-makers/liquidity-rewards, steps 2 and 3: mid 0.50, band 3 c."""
    one = away("1", 100) + away("2", 200) + away("1", 100)
    assert one == Fraction(4, 9) * 100 + Fraction(1, 9) * 200 + Fraction(4, 9) * 100
    two = away("3/2", 100) + away("2", 100) + away("1/2", 200)
    assert two == Fraction(1, 4) * 100 + Fraction(1, 9) * 100 + Fraction(25, 36) * 200
    assert least_of(one, two, MID2, ONE) == one == Fraction(1000, 9)
    # One side alone scores a third where the mid is in [0.10, 0.90], and nothing beyond.
    assert least_of(one, Fraction(), MID2, ONE) == one / 3
    for mid2, pays in ((1_998, 0), (2_000, 1), (18_000, 1), (18_002, 0)):
        assert (least_of(one, Fraction(), mid2, ONE) > 0) is bool(pays)


@pytest.mark.parametrize(("cents", "points"), [("0", 100), ("3", 0), ("4", 0), ("3/2", 25)])
def test_the_score_falls_with_the_square_to_nothing_at_the_end_of_the_band(
    cents: str, points: int
) -> None:
    assert away(cents, 100) == points


def test_the_mid_is_of_orders_that_are_large_enough() -> None:
    bids = ((4_950, 10 * SHARE), (4_900, 60 * SHARE))
    assert adjusted_mid2(bids, ((5_200, 50 * SHARE),), 50 * SHARE) == 10_100
    assert adjusted_mid2(bids, ((5_200, 49 * SHARE),), 50 * SHARE) is None


def quote(order: int, price: int, *, bid: bool = True, **changes: Any) -> RestingQuote:
    given = {"size": 100 * SHARE, "age_ns": 10**10, "confirmed": True}
    return RestingQuote(order=order, bid=bid, price=price, **(given | changes))


def test_a_day_is_shared_by_score_with_the_others_of_the_book() -> None:
    ours = [quote(1, 4_900), quote(2, 5_100, bid=False), quote(3, 4_800)]
    book = (
        ((4_900, 300 * SHARE), (4_800, 100 * SHARE), (4_000, 10**12)),
        ((5_100, 200 * SHARE), (5_200, 20 * SHARE)),
    )
    found = earnings(PAYS, book, ours, in_book=True)
    # Ours: 100·4/9 + 100·1/9 of bids, 100·4/9 of asks: the lesser is 400/9. The others': 200·4/9
    # of bids and 100·4/9 of asks, which is at most 400/9 + (400/9)/3. 100 a day · 3/7.
    assert sum(one.daily_micro for one in found) in range(42_857_140, 42_857_143)
    assert [one.daily_micro for one in found] == [19_047_619, 19_047_619, 4_761_904]
    assert all(one.earns and one.said == "inside the band" for one in found)
    # Where the book does not hold ours, all of it is the others'.
    alone = earnings(PAYS, book, ours, in_book=False)
    assert sum(one.daily_micro for one in alone) < sum(one.daily_micro for one in found)


SIDES = (((4_900, 100 * SHARE),), ((5_100, 100 * SHARE),))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 49 * SHARE}, "below the minimum size: 49.00 of 50.00 shares"),
        ({"price": 4_650}, "outside the band: 3.5¢ from the adjusted mid, which ends at 3¢"),
        ({"price": 4_700}, "outside the band: 3¢ from the adjusted mid, which ends at 3¢"),
        ({"age_ns": 4 * 10**9}, "too young: an order counts after 5 s"),
        ({"confirmed": False}, "the venue has not confirmed that it rests"),
    ],
)
def test_an_order_that_does_not_earn_says_why(changes: dict[str, Any], said: str) -> None:
    one = quote(1, **({"price": 4_900} | changes))
    (found,) = earnings(PAYS, SIDES, [one], in_book=False)
    assert (found.earns, found.said, found.daily_micro) == (False, said, 0)


def test_one_side_alone_earns_a_third_in_the_middle_and_nothing_at_the_ends() -> None:
    (found,) = earnings(PAYS, SIDES, [quote(1, 4_900)], in_book=False)
    assert (found.earns, found.said) == (True, "one side only: it scores a third")
    # A third of 400/9 of ours beside at most 400/9 of the others: a quarter of the day.
    assert found.daily_micro == 25 * USD
    low = (((400, 100 * SHARE),), ((600, 100 * SHARE),))
    (found,) = earnings(PAYS, low, [quote(1, 400)], in_book=False)
    assert not found.earns
    assert found.said.startswith("one-sided")


def test_what_is_not_known_and_what_is_not_paid_are_told_apart() -> None:
    (found,) = earnings(PAYS, None, [quote(1, 4_900)], in_book=True)
    assert found.said.startswith("not known")
    (found,) = earnings(PAYS, ((), SIDES[1]), [quote(1, 4_900)], in_book=True)
    assert found.said.startswith("not known")
    plain = Instrument(
        id=InstrumentId("demo:m"), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
        size_decimals=6, tick=100, lot=10_000,
    )  # fmt: skip
    (found,) = earnings(plain, SIDES, [quote(1, 4_900)], in_book=True)
    assert (found.earns, found.said) == (False, "demo pays no rewards in this market")


LEVELS = st.lists(
    st.tuples(st.integers(0, 29), st.integers(50, 500)), max_size=4, unique_by=lambda one: one[0]
)


@pytest.mark.long
@given(
    st.lists(st.tuples(LEVELS, LEVELS), max_size=5), LEVELS, LEVELS,
    st.sampled_from((1_000, 2_000, 10_000, 17_000, 19_000)),
)  # fmt: skip
def test_an_estimate_is_never_more_than_the_formula_gives_beside_any_makers(
    makers: list[tuple[Any, Any]], bids: Any, asks: Any, mid2: int
) -> None:
    """Equations 1-5 over every maker one by one, the naive way, against the book as a whole."""

    def points(levels: Any) -> Fraction:
        return sum((score(300, 20 * tenth, size) for tenth, size in levels), Fraction())

    mine = least_of(points(bids), points(asks), mid2, ONE)
    theirs = sum((least_of(points(b), points(a), mid2, ONE) for b, a in makers), Fraction())
    sides = [sum((points(maker[side]) for maker in makers), Fraction()) for side in (0, 1)]
    most = most_of(sides[0], sides[1], mid2, ONE)
    assert theirs <= most
    if mine:
        assert mine / (mine + most) <= mine / (mine + theirs)
