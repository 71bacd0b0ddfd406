"""Quotes that expire by themselves, chosen on the Settings page and shown at the account."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.venues.polymarket.plugin import EXPIRY
from pages.settings.live_accounts import quotes_end
from storage.database import reading, writing
from storage.settings import applied, latest, save
from tests.pages.test_asking import press, texts, words

Opened = Callable[..., AppTest]
REAL = AccountSettings(name="real", venue="polymarket", mode=Mode.LIVE)


@pytest.fixture
def desk(config: Config) -> Config:
    """A home with a live account whose quotes expire after five minutes, in force."""
    with writing(config.state_path) as connection:
        account = {"name": "real", "venue": "polymarket", "mode": "live", "quote_life_s": 300}
        version = latest(connection, "pitboss").version
        save(
            connection, engine_id="pitboss", who="ann", diff={"accounts": {"real": account}},
            base_version=version, now_ns=5,
        )  # fmt: skip
        applied(connection, "pitboss", version + 1, 6)
    return config


def test_words_say_when_the_venue_takes_it_away() -> None:
    assert "off" in quotes_end(REAL, EXPIRY)
    on = quotes_end(REAL.model_copy(update={"quote_life_s": 300}), EXPIRY)
    assert "expires after 300 s" in on
    assert "after 240 s" in on


def test_account_shows_what_is_in_force_and_the_form_changes_it(
    opened: Opened, desk: Config
) -> None:
    page = opened("settings")
    assert "each quote expires after 300 s" in texts(page)
    assert "Manual orders" in words(page) or "Manual orders" in texts(page)
    page.number_input(key="expires_s_real").set_value(200)
    page.button(key="FormSubmitter:quote_life_real-Show what changes").click().run()
    assert any("240" in one.value for one in page.error)
    page.number_input(key="expires_s_real").set_value(600)
    page.button(key="FormSubmitter:quote_life_real-Show what changes").click().run()
    press(page, "Save these changes")
    with reading(desk.state_path) as connection:
        assert latest(connection, "pitboss").document.accounts["real"].quote_life_s == 600
