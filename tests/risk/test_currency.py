import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.risk.currency import RATE_ONE, Rates

EUR_USD = 108_000_001


def test_assets_round_down_and_exposures_up():
    rates = Rates({("EUR", "USD"): EUR_USD})
    assert rates.worth_micro(1_000_000, "EUR", "USD") == 1_080_000
    assert rates.risk_micro(1_000_000, "EUR", "USD") == 1_080_001
    assert rates.worth_micro(-1_000_000, "EUR", "USD") == -1_080_001


def test_the_same_currency_needs_no_rate():
    assert Rates({}).worth_micro(-7, "USD", "USD") == -7
    assert Rates({("USD", "USD"): RATE_ONE}).risk_micro(7, "USD", "USD") == 7


@pytest.mark.parametrize("pair", [("USD", "EUR"), ("EUR", "GBP"), ("usd", "USD")])
def test_an_unknown_rate_fails_and_is_never_one_nor_an_inverse(pair):
    rates = Rates({("EUR", "USD"): EUR_USD})
    for ask in (rates.worth_micro, rates.risk_micro):
        with pytest.raises(BadInput, match="no rate is known"):
            ask(1, *pair)


@pytest.mark.parametrize(
    ("pair", "rate"), [(("EUR", "USD"), 0), (("EUR", "USD"), -1), (("USD", "USD"), 2)]
)
def test_an_impossible_rate_is_refused(pair, rate):
    with pytest.raises(BadInput):
        Rates({pair: rate})


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**12))
def test_risk_is_never_below_worth_and_at_most_one_micro_unit_above(amount, rate):
    rates = Rates({("A", "B"): rate})
    assert 0 <= rates.risk_micro(amount, "A", "B") - rates.worth_micro(amount, "A", "B") <= 1
