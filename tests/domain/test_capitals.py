"""The sum of the capitals of an account's bots, beside what the account is worth."""

from __future__ import annotations

import pytest

from engine.domain.instruments import Mode
from engine.domain.settings import (
    AccountSettings,
    BotSettings,
    SettingsDocument,
    capitals_refusal,
    first_equity_micro,
)

MICRO = 1_000_000


def ten_thousand(_account: AccountSettings) -> int:
    return 10_000 * MICRO


def document(mode: Mode = Mode.PAPER, **capitals: float) -> SettingsDocument:
    """Return one account with bots of these capitals."""
    bots = {
        name: BotSettings(name=name, strategy="sma_cross", account="a", capital=capital)
        for name, capital in capitals.items()
    }
    return SettingsDocument(
        accounts={"a": AccountSettings(name="a", venue="demo", mode=mode)}, bots=bots
    )


@pytest.mark.parametrize("mode", Mode)
def test_two_bots_of_more_than_the_equity_are_refused_with_both_numbers(mode: Mode) -> None:
    wanted = document(mode, one=100_000, two=100_000)
    why = capitals_refusal(SettingsDocument(), wanted, ten_thousand)
    assert "(one, two) would be 200,000 pUSD, its equity is 10,000 pUSD" in why


def test_all_of_the_equity_may_be_given_and_not_a_cent_more() -> None:
    before = document(one=4_000)
    assert capitals_refusal(before, document(one=4_000, two=6_000), ten_thousand) == ""
    assert capitals_refusal(before, document(one=4_000, two=6_000.01), ten_thousand)


def test_a_version_that_changes_no_bot_or_lowers_their_sum_passes() -> None:
    before = document(one=8_000, two=8_000)
    assert capitals_refusal(before, before, ten_thousand) == ""
    assert capitals_refusal(before, document(one=8_000, two=7_000), ten_thousand) == ""
    assert capitals_refusal(before, document(one=8_000), ten_thousand) == ""
    assert capitals_refusal(before, document(one=9_000, two=7_000), ten_thousand)


def test_an_equity_that_is_not_known_is_not_guessed() -> None:
    wanted = document(Mode.LIVE, one=100_000)
    assert capitals_refusal(SettingsDocument(), wanted, lambda _: None) == ""
    assert first_equity_micro(wanted.accounts["a"]) is None
    assert first_equity_micro(document(Mode.DEMO).accounts["a"]) == 1_000 * MICRO
