"""What a wallet does by itself, shown on the Settings page and changed there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.settings import AccountSettings
from pages.settings.page import automation
from storage.database import reading, writing
from storage.settings import latest, save
from tests.pages.test_asking import press, texts

Opened = Callable[..., AppTest]
SEND = "FormSubmitter:automation_real-Show what changes"


@pytest.fixture
def desk(config: Config) -> Config:
    """A home whose first account is a live one that merges pairs of five or more."""
    with writing(config.state_path) as connection:
        account = {"name": "real", "venue": "polymarket", "mode": "live", "merge_above": 5.0}
        version = latest(connection, "pitboss").version
        save(
            connection, engine_id="pitboss", who="ann", diff={"accounts": {"real": account}},
            base_version=version, now_ns=5,
        )  # fmt: skip
    return config


def saved(desk: Config) -> AccountSettings:
    with reading(desk.state_path) as connection:
        return latest(connection, "pitboss").document.accounts["real"]


def form(opened: Opened) -> AppTest:
    page = opened("settings")
    page.selectbox(key="automation_account").set_value("real").run()
    return page


def test_what_a_live_wallet_does_by_itself_is_said_as_it_is(opened: Opened, desk: Config) -> None:
    page = form(opened)
    assert "winners wait for you; pairs worth 5 pUSD or more are merged" in texts(page)
    assert page.checkbox(key="automation_real_auto_redeem").value is False
    assert page.number_input(key="automation_real_merge_above").value == 5.0
    assert "Per market" in page.number_input(key="automation_real_redeem_above").help


def test_a_form_sent_as_it_stands_changes_nothing(opened: Opened, desk: Config) -> None:
    page = form(opened)
    page.button(key=SEND).click().run()
    assert "Nothing differs" in texts(page)
    assert saved(desk).auto_redeem is None


def test_redemption_is_switched_on_and_merging_off_again(opened: Opened, desk: Config) -> None:
    page = form(opened)
    page.checkbox(key="automation_real_auto_redeem").check()
    page.number_input(key="automation_real_redeem_above").set_value(2.5)
    page.number_input(key="automation_real_merge_above").set_value(None)
    page.button(key=SEND).click().run()
    press(page, "Save these changes")
    after = saved(desk)
    assert (after.auto_redeem, after.redeem_above, after.merge_above) == (True, 2.5, None)
    assert automation(after) == "winners worth 2.5 pUSD or more are redeemed; pairs wait for you"


def test_an_amount_below_nothing_is_refused_and_not_bent(opened: Opened, desk: Config) -> None:
    page = form(opened)
    page.number_input(key="automation_real_merge_above").set_value(-1.0)
    page.button(key=SEND).click().run()
    assert any("Least value to merge" in one.value for one in page.error)
    assert saved(desk).merge_above == 5.0
