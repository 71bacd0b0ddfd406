"""An account is removed on the Settings page: what stands in the way first, then a typed name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.instruments import AccountId, Mode
from engine.domain.telemetry import Capital
from storage.database import transaction, writing
from storage.live import HoldingSeen, put_account_report, put_holdings
from storage.settings import Saved, applied, latest, save
from tests.pages.test_asking import beat, left, press, texts, words

Opened = Callable[..., AppTest]
ACCOUNTS = {
    "play": {"name": "play", "venue": "demo", "mode": "demo"},
    "real": {"name": "real", "venue": "polymarket", "mode": "live"},
    "busy": {"name": "busy", "venue": "demo", "mode": "demo"},
}
MAKER = {"name": "maker", "strategy": "market_maker", "account": "busy", "capital": 1.0}


def edited(config: Config, diff: dict[str, Any], *, force: bool = True) -> int:
    with writing(config.state_path) as connection:
        base = latest(connection, "pitboss").version
        made = save(
            connection, engine_id="pitboss", who="ann", diff=diff, base_version=base, now_ns=5
        )
        assert isinstance(made, Saved)
        if force:
            applied(connection, "pitboss", made.version, 6)
    return made.version


@pytest.fixture
def desk(config: Config) -> Config:
    """A home with an engine and three accounts in force: one is open, one closed, one has a bot."""
    edited(config, {"accounts": ACCOUNTS, "bots": {"maker": MAKER}})
    money = dict.fromkeys((name for name in Capital.__struct_fields__ if "micro" in name), 0)
    money |= {"open_orders": 0, "doubtful_orders": 0, "venue_micro": None}
    with writing(config.state_path) as connection, transaction(connection):
        for name in ("play", "busy"):
            seen = Capital(
                account=AccountId(name), mode=Mode.DEMO, currency="pUSD", at_ns=time.time_ns(),
                **money,
            )  # fmt: skip
            put_account_report(connection, "pitboss", seen)
    beat(config)
    return config


def holds(config: Config, account: str, mode: Mode) -> None:
    size = dict.fromkeys(("yes_pending", "no_settled", "no_pending"), 0)
    money = dict.fromkeys(("no_cost_micro", "value_micro", "realised_micro", "fees_micro"), 0)
    held = HoldingSeen(
        account=account, instrument="demo:m1", mode=mode, currency="pUSD", bot="", yes_settled=5,
        yes_cost_micro=1, mid2=None, marked_ns=None, payout_yes_micro=None, **size, **money,
    )  # fmt: skip
    with writing(config.state_path) as connection:
        put_holdings(connection, "pitboss", [held], 1)


def chosen(opened: Opened, name: str) -> AppTest:
    return opened("settings").selectbox(key="remove_account").set_value(name).run()


def button(page: AppTest, label: str) -> Any:
    return next((one for one in page.button if one.label == label), None)


def test_an_account_without_anything_goes_after_its_typed_name(
    opened: Opened, desk: Config
) -> None:
    page = press(chosen(opened, "play"), "Remove play…")
    assert "DEMO: money that does not exist" in words(page)
    assert [
        one.label for one in page.text_input if "then Enter" in one.label and "Type" in one.label
    ] == ["Type play, then Enter"]
    assert button(page, "Remove play").disabled
    page.text_input(key="asked_phrase").set_value("play").run()
    press(page, "Remove play")
    ((kind, body),) = left(desk)
    assert (kind, body["version"], body.get("abandon", "")) == ("ApplySettings", 2, "")
    with writing(desk.state_path) as connection:
        assert set(latest(connection, "pitboss").document.accounts) == {"real", "busy"}
    assert "Command: **queued**" in words(page)


def test_what_an_open_account_has_stands_in_the_way(opened: Opened, desk: Config) -> None:
    holds(desk, "play", Mode.DEMO)
    page = chosen(opened, "play")
    assert "1 position" in texts(page)
    assert button(page, "Remove play…") is None


def test_a_bot_stands_in_the_way(opened: Opened, desk: Config) -> None:
    page = chosen(opened, "busy")
    assert "bot maker" in texts(page)
    assert button(page, "Remove busy…") is None


@pytest.mark.long
def test_a_closed_account_with_anything_goes_for_a_reason_alone(
    opened: Opened, desk: Config
) -> None:
    holds(desk, "real", Mode.LIVE)
    page = chosen(opened, "real")
    assert "its vault is locked, or its key is lost" in texts(page)
    press(page, "Remove real…")
    assert "LIVE: **real money**" in words(page)
    assert "It still has 1 position" in words(page)
    page.text_input(key="asked_phrase").set_value("real").run()
    page.text_input(key="asked_reason").set_value("no").run()
    assert button(page, "Remove real").disabled
    page.text_input(key="asked_reason").set_value("its key is lost").run()
    press(page, "Remove real")
    ((_, body),) = left(desk)
    assert body["abandon"] == "its key is lost"


def test_nothing_is_removed_while_a_version_waits(opened: Opened, desk: Config) -> None:
    edited(desk, {"accounts": {"play": {"merge_above": 5.0}}}, force=False)
    page = chosen(opened, "play")
    assert "Apply the saved settings above first" in page.warning[-1].value
    assert button(page, "Remove play…") is None


def test_a_version_that_is_refused_is_taken_back(opened: Opened, desk: Config) -> None:
    version = edited(desk, {"accounts": {"play": None}}, force=False)
    press(opened("settings"), "Go back to version 1")
    ((kind, body),) = left(desk)
    assert (kind, body["version"]) == ("ApplySettings", version + 1)
    with writing(desk.state_path) as connection:
        accounts = latest(connection, "pitboss").document.accounts
        assert accounts == latest(connection, "pitboss").document.accounts
        assert set(accounts) == set(ACCOUNTS)
