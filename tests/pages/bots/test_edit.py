"""A bot's settings changed and a bot removed from its page: a draft, refused while it works."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.bots import TRANSITIONS, BotHappened, BotState
from engine.domain.catalog import StrategyEntry
from engine.domain.decisions import Decision, Gate, Rest
from engine.domain.instruments import BotId, InstrumentId, Mode
from engine.domain.settings import SettingsDocument
from engine.domain.telemetry import BotStatus, WatchedMarket
from engine.runtime.decisions import DecisionLog
from engine.strategies.registry import entries
from pages.kit import data, forms
from pages.kit.drafts import parameter_of
from pages.kit.words import moment
from storage.catalog import put_catalog
from storage.database import reading, writing
from storage.live import EngineHeartbeat, put_bots, put_engine
from storage.settings import SettingsVersion, applied, latest, save
from tests.pages.seen import texts

Opened = Callable[..., AppTest]
MAKER = {
    "name": "maker",
    "strategy": "market_maker",
    "account": "demo",
    "capital": 100.0,
    "instruments": ["demo:comet-1"],
    "parameters": {"levels": 2},
}


def saved(config: Config, diff: dict[str, Any], who: str = "ann") -> None:
    with writing(config.state_path) as connection:
        base = latest(connection, "pitboss").version
        save(
            connection,
            engine_id="pitboss",
            who=who,
            diff=diff,
            base_version=base,
            now_ns=time.time_ns(),
        )


def newest(config: Config) -> SettingsVersion:
    st.cache_data.clear()
    with reading(config.state_path) as connection:
        return latest(connection, "pitboss")


def put_bot(
    config: Config, state: str, *watching: InstrumentId | WatchedMarket, unlisted: str = ""
) -> None:
    seen = BotStatus(
        name=BotId("maker"),
        mode=Mode.DEMO,
        account="demo",
        strategy="market_maker",
        state=state,
        error="",
        capital_micro=100 * 10**6,
        evaluations=5,
        watching=tuple(
            one if isinstance(one, WatchedMarket) else WatchedMarket(instrument=one)
            for one in watching
        ),
        unlisted=unlisted,
    )
    with writing(config.state_path) as connection:
        put_bots(connection, "pitboss", (seen,), time.time_ns())


@pytest.fixture
def desk(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A home with an engine that runs, its catalog, and one bot that is stopped."""
    # Its heartbeat stands: however slow the machine, the engine is not taken for gone.
    monkeypatch.setattr(data, "HEARTBEAT_AGE_NS_MAX", 3_600 * 10**9)
    account = {"name": "demo", "venue": "demo", "mode": "demo"}
    saved(config, {"accounts": {"demo": account}, "bots": {"maker": MAKER}})
    put_beat(config)
    put_bot(config, "stopped")
    return config


def put_beat(config: Config) -> None:
    beat = EngineHeartbeat(
        state="RUNNING",
        heartbeat_ns=time.time_ns() + 10**9,
        started_ns=1,
        pid=os.getpid(),
        version="1",
        latched=False,
    )
    with writing(config.state_path) as connection:
        put_engine(connection, "pitboss", beat)
        put_catalog(connection, "pitboss", StrategyEntry, entries(), 1)


def button(page: AppTest, label: str) -> Any:
    return next(button for button in page.button if button.label == label)


def press(page: AppTest, label: str) -> AppTest:
    button(page, label).click().run()
    assert not page.exception, page.exception
    return page


def number(page: AppTest, name: str) -> Any:
    return next(one for one in page.number_input if one.key == f"edit_maker_{name}")


def edit(opened: Opened) -> AppTest:
    return press(opened("bots", bot="maker"), "Change settings…")


@pytest.mark.long
def test_only_what_was_changed_is_saved(opened: Opened, desk: Config) -> None:
    page = edit(opened)
    assert number(page, "levels").value == 2
    number(page, "capital").set_value(250.0)
    number(page, "size_shares").set_value(35.0)
    press(page, "Show what changes in maker")
    assert newest(desk).version == 1
    press(page, "Save these changes")
    bot = newest(desk).document.bots["maker"]
    assert bot.capital == 250.0
    assert bot.parameters == {"levels": 2, "size_shares": 35.0}
    assert bot.instruments == ("demo:comet-1",)
    assert "Apply version 2" in [one.label for one in page.button]
    assert not [one for one in page.number_input if one.key == "edit_maker_levels"]


@pytest.mark.long
def test_a_parameter_at_its_default_differs_from_the_default(opened: Opened, desk: Config) -> None:
    saved(desk, {"bots": {"maker": {"parameters": {"size_shares": 35.0}}}})
    page = edit(opened)
    number(page, "size_shares").set_value(40.0)
    number(page, "inventory_shares_max").set_value(150.0)
    press(page, "Show what changes in maker")
    shown = texts(page)
    assert "<th>Size of a level, shares (size_shares)</th><td>35  →  40</td>" in shown
    largest = "<th>Largest position, shares (inventory_shares_max)</th>"
    assert f"{largest}<td>200 (default)  →  150</td>" in shown


def test_a_default_is_known_of_a_bot_that_is_there_and_of_its_parameters_alone(
    desk: Config,
) -> None:
    document = newest(desk).document
    schema = {"properties": {"levels": {"default": 1}, "size": {}}}
    catalog = {"market_maker": StrategyEntry(parameters=schema, gates={}, values={})}
    assert parameter_of("bots.maker.parameters.levels", document, catalog).default == 1
    assert parameter_of("bots.maker.parameters.size", document, catalog).default is None
    assert parameter_of("bots.maker.capital", document, catalog).default is None
    assert parameter_of("bots.maker.parameters.levels", document, {}).default is None
    assert parameter_of("bots.maker.parameters.levels", SettingsDocument(), catalog).default is None


@pytest.mark.long
def test_a_version_in_force_is_not_told_as_waiting(opened: Opened, desk: Config) -> None:
    page = edit(opened)
    number(page, "capital").set_value(250.0)
    press(page, "Show what changes in maker")
    press(page, "Save these changes")
    assert any("Saved as version 2." in one.value for one in page.info)
    with writing(desk.state_path) as connection:
        applied(connection, "pitboss", 2, time.time_ns())
    st.cache_data.clear()
    page.run()
    assert not any("Saved as version" in one.value for one in page.info)


@pytest.mark.long
def test_a_form_sent_unchanged_changes_nothing(opened: Opened, desk: Config) -> None:
    page = press(edit(opened), "Show what changes in maker")
    assert any("Nothing differs" in one.value for one in page.markdown)
    assert newest(desk).version == 1


@pytest.mark.long
def test_a_value_that_is_not_legal_is_refused_with_its_field(opened: Opened, desk: Config) -> None:
    page = edit(opened)
    number(page, "capital").set_value(-5.0)
    press(page, "Show what changes in maker")
    assert "Bot maker, Capital: Input should be" in page.error[0].value
    assert newest(desk).version == 1


@pytest.mark.long
def test_an_edit_of_an_older_version_is_refused_then_kept_for_a_second_try(
    opened: Opened, desk: Config
) -> None:
    page = edit(opened)
    saved(desk, {"bots": {"maker": {"parameters": {"levels": 3}}}}, who="bob")
    st.cache_data.clear()
    number(page, "capital").set_value(250.0)
    press(page, "Show what changes in maker")
    press(page, "Save these changes")
    assert "bob saved version 2" in page.error[0].value
    assert newest(desk).version == 2
    press(page, "Show what changes in maker")
    press(page, "Save these changes")
    bot = newest(desk).document.bots["maker"]
    assert (bot.capital, bot.parameters) == (250.0, {"levels": 3})


@pytest.mark.parametrize("state", ["running", "paused", "stopping", "risk_stopped"])
def test_a_bot_at_work_is_neither_changed_nor_removed(
    opened: Opened, desk: Config, state: str
) -> None:
    put_bot(desk, state)
    page = opened("bots", bot="maker")
    assert button(page, "Change settings…").disabled
    assert button(page, "Remove…").disabled


@pytest.mark.long
def test_a_removed_bot_is_gone_from_the_settings_after_two_clicks(
    opened: Opened, desk: Config
) -> None:
    page = press(opened("bots", bot="maker"), "Remove…")
    assert any("no bot manages it" in one.value for one in page.warning)
    assert "maker" in newest(desk).document.bots
    press(page, "Save these changes")
    assert "maker" not in newest(desk).document.bots
    assert not any("no bot manages it" in one.value for one in page.warning)


@pytest.mark.long
def test_a_removed_bot_is_restored_as_it_was_and_its_page_says_what_became_of_it(
    opened: Opened, desk: Config
) -> None:
    saved(desk, {"bots": {"maker": {"capital": 250.0}}}, "ben")
    page = opened("bots", bot="maker")
    shown = texts(page)
    assert "Version 2: changed" in shown
    assert "by ben, never in force" in shown
    assert "<th>Capital</th><td>100  \N{RIGHTWARDS ARROW}  250</td>" in shown
    saved(desk, {"bots": {"maker": None}}, "ben")
    st.cache_data.clear()
    page = opened("bots")
    assert "market_maker, removed" in texts(page)
    press(page, "Restore\N{HORIZONTAL ELLIPSIS}")
    press(page, "Save these changes")
    bot = newest(desk).document.bots["maker"]
    assert (bot.capital, bot.parameters) == (250.0, {"levels": 2})


def test_a_removal_that_is_discarded_leaves_the_bot(opened: Opened, desk: Config) -> None:
    page = press(press(opened("bots", bot="maker"), "Remove…"), "Discard")
    assert "maker" in newest(desk).document.bots
    assert not any("no bot manages it" in one.value for one in page.warning)


def test_parameters_stand_in_the_groups_their_strategy_declares(
    opened: Opened, desk: Config
) -> None:
    page = edit(opened)
    labels = [tab.label for tab in page.tabs]
    start = labels.index("Sizes · 1 changed")
    assert labels[start : start + 3] == ["Sizes · 1 changed", "Prices", "When it quotes"]
    levels = number(page, "levels")
    assert levels.label == "Quotes a side (1 … 20) · :orange[changed, default 1]"
    assert levels.help.startswith("`levels`, quotes per side")
    assert number(page, "size_shares").label == "Size of a level, shares (from 0.000001)"


def test_every_parameter_of_a_grouped_strategy_has_its_group() -> None:
    for name, entry in entries().items():
        groups = entry.parameters.get("groups", ())
        listed = [one for _, names in groups for one in names]
        assert not groups or sorted(listed) == sorted(entry.parameters["properties"]), name


def test_what_no_group_names_stands_under_other() -> None:
    schema = {"properties": {"a": {}, "b": {}}, "groups": [["Sizes", ["a", "gone"]]]}
    assert forms.grouped(schema) == {"Sizes": ["a"], "Other": ["b"]}
    assert forms.grouped({"properties": {"a": {}}}) == {"Other": ["a"]}


def test_a_filled_schema_gives_the_values_of_now_as_defaults() -> None:
    schema = {"properties": {"a": {"default": 1}, "b": {"default": 2}}, "required": ["a"]}
    made = forms.filled(schema, {"a": 5, "gone": 9})
    assert made["properties"] == {"a": {"default": 5}, "b": {"default": 2}}
    assert made["required"] == []
    assert made["usual"] == {"a": 1}
    assert schema["properties"]["a"] == {"default": 1}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("state", BotState)
def test_the_buttons_are_those_the_engine_would_take(
    opened: Opened, desk: Config, state: BotState
) -> None:
    put_bot(desk, state)
    page = opened("bots", bot="maker")
    offered = {button.label for button in page.button if not button.disabled}
    for label, happened in {
        "Start": BotHappened.START_ASKED,
        "Pause": BotHappened.PAUSE_ASKED,
        "Resume": BotHappened.RESUME_ASKED,
        "Stop the bot": BotHappened.STOP_ASKED,
    }.items():
        assert (label in offered) == ((state, happened) in TRANSITIONS), label


@pytest.mark.parametrize(
    ("state", "said", "why"),
    [
        ("running", "unchanged", ""),
        ("stopped", "wants nothing", "the bot is STOPPED; select the row for its last evaluation"),
    ],
)
def test_a_bot_that_does_not_run_keeps_no_quotes(
    opened: Opened, desk: Config, state: str, said: str, why: str
) -> None:
    market = InstrumentId("demo:comet-1")
    put_bot(desk, state, market)
    log = DecisionLog(desk.decisions_path, engine_id="pitboss")
    log.append(
        Decision(
            number=1,
            bot=BotId("maker"),
            instrument=market,
            at_ns=time.time_ns(),
            regime="calm",
            inputs=(),
            build_up=(),
            gates=(Gate("healthy", True, 1.0, 1.0),),
            outcome="hold",
            intent=None,
        )
    )
    log.close()
    page = opened("bots", bot="maker")
    row = page.dataframe[1].value.iloc[0]
    assert (row["standing"], row["would"]) == (said, why)


HOUR_NS = 3_600 * 10**9
COMET, OTHER = InstrumentId("demo:comet-1"), InstrumentId("demo:comet-2")


def test_a_bot_whose_market_does_not_exist_says_so(opened: Opened, desk: Config) -> None:
    put_bot(desk, "running", unlisted="no such market listed by demo so far: demo:typo")
    page = opened("bots", bot="maker")
    assert page.dataframe[0].value.iloc[0]["state"] == "RUNNING, MARKET NOT LISTED"
    assert "No such market listed by demo so far: demo:typo" in texts(page)


def resting(market: InstrumentId, hours: int) -> WatchedMarket:
    rest = Rest(time.time_ns() + hours * HOUR_NS, "its last 3 fills made -2.00 cents a share")
    return WatchedMarket(instrument=market, rest=rest)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("watching", "said", "why"),
    [
        ((COMET,), "RUNNING", ""),
        ((), "RUNNING", ""),
        ((resting(COMET, 1),), "RESTING until ", "3 fills made -2.00 cents"),
        ((resting(COMET, -1),), "RUNNING", ""),
        ((resting(COMET, 1), OTHER), "RUNNING", "rests in 1 of 2 markets"),
    ],
)
def test_running_is_said_of_a_bot_that_may_quote_alone(
    opened: Opened, desk: Config, watching: tuple[Any, ...], said: str, why: str
) -> None:
    put_bot(desk, "running", *watching)
    page = opened("bots", bot="maker")
    assert page.dataframe[0].value.iloc[0]["state"].startswith(said)
    shown = texts(page)
    assert why in shown
    offered = {one.label for one in page.button if not one.disabled}
    assert {"Pause", "Stop the bot"} <= offered, "it is at work all the same"


@pytest.mark.parametrize(
    ("bars", "closed", "ago_ns", "said"),
    [
        ("1h", 3.0, 0, "; the last of these 1h bars closes "),
        ("1m", 19.0, HOUR_NS, "; bars of 1m were missed since "),
        ("ticks:500", 3.0, 0, "; when the last closes is not known: such bars end with trades"),
    ],
)
def test_a_bot_that_waits_for_bars_says_when_the_last_one_closes(
    opened: Opened, desk: Config, bars: str, closed: float, ago_ns: int, said: str
) -> None:
    parameters = {"bars": bars, "levels": None}
    saved(desk, {"bots": {"maker": {"strategy": "sma_cross", "parameters": parameters}}})
    put_bot(desk, "running", COMET)
    with writing(desk.state_path) as connection:
        applied(connection, "pitboss", newest(desk).version, time.time_ns())
    at_ns = time.time_ns() - ago_ns
    log = DecisionLog(desk.decisions_path, engine_id="pitboss")
    log.append(
        Decision(
            number=1,
            bot=BotId("maker"),
            instrument=COMET,
            at_ns=at_ns,
            regime="",
            inputs=(),
            build_up=(),
            gates=(Gate("warm", False, closed, 20.0),),
            outcome="warm",
            intent=None,
        )
    )
    log.close()
    page = opened("bots", bot="maker")
    would = page.dataframe[1].value.iloc[0]["would"]
    assert f"({closed:.0f} of 20 closed){said}" in would
    if bars == "1h":
        assert moment((at_ns // HOUR_NS + 17) * HOUR_NS) in would
