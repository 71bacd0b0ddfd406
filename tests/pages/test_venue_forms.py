"""A venue that a folder adds stands in the forms of the Settings page, asked for as it declares."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import CredentialField, ModeEntry, VenueEntry
from engine.domain.instruments import Mode
from engine.venues.registry import entries
from storage.catalog import put_catalog
from storage.database import reading, writing
from storage.settings import latest
from storage.users import ENGINE_ID
from tests.pages.test_asking import press, texts

Opened = Callable[..., AppTest]
ADDED = VenueEntry(
    id="toy", title="Toy exchange", about="a table with one marble", currency="MRB",
    modes=(ModeEntry(mode=Mode.LIVE, credential_fields=(CredentialField(name="t", title="T"),)),),
)  # fmt: skip


@pytest.fixture
def added(config: Config) -> Config:
    with writing(config.state_path) as connection:
        put_catalog(connection, ENGINE_ID, VenueEntry, {**entries(), "toy": ADDED}, 1)
    return config


def asked(page: AppTest, venue: str, mode: Mode) -> None:
    next(one for one in page.text_input if one.label == "Name").set_value("mine")
    next(one for one in page.selectbox if one.label == "Venue").set_value(venue)
    next(one for one in page.button_group if one.label == "Mode").set_value(mode)
    next(one for one in page.button if one.label == "Show what changes").click().run()


def test_account_of_an_added_venue_counts_in_what_it_pays(opened: Opened, added: Config) -> None:
    page = opened("settings")
    asked(page, "toy", Mode.LIVE)
    press(page, "Save these changes")
    with reading(added.state_path) as connection:
        saved = latest(connection, ENGINE_ID).document.accounts["mine"]
    assert (saved.venue, saved.mode, saved.currency) == ("toy", Mode.LIVE, "MRB")


def test_mode_a_venue_does_not_have_is_refused_with_those_that_do(
    opened: Opened, added: Config
) -> None:
    page = opened("settings")
    asked(page, "demo", Mode.LIVE)
    assert any("needs the venue polymarket, toy" in one.value for one in page.error)
    with reading(added.state_path) as connection:
        assert latest(connection, ENGINE_ID).document.accounts == {}


def test_without_a_catalog_the_form_says_what_to_do(opened: Opened, config: Config) -> None:
    with writing(config.state_path) as connection:
        put_catalog(connection, ENGINE_ID, VenueEntry, {}, 1)
    assert "start the desk" in texts(opened("settings"))
