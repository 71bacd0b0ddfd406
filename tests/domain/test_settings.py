import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.domain.instruments import Mode
from engine.domain.money import MICRO
from engine.domain.settings import (
    AMOUNT_MAX,
    AccountSettings,
    BotSettings,
    Limit,
    RiskLimits,
)


def test_the_defaults_are_ten_percent_per_position_five_a_day_fifteen_and_twenty_from_the_peak():
    limits = RiskLimits()
    assert limits.exposure_instrument_max.percent == 10
    assert limits.daily_loss_max.percent == 5
    assert limits.drawdown_max.percent == 15
    assert limits.kill_drawdown_max.percent == 20


def test_a_limit_is_absolute_or_relative_and_never_both():
    assert Limit(absolute=12.5).micro(10**9) == 12_500_000
    assert Limit(percent=12.5).micro(10**9) == 125_000_000
    for wrong in ({}, {"absolute": 1, "percent": 1}):
        with pytest.raises(ValidationError, match="either an absolute amount or a percentage"):
            Limit(**wrong)


def test_a_relative_limit_of_a_lost_account_is_zero_not_negative():
    assert Limit(percent=10).micro(-5) == 0


@pytest.mark.parametrize("value", [-1, 101, float("nan"), float("inf")])
def test_a_percentage_outside_its_bounds_is_refused(value):
    with pytest.raises(ValidationError):
        Limit(percent=value)


def test_unknown_keys_are_refused_by_name():
    with pytest.raises(ValidationError, match="daily_los_max"):
        RiskLimits(daily_los_max=Limit(percent=1))
    with pytest.raises(ValidationError, match="leverage"):
        BotSettings(name="a", strategy="s", account="p", capital=1, leverage=3)


def test_settings_cannot_be_changed_after_they_were_read():
    account = AccountSettings(name="paper:main", venue="paper", mode="paper")
    with pytest.raises(ValidationError, match="frozen"):
        account.currency = "EUR"


def test_a_quotes_life_is_positive_and_off_by_default() -> None:
    account = AccountSettings(name="real", venue="polymarket", mode=Mode.LIVE)
    assert account.quote_life_s is None
    assert AccountSettings.model_validate(account.model_dump() | {"quote_life_s": 240})
    with pytest.raises(ValidationError, match="quote_life_s"):
        AccountSettings.model_validate(account.model_dump() | {"quote_life_s": 0})


@given(st.floats(min_value=0, exclude_min=True))
def test_every_amount_that_is_taken_can_be_kept_as_micro_units(amount: float) -> None:
    """The journal and the state file hold 64 bits; a limit of 1e305 is not even a number then."""
    kept = range(-(2**63), 2**63)
    try:
        limit = Limit(absolute=amount)
        bot = BotSettings(name="a", strategy="s", account="p", capital=amount)
        account = AccountSettings(name="p", venue="demo", mode=Mode.DEMO, starting_cash=amount)
    except ValidationError:
        assert amount > AMOUNT_MAX
        return
    assert limit.micro(0) in kept
    assert round(bot.capital * MICRO) in kept
    assert round(account.starting_cash * MICRO) in kept
