from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import FeeSchedule, Instrument, InstrumentId, Kind, Side
from engine.errors import BadInput

BINARY = Instrument(
    id=InstrumentId("polymarket:0xabc"),
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
    size_min=5_000_000,
    fees=FeeSchedule(taker_rate_ppm=70_000, exponent=1, rebate_rate_ppm=200_000),
)
SPOT = Instrument(
    id=InstrumentId("okx:BTC/USDT"),
    kind=Kind.SPOT,
    currency="USDT",
    price_decimals=1,
    size_decimals=8,
    tick=1,
    lot=1,
    fees=FeeSchedule(taker_rate_ppm=1000, maker_rate_ppm=800),
)
prices = st.integers(1, 9_999)
sizes = st.integers(0, 10**13)


@given(prices, sizes)
def test_cost_is_rounded_up_and_proceeds_down_to_the_micro_unit(price, size):
    exact = Fraction(price, 10**4) * Fraction(size, 10**6) * 10**6
    assert BINARY.cost_micro(price, size) - 1 < exact <= BINARY.cost_micro(price, size)
    assert BINARY.proceeds_micro(price, size) <= exact < BINARY.proceeds_micro(price, size) + 1


@given(prices, sizes)
def test_a_pair_bought_at_complementary_prices_costs_at_least_its_face_value(price, size):
    pair = BINARY.cost_micro(price, size) + BINARY.cost_micro(BINARY.one - price, size)
    assert size <= pair <= size + 1


@pytest.mark.parametrize(
    ("shares", "price", "fee"),
    [
        ("100", "0.50", "1.75"),  # the venue's own examples for a crypto market
        ("100", "0.90", "0.63"),
        ("0.01", "0.01", "0.00001"),
        ("0.01", "0.0001", "0"),  # below 0.00001 nothing is charged
    ],
)
def test_taker_fee_equals_the_published_formula(shares, price, fee):
    size, at = BINARY.size_of(shares), BINARY.price_of(price)
    assert BINARY.taker_fee_micro(at, size) == int(Decimal(fee) * 10**6)


@given(prices, sizes)
def test_taker_fee_is_the_same_for_both_legs_and_whole_in_five_decimals(price, size):
    fee = BINARY.taker_fee_micro(price, size)
    assert fee == BINARY.taker_fee_micro(BINARY.one - price, size)
    assert fee % 10 == 0
    exact = Fraction(size, 10**6) * Fraction(7, 100) * Fraction(price * (10**4 - price), 10**8)
    assert abs(fee - exact * 10**6) <= 5


@given(st.integers(1, 10**9), st.integers(0, 10**12))
def test_linear_fees_are_rounded_against_us(price, size):
    notional = Fraction(price * size, 10**3)
    assert 0 <= SPOT.taker_fee_micro(price, size) - notional * Fraction(1, 1000) < 1
    assert 0 <= SPOT.maker_fee_micro(price, size) - notional * Fraction(8, 10_000) < 1


def test_makers_of_a_binary_pay_nothing():
    assert BINARY.maker_fee_micro(5_000, 10**8) == 0


@given(st.integers(0, 10**12))
def test_prices_and_sizes_survive_a_round_trip_through_decimals(units):
    assert BINARY.price_of(BINARY.price_decimal(units)) == units
    assert BINARY.size_of(str(BINARY.size_decimal(units))) == units


def test_a_person_reads_the_price_of_a_binary_in_cents_and_any_other_as_it_is() -> None:
    said = [BINARY.price_words(price) for price in (2_650, 9_999, 10_000, 100, 0)]
    assert said == ["26.5¢", "99.99¢", "100¢", "1¢", "0¢"]
    assert (BINARY.price_text(2_650), SPOT.price_words(640_005)) == ("0.265", "64000.5")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "", "zero", "0.00001", "1e-9"])
def test_a_price_that_does_not_fit_is_refused_with_its_text(text):
    with pytest.raises(BadInput, match="polymarket:0xabc: price"):
        BINARY.price_of(text)


def test_an_instrument_too_coarse_for_micro_units_is_refused():
    with pytest.raises(BadInput, match="decimals"):
        Instrument(
            id=InstrumentId("x:y"), kind=Kind.SPOT, currency="USD",
            price_decimals=2, size_decimals=3, tick=1, lot=1,
        )  # fmt: skip


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(BadInput, match="tick and lot"):
        Instrument(
            id=InstrumentId("x:y"), kind=Kind.SPOT, currency="USD",
            price_decimals=3, size_decimals=3, tick=0, lot=1,
        )  # fmt: skip


def test_exposure_is_summed_over_the_market_where_one_is_named():
    assert BINARY.exposure_key == "polymarket:0xabc"
    named = Instrument(
        id=InstrumentId("x:y"), kind=Kind.SPOT, currency="USD",
        price_decimals=3, size_decimals=3, tick=1, lot=1, market="event",
    )  # fmt: skip
    assert named.exposure_key == "event"


def test_the_opposite_of_a_side_is_the_other():
    assert Side.BUY.opposite is Side.SELL
    assert Side.SELL.opposite is Side.BUY
