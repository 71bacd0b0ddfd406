"""The Alerts page: what the watch found, channels, rules and price alerts, and what was sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands.trading import FollowMarket
from engine.domain.instruments import AccountId
from engine.domain.plain import PlainDict
from engine.domain.settings import AlertRule
from engine.watch.sealed import make_key, seal
from pages.shared import alert_rules, price_alerts
from storage import views, watch
from storage.channels import put_channel, read_channels
from storage.database import reading, writing
from storage.settings import latest, save
from storage.users import ENGINE_ID
from storage.views.frame import UnseenAlerts, unseen_alerts
from storage.watch import Notice, NoticeSource, PriceReached, RequestKind
from tests.pages.seen import texts
from tests.pages.test_asking import M1, desk, left, press
from tests.watch.desks import MINUTE, Watched

__all__ = ["desk"]

Opened = Callable[..., AppTest]
FOLDS = {
    "fold_rules": True,
    "fold_channels": True,
    "fold_prices": True,
    "fold_sent": True,
    "fold_thresholds": True,
}
SECRET = "https://example.org/hook/t0ps3cret"


def alerts_of(config: Config) -> Any:
    with reading(config.state_path) as connection:
        return latest(connection, ENGINE_ID).document.alerts


def labelled(found: Any, label: str) -> Any:
    return next(one for one in found if one.label == label)


@pytest.fixture
def hook(config: Config) -> str:
    """A webhook sealed for this machine, and a watch that is active."""
    file = make_key(config.home)
    fields = {"url": SECRET, "secret": "0123456789abcdef"}
    entry = seal(file, "hook", fields, kind="webhook", label="my hook", now_ns=1)
    put_channel(config.home, "hook", entry)
    beat = {
        "at_ns": time.time_ns(), "pid": 1, "log_error": "", "channels_error": "",
        "settings_error": "",
    }  # fmt: skip
    kinds = [{"name": "webhook", "title": "Webhook", "help": "posts JSON", "pings": False}]
    with closing(watch.open_watch(config.home / watch.NAME)) as connection:
        watch.put_meta(connection, "beat", json.dumps(beat))
        watch.put_meta(connection, "channel kinds", json.dumps(kinds))
    return "hook"


def test_without_a_watch_the_page_says_that_nothing_is_sent(opened: Opened) -> None:
    assert "NO WATCH IS RUNNING" in texts(opened("alerts"))


@pytest.mark.long
def test_a_channel_is_tested_switched_off_and_removed_and_shows_no_secret(
    opened: Opened, config: Config, hook: str
) -> None:
    page = opened("alerts", state=FOLDS)
    shown = texts(page)
    assert "my hook" in shown
    assert "a machine that is gone" in shown
    assert SECRET not in shown

    press(page, "Send a test")
    with watch.reading_watch(config.home) as connection:
        assert connection is not None
        (asked,) = watch.requests(connection)
    assert (asked.kind, asked.subject, asked.who) == (RequestKind.TEST, hook, "operator")
    assert "queued" in texts(page)

    labelled(page.toggle, "On").set_value(False).run()
    file = read_channels(config.home)
    assert file is not None
    assert not file.entries[hook].on

    press(page, "Remove")
    file = read_channels(config.home)
    assert file is not None
    assert not file.entries


def test_a_dead_mans_switch_is_tested_like_any_channel(
    opened: Opened, config: Config, hook: str
) -> None:
    kinds = [{"name": "webhook", "title": "Switch", "help": "pings", "pings": True}]
    with closing(watch.open_watch(config.home / watch.NAME)) as connection:
        watch.put_meta(connection, "channel kinds", json.dumps(kinds))
    press(opened("alerts", state=FOLDS), "Send a test")
    with watch.reading_watch(config.home) as connection:
        assert connection is not None
        (asked,) = watch.requests(connection)
    assert (asked.kind, asked.subject) == (RequestKind.TEST, hook)


def test_what_the_watch_found_stands_among_the_unseen_until_it_is_seen(
    opened: Opened, config: Config, hook: str
) -> None:
    found = Notice(
        key="engine_hung:1", source=NoticeSource.WATCH, kind="engine_hung", severity="critical",
        text="the engine's last sign is 61 s old", first_ns=1, last_ns=time.time_ns(),
    )  # fmt: skip
    with closing(watch.open_watch(config.home / watch.NAME)) as connection:
        watch.put_notice(connection, found)
    shown = texts(opened("overview"))
    assert "61 s old" in shown, "what the bar counts stands on the Overview, too"
    assert "All alerts: 1 unseen" in shown
    assert "No unseen alert" not in shown
    page = opened("alerts")
    assert "61 s old" in texts(page)

    press(page, "Seen")

    assert "61 s old" not in texts(opened("alerts"))
    with watch.reading_watch(config.home) as connection:
        assert connection is not None
        kept = watch.notice(connection, found.key)
    assert kept is not None
    assert kept.acked_by == "operator"


def test_an_alert_of_an_engine_that_is_gone_is_seen_at_once_everywhere(
    opened: Opened, config: Config
) -> None:
    desk = Watched(config.home)
    desk.add_channel("phone")
    desk.settle({"rules": {"critical": {"channels": ["phone"], "escalate_min": 5}}})
    desk.raise_("kill", "KILL by ann: no order is placed")
    desk.turn(2)
    for name in ("overview", "alerts"):
        assert "no order is placed" in texts(opened(name))
    press(opened("alerts"), "Seen")
    for name in ("overview", "alerts"):
        assert "no order is placed" not in texts(opened(name))
    with reading(config.state_path) as connection:
        assert unseen_alerts(connection, ENGINE_ID) == UnseenAlerts(), "the bar and the menu"
        (row,) = views.alerts(connection, ENGINE_ID)
    assert row["acked_by"] == "operator", "under All it says so"
    desk.turn(2)
    assert desk.rows("SELECT acked_by FROM notices WHERE kind = 'kill'") == [("operator",)]
    desk.turn(20 * MINUTE, every=30)
    assert len(desk.sends.sent) == 1, "it escalates no more"


def test_a_rule_is_changed_and_one_that_is_not_valid_is_refused(
    opened: Opened, config: Config
) -> None:
    page = opened("alerts", state=FOLDS)
    page.selectbox(key="rule_chosen").select("warning").run()
    labelled(page.number_input, "Digest, minutes (0 = at once)").set_value(5)
    labelled(page.text_input, "Quiet hours").set_value("22:00-07:00")
    press(page, "Save this rule")
    assert not page.exception
    rule = alerts_of(config).rules["warning"]
    assert (rule.digest_min, rule.quiet) == (5, "22:00-07:00")
    assert "digest each 5 min, except kinds sent at once" in texts(page)
    named = AlertRule(kinds=("kill",), digest_min=5)
    assert "except" not in alert_rules.in_words(named), "what it names waits, too"

    labelled(page.text_input, "Quiet hours").set_value("late")
    press(page, "Save this rule")
    assert "Not saved" in texts(page)
    assert alerts_of(config).rules["warning"].quiet == "22:00-07:00"


def test_thresholds_and_what_messages_go_by_are_changed(opened: Opened, config: Config) -> None:
    page = opened("alerts", state=FOLDS)
    before = alerts_of(config)
    labels = [one.label for one in (*page.number_input, *page.text_input, *page.checkbox)]
    assert not [one for one in labels if "_" in one], "a trader's words, no names of fields"
    page.number_input(key="threshold_large_fill").set_value(250.0)
    page.text_input(key="messages_zone").set_value("Europe/Berlin")
    page.checkbox(key="messages_ack_links").set_value(True)
    press(page, "Save these")
    assert not page.exception
    now = alerts_of(config)
    assert (now.thresholds.large_fill, now.zone, now.ack_links) == (250.0, "Europe/Berlin", True)
    assert now.thresholds.balance_low == before.thresholds.balance_low
    assert now.rules == before.rules


def test_what_cannot_be_is_refused_and_a_channel_that_is_not_there_is_said(
    opened: Opened, config: Config
) -> None:
    with writing(config.state_path) as connection:
        rule = {"alerts": {"rules": {"nights": {"channels": ["gone"]}}}}
        base = latest(connection, ENGINE_ID).version
        save(
            connection,
            engine_id=ENGINE_ID,
            who="ann",
            diff=rule,
            base_version=base,
            now_ns=2,
        )
    page = opened("alerts", state=FOLDS)
    assert "alert rule nights names gone" in texts(page)
    page.text_input(key="messages_zone").set_value("Europe/Berln")
    press(page, "Save these")
    assert "is unknown on this machine; did you mean Europe/Berlin?" in texts(page)
    assert alerts_of(config).zone == "UTC"


def test_a_rule_is_added_and_removed(opened: Opened, config: Config) -> None:
    page = opened("alerts", state=FOLDS)
    page.selectbox(key="rule_chosen").select("a new rule").run()
    page.text_input(key="rule_name").set_value("nights").run()
    press(page, "Save this rule")
    assert "nights" in alerts_of(config).rules
    page.selectbox(key="rule_chosen").select("nights").run()
    press(page, "Remove this rule")
    assert "nights" not in alerts_of(config).rules


@pytest.mark.long
def test_a_price_alert_is_set_on_its_market_and_removed_on_the_alerts_page(
    opened: Opened, desk: Config
) -> None:
    page = opened("market", instrument=M1.id, state={"fold_price": True})
    press(page, "Set the alert")
    assert "Give the price first" in texts(page)
    labelled(page.number_input, "Price, ¢").set_value(61.5)
    press(page, "Set the alert")
    ((name, kept),) = alerts_of(desk).prices.items()
    assert (kept.instrument, kept.above, kept.repeats) == (M1.id, 0.615, False)
    assert kept.account == "demo"
    followed = FollowMarket(account=AccountId("demo"), instrument=M1.id)
    assert left(desk)[0] == (FollowMarket.__name__, msgspec.to_builtins(followed))
    assert "at or above 61.5¢, once" in texts(page)

    page = opened("alerts", state=FOLDS)
    assert price_alerts.price_words(kept, cents=True) in texts(page)
    page.button(key=f"price_{name}").click().run()
    assert not alerts_of(desk).prices


def test_a_price_alert_that_is_sent_once_and_came_true_waits_no_more(
    opened: Opened, desk: Config
) -> None:
    page = opened("market", instrument=M1.id, state={"fold_price": True})
    labelled(page.number_input, "Price, ¢").set_value(61.5)
    press(page, "Set the alert")
    ((name, kept),) = alerts_of(desk).prices.items()
    assert "CAME TRUE" not in texts(page), "the watch has not looked at it yet"

    def came(asked: PlainDict) -> str:
        reached = PriceReached(asked=asked, fired=1, fired_ns=1_795_608_000 * 10**9)
        memory = {watch.PRICE_ALERT + name: msgspec.json.encode(reached).decode()}
        with closing(watch.open_watch(desk.home / watch.NAME)) as connection:
            watch.put_meta(connection, watch.MEMORY, json.dumps(memory))
        return texts(opened("alerts", state=FOLDS))

    asked = kept.model_dump(mode="json")
    said = "CAME TRUE 2026-11-25 12:00:00 UTC: sent, and waits no more"
    assert said in came(asked)
    assert "CAME TRUE" not in came(asked | {"above": 0.5}), "that was another one of its name"
    lasting = kept.model_copy(update={"repeats": True})
    reached = PriceReached(asked=asked | {"repeats": True}, fired=3, fired_ns=1)
    assert price_alerts.reached_words(lasting, reached).startswith("came true 3 times, last 1970")
