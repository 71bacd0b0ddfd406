"""Rules by mouse: read, changed, refused, saved, removed, and what running bots compared."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.catalog import IndicatorEntry
from engine.domain.rules.templates import TEMPLATES
from engine.domain.telemetry import EngineStatus
from engine.indicators.library import entries
from storage.catalog import put_catalog
from storage.database import reading, writing
from storage.live import EngineHeartbeat, put_engine
from storage.rules import rule_versions, saved_rules
from tests.pages.seen import bodies, texts

Opened = Callable[..., AppTest]


def prepared(config: Config) -> None:
    now = time.time_ns()
    beat = EngineHeartbeat(
        state="RUNNING", heartbeat_ns=now, started_ns=1, pid=os.getpid(), version="1",
        latched=False, status=EngineStatus(),
    )  # fmt: skip
    with writing(config.state_path) as connection:
        put_catalog(connection, "pitboss", IndicatorEntry, entries(), now)
        put_engine(connection, "pitboss", beat)


def editing(config: Config, opened: Opened, name: str = "rsi_dip") -> AppTest:
    prepared(config)
    page = opened("rules", state={"chosen:rules": name})
    page.button(key="rule_edit").click().run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    """Return the page's texts without the marks that keep a text from being Markdown."""
    return texts(page).replace("\\", "")


def kept(config: Config) -> list[Any]:
    st.cache_data.clear()
    with reading(config.state_path) as connection:
        return saved_rules(connection, "pitboss")


def test_templates_are_there_from_the_first_minute_in_words(config: Config, opened: Opened) -> None:
    prepared(config)
    page = opened("rules", state={"chosen:rules": "rsi_dip"})
    assert set(page.dataframe[0].value["name"]) == set(TEMPLATES)
    assert "Enter when RSI of 5m crosses above 30" in bodies(page)
    assert "No bot runs it" in bodies(page)


def test_a_rule_is_changed_by_mouse_and_saved_as_a_version(config: Config, opened: Opened) -> None:
    page = editing(config, opened)
    page.text_input(key="rule_1_name").set_value("mine").run()
    page.number_input(key="rule_1_entry_0_right_value").set_value(25.0).run()
    assert "Enter when RSI of 5m crosses above 25" in texts(page)
    page.button(key="rule_save").click().run()
    assert not page.exception
    (saved,) = kept(config)
    document = json.loads(saved.document)
    assert (saved.name, saved.version, saved.who) == ("mine", 1, "operator")
    assert document["entry"]["parts"][0]["right"]["value"] == 25.0
    assert "mine was saved as version 1" in texts(page)


def test_what_was_typed_in_the_editor_outlives_the_tab(config: Config, opened: Opened) -> None:
    page = editing(config, opened, "trend")
    page.text_input(key="rule_1_name").set_value("mine").run()
    page.button(key="rule_1_entry_more").click().run()
    again = opened("rules")
    assert not again.exception
    assert again.text_input(key="rule_1_name").value == "mine"
    assert again.text_input(key="rule_1_title").value == TEMPLATES["trend"].title
    assert "and close of 5m > 0" in words(again)
    again.text_input(key="rule_1_title").set_value("").run()
    assert opened("rules").text_input(key="rule_1_title").value == "", "what is no rule yet, too"
    again.button(key="rule_close").click().run()
    assert not [one for one in opened("rules").text_input if one.key == "rule_1_name"]


def test_a_saved_rule_leaves_no_draft(config: Config, opened: Opened) -> None:
    page = editing(config, opened)
    page.text_input(key="rule_1_name").set_value("mine").run()
    page.button(key="rule_save").click().run()
    assert [one.name for one in kept(config)] == ["mine"]
    assert not [one for one in opened("rules").button if one.key == "rule_save"]


def test_a_tab_that_saw_another_draft_writes_over_none(config: Config, opened: Opened) -> None:
    page = editing(config, opened)
    other = opened("rules")
    other.text_input(key="rule_1_name").set_value("theirs").run()
    page.text_input(key="rule_1_name").set_value("mine").run()
    assert "Not kept: another tab changed the draft of the rule meanwhile" in words(page)
    page.button(key="rule_again").click().run()
    assert page.text_input(key="rule_2_name").value == "theirs"


def test_a_draft_that_cannot_be_read_is_thrown_away_by_hand(config: Config, opened: Opened) -> None:
    editing(config, opened)
    with writing(config.state_path) as connection:
        connection.execute("UPDATE rule_drafts SET body = '[]'")
    page = opened("rules")
    assert "the draft of the rule cannot be read" in words(page)
    page.button(key="rule_throw").click().run()
    assert "cannot be read" not in words(opened("rules"))


@pytest.mark.long
def test_conditions_and_groups_are_added_and_removed(config: Config, opened: Opened) -> None:
    page = editing(config, opened, "trend")
    page.button(key="rule_1_entry_more").click().run()
    assert "and close of 5m > 0" in words(page)
    page.button(key="rule_2_entry_group").click().run()
    page.segmented_control(key="rule_3_entry_joint").set_value("any").run()
    assert " or close of 5m > 0" in words(page)
    page.button(key="rule_3_exit_gone").click().run()
    assert "the rule never leaves a position" in words(page)
    assert page.button(key="rule_save").disabled
    page.button(key="rule_4_close_begin").click().run()
    assert "Close the position when close of 5m > 0" in words(page)
    assert not page.button(key="rule_save").disabled


def test_what_cannot_run_is_refused_in_the_sentence_of_the_command_line(
    config: Config, opened: Opened
) -> None:
    page = editing(config, opened)
    page.number_input(key="rule_1_entry_0_left_set_RSI_period").set_value(0).run()
    assert "entry, part 1: RSI, period = 0: it takes at least 1" in texts(page)
    assert page.button(key="rule_save").disabled
    assert kept(config) == []


def test_a_rule_is_copied_removed_and_restored(config: Config, opened: Opened) -> None:
    prepared(config)
    page = opened("rules", state={"chosen:rules": "trend"})
    page.button(key="rule_copy").click().run()
    page.button(key="rule_save").click().run()
    assert [one.name for one in kept(config)] == ["trend_copy"]
    page.button(key="rule_remove").click().run()
    assert kept(config) == []
    page = opened("rules")
    page.button(key="rule_restore_trend_copy").click().run()
    assert [one.version for one in kept(config)] == [3]
    with reading(config.state_path) as connection:
        assert len(rule_versions(connection, "pitboss", "trend_copy")) == 3
