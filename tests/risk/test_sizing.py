import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import FeeSchedule
from engine.errors import BadInput
from engine.risk.sizing import kelly_size

BANKROLL = 1_000_000_000


def size(instrument, **changes):
    fields = {
        "probability": 0.6,
        "price": 5_000,
        "bankroll_micro": BANKROLL,
        "fraction": 0.25,
        "size_max": 10**12,
    }
    return kelly_size(instrument, **(fields | changes))


def test_quarter_kelly_of_a_ten_cent_edge_at_evens_is_five_percent(build):
    # f* = (0.6 − 0.5) / (1 − 0.5) = 0.2; a quarter of it of 1000 is 50, which buys 100 shares.
    assert size(build.binary()) == pytest.approx(100 * build.share, abs=10_000)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5])
def test_no_edge_no_size(build, probability):
    assert size(build.binary(), probability=probability) == 0


def test_a_takers_fee_eats_the_edge(build):
    fees = FeeSchedule(taker_rate_ppm=70_000, exponent=1)
    assert size(build.binary(fees=fees), probability=0.517, taking=True) == 0
    assert 0 < size(build.binary(fees=fees), taking=True) < size(build.binary(fees=fees))


def test_a_fee_that_makes_the_price_certain_leaves_nothing(build):
    dear = FeeSchedule(taker_rate_ppm=3_000_000, exponent=1)
    assert size(build.binary(fees=dear), probability=1.0, price=5_000, taking=True) == 0


@pytest.mark.parametrize("field", ["probability", "fraction"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_a_number_that_is_none_is_refused(build, field, value):
    with pytest.raises(BadInput, match=field):
        size(build.binary(), **{field: value})


@pytest.mark.parametrize("price", [0, -1, 10_000, 20_000])
def test_a_price_outside_the_binary_is_refused(build, price):
    with pytest.raises(BadInput, match="price of a binary"):
        size(build.binary(), price=price)


def test_only_binaries_have_a_kelly_size_here(build):
    with pytest.raises(BadInput, match="binary"):
        size(build.spot())


@pytest.mark.parametrize(
    "nothing", [{"bankroll_micro": 0}, {"bankroll_micro": -5}, {"size_max": 0}]
)
def test_nothing_to_stake_is_no_size(build, nothing):
    assert size(build.binary(), **nothing) == 0


@given(
    st.floats(0, 1),
    st.integers(1, 9_999),
    st.integers(0, 10**13),
    st.floats(0, 1),
    st.integers(0, 10**13),
)
def test_size_is_whole_lots_under_the_cap_and_never_costs_more_than_the_bankroll(
    build, probability, price, bankroll, fraction, cap
):
    binary = build.binary()
    found = size(
        binary,
        probability=probability,
        price=price,
        bankroll_micro=bankroll,
        fraction=fraction,
        size_max=cap,
    )
    assert isinstance(found, int)
    assert 0 <= found <= cap
    assert found % binary.lot == 0
    assert binary.cost_micro(price, found) <= bankroll + 1
