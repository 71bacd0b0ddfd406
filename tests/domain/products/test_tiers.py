"""Tier tables: the venues' own amounts by continuity, and rows that cannot be right."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.money import MICRO, PPM
from engine.domain.products.margin import (
    MarginTier,
    Measure,
    TierTable,
    cum_differences,
    tier_table,
)
from engine.domain.products.perpetual import MarginTerms
from engine.errors import BadInput

# Binance, BTCUSDT and ACHUSDT on 2024-10-24: cap, rate in ppm, leverage, amount taken off.
BTCUSDT = [
    (50_000, 4_000, 125, 0), (600_000, 5_000, 100, 50), (3_000_000, 6_500, 75, 950),
    (12_000_000, 10_000, 50, 11_450), (70_000_000, 20_000, 25, 131_450),
    (100_000_000, 25_000, 20, 481_450), (230_000_000, 50_000, 10, 2_981_450),
    (480_000_000, 100_000, 5, 14_481_450), (600_000_000, 125_000, 4, 26_481_450),
    (800_000_000, 150_000, 3, 41_481_450), (1_200_000_000, 250_000, 2, 121_481_450),
    (1_800_000_000, 500_000, 1, 421_481_450),
]  # fmt: skip
ACHUSDT = [
    (5_000, 15_000, 50, 0), (20_000, 20_000, 25, 25), (25_000, 25_000, 20, 125),
    (200_000, 50_000, 10, 750), (400_000, 100_000, 5, 10_750), (500_000, 125_000, 4, 20_750),
    (1_000_000, 250_000, 2, 83_250), (2_000_000, 500_000, 1, 333_250),
]  # fmt: skip


def ladder(
    rows: list[tuple[int, int, int]], unit: int = MICRO, measure: Measure = Measure.VALUE
) -> TierTable:
    """Return the table of rows of (cap, rate in ppm, leverage), from 0 upwards."""
    caps = [0, *(cap * unit for cap, _, _ in rows)]
    return tier_table(
        measure,
        [MarginTier(caps[at], caps[at + 1], *row[1:]) for at, row in enumerate(rows)],
    )


@pytest.mark.parametrize("rows", [BTCUSDT, ACHUSDT], ids=["BTCUSDT", "ACHUSDT"])
def test_what_tiers_take_off_is_what_binance_states(rows: list[tuple[int, int, int, int]]) -> None:
    table = ladder([row[:3] for row in rows])
    stated = [row[3] * MICRO for row in rows]
    assert [cum // PPM for cum in table.cum_ppm] == stated
    assert cum_differences(table, stated) == ()
    stated[2] += 1
    (said,) = cum_differences(table, stated)
    assert said == f"tier 3 takes {stated[2]} off as stated, {stated[2] - 1:g} by its rates"
    assert cum_differences(table, stated[1:])


def test_coin_margined_tiers_are_counted_in_the_base() -> None:
    # BTCUSD from level 4 on; what lies below is one row that takes 0.56 off as the venue does.
    table = ladder(
        [
            (28, 5_000, 50),
            (50, 25_000, 20),
            (100, 50_000, 10),
            (200, 100_000, 5),
            (400, 125_000, 4),
        ],
        10**8,
    )
    assert [cum / PPM / 10**8 for cum in table.cum_ppm] == [0, 0.56, 1.81, 6.81, 11.81]


def test_a_table_by_size_takes_nothing_off_and_its_floors_may_be_one_above() -> None:
    # OKX, ADAUSDT after 2023-05-19.
    rows = [
        MarginTier(0, 1_500, 5_000, 75),
        MarginTier(1_501, 3_000, 7_500, 50),
        MarginTier(3_001, 6_000, 10_000, 40),
    ]
    table = tier_table(Measure.SIZE, rows, step=1)
    assert table.cum_ppm == (0, 0, 0)
    assert [table.index(size) for size in (1, 1_500, 1_501, 3_000, 6_000, 7_000)] == [
        0, 0, 1, 1, 2, 2,
    ]  # fmt: skip
    assert table.index(15_001, 10) == 1  # 1,500.1 is between two rows: the one that asks for more
    assert [table.leverage_max(size) for size in (1_500, 1_501, 6_000, 6_001)] == [75, 50, 40, 0]
    with pytest.raises(BadInput, match="hole from 1500 to 1501"):
        tier_table(Measure.SIZE, rows)


GOOD = [
    MarginTier(0, 10, 5_000, 50),
    MarginTier(10, 20, 10_000, 20),
    MarginTier(20, 40, 20_000, 10),
]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "has no rows"),
        ([MarginTier(5, 10, 5_000, 50)], "tier 1 starts at 5: what is smaller has no margin"),
        ([GOOD[0], GOOD[2]], "between tiers 1 and 2 is a hole from 10 to 20"),
        ([GOOD[0], MarginTier(8, 20, 10_000, 20)], "tiers 1 and 2 overlap from 8 to 10"),
        (
            [GOOD[0], GOOD[1], MarginTier(5, 40, 20_000, 10)],
            "tier 3 starts at 5, below .* out of order",
        ),
        ([MarginTier(0, 0, 5_000, 50)], "tier 1 ends at 0, not above its start 0"),
        ([MarginTier(0, 10, 0, 50)], "a maintenance rate of 0 parts"),
        ([MarginTier(0, 10, 1_000_000, 1)], "a maintenance rate of 1000000 parts"),
        ([MarginTier(0, 10, 5_000, 0)], "a leverage of 0 is below 1"),
        ([GOOD[0], MarginTier(10, 20, 4_000, 20)], "tier 2 asks for less margin"),
        ([GOOD[0], MarginTier(10, 20, 10_000, 60)], "tier 2 allows more leverage"),
    ],
)
def test_rows_that_cannot_be_right_are_refused(rows: list[MarginTier], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        tier_table(Measure.VALUE, rows)


@given(st.permutations(GOOD))
def test_only_one_order_of_rows_is_taken(rows: list[MarginTier]) -> None:
    if rows == GOOD:
        assert len(tier_table(Measure.VALUE, rows).tiers) == 3
    else:
        with pytest.raises(BadInput):
            tier_table(Measure.VALUE, rows)


def test_a_listing_with_the_largest_tiers_of_a_venue_travels() -> None:
    """Binance BTCUSDT takes 421,481,450 off: in millionths of a micro-unit no int64 holds it."""
    rows = [MarginTier(0, 1_200_000_000 * 10**6, 4_000, 125)]
    rows.append(MarginTier(rows[0].cap, 1_800_000_000 * 10**6, 500_000, 1))
    terms = MarginTerms(leverage=1, tiers=tier_table(Measure.VALUE, rows))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(terms), type=MarginTerms)
    assert again == terms
    assert again.tiers.cum_ppm == (0, 1_200_000_000 * 10**6 * 496_000)
