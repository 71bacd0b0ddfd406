"""After a KILL was released: who was paused stands over every page, and one question resumes."""

from __future__ import annotations

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.commands import ResumeKilled
from storage.commands import find
from storage.database import reading
from storage.users import ENGINE_ID

BOTS = ("a", "b", "c")


def _draw(bots: tuple[str, ...], now: int) -> None:
    from pages.frame.bar import show_paused

    show_paused(bots, now=now)


@pytest.fixture(autouse=True)
def _whole_page_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn here alone is no fragment of a page."""
    rerun = st.rerun
    monkeypatch.setattr(st, "rerun", lambda **_: rerun())


def drawn(bots: tuple[str, ...]) -> AppTest:
    page = AppTest.from_function(_draw, kwargs={"bots": bots, "now": 10**18}, default_timeout=60)
    page.session_state["who"] = "operator"
    page.run()
    assert not page.exception, page.exception
    return page


def left(config: Config) -> list[object]:
    """Return the commands that were left."""
    with reading(config.state_path) as connection:
        rows = connection.execute("SELECT id FROM commands").fetchall()
        found = [find(connection, ENGINE_ID, name) for (name,) in rows]
    return [one.command for one in found if one is not None]


def test_who_was_paused_is_named_and_the_second_click_resumes_them_all(config: Config) -> None:
    page = drawn(BOTS)
    assert page.markdown[0].value == "**3 bots paused by KILL**: a, b, c."
    page.button(key="resumeall").click().run()
    assert "Resume a, b, c?" in page.markdown[0].value
    assert left(config) == [], "the first click asks alone"
    page.button(key="resumeconfirm").click().run()
    assert left(config) == [ResumeKilled()]


def test_keeping_them_paused_leaves_no_command(config: Config) -> None:
    page = drawn(BOTS)
    page.button(key="resumeall").click().run()
    page.button(key="resumekeep").click().run()
    assert page.button(key="resumeall")
    assert left(config) == []


def test_where_kill_paused_no_bot_there_is_no_question(config: Config) -> None:
    assert not drawn(()).button
    assert left(config) == []
