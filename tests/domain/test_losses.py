from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.losses import OutcomeFill, losses, mean_interval, t_95


def fill(**fields: object) -> OutcomeFill:
    plain = {"market": "a", "bought": True, "price": 0.4, "shares": 10.0, "fee": 0.0, "paid": 1.0}
    return OutcomeFill(**(plain | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bought", "paid", "pnl"), [(True, 1.0, 6.0), (True, 0.0, -4.0), (False, 0.0, 4.0)]
)
def test_a_fill_brings_the_outcome_less_its_price(bought: bool, paid: float, pnl: float) -> None:
    assert fill(bought=bought, paid=paid).pnl == pytest.approx(pnl)
    assert fill(bought=bought, paid=paid, fee=0.5).pnl == pytest.approx(pnl - 0.5)


def test_fills_are_told_apart_by_how_they_came_about() -> None:
    rows = losses(
        [
            fill(to_close_s=59.0, spread_ticks=1.0, ahead_ticks=0.0, age_s=0.5),
            fill(to_close_s=60.0, spread_ticks=4.0, ahead_ticks=1.0, age_s=40.0, bought=False),
        ]
    )
    assert [(row.by, row.bucket) for row in rows] == [
        ("all", "all fills"),
        ("time to close", "under 60 s"), ("time to close", "60 to 120 s"),
        ("spread at the order", "1 tick"), ("spread at the order", "4 ticks and more"),
        ("price", "0.4 to 0.6"),
        ("side", "bought"), ("side", "sold"),
        ("place", "at the touch"), ("place", "inside the touch"),
        ("age of the quote", "under 1 s"), ("age of the quote", "30 s and more"),
    ]  # fmt: skip


def test_what_nobody_knows_is_a_bucket_of_its_own() -> None:
    assert [row.bucket for row in losses([fill()]) if row.by == "age of the quote"] == ["unknown"]


def test_an_interval_counts_markets_and_not_fills() -> None:
    (alone, *_) = losses([fill(), fill(), fill()])
    assert (alone.fills, alone.markets, alone.low) == (3, 1, None)
    (both, *_) = losses([fill(), fill(market="b", paid=0.0)])
    assert both.cents_per_share == pytest.approx(10.0)
    # Sums of 6 and -4 over 20 shares: t · √(5² + 5²) · √2 / 20 is t half, in dollars.
    assert both.low == pytest.approx(10.0 - 12.706 * 50.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.booleans(), st.floats(0.01, 0.99), st.floats(1, 100),
            st.sampled_from((0.0, 0.5, 1.0)), st.none() | st.floats(-10, 1_000),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_every_kind_sums_up_to_all(
    drawn: list[tuple[str, bool, float, float, float, float]],
) -> None:
    fills = [
        fill(market=m, bought=b, price=p, shares=s, paid=w, age_s=a, to_close_s=a)
        for m, b, p, s, w, a in drawn
    ]
    rows = losses(fills)
    for kind in {row.by for row in rows}:
        of_kind = [row for row in rows if row.by == kind]
        assert sum(row.fills for row in of_kind) == len(fills)
        assert sum(row.pnl for row in of_kind) == pytest.approx(sum(one.pnl for one in fills))


def test_a_mean_over_no_market_is_none() -> None:
    assert mean_interval([]) is None
    found = mean_interval([1.0, 3.0])
    assert found is not None
    assert (found.mean, found.count) == (2.0, 2)
    assert found.high == pytest.approx(2.0 + 12.706)


@pytest.mark.parametrize(("degrees", "quantile"), [(25, 2.060), (26, 2.056), (60, 2.000)])
def test_many_markets_are_nearly_normal(degrees: int, quantile: float) -> None:
    assert t_95(degrees) == pytest.approx(quantile, abs=0.002)
    assert t_95(10**9) == pytest.approx(1.96)
