from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.rates import PAR, RATE_AGE_NS_MAX, Rate, counted_as, par

WHOLE = 10**18


@given(st.integers(-(10**30), 10**30), st.integers(0, 10**14))
def test_a_worth_is_rounded_down_and_loses_less_than_a_micro_unit(amount: int, micro: int) -> None:
    worth = Rate(asset="BTC", currency="USDC", micro=micro, source="s").worth_micro(amount, 0)
    assert worth is not None
    assert 0 <= amount * micro - worth * WHOLE < WHOLE


def test_a_stale_rate_gives_no_worth_and_a_rule_does_not_age() -> None:
    rate = Rate(asset="BTC", currency="pUSD", micro=60_000_000_000, source="book", at_ns=5)
    assert rate.worth_micro(WHOLE, 5 + RATE_AGE_NS_MAX) == 60_000_000_000
    assert rate.worth_micro(WHOLE, 6 + RATE_AGE_NS_MAX) is None
    rule = par("pUSD")
    assert rule is not None
    assert not rule.stale(10**30)


def test_a_currency_without_a_rule_has_no_rate() -> None:
    assert [par(name) for name in ("EUR", "USD", "USDT", "")] == [None] * 4


def test_what_is_one_to_one_is_added_and_what_needs_a_rate_stays_by_itself() -> None:
    assert {counted_as(name) for name in PAR} == {"USDC"}
    assert [counted_as(name) for name in ("USDT", "EUR")] == ["USDT", "EUR"]
